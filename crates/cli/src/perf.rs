//! `milena perf`: measures throughput and latency, as `kafka-producer-perf-test` does.
//!
//! In: arguments. Out: that tool's lines, so that scripts which parse them keep working, or JSON; and an exit code. The loop that
//! sends is here. [`payload`] makes keys and values, [`meter`] measures, [`report`] prints.

mod args;
mod meter;
mod payload;
mod report;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use milena::{Producer, ProducerBuilder, Record, SendError, broker::EmbeddedBroker};

pub(crate) use self::args::Args;
use self::{
    meter::{Meter, Taken},
    payload::{Keys, Payload},
    report::Report,
};
use crate::{
    cluster::Cluster,
    exit::{CliError, Exit},
    interrupt::Interrupt,
    pace::doze_until,
};

/// How long records in flight may take after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(10);
/// When a record is due whose time cannot be represented.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    args.check()?;
    let properties = args.properties()?;
    let payload = args.payload()?;
    let mut interrupt = Interrupt::listen()?;
    let named = properties.iter().rev().find(|(name, _)| name == "bootstrap.servers").map(|(_, value)| value.clone());
    let cluster = Cluster::open_quietly(named.as_deref(), EmbeddedBroker::builder()).await?;
    let bootstrap = ("bootstrap.servers".to_owned(), cluster.bootstrap().to_owned());
    let builder = ProducerBuilder::from_properties(properties.into_iter().chain([bootstrap]));
    let builder = args.preset.into_iter().fold(builder, ProducerBuilder::preset);
    let producer = builder.build().await?;
    // The first metadata request must not count in the measurements.
    let ready = producer.partitions_for(&args.topic).await;
    ready.map_err(|error| CliError::Failed(error.to_string()))?;
    let stopped = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stopped);
    let listening = tokio::spawn(async move {
        interrupt.next().await;
        stopping.store(true, Relaxed);
    });
    // The meter lives as long as the process. An `Arc` in every callback, counted by two threads, would slow what is measured.
    let meter: &Meter = Box::leak(Box::new(Meter::new(args.warmup_records)));
    let report = Report::begin(&args, meter);
    let sent = send(&args, &producer, payload, meter, &stopped).await;
    let interrupted = stopped.load(Relaxed);
    listening.abort();
    let closed = if interrupted { producer.close_timeout(PATIENCE).await } else { producer.close().await };
    report.end(&producer.metrics(), closed.err().as_ref(), sent.as_ref().err(), interrupted).await;
    cluster.close().await;
    Ok(match (interrupted, sent.is_ok() && meter.errors().is_empty()) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Good,
        (false, false) => Exit::Failed,
    })
}

/// Sends record after record, each when it is due, until all are sent or `stopped` is set. If the producer refuses a record, it
/// returns that error: the following records would be refused as well.
async fn send(
    args: &Args,
    producer: &Producer,
    mut payload: Payload,
    meter: &'static Meter,
    stopped: &AtomicBool,
) -> Result<(), SendError> {
    let mut keys = Keys::new(args.key_distribution, args.record_key_range, args.random_seed);
    let start = Instant::now();
    meter.start(start);
    for number in 0..args.num_records {
        let due = pace(start, number, args.throughput, stopped);
        if stopped.load(Relaxed) {
            break;
        }
        let (key, value) = (keys.next(number), payload.next(number));
        let record = Record::to(&args.topic).value(value);
        let record = if let Some(key) = &key { record.key(key) } else { record };
        let taken = Taken { number, due, sent: Instant::now(), bytes: value.len() };
        let sent = producer.send_with(record, move |outcome| meter.take(&taken, outcome.as_ref().err())).await;
        if let Err(error) = sent {
            meter.refused(&error);
            return Err(error);
        }
    }
    Ok(())
}

/// Waits until a record is due or `stopped` is set. Returns the time at which it is due.
fn pace(start: Instant, number: u64, throughput: f64, stopped: &AtomicBool) -> Option<Instant> {
    if throughput <= 0.0 {
        return None;
    }
    let after = Duration::try_from_secs_f64(number as f64 / throughput).unwrap_or(Duration::MAX);
    let due = start.checked_add(after).unwrap_or(start + FOREVER);
    doze_until(due, stopped);
    Some(due)
}
