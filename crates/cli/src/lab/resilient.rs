//! Events are kept while Kafka is away and the publishing process is killed: breaker, store, relay, dead letters.
//!
//! In: nothing, or a cluster and its broker's process. Out: what happens as it happens, then whether each event is in the topic, in order,
//! and repetitions are flagged. Does I/O: it starts this binary again as the process that publishes, and kills it.

mod child;
mod judge;
mod report;

use std::time::{Duration, Instant};

use milena::{admin::Admin, broker::EmbeddedBroker};

use self::{
    child::{Child, Order},
    judge::{Arrival, judge},
    report::Report,
};
use super::{
    conclude,
    orders::{header, prepare, read_back},
    pause::pauser::Pauser,
    to_stdout,
};
use crate::{
    cluster::Cluster,
    console::to_stderr,
    exit::{CliError, Exit},
    interrupt::Interrupt,
    settings, store,
};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The topic's largest batch. The poison event is larger, so that no attempt can write it there.
const MAX_MESSAGE: &str = "10000";

/// Publish events while the broker is paused and the publishing process is killed, and check that none is lost
///
/// A process publishes events of five users. The broker is paused, the circuit breaker opens, and events are stored in a SQLite
/// file, or in PostgreSQL. The process is killed with SIGKILL and started again. The broker goes on, and the stored events are published. One
/// event is too large for its topic and becomes a dead letter. Then the topics are read back and checked.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Without any set-up:
    milena lab resilient
  A real Kafka on this machine, whose process the lab stops and continues:
    milena lab resilient --bootstrap-server localhost:9092 --pid 4711
  A store in PostgreSQL:
    milena lab resilient --store postgres://app:secret@localhost/app

Exit codes: 0 every check holds, 1 a check failed, 2 arguments are wrong, 130 stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// Cluster to use instead of the embedded broker, as host:port,host:port
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// Topic to publish to; created with 3 partitions if it does not exist, and the same name with .dlq
    #[arg(long, short, default_value = "lab.order.placed.v1")]
    topic: String,

    /// Events a second
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    rate: u32,

    /// Store, which must be empty: a path, sqlite:PATH, or postgres://USER:PASSWORD@HOST/DATABASE, where the lab has tables of its own in
    /// the schema milena_lab [default: a new file, which is removed in the end]
    #[arg(long, value_name = "ADDRESS")]
    store: Option<String>,

    /// By which the waits of 1, 5, 15 and 60 minutes between attempts are divided
    #[arg(long, value_name = "NUMBER", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    faster: u32,

    /// Process of the broker, on this machine: stopped with SIGSTOP, and always continued with SIGCONT
    #[arg(long, value_name = "PID", requires = "bootstrap_server")]
    pid: Option<i32>,

    /// The first event's number, for the process that publishes
    #[arg(long, hide = true)]
    publish_from: Option<u64>,

    /// Whether that process publishes the poison event
    #[arg(long, hide = true)]
    poison: bool,
}

/// Runs the lab, or the process that publishes for it.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    if let (Some(from), Some(bootstrap), Some(store)) = (args.publish_from, &args.bootstrap_server, &args.store) {
        let order = order(&args, bootstrap, store, from, args.poison);
        return child::publish(&order).await;
    }
    let mut interrupt = Interrupt::listen_to_all()?;
    let cluster = Cluster::open(args.bootstrap_server.as_deref(), EmbeddedBroker::builder()).await?;
    let new_file = || std::env::temp_dir().join(format!("milena-lab-{}.db", std::process::id())).display().to_string();
    let store = args.store.clone().unwrap_or_else(new_file);
    check_empty(&store).await?;
    let exit = tokio::select! {
        exit = run_on(&cluster, &args, &store) => exit,
        () = interrupt.next() => Ok(Exit::Interrupted),
    };
    cluster.close().await;
    if args.store.is_some() {
        tell_rest(&store).await?;
    } else {
        for suffix in ["", "-wal", "-shm", "-reserve"] {
            // Some are there only for a while.
            let _ = std::fs::remove_file(format!("{store}{suffix}"));
        }
    }
    exit
}

/// The lab would publish the events of others.
async fn check_empty(address: &str) -> Result<(), CliError> {
    match rows(address).await? {
        0 => Ok(()),
        rows => Err(CliError::Usage(format!(
            "--store: expected an empty store, got one with {rows} events; milena outbox shows and removes them"
        ))),
    }
}

