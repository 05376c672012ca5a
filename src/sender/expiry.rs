//! What takes too long is given up: batches, connections, and the brokers that are known.
//!
//! In: time. Out: connections that end and batches that fail, with what kept them. Pure. Nothing is judged before what has come is read
//! ([`super::late`]).

use std::{sync::Arc, time::Instant};

use super::{Sender, lanes::Trouble, links::node::Overdue};
use crate::error::ErrorCode;

impl Sender {
    /// When a connection, a request or a batch is to be judged, which waits while what has come is being read.
    pub(super) fn next_judgement(&self) -> Option<Instant> {
        if let Some(at) = self.reading.ends_at() {
            return Some(at);
        }
        let links = self.links.deadline(self.common.now, |broker| self.lanes.waits_for(broker));
        links.into_iter().chain([self.lanes.expires()]).min()
    }

    /// Gives up batches that are older than `delivery.timeout.ms`.
    pub(super) fn expire(&mut self) {
        let due = self.lanes.expires();
        let now = self.common.now;
        if now < due || !self.reading.may_judge(due, now, &mut self.links) {
            return;
        }
        for slot in self.lanes.expired(&self.common) {
            let why = self.why_waiting(slot);
            self.lanes.expire(slot, why.as_ref(), &mut self.common);
        }
        self.lanes.set_expires(&self.common);
    }

    /// What keeps a lane from sending, for the person who will read it.
    fn why_waiting(&self, slot: u32) -> Option<Trouble> {
        if let Some(last) = self.lanes.last_error(slot) {
            return Some(last);
        }
        let lost = |why: Arc<str>| Trouble { code: ErrorCode::NETWORK_EXCEPTION, why };
        let Some(node) = self.lanes.leader(slot).and_then(|leader| self.links.node(leader.node)) else {
            let trouble = self.common.accumulator.topics().known().metadata_failure.clone().map(lost);
            let leaderless =
                || Trouble { code: ErrorCode::LEADER_NOT_AVAILABLE, why: "the partition has no leader".into() };
            return Some(trouble.unwrap_or_else(leaderless));
        };
        if let Some(trouble) = node.trouble.clone() {
            return Some(lost(trouble));
        }
        if self.lanes.producer_id.current().is_none() && self.lanes.producer_id.trouble().is_some() {
            return self.lanes.producer_id.trouble().cloned();
        }
        let now = self.common.now;
        let until = node.muted_until.filter(|until| *until > now)?;
        let (broker, ms) = (node.id, until.saturating_duration_since(now).as_millis());
        let why = format!("broker {broker} throttles this client for another {ms} ms: see its quotas").into();
        Some(Trouble { code: ErrorCode::THROTTLING_QUOTA_EXCEEDED, why })
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
                Overdue::Idle => self.rest(id),
            }
        }
    }

    /// Ends a connection that nobody needs.
    fn rest(&mut self, id: i32) {
        if let Some(lost) = self.links.rest(id, &mut self.common) {
            self.lost(lost, ErrorCode::NETWORK_EXCEPTION);
        }
        self.common.accumulator.topics().set_metadata_failure(None);
    }

    /// Without metadata for too long: the brokers that are known may all have been replaced (KIP-899).
    pub(super) fn start_over(&mut self) {
        let Some(after) = self.common.config.rebootstrap_after else { return };
        let lost = self.metadata.last_success() + after <= self.common.now;
        if lost && self.metadata.due().is_some() && self.links.are_all_lost() {
            self.rebootstrap("no metadata for metadata.recovery.rebootstrap.trigger.ms");
        }
    }
}
