//! How the cluster handles requests.
//!
//! In: frames from clients, with the node that they reached and the time. Out: frames, and when to send them. Pure. The TCP listener
//! drives it, and so does the simulator.
//!
//! A request takes two steps. [`State::arrive`] reads it and decides which faults strike it. That happens once. [`State::poll`]
//! handles it, or returns until when to hold it. A held request must be polled again at that time, and whenever the state may have
//! changed. Spurious polls do nothing.

use bytes::Bytes;

use super::{
    api::{self, Call, Malformed, ReceivedRequest, Response},
    faults::Plan,
    groups::Ticket,
    session::Session,
    state::State,
};

/// A request that has arrived and has no response yet.
pub(crate) struct Pending {
    node: i32,
    arrived_ms: i64,
    due_ms: i64,
    ticket: Ticket,
    request: ReceivedRequest,
    plan: Plan,
}

/// The result of polling a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    /// The request is held. Poll it again at that time, and when the state has changed.
    Hold { until_ms: i64 },
    /// The request is handled.
    Done(Reply),
}

/// The bytes to send back over the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The response with its length prefix. It is empty if there is none.
    pub(crate) bytes: Bytes,
    /// When to send it.
    pub(crate) at_ms: i64,
    /// Whether to close the connection afterwards.
    pub(crate) close: bool,
}

impl State {
    /// Takes a frame that reached `node` over the connection of `session`, without its length prefix. The request before it has its
    /// response. After an error the connection must be closed.
    pub(crate) fn arrive(
        &mut self,
        now_ms: i64,
        node: i32,
        session: &Session,
        frame: Bytes,
    ) -> Result<Pending, Malformed> {
        let request = api::parse(frame)?;
        let api = request.api();
        session.admit(now_ms, &self.security, api)?;
        self.count_request(api);
        let targets = if self.faults.none() { Vec::new() } else { request.targets(self) };
        let plan = self.faults.plan(node, api, &targets);
        let due_ms = now_ms.saturating_add(plan.request_delay_ms());
        Ok(Pending { node, arrived_ms: now_ms, due_ms, ticket: self.take_ticket(), request, plan })
    }

    /// Handles a request, or holds it.
    pub(crate) fn poll(&mut self, now_ms: i64, session: &mut Session, pending: &Pending) -> Polled {
        match self.nodes.get(&pending.node) {
            Some(node) if node.up && node.paused => return Polled::Hold { until_ms: i64::MAX },
            Some(node) if node.up => {}
            _ => return Polled::Done(Reply::close(now_ms)),
        }
        if now_ms < pending.due_ms {
            return Polled::Hold { until_ms: pending.due_ms };
        }
        if pending.plan.drops_request() {
            return Polled::Done(Reply::close(now_ms));
        }
        match pending.request.respond(self, &mut pending.call(now_ms, session)) {
            Response::Hold { until_ms } => Polled::Hold { until_ms },
            Response::Close => Polled::Done(Reply::close(now_ms)),
            Response::Silent => Polled::Done(pending.spoil(now_ms, Bytes::new())),
            Response::Reply(bytes) => Polled::Done(pending.spoil(now_ms, bytes)),
            Response::Last(bytes) => Polled::Done(Reply { close: true, ..pending.spoil(now_ms, bytes) }),
        }
    }
}

impl Reply {
    pub(super) fn close(now_ms: i64) -> Self {
        Self { bytes: Bytes::new(), at_ms: now_ms, close: true }
    }
}

impl Pending {
    /// The client's software, if the request names it.
    pub(super) fn software(&self) -> Option<String> {
        self.request.software()
    }

    fn call<'a>(&'a self, now_ms: i64, session: &'a mut Session) -> Call<'a> {
        let ReceivedRequest { version, client_id, .. } = &self.request;
        let (arrived_ms, ticket) = (self.arrived_ms, self.ticket);
        Call { now_ms, arrived_ms, ticket, node: self.node, version: *version, client_id, plan: &self.plan, session }
    }

    /// Whether a fault strikes the request.
    #[cfg(test)]
    pub(crate) fn is_struck(&self) -> bool {
        !self.plan.is_empty()
    }

    /// The throttle time that its response will have, in milliseconds.
    #[cfg(test)]
    pub(crate) fn throttle_ms(&self) -> u64 {
        u64::try_from(self.plan.throttle_ms()).unwrap_or(0)
    }

    /// Applies the faults that concern the response.
    fn spoil(&self, now_ms: i64, bytes: Bytes) -> Reply {
        let at_ms = now_ms.saturating_add(self.plan.response_delay_ms());
        if self.plan.drops_response() {
            return Reply { bytes: Bytes::new(), at_ms, close: true };
        }
        if let Some(after) = self.plan.cut() {
            let mut bytes = bytes;
            bytes.truncate(after);
            return Reply { bytes, at_ms, close: true };
        }
        Reply { bytes: self.plan.replacement().unwrap_or(bytes), at_ms, close: false }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;
    use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};

    use super::*;
    use crate::broker::{
        Api, EmbeddedBroker, Fault,
        testing::{BatchOf, NOW, TestCluster, frame, produce},
    };

    fn cluster() -> TestCluster {
        TestCluster::new(EmbeddedBroker::builder().topic("orders", 1), 2)
    }

