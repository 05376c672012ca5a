//! `docker pause` in the middle of twenty sends: retries, and no duplicate.
//!
//! In: nothing, or a cluster and perhaps its broker's process. Out: the orders as they are acknowledged, among them the producer's
//! warnings, then whether the topic holds every order exactly once. Without idempotence: whether it holds one twice.

pub(in crate::lab) mod pauser;
#[cfg(unix)]
mod process;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use milena::{
    Ack, DeliveryError, Producer, Record,
    admin::Admin,
    broker::{Api, EmbeddedBroker, Fault},
};
use tokio::{sync::oneshot, time::sleep};

use self::pauser::{Paused, Pauser};
use super::{
    checks::{self, Acked, History, Sent, Verdict},
    conclude,
    duration::duration,
    latch::Latch,
    orders::{ORDERS, Run, orders, prepare, read_back},
    to_stdout,
};
use crate::{
    cluster::Cluster,
    exit::{CliError, Exit},
    interrupt::Interrupt,
    output, settings,
    warned::Warned,
};

/// The broker is paused before this order.
const MIDDLE: usize = ORDERS / 2;
/// Time between two orders: if the user pauses the broker, and otherwise.
const SLOWLY: Duration = Duration::from_secs(1);
const QUICKLY: Duration = Duration::from_millis(50);
/// How much longer than the pause a record may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Pause the broker in the middle of twenty sends, and check that nothing is lost or doubled
///
/// The broker is paused for two seconds, as by docker pause or SIGSTOP: it accepts requests and sends no response. The producer's
/// requests time out after 500 ms, so it sends the same batches again, with a warning on stderr for each. When the broker
/// continues, it has received the same batches several times. It appends each once, because it knows the producer's sequence
/// numbers (enable.idempotence). Then the topic is read back and checked.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Without any set-up:
    milena lab pause
  Without idempotence, where the same pause, and a connection that is cut after the append, write records twice:
    milena lab pause --plain
  A real Kafka on this machine, which the lab stops and continues:
    milena lab pause --bootstrap-server localhost:9092 --pid 4711
  A real Kafka that you pause yourself; the lab sends an order a second and says when:
    milena lab pause --bootstrap-server localhost:9092

Exit codes: 0 every check holds, 1 an order or a check failed, 2 arguments are wrong, 130 stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// Cluster to use instead of the embedded broker, as host:port,host:port
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// Topic to send to; created with 3 partitions if it does not exist
    #[arg(long, short, default_value = "orders")]
    topic: String,

    /// How long the broker is paused
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pause: Duration,

    /// request.timeout.ms: how long the producer waits before it sends again
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    request_timeout: Duration,

    /// Time between two orders [default: 50ms, or 1s if you pause the broker yourself]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    interval: Option<Duration>,

    /// Process of the broker, on this machine: stopped with SIGSTOP, and always continued with SIGCONT
    #[arg(long, value_name = "PID", requires = "bootstrap_server")]
    pid: Option<i32>,

    /// Without idempotence: the check is then that records are in the topic twice
    #[arg(long)]
    plain: bool,
}

/// Runs the lab. `started` is the start of the process; `warned` counts the warnings of retries.
pub(crate) async fn run(args: Args, started: Instant, warned: Warned) -> Result<Exit, CliError> {
    if args.pause <= args.request_timeout {
        let (pause, timeout) = (args.pause.as_millis(), args.request_timeout.as_millis());
        let expected = format!("expected longer than --request-timeout, which is {timeout} ms, got {pause} ms");
        return Err(CliError::Usage(format!("--pause: {expected}: a shorter one forces no retry")));
    }
    let mut interrupt = Interrupt::listen_to_all()?;
    let cluster = Cluster::open(args.bootstrap_server.as_deref(), EmbeddedBroker::builder()).await?;
    let exit = tokio::select! {
        exit = run_on(&cluster, &args, started, &warned) => exit,
        () = interrupt.next() => Ok(Exit::Interrupted),
    };
    cluster.close().await;
    exit
}

async fn run_on(cluster: &Cluster, args: &Args, started: Instant, warned: &Warned) -> Result<Exit, CliError> {
    let pauser = Pauser::of(cluster, args.pid)?;
    let mut admin = Admin::connect(cluster.bootstrap()).await?;
    let ends = prepare(&mut admin, &args.topic, -1, &[]).await?;
    if let (true, Some(broker)) = (args.plain, cluster.embedded()) {
        broker.inject(Fault::drop_response().on(Api::Produce).at_topic(&args.topic).after(2));
    }
    if pauser.is_by_hand() {
        to_stdout(&instructions(args.pause));
    }
    let (run, sent) = (Run::new(ORDERS), orders());
    let acked = send(cluster, args, &pauser, (&run, &sent), started).await?;
    let records = read_back(&mut admin, &args.topic, &ends).await?;
    let found = records.into_iter().map(|record| run.found(record)).collect();
    let history = History { sent, acked, found };
    let partitions = i32::try_from(ends.len()).unwrap_or(i32::MAX);
    to_stdout(&format!("\n{}", checks::summary(&history, partitions)));
    let mut verdicts = vec![retried(warned.count())];
    verdicts.extend(if args.plain { checks::check_plain(&history) } else { checks::check(&history) });
    Ok(conclude(&verdicts))
}

