//! What comes over links: responses, and the news that there will be none.
//!
//! In: frames, written requests and lost connections. Out: each given to what asked for it: batches to the lanes, what is said of the
//! cluster to metadata, producer ids to their owner. Pure. Deliberately absent: what a response to Produce means
//! ([`super::lanes::attempts`]), and what one to Metadata does ([`super::learning`]).

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Sender,
    events::ConnectionId,
    lanes::{
        attempts::{Attempt, Reply},
        lane::Leader,
    },
    links::{Lost, node::InFlight},
    request::{Purpose, Seen, SentBatches},
};
use crate::{
    cluster::Broker,
    config::Acks,
    error::ErrorCode,
    wire::apis::{
        self, BadResponse, init_producer_id, metadata,
        produce::{self, ProduceResults},
    },
};

impl Sender {
    /// A connection ended. `written` is the last request that went out whole.
    pub(super) fn disconnected(&mut self, connection: ConnectionId, why: &Arc<str>, written: Option<i32>) {
        if let Some(lost) = self.links.disconnected(connection, why, written, &mut self.common) {
            self.lost(lost, ErrorCode::NETWORK_EXCEPTION);
            self.metadata.refresh(self.common.now);
        }
    }

    /// Ends a connection that is of no use, and looks for another broker.
    pub(super) fn end(&mut self, id: i32, why: &str, error: ErrorCode) {
        if let Some(lost) = self.links.disconnect(id, &why.into(), &mut self.common) {
            self.lost(lost, error);
        }
        self.metadata.refresh(self.common.now);
    }

    /// A connection is gone: what was in flight has no response.
    pub(super) fn lost(&mut self, lost: Lost, error: ErrorCode) {
        let Lost { broker, address, why, unanswered, unconfirmed } = lost;
        for (request, seen) in unanswered {
            self.give_back(broker, &request.purpose, error, &why, seen);
        }
        if self.common.config.acks == Acks::None {
            self.lost_unconfirmed(broker, &address, &why, unconfirmed);
        }
        self.common.accumulator.topics().set_metadata_failure(Some(format!("broker at {address}: {why}").into()));
    }

    /// With `acks=0` nobody says what became of the records that went out over a connection that is gone: they are counted as
    /// what they are, and the topic-partitions led there ask for a response next.
    fn lost_unconfirmed(&mut self, broker: i32, address: &str, why: &str, records: u64) {
        self.lanes.lost(broker);
        if records > 0 {
            self.common.recorder().lost_unconfirmed(records);
            self.common.warnings.lost_unconfirmed(broker, address, why, records, self.common.now);
        }
    }

    /// A request has no response, or none that can be used.
    fn give_back(&mut self, broker: i32, purpose: &Purpose, error: ErrorCode, why: &Arc<str>, seen: Seen) {
        let (now, common) = (self.common.now, &mut self.common);
        match purpose {
            Purpose::Produce(sent) => self.lanes.unanswered(broker, sent, error, why, seen, common),
            Purpose::Metadata(question) => self.metadata.failed(*question, now, &mut common.chance),
            Purpose::InitProducerId => {
                self.lanes.producer_id.failed(error, why, now, common.retry(), &mut common.chance)
            }
            // Nobody waits for what a connection begins with.
            Purpose::ApiVersions => {}
        }
        self.grant_wishes();
    }

    /// A request without a response (`acks=0`) went out whole.
    pub(super) fn written(&mut self, connection: ConnectionId, correlation: i32) {
        if let Some((broker, request)) = self.links.take_written(connection, correlation, &mut self.common) {
            self.give_back(broker, &request.purpose, ErrorCode::NONE, &"".into(), Seen::Whole);
        }
    }

