//! A producer that is closed, is dropped, or loses its runtime. Every accepted record still has exactly one outcome.

use std::{
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use milena::{Ack, Delivery, DeliveryError, FailureKind, Persisted, Producer, SendError, broker::EmbeddedBroker};

use crate::{HANG, broker, never_respond_to_produce, order, producer_of, run, runtime};

const RECORDS: usize = 20;

#[test]
fn after_close_nothing_is_accepted() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        let clone = producer.clone();
        producer.close().await.unwrap();
        for producer in [producer, clone] {
            assert!(matches!(producer.send(order("v")).await, Err(SendError::Closed { .. })));
            assert!(matches!(producer.try_send(order("v")), Err(SendError::Closed { .. })));
            assert!(matches!(producer.partitions_for("orders").await, Err(SendError::Closed { .. })));
            producer.close().await.expect("closing again changes nothing");
        }
    });
}

#[test]
fn close_delivers_records_that_were_accepted_before_it() {
    run(async {
        let broker = broker().await;
        let linger = Duration::from_secs(3_600);
        let producer = Producer::builder(&broker.bootstrap_servers()).linger(linger);
        let producer = producer.delivery_timeout(linger * 2).build().await.unwrap();
        let delivery = producer.send(order("v")).await.unwrap();
        producer.close().await.unwrap();
        assert_eq!(delivery.await.unwrap().offset(), Some(0));
    });
}

#[test]
fn close_with_a_timeout_fails_records_in_flight_as_possibly_written() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        never_respond_to_produce(&broker);
        let delivery = producer.send(order("v")).await.unwrap();
        in_flight(&broker).await;
        producer.close_timeout(Duration::from_millis(100)).await.unwrap_err();
        let error = delivery.await.unwrap_err();
        assert_eq!((error.kind(), error.persisted()), (FailureKind::Closed, Persisted::Unknown), "{error}");
    });
}

#[test]
fn a_producer_that_is_dropped_without_close_resolves_every_record_and_runs_every_callback() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        never_respond_to_produce(&broker);
        let (deliveries, outcomes) = send_both_ways(&producer).await;
        in_flight(&broker).await;
        drop(producer);
        assert_all_failed(deliveries, outcomes).await;
    });
}

#[test]
fn a_runtime_that_shuts_down_with_records_in_flight_resolves_every_record_and_runs_every_callback() {
    run(async {
        let broker = broker().await;
        let lost = runtime();
        let producer = lost.spawn({
            let servers = broker.bootstrap_servers();
            async move { Producer::builder(&servers).build().await.unwrap() }
        });
        let producer = producer.await.unwrap();
        producer.partitions_for("orders").await.unwrap();
        never_respond_to_produce(&broker);
        let (deliveries, outcomes) = send_both_ways(&producer).await;
        in_flight(&broker).await;
        lost.shutdown_background();
        assert_all_failed(deliveries, outcomes).await;
        assert!(matches!(producer.send(order("v")).await, Err(SendError::Closed { .. })));
        producer.flush().await.expect("nothing is left to wait for");
    });
}

type Outcomes = Receiver<Result<Ack, DeliveryError>>;

/// Half of the records get a delivery, the other half a callback.
async fn send_both_ways(producer: &Producer) -> (Vec<Delivery>, Outcomes) {
    let (tx, rx) = mpsc::channel();
    let mut deliveries = Vec::new();
    for _ in 0..RECORDS {
        deliveries.push(producer.send(order("v")).await.unwrap());
        let tx = tx.clone();
        producer.send_with(order("v"), move |outcome| tx.send(outcome).unwrap()).await.unwrap();
    }
    (deliveries, rx)
}

async fn assert_all_failed(deliveries: Vec<Delivery>, outcomes: Outcomes) {
    for delivery in deliveries {
        let error = delivery.await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Abandoned, "{error}");
    }
    let mut callbacks = 0;
    while let Ok(outcome) = outcomes.recv_timeout(HANG) {
        assert_eq!(outcome.unwrap_err().kind(), FailureKind::Abandoned);
        callbacks += 1;
    }
    assert_eq!(callbacks, RECORDS);
}

/// Waits until the broker has records. It sends no response for them, so they are in flight.
async fn in_flight(broker: &EmbeddedBroker) {
    while (0..3).all(|partition| broker.log("orders", partition).is_empty()) {
        tokio::task::yield_now().await;
    }
}
