//! What an answer to a metadata request changes.
//!
//! In: answers. Out: brokers that come, move and go, and leaders for lanes and for those who append. Pure. Deliberately absent:
//! what is believed of an answer ([`super::metadata`]).

use std::{cell::LazyCell, collections::HashSet, sync::Arc, time::Instant};

use super::{
    Action, Sender,
    lane::Lane,
    metadata::{Changes, is_refusal},
    nodes::Node,
};
use crate::{accumulator::TopicState, error::ErrorCode, wire::apis::metadata::MetadataAnswer};

impl Sender {
    /// Takes over what a broker says of the cluster.
    pub(super) fn learn(&mut self, now: Instant, question: u64, answer: MetadataAnswer) {
        if answer.error == ErrorCode::REBOOTSTRAP_REQUIRED.0 && self.config.rebootstrap_after.is_some() {
            self.metadata.failed(question, now, &mut self.chance);
            self.rebootstrap(now, "the broker asked for it");
            return;
        }
        let names_nobody = answer.brokers.is_empty();
        let changes = self.metadata.apply(question, answer, now, &mut self.chance);
        if changes.useless {
            if names_nobody {
                self.accumulator
                    .topics()
                    .set_metadata_failure(Some("metadata named no broker that can be connected to".into()));
            }
            return;
        }
        self.accumulator.recorder().learned(now);
        self.accumulator.topics().set_metadata_failure(None);
        self.sync_nodes(now);
        self.publish_changes(&changes, now);
    }

    fn publish_changes(&mut self, changes: &Changes, now: Instant) {
        let cluster = Arc::clone(self.metadata.cluster());
        for topic in &changes.topics {
            if let Some(known) = cluster.topics.get(topic) {
                let recreated = changes.recreated.contains(topic);
                self.publish(topic, &known.partitions, recreated, changes.stale.get(topic), now);
            }
        }
        std::mem::take(&mut self.leaderless).into_iter().for_each(|slot| self.list(slot, now));
        for (topic, code) in &changes.missing {
            let state = if is_refusal(*code) { TopicState::Refused(*code) } else { TopicState::Awaited(Some(*code)) };
            if !cluster.topics.contains_key(topic) {
                self.warnings.no_topic(topic, *code, now);
                self.accumulator.topics().set(topic, Some(state));
            }
        }
        self.accumulator.topics().announce();
    }

    /// Brokers come, move and go. One that is gone is kept while something is on its way to it.
    pub(super) fn sync_nodes(&mut self, now: Instant) {
        let cluster = Arc::clone(self.metadata.cluster());
        for broker in cluster.brokers.values() {
            let moved =
                self.nodes.get(&broker.id).is_some_and(|node| node.host != broker.host || node.port != broker.port);
            if moved {
                self.disconnect(broker.id, now, &"the broker has a new address".into(), ErrorCode::NETWORK_EXCEPTION);
                self.nodes.entry(broker.id).and_modify(|node| {
                    (node.host, node.port) = (Arc::clone(&broker.host), broker.port);
                    node.forgive(now);
                });
            }
            self.nodes
                .entry(broker.id)
                .or_insert_with(|| Node::new(broker.id, Arc::clone(&broker.host), broker.port, now));
        }
        let gone =
            self.nodes.values().filter(|node| !cluster.brokers.contains_key(&node.id) && node.in_flight.is_empty());
        for id in gone.map(|node| node.id).collect::<Vec<_>>() {
            self.remove_node(id, now);
        }
    }

    fn remove_node(&mut self, id: i32, now: Instant) {
        self.strike_moved();
        let Some(node) = self.nodes.remove(&id) else { return };
        if let Some(connection) = node.connection() {
            self.connections.remove(&connection);
            self.actions.push_back(Action::Disconnect { connection });
        }
        node.count_end(self.accumulator.recorder(), now);
        for slot in node.ready {
            if let Some(lane) = self.lane(slot) {
                lane.listed = false;
            }
            self.list(slot, now);
        }
    }

    /// Without metadata for too long: the brokers that are known may all have been replaced (KIP-899).
    pub(super) fn start_over(&mut self, now: Instant) {
        let Some(after) = self.config.rebootstrap_after else { return };
        let lost = self.metadata.last_success() + after <= now && !self.nodes.values().any(Node::is_up);
        if lost && self.metadata.due().is_some() && self.nodes.keys().any(|id| *id >= 0) {
            self.rebootstrap(now, "no metadata for metadata.recovery.rebootstrap.trigger.ms");
        }
    }

    fn rebootstrap(&mut self, now: Instant, why: &str) {
        tracing::warn!(why, "starting again from bootstrap.servers");
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.disconnect(
                id,
                now,
                &format!("starting again from bootstrap.servers: {why}").into(),
                ErrorCode::NETWORK_EXCEPTION,
            );
            self.remove_node(id, now);
        }
        self.metadata.rebootstrap(now);
        self.bootstrap(now);
    }

    /// Topics that nobody used for long are not asked for any more.
    pub(super) fn forget_idle(&mut self, now: Instant) {
        // Also partitions that their topic has no more may have batches. All lanes are looked at once, and only if a topic is idle.
        let has_batches = |lane: &&Lane| !lane.is_empty() || lane.queue.oldest().is_some();
        let with_batches = LazyCell::new(|| {
            let busy = self.lanes.iter().filter(has_batches);
            busy.map(|lane| &*lane.queue.origin.topic).collect::<HashSet<_>>()
        });
        let idle = self.metadata.evict_idle(now, |topic| with_batches.contains(topic));
        drop(with_batches);
        for topic in &idle {
            self.accumulator.topics().set(topic, None);
            self.accumulator.recorder().forget(topic);
        }
        // Whoever waits for one of them asks again.
        if !idle.is_empty() {
            self.accumulator.topics().announce();
        }
    }
}
