//! Brokers that stop and restart, or start late.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use milena::{Ack, Producer, Record};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    cluster::{Cluster, Kind, Setup, unique},
    log::Log,
};

pub(crate) async fn a_producer_continues_after_its_broker_has_restarted(kind: Kind) {
    let cluster = kind.own(Setup { nodes: 1, auto_create: false }).await;
    let topic = cluster.topic("restart", 2, &[]).await;
    let producer = cluster.producer().await;
    let mut acks = send(&producer, &topic, 0..50).await;
    cluster.stop_all().await;
    // These records are accepted while no broker is running, and wait.
    let waiting = tokio::spawn({
        let (producer, topic) = (producer.clone(), topic.clone());
        async move { send(&producer, &topic, 50..100).await }
    });
    cluster.start_all().await;
    acks.extend(waiting.await.unwrap());
    acks.extend(send(&producer, &topic, 100..150).await);
    producer.close().await.unwrap();
    Log::read(&cluster, &topic).await.assert_holds(&acks);
}

pub(crate) async fn a_producer_that_starts_before_its_brokers_connects_once_they_start(kind: Kind) {
    let cluster = kind.not_started(Setup { nodes: 2, auto_create: true }).await;
    let topic = unique("late");
    let producer = cluster.producer().await;
    let waiting = tokio::spawn({
        let (producer, topic) = (producer.clone(), topic.clone());
        async move { send(&producer, &topic, 0..100).await }
    });
    cluster.start_all().await;
    let acks = waiting.await.unwrap();
    producer.close().await.unwrap();
    Log::read(&cluster, &topic).await.assert_holds(&acks);
}

pub(crate) async fn records_that_flow_while_the_broker_restarts_arrive_once_and_in_order(kind: Kind) {
    let cluster = kind.own(Setup { nodes: 1, auto_create: false }).await;
    let topic = cluster.topic("flow", 2, &[]).await;
    let flow = Flow::start(cluster.producer().await, &topic);
    flow.await_records(1_000).await;
    cluster.stop_all().await;
    cluster.start_all().await;
    flow.await_records(1_000).await;
    flow.assert_once_and_in_order(&cluster, &topic).await;
}

pub(crate) async fn records_that_flow_while_the_broker_is_frozen_arrive_once_and_in_order(kind: Kind) {
    let cluster = kind.own(Setup { nodes: 1, auto_create: false }).await;
    let topic = cluster.topic("frozen", 2, &[]).await;
    let builder = cluster.builder().request_timeout(Duration::from_secs(1));
    let flow = Flow::start(builder.build().await.unwrap(), &topic);
    flow.await_records(1_000).await;
    cluster.freeze();
    // Long enough that requests time out and are retried; the thawed broker then receives both.
    sleep(Duration::from_secs(3)).await;
    cluster.thaw();
    flow.await_records(1_000).await;
    flow.assert_once_and_in_order(&cluster, &topic).await;
}

/// A task that sends numbered records until `end` is set.
struct Flow {
    acknowledged: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
    task: JoinHandle<Vec<(String, Ack)>>,
}

impl Flow {
    fn start(producer: Producer, topic: &str) -> Self {
        let (acknowledged, end) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let task = tokio::spawn(flow(producer, topic.to_owned(), Arc::clone(&acknowledged), Arc::clone(&end)));
        Self { acknowledged, end, task }
    }

    /// Waits until `count` more records are acknowledged.
    async fn await_records(&self, count: usize) {
        let target = self.acknowledged.load(Ordering::Relaxed) + count;
        while self.acknowledged.load(Ordering::Relaxed) < target {
            assert!(!self.task.is_finished(), "a record failed");
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn assert_once_and_in_order(self, cluster: &Cluster, topic: &str) {
        self.end.store(true, Ordering::Relaxed);
        let acks = self.task.await.expect("every record is acknowledged");
        let log = Log::read(cluster, topic).await;
        log.assert_holds(&acks);
        let mut last = BTreeMap::new();
        for record in &log.records {
            let number: usize = record.value.as_deref().and_then(|v| v.parse().ok()).expect("a number");
            let before = last.insert(record.partition, number);
            assert!(before.is_none_or(|before| before < number), "{number} is after {before:?}");
        }
    }
}

async fn flow(
    producer: Producer,
    topic: String,
    acknowledged: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
) -> Vec<(String, Ack)> {
    let mut deliveries = Vec::new();
    for i in 0_usize.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        let (key, value) = (format!("k{}", i % 10), i.to_string());
        let delivery = producer.send(Record::to(&topic).key(&key).value(&value)).await.unwrap();
        let (counted, acknowledged) = (delivery.clone(), Arc::clone(&acknowledged));
        tokio::spawn(async move { acknowledged.fetch_add(usize::from(counted.await.is_ok()), Ordering::Relaxed) });
        deliveries.push((value, delivery));
        // At a few records per millisecond, requests are always in flight, and records do not pile up.
        if i % 5 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    let mut acks = Vec::new();
    for (value, delivery) in deliveries {
        acks.push((value, delivery.await.unwrap()));
    }
    acks
}

async fn send(producer: &Producer, topic: &str, numbers: std::ops::Range<usize>) -> Vec<(String, Ack)> {
    let mut deliveries = Vec::new();
    for i in numbers {
        let (key, value) = (format!("k{i}"), format!("v{i}"));
        let delivery = producer.send(Record::to(topic).key(&key).value(&value)).await.unwrap();
        deliveries.push((value, delivery));
    }
    let mut acks = Vec::new();
    for (value, delivery) in deliveries {
        acks.push((value, delivery.await.unwrap()));
    }
    acks
}
