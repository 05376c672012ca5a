//! The producer's metrics agree with what happened.

use std::time::Duration;

use milena::{Metrics, Producer};

use crate::{broker, never_respond_to_produce, order, producer_of, run};

fn total(metrics: &Metrics, name: &str) -> f64 {
    metrics.get("producer-metrics", name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn every_accepted_record_is_counted_in_one_outcome() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        for _ in 0..500 {
            drop(producer.send(order("v")).await.unwrap());
        }
        producer.flush().await.unwrap();
        never_respond_to_produce(&broker);
        for _ in 0..7 {
            drop(producer.send(order("v")).await.unwrap());
        }
        producer.close_timeout(Duration::from_millis(300)).await.unwrap_err();
        let metrics = producer.metrics();
        let outcomes = ["record-acked-total", "record-not-written-total", "record-unknown-total"];
        let outcomes = outcomes.map(|name| total(&metrics, name));
        assert_eq!((outcomes[0], outcomes.iter().sum::<f64>()), (500.0, 507.0));
        assert_eq!(metrics.topic("orders", "record-acked-total"), Some(500.0));
        assert_eq!(total(&metrics, "record-error-total"), 7.0);
        assert_eq!(metrics.delivery_latency().count(), 507);
        assert!(total(&metrics, "flush-time-ns-total") > 0.0 && total(&metrics, "metadata-wait-time-ns-total") > 0.0);
    });
}

#[test]
fn metrics_have_the_free_memory_and_count_sends_that_wait_for_it_in_vain() {
    run(async {
        let broker = broker().await;
        let builder =
            Producer::builder(&broker.bootstrap_servers()).buffer_memory(4_000).max_block(Duration::from_millis(50));
        let producer = builder.build().await.unwrap();
        producer.partitions_for("orders").await.unwrap();
        assert_eq!(total(&producer.metrics(), "buffer-available-bytes"), 4_000.0);
        never_respond_to_produce(&broker);
        let value = "v".repeat(900);
        while producer.send(order(&value)).await.is_ok() {}
        let metrics = producer.metrics();
        assert_eq!(total(&metrics, "buffer-total-bytes"), 4_000.0);
        assert!(total(&metrics, "buffer-available-bytes") < 1_000.0);
        assert_eq!((total(&metrics, "buffer-exhausted-total"), total(&metrics, "waiting-threads")), (1.0, 0.0));
        assert!(total(&metrics, "bufferpool-wait-time-ns-total") >= 50e6);
    });
}

/// A task that sends wakes the sender, which would run before the other tasks. It lets them send first; else there are six batches.
#[test]
fn without_linger_the_records_of_tasks_that_are_ready_share_a_batch() {
    const TASKS: u32 = 50;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = broker().await;
        let producer = Producer::builder(&broker.bootstrap_servers()).linger(Duration::ZERO).build().await.unwrap();
        // From then on it has an id and a connection.
        producer.send(order("first").partition(0)).await.unwrap().await.unwrap();
        let sending = producer.clone();
        let sent = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..TASKS {
                let producer = sending.clone();
                tasks.spawn(async move { producer.send(order("v").partition(0)).await.unwrap().await.unwrap() });
            }
            tasks.join_all().await
        });
        assert_eq!(sent.await.unwrap().len(), TASKS as usize);
        let batches = producer.metrics().batch_size().count() - 1;
        assert!(batches <= 2, "{TASKS} records in {batches} batches");
    });
}
