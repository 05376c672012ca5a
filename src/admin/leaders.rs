//! The leader of a partition.
//!
//! In: a snapshot of the cluster. Out: the broker to send a request to, or why there is none. Pure.

use super::AdminError;
use crate::cluster::{Broker, Cluster, TopicMetadata};

/// The leader of a partition.
pub(super) fn of<'a>(cluster: &'a Cluster, topic: &str, partition: i32) -> Result<&'a Broker, AdminError> {
    let partitions = cluster.topics.get(topic).map_or(&[][..], |topic| &topic.partitions);
    let known = usize::try_from(partition).ok().and_then(|index| partitions.get(index));
    let Some(known) = known else {
        return Err(AdminError::UnknownPartition { topic: topic.to_owned(), partition, count: partitions.len() });
    };
    let broker = known.leader.and_then(|node| cluster.brokers.get(&node));
    broker.ok_or_else(|| AdminError::NoLeader { topic: topic.to_owned(), partition })
}

/// The first of `expected` partitions that is missing or has no leader.
pub(super) fn missing(topic: Option<&TopicMetadata>, expected: usize) -> Option<i32> {
    let partitions = topic.map_or(&[][..], |topic| &topic.partitions);
    let count = expected.max(partitions.len());
    let missing = (0..count).find(|&index| partitions.get(index).is_none_or(|p| p.leader.is_none()))?;
    i32::try_from(missing).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::PartitionMetadata;

    fn topic(leaders: &[Option<i32>]) -> TopicMetadata {
        let partitions = leaders.iter().map(|&leader| PartitionMetadata { leader, leader_epoch: 0 }).collect();
        TopicMetadata { id: uuid::Uuid::nil(), partitions }
    }

    #[test]
    fn a_topic_is_ready_once_all_its_partitions_have_leaders() {
        for (leaders, expected, first) in [
            (&[Some(1), Some(2)][..], 2, None),
            (&[Some(1), None], 2, Some(1)),
            (&[Some(1)], 3, Some(1)),
            (&[], 1, Some(0)),
            (&[Some(1), Some(1), Some(1)], 1, None),
        ] {
            assert_eq!(missing(Some(&topic(leaders)), expected), first, "{leaders:?} of {expected}");
        }
        assert_eq!(missing(None, 1), Some(0));
    }

    #[test]
    fn a_missing_leader_is_an_error_that_says_why() {
        let mut cluster = Cluster::default();
        cluster.topics.insert("orders".into(), topic(&[Some(1), None, Some(7)]));
        cluster.brokers.insert(1, Broker { id: 1, host: "localhost".into(), port: 9092, rack: None });
        let no_leader = |partition| Err(AdminError::NoLeader { topic: "orders".into(), partition });
        let unknown = |partition| Err(AdminError::UnknownPartition { topic: "orders".into(), partition, count: 3 });
        assert_eq!(of(&cluster, "orders", 0), Ok(&cluster.brokers[&1]));
        assert_eq!(of(&cluster, "orders", 1), no_leader(1));
        assert_eq!(of(&cluster, "orders", 2), no_leader(2), "the broker is not in the metadata");
        assert_eq!(of(&cluster, "orders", 3), unknown(3));
        assert_eq!(of(&cluster, "orders", -1), unknown(-1));
    }
}
