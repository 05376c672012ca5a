//! What a group has committed: an offset for each partition.
//!
//! In: offsets of requests. Out: the last one of each partition. Pure. Deliberately absent: offsets that expire (`offsets.retention.minutes`).

use std::collections::BTreeMap;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Committed {
    pub(in crate::broker) offset: i64,
    /// -1 if the client did not tell it.
    pub(in crate::broker) leader_epoch: i32,
    pub(in crate::broker) metadata: String,
}

/// What a client commits for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Commit {
    pub(in crate::broker) topic: String,
    pub(in crate::broker) partition: i32,
    pub(in crate::broker) committed: Committed,
}

impl Commit {
    /// How much memory it takes, about.
    pub(super) fn bytes(&self) -> usize {
        bytes_of(&self.topic, &self.committed)
    }
}

/// All committed offsets of a group.
#[derive(Clone, Debug, Default)]
pub(in crate::broker) struct Offsets {
    topics: BTreeMap<String, BTreeMap<i32, Committed>>,
    bytes: usize,
}

impl Offsets {
    pub(super) fn commit(&mut self, commit: Commit) {
        self.bytes = self.bytes.saturating_add(commit.bytes());
        let Commit { topic, partition, committed } = commit;
        // A name is counted for each partition, so what an offset takes does not depend on the others.
        if let Some(before) = self.get(&topic, partition) {
            self.bytes = self.bytes.saturating_sub(bytes_of(&topic, before));
        }
        self.topics.entry(topic).or_default().insert(partition, committed);
    }

    pub(in crate::broker) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.topics.get(topic)?.get(&partition)
    }

    /// All offsets, by topic and partition.
    pub(in crate::broker) fn topics(&self) -> impl Iterator<Item = (&String, &BTreeMap<i32, Committed>)> {
        self.topics.iter()
    }

    pub(super) fn remove(&mut self, topic: &str, partition: i32) {
        let Some(partitions) = self.topics.get_mut(topic) else { return };
        if let Some(removed) = partitions.remove(&partition) {
            self.bytes = self.bytes.saturating_sub(bytes_of(topic, &removed));
        }
        if partitions.is_empty() {
            self.topics.remove(topic);
        }
    }

    /// The topic is deleted.
    pub(super) fn forget(&mut self, topic: &str) {
        for removed in self.topics.remove(topic).into_iter().flat_map(BTreeMap::into_values) {
            self.bytes = self.bytes.saturating_sub(bytes_of(topic, &removed));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How much memory they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn bytes_of(topic: &str, committed: &Committed) -> usize {
    size_of::<Committed>().saturating_add(topic.len()).saturating_add(committed.metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(topic: &str, partition: i32, offset: i64, metadata: &str) -> Commit {
        let committed = Committed { offset, leader_epoch: -1, metadata: metadata.to_owned() };
        Commit { topic: topic.to_owned(), partition, committed }
    }

    #[test]
    fn the_last_offset_of_each_partition_counts_and_takes_memory_until_it_is_gone() {
        let mut offsets = Offsets::default();
        for (partition, offset) in [(0, 1), (1, 5), (0, 3)] {
            offsets.commit(commit("orders", partition, offset, "some text"));
        }
        offsets.commit(commit("payments", 0, 7, ""));
        let offset = |offsets: &Offsets, topic, partition| offsets.get(topic, partition).map(|one| one.offset);
        assert_eq!([offset(&offsets, "orders", 0), offset(&offsets, "orders", 1)], [Some(3), Some(5)]);
        offsets.remove("orders", 0);
        offsets.remove("orders", 9);
        assert_eq!(offset(&offsets, "orders", 0), None);
        offsets.remove("orders", 1);
        assert_eq!(offsets.topics().map(|(topic, _)| topic.as_str()).collect::<Vec<_>>(), ["payments"]);
        assert!(offsets.bytes() > 0);
        offsets.forget("payments");
        assert_eq!((offsets.is_empty(), offsets.bytes()), (true, 0));
    }
}
