//! Values that are sent together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use milena::{
    DeliveryError, ErrorCode, Interceptor, Persisted, Producer, Record, SendError,
    broker::{Api, EmbeddedBroker, Fault},
};

use crate::run;

/// Sends all values, and returns the handles.
async fn send_all(producer: &Producer, values: &[&[u8]]) -> Vec<milena::Deliveries> {
    let (mut rest, mut sent) = (values, Vec::new());
    while !rest.is_empty() {
        let accepted = producer.send_values("t", rest).await.unwrap();
        assert!(!accepted.is_empty());
        rest = &rest[accepted.len()..];
        sent.push(accepted);
    }
    sent
}

async fn broker_of_one() -> EmbeddedBroker {
    EmbeddedBroker::builder().topic("t", 1).start().await.unwrap()
}

/// A producer that knows the topic.
async fn producer_of(broker: &EmbeddedBroker) -> Producer {
    let producer = Producer::builder(&broker.bootstrap_servers()).build().await.unwrap();
    producer.partitions_for("t").await.unwrap();
    producer
}

#[test]
fn values_are_written_in_order_and_a_handle_tells_of_all_that_went_together() {
    run(async {
        let broker = broker_of_one().await;
        let producer = producer_of(&broker).await;
        let values: Vec<_> = (0..10_000).map(|number| format!("value {number}")).collect();
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let (sent, mut next) = (send_all(&producer, &values).await, 0);
        assert!(sent.len() < 100, "got {} handles", sent.len());
        for accepted in sent {
            assert_eq!(accepted.acknowledged().await.unwrap().offset(), Some(next));
            let mut timestamps = Vec::new();
            for delivery in accepted.each() {
                let ack = delivery.await.unwrap();
                assert_eq!((ack.topic(), ack.partition(), ack.offset()), ("t", 0, Some(next)));
                timestamps.push(ack.timestamp());
                next += 1;
            }
            timestamps.dedup();
            assert_eq!(timestamps.len(), 1);
        }
        let written: Vec<_> = broker.log("t", 0).iter().map(|record| record.value.clone().unwrap()).collect();
        assert_eq!(written, values);
    });
}

#[test]
fn what_fails_together_fails_one_by_one() {
    run(async {
        let broker = broker_of_one().await;
        let producer = producer_of(&broker).await;
        let refused = Fault::error(ErrorCode::INVALID_RECORD).at("t", 0).on(Api::Produce);
        producer.send_values("t", &[b"first"]).await.unwrap().acknowledged().await.unwrap();
        broker.inject(refused);
        let accepted = producer.send_values("t", &[b"a", b"b", b"c"]).await.unwrap();
        assert!(accepted.acknowledged().await.is_none());
        let mut errors: Vec<DeliveryError> = Vec::new();
        for delivery in accepted.each() {
            errors.push(delivery.await.unwrap_err());
        }
        assert_eq!(errors.len(), 3);
        assert!(errors.iter().all(|error| error.persisted() == Persisted::No), "{errors:?}");
        assert_eq!(broker.log("t", 0).len(), 1);
    });
}

#[test]
fn a_batch_that_the_broker_finds_too_large_is_split_and_each_record_has_its_own_offset() {
    run(async {
        let builder = EmbeddedBroker::builder().topic_default("max.message.bytes", "2000").topic("t", 1);
        let broker = builder.start().await.unwrap();
        let producer = producer_of(&broker).await;
        let values = [[b'x'; 100].as_slice(); 60];
        let (sent, mut next) = (send_all(&producer, &values).await, 0);
        assert!(sent[0].len() > 20, "got {}", sent[0].len());
        assert!(sent[0].acknowledged().await.is_none(), "parts of it were written one after the other");
        for accepted in sent {
            for delivery in accepted.each() {
                assert_eq!(delivery.await.unwrap().offset(), Some(next));
                next += 1;
            }
        }
        assert_eq!(next, 60);
    });
}

#[test]
fn one_that_is_too_large_is_refused_when_its_turn_comes() {
    run(async {
        let broker = broker_of_one().await;
        let producer = Producer::builder(&broker.bootstrap_servers()).max_request_size(5_000).build().await.unwrap();
        producer.partitions_for("t").await.unwrap();
        let large = [b'x'; 6_000];
        let values: [&[u8]; 4] = [b"a", b"b", &large, b"c"];
        let accepted = producer.send_values("t", &values).await.unwrap();
        assert_eq!(accepted.len(), 2);
        let error = producer.send_values("t", &values[2..]).await.unwrap_err();
        assert!(matches!(error, SendError::TooLarge { limit: 5_000, .. }), "{error:?}");
        assert!(accepted.acknowledged().await.is_some());
        assert_eq!(broker.log("t", 0).len(), 2);
    });
}

#[test]
fn interceptors_get_every_value() {
    struct Counts(Arc<AtomicUsize>);
    impl Interceptor for Counts {
        fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
            self.0.fetch_add(1, SeqCst);
            record
        }
    }
    run(async {
        let (broker, count) = (broker_of_one().await, Arc::default());
        let builder = Producer::builder(&broker.bootstrap_servers()).interceptor(Counts(Arc::clone(&count)));
        let producer = builder.build().await.unwrap();
        for accepted in send_all(&producer, &[b"a", b"b", b"c"]).await {
            assert_eq!(accepted.len(), 1);
            accepted.acknowledged().await.unwrap();
        }
        assert_eq!(count.load(SeqCst), 3);
    });
}

#[test]
fn full_memory_is_waited_for() {
    run(async {
        let broker = broker_of_one().await;
        let producer = Producer::builder(&broker.bootstrap_servers()).buffer_memory(40_000).build().await.unwrap();
        let values = [[b'x'; 1_000].as_slice(); 500];
        for accepted in send_all(&producer, &values).await {
            accepted.acknowledged().await.unwrap();
        }
        assert_eq!(broker.log("t", 0).len(), 500);
    });
}

#[test]
fn nothing_is_accepted_without_values_and_after_close() {
    run(async {
        let broker = broker_of_one().await;
        let producer = producer_of(&broker).await;
        let none = producer.send_values("t", &[]).await.unwrap();
        assert!(none.is_empty() && none.each().next().is_none() && none.acknowledged().await.is_none());
        producer.close().await.unwrap();
        let error = producer.send_values("t", &[b"late"]).await.unwrap_err();
        assert!(matches!(error, SendError::Closed { .. }), "{error:?}");
    });
}
