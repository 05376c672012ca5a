//! JoinGroup (11), v0–9. Pure.
//!
//! Behaviour:
//! * Makes a client a member of a group, and waits until the others have joined as well. The leader is told of all members.
//! * A client without an id is told one first, with `MEMBER_ID_REQUIRED` (KIP-394), unless it has a `group.instance.id` (KIP-345).
//! * Checked in this order: READ for the group (`GROUP_AUTHORIZATION_FAILED`), `INVALID_GROUP_ID`, `INVALID_SESSION_TIMEOUT`, `NOT_COORDINATOR`; then the
//!   group judges.
//!
//! Version notes:
//! * v1: rebalance timeout, which is the session timeout before; v4: `MEMBER_ID_REQUIRED`; v5: static members; v6: flexible; v7: the type of
//!   protocol; v8: reason, disregarded; v9: a leader that need not share out (KIP-814)

use kafka_protocol::{
    messages::{JoinGroupRequest, JoinGroupResponse, join_group_response::JoinGroupResponseMember},
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        acls::Operation,
        groups::{self, GroupAnswer, JoinGroup, Joined, Standing},
        kind::Api,
        state::State,
    },
    error::ErrorCode,
};

impl Handler for JoinGroupRequest {
    const API: Api = Api::JoinGroup;
    const SERVED: (i16, i16) = (0, 9);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<JoinGroupResponse> {
        let (now_ms, ticket) = (call.now_ms, call.ticket);
        let mut standing = state.groups.standing(now_ms, &self.group_id, ticket);
        if standing == Standing::New {
            if let Err(code) = check(self, state, call) {
                return Response::Reply(respond(call, Joined::refused(code, self.member_id.as_str())));
            }
            state.groups.join(now_ms, ticket, &joining(self, call));
            standing = state.groups.standing(now_ms, &self.group_id, ticket);
        }
        match standing {
            Standing::Held { until_ms } => Response::Hold { until_ms },
            Standing::Done(GroupAnswer::Joined(joined)) => Response::Reply(respond(call, joined)),
            Standing::Done(GroupAnswer::Synced(_)) | Standing::New => Response::Close,
        }
    }
}

fn check(request: &JoinGroupRequest, state: &State, call: &Call<'_>) -> Result<(), ErrorCode> {
    let checked = call.check_group(state, Operation::Read, &request.group_id);
    match checked {
        Ok(()) | Err(ErrorCode::NOT_COORDINATOR) if !state.settings.groups.allows(request.session_timeout_ms) => {
            Err(ErrorCode::INVALID_SESSION_TIMEOUT)
        }
        checked => checked,
    }
}

fn joining(request: &JoinGroupRequest, call: &Call<'_>) -> JoinGroup {
    let rebalance_timeout_ms =
        if call.version == 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms };
    let protocols = request.protocols.iter().map(|protocol| (protocol.name.as_str(), &protocol.metadata));
    JoinGroup {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        instance: request.group_instance_id.as_ref().map(ToString::to_string),
        client_id: call.client_id.to_owned(),
        client_host: format!("/{}", call.session.requester().address),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: request.protocol_type.to_string(),
        protocols: groups::protocols(protocols),
        needs_id: call.version >= 4,
        may_skip: call.version >= 9,
    }
}

