//! DescribeGroups (15), v0–6. Pure.
//!
//! Behaviour:
//! * Tells a group's state, its protocol and its members. What they said of themselves is told of a group that is stable.
//! * A group that does not exist is `Dead`, and from v6 on `GROUP_ID_NOT_FOUND` as well (KIP-1043).
//! * A client that may not DESCRIBE a group: `GROUP_AUTHORIZATION_FAILED`; such groups come first.
//!
//! Version notes:
//! * v3: what the client may do with the group; v4: static members; v5: flexible

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
        describe_groups_response::{DescribedGroup, DescribedGroupMember},
    },
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        acls::{Kind, Operation},
        groups::{Group, GroupState, Member},
        kind::Api,
        state::State,
    },
    error::ErrorCode,
};

/// The first version that tells what the client may do.
const RIGHTS: i16 = 3;
/// The first version in which a group that does not exist is an error.
const NOT_FOUND: i16 = 6;

impl Handler for DescribeGroupsRequest {
    const API: Api = Api::DescribeGroups;
    const SERVED: (i16, i16) = (0, 6);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<DescribeGroupsResponse> {
        // A name that is repeated is told of once, so that a short request has no endless answer.
        let mut names = BTreeSet::new();
        let groups: Vec<_> = self.groups.iter().filter(|group| names.insert(group.as_str())).collect();
        groups.iter().for_each(|group| state.groups.advance(call.now_ms, group));
        let (seen, hidden): (Vec<&GroupId>, Vec<_>) =
            groups.into_iter().partition(|group| call.may_with_group(state, Operation::Describe, group));
        let hidden = hidden.into_iter().map(|group| failed(group, ErrorCode::GROUP_AUTHORIZATION_FAILED));
        let seen = seen.into_iter().map(|group| {
            let described = describe(state, call, group);
            if !self.include_authorized_operations || call.version < RIGHTS || described.error_code != 0 {
                return described;
            }
            let who = call.session.requester();
            described.with_authorized_operations(state.acls.operations(&who, Kind::Group, group))
        });
        let response = DescribeGroupsResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        Response::Reply(response.with_groups(hidden.chain(seen).collect()))
    }
}

fn failed(group: &GroupId, code: ErrorCode) -> DescribedGroup {
    DescribedGroup::default().with_group_id(group.clone()).with_error_code(code.0)
}

fn describe(state: &State, call: &Call<'_>, id: &GroupId) -> DescribedGroup {
    let checked = call.plan.top_error().map_or_else(|| call.check_coordinator(state, id), Err);
    let described = DescribedGroup::default().with_group_id(id.clone());
    match (checked, state.groups.group(id)) {
        (Err(code), _) => failed(id, code),
        (Ok(()), Some(group)) => tell(described, group),
        (Ok(()), None) => {
            let dead = described.with_group_state(StrBytes::from_static_str("Dead"));
            if call.version < NOT_FOUND {
                return dead;
            }
            let message = format!("group {:?} does not exist", id.as_str());
            dead.with_error_code(ErrorCode::GROUP_ID_NOT_FOUND.0)
                .with_error_message(Some(StrBytes::from_string(message)))
        }
    }
}

fn tell(described: DescribedGroup, group: &Group) -> DescribedGroup {
    let text = |text: &Option<String>| StrBytes::from_string(text.clone().unwrap_or_default());
    let is_stable = group.state == GroupState::Stable;
    let protocol = group.protocol_name.as_deref().filter(|_| is_stable);
    let member = |(id, member): (&String, &Member)| {
        let metadata = if is_stable { member.metadata(protocol) } else { Bytes::new() };
        DescribedGroupMember::default()
            .with_member_id(StrBytes::from_string(id.clone()))
            .with_group_instance_id(member.instance.clone().map(StrBytes::from_string))
            .with_client_id(StrBytes::from_string(member.client_id.clone()))
            .with_client_host(StrBytes::from_string(member.client_host.clone()))
            .with_member_metadata(metadata)
            .with_member_assignment(member.assignment.clone())
    };
    described
        .with_group_state(StrBytes::from_static_str(group.state.name()))
        .with_protocol_type(text(&group.protocol_type))
        .with_protocol_data(protocol.map(|name| StrBytes::from_string(name.to_owned())).unwrap_or_default())
        .with_members(group.members.iter().map(member).collect())
}
