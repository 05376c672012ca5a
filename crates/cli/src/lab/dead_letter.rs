//! Dead letters: a record that cannot be delivered goes to the dead-letter topic, with headers that describe the failure.
//!
//! In: nothing, or a cluster. Out: the topic in which each record ended, the letters in the dead-letter topic, and whether each
//! letter is complete and in no other topic.

mod cases;
mod judge;

use milena::{
    Record,
    admin::{Admin, ConsumedRecord},
    broker::EmbeddedBroker,
};
use milena_resilience::{
    dead_letter::{DeadLetters, NoLetter},
    retry::{Retry, RetryPolicy},
};

use self::{
    cases::{Case, SMALL, Topics, cases, left_out},
    judge::{Ended, Original, judge},
};
use super::{
    checks::Verdict,
    conclude,
    orders::{Run, prepare, read_back},
    strings::Strings,
    to_stdout,
};
use crate::{
    cluster::Cluster,
    exit::{CliError, Exit},
    output, settings,
};

/// The number of characters of a value that are printed.
const SHOWN: usize = 60;

/// Send records that cannot be delivered, and check the dead-letter topic
///
/// The records fail with fatal errors: a payload that is not text, an invalid topic name, a size that the topic does not allow, a
/// missing permission. Each goes to the dead-letter topic, with its key, value and headers unchanged and with headers that
/// describe the failure. A record that cannot be written there either comes back to the caller with both errors. Then the
/// dead-letter topic is read back, printed and checked.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Without any set-up, with a broker that fails on command:
    milena lab dead-letter
  With Spring Kafka's headers beside ours:
    milena lab dead-letter --spring-headers
  Against a real Kafka; creates orders, orders.small and orders.dlt there, or uses them:
    milena lab dead-letter --bootstrap-server localhost:9092

Exit codes: 0 every record ended where it must, 1 a check failed, 2 arguments are wrong.")]
pub(crate) struct Args {
    /// Cluster to use instead of the embedded broker, as host:port,host:port
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// Topic to send to; its dead-letter topic is TOPIC.dlt. Each is created with 3 partitions if it does not exist
    #[arg(long, short, default_value = "orders")]
    topic: String,

    /// Give letters Spring Kafka's headers as well (kafka_dlt-original-topic and so on)
    #[arg(long)]
    spring_headers: bool,
}

/// Runs the lab.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let cluster = Cluster::open(args.bootstrap_server.as_deref(), EmbeddedBroker::builder()).await?;
    let verdicts = run_on(&cluster, &args).await;
    cluster.close().await;
    to_stdout("");
    Ok(conclude(&verdicts?))
}

async fn run_on(cluster: &Cluster, args: &Args) -> Result<Vec<Verdict>, CliError> {
    let topics = Topics::of(&args.topic);
    let mut admin = Admin::connect(cluster.bootstrap()).await?;
    let main_ends = prepare(&mut admin, &topics.main, -1, &[]).await?;
    let small_ends = prepare(&mut admin, &topics.small, -1, &[("max.message.bytes", SMALL)]).await?;
    let dead_ends = prepare(&mut admin, &topics.dead, 1, &[]).await?;
    let cases = cases(&topics, cluster.embedded().is_some());
    if cluster.embedded().is_none() {
        let names: Vec<_> = left_out(&topics).iter().map(|name| format!("\n  - {name}")).collect();
        let why = "left out, because only the embedded broker fails on command (run without --bootstrap-server)";
        to_stdout(&format!("{why}:{}", names.concat()));
    }
    to_stdout("");
    let run = Run::new(cases.len());
    let letters = DeadLetters::with_topic(&topics.dead).spring_headers(args.spring_headers);
    let ended = send_all(cluster, &run, &cases, &letters).await?;
    let mut delivered = read_back(&mut admin, &topics.main, &main_ends).await?;
    delivered.extend(read_back(&mut admin, &topics.small, &small_ends).await?);
    let dead = read_back(&mut admin, &topics.dead, &dead_ends).await?;
    print_letters(&run, &topics.dead, &dead);
    let mut verdicts = Vec::new();
    for (number, (case, (original, ended))) in cases.iter().zip(&ended).enumerate() {
        let of_case = |records: &[ConsumedRecord]| -> Vec<ConsumedRecord> {
            records.iter().filter(|record| run.number(record) == Some(number)).cloned().collect()
        };
        let (delivered, dead) = (of_case(&delivered), of_case(&dead));
        let (delivered, dead): (Vec<_>, Vec<_>) = (delivered.iter().collect(), dead.iter().collect());
        verdicts.push(judge(case, ended, original, &delivered, &dead));
    }
    Ok(verdicts)
}

