//! What a response to a metadata request changes.
//!
//! In: responses. Out: brokers that come, move and go, and leaders for lanes and for callers. Pure. Deliberately absent:
//! what is believed of a response ([`super::metadata`]).

use std::{cell::LazyCell, sync::Arc};

use super::{
    Cause, Sender,
    metadata::{Changes, is_refusal},
};
use crate::{
    accumulator::{MetadataFailure, TopicState},
    error::{ErrorCode, rights},
    wire::apis::metadata::ClusterView,
};

impl Sender {
    /// Takes over what a broker says of the cluster.
    pub(super) fn learn(&mut self, request: u64, response: ClusterView) {
        let (now, common) = (self.common.now, &mut self.common);
        if response.error == ErrorCode::REBOOTSTRAP_REQUIRED.0 && common.config.rebootstrap_after.is_some() {
            self.metadata.failed(request, now, &mut common.chance);
            return self.rebootstrap("the broker asked for it");
        }
        let names_no_broker = response.brokers.is_empty();
        let changes = self.metadata.apply(request, response, now, &mut common.chance);
        let topics = common.accumulator.topics();
        if let Some(changes) = changes {
            common.recorder().learned(now);
            topics.set_metadata_failure(None);
            self.sync_brokers();
            self.find_near();
            self.publish_changes(&changes);
        } else if names_no_broker {
            let why = "metadata named no broker that can be connected to".into();
            let failure = MetadataFailure { code: ErrorCode::NETWORK_EXCEPTION, why, is_final: false };
            topics.set_metadata_failure(Some(failure));
        }
    }

    /// Tells the partitioner which brokers are in the client's rack (KIP-1123).
    fn find_near(&self) {
        if let Some(rack) = self.common.config.rack() {
            let brokers = self.metadata.cluster.brokers.values();
            let near = brokers.filter(|broker| broker.rack.as_deref() == Some(rack)).map(|broker| broker.id);
            self.common.accumulator.topics().set_near(near.collect());
        }
    }

    fn publish_changes(&mut self, changes: &Changes) {
        let cluster = Arc::clone(&self.metadata.cluster);
        for change in &changes.topics {
            let Some(known) = cluster.topics.get(&change.topic) else {
                return self.common.missing("a topic that metadata have just named");
            };
            self.lanes.publish(change, &known.partitions, &mut self.common);
        }
        self.lanes.list_leaderless(&mut self.common);
        let topics = self.common.accumulator.topics();
        for (topic, code) in &changes.missing {
            let state = if is_refusal(*code) { TopicState::Refused(*code) } else { TopicState::Awaited(Some(*code)) };
            if cluster.topics.contains_key(topic) {
                continue;
            }
            if is_refusal(*code) {
                let advice = rights::not_seen(*code, self.common.config.principal().as_deref(), topic);
                self.common.warnings.topic_refused(topic, *code, &advice, self.common.now);
            } else {
                self.common.warnings.no_topic(topic, *code, self.common.now);
            }
            topics.set(topic, Some(state));
        }
        topics.answered();
    }

    /// Brokers come, move and go. One that is gone is kept while something is on its way to it.
    pub(super) fn sync_brokers(&mut self) {
        let cluster = Arc::clone(&self.metadata.cluster);
        for broker in cluster.brokers.values() {
            self.lanes.broker_came(broker.id);
            if let Some(lost) = self.links.add(broker, &mut self.common) {
                self.lost(lost);
            }
        }
        for id in self.links.gone(&cluster) {
            self.remove_broker(id);
        }
    }

    fn remove_broker(&mut self, id: i32) {
        self.links.remove(id, &mut self.common);
        self.lanes.broker_went(id, &mut self.common);
    }

    /// Starts again from `bootstrap.servers`: all brokers that are known are forgotten (KIP-899).
    pub(super) fn rebootstrap(&mut self, why: &str) {
        self.common.warnings.rebootstrap(why, self.common.now);
        let why = Cause::network(format!("starting again from bootstrap.servers: {why}"));
        let known: Vec<i32> = self.links.nodes.keys().copied().collect();
        for id in known {
            if let Some(lost) = self.links.disconnect(id, why.clone(), &mut self.common) {
                self.lost(lost);
            }
            self.remove_broker(id);
        }
        self.metadata.rebootstrap(self.common.now);
        self.links.bootstrap(&self.common);
    }

    /// Topics that were not used for long are not requested any more.
    pub(super) fn forget_idle(&mut self) {
        // All lanes are looked at once, and only if a topic is idle.
        let busy = LazyCell::new(|| self.lanes.topics_with_batches());
        let idle = self.metadata.evict_idle(self.common.now, |topic| busy.contains(topic));
        let topics = self.common.accumulator.topics();
        for topic in &idle {
            topics.set(topic, None);
            self.common.recorder().forget(topic);
        }
        // A caller that waits for one of them wants it again.
        if !idle.is_empty() {
            topics.announce();
        }
    }
}
