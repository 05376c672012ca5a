//! Consumer groups: joining, sharing out, leaving. Ids of members differ between brokers, so only whose they are is compared.

use kafka_protocol::{
    messages::{
        ConsumerGroupHeartbeatRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
        LeaveGroupRequest, SyncGroupRequest, join_group_request::JoinGroupRequestProtocol,
        leave_group_request::MemberIdentity, sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::StrBytes,
};

use super::{Client, Seen, same, same_with, *};

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A group that no other scenario has, whose coordinator is ready.
pub(super) fn group(client: &mut Client) -> String {
    static GROUPS: AtomicU32 = AtomicU32::new(0);
    let group = format!("parity-group-{}", GROUPS.fetch_add(1, Ordering::Relaxed));
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(&group)]);
    let is_ready =
        |code| ![ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS].contains(&code);
    while !is_ready(ErrorCode(client.ask(6, &find).coordinators[0].error_code)) {}
    let probe = heartbeat(&group, "", 0);
    while !is_ready(ErrorCode(client.ask(4, &probe).error_code)) || client.code(&probe) == ErrorCode::NOT_COORDINATOR {}
    group
}

/// What a consumer says that reads this topic. It has to be right: Apache Kafka 4.2 leaves a join without an answer whose bytes it cannot read.
pub(super) fn subscription(topic: &str) -> Bytes {
    let length = u16::try_from(topic.len()).unwrap();
    [b"\0\0\0\0\0\x01", &length.to_be_bytes()[..], topic.as_bytes(), &[0xff; 4]].concat().into()
}

fn protocols(names: &[&str]) -> Vec<JoinGroupRequestProtocol> {
    let protocol =
        |name: &&str| JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(subscription(name));
    names.iter().map(protocol).collect()
}

pub(super) fn join(group: &str, member: &str) -> JoinGroupRequest {
    JoinGroupRequest::default()
        .with_group_id(text(group).into())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(20_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(protocols(&["range"]))
}

fn heartbeat(group: &str, member: &str, generation: i32) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id(generation)
        .with_member_id(text(member))
}

pub(super) fn sync(group: &str, member: &str, generation: i32, part: Option<&'static str>) -> SyncGroupRequest {
    let part = part.map(|part| {
        let own = SyncGroupRequestAssignment::default().with_member_id(text(member));
        own.with_assignment(Bytes::from_static(part.as_bytes()))
    });
    SyncGroupRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(part.into_iter().collect())
}

fn leave(group: &str, members: &[(&str, Option<&str>)]) -> LeaveGroupRequest {
    let member = |(id, instance): &(&str, Option<&str>)| {
        MemberIdentity::default().with_member_id(text(id)).with_group_instance_id(instance.map(text))
    };
    LeaveGroupRequest::default().with_group_id(text(group).into()).with_members(members.iter().map(member).collect())
}

impl Client {
    fn code(&mut self, heartbeat: &HeartbeatRequest) -> ErrorCode {
        ErrorCode(self.ask(4, heartbeat).error_code)
    }

    /// The answer to a join, and how it looks.
    fn joins(&mut self, version: i16, request: &JoinGroupRequest) -> (JoinGroupResponse, String) {
        let response = self.ask(version, request);
        let told = looks(&response);
        (response, told)
    }

    /// A member that is alone in its group, in a generation that is shared out.
    pub(super) fn alone(&mut self, group: &str) -> (String, i32) {
        let told = self.ask(9, &join(group, ""));
        let joined = self.ask(9, &join(group, &told.member_id));
        let (id, generation) = (joined.member_id.to_string(), joined.generation_id);
        assert_eq!(self.ask(5, &sync(group, &id, generation, Some("all"))).error_code, 0);
        (id, generation)
    }

    fn left(&mut self, version: i16, request: &LeaveGroupRequest) -> String {
        let left = self.ask(version, request);
        let members: Vec<_> = left.members.iter().map(|one| ErrorCode(one.error_code)).collect();
        format!("left {} {members:?}", ErrorCode(left.error_code))
    }
}

/// What can be compared of an answer to a join.
fn looks(joined: &JoinGroupResponse) -> String {
    let leads = !joined.leader.is_empty() && joined.leader == joined.member_id;
    let members: Vec<_> =
        joined.members.iter().map(|one| (one.group_instance_id.clone(), one.metadata.clone())).collect();
    format!(
        "{} generation {} type {:?} name {:?} leads {leads} skips {} id {} members {members:?}",
        ErrorCode(joined.error_code),
        joined.generation_id,
        joined.protocol_type,
        joined.protocol_name.as_deref().unwrap_or_default(),
        joined.skip_assignment,
        !joined.member_id.is_empty(),
    )
}