async fn send_all(
    cluster: &Cluster,
    run: &Run,
    cases: &[Case],
    letters: &DeadLetters,
) -> Result<Vec<(Original, Ended)>, CliError> {
    let sender = Strings::start(cluster.bootstrap(), "30000").await?;
    let retry = Retry::new(RetryPolicy::new()).map_err(|error| CliError::Usage(error.to_string()))?;
    let mut ended = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        if let Some(broker) = cluster.embedded() {
            case.faults.iter().for_each(|fault| _ = broker.inject(fault.clone()));
        }
        let key = format!("user-{}", number % 5 + 1);
        let record = Record::to(&case.topic).key(&key).value(&case.value).header("source", "shop");
        let record = run.tag(record, number);
        ended.push((original(&record), deliver(&sender, &retry, letters, record, case.name).await));
        cluster.embedded().into_iter().for_each(EmbeddedBroker::heal);
    }
    sender.close().await;
    Ok(ended)
}

fn original(record: &Record<'_>) -> Original {
    let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
    let header = |header: &milena::Header<'_>| {
        (header.key.clone().into_owned(), header.value.as_ref().map(|value| value.clone().into_owned()))
    };
    Original {
        topic: record.topic().to_owned(),
        key: bytes(record.key_bytes()),
        value: bytes(record.value_bytes()),
        headers: record.headers().iter().map(header).collect(),
    }
}

/// Sends a record. After a fatal error it is published as a dead letter; if that fails too, it comes back to the caller.
async fn deliver(sender: &Strings, retry: &Retry, letters: &DeadLetters, record: Record<'_>, name: &str) -> Ended {
    let error = match retry.send(sender, record.clone()).await {
        Ok(delivered) => {
            to_stdout(&format!("{name}\n  delivered: {}", output::place(&delivered.ack)));
            return Ended::Delivered;
        }
        Err(error) => error,
    };
    let failed = error.failure().to_string();
    to_stdout(&format!("{name}\n  failed: {}", output::printable(failed.as_bytes())));
    if !error.is_fatal() {
        return Ended::Otherwise(error.to_string());
    }
    match letters.publish(sender.bytes(), record.clone(), &error.report()).await {
        Ok(ack) => {
            to_stdout(&format!("  letter: {}", output::place(&ack)));
            Ended::Letter(failed)
        }
        Err(lost) => {
            to_stdout(&format!("  came back: {}", output::printable(lost.to_string().as_bytes())));
            let second = match lost.reason() {
                NoLetter::NotWritten { failure, .. } => Some(failure.type_name()),
                _ => None,
            };
            Ended::Returned(second, *lost.record() == record)
        }
    }
}

fn print_letters(run: &Run, topic: &str, letters: &[ConsumedRecord]) {
    for letter in letters.iter().filter(|letter| run.number(letter).is_some()) {
        let shown = |bytes: Option<&[u8]>| {
            let text = bytes.map_or_else(|| "(null)".to_owned(), output::printable);
            let short: String = text.chars().take(SHOWN).collect();
            if short.len() < text.len() {
                format!("{short}... ({} bytes)", bytes.map_or(0, <[u8]>::len))
            } else {
                short
            }
        };
        let (key, value) = (shown(letter.key.as_deref()), shown(letter.value.as_deref()));
        to_stdout(&format!("\n{topic}-{}@{}\n  key    {key}\n  value  {value}", letter.partition, letter.offset));
        for (name, value) in &letter.headers {
            let value = value.as_ref().map_or_else(|| "(null)".to_owned(), |value| output::printable(value));
            to_stdout(&format!("  {:<34} {value}", output::printable(name.as_bytes())));
        }
    }
}
