//! Who is asked for metadata and for a producer id, and whom to connect to.
//!
//! In: what is due, and brokers. Out: requests beside Produce, and connections that are begun. Pure. Whoever is connected is asked
//! for metadata; else one broker after the other is tried, and a second one when the first takes long, be it to connect or to
//! answer. Where the brokers that are known cannot be reached, those of `bootstrap.servers` are tried as well (KIP-899).

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    Action, Sender,
    nodes::{InFlight, Link, Node, PATIENCE},
};
use crate::wire::apis::{Api, Caller, init_producer_id, metadata};

/// After so many brokers that could not be reached in a row, `bootstrap.servers` are tried as well, however many others are
/// known.
const FUTILE: usize = 3;

impl Sender {
    /// Adds those of `bootstrap.servers`.
    pub(super) fn bootstrap(&mut self, now: Instant) {
        for (id, (host, port)) in (1..).zip(&self.config.bootstrap_servers) {
            self.nodes.insert(-id, Node::new(-id, Arc::from(host.as_str()), *port, now));
        }
    }

    /// When a broker is to be asked for something, or tried.
    pub(super) fn next_to_ask(&self) -> Option<Instant> {
        let due = [self.metadata.due(), self.metadata.again_due(PATIENCE), self.producer_id.due()];
        let later = due.into_iter().flatten().filter(|at| *at > self.now).min();
        if due.into_iter().flatten().all(|at| at > self.now) {
            return later;
        }
        // Due, but nobody could be asked: when that may change without an event.
        let change = |node: &Node| match node.link {
            Link::Down { until } => Some(until),
            Link::Connecting { .. } | Link::Negotiating { .. } => node.patient_until(),
            Link::Up { .. } => node.muted_until,
        };
        self.nodes.values().filter_map(change).filter(|at| *at > self.now).chain(later).min()
    }

    /// Asks for metadata and for a producer id, if they are due and somebody can be asked.
    pub(super) fn ask_around(&mut self, now: Instant) {
        self.start_over(now);
        self.miss_leaders(now);
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.metadata.due())
            && let Some(id) = self.somebody(now, |node| !node.is_asked())
        {
            if self.metadata.asks_for_all(now) {
                self.forget_idle(now);
            }
            let topics = self.metadata.ask(now);
            self.ask_metadata(id, &topics, now);
        }
        if due(self.metadata.again_due(PATIENCE))
            && let Some(id) = self.somebody(now, |node| !node.is_asked())
        {
            let topics = self.metadata.ask_again(now);
            self.ask_metadata(id, &topics, now);
        }
        if due(self.producer_id.due())
            && let Some(id) = self.somebody(now, |_| true)
        {
            self.producer_id.ask();
            self.ask(id, Api::InitProducerId, now, init_producer_id::encode);
        }
    }

    fn ask_metadata(&mut self, id: i32, topics: &[Arc<str>], now: Instant) {
        self.ask(id, Api::Metadata, now, |caller, version| {
            metadata::encode(caller, version, topics.iter().map(|topic| &**topic), true)
        });
    }

    /// Where lanes wait for a leader that cannot be reached, the others may know of a new one before it is back.
    fn miss_leaders(&mut self, now: Instant) {
        if self.nodes.values().any(|node| node.is_missed(now)) {
            self.metadata.refresh(now);
        }
    }

    /// A connected broker with little to do that `may` be asked. If there is none, a connection is begun: to one of those that
    /// failed least often.
    fn somebody(&mut self, now: Instant, may: impl Fn(&Node) -> bool) -> Option<i32> {
        let up = self.nodes.values().filter(|node| node.up(now).is_some() && may(node));
        if let Some(node) = up.min_by_key(|node| node.in_flight.len()) {
            return Some(node.id);
        }
        // Where lanes connect again and again in vain, that is nothing to wait for.
        let is_futile = |node: &Node| node.failures > 0 && !node.ready.is_empty();
        if self.nodes.values().any(|node| node.is_connecting(now) && !is_futile(node)) {
            return None;
        }
        self.widen(now);
        let may_connect = || self.nodes.values().filter(|node| node.may_connect(now));
        let least = may_connect().map(|node| node.failures).min();
        let candidates: Vec<i32> =
            may_connect().filter(|node| Some(node.failures) == least).map(|node| node.id).collect();
        let chosen = candidates.get(self.chance.below(candidates.len())).copied();
        chosen.into_iter().for_each(|id| self.connect(id, now));
        None
    }

    /// Adds those of `bootstrap.servers` when no broker that is known can be reached, or the first few that were tried cannot:
    /// all may have moved, and only the servers' names lead to where they are now (KIP-899). Those that are known stay.
    fn widen(&mut self, now: Instant) {
        let known = || self.nodes.values().filter(|node| node.id >= 0);
        let enough = known().count().min(FUTILE);
        let may = self.config.rebootstrap_after.is_some() && self.nodes.keys().all(|id| *id >= 0);
        if may && enough > 0 && known().filter(|node| node.is_out_of_reach(now)).count() >= enough {
            tracing::warn!("no known broker can be reached; those of bootstrap.servers are tried as well");
            self.bootstrap(now);
        }
    }

    /// Sends a request that is not Produce, in the highest version that both sides speak.
    fn ask(&mut self, id: i32, api: Api, now: Instant, encode: impl FnOnce(Caller<'_>, i16) -> Bytes) {
        let version = self.nodes.get(&id).and_then(|node| node.up(now)).and_then(|(_, versions)| versions.pick(api));
        if let Some(version) = version {
            self.ask_in(id, api, version, now, encode);
        }
    }

    pub(super) fn ask_in(
        &mut self,
        id: i32,
        api: Api,
        version: i16,
        now: Instant,
        encode: impl FnOnce(Caller<'_>, i16) -> Bytes,
    ) {
        let client_id = Arc::clone(&self.config.client_id);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(connection) = node.connection() else { return };
        let correlation = node.correlation();
        let frame = encode(Caller { correlation, client_id: &client_id }, version);
        // Of the other requests there is one on its way at most.
        let request = if api == Api::Metadata { self.metadata.question() } else { 0 };
        let (parts, records, answered) = (Vec::new(), 0, true);
        node.sent(
            InFlight { correlation, api, version, sent_at: now, request, parts, records, answered, went: false },
            now,
        );
        self.accumulator.recorder().request_sent(frame.len(), None, now);
        self.actions.push_back(Action::Send { connection, correlation, segments: vec![frame], answered });
    }

    /// Begins connections to brokers that lanes wait for.
    pub(super) fn connect_wanted(&mut self, now: Instant) {
        let wanted = self.nodes.values().filter(|node| !node.ready.is_empty() && node.may_connect(now));
        let wanted: Vec<i32> = wanted.map(|node| node.id).collect();
        wanted.into_iter().for_each(|id| self.connect(id, now));
    }

    fn connect(&mut self, id: i32, now: Instant) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        self.next_connection += 1;
        let connection = self.next_connection;
        let within = self.timeouts.setup(node.failures, &mut self.chance);
        node.link = Link::Connecting { id: connection, since: now, until: now + within };
        self.connections.insert(connection, id);
        let (host, port, failures) = (Arc::clone(&node.host), node.port, node.failures);
        self.actions.push_back(Action::Connect { connection, host, port, failures, within });
    }
}
