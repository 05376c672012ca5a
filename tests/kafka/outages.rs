//! Brokers that go and come back, or come late.

use milena::{Ack, Producer, Record};

use crate::{
    cluster::{Kind, Setup, unique},
    log::Log,
};

pub(crate) async fn a_producer_goes_on_after_its_broker_has_restarted(kind: Kind) {
    let cluster = kind.own(Setup { nodes: 1, auto_create: false }).await;
    let topic = cluster.topic("restart", 2, &[]).await;
    let producer = cluster.producer().await;
    let mut acks = send(&producer, &topic, 0..50).await;
    cluster.stop_all().await;
    // These are accepted while nobody is there, and wait.
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

pub(crate) async fn a_producer_that_was_there_before_its_brokers_reaches_them_once_they_start(kind: Kind) {
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