#[test]
fn coordinators() {
    same(|client| {
        let group = group(client);
        let mut seen = Seen::new();
        for version in 4..=6 {
            let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(&group), text("")]);
            let found = client.ask(version, &find).coordinators;
            seen.extend(found.iter().map(|one| format!("{} {:?}", ErrorCode(one.error_code), one.node_id)));
        }
        for version in 0..=3 {
            let found = client.ask(version, &FindCoordinatorRequest::default().with_key(text(&group)));
            seen.push(format!("{} {:?}", ErrorCode(found.error_code), found.node_id));
        }
        let odd = FindCoordinatorRequest::default().with_key_type(9).with_coordinator_keys(vec![text(&group)]);
        seen.push(match client.try_ask(6, &odd) {
            Some(found) => format!("{:?}", found.coordinators.iter().map(|one| one.error_code).collect::<Vec<_>>()),
            None => "closed".to_owned(),
        });
        seen
    });
}

#[test]
fn a_member_alone() {
    same(|client| {
        let mut seen = Seen::new();
        for version in [0, 1, 3, 4, 6, 7, 9] {
            let group = group(client);
            let request = if version == 0 { join(&group, "").with_rebalance_timeout_ms(-1) } else { join(&group, "") };
            let (mut joined, told) = client.joins(version, &request);
            seen.push(told);
            if version >= 4 {
                let again = join(&group, &joined.member_id);
                (joined, _) = client.joins(version, &again);
                seen.push(looks(&joined));
            }
            let id = joined.member_id.to_string();
            // The same request again, before and after the parts are known.
            seen.push(client.joins(version, &request.clone().with_member_id(text(&id))).1);
            let synced = client.ask(5, &sync(&group, &id, joined.generation_id, Some("all")));
            seen.push(format!("{} {:?}", ErrorCode(synced.error_code), synced.assignment));
            let synced = client.ask(5, &sync(&group, &id, joined.generation_id, None));
            seen.push(format!("{} {:?}", ErrorCode(synced.error_code), synced.assignment));
            seen.push(client.joins(version, &request.with_member_id(text(&id))).1);
            seen.push(client.code(&heartbeat(&group, &id, joined.generation_id)).to_string());
            seen.push(client.left(3, &leave(&group, &[(&id, None)])));
            seen.push(client.code(&heartbeat(&group, &id, joined.generation_id)).to_string());
        }
        seen
    });
}

#[test]
fn requests_that_a_group_refuses() {
    same(|client| {
        let (empty, group) = (group(client), group(client));
        let (id, generation) = client.alone(&group);
        let mut seen = Seen::new();
        let fits = join(&group, "");
        let joins = [
            join("", ""),
            join("", "").with_session_timeout_ms(1),
            fits.clone().with_session_timeout_ms(5_999),
            fits.clone().with_session_timeout_ms(1_800_001),
            join(&empty, "stranger"),
            join(&group, "stranger"),
            fits.clone().with_protocol_type(text("connect")),
            fits.clone().with_protocol_type(text("")),
            fits.clone().with_protocols(protocols(&["sticky"])),
            fits.with_protocols(Vec::new()),
            join(&group, "stranger").with_protocols(Vec::new()),
            join(&empty, "").with_protocols(Vec::new()),
            join(&empty, "").with_protocol_type(text("")),
            join(&group, &id).with_group_instance_id(Some(text("till-1"))),
            join(&group, "stranger").with_group_instance_id(Some(text("till-1"))),
        ];
        seen.extend(joins.iter().map(|request| client.joins(9, request).1));
        for (who, generation) in
            [(&*id, generation), (&id, generation + 1), (&id, -1), ("stranger", generation), ("", -1)]
        {
            seen.push(client.code(&heartbeat(&group, who, generation)).to_string());
            seen.push(ErrorCode(client.ask(5, &sync(&group, who, generation, None)).error_code).to_string());
        }
        for group in ["", "no-such-group", &empty] {
            seen.push(client.code(&heartbeat(group, "stranger", 1)).to_string());
            seen.push(ErrorCode(client.ask(5, &sync(group, "stranger", 1, None)).error_code).to_string());
            seen.push(client.left(5, &leave(group, &[("stranger", None), ("", Some("till-1"))])));
            seen.push(client.left(0, &LeaveGroupRequest::default().with_group_id(text(group).into())));
        }
        let own = sync(&group, &id, generation, None);
        let syncs = [
            own.clone().with_protocol_name(None),
            own.clone().with_protocol_type(None),
            own.clone().with_protocol_type(Some(text("connect"))),
            own.with_protocol_name(Some(text("sticky"))),
        ];
        seen.extend(syncs.iter().map(|request| ErrorCode(client.ask(5, request).error_code).to_string()));
        seen.push(
            client.left(5, &leave(&group, &[("stranger", None), (&id, Some("till-1")), (&id, None), (&id, None)])),
        );
        seen
    });
}