async fn rows(address: &str) -> Result<u64, CliError> {
    let store = store::open_for_lab(address).await?;
    let stats = store.stats().await.map_err(store::failed)?;
    store::close(&*store).await?;
    Ok(stats.rows)
}

/// Says what the lab leaves behind in a store that stays.
async fn tell_rest(address: &str) -> Result<(), CliError> {
    let rows = rows(address).await?;
    let place = match store::is_in_database(address) {
        true => format!("the database, in the tables of the schema {}", store::LAB_SCHEMA),
        false => "the file of the store".to_owned(),
    };
    to_stderr(&format!("{rows} events are left in {place}"));
    Ok(())
}

fn order(args: &Args, bootstrap: &str, store: &str, from: u64, poison: bool) -> Order {
    let (topic, rate, faster) = (args.topic.clone(), args.rate, args.faster);
    Order { bootstrap: bootstrap.to_owned(), topic, store: store.to_owned(), rate, faster, from, poison }
}

async fn run_on(cluster: &Cluster, args: &Args, store: &str) -> Result<Exit, CliError> {
    let pauser = Pauser::of(cluster, args.pid)?;
    if pauser.is_by_hand() {
        return Err(CliError::Usage(
            "--bootstrap-server: expected --pid as well: the lab has to pause the broker".into(),
        ));
    }
    let mut admin = Admin::connect(cluster.bootstrap()).await?;
    let letters = format!("{}.dlq", args.topic);
    let begin = prepare(&mut admin, &args.topic, -1, &[("max.message.bytes", MAX_MESSAGE)]).await?;
    let begin_letters = prepare(&mut admin, &letters, -1, &[]).await?;
    let (minute, factor) = (60.0 / f64::from(args.faster), args.faster);
    to_stdout(&format!("waits between attempts are {factor} times shorter: 1 minute is {minute:.2} s"));

    let report = act(cluster, args, store, &pauser).await?;

    let records = read_back(&mut admin, &args.topic, &begin).await?;
    let dead = read_back(&mut admin, &letters, &begin_letters).await?;
    let arrivals: Vec<Arrival> = records.iter().filter_map(Arrival::of).collect();
    let reasons: Vec<(u64, String)> = dead
        .iter()
        .filter_map(|record| Some((Arrival::of(record)?.number, header(record, "errorCode")?.to_owned())))
        .collect();
    let repeated = arrivals.iter().filter(|arrival| arrival.is_flagged).count();
    to_stdout(&format!(
        "\n{} events published at once, {} stored, {} handed back; {} records in the topic, {repeated} flagged as possible duplicates, {} dead letters",
        report.published.len(),
        report.stored.len(),
        report.handed_back,
        arrivals.len(),
        reasons.len(),
    ));
    Ok(conclude(&judge(&report, &arrivals, &reasons)))
}

/// Pauses the broker, kills the process that publishes, and lets both go on.
async fn act(cluster: &Cluster, args: &Args, store: &str, pauser: &Pauser<'_>) -> Result<Report, CliError> {
    let mut report = Report::default();
    let second = u64::from(args.rate);
    let order = |from, poison| order(args, cluster.bootstrap(), store, from, poison);

    let mut child = Child::start(&order(0, true))?;
    report.follow(&mut child, |report| report.published.len() as u64 >= 2 * second, "events are published").await?;
    let paused = pauser.pause()?;
    to_stdout(&format!("{} is paused", pauser.name()));
    report.follow(&mut child, |report| report.is_open(), "the breaker opens").await?;
    let before = report.stored.len();
    report
        .follow(
            &mut child,
            // The poison event may wait behind earlier ones of its key for longer than the others.
            |report| report.stored.len() >= before + 100 && report.is_poison_stored(),
            "events are stored, and the poison event among them",
        )
        .await?;
    child.kill()?;
    report.drain(&mut child);
    to_stdout("the publishing process is killed (SIGKILL), and started again");
    let before = report.stored.len();
    let mut child = Child::start(&order(1_000_000, false))?;
    report.follow(&mut child, |report| report.stored.len() >= before + 100, "events are stored").await?;
    drop(paused);
    to_stdout(&format!("{} goes on", pauser.name()));
    let start = Instant::now();
    report.follow(&mut child, |report| report.is_closed(), "the breaker closes").await?;
    child.stop();
    report.follow(&mut child, |report| report.is_done, "all stored events are published").await?;
    to_stdout(&format!("everything is published {:.1} s after that", start.elapsed().as_secs_f64()));
    Ok(report)
}