fn instructions(pause: Duration) -> String {
    let seconds = pause.as_secs_f64();
    format!(
        "\nan order goes out each second: pause the broker while they do, in another terminal
  docker pause kafka; sleep {seconds}; docker unpause kafka
or, if it is a process of this machine (which --pid PID has the lab do)
  kill -STOP PID; sleep {seconds}; kill -CONT PID\n"
    )
}

fn retried(count: u64) -> Verdict {
    let none = "no retry was warned about; was the broker paused while orders went out, and long enough?";
    let result = if count > 0 { Ok(()) } else { Err(none.into()) };
    Verdict { claim: format!("the pause forced retries ({count} warnings)"), result }
}

/// Sends the orders, with the pause in the middle, and waits for their callbacks.
async fn send(
    cluster: &Cluster,
    args: &Args,
    pauser: &Pauser<'_>,
    (run, orders): (&Run, &[Sent]),
    started: Instant,
) -> Result<Vec<Acked>, CliError> {
    let producer = Producer::from_properties(properties(cluster.bootstrap(), args)).await?;
    let usual = if pauser.is_by_hand() { SLOWLY } else { QUICKLY };
    let interval = args.interval.unwrap_or(usual);
    let (latch, acked) = (Latch::new(orders.len()), Arc::new(Mutex::new(Vec::new())));
    let (pause_tx, pause_rx) = oneshot::channel();
    let sending = async {
        let mut pause_tx = Some(pause_tx);
        for (number, order) in orders.iter().enumerate() {
            if let Some(pause_tx) = pause_tx.take_if(|_| number == MIDDLE) {
                // The receiver is dropped only together with this future.
                let _ = pause_tx.send(pause(pauser, args.pause, started)?);
            }
            let record = run.tag(Record::to(&args.topic).key(&order.key).value(&order.value), number);
            let callback = callback(number, &order.key, started, &acked, &latch);
            if let Err(error) = producer.send_with(record, callback).await {
                to_stdout(&format!("{} order {:>2} {}  failed: {error}", stamp(started), number + 1, order.key));
                latch.count_down();
            }
            sleep(interval).await;
        }
        let _ = producer.flush().await;
        Ok::<_, CliError>(())
    };
    let resuming = async {
        let Ok(paused) = pause_rx.await else { return };
        sleep(args.pause).await;
        drop(paused);
        if !pauser.is_by_hand() {
            to_stdout(&format!("{} {} goes on", stamp(started), pauser.name()));
        }
    };
    let (sent, ()) = tokio::join!(sending, resuming);
    sent?;
    if let Err(missing) = latch.wait(args.pause + PATIENCE).await {
        to_stdout(&format!("latch: {missing} callbacks missing"));
    }
    let _ = producer.close().await;
    Ok(std::mem::take(&mut *acked.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn pause<'a>(pauser: &Pauser<'a>, pause: Duration, started: Instant) -> Result<Paused<'a>, CliError> {
    let paused = pauser.pause()?;
    if !pauser.is_by_hand() {
        to_stdout(&format!("{} {} stands still for {}", stamp(started), pauser.name(), output::elapsed(pause)));
    }
    Ok(paused)
}

fn properties(bootstrap: &str, args: &Args) -> [(&'static str, String); 6] {
    let ms = |time: Duration| time.as_millis().to_string();
    [
        ("bootstrap.servers", bootstrap.to_owned()),
        ("acks", "all".into()),
        ("enable.idempotence", (!args.plain).to_string()),
        ("linger.ms", "0".into()),
        ("request.timeout.ms", ms(args.request_timeout)),
        ("delivery.timeout.ms", ms(args.pause + args.request_timeout + PATIENCE)),
    ]
}

fn callback(
    number: usize,
    key: &str,
    started: Instant,
    acked: &Arc<Mutex<Vec<Acked>>>,
    latch: &Latch,
) -> impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static {
    let (sent_at, name) = (Instant::now(), format!("order {:>2} {key}", number + 1));
    let (acked, latch) = (Arc::clone(acked), latch.clone());
    move |outcome| {
        match outcome {
            Ok(ack) => {
                let (partition, offset) = (ack.partition(), ack.offset());
                let place = offset.map_or_else(|| "unknown".to_owned(), |offset| offset.to_string());
                let took = output::elapsed(sent_at.elapsed());
                to_stdout(&format!("{} {name}  partition={partition} offset={place} after {took}", stamp(started)));
                acked.lock().unwrap_or_else(PoisonError::into_inner).push(Acked { number, partition, offset });
            }
            Err(error) => to_stdout(&format!("{} {name}  failed: {error}", stamp(started))),
        }
        latch.count_down();
    }
}

/// The time since the start of the process, formatted as in the log.
fn stamp(started: Instant) -> String {
    output::stamp(started.elapsed())
}
