//! Twenty orders, sent asynchronously with a callback each.
//!
//! In: nothing, or a cluster. Out: where each order went, then whether the topic holds what the producer was told. The
//! twin of a Java program with a `CountDownLatch(20)`: send with callbacks, flush, await the latch, close.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use milena::{
    Ack, DeliveryError, Producer, Record,
    admin::{Admin, AdminError, ConsumedRecord, OffsetSpec},
    broker::EmbeddedBroker,
};

use super::{
    checks::{self, Acked, Found, History, Sent, Verdict},
    latch::Latch,
    say,
};
use crate::{
    exit::{CliError, Exit},
    output::{self, Failure},
};

const ORDERS: usize = 20;
const USERS: usize = 5;
const PARTITIONS: i32 = 3;
const LATCH_BOUND: Duration = Duration::from_secs(30);
/// Headers by which the records of a run are known in a topic that others use as well.
const RUN: &str = "milena-lab-run";
const NUMBER: &str = "milena-lab-number";
const ITEMS: [(&str, u32); 4] = [("espresso", 250), ("flat white", 410), ("croissant", 320), ("lemonade", 380)];

/// Send twenty orders asynchronously, with a callback each, and check what became of them
///
/// Starts the embedded broker, creates the topic with three partitions, and sends 20 orders whose keys cycle from user-1
/// to user-5, with acks=all, idempotence and five requests in flight. A latch counts the callbacks: flush, await the
/// latch, close. Then the topic is read back, and what the acknowledgements claim is checked.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Without any set-up:
    milena lab async-orders
  The same against a real Kafka; records that are in the topic already do no harm:
    milena lab async-orders --bootstrap-server localhost:9092

Exit codes: 0 all 20 orders are acknowledged and every check holds, 1 an order or a check failed, 2 arguments are wrong.")]
pub(crate) struct Args {
    /// Cluster to use instead of the embedded broker, as host:port,host:port
    #[arg(long, short, value_name = "HOST:PORT")]
    bootstrap_server: Option<String>,

    /// Topic to send to; created with 3 partitions if it does not exist
    #[arg(long, short, default_value = "orders")]
    topic: String,
}

/// Runs the lab; `started` is when the process did.
pub(crate) async fn run(args: Args, started: Instant) -> Result<Exit, CliError> {
    let Some(bootstrap) = &args.bootstrap_server else {
        let broker = EmbeddedBroker::builder().start().await;
        let broker = broker.map_err(|e| CliError::Failed(format!("cannot start the embedded broker: {e}")))?;
        say(&format!("embedded broker on {}", broker.bootstrap_servers()));
        let exit = run_on(&broker.bootstrap_servers(), &args.topic, started).await;
        broker.shutdown().await;
        return exit;
    };
    run_on(bootstrap, &args.topic, started).await
}

async fn run_on(bootstrap: &str, topic: &str, started: Instant) -> Result<Exit, CliError> {
    let mut admin = Admin::connect(bootstrap).await?;
    let ends = prepare(&mut admin, topic).await?;
    let run = run_id();
    let sent = orders();
    let told = send(bootstrap, topic, &run, &sent, started).await?;
    let found = read_back(&mut admin, topic, &ends, &run).await?;
    let partitions = i32::try_from(ends.len()).unwrap_or(i32::MAX);
    Ok(report(&History { sent, acked: told.acked, found }, partitions, told.first_ack))
}

/// Makes sure that the topic exists; gives the end of each of its partitions, where this run's records will begin.
async fn prepare(admin: &mut Admin, topic: &str) -> Result<Vec<i64>, CliError> {
    match admin.create_topic(topic, PARTITIONS, -1, &[]).await {
        Ok(()) => say(&format!("topic {topic} created with {PARTITIONS} partitions")),
        Err(AdminError::TopicExists { .. }) => say(&format!("topic {topic} exists already; its records stay")),
        Err(error) => return Err(error.into()),
    }
    let mut ends = Vec::new();
    for partition in 0..admin.partitions(topic).await? {
        ends.push(admin.offsets(topic, partition, OffsetSpec::Latest).await?);
    }
    Ok(ends)
}

fn orders() -> Vec<Sent> {
    let order = |number: usize| {
        let (item, cents) = ITEMS[number % ITEMS.len()];
        let (user, quantity) = (format!("user-{}", number % USERS + 1), number as u32 % 3 + 1);
        let value = serde_json::json!({
            "order": number + 1, "user": user, "item": item, "quantity": quantity, "cents": cents * quantity,
        });
        Sent { key: user, value: value.to_string() }
    };
    (0..ORDERS).map(order).collect()
}

/// No two runs have the same: time and process.
fn run_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", now.as_nanos(), std::process::id())
}

/// What the callbacks were told.
#[derive(Debug, Default)]
struct Told {
    acked: Vec<Acked>,
    /// Time from the start of the process to the first acknowledgement.
    first_ack: Option<Duration>,
}