    fn write() -> kafka_protocol::messages::ProduceRequest {
        produce("orders", 0, BatchOf::values(&["a"]).encode())
    }

    /// The reply to a write that a fault strikes, and how many records there are afterwards.
    fn struck_by(fault: Fault) -> (Reply, usize) {
        let mut cluster = cluster();
        cluster.state.inject(fault);
        let reply = cluster.reply(1, 12, &write());
        (reply, cluster.state.log("orders", 0).len())
    }

    fn undisturbed() -> Bytes {
        struck_by(Fault::throttle(Duration::ZERO)).0.bytes
    }

    #[test]
    fn the_same_steps_give_the_same_bytes() {
        assert_eq!(undisturbed(), undisturbed());
    }

    #[test]
    fn a_dropped_request_does_nothing_and_a_dropped_response_leaves_the_record() {
        let close = Reply { bytes: Bytes::new(), at_ms: NOW, close: true };
        assert_eq!(struck_by(Fault::drop_request()), (close.clone(), 0));
        assert_eq!(struck_by(Fault::drop_response()), (close, 1));
    }

    #[test]
    fn a_cut_response_is_the_start_of_the_right_one() {
        let (reply, records) = struck_by(Fault::cut_response(9));
        assert_eq!((reply.bytes, reply.close, records), (undisturbed().slice(..9), true, 1));
        let (reply, _) = struck_by(Fault::cut_response(usize::MAX));
        assert_eq!(reply.bytes, undisturbed());
    }

    #[test]
    fn garbage_takes_the_place_of_the_answer() {
        let (reply, records) = struck_by(Fault::garbage(&b"\0\0\0\0"[..]));
        assert_eq!((reply.bytes.as_ref(), reply.close, records), (&b"\0\0\0\0"[..], false, 1));
    }

    #[test]
    fn a_delayed_response_tells_of_what_was_done_at_once() {
        let (reply, records) = struck_by(Fault::delay_response(Duration::from_millis(30)));
        assert_eq!((reply.bytes, reply.at_ms, records), (undisturbed(), NOW + 30, 1));
    }

    #[test]
    fn a_delayed_request_is_done_when_its_time_has_come() {
        let mut cluster = cluster();
        cluster.state.inject(Fault::delay_request(Duration::from_millis(30)));
        let pending = cluster.arrive(1, 12, &write());
        assert_eq!(cluster.poll(&pending), Polled::Hold { until_ms: NOW + 30 });
        assert!(cluster.state.log("orders", 0).is_empty());
        cluster.now_ms += 30;
        assert!(matches!(cluster.poll(&pending), Polled::Done(_)));
        assert_eq!(cluster.state.log("orders", 0).len(), 1);
    }

    #[test]
    fn a_paused_node_holds_what_it_gets_and_the_others_go_on() {
        let mut cluster = cluster();
        cluster.state.set_paused(1, true).unwrap();
        let pending = cluster.arrive(1, 12, &write());
        assert_eq!(cluster.poll(&pending), Polled::Hold { until_ms: i64::MAX });
        cluster.ask(2, 0, &ApiVersionsRequest::default());
        cluster.state.heal();
        assert!(matches!(cluster.poll(&pending), Polled::Done(_)));
    }

    #[test]
    fn a_node_that_is_down_or_does_not_exist_closes_connections() {
        let mut cluster = cluster();
        cluster.state.stop(1);
        for node in [1, 3] {
            assert!(cluster.reply(node, 12, &write()).close);
        }
        assert!(cluster.state.log("orders", 0).is_empty());
    }

    #[test]
    fn a_throttled_answer_says_so() {
        let mut cluster = cluster();
        cluster.state.inject(Fault::throttle(Duration::from_secs(1)).on(Api::Metadata));
        let throttle = |cluster: &mut TestCluster| cluster.ask(1, 12, &MetadataRequest::default()).throttle_time_ms;
        assert_eq!([throttle(&mut cluster), throttle(&mut cluster)], [1000, 0]);
    }

    #[test]
    fn requests_are_counted_by_their_kind() {
        let mut cluster = cluster();
        (0..3).for_each(|_| drop(cluster.ask(1, 12, &write())));
        assert_eq!((cluster.state.requests(Api::Produce), cluster.state.requests(Api::Fetch)), (3, 0));
    }

    #[test]
    fn frames_that_are_no_requests_are_refused_by_what_is_wrong_with_them() {
        let refused = |frame: Bytes| cluster().state.arrive(NOW, 1, &Session::default(), frame).err().unwrap();
        let with = |place: usize, value: i16| {
            let mut bytes = BytesMut::from(&frame(12, 7, &write())[..]);
            bytes[place..place + 2].copy_from_slice(&value.to_be_bytes());
            bytes.freeze()
        };
        assert_eq!(refused(Bytes::from_static(b"1234567")), Malformed::Short { got: 7 });
        assert_eq!(refused(with(0, 99)), Malformed::UnknownApi { key: 99 });
        assert_eq!(refused(with(2, 2)), Malformed::UnsupportedVersion { key: 0, version: 2, min: 3, max: 13 });
        assert!(matches!(refused(with(8, -2)), Malformed::Shape(_)));
        let whole = frame(12, 7, &write());
        for len in 8..whole.len() {
            assert!(matches!(refused(whole.slice(..len)), Malformed::Shape(_)), "{len}");
        }
    }
}
