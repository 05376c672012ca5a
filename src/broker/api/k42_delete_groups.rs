//! DeleteGroups (42), v0–2. Pure.
//!
//! Behaviour:
//! * Deletes groups without members, with what they have committed.
//! * Checked in this order: DELETE for the group (`GROUP_AUTHORIZATION_FAILED`; such groups come last), `NOT_COORDINATOR`, `GROUP_ID_NOT_FOUND`,
//!   `NON_EMPTY_GROUP`.
//!
//! Version notes:
//! * v2: flexible

use std::collections::BTreeSet;

use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, GroupId, delete_groups_response::DeletableGroupResult,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{acls::Operation, kind::Api, state::State},
    error::ErrorCode,
};

impl Handler for DeleteGroupsRequest {
    const API: Api = Api::DeleteGroups;
    const SERVED: (i16, i16) = (0, 2);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<DeleteGroupsResponse> {
        let mut seen = BTreeSet::new();
        let names = self.groups_names.iter().filter(|name| seen.insert(name.as_str()));
        let (own, hidden): (Vec<_>, Vec<_>) =
            names.partition(|name| call.may_with_group(state, Operation::Delete, name));
        let mut results: Vec<_> = own.into_iter().map(|name| respond(name, delete(state, call, name))).collect();
        results.extend(hidden.into_iter().map(|name| respond(name, Err(ErrorCode::GROUP_AUTHORIZATION_FAILED))));
        let response = DeleteGroupsResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        Response::Reply(response.with_results(results))
    }
}

fn delete(state: &mut State, call: &Call<'_>, name: &str) -> Result<(), ErrorCode> {
    call.plan.top_error().map_or(Ok(()), Err)?;
    call.check_coordinator(state, name)?;
    state.touched.group(name);
    state.groups.delete(call.now_ms, name)
}

fn respond(name: &GroupId, deleted: Result<(), ErrorCode>) -> DeletableGroupResult {
    let code = deleted.err().unwrap_or(ErrorCode::NONE);
    DeletableGroupResult::default().with_group_id(name.clone()).with_error_code(code.0)
}
