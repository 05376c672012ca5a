//! Commands of a test: moving leaders, pausing and stopping nodes, truncating logs.
//!
//! In: commands. Out: a changed state, or an error. Pure, so the simulator gives the same commands as [`super::EmbeddedBroker`].

use super::{
    acls::Acl,
    config::TopicConfig,
    faults::{Fault, FaultId},
    log::StoredRecord,
    state::State,
    topic::{PartitionLog, TopicLog},
};
use crate::error::ErrorCode;

/// Why the broker cannot carry out a test's command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// There is no such partition.
    #[error("{topic}-{partition} does not exist")]
    UnknownPartition {
        /// The topic asked for.
        topic: String,
        /// The partition asked for.
        partition: i32,
    },
    /// The node does not exist, or is not up.
    #[error("node {node} does not exist or is not up")]
    UnknownNode {
        /// The node asked for.
        node: i32,
    },
    /// The topic cannot be created.
    #[error("{code}: {message}")]
    Refused {
        /// The error code of a CreateTopics response.
        code: ErrorCode,
        /// The error message of a CreateTopics response.
        message: String,
    },
}

impl State {
    /// Adds a user, or changes the password of one.
    pub(crate) fn set_user(&mut self, name: &str, password: &str) {
        self.security.set_user(name, password);
    }

    /// Removes a user. Returns whether there was one of that name.
    pub(crate) fn remove_user(&mut self, name: &str) -> bool {
        self.security.remove_user(name)
    }

    /// Adds a rule of what users may do.
    pub(crate) fn add_acl(&mut self, rule: Acl) {
        self.acls.add(rule);
    }

    /// Removes a rule. Returns whether it was there.
    pub(crate) fn remove_acl(&mut self, rule: &Acl) -> bool {
        self.acls.remove(rule)
    }

    /// Accepts a token as this user's.
    #[cfg(feature = "oauth")]
    pub(crate) fn set_token(&mut self, name: &str, token: &str) {
        self.security.set_token(name, token);
    }

    /// Accepts a token no more. Returns whether it was accepted.
    #[cfg(feature = "oauth")]
    pub(crate) fn remove_token(&mut self, token: &str) -> bool {
        self.security.remove_token(token)
    }

    /// Injects a fault, which strikes requests that arrive from now on.
    pub(crate) fn inject(&mut self, fault: Fault) -> FaultId {
        self.faults.inject(fault)
    }

    /// How many requests the fault has struck.
    pub(crate) fn struck(&self, fault: FaultId) -> u64 {
        self.faults.struck(fault)
    }

    /// Ends faults, pauses and limits on the number of replicas in sync.
    pub(crate) fn heal(&mut self) {
        self.faults.heal();
        self.nodes.values_mut().for_each(|node| node.paused = false);
        self.partitions_mut().for_each(|partition| partition.in_sync_limit = None);
    }

