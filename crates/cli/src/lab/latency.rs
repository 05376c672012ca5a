//! Measures the time of a record from send to callback: without linger and compression, and with both.
//!
//! In: nothing, or a cluster and settings to compare. Out: a table, conclusions from it, and `latency.html`. Every variant gets the
//! same records at the same rate. Latency is measured from the time at which each record was due, so that the wait behind a slow
//! record counts as well.

mod analysis;
mod machine;
mod page;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use milena::{Metrics, Producer, Record, admin::Admin, broker::EmbeddedBroker};

use self::{analysis::Measured, machine::machine};
use super::{
    checks::Verdict,
    conclude,
    orders::{ends, prepare},
    to_stdout,
};
use crate::{
    cluster::Cluster,
    exit::{CliError, Exit},
    interrupt::Interrupt,
    pace::{bar, doze, latencies, micros},
    settings,
};

const BAR: &str = "{msg} {wide_bar} {percent}% {eta} left";

/// Compare the time from send to callback with and without linger and compression
///
/// Sends orders at a fixed rate, first with linger.ms=0 and no compression, then with linger.ms=20 and lz4, and measures how long each
/// takes from the time at which it was due until its callback runs. Records of the warm-up are not measured. Prints the
/// percentiles and what follows from them, and writes them with their distributions drawn to a page. Then it checks that every
/// record was acknowledged and is in the topic.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Without any set-up:
    milena lab latency
  More variants, on a real Kafka:
    milena lab latency --bootstrap-server localhost:9092 --variant 'zero:linger.ms=0' \\
      --variant 'five:linger.ms=5' --variant 'large:linger.ms=20,batch.size=131072,compression.type=gzip'

Exit codes: 0 every check holds, 1 a record or a check failed, 2 arguments are wrong, 130 stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// Cluster to use instead of the embedded broker, as host:port,host:port
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// Topic to send to; created with 3 partitions if it does not exist
    #[arg(long, short, default_value = "latencies")]
    topic: String,

    /// What to compare instead of the two: a name and producer settings by their Java names; may be repeated
    #[arg(long = "variant", value_name = "NAME:SETTING=VALUE,…", value_parser = variant)]
    variants: Vec<Variant>,

    /// Records that are measured, for each variant
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    records: u32,

    /// Records that are sent before measuring begins, for each variant
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    warmup: u32,

    /// Records a second
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,

    /// Size of each record's value in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    record_size: u32,

    /// Page to write
    #[arg(long, value_name = "PATH", default_value = "latency.html")]
    page: PathBuf,
}

/// A named set of producer settings to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variant {
    name: String,
    settings: Vec<(String, String)>,
}

fn variant(text: &str) -> Result<Variant, String> {
    let expected =
        || format!("expected NAME:SETTING=VALUE,… as in slow:linger.ms=20,compression.type=lz4, got {text:?}");
    let (name, settings) = text.split_once(':').ok_or_else(expected)?;
    let setting = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = settings.split(',').map(setting).collect::<Option<_>>().ok_or_else(expected)?;
    if name.is_empty() { Err(expected()) } else { Ok(Variant { name: name.to_owned(), settings }) }
}

fn usual() -> Vec<Variant> {
    let variants = ["at once:linger.ms=0,compression.type=none", "together:linger.ms=20,compression.type=lz4"];
    variants.iter().filter_map(|text| variant(text).ok()).collect()
}

/// Runs the lab.
pub(crate) async fn run(mut args: Args) -> Result<Exit, CliError> {
    if args.variants.is_empty() {
        args.variants = usual();
    }
    let mut interrupt = Interrupt::listen()?;
    let cluster = Cluster::open(args.bootstrap_server.as_deref(), EmbeddedBroker::builder()).await?;
    let records = args.variants.len() as u64 * u64::from(args.records + args.warmup);
    let (bootstrap, shown) = (cluster.bootstrap().to_owned(), bar(records, BAR));
    let exit = tokio::select! {
        exit = run_on(&bootstrap, &args, &shown) => exit,
        () = interrupt.next() => Ok(Exit::Interrupted),
    };
    shown.finish_and_clear();
    cluster.close().await;
    exit
}

