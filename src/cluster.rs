//! The metadata of the cluster: an immutable snapshot.
//!
//! In: parsed metadata responses (the sender makes a new snapshot of each). Out: brokers, topics, partitions, leaders.
//! Pure. Deliberately absent: any way to change a snapshot, and its age.

use std::{collections::BTreeMap, sync::Arc};

/// A topic's id (KIP-516), as 16 bytes. All bytes are zero if it is unknown.
pub(crate) type TopicId = uuid::Uuid;

/// One broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) id: i32,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    /// `broker.rack`, if it has one.
    pub(crate) rack: Option<Arc<str>>,
}

/// One partition's leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    /// The leader's broker id; `None` while there is no leader.
    pub(crate) leader: Option<i32>,
    /// The leader's epoch; -1 if the broker is too old to send it.
    pub(crate) leader_epoch: i32,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicMetadata {
    pub(crate) id: TopicId,
    /// The partitions by number, without gaps.
    pub(crate) partitions: Vec<PartitionMetadata>,
}

/// A snapshot of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) cluster_id: Option<Arc<str>>,
    pub(crate) brokers: BTreeMap<i32, Broker>,
    pub(crate) topics: BTreeMap<Arc<str>, TopicMetadata>,
}