async fn send(bootstrap: &str, topic: &str, run: &str, orders: &[Sent], started: Instant) -> Result<Told, CliError> {
    let producer = Producer::from_properties([
        ("bootstrap.servers", bootstrap),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("max.in.flight.requests.per.connection", "5"),
    ])
    .await?;
    let latch = Latch::new(orders.len());
    let told = Arc::new(Mutex::new(Told::default()));
    for (number, order) in orders.iter().enumerate() {
        let name = format!("order {:>2} {}", number + 1, order.key);
        let tag = number.to_string();
        let record = Record::to(topic).key(&order.key).value(&order.value).header(RUN, run).header(NUMBER, &tag);
        if let Err(error) = producer.send_with(record, callback(number, name.clone(), started, &told, &latch)).await {
            say_failure(&name, &Failure::from(&error));
            latch.count_down();
        }
    }
    if let Err(error) = producer.flush().await {
        say(&format!("flush: {error}"));
    }
    let waited = latch.wait(LATCH_BOUND).await;
    if let Err(error) = producer.close().await {
        say(&format!("close: {error}"));
    }
    match waited {
        Ok(()) => say(&format!("latch: {ORDERS} of {ORDERS} callbacks before close")),
        Err(missing) => say(&format!("latch: {missing} callbacks missing after {} s", LATCH_BOUND.as_secs())),
    }
    Ok(std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn callback(
    number: usize,
    name: String,
    started: Instant,
    told: &Arc<Mutex<Told>>,
    latch: &Latch,
) -> impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static {
    let (told, latch) = (Arc::clone(told), latch.clone());
    move |outcome| {
        match outcome {
            Ok(ack) => {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.first_ack.get_or_insert_with(|| started.elapsed());
                told.acked.push(Acked { number, partition: ack.partition(), offset: ack.offset() });
                say(&format!("{name}  {}", output::place(&ack)));
            }
            Err(error) => say_failure(&name, &Failure::from(&error)),
        }
        latch.count_down();
    }
}

fn say_failure(name: &str, failure: &Failure) {
    let Failure { kind, code, persisted, message, .. } = failure;
    let written = output::written(*persisted);
    let message = output::printable(message.as_bytes());
    say(&format!("{name}  failed: type={kind} code={code} written={written} message={message}"));
}

/// Everything that the topic got since `ends`, also from others.
async fn read_back(admin: &mut Admin, topic: &str, ends: &[i64], run: &str) -> Result<Vec<Found>, CliError> {
    let mut found = Vec::new();
    for (partition, &start) in (0..).zip(ends) {
        let end = admin.offsets(topic, partition, OffsetSpec::Latest).await?;
        let take = |record| {
            found.push(as_found(record, run));
            ControlFlow::Continue(())
        };
        admin.read_range(topic, partition, start..end, take).await?;
    }
    Ok(found)
}

fn as_found(record: ConsumedRecord, run: &str) -> Found {
    let header = |name: &str| {
        let found = record.headers.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| str::from_utf8(value.as_ref()?).ok())
    };
    let number = if header(RUN) == Some(run) { header(NUMBER).and_then(|text| text.parse().ok()) } else { None };
    Found {
        partition: record.partition,
        offset: record.offset,
        number,
        key: record.key.map(Into::into),
        value: record.value.map(Into::into),
    }
}

fn report(history: &History, partitions: i32, first_ack: Option<Duration>) -> Exit {
    let verdicts = checks::check(history);
    say(&format!("\n{}", checks::summary(history, partitions)));
    let acked = history.acked.len();
    say(&format!("{acked} acknowledged, {} failed", history.sent.len().saturating_sub(acked)));
    if let Some(first_ack) = first_ack {
        say(&format!("first acknowledgement {} after the program started", output::elapsed(first_ack)));
    }
    for Verdict { claim, result } in &verdicts {
        say(&format!("{}  {claim}", if result.is_ok() { "ok    " } else { "FAILED" }));
    }
    match checks::first_failure(&verdicts) {
        None => {
            say("OK");
            Exit::Good
        }
        Some(Verdict { claim, result }) => {
            say(&format!("check failed: {claim}: {}", result.as_ref().err().map_or("", String::as_str)));
            Exit::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use milena::admin::TimestampType;

    use super::*;

    #[test]
    fn twenty_orders_cycle_through_five_users_and_are_json() {
        let orders = orders();
        assert_eq!(orders.len(), 20);
        for (number, order) in orders.iter().enumerate() {
            let value: serde_json::Value = serde_json::from_str(&order.value).unwrap();
            assert_eq!(order.key, format!("user-{}", number % 5 + 1));
            assert_eq!((&value["order"], &value["user"]), (&(number + 1).into(), &order.key.clone().into()));
        }
    }

    fn record(headers: &[(&str, Option<&'static str>)]) -> ConsumedRecord {
        ConsumedRecord {
            partition: 2,
            offset: 7,
            timestamp: 0,
            timestamp_type: TimestampType::CreateTime,
            key: Some(Bytes::from_static(b"k")),
            value: None,
            headers: headers.iter().map(|&(k, v)| (k.to_owned(), v.map(|v| v.as_bytes().into()))).collect(),
        }
    }

    #[test]
    fn only_records_with_the_header_of_this_run_are_of_this_run() {
        let number = |headers: &[(&str, Option<&'static str>)]| as_found(record(headers), "this").number;
        assert_eq!(number(&[(RUN, Some("this")), (NUMBER, Some("12"))]), Some(12));
        assert_eq!(number(&[(RUN, Some("other")), (NUMBER, Some("12"))]), None);
        assert_eq!(number(&[(NUMBER, Some("12"))]), None);
        assert_eq!(number(&[(RUN, None), (NUMBER, None)]), None);
        assert_eq!(number(&[(RUN, Some("this")), (NUMBER, Some("-1"))]), None);
    }

    #[test]
    fn what_was_found_keeps_place_key_and_value() {
        let expected = Found { partition: 2, offset: 7, number: None, key: Some(b"k".to_vec()), value: None };
        assert_eq!(as_found(record(&[]), "this"), expected);
    }

    #[test]
    fn no_two_runs_have_the_same_id() {
        assert_ne!(run_id(), run_id());
    }
}
