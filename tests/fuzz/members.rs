//! Requests of members of consumer groups, in an order that no client would choose.

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, RequestHeader, SyncGroupRequest,
        join_group_request::JoinGroupRequestProtocol, leave_group_request::MemberIdentity,
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::{Encodable, HeaderVersion, Request, StrBytes},
};

use super::input::Input;

const GROUPS: [&str; 3] = ["shop", "till", ""];
/// The ids that the broker makes up count from here.
const FIRST_ID: u128 = u128::from_be_bytes(*b"milena member\0\0\0") + 1;

/// A request, without its length.
pub(super) fn frame(correlation: i32, input: &mut Input<'_>) -> Bytes {
    let group = text(input.one_of(&GROUPS)).into();
    let member = member(input);
    let instance = (input.below(4) == 0).then(|| text("till-1"));
    let generation = input.below(4) as i32;
    match input.below(5) {
        0 | 1 => {
            let version = input.below(10) as i16;
            let protocol = |name| JoinGroupRequestProtocol::default().with_name(text(name));
            let protocols = [protocol("range"), protocol(input.one_of(&["sticky", "range"]))];
            let join = JoinGroupRequest::default()
                .with_group_id(group)
                .with_session_timeout_ms(5_000 + 1_000 * i32::from(input.byte()))
                .with_member_id(member)
                .with_group_instance_id(instance.filter(|_| version >= 5))
                .with_protocol_type(text("consumer"))
                .with_protocols(protocols.into_iter().take(input.below(3)).collect());
            let wait = i32::from(input.byte()) * 100 - 100;
            encode(version, correlation, &if version > 0 { join.with_rebalance_timeout_ms(wait) } else { join })
        }
        2 => {
            let version = input.below(6) as i16;
            let part = SyncGroupRequestAssignment::default().with_member_id(member.clone());
            let sync = SyncGroupRequest::default()
                .with_group_id(group)
                .with_generation_id(generation)
                .with_member_id(member)
                .with_group_instance_id(instance.filter(|_| version >= 3))
                .with_protocol_type((version >= 5).then(|| text("consumer")))
                .with_protocol_name((version >= 5).then(|| text("range")))
                .with_assignments(vec![part.with_assignment(Bytes::copy_from_slice(input.bytes()))]);
            encode(version, correlation, &sync)
        }
        3 => {
            let version = input.below(5) as i16;
            let alive = HeartbeatRequest::default()
                .with_group_id(group)
                .with_generation_id(generation)
                .with_member_id(member)
                .with_group_instance_id(instance.filter(|_| version >= 3));
            encode(version, correlation, &alive)
        }
        _ => {
            let identity = MemberIdentity::default().with_member_id(member).with_group_instance_id(instance);
            let leave = LeaveGroupRequest::default().with_group_id(group).with_members(vec![identity]);
            encode(3 + input.below(3) as i16, correlation, &leave)
        }
    }
}

/// The id of a member that there may be, or none.
fn member(input: &mut Input<'_>) -> StrBytes {
    match input.below(8) {
        0 | 1 => StrBytes::default(),
        number => StrBytes::from_string(format!("fuzz-{:032x}", FIRST_ID + number as u128 - 2)),
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn encode<R: Request + HeaderVersion>(version: i16, correlation: i32, request: &R) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(text("fuzz")));
    let mut out = BytesMut::new();
    header.encode(&mut out, R::header_version(version)).unwrap();
    request.encode(&mut out, version).unwrap();
    out.freeze()
}
