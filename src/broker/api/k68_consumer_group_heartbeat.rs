//! ConsumerGroupHeartbeat (68), v0–1. Pure.
//!
//! Behaviour:
//! * `UNSUPPORTED_VERSION`, as Apache Kafka answers with `group.coordinator.rebalance.protocols=classic`: there are no groups of KIP-848. Java's
//!   consumer says then to set `group.protocol=classic`, and librdkafka fails. Without an answer librdkafka would look for a coordinator for ever.

use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{kind::Api, state::State},
    error::ErrorCode,
};

impl Handler for ConsumerGroupHeartbeatRequest {
    const API: Api = Api::ConsumerGroupHeartbeat;
    const SERVED: (i16, i16) = (0, 1);

    fn handle(&self, _: &mut State, call: &mut Call<'_>) -> Response<ConsumerGroupHeartbeatResponse> {
        let response = ConsumerGroupHeartbeatResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        Response::Reply(response.with_error_code(ErrorCode::UNSUPPORTED_VERSION.0))
    }
}
