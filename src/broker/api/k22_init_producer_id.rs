//! InitProducerId (22), v0–5. Pure.
//!
//! Behaviour:
//! * Without a transactional id: a new producer id with epoch 0, whatever id and epoch the request names.
//! * With one: `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`, because this broker has no transactions.
//! * A client that may neither IDEMPOTENT_WRITE on the cluster nor WRITE to any topic: `CLUSTER_AUTHORIZATION_FAILED` (KIP-679).
//! * An empty transactional id, or a producer id without epoch, or the reverse: `INVALID_REQUEST`.
//!
//! Version notes:
//! * v2: flexible
//! * v3: producer id and epoch in the request (KIP-360)

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        acls::{Kind, Operation},
        kind::Api,
        state::State,
    },
    error::ErrorCode,
};

impl Handler for InitProducerIdRequest {
    const API: Api = Api::InitProducerId;
    const SERVED: (i16, i16) = (0, 5);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<InitProducerIdResponse> {
        let response = InitProducerIdResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        let error = call.plan.top_error().or_else(|| refuse(self)).or_else(|| forbid(state, call));
        Response::Reply(match error {
            Some(code) => response.with_error_code(code.0).with_producer_id((-1).into()).with_producer_epoch(-1),
            None => response.with_producer_id(state.take_producer_id().into()).with_producer_epoch(0),
        })
    }
}

fn refuse(request: &InitProducerIdRequest) -> Option<ErrorCode> {
    match &request.transactional_id {
        Some(id) if id.is_empty() => return Some(ErrorCode::INVALID_REQUEST),
        Some(_) => return Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        None => {}
    }
    let halves = (request.producer_id.0 == -1) != (request.producer_epoch == -1);
    halves.then_some(ErrorCode::INVALID_REQUEST)
}

fn forbid(state: &State, call: &Call<'_>) -> Option<ErrorCode> {
    let may = call.may_with_cluster(state, Operation::IdempotentWrite)
        || state.acls.allows_any(&call.session.requester(), Operation::Write, Kind::Topic);
    (!may).then_some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::broker::{EmbeddedBroker, Fault, testing::TestCluster};

    fn cluster() -> TestCluster {
        TestCluster::new(EmbeddedBroker::builder(), 2)
    }

    fn request() -> InitProducerIdRequest {
        InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1)
    }

    #[test]
    fn every_request_gets_an_id_of_its_own_from_any_node_in_any_version() {
        let mut cluster = cluster();
        for (expected, version) in (0..).zip(0..=5) {
            let response = cluster.ask(1 + i32::from(version % 2), version, &request());
            assert_eq!((response.error_code, response.producer_id.0, response.producer_epoch), (0, expected, 0));
        }
    }

    #[test]
    fn naming_the_old_id_and_epoch_gets_a_new_id_as_well() {
        let mut cluster = cluster();
        let first = cluster.ask(1, 5, &request());
        let again = request().with_producer_id(first.producer_id).with_producer_epoch(first.producer_epoch);
        assert_eq!(cluster.ask(1, 5, &again).producer_id.0, 1);
    }

    #[test]
    fn transactional_ids_and_half_identities_are_refused() {
        let transactional = |id| request().with_transactional_id(Some(StrBytes::from_static_str(id).into()));
        for (request, code) in [
            (transactional("t"), ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
            (transactional(""), ErrorCode::INVALID_REQUEST),
            (request().with_producer_id(3.into()), ErrorCode::INVALID_REQUEST),
            (request().with_producer_epoch(3), ErrorCode::INVALID_REQUEST),
        ] {
            let response = cluster().ask(1, 5, &request);
            assert_eq!(
                (ErrorCode(response.error_code), response.producer_id.0, response.producer_epoch),
                (code, -1, -1)
            );
        }
    }

    #[test]
    fn an_injected_error_uses_no_id_up() {
        let mut cluster = cluster();
        cluster.state.inject(Fault::error(ErrorCode(14)).on(Api::InitProducerId));
        assert_eq!(cluster.ask(1, 5, &request()).error_code, 14);
        assert_eq!(cluster.ask(1, 5, &request()).producer_id.0, 0);
    }
}
