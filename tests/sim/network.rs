//! The network: connections, what goes over them, and how they fail.
//!
//! In: what the sender wants sent, what brokers answer. Out: frames that arrive, late, or never; news for the sender.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{
    plan::{Kind, Network},
    world::{Happening, World},
};
use crate::{
    broker::{Outcome, Pending},
    sender::{ConnectionId, Event},
};

/// A connection, seen from both ends.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) node: i32,
    /// Whether the producer still holds it.
    pub(super) open: bool,
    /// Whether the broker still reads it.
    pub(super) served: bool,
    /// Whether answers get lost from now on.
    deaf: bool,
    /// Whether nothing that is written from now on goes out.
    cut: bool,
    slow: u32,
    last_to_broker: Duration,
    last_to_client: Duration,
    inbox: VecDeque<Bytes>,
    pending: Option<Pending>,
    written: Option<i32>,
}

impl Connection {
    /// Whether the broker has nothing of it that it has not handled.
    pub(super) fn is_quiet(&self) -> bool {
        !self.served || (self.pending.is_none() && self.inbox.is_empty())
    }
}

impl World {
    fn delay(&mut self) -> Duration {
        Duration::from_micros(1 + self.delays.below(self.plan.delay_us as usize) as u64)
    }

    pub(super) fn connect(&mut self, id: ConnectionId, node: i32) {
        let delay = self.delay();
        self.note(|| format!("connection {id} to node {node}"));
        self.connections.insert(id, Connection { node, open: true, served: true, slow: 1, ..Connection::default() });
        let is_up = self.cluster.node_is_up(node);
        self.later(delay, if is_up { Happening::Connected(id) } else { Happening::Refused(id) });
    }

