//! milena: sends records and prints one line, which the harness reads.
//!
//! Called as `bench-milena HOST:PORT TOPIC RECORDS SIZE BATCH LINGER CODEC key|null [handle|callback]`; see
//! `benches/peers/README.md` for `TASKS`, `TOPICS` and `RATE` in the environment.

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use bench_work::{Work, report_latencies};
use milena::{Ack, Delivery, Producer, Record};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let work = Arc::new(Work::from_environment());
    let producer = Producer::builder(&work.bootstrap)
        .properties([("batch.size", &work.batch), ("linger.ms", &work.linger), ("compression.type", &work.codec)])
        .properties(work.security())
        .build()
        .await?;
    for topic in &work.topics {
        producer.partitions_for(topic).await?;
    }
    if work.rate > 0.0 {
        paced(&work, &producer).await?;
    } else {
        flat_out(&work, &producer).await?;
    }
    producer.close().await?;
    Ok(())
}

/// Sends without a fixed rate. Several tasks are spawned; a single one is the main task.
async fn flat_out(work: &Arc<Work>, producer: &Producer) -> Result<(), Failure> {
    let mut slots: Vec<_> = (0..work.tasks).map(|task| slots(work, task)).collect();
    let start = Instant::now();
    let ok = match &mut *slots {
        [only] => share(work, producer, 0, only).await?,
        _ => {
            let send = |(task, mut slots): (usize, Vec<_>)| {
                let (work, producer) = (Arc::clone(work), producer.clone());
                tokio::spawn(async move { share(&work, &producer, task, &mut slots).await })
            };
            let mut ok = 0;
            for task in slots.into_iter().enumerate().map(send).collect::<Vec<_>>() {
                ok += task.await??;
            }
            ok
        }
    };
    let held = if work.callbacks { 0 } else { work.records * size_of::<Option<Delivery>>() };
    work.report("milena", ok, start.elapsed(), held);
    Ok(())
}

fn record(work: &Work, i: usize) -> Record<'_> {
    let (topic, key, value) = work.record(i);
    let record = Record::to(topic).value(value);
    match key {
        Some(key) => record.key(key),
        None => record,
    }
}

/// A slot for each delivery of one task. The slots are filled with `None` beforehand, so that their pages are mapped: storing
/// deliveries is not part of the producer's work.
fn slots(work: &Work, task: usize) -> Vec<Option<Delivery>> {
    if work.callbacks { Vec::new() } else { work.share(task).map(|_| None).collect() }
}

async fn share(work: &Work, producer: &Producer, task: usize, slots: &mut [Option<Delivery>]) -> Result<u64, Failure> {
    if work.callbacks { callbacks(work, producer, task).await } else { handles(work, producer, task, slots).await }
}

/// Keeps a delivery for every record and awaits all of them.
async fn handles(
    work: &Work,
    producer: &Producer,
    task: usize,
    slots: &mut [Option<Delivery>],
) -> Result<u64, Failure> {
    for (i, slot) in work.share(task).zip(slots.iter_mut()) {
        *slot = Some(producer.send(record(work, i)).await?);
    }
    producer.flush().await?;
    let mut ok = 0;
    for delivery in slots.iter_mut().filter_map(Option::take) {
        ok += u64::from(delivery.await.is_ok());
    }
    Ok(ok)
}

/// Sends with a callback for every record, which counts, as those of the peers do.
async fn callbacks(work: &Work, producer: &Producer, task: usize) -> Result<u64, Failure> {
    let ok: &AtomicU64 = Box::leak(Box::default());
    for i in work.share(task) {
        let count = move |outcome: Result<Ack, _>| {
            ok.fetch_add(u64::from(outcome.is_ok()), Relaxed);
        };
        producer.send_with(record(work, i), count).await?;
    }
    producer.flush().await?;
    Ok(ok.load(Relaxed))
}

/// Sends at a fixed rate and measures from send to acknowledgement, as the peers do: from a thread that sleeps until the
/// next record is due.
async fn paced(work: &Work, producer: &Producer) -> Result<(), Failure> {
    let latencies = Arc::new(Mutex::new(Vec::with_capacity(work.records)));
    let start = Instant::now();
    for i in 0..work.records {
        work.pace(start, i);
        let (latencies, sent) = (Arc::clone(&latencies), Instant::now());
        let note = move |outcome: Result<Ack, _>| {
            if outcome.is_ok() {
                latencies.lock().expect("no panic").push(sent.elapsed());
            }
        };
        producer.send_with(record(work, i), note).await?;
    }
    producer.flush().await?;
    let latencies = std::mem::take(&mut *latencies.lock().expect("no panic"));
    work.report("milena", latencies.len() as u64, start.elapsed(), 0);
    report_latencies("milena", latencies);
    Ok(())
}
