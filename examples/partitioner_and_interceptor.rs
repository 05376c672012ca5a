//! Chooses partitions by a rule of its own, and adds a header to every record.
//!
//! `cargo run --example partitioner_and_interceptor`, or with `BOOTSTRAP_SERVERS=localhost:9092` before it.

#[path = "support/cluster.rs"]
mod cluster;

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use cluster::Cluster;
use milena::{Ack, DeliveryError, Header, Interceptor, Partitioner, Partitions, Producer, Record};

/// Keeps partition 0 for customers whose orders must not wait behind those of others.
struct FastLane;

impl Partitioner for FastLane {
    fn partition(&self, record: &Record<'_>, partitions: &Partitions<'_>) -> i32 {
        let key = record.key_bytes().unwrap_or_default();
        if key.starts_with(b"vip-") || partitions.count() == 1 {
            return 0;
        }
        // The partition that the built-in partitioner would take, unless that is the fast lane.
        partitions.for_key(key).max(1)
    }
}

/// Says in each record which service sent it, and counts acknowledgements.
struct SentBy {
    service: &'static str,
    acknowledged: Arc<AtomicU64>,
}

impl Interceptor for SentBy {
    fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
        record.with_header(Header::owned("sent-by", self.service))
    }

    fn on_acknowledgement(&self, outcome: Result<&Ack, &DeliveryError>) {
        if outcome.is_ok() {
            self.acknowledged.fetch_add(1, Relaxed);
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::find_or_start("orders", 3).await?;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let producer = Producer::builder(cluster.bootstrap_servers())
        .partitioner(FastLane)
        .interceptor(SentBy { service: "shop-7", acknowledged: Arc::clone(&acknowledged) })
        .build()
        .await?;

    for customer in ["ada", "vip-grace", "alan", "vip-grace", "edsger"] {
        let ack = producer.send(Record::to("orders").key(customer).value("one book")).await?.await?;
        println!("{customer}: partition {}", ack.partition());
    }

    // An interceptor hears of outcomes on the thread of the callbacks; `close` waits for it.
    producer.close().await?;
    println!("the interceptor heard of {} acknowledgements", acknowledged.load(Relaxed));
    Ok(())
}
