//! Connections, and the requests beside Produce that go over them.
//!
//! In: what became of connections, and frames. Out: whom to connect to, and what the cluster looks like. Pure. Whoever is
//! connected is asked for metadata; else one broker after the other is tried, and a second one when the first takes long, be
//! it to connect or to answer.

use std::{net::IpAddr, sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    Action, Sender,
    metadata::Changes,
    nodes::{ConnectionId, InFlight, Link, Node, Overdue, PATIENCE, Seen},
};
use crate::{
    accumulator::TopicState,
    config::Compression,
    error::ErrorCode,
    wire::{
        produce::ZSTD_FROM,
        requests::{self, Caller},
        responses::{self, MetadataAnswer},
        versions::{Api, Versions},
    },
};

impl Sender {
    /// Starts from `bootstrap.servers`.
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
            self.forget_idle(now);
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
            self.ask(id, Api::InitProducerId, now, requests::init_producer_id);
        }
    }

    fn ask_metadata(&mut self, id: i32, topics: &[Arc<str>], now: Instant) {
        self.ask(id, Api::Metadata, now, |caller, version| {
            requests::metadata(caller, version, topics.iter().map(|topic| &**topic))
        });
    }

    /// Where lanes wait for a leader that cannot be reached, the others may know of a new one before it is back.
    fn miss_leaders(&mut self, now: Instant) {
        if self.nodes.values().any(|node| node.is_missed(now)) {
            self.metadata.refresh(now);
        }
    }

    /// A connected broker with little to do that `may` be asked. If there is none, a connection is begun.
    fn somebody(&mut self, now: Instant, may: impl Fn(&Node) -> bool) -> Option<i32> {
        let up = self.nodes.values().filter(|node| node.up(now).is_some() && may(node));
        if let Some(node) = up.min_by_key(|node| node.in_flight.len()) {
            return Some(node.id);
        }
        if self.nodes.values().any(|node| node.is_connecting(now)) {
            return None;
        }
        let candidates: Vec<i32> =
            self.nodes.values().filter(|node| node.may_connect(now)).map(|node| node.id).collect();
        let chosen = candidates.get(self.chance.below(candidates.len())).copied();
        chosen.into_iter().for_each(|id| self.connect(id, now));
        None
    }

    /// Sends a request that is not Produce, in the highest version that both sides speak.
    fn ask(&mut self, id: i32, api: Api, now: Instant, encode: impl FnOnce(Caller<'_>, i16) -> Bytes) {
        let version = self.nodes.get(&id).and_then(|node| node.up(now)).and_then(|(_, versions)| versions.pick(api));
        if let Some(version) = version {
            self.ask_in(id, api, version, now, encode);
        }
    }

    fn ask_in(&mut self, id: i32, api: Api, version: i16, now: Instant, encode: impl FnOnce(Caller<'_>, i16) -> Bytes) {
        let client_id = Arc::clone(&self.config.client_id);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(connection) = node.connection() else { return };
        let correlation = node.correlation();
        let frame = encode(Caller { correlation, client_id: &client_id }, version);
        // Of the other requests there is one on its way at most.
        let request = if api == Api::Metadata { self.metadata.question() } else { 0 };
        let (parts, answered) = (Vec::new(), true);
        node.in_flight.push_back(InFlight { correlation, api, version, sent_at: now, request, parts, answered });
        node.last_used = now;
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
        node.link = Link::Connecting { id: connection, since: now };
        self.connections.insert(connection, id);
        let (host, port) = (Arc::clone(&node.host), node.port);
        self.actions.push_back(Action::Connect { connection, host, port });
    }

    pub(super) fn connected(&mut self, now: Instant, connection: ConnectionId) {
        let Some(&id) = self.connections.get(&connection) else { return };
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.link = Link::Negotiating { id: connection, since: now };
        self.accumulator.recorder().connected(now);
        let version = node.first_version;
        self.ask_in(id, Api::ApiVersions, version, now, requests::api_versions);
    }

    pub(super) fn disconnected(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        why: &Arc<str>,
        written: Option<i32>,
    ) {
        if let Some(id) = self.connections.remove(&connection) {
            let whole = self.nodes.get(&id).map_or(0, |node| node.written(written));
            let seen = |place| if place < whole { Seen::Whole } else { Seen::InPart };
            self.lost(id, now, why, ErrorCode::NETWORK_EXCEPTION, seen);
            self.metadata.refresh(now);
        }
    }

    /// Ends a connection from this side.
    fn disconnect(&mut self, id: i32, now: Instant, why: &Arc<str>, error: ErrorCode) {
        let Some(connection) = self.nodes.get(&id).and_then(Node::connection) else { return };
        self.connections.remove(&connection);
        self.actions.push_back(Action::Disconnect { connection });
        // What the socket still holds may go out all the same, so every request counts as seen by the broker.
        self.lost(id, now, why, error, |_| Seen::Perhaps);
    }

    /// A connection is gone: what was on its way has no answer. `seen` is asked for each request by its place in the row.
    fn lost(&mut self, id: i32, now: Instant, why: &Arc<str>, error: ErrorCode, seen: impl Fn(usize) -> Seen) {
        let backoff = super::Backoff { initial: self.config.reconnect_backoff, max: self.config.reconnect_backoff_max };
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let why = &explained(node, &self.config.bootstrap_servers, why);
        let address = format!("{}:{}", node.host, node.port);
        let was_up = matches!(node.link, Link::Up { .. });
        node.count_end(self.accumulator.recorder(), now);
        let unanswered = node.down(Arc::clone(why), now, backoff, &mut self.chance);
        self.warnings.connection_ended(id, &address, why, was_up.then_some(unanswered.len()), now);
        for (place, request) in unanswered.into_iter().enumerate() {
            match request.api {
                Api::Produce => self.unanswered(now, id, &request, error, why, seen(place)),
                Api::Metadata => self.metadata.failed(request.request, now, &mut self.chance),
                Api::InitProducerId => self.producer_id.failed(why, now, self.retry, &mut self.chance),
                Api::ApiVersions => {}
            }
        }
        self.accumulator.topics().set_trouble(Some(format!("broker at {address}: {why}").into()));
    }

    /// Ends connections that take too long.
    pub(super) fn end_overdue(&mut self, now: Instant) {
        let overdue = self.nodes.values().filter_map(|node| Some((node.id, node.overdue(now, self.timeouts)?)));
        for (id, overdue) in overdue.collect::<Vec<_>>() {
            match overdue {
                Overdue::Setup => self.end(
                    id,
                    now,
                    "no connection within socket.connection.setup.timeout.ms",
                    ErrorCode::NETWORK_EXCEPTION,
                ),
                Overdue::Answer(api) => {
                    self.end(
                        id,
                        now,
                        &format!("no answer to {api} within request.timeout.ms"),
                        ErrorCode::REQUEST_TIMED_OUT,
                    );
                }
                Overdue::Idle => self.rest(id, now),
            }
        }
    }

    /// Ends a connection that is of no use, and looks for another broker.
    fn end(&mut self, id: i32, now: Instant, why: &str, error: ErrorCode) {
        self.disconnect(id, now, &why.into(), error);
        self.metadata.refresh(now);
    }

    /// Ends a connection that nobody needs. Nothing is wrong with it.
    fn rest(&mut self, id: i32, now: Instant) {
        self.disconnect(id, now, &"not used for connections.max.idle.ms".into(), ErrorCode::NETWORK_EXCEPTION);
        if let Some(node) = self.nodes.get_mut(&id) {
            (node.failures, node.trouble, node.link) = (0, None, Link::Down { until: now });
        }
        self.accumulator.topics().set_trouble(None);
    }

    /// A frame came: it must be the answer to the oldest request.
    pub(super) fn frame(&mut self, now: Instant, connection: ConnectionId, frame: &Bytes) {
        let Some(&id) = self.connections.get(&connection) else { return };
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let expected = node.in_flight.iter().position(|request| request.answered);
        let Some(request) = expected.and_then(|place| node.in_flight.remove(place)) else {
            self.end(id, now, "answer without a request", ErrorCode::NETWORK_EXCEPTION);
            return;
        };
        node.last_used = now;
        let latency = now.saturating_duration_since(request.sent_at);
        self.accumulator.recorder().answered(frame.len(), latency, now);
        let got = responses::correlation(frame);
        let read = if got == Some(request.correlation) {
            self.answer(now, id, request, frame)
        } else {
            let why = format!("answer {} where {} was expected", got.unwrap_or(-1), request.correlation);
            self.give_back(now, id, &request, &why);
            Err(why)
        };
        if let Err(why) = read {
            self.end(id, now, &why, ErrorCode::NETWORK_EXCEPTION);
        }
    }

    /// A request whose answer cannot be used.
    fn give_back(&mut self, now: Instant, id: i32, request: &InFlight, why: &str) {
        match request.api {
            Api::Produce => self.unanswered(now, id, request, ErrorCode::NETWORK_EXCEPTION, &why.into(), Seen::Whole),
            Api::Metadata => self.metadata.failed(request.request, now, &mut self.chance),
            Api::InitProducerId => self.producer_id.failed(why, now, self.retry, &mut self.chance),
            Api::ApiVersions => {}
        }
    }

    fn answer(&mut self, now: Instant, id: i32, request: InFlight, frame: &Bytes) -> Result<(), String> {
        let version = request.version;
        match request.api {
            Api::ApiVersions => self.negotiated(now, id, version, frame),
            Api::Produce => match responses::produce(frame, version) {
                Ok(answer) => {
                    self.throttle(id, answer.throttle_ms, now);
                    self.produced(now, id, request, answer)
                }
                Err(error) => self.unreadable(now, id, &request, error),
            },
            Api::Metadata => match responses::metadata(frame, version) {
                Ok(answer) => {
                    self.throttle(id, answer.throttle_ms, now);
                    self.learn(now, request.request, answer);
                    Ok(())
                }
                Err(error) => self.unreadable(now, id, &request, error),
            },
            Api::InitProducerId => match responses::init_producer_id(frame, version) {
                Ok(answer) => {
                    self.throttle(id, answer.throttle_ms, now);
                    if self.producer_id.answered(answer, id, now, self.retry, &mut self.chance) {
                        std::mem::take(&mut self.unidentified).into_iter().for_each(|slot| self.list(slot, now));
                    } else if let Some(why) = self.producer_id.trouble() {
                        self.warnings.no_producer_id(why, now);
                    }
                    Ok(())
                }
                Err(error) => self.unreadable(now, id, &request, error),
            },
        }
    }

    fn unreadable(
        &mut self,
        now: Instant,
        id: i32,
        request: &InFlight,
        error: responses::BadAnswer,
    ) -> Result<(), String> {
        let why = error.to_string();
        self.give_back(now, id, request, &why);
        Err(why)
    }

    /// A broker said what it speaks. One that does not know our version of the question says which it knows (KIP-511), or
    /// nothing; then it is asked again, in a lower version each time.
    fn negotiated(&mut self, now: Instant, id: i32, version: i16, frame: &Bytes) -> Result<(), String> {
        let answer = responses::api_versions(frame, version).map_err(|error| error.to_string())?;
        if answer.error == ErrorCode::UNSUPPORTED_VERSION && version > 0 {
            let lower = answer.versions.pick(Api::ApiVersions).filter(|known| *known < version).unwrap_or(0);
            self.ask_in(id, Api::ApiVersions, lower, now, requests::api_versions);
            return Ok(());
        }
        if answer.error != ErrorCode::NONE {
            let (code, advice) = (answer.error, answer.error.advice());
            return Err(format!("broker refused to say what it speaks (ApiVersions {version}): {code}; {advice}"));
        }
        if let Some(why) = lack(&answer.versions, self.window.idempotent, self.config.compression) {
            return Err(why);
        }
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        if let Link::Negotiating { id, .. } = node.link {
            node.first_version = answer.versions.pick(Api::ApiVersions).unwrap_or(0);
            node.link = Link::Up { id, versions: answer.versions };
            (node.failures, node.trouble, node.last_used) = (0, None, now);
            tracing::info!(broker = node.id, host = %node.host, port = node.port, "connected");
        }
        Ok(())
    }

    /// Takes over what a broker says of the cluster.
    fn learn(&mut self, now: Instant, question: u64, answer: MetadataAnswer) {
        if answer.error == ErrorCode::REBOOTSTRAP_REQUIRED.0 && self.config.rebootstrap_after.is_some() {
            self.metadata.failed(question, now, &mut self.chance);
            self.rebootstrap(now, "the broker asked for it");
            return;
        }
        let names_nobody = answer.brokers.is_empty();
        let changes = self.metadata.apply(question, answer, now, &mut self.chance);
        if changes.useless {
            if names_nobody {
                self.accumulator.topics().set_trouble(Some("metadata named no broker that can be connected to".into()));
            }
            return;
        }
        self.accumulator.recorder().learned(now);
        self.accumulator.topics().set_trouble(None);
        self.sync_nodes(now);
        self.publish_changes(&changes, now);
    }

    fn publish_changes(&mut self, changes: &Changes, now: Instant) {
        let cluster = Arc::clone(self.metadata.cluster());
        for topic in &changes.topics {
            if let Some(known) = cluster.topics.get(topic) {
                self.publish(topic, &known.partitions, changes.recreated.contains(topic), now);
            }
        }
        for (topic, code) in &changes.missing {
            if !code.retriable() {
                self.accumulator.topics().set(topic, Some(TopicState::Refused(*code)));
            } else if !cluster.topics.contains_key(topic) {
                self.accumulator.topics().set(topic, Some(TopicState::Awaited(Some(*code))));
            }
        }
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
                    node.link = Link::Down { until: now };
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
    fn start_over(&mut self, now: Instant) {
        let Some(after) = self.config.rebootstrap_after else { return };
        let lost =
            self.metadata.last_success() + after <= now && self.nodes.values().all(|node| node.up(now).is_none());
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
    fn forget_idle(&mut self, now: Instant) {
        let busy = |topic: &str| {
            self.lanes
                .iter()
                .any(|lane| &*lane.queue.origin.topic == topic && !(lane.is_empty() && lane.queue.oldest().is_none()))
        };
        for topic in self.metadata.evict_idle(now, busy) {
            self.accumulator.topics().set(&topic, None);
            self.accumulator.recorder().forget(&topic);
        }
    }
}

/// Why a connection ended, with a word about its address if that looks like the cause: a broker that was found from afar
/// and advertises `localhost` sends every client to its own machine.
fn explained(node: &Node, bootstrap_servers: &[(String, u16)], why: &Arc<str>) -> Arc<str> {
    let from_afar = !bootstrap_servers.iter().any(|(host, _)| is_local(host));
    if node.id < 0 || !from_afar || !is_local(&node.host) {
        return Arc::clone(why);
    }
    format!("{why} (the broker advertises {}, which is this machine: check its advertised.listeners)", node.host).into()
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a broker has not that this producer needs.
fn lack(versions: &Versions, idempotent: bool, compression: Compression) -> Option<String> {
    let needed = [Some(Api::Metadata), Some(Api::Produce), idempotent.then_some(Api::InitProducerId)];
    if let Some(api) = needed.into_iter().flatten().find(|api| versions.pick(*api).is_none()) {
        return Some(format!(
            "broker speaks no version of {api} that milena speaks, expected Apache Kafka 2.1 or newer"
        ));
    }
    let produce = versions.pick(Api::Produce)?;
    let too_old = compression == Compression::Zstd && produce < ZSTD_FROM;
    too_old.then(|| {
        format!(
            "broker speaks Produce up to version {produce} and does not know zstd, expected version {ZSTD_FROM} (Apache \
             Kafka 2.1 or newer); choose another compression.type"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_does_not_know_zstd_is_no_broker_for_a_producer_that_uses_it() {
        for (produce, compression, is_lacking) in [
            (6, Compression::Zstd, true),
            (7, Compression::Zstd, false),
            (13, Compression::Zstd, false),
            (3, Compression::Lz4, false),
            (3, Compression::None, false),
        ] {
            let versions = Versions::new([(0, 0, produce), (3, 0, 9)]);
            let lack = lack(&versions, false, compression);
            assert_eq!(lack.is_some(), is_lacking, "Produce {produce} with {compression:?}");
        }
    }

    #[test]
    fn a_broker_found_from_afar_that_advertises_this_machine_is_explained() {
        let now = Instant::now();
        let hint = |id, host: &str, bootstrap: &str| {
            let node = Node::new(id, host.into(), 9092, now);
            explained(&node, &[(bootstrap.to_owned(), 9092)], &"refused".into()).contains("advertised.listeners")
        };
        let cases = [
            (0, "localhost", "kafka.example", true),
            (3, "127.0.0.1", "kafka.example", true),
            (0, "::1", "kafka.example", true),
            (0, "localhost", "localhost", false),
            (0, "10.0.0.7", "kafka.example", false),
            // Nobody advertised a bootstrap server's address.
            (-1, "localhost", "kafka.example", false),
        ];
        for (id, host, bootstrap, expected) in cases {
            assert_eq!(hint(id, host, bootstrap), expected, "broker {id} at {host}, found at {bootstrap}");
        }
    }
}