#[test]
fn static_members() {
    same(|client| {
        let group = group(client);
        let fixed = || join(&group, "").with_group_instance_id(Some(text("till-1")));
        let (first, told) = client.joins(9, &fixed());
        let mut seen = vec![told];
        let old = first.member_id.to_string();
        let synced = client.ask(5, &sync(&group, &old, first.generation_id, Some("all")));
        seen.push(ErrorCode(synced.error_code).to_string());
        for version in [9, 8, 5] {
            let (joined, told) = client.joins(version, &fixed());
            seen.push(told);
            let id = joined.member_id.to_string();
            let synced = client.ask(5, &sync(&group, &id, joined.generation_id, None));
            seen.push(format!("{} {:?}", ErrorCode(synced.error_code), synced.assignment));
            let with_instance =
                heartbeat(&group, &id, joined.generation_id).with_group_instance_id(Some(text("till-1")));
            seen.push(client.code(&with_instance).to_string());
        }
        let fenced = heartbeat(&group, &old, first.generation_id).with_group_instance_id(Some(text("till-1")));
        seen.push(client.code(&fenced).to_string());
        seen.push(client.code(&heartbeat(&group, &old, first.generation_id)).to_string());
        let stale = join(&group, &old).with_group_instance_id(Some(text("till-1")));
        seen.push(client.joins(9, &stale).1);
        // A static member that restarts before the parts are known, with another protocol.
        let (changed, told) = client.joins(9, &fixed().with_protocols(protocols(&["sticky", "range"])));
        seen.push(told);
        let (restarted, told) = client.joins(9, &fixed().with_protocols(protocols(&["sticky", "range"])));
        seen.push(told);
        assert_ne!(changed.member_id, restarted.member_id);
        seen.push(
            client.left(5, &leave(&group, &[(&old, Some("till-1")), ("", Some("till-1")), ("", Some("till-1"))])),
        );
        seen
    });
}

#[test]
fn two_members() {
    same(|client| {
        let group = group(client);
        let (first, generation) = client.alone(&group);
        let mut other = Client::connect(&client.address);
        let second = other.ask(9, &join(&group, "")).member_id.to_string();
        other.send(&frame(9, 3, &join(&group, &second)));
        while client.code(&heartbeat(&group, &first, generation)) != ErrorCode::REBALANCE_IN_PROGRESS {}
        let (joined, told) = client.joins(9, &join(&group, &first).with_protocols(protocols(&["sticky", "range"])));
        let followed: JoinGroupResponse = response::<JoinGroupRequest>(9, 3, other.receive().unwrap());
        let mut seen = vec![told, looks(&followed)];
        // The follower asks for its part, and is told to join again when the leader leaves without sharing out.
        other.send(&frame(5, 3, &sync(&group, &second, followed.generation_id, None)));
        seen.push(client.left(5, &leave(&group, &[(&first, None)])));
        let synced = response::<SyncGroupRequest>(5, 3, other.receive().unwrap());
        seen.push(ErrorCode(synced.error_code).to_string());
        seen.push(other.code(&heartbeat(&group, &second, joined.generation_id)).to_string());
        seen.push(other.joins(9, &join(&group, &second)).1);
        seen
    });
}

/// Apache Kafka's default has the groups of KIP-848 as well, so this is compared with one that has classic groups only.
#[test]
fn groups_of_kip_848_are_refused_by_a_broker_that_has_classic_ones_only() {
    let heartbeats = |client: &mut Client| {
        let answers = (0..=1).map(|version| {
            let heartbeat = ConsumerGroupHeartbeatRequest::default()
                .with_group_id(text("modern").into())
                .with_member_id(text("M5yaSdJ6QsOx7FBfP5pkMQ"))
                .with_rebalance_timeout_ms(30_000)
                .with_subscribed_topic_names(Some(vec![name("orders")]))
                .with_topic_partitions(Some(Vec::new()));
            let answer = client.ask(version, &heartbeat);
            format!(
                "{} {:?} {:?} {}",
                ErrorCode(answer.error_code),
                answer.error_message,
                answer.member_id,
                answer.member_epoch
            )
        });
        answers.collect()
    };
    same_with(&[("group.coordinator.rebalance.protocols", "classic")], heartbeats);
}
