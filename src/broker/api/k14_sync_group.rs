//! SyncGroup (14), v0–5. Pure.
//!
//! Behaviour:
//! * A member asks for its part, and waits until the leader has shared out. The leader brings what everybody gets.
//! * Checked in this order: `INCONSISTENT_GROUP_PROTOCOL` for a request without its type or name of protocol (v5), READ for the group
//!   (`GROUP_AUTHORIZATION_FAILED`), `INVALID_GROUP_ID`, `NOT_COORDINATOR`; then the group judges.
//!
//! Version notes:
//! * v3: static members; v4: flexible; v5: type and name of the protocol (KIP-559)

use bytes::Bytes;
use kafka_protocol::{
    messages::{SyncGroupRequest, SyncGroupResponse},
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        acls::Operation,
        groups::{GroupAnswer, Standing, SyncGroup, Synced, Who},
        kind::Api,
        state::State,
    },
    error::ErrorCode,
};

/// The first version that names the protocol.
const NAMED: i16 = 5;

impl Handler for SyncGroupRequest {
    const API: Api = Api::SyncGroup;
    const SERVED: (i16, i16) = (0, 5);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<SyncGroupResponse> {
        let (now_ms, ticket) = (call.now_ms, call.ticket);
        let mut standing = state.groups.standing(now_ms, &self.group_id, ticket);
        if standing == Standing::New {
            if let Err(code) = check(self, state, call) {
                return Response::Reply(respond(call, Synced::refused(code)));
            }
            state.groups.sync(now_ms, ticket, &syncing(self));
            standing = state.groups.standing(now_ms, &self.group_id, ticket);
        }
        match standing {
            Standing::Held { until_ms } => Response::Hold { until_ms },
            Standing::Done(GroupAnswer::Synced(synced)) => Response::Reply(respond(call, synced)),
            Standing::Done(GroupAnswer::Joined(_)) | Standing::New => Response::Close,
        }
    }
}

fn check(request: &SyncGroupRequest, state: &State, call: &Call<'_>) -> Result<(), ErrorCode> {
    if call.version >= NAMED && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
    call.check_group(state, Operation::Read, &request.group_id)
}

fn syncing(request: &SyncGroupRequest) -> SyncGroup {
    let text = |text: &Option<StrBytes>| text.as_ref().map(ToString::to_string);
    let part = |(id, part): (&StrBytes, &Bytes)| (id.to_string(), Bytes::copy_from_slice(part));
    SyncGroup {
        group: request.group_id.to_string(),
        who: Who { member: request.member_id.to_string(), instance: text(&request.group_instance_id) },
        generation: request.generation_id,
        protocol_type: text(&request.protocol_type),
        protocol_name: text(&request.protocol_name),
        assignments: request.assignments.iter().map(|one| part((&one.member_id, &one.assignment))).collect(),
    }
}

fn respond(call: &Call<'_>, synced: Synced) -> SyncGroupResponse {
    SyncGroupResponse::default()
        .with_throttle_time_ms(call.plan.throttle_ms())
        .with_error_code(synced.code.0)
        .with_protocol_type(synced.protocol_type.map(StrBytes::from_string))
        .with_protocol_name(synced.protocol_name.map(StrBytes::from_string))
        .with_assignment(synced.assignment)
}
