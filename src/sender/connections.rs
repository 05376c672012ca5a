//! Connections, and the requests beside Produce that go over them.
//!
//! In: what became of connections, and frames. Out: whom to connect to, and what the cluster looks like. Pure. Whoever is
//! connected is asked for metadata; else one broker after the other is tried, and a second one when the first takes long, be
//! it to connect or to answer. Where the brokers that are known cannot be reached, those of `bootstrap.servers` are tried as
//! well (KIP-899).

use std::{net::IpAddr, sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    Action, Sender, identity, index,
    lane::Lane,
    metadata::{Changes, is_refusal},
    nodes::{ConnectionId, InFlight, Link, Node, Overdue, PATIENCE, Seen},
};
use crate::{
    accumulator::TopicState,
    config::Acks,
    error::ErrorCode,
    wire::{
        requests::{self, Caller},
        responses::{self, InitProducerIdAnswer, MetadataAnswer},
        versions::Api,
    },
};

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

    /// A connected broker with little to do that `may` be asked. If there is none, a connection is begun: to one of those that
    /// failed least often.
    fn somebody(&mut self, now: Instant, may: impl Fn(&Node) -> bool) -> Option<i32> {
        let up = self.nodes.values().filter(|node| node.up(now).is_some() && may(node));
        if let Some(node) = up.min_by_key(|node| node.in_flight.len()) {
            return Some(node.id);
        }
        if self.nodes.values().any(|node| node.is_connecting(now)) {
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

    fn ask_in(&mut self, id: i32, api: Api, version: i16, now: Instant, encode: impl FnOnce(Caller<'_>, i16) -> Bytes) {
        let client_id = Arc::clone(&self.config.client_id);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(connection) = node.connection() else { return };
        let correlation = node.correlation();
        let frame = encode(Caller { correlation, client_id: &client_id }, version);
        // Of the other requests there is one on its way at most.
        let request = if api == Api::Metadata { self.metadata.question() } else { 0 };
        let (parts, records, answered) = (Vec::new(), 0, true);
        node.sent(InFlight { correlation, api, version, sent_at: now, request, parts, records, answered }, now);
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
        let unconfirmed = node.take_unconfirmed();
        let unanswered = node.down(Arc::clone(why), now, backoff, &mut self.chance);
        self.warnings.connection_ended(id, &address, why, was_up.then_some(unanswered.len()), now);
        for (place, request) in unanswered.into_iter().enumerate() {
            match request.api {
                Api::Produce => self.unanswered(now, id, &request, error, why, seen(place)),
                Api::Metadata => self.metadata.failed(request.request, now, &mut self.chance),
                Api::InitProducerId => self.producer_id.failed(error, why, now, self.retry, &mut self.chance),
                Api::ApiVersions => {}
            }
        }
        if self.config.acks == Acks::None {
            self.lost_unconfirmed(id, &address, why, unconfirmed, now);
        }
        self.accumulator.topics().set_trouble(Some(format!("broker at {address}: {why}").into()));
    }

    /// With `acks=0` nobody says what became of the records that went out over a connection that is gone: they are counted as
    /// what they are, and the partitions led there ask for an answer next.
    fn lost_unconfirmed(&mut self, id: i32, address: &str, why: &str, records: u64, now: Instant) {
        self.lanes.iter_mut().for_each(|lane| lane.lost(id));
        if records > 0 {
            self.accumulator.recorder().lost_unconfirmed(records);
            self.warnings.lost_unconfirmed(id, address, why, records, now);
        }
    }

    /// Ends connections that take too long.
    pub(super) fn end_overdue(&mut self, now: Instant) {
        let overdue = self.nodes.values().filter_map(|node| Some((node.id, node.overdue(now, self.timeouts)?)));
        let overdue: Vec<_> = overdue.collect();
        let first = overdue.iter().map(|(_, (_, due))| *due).min();
        if !first.is_none_or(|due| self.may_judge(due, now)) {
            return;
        }
        for (id, (overdue, _)) in overdue {
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
        // A broker that refused what went out would have ended it long ago.
        self.nodes.get_mut(&id).map(Node::take_unconfirmed);
        self.disconnect(id, now, &"not used for connections.max.idle.ms".into(), ErrorCode::NETWORK_EXCEPTION);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.forgive(now);
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
        node.answered(now);
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
            Api::InitProducerId => {
                let error = ErrorCode::NETWORK_EXCEPTION;
                self.producer_id.failed(error, why, now, self.retry, &mut self.chance);
            }
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
                    self.identified(now, id, answer);
                    Ok(())
                }
                Err(error) => self.unreadable(now, id, &request, error),
            },
        }
    }

    /// A broker gave a producer id, or did not.
    fn identified(&mut self, now: Instant, broker: i32, answer: InitProducerIdAnswer) {
        if self.producer_id.answered(answer, broker, now, self.retry, &mut self.chance) {
            self.warnings.has_producer_id();
            std::mem::take(&mut self.unidentified).into_iter().for_each(|slot| self.list(slot, now));
        } else if let Some(trouble) = self.producer_id.trouble().cloned() {
            self.warnings.no_producer_id(&trouble.why, now);
            if !identity::heals(trouble.code) {
                self.refuse_unidentified(&trouble, now);
            }
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
        let idempotent = self.window.idempotent.then_some(Api::InitProducerId);
        let needed = [Some(Api::Metadata), Some(Api::Produce), idempotent];
        let missing = needed.into_iter().flatten().find(|api| answer.versions.pick(*api).is_none());
        if let Some(api) = missing {
            return Err(format!(
                "broker speaks no version of {api} that milena speaks, expected Apache Kafka 2.1 or newer"
            ));
        }
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        if let Link::Negotiating { id, .. } = node.link {
            node.first_version = answer.versions.pick(Api::ApiVersions).unwrap_or(0);
            node.link = Link::Up { id, versions: answer.versions };
            (node.failures, node.ends, node.trouble, node.last_used) = (0, 0, None, now);
            self.warnings.connected(node.id, &node.host, node.port);
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
                let recreated = changes.recreated.contains(topic);
                self.publish(topic, &known.partitions, recreated, changes.stale.get(topic), now);
            }
        }
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
        let known = self.accumulator.topics().known();
        let has_batches = |lane: &Lane| !lane.is_empty() || lane.queue.oldest().is_some();
        let busy = |topic: &str| match known.topic(topic) {
            Some(TopicState::Ready(topic)) => {
                topic.partitions.iter().any(|queue| self.lanes.get(index(queue.slot)).is_some_and(has_batches))
            }
            _ => false,
        };
        let idle = self.metadata.evict_idle(now, busy);
        drop(known);
        for topic in idle {
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

#[cfg(test)]
mod tests {
    use super::*;

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
