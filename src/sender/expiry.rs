//! What takes too long is ended: batches, connections, and the brokers that are known.
//!
//! In: time. Out: connections that end and batches that fail, with what kept them. Pure. Nothing is judged before what has come is read
//! ([`super::late`]).

use std::{sync::Arc, time::Instant};

use super::{Cause, Sender, links::node::Overdue};
use crate::{accumulator::MetadataFailure, error::ErrorCode};

impl Sender {
    /// When a connection, a request or a batch is to be judged, which waits while what has come is being read.
    pub(super) fn next_judgement(&self) -> Option<Instant> {
        if let Some(at) = self.reading.ends_at() {
            return Some(at);
        }
        let links = self.links.deadline(&self.common, |broker| self.lanes.waits_for(broker));
        links.into_iter().chain([self.lanes.expires]).min()
    }

    /// Expires batches that are older than `delivery.timeout.ms`.
    pub(super) fn expire(&mut self) {
        let (due, now) = (self.lanes.expires, self.common.now);
        if now < due || !self.reading.may_judge(due, now, &mut self.links) {
            return;
        }
        for slot in self.lanes.expired(&self.common) {
            let cause = self.why_waiting(slot);
            self.lanes.expire(slot, cause.as_ref(), &mut self.common);
        }
        self.lanes.set_expires(&self.common);
    }

    /// What keeps a lane from sending, for the person who will read it.
    fn why_waiting(&self, slot: u32) -> Option<Cause> {
        let lane = self.lanes.get(slot)?;
        if let Some(last) = lane.last_failure() {
            let why = format!("the partition's last attempt ended with {}: {}", last.code, last.cause()).into();
            return Some(Cause { code: last.code, why });
        }
        let leaderless = || Cause { code: ErrorCode::LEADER_NOT_AVAILABLE, why: "the partition has no leader".into() };
        let Some(node) = lane.leader.and_then(|leader| self.links.nodes.get(&leader.node)) else {
            let failure = &self.common.accumulator.topics().known().metadata_failure;
            let failed = |failure: &MetadataFailure| Cause { code: failure.code, why: Arc::clone(&failure.why) };
            return Some(failure.as_ref().map_or_else(leaderless, failed));
        };
        if let Some(lack) = self.common.login.lack(self.common.now) {
            return Some(lack);
        }
        if node.why_lost.is_some() {
            return node.why_lost.clone();
        }
        let producer_id = &self.lanes.producer_id;
        if producer_id.current.is_none() && producer_id.cause.is_some() {
            return producer_id.cause.clone();
        }
        let now = self.common.now;
        let until = node.muted_until.filter(|until| *until > now)?;
        let (broker, ms) = (node.id, until.saturating_duration_since(now).as_millis());
        let why = format!("broker {broker} throttles this client for another {ms} ms: see its quotas").into();
        Some(Cause { code: ErrorCode::THROTTLING_QUOTA_EXCEEDED, why })
    }

    /// Ends connections that take too long.
    pub(super) fn end_overdue(&mut self) {
        let overdue = self.links.overdue(self.common.now);
        let first = overdue.iter().map(|(.., due)| *due).min();
        let now = self.common.now;
        if !first.is_none_or(|due| self.reading.may_judge(due, now, &mut self.links)) {
            return;
        }
        for (id, what, _) in overdue {
            match what {
                Overdue::Setup => {
                    let why = "no connection within socket.connection.setup.timeout.ms";
                    self.end(id, why, ErrorCode::NETWORK_EXCEPTION);
                }
                Overdue::Response(api) => {
                    let why = format!("no response to {api} within request.timeout.ms");
                    self.end(id, &why, ErrorCode::REQUEST_TIMED_OUT);
                }
                Overdue::Idle => self.end_idle(id),
            }
        }
    }

    /// Ends a connection that is not needed.
    fn end_idle(&mut self, id: i32) {
        if let Some(lost) = self.links.end_idle(id, &mut self.common) {
            self.lost(lost);
        }
        self.common.accumulator.topics().set_metadata_failure(None);
    }

    /// Without metadata for too long: the brokers that are known may all have been replaced (KIP-899).
    pub(super) fn start_over(&mut self) {
        let Some(after) = self.common.config.rebootstrap_after else { return };
        let lost = self.metadata.last_success + after <= self.common.now;
        if lost && self.metadata.due().is_some() && self.links.are_all_lost() {
            self.rebootstrap("no metadata for metadata.recovery.rebootstrap.trigger.ms");
        }
    }
}
