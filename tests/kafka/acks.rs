//! What an acknowledgement guarantees, for every `acks`.

use milena::{Acks, ProducerBuilder, Record};

use crate::{
    cluster::{Cluster, Kind},
    log::Log,
};

pub(crate) async fn acks_all_with_idempotence_returns_the_offset_of_each_record(kind: Kind) {
    let cluster = kind.shared().await;
    let log = send_and_check(&cluster, cluster.builder().acks(Acks::All).idempotence(true)).await;
    assert!(log.producer_ids().is_none_or(|ids| ids.len() == 1 && ids[0] >= 0), "one identity for all");
}

pub(crate) async fn acks_all_without_idempotence_returns_the_offset_of_each_record(kind: Kind) {
    let cluster = kind.shared().await;
    let log = send_and_check(&cluster, cluster.builder().acks(Acks::All).idempotence(false)).await;
    assert!(log.producer_ids().is_none_or(|ids| ids == [-1]), "no identity");
}

pub(crate) async fn acks_one_returns_the_offset_of_each_record(kind: Kind) {
    let cluster = kind.shared().await;
    let log = send_and_check(&cluster, cluster.builder().acks(Acks::Leader).idempotence(false)).await;
    assert!(log.producer_ids().is_none_or(|ids| ids == [-1]), "no identity");
}

pub(crate) async fn acks_zero_writes_every_record_and_invents_no_offset(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("acks-zero", 1, &[]).await;
    let producer = cluster.builder().acks(Acks::None).idempotence(false).build().await.unwrap();
    let values: Vec<_> = (0..200).map(|i| format!("v{i}")).collect();
    for value in &values {
        let ack = producer.send(Record::to(&topic).value(value)).await.unwrap().await.unwrap();
        // The first batch to a leader has a response: the producer checks the leader before it sends without acknowledgement.
        let confirmed = value == "v0";
        assert_eq!(
            (ack.partition(), ack.offset(), ack.is_confirmed()),
            (0, confirmed.then_some(0), confirmed),
            "{value}"
        );
    }
    producer.close().await.unwrap();
    // The broker acknowledges no further record, so the log shows when all are written.
    let log = read_when_complete(&cluster, &topic, values.len()).await;
    assert_eq!(log.values(0), values);
}

async fn send_and_check(cluster: &Cluster, builder: ProducerBuilder) -> Log {
    let topic = cluster.topic("acks", 3, &[]).await;
    let producer = builder.build().await.unwrap();
    let mut deliveries = Vec::new();
    for i in 0..300 {
        let (key, value) = (format!("k{}", i % 7), format!("v{i}"));
        let delivery = producer.send(Record::to(&topic).key(&key).value(&value)).await.unwrap();
        deliveries.push((value, delivery));
    }
    let mut acks = Vec::new();
    for (value, delivery) in deliveries {
        acks.push((value, delivery.await.unwrap()));
    }
    producer.close().await.unwrap();
    let log = Log::read(cluster, &topic).await;
    log.assert_holds(&acks);
    log
}

async fn read_when_complete(cluster: &Cluster, topic: &str, count: usize) -> Log {
    let mut admin = cluster.admin().await;
    while admin.read_all(topic).await.unwrap().len() < count {
        tokio::task::yield_now().await;
    }
    Log::read(cluster, topic).await
}