    /// The producer closes a connection. What it wrote may still be read by the broker.
    pub(super) fn hang_up(&mut self, id: ConnectionId) {
        self.note(|| format!("the producer ends connection {id}"));
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.open = false;
        }
    }

    pub(super) fn send(&mut self, id: ConnectionId, correlation: i32, bytes: Bytes, answered: bool) {
        let api = i16::from_be_bytes([bytes[4], bytes[5]]);
        self.note(|| format!("request {correlation} (api {api}, {} bytes) over connection {id}", bytes.len()));
        if self.connections.get(&id).is_none_or(|connection| !connection.open || connection.cut) {
            return;
        }
        let (fault, whim) = self.fault_of_request();
        let whim = Duration::from_millis(whim);
        match fault {
            Some(Kind::CutBefore) => return self.cut(id, Duration::ZERO),
            Some(Kind::CutWithin) => return self.cut(id, whim / 45),
            _ => {}
        }
        let mut delay = self.delay();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.written = Some(correlation);
            match fault {
                Some(Kind::Slow) => connection.slow = 40,
                Some(Kind::AnswerLost | Kind::HalfOpen) => connection.deaf = true,
                _ => {}
            }
            delay *= connection.slow;
        }
        if fault == Some(Kind::HalfOpen) {
            delay += whim;
        }
        if fault != Some(Kind::RequestLost) {
            self.goes_out(id, delay, bytes.slice(4..));
        }
        if !answered {
            self.later(Duration::from_micros(10), Happening::Written(id, correlation));
        }
        match fault {
            Some(Kind::CutAfter | Kind::RequestLost) => self.cut(id, Duration::ZERO),
            Some(Kind::AnswerLost) => self.later(whim / 45, Happening::Broken(id)),
            _ => {}
        }
    }

    /// The fault that the next request meets, and a number of milliseconds below 9,000 that has the same cause.
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
        *self.struck.entry(kind).or_default() += 1;
        self.note(|| format!("fault: {kind:?}"));
    }

    /// The connection breaks. The producer learns of it some time later; what is on its way to the broker arrives.
    fn cut(&mut self, id: ConnectionId, unnoticed: Duration) {
        if let Some(connection) = self.connections.get_mut(&id) {
            (connection.deaf, connection.cut) = (true, true);
        }
        let delay = self.delay() + unnoticed;
        self.later(delay, Happening::Broken(id));
    }

    fn goes_out(&mut self, id: ConnectionId, delay: Duration, frame: Bytes) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.last_to_broker = connection.last_to_broker.max(now + delay);
        let at = connection.last_to_broker;
        self.at(at, Happening::Arrives(id, frame));
    }

    pub(super) fn arrives(&mut self, id: ConnectionId, frame: Bytes) {
        if let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.served) {
            connection.inbox.push_back(frame);
            self.serve(id);
        }
    }

    pub(super) fn answers(&mut self, id: ConnectionId, frame: Bytes) {
        if self.connections.get(&id).is_some_and(|connection| !connection.deaf) {
            self.tell(id, Event::Frame { connection: id, frame });
        }
    }

    pub(super) fn tell(&mut self, id: ConnectionId, event: Event) {
        let now = self.instant();
        let open = self.connections.get(&id).is_some_and(|connection| connection.open);
        if let Some(sender) = self.sender.as_mut().filter(|_| open) {
            sender.handle_event(now, event);
        }
    }

    pub(super) fn broken(&mut self, id: ConnectionId, why: &str) {
        let written = self.connections.get(&id).and_then(|connection| connection.written);
        self.note(|| format!("connection {id} is {why}"));
        self.tell(id, Event::Disconnected { connection: id, why: why.into(), written });
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.open = false;
        }
    }

    /// The broker works on what a connection brought, in order.
    pub(super) fn serve(&mut self, id: ConnectionId) {
        let now_ms = self.now_ms();
        loop {
            let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.served) else { return };
            if connection.pending.is_none() {
                let Some(frame) = connection.inbox.pop_front() else { return };
                match self.cluster.arrive(now_ms, connection.node, frame) {
                    Ok(pending) => connection.pending = Some(pending),
                    Err(_) => return self.broker_closes(id),
                }
            }
            let Some(pending) = &connection.pending else { return };
            match self.cluster.poll(now_ms, pending) {
                Outcome::Hold { until_ms } => {
                    if until_ms < i64::MAX {
                        let wait = u64::try_from(until_ms - now_ms).unwrap_or(0).max(1);
                        self.later(Duration::from_millis(wait), Happening::Poll(id));
                    }
                    return;
                }
                Outcome::Done(reply) => {
                    connection.pending = None;
                    let wait = u64::try_from(reply.at_ms - now_ms).unwrap_or(0);
                    self.reply(id, Duration::from_millis(wait), &reply.bytes);
                    if reply.close {
                        return self.broker_closes(id);
                    }
                }
            }
        }
    }

    /// An answer goes back. Garbage comes without a length that fits; then the connection ends as a frame decoder ends it.
    fn reply(&mut self, id: ConnectionId, wait: Duration, bytes: &Bytes) {
        if bytes.is_empty() {
            return;
        }
        let (now, delay) = (self.now, self.delay());
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let delay = wait + delay * connection.slow;
        connection.last_to_client = connection.last_to_client.max(now + delay);
        let at = connection.last_to_client;
        let len = bytes.first_chunk().map_or(0, |len| i32::from_be_bytes(*len));
        let whole = usize::try_from(len).is_ok_and(|len| len + 4 == bytes.len());
        let happening = if whole { Happening::Answers(id, bytes.slice(4..)) } else { Happening::Broken(id) };
        self.at(at, happening);
    }

    pub(super) fn broker_closes(&mut self, id: ConnectionId) {
        let delay = self.delay();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.served = false;
        let at = connection.last_to_client.max(self.now + delay);
        self.at(at, Happening::Broken(id));
    }

    pub(super) fn poll_all(&mut self) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        ids.into_iter().for_each(|id| self.later(Duration::ZERO, Happening::Poll(id)));
    }
}
