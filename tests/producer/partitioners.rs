//! Custom partitioners. They are called once for each record, and cannot harm the producer.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use milena::{Ack, DeliveryError, Interceptor, Partitions, Producer, Record, SendError, broker::EmbeddedBroker};

use crate::{HANG, broker, never_respond_to_produce, order, run};

/// A partitioner that returns 2 and counts its calls.
fn counting(calls: &Arc<AtomicUsize>) -> impl Fn(&Record<'_>, &Partitions<'_>) -> i32 + Send + Sync + 'static {
    let calls = Arc::clone(calls);
    move |_, _| {
        calls.fetch_add(1, SeqCst);
        2
    }
}

#[test]
fn a_partitioner_is_called_once_for_a_record_that_waits_for_metadata_and_for_memory() {
    run(async {
        let (broker, calls) = (broker().await, Arc::default());
        let builder = Producer::builder(&broker.bootstrap_servers()).partitioner(counting(&calls));
        let producer = builder.buffer_memory(32_768).build().await.unwrap();
        let value = "x".repeat(4_000);
        for sent in 1..=200 {
            drop(producer.send(order(&value)).await.unwrap());
            assert_eq!(calls.load(SeqCst), sent);
        }
        producer.close().await.unwrap();
        assert_eq!(broker.log("orders", 2).len(), 200);
    });
}

#[test]
fn a_chosen_partition_that_no_longer_exists_after_the_wait_is_refused_and_not_chosen_again() {
    run(async {
        let (broker, calls) = (broker().await, Arc::default());
        let producer = forgetful(&broker, &calls).await;
        let value = "x".repeat(10_000);
        while producer.try_send(order(&value)).is_ok() {}
        let (before, waits) = (calls.load(SeqCst), producer.send(order(&value)));
        broker.delete_topic("orders");
        broker.create_topic("orders", 1).unwrap();
        while producer.partitions_for("orders").await.unwrap() != 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let error = waits.await.unwrap_err();
        assert!(matches!(error, SendError::InvalidPartition { partition: 2, count: 1, .. }), "{error}");
        assert_eq!(calls.load(SeqCst), before + 1);
    });
}

/// A producer with little memory, short timeouts and frequent metadata requests.
async fn forgetful(broker: &EmbeddedBroker, calls: &Arc<AtomicUsize>) -> Producer {
    let ms = Duration::from_millis;
    let builder = Producer::builder(&broker.bootstrap_servers()).partitioner(counting(calls)).buffer_memory(32_768);
    let builder = builder.delivery_timeout(ms(1_000)).request_timeout(ms(500)).linger(ms(0));
    let producer = builder.metadata_max_age(ms(10)).max_block(HANG).build().await.unwrap();
    producer.partitions_for("orders").await.unwrap();
    never_respond_to_produce(broker);
    producer
}

#[test]
fn a_partitioner_that_panics_fails_its_record_only() {
    run(async {
        let broker = broker().await;
        let by_value = |record: &Record<'_>, _: &Partitions<'_>| match record.value_bytes() {
            Some(b"bad") => panic!("this panic is part of the test"),
            _ => 1,
        };
        let producer = Producer::builder(&broker.bootstrap_servers()).partitioner(by_value).build().await.unwrap();
        // The first send waits for metadata, so the partitioner is called in the future; later it is called within `send`.
        let errors = [
            producer.send(order("bad")).await.unwrap_err(),
            producer.send(order("bad")).await.unwrap_err(),
            producer.try_send(order("bad")).unwrap_err(),
            producer.send_with(order("bad"), |_| ()).await.unwrap_err(),
        ];
        for error in errors {
            let SendError::Partitioner { reason, .. } = &error else { panic!("{error:?}") };
            assert_eq!((&**reason, error.retriable()), ("this panic is part of the test", false));
        }
        producer.send(order("good")).await.unwrap().await.unwrap();
        producer.close().await.unwrap();
        assert_eq!(broker.log("orders", 1).len(), 1);
    });
}

/// Sends records without a key, one batch each, and returns the partitions that they went to.
async fn spread(producer: &Producer, topic: &str, records: usize) -> BTreeSet<i32> {
    let mut partitions = BTreeSet::new();
    for _ in 0..records {
        let ack = producer.send(Record::to(topic).value("v")).await.unwrap().await.unwrap();
        partitions.insert(ack.partition());
    }
    partitions
}

#[test]
fn records_without_a_key_stay_in_the_clients_rack_while_it_has_a_leader() {
    run(async {
        let broker = EmbeddedBroker::builder().nodes(3).racks(["north", "south", "east"]).topic("t", 6);
        let broker = broker.start().await.unwrap();
        let builder = |aware: bool| {
            Producer::builder(&broker.bootstrap_servers())
                .property("batch.size", "1")
                .property("linger.ms", "0")
                .property("client.rack", "south")
                .partitioner_rack_aware(aware)
        };
        let unaware = builder(false).build().await.unwrap();
        assert_eq!(spread(&unaware, "t", 200).await.len(), 6, "the rack does not count");
        let producer = builder(true).build().await.unwrap();
        assert_eq!(spread(&producer, "t", 200).await, BTreeSet::from([1, 4]), "those that node 2 leads");
        for partition in [1, 4] {
            broker.move_leader("t", partition, 3).unwrap();
        }
        let elsewhere = loop {
            let partitions = spread(&producer, "t", 50).await;
            if partitions.iter().any(|partition| ![1, 4].contains(partition)) {
                break partitions;
            }
        };
        assert!(elsewhere.len() > 1, "{elsewhere:?}: no leader is in the rack, so all count");
    });
}

#[test]
fn settings_choose_a_partitioner_and_interceptors_by_name() {
    struct Counts(Arc<AtomicUsize>);
    impl Interceptor for Counts {
        fn on_acknowledgement(&self, outcome: Result<&Ack, &DeliveryError>) {
            assert!(outcome.is_ok());
            self.0.fetch_add(1, SeqCst);
        }
    }
    run(async {
        let (broker, calls, acks) = (broker().await, Arc::default(), Arc::<AtomicUsize>::default());
        let build = |class: &'static str| {
            Producer::builder(&broker.bootstrap_servers())
                .register_partitioner("two", counting(&calls))
                .register_interceptor("counts", Counts(Arc::clone(&acks)))
                .property("interceptor.classes", "counts")
                .property("partitioner.class", class)
                .build()
        };
        let registered = build("two").await.unwrap();
        assert_eq!(spread(&registered, "orders", 4).await, BTreeSet::from([2]));
        registered.close().await.unwrap();
        assert_eq!((calls.load(SeqCst), acks.load(SeqCst)), (4, 4));
        let java = build("org.apache.kafka.clients.producer.RoundRobinPartitioner").await.unwrap();
        let count = java.partitions_for("orders").await.unwrap();
        assert_eq!(spread(&java, "orders", count).await.len(), count);
        let error = build("com.example.Regions").await.unwrap_err().to_string();
        assert!(error.contains("RoundRobinPartitioner or two, got \"com.example.Regions\""), "{error}");
    });
}
