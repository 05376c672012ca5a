//! The partition of a record. `java_clients.rs` tests that Java chooses the same one.

use milena::Record;

use crate::{cluster::Kind, log::Log};

pub(crate) async fn an_explicit_partition_is_used(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("explicit", 5, &[]).await;
    let producer = cluster.producer().await;
    for partition in [3, 0, 4, 1, 2, 3] {
        // By key alone most of them would have another partition.
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
