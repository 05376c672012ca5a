//! Hears of each record's outcome by a callback, in place of a future.
//!
//! `cargo run --example callbacks`, or with `BOOTSTRAP_SERVERS=localhost:9092` before it.

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
use milena::{Ack, DeliveryError, Producer, Record};

/// What the callbacks count. They run on a thread of their own, so they share it.
#[derive(Default)]
struct Totals {
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

impl Totals {
    fn count(&self, outcome: Result<Ack, DeliveryError>) {
        match outcome {
            Ok(_) => self.acknowledged.fetch_add(1, Relaxed),
            Err(error) => {
                eprintln!("{error}");
                self.failed.fetch_add(1, Relaxed)
            }
        };
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::find_or_start("clicks", 6).await?;
    let producer = Producer::builder(cluster.bootstrap_servers()).build().await?;
    let totals = Arc::new(Totals::default());

    for number in 0..1_000_u32 {
        let user = format!("user-{}", number % 50);
        let record = Record::to("clicks").key(&user).value("/checkout");
        let totals = Arc::clone(&totals);
        // The callbacks of one partition run in the order of its records. A panic in one is caught and logged.
        producer.send_with(record, move |outcome| totals.count(outcome)).await?;
    }

    // A record that is not accepted has no outcome: `send_with` returns the error, and the callback is not called.
    let huge = vec![0; 2_000_000];
    if let Err(error) = producer.send_with(Record::to("clicks").value(&huge), |_| unreachable!()).await {
        println!("not accepted: {error}");
    }

    // Waits until every record has its outcome and every callback has run.
    producer.flush().await?;
    println!("{} acknowledged, {} failed", totals.acknowledged.load(Relaxed), totals.failed.load(Relaxed));

    producer.close().await?;
    Ok(())
}
