//! What comes over links: responses, and the ends of connections, after which there will be none.
//!
//! In: frames, written requests and lost connections. Out: each response passed to the owner of the request: Produce to the lanes,
//! Metadata to metadata, a producer id to its owner. Pure. Deliberately absent: what a response to Produce means
//! ([`super::lanes::attempts`]), and what one to Metadata changes ([`super::learning`]).

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Action, Cause, ConnectionId, Purpose, Seen, Sender, SentBatches,
    lanes::{attempts::AttemptResult, lane::Leader},
    links::{Lost, node::InFlight},
};
use crate::{
    accumulator::MetadataFailure,
    cluster::Broker,
    config::Acks,
    error::ErrorCode,
    sasl::Credentials,
    wire::apis::{
        self, BadResponse, init_producer_id, metadata,
        produce::{self, ProduceResults},
        sasl_authenticate, sasl_handshake,
    },
};

impl Sender {
    /// A connection ended. `written` is the last request that went out whole.
    pub(super) fn disconnected(
        &mut self,
        connection: ConnectionId,
        why: &Arc<str>,
        written: Option<i32>,
        is_refused: bool,
    ) {
        if let Some(lost) = self.links.disconnected(connection, why, written, &mut self.common) {
            self.lost(Lost { is_refused, ..lost });
            self.metadata.refresh(self.common.now);
        }
    }

    /// Ends a connection that is of no use, and looks for another broker.
    pub(super) fn end(&mut self, id: i32, why: &str, error: ErrorCode) {
        let lost = self.links.disconnect(id, Cause { code: error, why: why.into() }, &mut self.common);
        lost.into_iter().for_each(|lost| self.lost(lost));
        self.metadata.refresh(self.common.now);
    }

    /// A connection is gone: what was in flight has no response.
    pub(super) fn lost(&mut self, lost: Lost) {
        let Lost { broker, address, why, is_refused, unanswered, unconfirmed } = lost;
        // That the broker does not let the client in again says nothing of what it was sent before.
        let code = if is_refusal(why.code) { ErrorCode::NETWORK_EXCEPTION } else { why.code };
        for (request, seen) in unanswered {
            self.give_back(broker, &request.purpose, code, &why.why, seen);
        }
        let common = &mut self.common;
        if common.config.acks == Acks::None {
            // No response says what became of the records that went out over it. Its lanes request one next.
            self.lanes.lost(broker);
            if unconfirmed > 0 {
                common.recorder().lost_unconfirmed(unconfirmed);
                common.warnings.lost_unconfirmed(broker, &address, &why.why, unconfirmed, common.now);
            }
        }
        // A broker that lets nobody in says the same next time, unless somebody acts. Another one may be better.
        let is_final = (is_refused || is_refusal(why.code)) && !self.links.is_any_up();
        let failure =
            MetadataFailure { code: why.code, why: format!("broker at {address}: {}", why.why).into(), is_final };
        self.common.accumulator.topics().set_metadata_failure(Some(failure));
        if is_refusal(why.code) && self.common.login.has_tokens() {
            self.links.actions.push_back(Action::RenewToken);
        }
    }

    /// There is another token, or none could be had. While there is no valid one, nobody need wait for metadata.
    pub(super) fn token(&mut self, token: Result<Arc<Credentials>, Arc<str>>) {
        let (now, had_none) = (self.common.now, !self.common.login.may_connect(self.common.now));
        let failed = token.as_ref().err().cloned();
        let is_another = self.common.login.take(token);
        let lack = self.common.login.lack(now);
        match (failed, lack) {
            (None, _) => {
                self.common.warnings.has_token();
                if is_another {
                    self.links.token_came(now);
                }
                if had_none {
                    self.common.accumulator.topics().set_metadata_failure(None);
                }
            }
            (Some(why), lack) => {
                self.common.warnings.no_token(&why, lack.is_none(), now);
                if let Some(Cause { code, why }) = lack.filter(|_| !self.links.is_any_session(now)) {
                    let failure = MetadataFailure { code, why, is_final: true };
                    self.common.accumulator.topics().set_metadata_failure(Some(failure));
                }
            }
        }
    }

    /// A request has no response, or none that can be used.
    fn give_back(&mut self, broker: i32, purpose: &Purpose, code: ErrorCode, why: &Arc<str>, seen: Seen) {
        let (now, common) = (self.common.now, &mut self.common);
        let why = Arc::clone(why);
        match purpose {
            Purpose::Produce(sent) => {
                let result = AttemptResult::unconfirmed(broker, code, Some(why));
                self.lanes.unanswered(sent, &result, seen, common);
            }
            Purpose::Metadata(request) => self.metadata.failed(*request, now, &mut common.chance),
            Purpose::InitProducerId => self.lanes.producer_id.failed(Cause { code, why }, now, &mut common.chance),
            // What a connection begins with is requested again with the next one.
            Purpose::ApiVersions | Purpose::SaslHandshake | Purpose::SaslAuthenticate => {}
        }
    }

