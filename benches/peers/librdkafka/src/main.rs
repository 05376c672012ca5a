//! librdkafka, through its Rust binding, with a delivery callback for every record, as is usual with it.

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use bench_work::{Work, report_latencies};
use rdkafka::{
    ClientContext,
    config::ClientConfig,
    message::DeliveryResult,
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};

/// What the callbacks count.
struct Counted {
    start: Instant,
    paced: bool,
    ok: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
}

#[derive(Clone)]
struct Context(Arc<Counted>);

impl ClientContext for Context {}

impl ProducerContext for Context {
    /// When the record was sent, in nanoseconds since the start.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: usize) {
        if result.is_ok() {
            self.0.ok.fetch_add(1, Relaxed);
        }
        if self.0.paced {
            let latency = self.0.start.elapsed() - Duration::from_nanos(sent as u64);
            self.0.latencies.lock().expect("no panic").push(latency);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let work = Work::from_environment();
    let (paced, latencies) = (work.rate > 0.0, Mutex::default());
    let counted = Arc::new(Counted { start: Instant::now(), paced, ok: AtomicU64::new(0), latencies });
    let mut config = ClientConfig::new();
    if let Some(trust) = &work.trust {
        config.set("security.protocol", "ssl").set("ssl.ca.location", trust);
    }
    let producer: ThreadedProducer<Context> = config
        .set("bootstrap.servers", &work.bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("batch.size", &work.batch)
        .set("linger.ms", &work.linger)
        .set("compression.type", &work.codec)
        .set("partitioner", "murmur2_random")
        // As much as buffer.memory of the others. The limits in records are so high that they have no effect.
        .set("queue.buffering.max.kbytes", "32768")
        .set("queue.buffering.max.messages", "1000000")
        .set("batch.num.messages", "100000")
        .create_with_context(Context(Arc::clone(&counted)))?;
    producer.client().fetch_metadata(Some(&work.topics[0]), Duration::from_secs(10))?;
    let start = Instant::now();
    for i in 0..work.records {
        if paced {
            work.pace(start, i);
        }
        send(&work, &producer, &counted, i);
    }
    producer.flush(Duration::from_secs(120))?;
    work.report("librdkafka", counted.ok.load(Relaxed), start.elapsed(), 0);
    report_latencies("librdkafka", std::mem::take(&mut *counted.latencies.lock().expect("no panic")));
    Ok(())
}

/// Sends a record, and retries while the queue is full.
fn send(work: &Work, producer: &ThreadedProducer<Context>, counted: &Counted, i: usize) {
    let (topic, key, value) = work.record(i);
    let sent = if counted.paced { counted.start.elapsed().as_nanos() as usize } else { 0 };
    let record = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, sent).payload(value);
    let mut record = match key {
        Some(key) => record.key(key),
        None => record,
    };
    while let Err((_, back)) = producer.send(record) {
        record = back;
        thread::sleep(Duration::from_micros(200));
    }
}
