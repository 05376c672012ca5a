//! Apache's own producer and consumer on the same topics. With the embedded broker, this shows that any client can
//! connect.

use std::collections::BTreeMap;

use milena::Record;
use milena_test_support::console;
use tokio::task::block_in_place;

use crate::{cluster::Kind, log::Log};

pub(crate) async fn the_console_producer_and_the_console_consumer_agree_with_milena(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("java", 1, &[]).await;
    let bootstrap = cluster.bootstrap_servers();
    let records = [("a", Some("by java")), ("b", None), ("c", Some(""))];
    block_in_place(|| console::produce(&bootstrap, &topic, &records));
    let producer = cluster.producer().await;
    let ours = Record::to(&topic).key("d").value("by milena").header("h", "1").timestamp(1_700_000_000_000);
    producer.send(ours).await.unwrap().await.unwrap();
    let log = Log::read(&cluster, &topic).await;
    let seen = block_in_place(|| console::consume_partition(&bootstrap, &topic, 0, 4));
    assert_eq!(seen, log.records);
    let content: Vec<_> = seen.iter().map(|r| (r.key.as_deref().unwrap(), r.value.as_deref())).collect();
    assert_eq!(content, [&records[..], &[("d", Some("by milena"))]].concat());
}

pub(crate) async fn equal_keys_go_to_the_partition_that_the_java_producer_chooses(kind: Kind) {
    let cluster = kind.shared().await;
    let (ours, java) = (cluster.topic("hashed", 7, &[]).await, cluster.topic("hashed-by-java", 7, &[]).await);
    let keys: Vec<_> = (0..500).map(|i| format!("{}{i}", "key-".repeat(i % 9))).collect();
    let producer = cluster.producer().await;
    for key in &keys {
        drop(producer.send(Record::to(&ours).key(key).value("v")).await.unwrap());
    }
    producer.flush().await.unwrap();
    let records: Vec<_> = keys.iter().map(|key| (key.as_str(), Some("v"))).collect();
    block_in_place(|| console::produce(&cluster.bootstrap_servers(), &java, &records));
    let (ours, java) = (Log::read(&cluster, &ours).await, Log::read(&cluster, &java).await);
    assert_eq!(by_key(&ours), by_key(&java));
    assert_eq!(by_key(&ours).len(), keys.len());
}

fn by_key(log: &Log) -> BTreeMap<&str, i32> {
    log.records
        .iter()
        .map(|record| (record.key.as_deref().expect("every record has a key"), record.partition))
        .collect()
}
