//! Connections. Nothing moves on them by itself.
//!
//! In: the sender's actions, and which connection delivers bytes, breaks, or changes its bytes. Out: events for the
//! sender.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{PATIENCE, World};
use crate::{
    broker::Polled,
    sender::{Action, ConnectionId, Event},
};

/// A connection, seen from both ends.
pub(super) struct Link {
    node: i32,
    /// Whether the producer knows that it is made.
    made: bool,
    /// Whether the producer still holds it.
    open: bool,
    /// Whether the broker still reads it.
    served: bool,
    /// Whether nothing that is written from now on goes out.
    jammed: bool,
    /// The last request that was written whole.
    written: Option<i32>,
    requests: VecDeque<Bytes>,
    responses: VecDeque<Bytes>,
}

impl World {
    /// Carries out what the sender wants.
    pub(super) fn act(&mut self) {
        self.tell(Event::Woken);
        for _ in 0..PATIENCE {
            let now = self.instant();
            match self.sender.poll_action(now) {
                None => return self.check_window(),
                Some(Action::Connect { connection, port, .. }) => self.connect(connection, i32::from(port) - 9_000),
                Some(Action::Disconnect { connection }) => {
                    self.links.get_mut(&connection).into_iter().for_each(|link| link.open = false);
                }
                Some(Action::Read { connection }) => self.tell(Event::Read { connection }),
                Some(Action::Send { connection, correlation, segments, answered }) => {
                    self.send(connection, correlation, Bytes::from(segments.concat()), answered);
                }
            }
        }
        panic!("the sender has no end of wishes");
    }

    fn connect(&mut self, connection: ConnectionId, node: i32) {
        let link = Link {
            node,
            made: false,
            open: true,
            served: true,
            jammed: false,
            written: None,
            requests: VecDeque::new(),
            responses: VecDeque::new(),
        };
        assert!(self.links.insert(connection, link).is_none(), "numbers of connections are never used again");
    }

    fn send(&mut self, connection: ConnectionId, correlation: i32, bytes: Bytes, answered: bool) {
        let link = self.links.get_mut(&connection).expect("requests go over connections that there are");
        assert!(link.open && link.made, "requests go over connections that are open");
        assert_eq!(bytes[..4], u32::try_from(bytes.len() - 4).unwrap().to_be_bytes());
        if link.jammed {
            return;
        }
        link.written = Some(correlation);
        link.requests.push_back(bytes.slice(4..));
        if !answered {
            self.tell(Event::Written { connection, correlation });
        }
    }

    /// One of the connections for which `which` holds.
    fn pick(&mut self, choice: u8, which: impl Fn(&Link) -> bool) -> Option<ConnectionId> {
        let ids: Vec<ConnectionId> = self.links.iter().filter(|(_, link)| which(link)).map(|(id, _)| *id).collect();
        ids.get(usize::from(choice) % ids.len().max(1)).copied()
    }

    /// A connection that is being made is made, or refused.
    pub(super) fn open(&mut self, choice: u8) {
        let Some(connection) = self.pick(choice, |link| link.open && !link.made) else { return };
        let Some(link) = self.links.get_mut(&connection) else { return };
        if self.cluster.node_is_up(link.node) && choice < 240 {
            link.made = true;
            self.tell(Event::Connected { connection });
        } else {
            self.break_off(connection, true);
        }
    }

    /// A broker handles the next request of a connection, perhaps long after the producer gave it up.
    pub(super) fn serve_one(&mut self, choice: u8) {
        let Some(id) = self.pick(choice, |link| link.served && !link.requests.is_empty()) else { return };
        let now_ms = self.now_ms();
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(frame) = link.requests.pop_front() else { return };
        let pending = self.cluster.arrive(now_ms, link.node, frame).expect("our own requests can be read");
        let Polled::Done(reply) = self.cluster.poll(now_ms, &pending) else { panic!("nothing is held here") };
        if !reply.bytes.is_empty() {
            link.responses.push_back(reply.bytes.slice(4..));
        }
        link.served = !reply.close;
    }

