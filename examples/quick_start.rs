//! Sends a few records and tells where each of them was written.
//!
//! `cargo run --example quick_start` needs no Kafka: it starts a broker inside the process.
//! `BOOTSTRAP_SERVERS=localhost:9092 cargo run --example quick_start` uses a cluster of yours.

#[path = "support/cluster.rs"]
mod cluster;

use std::{error::Error, time::Duration};

use cluster::Cluster;
use milena::{Persisted, Producer, Record};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::find_or_start("orders", 3).await?;

    // Settings have Java's names and defaults: this one is `linger.ms`.
    let producer = Producer::builder(cluster.bootstrap_servers()).linger(Duration::from_millis(10)).build().await?;

    let mut deliveries = Vec::new();
    for (number, customer) in ["ada", "grace", "alan", "ada", "edsger"].into_iter().enumerate() {
        let value = format!(r#"{{"order": {number}, "customer": "{customer}"}}"#);
        let record = Record::to("orders").key(customer).value(&value).header("source", "quick_start");
        // `send` waits until the record has a place in a batch. An error means that the record was not accepted.
        let delivery = producer.send(record).await?;
        deliveries.push((number, delivery));
    }

    // A delivery resolves when the record has its outcome. All records are sent before the first one is awaited, so
    // that they share requests.
    let mut written = 0;
    for (number, delivery) in deliveries {
        match delivery.await {
            Ok(ack) => {
                written += 1;
                let offset = ack.offset().map_or_else(|| "unknown".to_owned(), |offset| offset.to_string());
                println!("order {number}: written to {}-{} at offset {offset}", ack.topic(), ack.partition());
            }
            // It is safe to send this record again.
            Err(error) if error.persisted() == Persisted::No => println!("order {number}: not written: {error}"),
            // If this record is sent again, it may be in the log twice.
            Err(error) => println!("order {number}: may have been written: {error}"),
        }
    }
    println!("{written} of 5 orders were written");

    producer.close().await?;
    Ok(())
}