async fn run_on(bootstrap: &str, args: &Args, bar: &ProgressBar) -> Result<Exit, CliError> {
    let mut admin = Admin::connect(bootstrap).await?;
    let before: i64 = prepare(&mut admin, &args.topic, -1, &[]).await?.iter().sum();
    let (mut measured, mut failures) = (Vec::new(), Vec::new());
    for variant in &args.variants {
        bar.set_message(variant.name.clone());
        let (result, failed) = measure(bootstrap, args, variant, bar).await?;
        measured.push(result);
        failures.extend(failed);
    }
    bar.finish_and_clear();
    to_stdout(&format!("\n{}", analysis::table(&measured)));
    let sentences = analysis::sentences(&measured, f64::from(args.rate));
    sentences.iter().for_each(|sentence| to_stdout(&format!("- {sentence}")));
    let page = page::page(&measured, &sentences, &facts(args));
    std::fs::write(&args.page, page)
        .map_err(|error| CliError::Failed(format!("cannot write {}: {error}", args.page.display())))?;
    to_stdout(&format!("\ndrawn in {}", args.page.display()));
    let after: i64 = ends(&mut admin, &args.topic).await?.iter().sum();
    Ok(conclude(&verdicts(args, &measured, &failures, after - before)))
}

/// What was measured, where and when. A latency means nothing without them.
fn facts(args: &Args) -> [String; 2] {
    let what = format!(
        "{} records of {} bytes for each variant, {} a second, after {} to warm up. \
         Measured from when each record was due to its callback.",
        args.records, args.record_size, args.rate, args.warmup
    );
    let version = env!("CARGO_PKG_VERSION");
    let broker = match &args.bootstrap_server {
        None => format!("the embedded broker of milena {version}, in the same process"),
        Some(at) => format!("the cluster at {at}, by milena {version}"),
    };
    let when = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    [what, format!("On {broker}; {}; {when}.", machine())]
}

fn verdicts(args: &Args, measured: &[Measured], failures: &[String], added: i64) -> Vec<Verdict> {
    let each = u64::from(args.records);
    let sent = measured.len() as i64 * i64::from(args.records + args.warmup);
    let missing = measured.iter().find(|variant| variant.latency.len() != each);
    let all =
        missing.map_or(Ok(()), |variant| Err(format!("{}: {} of {each} are", variant.name, variant.latency.len())));
    vec![
        Verdict {
            claim: format!("each of the {each} records of every variant is acknowledged and measured once"),
            result: failures.first().map_or(all, |failure| Err(failure.clone())),
        },
        Verdict {
            claim: format!("the topic holds at least {sent} records more than before"),
            result: if added >= sent { Ok(()) } else { Err(format!("it holds {added} more")) },
        },
    ]
}

/// What the callbacks received.
struct Seen {
    latency: Histogram<u64>,
    failures: Vec<String>,
}