    /// Creates a topic with default settings and the default replication factor.
    pub(crate) fn add_topic(&mut self, name: &str, partitions: i32) -> Result<(), BrokerError> {
        let config = self.settings.topic_defaults.for_topic();
        match self.create_topic(name, partitions, -1, config) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(BrokerError::Refused { code: refusal.code, message: refusal.message }),
        }
    }

    /// Gives a topic more partitions, up to `count`, led by the next nodes.
    pub(crate) fn add_partitions(&mut self, topic: &str, count: usize) -> Result<(), BrokerError> {
        let unknown = || BrokerError::UnknownPartition { topic: topic.to_owned(), partition: 0 };
        let known = self.topics.get(topic).ok_or_else(unknown)?;
        let replicas = self.replicas_up_to(known, count);
        self.extend_topic(topic, replicas);
        Ok(())
    }

    /// Deletes a topic. Returns whether it was there.
    pub(crate) fn remove_topic(&mut self, name: &str) -> bool {
        self.groups.forget_topic(name);
        self.touched.topic(name);
        self.groups.all().for_each(|(id, _)| self.touched.group(id));
        self.topics.remove(name).is_some()
    }

    /// The records of a partition's log. Empty for a partition that does not exist.
    pub(crate) fn log(&self, topic: &str, partition: i32) -> Vec<StoredRecord> {
        self.partition(topic, partition).map_or_else(Vec::new, |partition| partition.log.records())
    }

    /// The record at an offset.
    #[cfg(test)]
    pub(crate) fn record(&self, topic: &str, partition: i32, offset: i64) -> Option<StoredRecord> {
        self.partition(topic, partition)?.log.record(offset)
    }

    /// The node that leads a partition.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.partition(topic, partition)?.leader
    }

    /// Gives a partition another leader, in a new epoch. With `hints` the old leader tells who leads instead.
    pub(crate) fn move_leader(
        &mut self,
        topic: &str,
        partition: i32,
        node: i32,
        hints: bool,
    ) -> Result<(), BrokerError> {
        if !self.is_up(node) {
            return Err(BrokerError::UnknownNode { node });
        }
        let known = self.existing(topic, partition)?;
        known.hints = hints;
        known.elect(Some(node));
        self.touched.log(topic, partition);
        Ok(())
    }

    /// Counts at most so many replicas of a partition as in sync.
    pub(crate) fn limit_in_sync(&mut self, topic: &str, partition: i32, replicas: usize) -> Result<(), BrokerError> {
        self.existing(topic, partition)?.in_sync_limit = Some(replicas);
        Ok(())
    }

    /// Removes every batch that holds `offset` or a later one.
    pub(crate) fn truncate_log(&mut self, topic: &str, partition: i32, offset: i64) -> Result<(), BrokerError> {
        self.existing(topic, partition)?.truncate(offset);
        self.touched.log(topic, partition);
        Ok(())
    }

    /// Removes from a topic what its retention does not keep. Returns how many records are gone.
    pub(crate) fn apply_retention(&mut self, topic: &str, now_ms: i64) -> Result<u64, BrokerError> {
        self.clean(topic, |partition, config| Some(partition.expire(config, now_ms)).filter(|gone| *gone > 0))
    }

    /// Compacts the partitions of a topic whose `cleanup.policy` says so. Returns how many records are gone.
    pub(crate) fn compact(&mut self, topic: &str, now_ms: i64) -> Result<u64, BrokerError> {
        self.clean(topic, |partition, config| if config.compact { partition.log.compact(config, now_ms) } else { None })
    }

    /// Applies retention to every topic, and compacts those that say so. Returns how many records are gone.
    pub(crate) fn clean_all(&mut self, now_ms: i64) -> u64 {
        let topics: Vec<_> = self.topics.keys().cloned().collect();
        let clean = |topic: String| {
            self.apply_retention(&topic, now_ms).unwrap_or(0) + self.compact(&topic, now_ms).unwrap_or(0)
        };
        topics.into_iter().map(clean).sum()
    }

    /// Cleans each partition of a topic; `None` from one says that its log is what it was. Returns how many records are gone.
    fn clean(
        &mut self,
        topic: &str,
        mut clean: impl FnMut(&mut PartitionLog, &TopicConfig) -> Option<u64>,
    ) -> Result<u64, BrokerError> {
        let unknown = || BrokerError::UnknownPartition { topic: topic.to_owned(), partition: 0 };
        let TopicLog { config, partitions, .. } = self.topics.get_mut(topic).ok_or_else(unknown)?;
        let mut gone = 0;
        for (number, partition) in (0..).zip(partitions) {
            if let Some(of_it) = clean(partition, config) {
                gone += of_it;
                self.touched.log(topic, number);
            }
        }
        Ok(gone)
    }

    /// Pauses a node, which then holds every request, or resumes it.
    pub(crate) fn set_paused(&mut self, id: i32, paused: bool) -> Result<(), BrokerError> {
        let node = self.nodes.get_mut(&id).filter(|node| node.up).ok_or(BrokerError::UnknownNode { node: id })?;
        node.paused = paused;
        Ok(())
    }

    /// Whether records can be written to a partition now: its leader responds and, for `acks=all`, enough replicas are in sync.
    #[cfg(test)]
    pub(crate) fn is_writable(&self, topic: &str, partition: i32, all: bool) -> bool {
        let config = self.topics.get(topic).map(|topic| &topic.config);
        let responses = |leader: i32| self.nodes.get(&leader).is_some_and(|node| node.up && !node.paused);
        let in_sync = |partition: &PartitionLog| {
            !all || config.is_some_and(|config| partition.check_in_sync(config, |node| self.is_up(node)).is_ok())
        };
        self.partition(topic, partition).is_some_and(|p| p.leader.is_some_and(responses) && in_sync(p))
    }

    /// Gives a node another port, as if it had been restarted elsewhere.
    #[cfg(test)]
    pub(crate) fn change_port(&mut self, node: i32, port: u16) {
        self.nodes.entry(node).and_modify(|node| node.port = port);
    }

    /// Whether a node is up.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn node_is_up(&self, node: i32) -> bool {
        self.is_up(node)
    }

    /// Stops a node. Partitions that it led go to their next replica that is up, in a new epoch.
    pub(crate) fn stop(&mut self, node: i32) {
        self.set_up(node, false);
    }

    /// Starts a node. It takes the lead of partitions that have none.
    pub(crate) fn restart(&mut self, node: i32) {
        self.set_up(node, true);
    }

    /// Makes the partitions that a node holds forget their producers, as after `producer.id.expiration.ms`.
    pub(crate) fn forget_producers(&mut self, node: i32) {
        for (name, topic) in &mut self.topics {
            let held = (0..).zip(&mut topic.partitions).filter(|(_, partition)| partition.replicas.contains(&node));
            for (index, partition) in held {
                partition.producers.forget();
                self.touched.log(name, index);
            }
        }
    }

    fn set_up(&mut self, id: i32, up: bool) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        (node.up, node.paused) = (up, false);
        let nodes = &self.nodes;
        for (name, topic) in &mut self.topics {
            for (index, partition) in (0..).zip(&mut topic.partitions) {
                let lost = !up && partition.leader == Some(id);
                let gained = up && partition.leader.is_none() && partition.replicas.contains(&id);
                if lost || gained {
                    let is_up = |id: &&i32| nodes.get(id).is_some_and(|node| node.up);
                    let leader = partition.replicas.iter().find(is_up).copied();
                    partition.elect(leader);
                    self.touched.log(name, index);
                }
            }
        }
    }

    fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionLog> {
        self.topics.get(topic)?.partition(partition)
    }

    fn partitions_mut(&mut self) -> impl Iterator<Item = &mut PartitionLog> {
        self.topics.values_mut().flat_map(|topic| &mut topic.partitions)
    }

    fn existing(&mut self, topic: &str, partition: i32) -> Result<&mut PartitionLog, BrokerError> {
        let unknown = || BrokerError::UnknownPartition { topic: topic.to_owned(), partition };
        self.partition_mut(topic, partition).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{
        EmbeddedBroker,
        testing::{BatchOf, TestCluster},
    };

    fn cluster(replicas: i16) -> TestCluster {
        TestCluster::new(EmbeddedBroker::builder().topic("orders", 3).replication_factor(replicas), 3)
    }

    fn leaders(cluster: &TestCluster) -> [Option<i32>; 3] {
        [0, 1, 2].map(|partition| cluster.state.leader("orders", partition))
    }

    /// The offset or the error of one record of producer 5.
    fn produce(cluster: &mut TestCluster, sequence: i32) -> Result<i64, ErrorCode> {
        let response = cluster.produce(BatchOf::values(&["a"]).by_producer(5, 0, sequence).encode());
        if response.error_code == 0 { Ok(response.base_offset) } else { Err(ErrorCode(response.error_code)) }
    }

    const OUT_OF_ORDER: Result<i64, ErrorCode> = Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);

    #[test]
    fn partitions_of_a_stopped_node_go_to_their_next_replica_and_stay_there() {
        let mut cluster = cluster(2);
        cluster.state.stop(1);
        assert_eq!(leaders(&cluster), [Some(2), Some(2), Some(3)]);
        cluster.state.stop(2);
        assert_eq!(leaders(&cluster), [None, Some(3), Some(3)]);
        cluster.state.restart(1);
        assert_eq!(leaders(&cluster), [Some(1), Some(3), Some(3)]);
        cluster.state.restart(2);
        assert_eq!(leaders(&cluster), [Some(1), Some(3), Some(3)]);
    }

    #[test]
    fn a_node_remembers_its_producers_across_a_restart_unless_it_is_to_forget_them() {
        let mut cluster = cluster(1);
        assert_eq!(produce(&mut cluster, 0), Ok(0));
        cluster.state.stop(1);
        cluster.state.restart(1);
        assert_eq!((produce(&mut cluster, 0), produce(&mut cluster, 9)), (Ok(0), OUT_OF_ORDER));
        cluster.state.forget_producers(1);
        assert_eq!((produce(&mut cluster, 9), produce(&mut cluster, 0)), (Ok(1), OUT_OF_ORDER));
    }

    #[test]
    fn what_is_known_of_producers_follows_a_log_that_is_cut_short() {
        let mut cluster = cluster(1);
        (0..3).for_each(|sequence| assert_eq!(produce(&mut cluster, sequence), Ok(i64::from(sequence))));
        cluster.state.truncate_log("orders", 0, 1).unwrap();
        assert_eq!(produce(&mut cluster, 3), OUT_OF_ORDER);
        assert_eq!(produce(&mut cluster, 0), Ok(0));
        assert_eq!(produce(&mut cluster, 1), Ok(1));
    }

    #[test]
    fn healing_ends_pauses_limits_and_faults() {
        let mut cluster =
            TestCluster::new(EmbeddedBroker::builder().topic("orders", 1).topic_default("min.insync.replicas", "2"), 3);
        cluster.state.limit_in_sync("orders", 0, 1).unwrap();
        cluster.state.inject(Fault::drop_request().forever());
        cluster.state.set_paused(1, true).unwrap();
        cluster.state.heal();
        assert_eq!(produce(&mut cluster, 0), Ok(0));
    }

    #[test]
    fn partitions_are_added_behind_those_that_are_there() {
        let mut cluster = cluster(2);
        cluster.state.stop(1);
        cluster.state.add_partitions("orders", 5).unwrap();
        assert_eq!([3, 4].map(|partition| cluster.state.leader("orders", partition)), [Some(2), Some(2)]);
        cluster.state.add_partitions("orders", 1).unwrap();
        assert!(cluster.state.leader("orders", 4).is_some() && cluster.state.leader("orders", 5).is_none());
        assert!(cluster.state.add_partitions("nowhere", 2).is_err());
    }

    #[test]
    fn a_leader_can_only_move_to_a_node_that_is_up() {
        let mut cluster = cluster(3);
        cluster.state.stop(2);
        let refused = cluster.state.move_leader("orders", 0, 2, true);
        assert_eq!(refused, Err(BrokerError::UnknownNode { node: 2 }));
        assert_eq!(cluster.state.set_paused(2, true), Err(BrokerError::UnknownNode { node: 2 }));
        assert_eq!(cluster.state.leader("orders", 0), Some(1));
    }
}
