//! The network: connections, their messages, and how they fail.
//!
//! In: the sender's actions, and the brokers' responses. Out: frames that arrive in time, late or never; events for the
//! sender.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

use super::{
    availability::Neglect,
    plan::{Kind, Network},
    simulation::{BOOTSTRAP, Scheduled, Simulation},
};
use crate::{
    broker::{Pending, Polled, Session},
    sender::{ConnectionId, Event},
    wire::testing::lie,
};

/// The keys of the requests that need special treatment.
const PRODUCE: i16 = 0;
const METADATA: i16 = 3;

/// A connection, seen from both ends.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) node: i32,
    /// Whether the producer's end is open.
    pub(super) open: bool,
    /// Whether the broker reads from it.
    pub(super) served: bool,
    /// Whether all further responses are lost.
    deaf: bool,
    /// Whether all further requests are lost.
    cut: bool,
    slow: u32,
    last_to_broker: Duration,
    last_to_client: Duration,
    /// Since when it is slow.
    slow_since: Option<Duration>,
    /// Until when the broker throttles and reads nothing.
    muted_until: Duration,
    /// Whether the producer has received the throttle time.
    mute_reported: bool,
    /// The correlation id of the request that the broker handles, and of the one whose response has the throttle time.
    working_on: Option<i32>,
    throttled_response: Option<i32>,
    /// Who the broker knows the producer as.
    session: Session,
    inbox: VecDeque<Bytes>,
    pending: Option<Pending>,
    /// The key and version of the request that is pending.
    request_kind: (i16, i16),
    written: Option<i32>,
    /// The requests without a response, by correlation id. With the content of Produce requests in runs in which the
    /// process is stopped.
    pending_requests: BTreeMap<i32, Option<Bytes>>,
    /// Whether a fault changed one of its responses.
    pub(super) faulty: bool,
}

/// What an address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Node(i32),
    /// It refuses connections.
    Refuses,
    /// It swallows all packets.
    Swallows,
}

impl Connection {
    /// The broker ends its session. The producer counts on more time.
    pub(super) fn end_session(&mut self) {
        self.session.cut_short();
    }

    /// Whether the broker has handled all that arrived on it.
    pub(super) fn is_quiet(&self) -> bool {
        !self.served || (self.pending.is_none() && self.inbox.is_empty())
    }
}

impl Simulation {
    fn delay(&mut self) -> Duration {
        Duration::from_micros(1 + self.delays.below(self.plan.delay_us as usize) as u64)
    }

    /// Connects to the addresses of a name one after the other, as `src/dial.rs` does. Each attempt begins with the
    /// next address. A silent address has a share of the time, and the sender's time limit ends the attempt.
    pub(super) fn connect(&mut self, id: ConnectionId, (host, port): (&str, u16), failures: u32, within: Duration) {
        self.note(|| format!("connection {id} to {host}:{port}"));
        let mut delay = Duration::ZERO;
        self.connections.insert(id, Connection { open: true, slow: 1, ..Connection::default() });
        let mut addresses = self.resolve(host, port);
        let first = failures as usize % addresses.len().max(1);
        addresses.rotate_left(first);
        let share = within / addresses.len().max(1) as u32;
        let mut silent = Duration::ZERO;
        for address in addresses {
            delay += self.delay();
            match address {
                Address::Node(node) if self.cluster.node_is_up(node) => {
                    self.connections
                        .entry(id)
                        .and_modify(|connection| (connection.node, connection.served) = (node, true));
                    return self.later(delay, Scheduled::Connected(id));
                }
                Address::Node(_) | Address::Refuses => {}
                Address::Swallows => {
                    silent = delay + share;
                    delay += Duration::from_millis(250).min(share / 2);
                }
            }
        }
        self.later(delay.max(silent), Scheduled::Refused(id));
    }

