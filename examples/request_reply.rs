//! A request to one topic, and its reply from another.
//!
//! `cargo run --example request_reply` needs no Kafka: it starts a broker inside the process.
//! `BOOTSTRAP_SERVERS=localhost:9092 cargo run --example request_reply` uses a cluster of yours, which must have the topics `requests` and
//! `responses`, or create topics when they are first used.

#[path = "support/cluster.rs"]
mod cluster;

use std::{error::Error, time::Duration};

use cluster::Cluster;
use milena::{
    Producer, Record,
    admin::{Consumer, Start},
    patterns::{RequestError, Requester, entity_key, reply},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::find_or_start("requests", 3).await?;
    let producer = Producer::builder(cluster.bootstrap_servers()).linger(Duration::ZERO).build().await?;
    // A topic is created when it is first asked for.
    producer.partitions_for("responses").await?;

    // The service: it answers each request but those for customer-13.
    let mut requests = Consumer::builder(cluster.bootstrap_servers(), "requests").start(Start::End).build().await?;
    let answers = producer.clone();
    let service = tokio::spawn(async move {
        while let Ok(request) = requests.next().await {
            let customer = String::from_utf8_lossy(request.key.as_deref().unwrap_or_default()).into_owned();
            let Some(reply) = reply(&request, "responses").filter(|_| customer != "customer-13") else { continue };
            let value = format!("{customer} has 3 orders");
            match answers.send(reply.value(&value)).await {
                // Its outcome matters to nobody: without it the request is asked again.
                Ok(delivery) => drop(delivery),
                Err(error) => eprintln!("no answer for {customer}: {error}"),
            }
        }
    });

    // The program that asks: it reads replies from now on, and tells its own by the header `correlation-id`.
    let replies = Consumer::builder(cluster.bootstrap_servers(), "responses");
    let requester = Requester::start(producer.clone(), replies).await?;
    for customer in [7, 42, 13] {
        let key = entity_key("customer", customer);
        let request = Record::to("requests").key(&key).value("how many orders?");
        match requester.request(request, Duration::from_secs(2)).await {
            Ok(reply) => println!("{}", String::from_utf8_lossy(reply.value.as_deref().unwrap_or_default())),
            // Whether the request was written says whether it may still be carried out.
            Err(RequestError::NoReply { written, .. }) => {
                println!("{key}: no reply, written: {}", matches!(written, Some(Ok(()))))
            }
            Err(error) => println!("{key}: {error}"),
        }
    }

    service.abort();
    producer.close().await?;
    Ok(())
}
