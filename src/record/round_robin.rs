//! One partition after the other.
//!
//! In: a record, the partitions of its topic. Out: a partition. Pure. Source: `RoundRobinPartitioner`.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    Record,
    partition::{Partitioner, Partitions},
};

/// Sends each record to the next partition, also records with a key: Java's `RoundRobinPartitioner`.
///
/// Partitions without a leader are left out while others have one. Each topic has its own turn. Batches fill more slowly than with the
/// built-in partitioner, because every partition has one open. It counts topics as long as it lives, one entry each.
#[derive(Debug, Default)]
pub struct RoundRobinPartitioner {
    turns: RwLock<HashMap<Box<str>, AtomicUsize>>,
}

impl RoundRobinPartitioner {
    fn turn(&self, topic: &str) -> usize {
        let next = |turn: &AtomicUsize| turn.fetch_add(1, Ordering::Relaxed);
        let known = self.turns.read().unwrap_or_else(PoisonError::into_inner).get(topic).map(next);
        known.unwrap_or_else(|| {
            let mut turns = self.turns.write().unwrap_or_else(PoisonError::into_inner);
            next(turns.entry(topic.into()).or_default())
        })
    }
}

impl Partitioner for RoundRobinPartitioner {
    fn partition(&self, record: &Record<'_>, partitions: &Partitions<'_>) -> i32 {
        let turn = self.turn(record.topic());
        let available = partitions.available();
        match available.clone().count() {
            // They are fewer than 2^31.
            0 => i32::try_from(turn % partitions.count().max(1)).unwrap_or(0),
            count => available.clone().nth(turn % count).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::PartitionMetadata;

    fn topic(led: &[bool]) -> Vec<PartitionMetadata> {
        led.iter().map(|led| PartitionMetadata { leader: led.then_some(1), leader_epoch: 0 }).collect()
    }

    #[test]
    fn records_go_in_turn_to_the_partitions_with_a_leader_topic_by_topic() {
        let round_robin = RoundRobinPartitioner::default();
        let (whole, part, none) = (topic(&[true; 3]), topic(&[true, false, true]), topic(&[false; 2]));
        let go = |name: &'static str, leaders: &[PartitionMetadata]| {
            round_robin.partition(&Record::to(name).key("k"), &Partitions::new(leaders))
        };
        assert_eq!([(); 4].map(|()| go("a", &whole)), [0, 1, 2, 0]);
        assert_eq!([(); 3].map(|()| go("b", &part)), [0, 2, 0]);
        assert_eq!(go("a", &whole), 1);
        assert_eq!([(); 3].map(|()| go("c", &none)), [0, 1, 0]);
    }
}