    /// The addresses of a name. The name in `bootstrap.servers` leads to all nodes, wherever they are. Some names have
    /// silent addresses before the true one.
    fn resolve(&self, host: &str, port: u16) -> Vec<Address> {
        let mut addresses = vec![Address::Swallows; self.plan.silent_addresses];
        if host == BOOTSTRAP {
            addresses.extend(self.ports.values().map(|node| Address::Node(*node)));
        } else {
            let gone = if self.swallows { Address::Swallows } else { Address::Refuses };
            addresses.push(self.ports.get(&port).map_or(gone, |node| Address::Node(*node)));
        }
        addresses
    }

    /// Sends the events of all frames that have arrived, and of the connection's end, and then a `Read` event.
    pub(super) fn read(&mut self, id: ConnectionId) {
        let now = self.now;
        let mut due: Vec<_> = self.agenda.iter().map(|Reverse(entry)| *entry).filter(|(at, _)| *at <= now).collect();
        due.sort_unstable();
        for (_, number) in due {
            if self.scheduled.get(&number).is_some_and(|event| event.is_of_connection(id))
                && let Some(event) = self.scheduled.remove(&number)
            {
                self.perform(event);
            }
        }
        self.notify_sender(id, Event::Read { connection: id });
    }

    /// The producer closes a connection. The broker may still read bytes that were written before.
    pub(super) fn close(&mut self, id: ConnectionId) {
        self.note(|| format!("the producer ends connection {id}"));
        self.end_slowness(id);
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.open = false;
        let patient =
            connection.mute_reported && connection.muted_until > now && !connection.pending_requests.is_empty();
        if patient && !connection.deaf && !connection.faulty && !self.plan.has(Kind::Move) {
            self.neglects.push(Neglect::GaveUpThrottled { connection: id });
        }
    }

    /// A slow connection recovers, or is not used any more.
    fn end_slowness(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.slow = 1;
        let since = connection.slow_since.take();
        self.interruptions.everywhere.extend(since.map(|since| (since, now)));
    }