fn respond(call: &Call<'_>, joined: Joined) -> JoinGroupResponse {
    let text = StrBytes::from_string;
    let members = joined.members.into_iter().map(|(who, metadata)| {
        JoinGroupResponseMember::default()
            .with_member_id(text(who.member))
            .with_group_instance_id(who.instance.map(text))
            .with_metadata(metadata)
    });
    // There may be no name from version 7 on.
    let no_name = || (call.version < 7).then(StrBytes::default);
    JoinGroupResponse::default()
        .with_throttle_time_ms(call.plan.throttle_ms())
        .with_error_code(joined.code.0)
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(text))
        .with_protocol_name(joined.protocol_name.map(text).or_else(no_name))
        .with_leader(text(joined.leader))
        .with_skip_assignment(joined.skips_assignment)
        .with_member_id(text(joined.member))
        .with_members(members.collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::messages::{
        HeartbeatRequest, LeaveGroupRequest, SyncGroupRequest, join_group_request::JoinGroupRequestProtocol,
        leave_group_request::MemberIdentity, sync_group_request::SyncGroupRequestAssignment,
    };

    use super::*;
    use crate::broker::{
        EmbeddedBroker, Fault,
        requests::Polled,
        testing::{NOW, TestCluster, read},
    };

    fn text(text: &str) -> StrBytes {
        StrBytes::from_string(text.to_owned())
    }

    fn join(member: &str) -> JoinGroupRequest {
        let protocol =
            JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"topics"));
        JoinGroupRequest::default()
            .with_group_id(text("shop").into())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(60_000)
            .with_member_id(text(member))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    }

    fn cluster() -> TestCluster {
        TestCluster::new(EmbeddedBroker::builder(), 1)
    }

    /// The id of a member that has joined, alone.
    fn joined(cluster: &mut TestCluster, version: i16) -> StrBytes {
        let mut response = cluster.ask(1, version, &join(""));
        if version >= 4 {
            assert_eq!(ErrorCode(response.error_code), ErrorCode::MEMBER_ID_REQUIRED, "v{version}");
            response = cluster.ask(1, version, &join(&response.member_id));
        }
        let [member] = &response.members[..] else { panic!("v{version}: {response:?}") };
        assert_eq!((response.error_code, response.generation_id, &response.leader), (0, 1, &member.member_id));
        assert_eq!((&member.metadata[..], response.protocol_name), (&b"topics"[..], Some(text("range"))));
        response.member_id
    }

    fn sync(version: i16, member: &StrBytes) -> SyncGroupRequest {
        let part = SyncGroupRequestAssignment::default().with_member_id(member.clone());
        let named = (version >= 5).then(|| text("consumer")).zip((version >= 5).then(|| text("range"))).unzip();
        SyncGroupRequest::default()
            .with_group_id(text("shop").into())
            .with_generation_id(1)
            .with_member_id(member.clone())
            .with_protocol_type(named.0)
            .with_protocol_name(named.1)
            .with_assignments(vec![part.with_assignment(Bytes::from_static(b"all"))])
    }

    #[test]
    fn every_version_joins_shares_out_keeps_alive_and_leaves() {
        for version in 0..=9 {
            let mut cluster = cluster();
            let member = joined(&mut cluster, version);
            let synced = cluster.ask(1, version.min(5), &sync(version.min(5), &member));
            assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"all"[..]), "v{version}");
            let alive = HeartbeatRequest::default()
                .with_group_id(text("shop").into())
                .with_generation_id(1)
                .with_member_id(member.clone());
            assert_eq!(cluster.ask(1, version.min(4), &alive).error_code, 0, "v{version}");
            let leave = LeaveGroupRequest::default().with_group_id(text("shop").into());
            let left = if version < 3 {
                cluster.ask(1, version, &leave.with_member_id(member)).error_code
            } else {
                let members = vec![MemberIdentity::default().with_member_id(member.clone())];
                let left = cluster.ask(1, version.min(5), &leave.with_members(members));
                assert_eq!((left.error_code, &left.members[0].member_id), (0, &member));
                left.members[0].error_code
            };
            assert_eq!(left, 0, "v{version}");
            assert_eq!(ErrorCode(cluster.ask(1, version.min(4), &alive).error_code), ErrorCode::UNKNOWN_MEMBER_ID);
        }
    }

    #[test]
    fn a_join_is_held_until_the_others_have_joined_and_a_sync_until_the_leader_has_shared_out() {
        let mut cluster = cluster();
        let first = joined(&mut cluster, 3);
        let held = cluster.arrive(1, 3, &join(""));
        assert!(matches!(cluster.poll(&held), Polled::Hold { until_ms } if until_ms > NOW));
        assert_eq!(cluster.ask(1, 3, &join(&first)).generation_id, 2);
        let Polled::Done(reply) = cluster.poll(&held) else { panic!("held although all have joined") };
        let second = read::<JoinGroupRequest>(3, reply.bytes).member_id;
        let held = cluster.arrive(1, 2, &sync(2, &second).with_generation_id(2).with_assignments(Vec::new()));
        assert!(matches!(cluster.poll(&held), Polled::Hold { .. }));
        cluster.ask(1, 2, &sync(2, &first).with_generation_id(2));
        let Polled::Done(reply) = cluster.poll(&held) else { panic!("held although all is shared out") };
        assert_eq!(read::<SyncGroupRequest>(2, reply.bytes).error_code, 0);
    }

    #[test]
    fn a_request_that_cannot_be_taken_is_refused_in_apache_kafkas_order() {
        let mut cluster = TestCluster::new(EmbeddedBroker::builder(), 3);
        let elsewhere = cluster.state.coordinator("shop").unwrap() % 3 + 1;
        let mut code = |request: &JoinGroupRequest| ErrorCode(cluster.ask(elsewhere, 9, request).error_code);
        let short = join("").with_session_timeout_ms(5_999);
        assert_eq!(code(&short.clone().with_group_id(text("").into())), ErrorCode::INVALID_GROUP_ID);
        assert_eq!(code(&short), ErrorCode::INVALID_SESSION_TIMEOUT);
        assert_eq!(code(&join("").with_session_timeout_ms(1_800_001)), ErrorCode::INVALID_SESSION_TIMEOUT);
        assert_eq!(code(&join("")), ErrorCode::NOT_COORDINATOR);
        cluster.state.inject(Fault::error(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
        assert_eq!(ErrorCode(cluster.ask(1, 9, &short).error_code), ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        let nameless = sync(2, &text("somebody"));
        assert_eq!(ErrorCode(cluster.ask(1, 5, &nameless).error_code), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
}
