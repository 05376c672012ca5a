//! Which broker a request can be sent to now, and which to connect to.
//!
//! In: what a broker is needed for, and what waits for it. Out: a broker, or connections that are begun. Pure. A connected broker gets
//! the request; else one broker after the other is tried, and a second one when the first takes long. Where the brokers that are known
//! cannot be reached, those of `bootstrap.servers` are tried as well (KIP-899).

use std::time::Instant;

use super::{
    Links,
    node::{Link, Node},
};
use crate::{sender::Common, wire::apis::Api};

/// After so many brokers that could not be reached in a row, `bootstrap.servers` are tried as well, however many others are
/// known.
const FUTILE: usize = 3;

impl Links {
    /// A connected broker with few requests in flight; for `metadata` one that has no request for them yet. If there is none, a
    /// connection is begun: to one of those that failed least often. `waits` says whether a lane waits for a broker.
    pub(crate) fn choose_broker(
        &mut self,
        metadata: bool,
        waits: impl Fn(i32) -> bool,
        common: &mut Common,
    ) -> Option<i32> {
        let now = common.now;
        let up =
            self.nodes.values().filter(|node| node.up(now).is_some() && !(metadata && node.has_metadata_request()));
        if let Some(node) = up.min_by_key(|node| node.in_flight.len()) {
            return Some(node.id);
        }
        if !common.login.may_connect(now) {
            return None;
        }
        let over = self.nodes.values().find(|node| node.is_session_over(now)).map(|node| node.id);
        if over.is_some() {
            self.renew_sessions(|id| Some(id) == over, common);
            return None;
        }
        // Where lanes connect again and again in vain, that is nothing to wait for.
        let is_futile = |node: &Node| node.failures > 0 && waits(node.id);
        if self.nodes.values().any(|node| node.is_connecting(now) && !is_futile(node)) {
            return None;
        }
        self.widen(common);
        let may_connect = || self.nodes.values().filter(|node| node.may_connect(now));
        let least = may_connect().map(|node| node.failures).min();
        let candidates: Vec<i32> =
            may_connect().filter(|node| Some(node.failures) == least).map(|node| node.id).collect();
        let chosen = candidates.get(common.chance.below(candidates.len())).copied();
        chosen.into_iter().for_each(|id| self.connect(id, common));
        None
    }

    /// Adds those of `bootstrap.servers` when no broker that is known can be reached, or the first few that were tried cannot:
    /// all may have moved, and only the servers' names lead to where they are now (KIP-899). Those that are known stay.
    fn widen(&mut self, common: &mut Common) {
        let known = || self.nodes.values().filter(|node| node.id >= 0);
        let enough = known().count().min(FUTILE);
        let may = common.config.rebootstrap_after.is_some() && self.nodes.keys().all(|id| *id >= 0);
        if may && enough > 0 && known().filter(|node| node.is_away(node.failures, common.now)).count() >= enough {
            common.warnings.out_of_reach(common.now);
            self.bootstrap(common);
        }
    }

    /// Begins connections to brokers that lanes wait for.
    pub(crate) fn connect_wanted(&mut self, waits: impl Fn(i32) -> bool, common: &mut Common) {
        if !common.login.may_connect(common.now) {
            return;
        }
        let wanted = self.nodes.values().filter(|node| node.may_connect(common.now) && waits(node.id));
        let wanted: Vec<i32> = wanted.map(|node| node.id).collect();
        wanted.into_iter().for_each(|id| self.connect(id, common));
    }

    /// Whether a lane waits for a broker that cannot be reached.
    pub(crate) fn is_any_missed(&self, now: Instant, waits: impl Fn(i32) -> bool) -> bool {
        self.nodes.values().any(|node| node.is_away(node.ends, now) && waits(node.id))
    }

    /// The version of Produce in which a broker can be sent to now, with `max` requests in flight at most.
    pub(crate) fn may_produce(&self, id: i32, max: usize, now: Instant) -> Option<i16> {
        let node = self.nodes.get(&id)?;
        let version = node.up(now)?.pick(Api::Produce)?;
        (node.producing() < max).then_some(version)
    }

    /// When a broker can take a request that cannot now, without an event before.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let change = |node: &Node| match node.link {
            Link::Down { until } => Some(until),
            Link::Connecting { .. } | Link::Opening { .. } | Link::Authenticating { .. } => node.patient_until(),
            Link::Up { .. } => node.muted_until,
        };
        self.nodes.values().filter_map(change).filter(|at| *at > now).min()
    }
}