/// Sends all records of a variant and waits for their callbacks.
async fn measure(
    bootstrap: &str,
    args: &Args,
    variant: &Variant,
    bar: &ProgressBar,
) -> Result<(Measured, Vec<String>), CliError> {
    let own = [("bootstrap.servers".to_owned(), bootstrap.to_owned())];
    let producer = Producer::from_properties(own.into_iter().chain(variant.settings.iter().cloned())).await?;
    let known = producer.partitions_for(&args.topic).await;
    known.map_err(|error| CliError::Failed(error.to_string()))?;
    let seen = Arc::new(Mutex::new(Seen { latency: latencies(), failures: Vec::new() }));
    let values: Vec<_> = (0..64).map(|number| order(number, args.record_size as usize)).collect();
    let (start, mut warm) = (Instant::now(), producer.metrics());
    for number in 0..args.warmup + args.records {
        if number == args.warmup {
            warm = producer.metrics();
        }
        let due = start + Duration::from_secs_f64(f64::from(number) / f64::from(args.rate));
        wait(due, number, bar).await;
        let (seen, measured) = (Arc::clone(&seen), number >= args.warmup);
        let value = &values[number as usize % values.len()];
        let callback = move |outcome: Result<milena::Ack, milena::DeliveryError>| {
            let took = due.elapsed();
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(_) if measured => seen.latency.saturating_record(micros(took)),
                Ok(_) => {}
                Err(error) => seen.failures.push(error.to_string()),
            }
        };
        let key = format!("user-{}", number % 50);
        let sent = producer.send_with(Record::to(&args.topic).key(&key).value(value), callback).await;
        sent.map_err(|error| CliError::Failed(error.to_string()))?;
    }
    let seconds = start.elapsed().as_secs_f64();
    producer.close().await.map_err(|error| CliError::Failed(error.to_string()))?;
    let rate = f64::from(args.warmup + args.records) / seconds;
    let seen = Arc::try_unwrap(seen).map_err(|_| CliError::Failed("a callback never ran".to_owned()))?;
    let Seen { latency, failures } = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((measured(variant, latency, rate, &warm, &producer.metrics()), failures))
}

/// The measurements of a variant: its latencies, and the producer's counters since the end of the warm-up.
fn measured(variant: &Variant, latency: Histogram<u64>, rate: f64, warm: &Metrics, done: &Metrics) -> Measured {
    let since = |name: &str| {
        let of = |metrics: &Metrics| metrics.get("producer-metrics", name).unwrap_or(0.0);
        of(done) - of(warm)
    };
    let setting = |name: &str| variant.settings.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value);
    Measured {
        name: variant.name.clone(),
        settings: variant.settings.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "),
        linger_ms: setting("linger.ms").and_then(|value| value.parse().ok()).unwrap_or(5.0),
        codec: setting("compression.type").cloned().unwrap_or_else(|| "none".to_owned()),
        latency,
        rate,
        requests: since("request-total"),
        records: since("record-send-total"),
        compression: done.get("producer-metrics", "compression-rate-avg").unwrap_or(1.0),
    }
}

/// Waits until a record is due.
async fn wait(due: Instant, number: u32, bar: &ProgressBar) {
    if number.is_multiple_of(64) {
        bar.inc(64);
        // Gives the task that listens for signals a chance to run.
        tokio::task::yield_now().await;
    }
    while !doze(due) {
        tokio::task::yield_now().await;
    }
}

/// An order of `len` bytes, padded with a note whose words repeat as in real text, so that it can be compressed.
fn order(number: usize, len: usize) -> String {
    let mut text = format!(r#"{{"order":{},"item":"espresso","cents":{},"note":""#, number * 7919, number * 31 % 997);
    let words = ["please", "without", "sugar", "and", "hot", "to", "the", "garden", "table", "today"];
    let mut word = number;
    while text.len() + 2 < len {
        text += words[word % words.len()];
        text.push(' ');
        word = (word * 5 + 3) % 1_000;
    }
    text.truncate(len.saturating_sub(2));
    text + r#""}"#
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_a_name_and_settings() {
        let slow = variant("slow:linger.ms=20,compression.type=lz4").unwrap();
        assert_eq!((slow.name.as_str(), slow.settings.len(), slow.settings[1].1.as_str()), ("slow", 2, "lz4"));
        for wrong in ["", "slow", ":linger.ms=2", "slow:", "slow:linger.ms"] {
            assert!(variant(wrong).unwrap_err().starts_with("expected NAME:SETTING=VALUE"), "{wrong}");
        }
        assert_eq!(usual().len(), 2);
    }

    #[test]
    fn an_order_has_the_requested_length() {
        for len in [100, 200, 5_000] {
            let text = order(7, len);
            assert_eq!(text.len(), len);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        }
    }
}
