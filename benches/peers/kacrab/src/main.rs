//! kacrab, with a callback for every record.

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bench_work::{Work, report_latencies};
use bytes::Bytes;
use kacrab::producer::{Producer, ProducerRecord};

/// The number of records between two yields to other tasks of the thread.
const YIELD_AFTER: usize = 64;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let work = Work::from_environment();
    let builder =
        work.security().into_iter().fold(Producer::builder(), |builder, (name, value)| builder.set(name, value));
    let producer = builder
        .set("bootstrap.servers", work.bootstrap.as_str())
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", work.linger.as_str())
        .set("batch.size", work.batch.as_str())
        .set("compression.type", work.codec.as_str())
        // kacrab uses its default, -1, as 0, and then does not compress. The default of the other clients is 6.
        .set("compression.gzip.level", "6")
        .build()
        .await?;
    let topic: Arc<str> = work.topics[0].as_str().into();
    // kacrab's records own their bytes, which are shared, not copied.
    let records: Vec<(Option<Bytes>, Bytes)> = (0..1024.min(work.records)).map(|i| owned(&work, i)).collect();
    let (ok, latencies) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (start, paced) = (Instant::now(), work.rate > 0.0);
    for i in 0..work.records {
        if paced {
            work.pace(start, i);
        }
        loop {
            let (key, value) = &records[i % records.len()];
            let record = ProducerRecord::unassigned(Arc::clone(&topic)).value(value.clone());
            let record = if let Some(key) = key { record.key(key.clone()) } else { record };
            let (ok, latencies, sent) = (Arc::clone(&ok), Arc::clone(&latencies), paced.then(Instant::now));
            let sending = producer.send_with_callback(record, move |outcome| {
                ok.fetch_add(u64::from(outcome.is_ok()), Relaxed);
                if let Some(sent) = sent {
                    latencies.lock().expect("no panic").push(sent.elapsed());
                }
            });
            match sending {
                Ok(_handle) => break,
                Err(_full) => tokio::time::sleep(Duration::from_micros(200)).await,
            }
        }
        if i % YIELD_AFTER == 0 {
            tokio::task::yield_now().await;
        }
    }
    producer.flush().await?;
    work.report("kacrab", ok.load(Relaxed), start.elapsed(), 0);
    report_latencies("kacrab", std::mem::take(&mut *latencies.lock().expect("no panic")));
    Ok(())
}

fn owned(work: &Work, i: usize) -> (Option<Bytes>, Bytes) {
    let (_, key, value) = work.record(i);
    (key.map(Bytes::copy_from_slice), Bytes::copy_from_slice(value))
}