    /// A frame came: it must be the response to the oldest request.
    pub(super) fn frame(&mut self, connection: ConnectionId, frame: &Bytes) {
        let taken = self.links.take_response(connection, frame.len(), &mut self.common);
        let Some((broker, request)) = taken else { return };
        let read = match request {
            Some(request) => self.receive_response(broker, request, frame),
            None => Err("response without a request".to_owned()),
        };
        if let Err(why) = read {
            self.end(broker, &why, ErrorCode::NETWORK_EXCEPTION);
        }
    }

    /// Gives a response to what asked for it. Returns why the connection is of no use any more, if it is not.
    fn receive_response(&mut self, broker: i32, request: InFlight, frame: &Bytes) -> Result<(), String> {
        let InFlight { correlation, version, purpose, .. } = request;
        let got = apis::correlation(frame);
        if got != Some(correlation) {
            let why = format!("response {} where {correlation} was expected", got.unwrap_or(-1));
            return Err(self.unusable(broker, &purpose, why));
        }
        let unreadable = |error: BadResponse| error.to_string();
        let read = match &purpose {
            Purpose::ApiVersions => return self.links.negotiated(broker, version, frame, &mut self.common),
            Purpose::Produce(sent) => produce::decode(frame, version)
                .map_err(unreadable)
                .and_then(|response| self.produced(broker, sent, version, response)),
            Purpose::Metadata(question) => metadata::decode(frame, version).map_err(unreadable).map(|response| {
                self.links.throttle(broker, response.throttle_ms, &mut self.common);
                self.learn(*question, response);
            }),
            Purpose::InitProducerId => init_producer_id::decode(frame, version).map_err(unreadable).map(|response| {
                self.links.throttle(broker, response.throttle_ms, &mut self.common);
                self.lanes.identified(broker, response, &mut self.common);
            }),
        };
        read.map_err(|why| self.unusable(broker, &purpose, why))
    }

    /// A response cannot be used: its request goes back. Returns why.
    fn unusable(&mut self, broker: i32, purpose: &Purpose, why: String) -> String {
        self.give_back(broker, purpose, ErrorCode::NETWORK_EXCEPTION, &why.as_str().into(), Seen::Whole);
        why
    }

    /// A broker judged the batches of a request. Returns why it cannot be the response, if it names what was not asked.
    fn produced(
        &mut self,
        broker: i32,
        sent: &SentBatches,
        version: i16,
        response: ProduceResults,
    ) -> Result<(), String> {
        self.links.throttle(broker, response.throttle_ms, &mut self.common);
        let mut entries = self.lanes.by_part(&sent.parts, version, response.partitions)?;
        for (part, entry) in sent.parts.iter().zip(&mut entries) {
            let leader = entry.as_ref().and_then(|entry| entry.leader);
            let reply = entry.take().map_or_else(|| Reply::left_out(broker), Reply::from);
            let leader = leader.filter(|_| hints(reply.error));
            let attempt = Attempt { slot: part.slot, request: sent.request, broker, lost: false };
            self.lanes.conclude(attempt, reply, &mut self.common);
            self.grant_wishes();
            if let Some(leader) = leader {
                self.hint(part.slot, leader, &response.brokers);
            }
        }
        self.lanes.list_all(&sent.parts, &mut self.common);
        Ok(())
    }

    /// A broker said who leads a topic-partition instead (KIP-951).
    fn hint(&mut self, slot: u32, leader: (i32, i32), brokers: &[Broker]) {
        let Some(origin) = self.lanes.origin(slot) else { return self.common.missing("the lane of a hint") };
        if self.metadata.hint(&origin.topic, origin.partition, leader, brokers) {
            self.sync_brokers();
            self.lanes.lead(slot, Some(Leader { node: leader.0, epoch: leader.1 }), false, &mut self.common);
        }
    }
}

/// Only these two errors mean that the leader is elsewhere (KIP-951).
fn hints(error: ErrorCode) -> bool {
    error == ErrorCode::NOT_LEADER_OR_FOLLOWER || error == ErrorCode::FENCED_LEADER_EPOCH
}