    pub(super) fn heal_network(&mut self) {
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            self.end_slowness(id);
            self.connections.entry(id).and_modify(|connection| connection.muted_until = Duration::ZERO);
        }
    }

    pub(super) fn send(&mut self, id: ConnectionId, correlation: i32, bytes: Bytes, answered: bool) {
        let api = i16::from_be_bytes([bytes[4], bytes[5]]);
        self.note(|| format!("request {correlation} (api {api}, {} bytes) over connection {id}", bytes.len()));
        if self.connections.get(&id).is_none_or(|connection| !connection.open || connection.cut) {
            return;
        }
        let (fault, extra) = self.fault_of_request();
        let extra = Duration::from_millis(extra);
        match fault {
            Some(Kind::CutBefore) => return self.cut(id, Duration::ZERO),
            Some(Kind::CutWithin) => return self.cut(id, extra / 45),
            _ => {}
        }
        let mut delay = self.delay();
        let (now, stops) = (self.now, self.plan.has(Kind::Stop));
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.written = Some(correlation);
            if answered {
                connection.pending_requests.insert(correlation, (api == PRODUCE && stops).then(|| bytes.clone()));
            }
            match fault {
                Some(Kind::Slow) => (connection.slow, connection.slow_since) = (40, Some(now)),
                Some(Kind::AnswerLost | Kind::HalfOpen) => connection.deaf = true,
                _ => {}
            }
            delay *= connection.slow;
        }
        if fault == Some(Kind::HalfOpen) {
            delay += extra;
        }
        if fault != Some(Kind::RequestLost) {
            self.transmit(id, delay, bytes.slice(4..));
        }
        if !answered {
            self.later(Duration::from_micros(10), Scheduled::Written(id, correlation));
        }
        match fault {
            Some(Kind::CutAfter | Kind::RequestLost) => self.cut(id, Duration::ZERO),
            Some(Kind::AnswerLost) => self.later(extra / 45, Scheduled::Broken(id)),
            _ => {}
        }
    }

    /// The fault that the next request meets, and a number of milliseconds below 9,000 from the same seed.
    fn fault_of_request(&mut self) -> (Option<Kind>, u64) {
        let number = self.requests;
        self.requests += 1;
        let kind = match &self.plan.network {
            Network::ByChance(rates) => {
                let luck = &mut self.luck;
                rates.iter().find(|(_, rate)| (luck.below(1_000) as u64) < *rate).map(|(kind, _)| *kind)
            }
            Network::Exactly(met) => met.get(&number).copied(),
        };
        if let Some(kind) = kind {
            self.met.insert(number, kind);
            self.strike_counts(kind);
        }
        (kind, number.wrapping_mul(2_654_435_761).wrapping_add(self.plan.seed) % 9_000)
    }

    pub(super) fn strike_counts(&mut self, kind: Kind) {
        self.disturb();
        *self.struck.entry(kind).or_default() += 1;
        self.note(|| format!("fault: {kind:?}"));
    }

    /// Breaks the connection. The producer notices it some time later. Requests in transit to the broker arrive.
    fn cut(&mut self, id: ConnectionId, unnoticed: Duration) {
        if let Some(connection) = self.connections.get_mut(&id) {
            (connection.deaf, connection.cut) = (true, true);
        }
        let delay = self.delay() + unnoticed;
        self.later(delay, Scheduled::Broken(id));
    }

    fn transmit(&mut self, id: ConnectionId, delay: Duration, frame: Bytes) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.last_to_broker = connection.last_to_broker.max(now + delay);
        let at = connection.last_to_broker;
        self.at(at, Scheduled::Arrives(id, frame));
    }

    pub(super) fn arrives(&mut self, id: ConnectionId, frame: Bytes) {
        if self.connections.get(&id).is_some_and(|connection| !connection.open) {
            self.disturb();
        }
        if let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.served) {
            connection.inbox.push_back(frame);
            self.serve(id);
        }
    }

    pub(super) fn responses(&mut self, id: ConnectionId, frame: Bytes) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.deaf) else { return };
        let correlation = frame.first_chunk().map(|id| i32::from_be_bytes(*id));
        connection.mute_reported |=
            connection.throttled_response.is_some() && correlation == connection.throttled_response;
        correlation.and_then(|correlation| connection.pending_requests.remove(&correlation));
        self.notify_sender(id, Event::Frame { connection: id, frame });
    }

    /// The Produce request of a response, if it is certain.
    pub(super) fn request_of(&self, id: ConnectionId, response: &Bytes) -> Option<Bytes> {
        let connection = self.connections.get(&id).filter(|c| c.open && !c.deaf && !c.faulty)?;
        connection.pending_requests.get(&i32::from_be_bytes(*response.first_chunk()?))?.clone()
    }

    pub(super) fn notify_sender(&mut self, id: ConnectionId, event: Event) {
        let now = self.instant();
        let open = self.connections.get(&id).is_some_and(|connection| connection.open);
        if let Some(sender) = self.sender.as_mut().filter(|_| open) {
            sender.handle_event(now, event);
        }
    }

    pub(super) fn broken(&mut self, id: ConnectionId, why: &str) {
        let written = self.connections.get(&id).and_then(|connection| connection.written);
        self.note(|| format!("connection {id} is {why}"));
        self.end_slowness(id);
        self.notify_sender(id, Event::Disconnected { connection: id, why: why.into(), written, is_refused: false });
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.open = false;
        }
    }

    /// The broker handles the requests of a connection, in order.
    pub(super) fn serve(&mut self, id: ConnectionId) {
        while self.serve_one(id) {}
    }

    /// Handles one request. Returns false if it has to wait, or there is none.
    fn serve_one(&mut self, id: ConnectionId) -> bool {
        let (now, now_ms) = (self.now, self.now_ms());
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.served) else {
            return false;
        };
        if connection.pending.is_none() {
            if connection.muted_until > now {
                let until = connection.muted_until;
                self.at(until, Scheduled::Poll(id));
                return false;
            }
            let Some(frame) = connection.inbox.pop_front() else { return false };
            connection.working_on = frame.get(4..8).and_then(|id| id.first_chunk().copied()).map(i32::from_be_bytes);
            connection.request_kind =
                (i16::from_be_bytes([frame[0], frame[1]]), i16::from_be_bytes([frame[2], frame[3]]));
            match self.cluster.arrive(now_ms, connection.node, &connection.session, frame) {
                Ok(pending) => {
                    connection.faulty |= pending.is_struck() && pending.throttle_ms() == 0;
                    connection.pending = Some(pending);
                }
                Err(_) => {
                    self.broker_closes(id);
                    return false;
                }
            }
        }
        let Some(pending) = &connection.pending else { return false };
        match self.cluster.poll(now_ms, &mut connection.session, pending) {
            Polled::Hold { until_ms } => {
                if until_ms < i64::MAX {
                    let wait = u64::try_from(until_ms - now_ms).unwrap_or(0).max(1);
                    self.later(Duration::from_millis(wait), Scheduled::Poll(id));
                }
                false
            }
            Polled::Done(reply) => {
                let wait = u64::try_from(reply.at_ms - now_ms).unwrap_or(0);
                self.handled(id);
                self.reply(id, Duration::from_millis(wait), &reply.bytes);
                if reply.close {
                    self.broker_closes(id);
                }
                !reply.close
            }
        }
    }

    /// After a request was handled. If a fault struck it, or its connection has ended, that is a disturbance. If it exceeded
    /// a quota, the broker reads nothing of the connection for a while after the response.
    fn handled(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(pending) = connection.pending.take() else { return };
        let (node, disturb) = (connection.node, pending.is_struck() || !connection.open);
        let mute = Duration::from_millis(pending.throttle_ms());
        if !mute.is_zero() {
            (connection.muted_until, connection.mute_reported) = (now + mute, false);
            connection.throttled_response = connection.working_on;
            self.outage_at(node, (now, now + mute));
        }
        if disturb {
            self.disturb();
        }
    }

    /// Sends a response. Garbage has a wrong length, and ends the connection as a frame decoder does.
    fn reply(&mut self, id: ConnectionId, wait: Duration, bytes: &Bytes) {
        if bytes.is_empty() {
            return;
        }
        let bytes = &self.maybe_lie(id, bytes);
        let (now, delay) = (self.now, self.delay());
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let delay = wait + delay * connection.slow;
        connection.last_to_client = connection.last_to_client.max(now + delay);
        let at = connection.last_to_client;
        let len = bytes.first_chunk().map_or(0, |len| i32::from_be_bytes(*len));
        let whole = usize::try_from(len).is_ok_and(|len| len + 4 == bytes.len());
        let event = if whole { Scheduled::Responses(id, bytes.slice(4..)) } else { Scheduled::Broken(id) };
        self.at(at, event);
    }

    /// Replaces a Metadata response by a false one, once for each fault.
    fn maybe_lie(&mut self, id: ConnectionId, bytes: &Bytes) -> Bytes {
        let (api, version) = self.connections.get(&id).map_or((-1, 0), |connection| connection.request_kind);
        if api != METADATA || self.connections.get(&id).is_none_or(|connection| connection.faulty) {
            return bytes.clone();
        }
        let Some((topic, wrong)) = self.lies.pop() else { return bytes.clone() };
        self.disturb();
        self.note(|| format!("a response to Metadata is wrong: {wrong:?} for {topic}"));
        let body = lie(&bytes.slice(4..), version, topic, wrong);
        let len = (body.len() as i32).to_be_bytes();
        Bytes::from([&len[..], &body].concat())
    }

    pub(super) fn broker_closes(&mut self, id: ConnectionId) {
        self.disturb();
        let delay = self.delay();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.served = false;
        let at = connection.last_to_client.max(self.now + delay);
        self.at(at, Scheduled::Broken(id));
    }

    pub(super) fn poll_all(&mut self) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        ids.into_iter().for_each(|id| self.later(Duration::ZERO, Scheduled::Poll(id)));
    }
}
