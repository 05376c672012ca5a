//! LeaveGroup (13), v0–5. Pure.
//!
//! Behaviour:
//! * Removes members from a group. An administrator may remove static members by their `group.instance.id` alone (KIP-345).
//! * Checked in this order: READ for the group (`GROUP_AUTHORIZATION_FAILED`), `INVALID_GROUP_ID`, `NOT_COORDINATOR`; then member by member,
//!   `UNKNOWN_MEMBER_ID` or `FENCED_INSTANCE_ID`.
//!
//! Version notes:
//! * v3: many members, each with its own error; v4: flexible; v5: reason, disregarded

use kafka_protocol::messages::{
    LeaveGroupRequest, LeaveGroupResponse, leave_group_request::MemberIdentity, leave_group_response::MemberResponse,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{acls::Operation, groups::Who, kind::Api, state::State},
    error::ErrorCode,
};

/// The first version that names many members.
const BATCHED: i16 = 3;

impl Handler for LeaveGroupRequest {
    const API: Api = Api::LeaveGroup;
    const SERVED: (i16, i16) = (0, 5);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<LeaveGroupResponse> {
        let response = LeaveGroupResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        if let Err(code) = call.check_group(state, Operation::Read, &self.group_id) {
            return Response::Reply(response.with_error_code(code.0));
        }
        let all: Vec<Who> = if call.version < BATCHED {
            vec![Who { member: self.member_id.to_string(), instance: None }]
        } else {
            self.members.iter().map(leaving).collect()
        };
        let left = state.groups.leave(call.now_ms, &self.group_id, &all);
        let mut codes = left.into_iter().map(|left| left.err().unwrap_or(ErrorCode::NONE).0);
        Response::Reply(if call.version < BATCHED {
            response.with_error_code(codes.next().unwrap_or_default())
        } else {
            response.with_members(self.members.iter().zip(codes).map(|(one, code)| respond(one, code)).collect())
        })
    }
}

fn leaving(one: &MemberIdentity) -> Who {
    Who { member: one.member_id.to_string(), instance: one.group_instance_id.as_ref().map(ToString::to_string) }
}

fn respond(one: &MemberIdentity, code: i16) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(one.member_id.clone())
        .with_group_instance_id(one.group_instance_id.clone())
        .with_error_code(code)
}
