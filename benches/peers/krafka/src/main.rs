//! krafka, with a handle for every record, and a task that awaits them in order.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bench_work::{Work, report_latencies};
use bytes::Bytes;
use krafka::{
    Compression, Kafka, Record,
    auth::{AuthConfig, TlsConfig},
    producer::DeliveryHandle,
};
use tokio::sync::mpsc;

/// The most handles that wait to be awaited.
const WAITING: usize = 65_536;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let work = Work::from_environment();
    let kafka = Kafka::builder(work.bootstrap.as_str());
    let kafka = match &work.trust {
        Some(trust) => kafka.security(AuthConfig::ssl(TlsConfig::new().with_ca_cert(trust.as_str()))),
        None => kafka,
    };
    let kafka = kafka.connect().await?;
    let producer = kafka
        .producer()
        .batch_size(work.batch.parse()?)
        .linger(Duration::from_millis(work.linger.parse()?))
        .compression(codec(&work.codec)?)
        .build()
        .await?;
    // krafka's records own their bytes, which are shared, not copied.
    let records: Vec<(Option<Bytes>, Bytes)> = (0..1024.min(work.records)).map(|i| owned(&work, i)).collect();
    let (sender, receiver) = mpsc::channel(WAITING);
    let completed = tokio::spawn(completed(receiver));
    let (start, paced) = (Instant::now(), work.rate > 0.0);
    for i in 0..work.records {
        if paced {
            work.pace(start, i);
        }
        let (key, value) = &records[i % records.len()];
        let record = Record::new(work.topics[0].as_str(), value.clone());
        let record = if let Some(key) = key { record.key(key.clone()) } else { record };
        let sent = paced.then(Instant::now);
        sender.send((producer.enqueue(record).await?, sent)).await?;
    }
    drop(sender);
    let (ok, latencies) = completed.await?;
    work.report("krafka", ok, start.elapsed(), 0);
    report_latencies("krafka", latencies);
    Ok(())
}

/// Returns the number of acknowledged records, and their latencies if they are measured.
async fn completed(mut handles: mpsc::Receiver<(DeliveryHandle, Option<Instant>)>) -> (u64, Vec<Duration>) {
    let (mut ok, mut latencies) = (0, Vec::new());
    while let Some((handle, sent)) = handles.recv().await {
        ok += u64::from(handle.await.is_ok());
        latencies.extend(sent.map(|sent| sent.elapsed()));
    }
    (ok, latencies)
}

fn codec(name: &str) -> Result<Compression, String> {
    match name {
        "none" => Ok(Compression::None),
        "gzip" => Ok(Compression::Gzip),
        "snappy" => Ok(Compression::Snappy),
        "lz4" => Ok(Compression::Lz4),
        "zstd" => Ok(Compression::Zstd),
        other => Err(format!("no codec {other}")),
    }
}

fn owned(work: &Work, i: usize) -> (Option<Bytes>, Bytes) {
    let (_, key, value) = work.record(i);
    (key.map(Bytes::copy_from_slice), Bytes::copy_from_slice(value))
}
