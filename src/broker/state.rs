//! The whole cluster as a value: nodes, topics, logs, faults.
//!
//! In: settings, addresses and new topics. Out: nodes, topics and partitions, for those who handle requests and commands. Pure: no
//! socket, no clock, no randomness, so the same steps always give the same bytes. Requests are handled in [`super::requests`], a
//! test's commands in [`super::control`].

use std::collections::BTreeMap;

use kafka_protocol::protocol::StrBytes;

use super::{
    acls::Acls,
    config::TopicConfig,
    faults::Faults,
    groups::{self, GroupSettings, Groups, Ticket},
    kind::Api,
    security::Security,
    topic::{PartitionLog, TopicLog},
    validate::Refusal,
};
use crate::{cluster::TopicId, error::ErrorCode, record::topic::check_topic_name};

/// The settings of the whole cluster.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(super) cluster_id: String,
    /// `broker.rack` of the nodes, in turn.
    pub(super) racks: Vec<StrBytes>,
    /// `auto.create.topics.enable`
    pub(super) auto_create: bool,
    /// `num.partitions`
    pub(super) default_partitions: i32,
    /// `default.replication.factor`; by default as many as there are nodes, but at most 3
    pub(super) default_replication_factor: i16,
    /// The configuration of a new topic, as far as its creator does not set it.
    pub(super) topic_defaults: TopicConfig,
    pub(super) groups: GroupSettings,
}

/// One broker of the cluster.
#[derive(Clone, Debug)]
pub(super) struct BrokerNode {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) up: bool,
    pub(super) paused: bool,
}

/// The cluster.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(super) settings: Settings,
    pub(super) nodes: BTreeMap<i32, BrokerNode>,
    pub(super) topics: BTreeMap<String, TopicLog>,
    pub(super) faults: Faults,
    pub(super) security: Security,
    pub(super) acls: Acls,
    pub(super) groups: Groups,
    requests: BTreeMap<Api, u64>,
    next_producer_id: i64,
    tickets: u64,
    topics_created: u128,
}

impl Settings {
    /// The rack of a node, if nodes have racks.
    pub(super) fn rack(&self, node: i32) -> Option<StrBytes> {
        let index = usize::try_from(node - 1).ok()?.checked_rem(self.racks.len())?;
        self.racks.get(index).cloned()
    }
}

impl State {
    /// A cluster with a node at each address. Node ids count from 1.
    pub(super) fn new(
        settings: Settings,
        security: Security,
        acls: Acls,
        addresses: impl IntoIterator<Item = (String, u16)>,
    ) -> Self {
        let node = |(host, port)| BrokerNode { host, port, up: true, paused: false };
        let groups = Groups::new(settings.groups.clone());
        Self {
            settings,
            nodes: (1..).zip(addresses.into_iter().map(node)).collect(),
            topics: BTreeMap::new(),
            faults: Faults::default(),
            security,
            acls,
            groups,
            requests: BTreeMap::new(),
            next_producer_id: 0,
            tickets: 0,
            topics_created: 0,
        }
    }

    /// Counts a request that has arrived.
    pub(super) fn count_request(&mut self, api: Api) {
        let count = self.requests.entry(api).or_default();
        *count = count.saturating_add(1);
    }

    /// How many requests of that kind have arrived.
    pub(crate) fn requests(&self, api: Api) -> u64 {
        self.requests.get(&api).copied().unwrap_or(0)
    }

    /// Allocates a producer id.
    pub(super) fn take_producer_id(&mut self) -> i64 {
        let id = self.next_producer_id;
        self.next_producer_id = id.saturating_add(1);
        id
    }

    /// A number for a request that has arrived, which no other one has.
    pub(super) fn take_ticket(&mut self) -> Ticket {
        self.tickets = self.tickets.wrapping_add(1);
        Ticket(self.tickets)
    }

    /// The node that coordinates a group, or the next one that is up.
    pub(super) fn coordinator(&self, group: &str) -> Option<i32> {
        let nodes: Vec<i32> = self.nodes.keys().copied().collect();
        rotate(&nodes, groups::partition_of(group), nodes.len()).into_iter().find(|node| self.is_up(*node))
    }

