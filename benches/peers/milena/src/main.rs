//! milena as a peer: sends records and prints one line that the harness reads.
//!
//! Called as `bench-milena HOST:PORT TOPIC RECORDS SIZE BATCH LINGER CODEC key|null [handle|callback]`; with `RATE` set it
//! keeps to that many records a second and also prints percentiles of the time from send to acknowledgement.

use std::{
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use milena::{Delivery, Producer, Record};

/// What is asked for on the command line.
struct Work {
    bootstrap: String,
    topic: String,
    records: usize,
    size: usize,
    batch: String,
    linger: String,
    codec: String,
    keyed: bool,
    callbacks: bool,
    rate: f64,
}

impl Work {
    fn from_args() -> Self {
        let args: Vec<String> = env::args().skip(1).collect();
        let number = |i: usize| args[i].parse().expect("a number");
        Self {
            bootstrap: args[0].clone(),
            topic: args[1].clone(),
            records: number(2),
            size: number(3),
            batch: args[4].clone(),
            linger: args[5].clone(),
            codec: args[6].clone(),
            keyed: args[7] == "key",
            callbacks: args.get(8).is_some_and(|mode| mode == "callback"),
            rate: env::var("RATE").ok().and_then(|rate| rate.parse().ok()).unwrap_or(0.0),
        }
    }
}

/// Half-random values, the same as the other peers send, and keys.
fn payloads(size: usize) -> (Vec<Vec<u8>>, Vec<String>) {
    let mut x: u64 = 88_172_645_463_325_252;
    let mut letter = |i: usize| {
        if i.is_multiple_of(2) {
            return b'a' + u8::try_from(i % 26).expect("below 26");
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        b'a' + u8::try_from(x % 26).expect("below 26")
    };
    let values = (0..1024).map(|_| (0..size).map(&mut letter).collect()).collect();
    (values, (0..1024).map(|i| format!("key-{i:04}")).collect())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let work = Work::from_args();
    let (values, keys) = payloads(work.size);
    let producer = Producer::builder(&work.bootstrap)
        .properties([("batch.size", &work.batch), ("linger.ms", &work.linger), ("compression.type", &work.codec)])
        .build()
        .await?;
    producer.partitions_for(&work.topic).await?;
    let record = |i: usize| {
        let record = Record::to(&work.topic).value(&values[i & 1023]);
        if work.keyed { record.key(&keys[i & 1023]) } else { record }
    };
    if work.rate > 0.0 {
        return paced(&work, &producer, record).await;
    }
    let start = Instant::now();
    let ok = if work.callbacks { callbacks(&work, &producer, record).await? } else { handles(&work, &producer, record).await? };
    let wall = start.elapsed().as_secs_f64();
    println!("milena ok={ok} err={} wall={wall:.3} rate={:.0}/s", work.records as u64 - ok, work.records as f64 / wall);
    producer.close().await?;
    Ok(())
}

/// Keeps a handle for every record and resolves all of them.
async fn handles<'a>(
    work: &Work,
    producer: &Producer,
    record: impl Fn(usize) -> Record<'a>,
) -> Result<u64, Box<dyn std::error::Error>> {
    let mut deliveries: Vec<Delivery> = Vec::with_capacity(work.records);
    for i in 0..work.records {
        deliveries.push(producer.send(record(i)).await?);
    }
    producer.flush().await?;
    let mut ok = 0;
    for delivery in deliveries {
        ok += u64::from(delivery.await.is_ok());
    }
    Ok(ok)
}

/// Has a callback for every record.
async fn callbacks<'a>(
    work: &Work,
    producer: &Producer,
    record: impl Fn(usize) -> Record<'a>,
) -> Result<u64, Box<dyn std::error::Error>> {
    let ok = Arc::new(AtomicU64::new(0));
    for i in 0..work.records {
        let ok = Arc::clone(&ok);
        let count = move |outcome: Result<_, _>| drop(ok.fetch_add(u64::from(outcome.is_ok()), Relaxed));
        producer.send_with(record(i), count).await?;
    }
    producer.flush().await?;
    Ok(ok.load(Relaxed))
}

/// Sends at a fixed rate and measures from send to acknowledgement.
async fn paced<'a>(
    work: &Work,
    producer: &Producer,
    record: impl Fn(usize) -> Record<'a>,
) -> Result<(), Box<dyn std::error::Error>> {
    let latencies = Arc::new(Mutex::new(Vec::with_capacity(work.records)));
    let start = Instant::now();
    for i in 0..work.records {
        let due = start + Duration::from_secs_f64(i as f64 / work.rate);
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        let (latencies, sent) = (Arc::clone(&latencies), Instant::now());
        let note = move |outcome: Result<milena::Ack, _>| {
            if outcome.is_ok() {
                latencies.lock().expect("no panic").push(sent.elapsed().as_nanos());
            }
        };
        producer.send_with(record(i), note).await?;
    }
    producer.flush().await?;
    let wall = start.elapsed().as_secs_f64();
    let mut latencies = latencies.lock().expect("no panic").clone();
    latencies.sort_unstable();
    println!("milena ok={} err=0 wall={wall:.3} rate={:.0}/s", latencies.len(), work.records as f64 / wall);
    let percentile = |p: f64| latencies[((latencies.len() - 1) as f64 * p) as usize] as f64 / 1e6;
    let [p50, p95, p99, p999] = [0.5, 0.95, 0.99, 0.999].map(percentile);
    println!("  milena latency ms p50={p50:.2} p95={p95:.2} p99={p99:.2} p999={p999:.2}");
    Ok(())
}
