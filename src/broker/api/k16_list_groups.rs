//! ListGroups (16), v0–5. Pure.
//!
//! Behaviour:
//! * Lists the groups that this node coordinates, in the states and of the types that the client asks for.
//! * A client that may not DESCRIBE the cluster is told of the groups that it may DESCRIBE.
//!
//! Version notes:
//! * v3: flexible; v4: states (KIP-518); v5: types (KIP-848), of which there is `classic` alone

use kafka_protocol::{
    messages::{ListGroupsRequest, ListGroupsResponse, list_groups_response::ListedGroup},
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::broker::{acls::Operation, groups::Group, kind::Api, state::State};

/// The type of every group.
const CLASSIC: &str = "classic";

impl Handler for ListGroupsRequest {
    const API: Api = Api::ListGroups;
    const SERVED: (i16, i16) = (0, 5);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<ListGroupsResponse> {
        let response = ListGroupsResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        if let Some(code) = call.plan.top_error() {
            return Response::Reply(response.with_error_code(code.0));
        }
        state.groups.advance_all(call.now_ms);
        let may_see_all = call.may_with_cluster(state, Operation::Describe);
        let may_see = |id: &str| may_see_all || call.may_with_group(state, Operation::Describe, id);
        let is_here = |id: &str| call.check_coordinator(state, id).is_ok();
        let listed = state.groups.all().filter(|(id, group)| is_here(id) && may_see(id) && is_wanted(self, group));
        Response::Reply(response.with_groups(listed.map(tell).collect()))
    }
}

fn is_wanted(request: &ListGroupsRequest, group: &Group) -> bool {
    let (states, types) = (&request.states_filter, &request.types_filter);
    let has_state = states.is_empty() || states.iter().any(|state| is_same(state, group.state.name()));
    has_state && (types.is_empty() || types.iter().any(|kind| is_same(kind, CLASSIC)))
}

fn is_same(asked: &str, name: &str) -> bool {
    asked.trim().eq_ignore_ascii_case(name)
}

fn tell((id, group): (&String, &Group)) -> ListedGroup {
    ListedGroup::default()
        .with_group_id(StrBytes::from_string(id.clone()).into())
        .with_protocol_type(StrBytes::from_string(group.protocol_type.clone().unwrap_or_default()))
        .with_group_state(StrBytes::from_static_str(group.state.name()))
        .with_group_type(StrBytes::from_static_str(CLASSIC))
}