    pub(super) fn is_up(&self, node: i32) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.up)
    }

    /// The nodes that are up, by rising id.
    pub(super) fn nodes_up(&self) -> impl Iterator<Item = (i32, &BrokerNode)> {
        self.nodes.iter().filter(|(_, node)| node.up).map(|(id, node)| (*id, node))
    }

    pub(super) fn topic_by_id(&self, id: TopicId) -> Option<(&String, &TopicLog)> {
        self.topics.iter().find(|(_, topic)| topic.id == id)
    }

    pub(super) fn partition_mut(&mut self, topic: &str, partition: i32) -> Option<&mut PartitionLog> {
        self.topics.get_mut(topic)?.partition_mut(partition)
    }

    /// Creates a topic. The nodes that are up lead its partitions in turn. -1 stands for the default.
    pub(super) fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        replication_factor: i16,
        config: TopicConfig,
    ) -> Result<&TopicLog, Refusal> {
        let replicas = self.place(partitions, replication_factor)?;
        self.create_topic_at(name, replicas, config)
    }

    /// Creates a topic with these replicas for each partition.
    pub(super) fn create_topic_at(
        &mut self,
        name: &str,
        replicas: Vec<Vec<i32>>,
        config: TopicConfig,
    ) -> Result<&TopicLog, Refusal> {
        self.check_new_name(name)?;
        self.topics_created = self.topics_created.wrapping_add(1);
        let id = TopicId::from_u128(u128::from_be_bytes(*b"milena topic\0\0\0\0").wrapping_add(self.topics_created));
        let up = |replicas: &[i32]| replicas.iter().copied().find(|node| self.is_up(*node));
        let partitions =
            replicas.into_iter().map(|replicas| PartitionLog::new(replicas.clone(), up(&replicas))).collect();
        Ok(self.topics.entry(name.to_owned()).or_insert(TopicLog { id, config, partitions }))
    }

    pub(super) fn check_new_name(&self, name: &str) -> Result<(), Refusal> {
        check_topic_name(name).map_err(|rule| {
            Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, format!("invalid topic name {name:?}: {rule}"))
        })?;
        if self.topics.contains_key(name) {
            return Err(Refusal::new(ErrorCode::TOPIC_ALREADY_EXISTS, format!("topic {name} exists already")));
        }
        let dotless = |name: &str| name.replace('.', "_");
        match self.topics.keys().find(|other| dotless(other) == dotless(name)) {
            None => Ok(()),
            Some(other) => {
                let message = format!("topic {name} collides with {other}: '.' and '_' look alike in metric names");
                Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message))
            }
        }
    }

    /// The replicas of each partition of a new topic.
    pub(super) fn place(&self, partitions: i32, replication_factor: i16) -> Result<Vec<Vec<i32>>, Refusal> {
        let factor =
            if replication_factor == -1 { self.settings.default_replication_factor } else { replication_factor };
        let partitions = if partitions == -1 { self.settings.default_partitions } else { partitions };
        let nodes: Vec<i32> = self.nodes_up().map(|(id, _)| id).collect();
        let factor =
            usize::try_from(factor).ok().filter(|factor| (1..=nodes.len()).contains(factor)).ok_or_else(|| {
                let message =
                    format!("replication factor is {factor}, expected 1 to {} (the nodes that are up)", nodes.len());
                Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, message)
            })?;
        match usize::try_from(partitions) {
            Ok(partitions @ 1..=MAX_PARTITIONS) => Ok((0..partitions).map(|p| rotate(&nodes, p, factor)).collect()),
            _ => {
                let message = format!("number of partitions is {partitions}, expected 1 to {MAX_PARTITIONS}");
                Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, message))
            }
        }
    }
}

/// The most partitions that a topic may have, since logs are in memory.
const MAX_PARTITIONS: usize = 100_000;

pub(super) fn rotate(nodes: &[i32], start: usize, count: usize) -> Vec<i32> {
    nodes.iter().cycle().skip(start % nodes.len().max(1)).take(count).copied().collect()
}

/// A number of partitions as the protocol encodes it. One that does not fit becomes the greatest, which is refused later.
pub(super) fn partition_count(partitions: usize) -> i32 {
    i32::try_from(partitions).unwrap_or(i32::MAX)
}
