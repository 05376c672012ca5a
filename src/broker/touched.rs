//! What of the state has changed since it was last kept on disk.
//!
//! In: names of what changes. Out: the same, once. Pure. Without a data folder nothing is noted.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::cluster::TopicId;

/// What has changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Touched {
    /// Whether changes are noted at all.
    pub(super) is_on: bool,
    pub(super) counters: bool,
    /// Topics that are new, gone, or have other settings or more partitions.
    pub(super) topics: BTreeSet<String>,
    /// Partitions whose log has changed by more than batches at its end.
    pub(super) logs: BTreeSet<(String, i32)>,
    /// Batches that were appended, in order.
    pub(super) batches: Vec<(TopicId, i32, Bytes)>,
    /// Groups whose committed offsets have changed.
    pub(super) groups: BTreeSet<String>,
}

impl Touched {
    pub(super) fn counters(&mut self) {
        self.counters = self.is_on;
    }

    pub(super) fn topic(&mut self, name: &str) {
        if self.is_on {
            self.topics.insert(name.to_owned());
        }
    }

    pub(super) fn log(&mut self, topic: &str, partition: i32) {
        if self.is_on {
            self.logs.insert((topic.to_owned(), partition));
        }
    }

    pub(super) fn batch(&mut self, topic: TopicId, partition: i32, batch: &Bytes) {
        if self.is_on {
            self.batches.push((topic, partition, batch.clone()));
        }
    }

    pub(super) fn group(&mut self, id: &str) {
        if self.is_on {
            self.groups.insert(id.to_owned());
        }
    }

    /// All of it, which counts as kept from then on.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self { is_on: self.is_on, ..Self::default() })
    }
}
