//! InitProducerId (22), v0–5 [P]
//!
//! Behaviour:
//! * Without a transactional id: a new producer id with epoch 0, whatever id and epoch the request names.
//! * With one: `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`, because this broker has no transactions.
//! * An empty transactional id, or a producer id without epoch, or the reverse: `INVALID_REQUEST`.
//!
//! Version notes:
//! * v2: flexible
//! * v3: producer id and epoch in the request (KIP-360)

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Answer, Api, Call, Handler};
use crate::{
    broker::{codes, state::State},
    error::ErrorCode,
};

impl Handler for InitProducerIdRequest {
    const API: Api = Api::InitProducerId;
    const SERVED: (i16, i16) = (0, 5);

    fn handle(&self, state: &mut State, call: &Call<'_>) -> Answer<InitProducerIdResponse> {
        let response = InitProducerIdResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        let error = call.plan.top_error().or_else(|| refuse(self));
        Answer::Reply(match error {
            Some(code) => response.with_error_code(code.0).with_producer_id((-1).into()).with_producer_epoch(-1),
            None => response.with_producer_id(state.take_producer_id().into()).with_producer_epoch(0),
        })
    }
}

fn refuse(request: &InitProducerIdRequest) -> Option<ErrorCode> {
    match &request.transactional_id {
        Some(id) if id.is_empty() => return Some(codes::INVALID_REQUEST),
        Some(_) => return Some(codes::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        None => {}
    }
    let halves = (request.producer_id.0 == -1) != (request.producer_epoch == -1);
    halves.then_some(codes::INVALID_REQUEST)
}
