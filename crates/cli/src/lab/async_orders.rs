//! Twenty orders, sent asynchronously with a callback each.
//!
//! In: nothing, or a cluster. Out: the offset of each order, then whether the topic holds what was acknowledged. It does the same
//! as a Java program with a `CountDownLatch(20)`: send with callbacks, flush, await the latch, close.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use milena::{Ack, DeliveryError, Producer, Record, admin::Admin, broker::EmbeddedBroker};

use super::{
    checks::{self, Acked, History, Sent},
    conclude,
    latch::Latch,
    orders::{ORDERS, Run, orders, prepare, read_back},
    to_stdout,
};
use crate::{
    cluster::Cluster,
    exit::{CliError, Exit},
    output::{self, Failure},
    settings,
};

const LATCH_BOUND: Duration = Duration::from_secs(30);

/// Send twenty orders asynchronously, with a callback each, and check the acknowledgements
///
/// Starts the embedded broker, creates the topic with three partitions, and sends 20 orders whose keys cycle from user-1
/// to user-5, with acks=all, idempotence and five requests in flight. A latch counts the callbacks: flush, await the
/// latch, close. Then the topic is read back, and the acknowledgements are checked against it.
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
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// Topic to send to; created with 3 partitions if it does not exist
    #[arg(long, short, default_value = "orders")]
    topic: String,
}

/// Runs the lab. `started` is the start of the process.
pub(crate) async fn run(args: Args, started: Instant) -> Result<Exit, CliError> {
    let cluster = Cluster::open(args.bootstrap_server.as_deref(), EmbeddedBroker::builder()).await?;
    let exit = run_on(cluster.bootstrap(), &args.topic, started).await;
    cluster.close().await;
    exit
}

async fn run_on(bootstrap: &str, topic: &str, started: Instant) -> Result<Exit, CliError> {
    let mut admin = Admin::connect(bootstrap).await?;
    let ends = prepare(&mut admin, topic, -1, &[]).await?;
    let run = Run::new(ORDERS);
    let sent = orders();
    let callbacks = send(bootstrap, topic, &run, &sent, started).await?;
    let records = read_back(&mut admin, topic, &ends).await?;
    let found = records.into_iter().map(|record| run.found(record)).collect();
    let partitions = i32::try_from(ends.len()).unwrap_or(i32::MAX);
    Ok(report(&History { sent, acked: callbacks.acked, found }, partitions, callbacks.first_ack))
}

/// What the callbacks received.
#[derive(Debug, Default)]
struct Callbacks {
    acked: Vec<Acked>,
    /// Time from the start of the process to the first acknowledgement.
    first_ack: Option<Duration>,
}

async fn send(
    bootstrap: &str,
    topic: &str,
    run: &Run,
    orders: &[Sent],
    started: Instant,
) -> Result<Callbacks, CliError> {
    let producer = Producer::from_properties([
        ("bootstrap.servers", bootstrap),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("max.in.flight.requests.per.connection", "5"),
    ])
    .await?;
    let latch = Latch::new(orders.len());
    let callbacks = Arc::new(Mutex::new(Callbacks::default()));
    for (number, order) in orders.iter().enumerate() {
        let name = format!("order {:>2} {}", number + 1, order.key);
        let record = run.tag(Record::to(topic).key(&order.key).value(&order.value), number);
        if let Err(error) =
            producer.send_with(record, callback(number, name.clone(), started, &callbacks, &latch)).await
        {
            say_failure(&name, &Failure::from(&error));
            latch.count_down();
        }
    }
    if let Err(error) = producer.flush().await {
        to_stdout(&format!("flush: {error}"));
    }
    let waited = latch.wait(LATCH_BOUND).await;
    if let Err(error) = producer.close().await {
        to_stdout(&format!("close: {error}"));
    }
    match waited {
        Ok(()) => to_stdout(&format!("latch: {ORDERS} of {ORDERS} callbacks before close")),
        Err(missing) => to_stdout(&format!("latch: {missing} callbacks missing after {} s", LATCH_BOUND.as_secs())),
    }
    Ok(std::mem::take(&mut *callbacks.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn callback(
    number: usize,
    name: String,
    started: Instant,
    callbacks: &Arc<Mutex<Callbacks>>,
    latch: &Latch,
) -> impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static {
    let (callbacks, latch) = (Arc::clone(callbacks), latch.clone());
    move |outcome| {
        match outcome {
            Ok(ack) => {
                let mut callbacks = callbacks.lock().unwrap_or_else(PoisonError::into_inner);
                callbacks.first_ack.get_or_insert_with(|| started.elapsed());
                callbacks.acked.push(Acked { number, partition: ack.partition(), offset: ack.offset() });
                to_stdout(&format!("{name}  {}", output::place(&ack)));
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
    to_stdout(&format!("{name}  failed: type={kind} code={code} written={written} message={message}"));
}

fn report(history: &History, partitions: i32, first_ack: Option<Duration>) -> Exit {
    let verdicts = checks::check(history);
    to_stdout(&format!("\n{}", checks::summary(history, partitions)));
    let acked = history.acked.len();
    to_stdout(&format!("{acked} acknowledged, {} failed", history.sent.len().saturating_sub(acked)));
    if let Some(first_ack) = first_ack {
        to_stdout(&format!("first acknowledgement {} after the program started", output::elapsed(first_ack)));
    }
    conclude(&verdicts)
}
