//! Heartbeat (12), v0–4. Pure.
//!
//! Behaviour:
//! * Keeps a member in its group, and tells it with `REBALANCE_IN_PROGRESS` to join again.
//! * Checked in this order: READ for the group (`GROUP_AUTHORIZATION_FAILED`), `INVALID_GROUP_ID`, `NOT_COORDINATOR`, `UNKNOWN_MEMBER_ID` or
//!   `FENCED_INSTANCE_ID`, `ILLEGAL_GENERATION`.
//!
//! Version notes:
//! * v3: static members; v4: flexible

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{acls::Operation, groups::Who, kind::Api, state::State},
    error::ErrorCode,
};

impl Handler for HeartbeatRequest {
    const API: Api = Api::Heartbeat;
    const SERVED: (i16, i16) = (0, 4);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<HeartbeatResponse> {
        let who = Who {
            member: self.member_id.to_string(),
            instance: self.group_instance_id.as_ref().map(ToString::to_string),
        };
        let checked = call.check_group(state, Operation::Read, &self.group_id);
        let taken =
            checked.and_then(|()| state.groups.heartbeat(call.now_ms, &self.group_id, &who, self.generation_id));
        let code = taken.err().unwrap_or(ErrorCode::NONE);
        let response = HeartbeatResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        Response::Reply(response.with_error_code(code.0))
    }
}
