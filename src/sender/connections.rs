//! Connections, and what comes over them.
//!
//! In: what became of connections, and frames. Out: requests that have their answer, or never will. Pure. Deliberately absent:
//! what an answer to Produce means ([`super::answers`]), and whom to connect to ([`super::asking`]).

use std::{net::IpAddr, sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    Action, Sender, identity,
    nodes::{ConnectionId, InFlight, Link, Node, Overdue, Seen},
};
use crate::{
    config::{Acks, Compression},
    error::ErrorCode,
    wire::{
        apis::{
            self, Api, BadAnswer,
            api_versions::{self, Versions},
            init_producer_id::{self, InitProducerIdAnswer},
            metadata,
            produce::{self, ZSTD_FROM},
        },
        opening::{self, Step},
    },
};

impl Sender {
    pub(super) fn connected(&mut self, now: Instant, connection: ConnectionId) {
        let Some(&id) = self.connections.get(&connection) else { return };
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.link = Link::Negotiating { id: connection, since: now };
        self.accumulator.recorder().connected(now);
        let version = node.first_version;
        self.ask_in(id, Api::ApiVersions, version, now, api_versions::encode);
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
    pub(super) fn disconnect(&mut self, id: i32, now: Instant, why: &Arc<str>, error: ErrorCode) {
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
                // Nobody waits for what a connection begins with.
                _ => {}
            }
        }
        if self.config.acks == Acks::None {
            self.lost_unconfirmed(id, &address, why, unconfirmed, now);
        }
        self.accumulator.topics().set_metadata_failure(Some(format!("broker at {address}: {why}").into()));
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
        self.accumulator.topics().set_metadata_failure(None);
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
        let got = apis::correlation(frame);
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
            _ => {}
        }
    }

    fn answer(&mut self, now: Instant, id: i32, request: InFlight, frame: &Bytes) -> Result<(), String> {
        let version = request.version;
        match request.api {
            Api::Produce => match produce::decode(frame, version) {
                Ok(answer) => {
                    self.throttle(id, answer.throttle_ms, now);
                    self.produced(now, id, request, answer)
                }
                Err(error) => self.unreadable(now, id, &request, error),
            },
            Api::Metadata => match metadata::decode(frame, version) {
                Ok(answer) => {
                    self.throttle(id, answer.throttle_ms, now);
                    self.learn(now, request.request, answer);
                    Ok(())
                }
                Err(error) => self.unreadable(now, id, &request, error),
            },
            Api::InitProducerId => match init_producer_id::decode(frame, version) {
                Ok(answer) => {
                    self.throttle(id, answer.throttle_ms, now);
                    self.identified(now, id, answer);
                    Ok(())
                }
                Err(error) => self.unreadable(now, id, &request, error),
            },
            _ => self.negotiated(now, id, version, frame),
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

    fn unreadable(&mut self, now: Instant, id: i32, request: &InFlight, error: BadAnswer) -> Result<(), String> {
        let why = error.to_string();
        self.give_back(now, id, request, &why);
        Err(why)
    }

    /// A broker said what it speaks, or that it does not know our version of the question.
    fn negotiated(&mut self, now: Instant, id: i32, version: i16, frame: &Bytes) -> Result<(), String> {
        let versions = match opening::step(frame, version).map_err(|error| error.to_string())? {
            Step::Ready(versions) => versions,
            Step::Ask(lower) => {
                self.ask_in(id, Api::ApiVersions, lower, now, api_versions::encode);
                return Ok(());
            }
        };
        if let Some(why) = lack(&versions, self.window.idempotent, self.config.compression) {
            return Err(why);
        }
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        if let Link::Negotiating { id, .. } = node.link {
            node.first_version = versions.pick(Api::ApiVersions).unwrap_or(opening::OLDEST);
            node.link = Link::Up { id, versions };
            (node.failures, node.ends, node.trouble, node.last_used) = (0, 0, None, now);
            self.warnings.connected(node.id, &node.host, node.port);
        }
        Ok(())
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
