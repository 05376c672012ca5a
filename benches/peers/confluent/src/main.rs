//! Confluent's Rust client, a translation of Java's client, with a callback for every record. Keys and values are
//! borrowed: of its two ways to send, this is the one without a serializer.

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bench_work::{Work, report_latencies};
use confluent_kafka::{
    common::serialization::ByteArraySerializer,
    producer::{Callback, KafkaProducer, Producer, ProducerConfig, ProducerRecord, callback},
};

type Bytes = KafkaProducer<Vec<u8>, Vec<u8>>;
type Failure = Box<dyn Error + Send + Sync>;

/// What the callbacks count.
#[derive(Default)]
struct Counted {
    ok: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let work = Arc::new(Work::from_environment());
    let (key, value) = (ByteArraySerializer::new(), ByteArraySerializer::new());
    let producer = Arc::new(Bytes::new(config(&work)?, key, value)?);
    for topic in &work.topics {
        producer.partitions_for(topic).await?;
    }
    let (counted, start) = (Arc::new(Counted::default()), Instant::now());
    if work.tasks == 1 {
        share(&work, &producer, &counted, 0, start).await?;
    } else {
        let tasks: Vec<_> = (0..work.tasks).map(|task| spawned(&work, &producer, &counted, task, start)).collect();
        for task in tasks {
            task.await??;
        }
    }
    producer.flush().await?;
    work.report("confluent-kafka", counted.ok.load(Relaxed), start.elapsed(), 0);
    report_latencies("confluent-kafka", std::mem::take(&mut *counted.latencies.lock().expect("no panic")));
    producer.close().await?;
    Ok(())
}

fn config(work: &Work) -> Result<ProducerConfig, confluent_kafka::common::Error> {
    let properties = [
        ("bootstrap.servers", &*work.bootstrap),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("batch.size", &work.batch),
        ("linger.ms", &work.linger),
        ("compression.type", &work.codec),
        ("buffer.memory", "33554432"),
    ];
    let properties = properties.into_iter().chain(work.security());
    ProducerConfig::new(&properties.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn spawned(
    work: &Arc<Work>,
    producer: &Arc<Bytes>,
    counted: &Arc<Counted>,
    task: usize,
    start: Instant,
) -> tokio::task::JoinHandle<Result<(), Failure>> {
    let (work, producer, counted) = (Arc::clone(work), Arc::clone(producer), Arc::clone(counted));
    tokio::spawn(async move { share(&work, &producer, &counted, task, start).await })
}

/// Sends the records of one task. The future of each is dropped, because its callback receives the outcome.
async fn share(
    work: &Work,
    producer: &Bytes,
    counted: &Arc<Counted>,
    task: usize,
    start: Instant,
) -> Result<(), Failure> {
    let paced = work.rate > 0.0;
    for i in work.share(task) {
        if paced {
            work.pace(start, i);
        }
        let (topic, key, value) = work.record(i);
        let record = ProducerRecord::with_key(topic.to_owned(), key, Some(value));
        drop(producer.send(record, Some(counting(counted, paced))).await?);
    }
    Ok(())
}

fn counting(counted: &Arc<Counted>, paced: bool) -> Box<dyn Callback> {
    let (counted, sent) = (Arc::clone(counted), paced.then(Instant::now));
    Box::new(callback::new(move |_, error| {
        counted.ok.fetch_add(u64::from(error.is_none()), Relaxed);
        if let Some(sent) = sent {
            counted.latencies.lock().expect("no panic").push(sent.elapsed());
        }
    }))
}