    /// The next response of a connection arrives; behind the last one of a broker that hung up, its end.
    pub(super) fn deliver_one(&mut self, choice: u8) {
        let Some(connection) = self.pick(choice, |link| link.open && link.has_news()) else { return };
        let response = self.links.get_mut(&connection).and_then(|link| link.responses.pop_front());
        match response {
            Some(frame) => self.tell(Event::Frame { connection, frame }),
            None => self.break_off(connection, true),
        }
    }

    /// A connection breaks. What was written may be lost with it, or reach the broker later.
    pub(super) fn cut_one(&mut self, choice: u8, lost: bool) {
        if let Some(connection) = self.pick(choice, |link| link.open) {
            self.break_off(connection, lost);
        }
    }

    fn break_off(&mut self, connection: ConnectionId, lost: bool) {
        let Some(link) = self.links.get_mut(&connection) else { return };
        (link.open, link.served) = (false, link.served && !lost);
        let written = link.written;
        self.tell(Event::Disconnected { connection, why: "cut".into(), written });
    }

    /// What is written from now on does not go out, which nobody notices yet.
    pub(super) fn jam_one(&mut self, choice: u8) {
        let jammed = self.pick(choice, |link| link.open);
        jammed.and_then(|id| self.links.get_mut(&id)).into_iter().for_each(|link| link.jammed = true);
    }

    /// A byte of a response changes, or its end is missing.
    pub(super) fn spoil_one(&mut self, input: &mut super::Input<'_>) {
        let Some(id) = self.pick(input.byte(), |link| !link.responses.is_empty()) else { return };
        let Some(response) = self.links.get_mut(&id).and_then(|link| link.responses.front_mut()) else { return };
        let mut bytes = BytesMut::from(&response[..]);
        let at = input.below(bytes.len().clamp(1, 256));
        if input.byte() % 8 == 7 {
            bytes.truncate(at);
        } else if let Some(byte) = bytes.get_mut(at) {
            *byte = input.byte();
        }
        *response = bytes.freeze();
    }

    /// Bytes that nobody asked for arrive, or news of requests that there are not.
    pub(super) fn whisper(&mut self, input: &mut super::Input<'_>) {
        let Some(connection) = self.pick(input.byte(), |link| link.made) else { return };
        let frame = Bytes::copy_from_slice(input.bytes());
        self.tell(Event::Frame { connection, frame });
    }

    pub(super) fn stop(&mut self, node: i32) {
        self.cluster.stop(node);
        for link in self.links.values_mut().filter(|link| link.node == node) {
            link.served = false;
        }
    }

    /// Everything that is on its way arrives, and what that leads to, until nothing moves.
    pub(super) fn flow(&mut self) {
        for _ in 0..PATIENCE {
            self.act();
            if self.pick(0, |link| link.open && !link.made).is_some() {
                self.open(0);
            } else if self.pick(0, |link| link.served && !link.requests.is_empty()).is_some() {
                self.serve_one(0);
            } else if self.pick(0, |link| link.open && link.has_news()).is_some() {
                self.deliver_one(0);
            } else {
                return;
            }
        }
        panic!("what is on its way never ends");
    }

    /// Connections that lost something are noticed to be broken.
    pub(super) fn mend(&mut self) {
        while let Some(connection) = self.pick(0, |link| link.open && link.jammed) {
            self.break_off(connection, false);
        }
    }

    /// What is on its way to brokers when the producer is gone still arrives.
    pub(super) fn land(&mut self) {
        while self.pick(0, |link| link.served && !link.requests.is_empty()).is_some() {
            self.serve_one(0);
        }
    }
}

impl Link {
    fn has_news(&self) -> bool {
        !self.responses.is_empty() || (self.made && !self.served)
    }
}