    /// A request without a response (`acks=0`) went out whole.
    pub(super) fn written(&mut self, connection: ConnectionId, correlation: i32) {
        // With a connection that was ended its requests came back.
        let Some(&broker) = self.links.connections.get(&connection) else { return };
        if let Some(request) = self.links.take_written(broker, correlation, &mut self.common) {
            self.give_back(broker, &request.purpose, ErrorCode::NONE, &"".into(), Seen::Whole);
        }
    }

    /// A frame came: it must be the response to the oldest request.
    pub(super) fn frame(&mut self, connection: ConnectionId, frame: &Bytes) {
        // What came over a connection before it was ended counts no more.
        let Some(&broker) = self.links.connections.get(&connection) else { return };
        let read = match self.links.take_request(broker, frame.len(), &mut self.common) {
            Some(request) => self.receive_response(broker, &request, frame),
            None => Err(Cause::network("response without a request")),
        };
        if let Err(Cause { code, why }) = read {
            self.end(broker, &why, code);
        }
    }

    /// Passes a response to the owner of its request; one that cannot be used counts as none. Returns why the connection is of no use
    /// any more, if it is not.
    fn receive_response(&mut self, broker: i32, request: &InFlight, frame: &Bytes) -> Result<(), Cause> {
        let got = apis::correlation(frame);
        let read = if got == Some(request.correlation) {
            self.read_response(broker, request, frame)
        } else {
            let (got, expected) = (got.unwrap_or(-1), request.correlation);
            Err(Cause::network(format!("response {got} where {expected} was expected")))
        };
        read.inspect_err(|Cause { code, why }| self.give_back(broker, &request.purpose, *code, why, Seen::Whole))
    }

    fn read_response(&mut self, broker: i32, request: &InFlight, frame: &Bytes) -> Result<(), Cause> {
        let unreadable = |error: BadResponse| Cause::network(error.to_string());
        let version = request.version;
        match &request.purpose {
            Purpose::ApiVersions => self.links.negotiated(broker, version, frame, &mut self.common)?,
            Purpose::SaslHandshake => {
                let response = sasl_handshake::decode(frame, version).map_err(unreadable)?;
                self.links.agreed(broker, &response, &mut self.common)?;
            }
            Purpose::SaslAuthenticate => {
                let response = sasl_authenticate::decode(frame, version).map_err(unreadable)?;
                self.links.answered(broker, &response, &mut self.common)?;
            }
            Purpose::Produce(sent) => {
                let response = produce::decode(frame, version).map_err(unreadable)?;
                self.produced(broker, sent, response).map_err(Cause::network)?;
            }
            Purpose::Metadata(number) => {
                let response = metadata::decode(frame, version).map_err(unreadable)?;
                self.links.throttle(broker, response.throttle_ms, &mut self.common);
                self.learn(*number, response);
            }
            Purpose::InitProducerId => {
                let response = init_producer_id::decode(frame, version).map_err(unreadable)?;
                self.links.throttle(broker, response.throttle_ms, &mut self.common);
                self.lanes.identified(broker, response, &mut self.common);
            }
        }
        Ok(())
    }

    /// The response to Produce. Returns why it cannot be one, if it names what was not requested.
    fn produced(&mut self, broker: i32, sent: &SentBatches, response: ProduceResults) -> Result<(), String> {
        self.links.throttle(broker, response.throttle_ms, &mut self.common);
        let results = self.lanes.by_part(&sent.parts, response.partitions)?;
        for (part, result) in sent.parts.iter().zip(results) {
            let leader = result.as_ref().and_then(|result| result.leader.filter(|_| hints(result.error)));
            let result = AttemptResult::confirmed(broker, result);
            self.lanes.conclude(part.slot, sent.request, result, &mut self.common);
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

/// Whether a broker, or its part of the authentication, keeps the client out.
fn is_refusal(code: ErrorCode) -> bool {
    [ErrorCode::SASL_AUTHENTICATION_FAILED, ErrorCode::UNSUPPORTED_SASL_MECHANISM, ErrorCode::ILLEGAL_SASL_STATE]
        .contains(&code)
}

/// Only these two errors mean that the leader is elsewhere (KIP-951).
fn hints(error: ErrorCode) -> bool {
    error == ErrorCode::NOT_LEADER_OR_FOLLOWER || error == ErrorCode::FENCED_LEADER_EPOCH
}
