//! Connections, which deliver bytes only when the input chooses so.
//!
//! In: the sender's actions, and which connection delivers bytes, breaks, or changes its bytes. Out: events for the
//! sender.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{Harness, PATIENCE};
use crate::{
    broker::{Polled, Session},
    sender::{Action, ConnectionId, Event},
};

/// A connection, seen from both ends.
pub(super) struct Link {
    node: i32,
    /// Whether the producer was notified that it is connected.
    made: bool,
    /// Whether the producer has not closed it.
    open: bool,
    /// Whether the broker still reads it.
    served: bool,
    /// Who the broker knows the producer as.
    session: Session,
    /// Whether all further requests are lost.
    jammed: bool,
    /// The last request that was written whole.
    written: Option<i32>,
    requests: VecDeque<Bytes>,
    responses: VecDeque<Bytes>,
}

impl Harness {
    /// Performs the sender's actions.
    pub(super) fn perform_actions(&mut self) {
        self.notify(Event::Woken);
        for _ in 0..PATIENCE {
            let now = self.instant();
            match self.sender.poll_action(now) {
                None => return self.check_window(),
                Some(Action::Connect { connection, port, .. }) => self.connect(connection, i32::from(port) - 9_000),
                Some(Action::Disconnect { connection }) => {
                    self.links.get_mut(&connection).into_iter().for_each(|link| link.open = false);
                }
                Some(Action::RenewToken) => {}
                Some(Action::Read { connection }) => self.notify(Event::Read { connection }),
                Some(Action::Send { connection, correlation, segments, answered }) => {
                    self.send(connection, correlation, Bytes::from(segments.concat()), answered);
                }
            }
        }
        panic!("the sender's actions never end");
    }

    fn connect(&mut self, connection: ConnectionId, node: i32) {
        let link = Link {
            node,
            made: false,
            open: true,
            served: true,
            session: Session::default(),
            jammed: false,
            written: None,
            requests: VecDeque::new(),
            responses: VecDeque::new(),
        };
        assert!(self.links.insert(connection, link).is_none(), "connection ids are never reused");
    }

    fn send(&mut self, connection: ConnectionId, correlation: i32, bytes: Bytes, answered: bool) {
        let link = self.links.get_mut(&connection).expect("a request is sent over a known connection");
        assert!(link.open && link.made, "a request is sent over an open connection");
        assert_eq!(bytes[..4], u32::try_from(bytes.len() - 4).unwrap().to_be_bytes());
        if link.jammed {
            return;
        }
        link.written = Some(correlation);
        link.requests.push_back(bytes.slice(4..));
        if !answered {
            self.notify(Event::Written { connection, correlation });
        }
    }

    /// One of the connections for which `which` holds.
    fn pick(&mut self, choice: u8, which: impl Fn(&Link) -> bool) -> Option<ConnectionId> {
        let ids: Vec<ConnectionId> = self.links.iter().filter(|(_, link)| which(link)).map(|(id, _)| *id).collect();
        ids.get(usize::from(choice) % ids.len().max(1)).copied()
    }

    /// Completes a connection attempt, or refuses it.
    pub(super) fn open(&mut self, choice: u8) {
        let Some(connection) = self.pick(choice, |link| link.open && !link.made) else { return };
        let Some(link) = self.links.get_mut(&connection) else { return };
        if self.cluster.node_is_up(link.node) && choice < 240 {
            link.made = true;
            self.notify(Event::Connected { connection });
        } else {
            self.break_off(connection, true);
        }
    }

    /// A broker handles the next request of a connection, perhaps long after its timeout.
    pub(super) fn serve_one(&mut self, choice: u8) {
        let Some(id) = self.pick(choice, |link| link.served && !link.requests.is_empty()) else { return };
        let now_ms = self.now_ms();
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(frame) = link.requests.pop_front() else { return };
        let pending =
            self.cluster.arrive(now_ms, link.node, &link.session, frame).expect("milena's requests can be decoded");
        let Polled::Done(reply) = self.cluster.poll(now_ms, &mut link.session, &pending) else {
            panic!("nothing is held here")
        };
        if !reply.bytes.is_empty() {
            link.responses.push_back(reply.bytes.slice(4..));
        }
        link.served = !reply.close;
    }

    /// Delivers the next response of a connection; after the last response of a broker that closed it, its end.
    pub(super) fn deliver_one(&mut self, choice: u8) {
        let Some(connection) = self.pick(choice, |link| link.open && link.has_event()) else { return };
        let response = self.links.get_mut(&connection).and_then(|link| link.responses.pop_front());
        match response {
            Some(frame) => self.notify(Event::Frame { connection, frame }),
            None => self.break_off(connection, true),
        }
    }

    /// Breaks a connection. Requests in transit are lost, or reach the broker later.
    pub(super) fn cut_one(&mut self, choice: u8, lost: bool) {
        if let Some(connection) = self.pick(choice, |link| link.open) {
            self.break_off(connection, lost);
        }
    }

    fn break_off(&mut self, connection: ConnectionId, lost: bool) {
        let Some(link) = self.links.get_mut(&connection) else { return };
        (link.open, link.served) = (false, link.served && !lost);
        let written = link.written;
        self.notify(Event::Disconnected { connection, why: "cut".into(), written, is_refused: false });
    }

    /// Loses all further requests of a connection, which the producer does not notice yet.
    pub(super) fn jam_one(&mut self, choice: u8) {
        let jammed = self.pick(choice, |link| link.open);
        jammed.and_then(|id| self.links.get_mut(&id)).into_iter().for_each(|link| link.jammed = true);
    }

    /// Changes a byte of a response, or truncates it.
    pub(super) fn corrupt_one(&mut self, input: &mut super::Input<'_>) {
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

    /// Delivers a frame that is no response to a request.
    pub(super) fn inject_frame(&mut self, input: &mut super::Input<'_>) {
        let Some(connection) = self.pick(input.byte(), |link| link.made) else { return };
        let frame = Bytes::copy_from_slice(input.bytes());
        self.notify(Event::Frame { connection, frame });
    }

    pub(super) fn stop(&mut self, node: i32) {
        self.cluster.stop(node);
        for link in self.links.values_mut().filter(|link| link.node == node) {
            link.served = false;
        }
    }

    /// Delivers everything in transit, and all that follows from it, until nothing is in transit.
    pub(super) fn flow(&mut self) {
        for _ in 0..PATIENCE {
            self.perform_actions();
            if self.pick(0, |link| link.open && !link.made).is_some() {
                self.open(0);
            } else if self.pick(0, |link| link.served && !link.requests.is_empty()).is_some() {
                self.serve_one(0);
            } else if self.pick(0, |link| link.open && link.has_event()).is_some() {
                self.deliver_one(0);
            } else {
                return;
            }
        }
        panic!("bytes are in transit for ever");
    }

    /// Breaks all connections that lost requests, so that the producer notices.
    pub(super) fn mend(&mut self) {
        while let Some(connection) = self.pick(0, |link| link.open && link.jammed) {
            self.break_off(connection, false);
        }
    }

    /// Delivers the requests that are in transit when the producer has ended.
    pub(super) fn land(&mut self) {
        while self.pick(0, |link| link.served && !link.requests.is_empty()).is_some() {
            self.serve_one(0);
        }
    }
}

impl Link {
    fn has_event(&self) -> bool {
        !self.responses.is_empty() || (self.made && !self.served)
    }
}
