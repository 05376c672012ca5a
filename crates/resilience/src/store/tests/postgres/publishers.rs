//! Publishers of two processes, each with a store of its own in one database: the order of a key holds between them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use milena::{
    DeliveryError, ErrorCode, FailureKind, Record,
    mock::{MockProducer, Reply},
};

use super::{SERVER, builder, new_schema, until};
use crate::{
    event::EventId,
    publisher::{Order, Publication, ResilientPublisher, Why},
    relay::{RelayConfig, Schedule},
    store::{Store, postgres::PostgresStore},
};

/// The events that Kafka took, by key, and how often it has refused some.
#[derive(Default)]
struct Kafka {
    taken: BTreeMap<Vec<u8>, Vec<usize>>,
    refused: BTreeMap<usize, u32>,
}

/// Two instances, and the Kafka of both.
struct Two {
    kafka: Arc<Mutex<Kafka>>,
    instances: [(ResilientPublisher, Arc<PostgresStore>); 2],
}

impl Two {
    /// Every `nth` event is refused twice: when it is published, and when the relay sends it at once. It is sent again after `wait`.
    async fn start(order: Order, nth: usize, wait: Duration) -> Self {
        let (schema, kafka) = (new_schema(), Arc::new(Mutex::new(Kafka::default())));
        let start = async |owner: &str| {
            let (producer, log) = (MockProducer::new(), Arc::clone(&kafka));
            producer.reply_with(move |record| Some(log.lock().unwrap().reply(record, nth)));
            let store = Arc::new(builder(&SERVER, &schema).open().await.unwrap());
            let schedule = Schedule::default().waits([wait]).max_attempts(9);
            let relay = RelayConfig::default().schedule(schedule).interval(Duration::from_millis(500));
            let publisher = ResilientPublisher::builder(Arc::new(producer), Arc::clone(&store) as _);
            (publisher.order(order).relay(relay).owner(owner).start().await.unwrap(), store)
        };
        let instances = [start("first").await, start("second").await];
        Self { kafka, instances }
    }

    /// Publishes this event by an instance.
    async fn publish(&self, instance: usize, key: &str, number: usize) -> Publication {
        let value = number.to_string();
        let record = Record::to("orders").key(key).value(&value);
        self.instances[instance].0.publish_record(EventId::new(), record).await.unwrap()
    }

    async fn is_empty(&self) -> bool {
        self.instances[0].1.stats().await.unwrap().unsettled() == 0
    }

    async fn end(&self) {
        for (publisher, store) in &self.instances {
            publisher.close().await;
            store.close().await.unwrap();
        }
    }
}

impl Kafka {
    fn reply(&mut self, record: &Record<'_>, nth: usize) -> Reply {
        let value = String::from_utf8_lossy(record.value_bytes().unwrap_or_default()).into_owned();
        let number: usize = value.parse().unwrap();
        let refused = self.refused.entry(number).or_default();
        if number.is_multiple_of(nth) && *refused < 2 {
            *refused += 1;
            let error = DeliveryError::of(FailureKind::Rejected, "orders", 0).with_code(ErrorCode::INVALID_RECORD);
            return Reply::fail(error.with_retriable(true));
        }
        self.taken.entry(record.key_bytes().unwrap_or_default().to_vec()).or_default().push(number);
        Reply::ack()
    }
}

/// Publishes events of a few keys by both instances in turn, and returns what Kafka took.
async fn publish_in_turn(order: Order) -> BTreeMap<Vec<u8>, Vec<usize>> {
    let two = Two::start(order, 7, Duration::from_millis(300)).await;
    for number in 1..=150 {
        let _ = two.publish(number % 2, &format!("k{}", number % 5), number).await;
    }
    until(async || two.is_empty().await).await;
    two.end().await;
    let kafka = two.kafka.lock().unwrap();
    assert_eq!(kafka.taken.values().map(Vec::len).sum::<usize>(), 150);
    kafka.taken.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_key_that_two_instances_publish_in_turn_keep_their_order() {
    for (key, taken) in publish_in_turn(Order::PerKey).await {
        assert!(taken.is_sorted(), "{}: {taken:?}", String::from_utf8_lossy(&key));
    }
    let unasked = publish_in_turn(Order::PerKeyOfInstance).await;
    assert!(!unasked.values().all(|taken| taken.is_sorted()), "without asking they do not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_need_not_ask_knows_of_an_event_before_another_says_that_it_is_stored() {
    let two = Two::start(Order::PerKey, 1_000, Duration::from_secs(5)).await;
    let store = &two.instances[0].1;
    until(async || {
        assert!(matches!(two.publish(1, "any", 1).await, Publication::Published { .. }));
        !store.passes().await.unwrap().is_empty()
    })
    .await;
    assert!(matches!(two.publish(0, "k", 1_000).await, Publication::Stored { .. }));
    let behind = two.publish(1, "k", 1_001).await;
    assert!(matches!(behind, Publication::Stored { why: Why::Behind, .. }), "{behind:?}");
    until(async || two.is_empty().await).await;
    assert_eq!(two.kafka.lock().unwrap().taken[&b"k"[..]], [1_000, 1_001]);
    two.end().await;
}
