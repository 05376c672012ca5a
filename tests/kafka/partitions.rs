//! The partition of a record is the one that Java chooses.

use std::collections::BTreeMap;

use milena::Record;
use milena_test_support::console;
use tokio::task::block_in_place;

use crate::{cluster::Kind, log::Log};

pub(crate) async fn an_explicit_partition_is_obeyed(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("explicit", 5, &[]).await;
    let producer = cluster.producer().await;
    for partition in [3, 0, 4, 1, 2, 3] {
        // The key alone would lead elsewhere for most of them.
        let value = partition.to_string();
        let record = Record::to(&topic).key("same").value(&value).partition(partition);
        let delivery = producer.send(record).await.unwrap();
        assert_eq!(delivery.partition(), partition);
        assert_eq!(delivery.await.unwrap().partition(), partition);
    }
    let log = Log::read(&cluster, &topic).await;
    for (partition, expected) in [(0, vec!["0"]), (1, vec!["1"]), (2, vec!["2"]), (3, vec!["3", "3"]), (4, vec!["4"])] {
        assert_eq!(log.values(partition), expected);
    }
}

pub(crate) async fn equal_keys_go_where_the_java_producer_sends_them(kind: Kind) {
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
