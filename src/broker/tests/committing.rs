//! Offsets that groups commit, what is told of groups, and who may do so.

use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    SyncGroupRequest,
    join_group_request::JoinGroupRequestProtocol,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics},
};

use super::*;
use crate::{broker::testing::TestCluster, error::ErrorCode};

const NONE: ErrorCode = ErrorCode::NONE;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn cluster() -> TestCluster {
    TestCluster::new(EmbeddedBroker::builder().topic("orders", 2).topic("payments", 1), 1)
}

/// An offset of a client that is no member.
fn commit(topic: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition =
        OffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(offset);
    let partition = partition.with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(text("shop").into())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

fn commit_code(cluster: &mut TestCluster, version: i16, request: &OffsetCommitRequest) -> ErrorCode {
    ErrorCode(cluster.ask(1, version, request).topics[0].partitions[0].error_code)
}

/// The offset of a partition, and its error.
fn fetched(cluster: &mut TestCluster, version: i16, topic: &str, partition: i32) -> (i64, ErrorCode) {
    if version < 8 {
        let topic = OffsetFetchRequestTopic::default().with_name(name(topic)).with_partition_indexes(vec![partition]);
        let request = OffsetFetchRequest::default().with_group_id(text("shop").into()).with_topics(Some(vec![topic]));
        let one = cluster.ask(1, version, &request).topics.remove(0).partitions.remove(0);
        return (one.committed_offset, ErrorCode(one.error_code));
    }
    let topic = OffsetFetchRequestTopics::default().with_name(name(topic)).with_partition_indexes(vec![partition]);
    let group = OffsetFetchRequestGroup::default().with_group_id(text("shop").into()).with_topics(Some(vec![topic]));
    let one = cluster.ask(1, version, &OffsetFetchRequest::default().with_groups(vec![group])).groups.remove(0);
    match one.topics.first() {
        Some(topic) => (topic.partitions[0].committed_offset, ErrorCode(topic.partitions[0].error_code)),
        None => (-1, ErrorCode(one.error_code)),
    }
}

#[test]
fn every_version_keeps_an_offset_and_tells_it_in_every_version() {
    let mut cluster = cluster();
    for version in 2..=9 {
        let offset = i64::from(version);
        assert_eq!(commit_code(&mut cluster, version, &commit("orders", 1, offset)), NONE);
        for version in 1..=9 {
            assert_eq!(fetched(&mut cluster, version, "orders", 1), (offset, NONE));
            assert_eq!(fetched(&mut cluster, version, "orders", 0), (-1, NONE));
        }
    }
}

#[test]
fn what_cannot_be_committed_is_refused_by_partition() {
    let mut cluster = cluster();
    let mut code = |request: OffsetCommitRequest| commit_code(&mut cluster, 9, &request);
    assert_eq!(code(commit("orders", 2, 1)), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(code(commit("nothing", 0, 1)), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let mut long = commit("orders", 0, 1);
    long.topics[0].partitions[0].committed_metadata = Some(text(&"😀".repeat(2049)));
    assert_eq!(code(long), ErrorCode::OFFSET_METADATA_TOO_LARGE);
    assert_eq!(code(commit("orders", 0, 1).with_generation_id_or_member_epoch(3)), ErrorCode::UNKNOWN_MEMBER_ID);
    let unknown = commit("orders", 0, 1).with_group_id(text("other").into()).with_generation_id_or_member_epoch(0);
    assert_eq!(code(unknown.clone()), ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(commit_code(&mut cluster, 8, &unknown), ErrorCode::ILLEGAL_GENERATION);
    cluster.state.inject(Fault::error(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS).at("orders", 0));
    assert_eq!(commit_code(&mut cluster, 9, &commit("orders", 0, 1)), ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    assert_eq!(fetched(&mut cluster, 9, "orders", 0), (-1, NONE));
}

#[test]
fn a_topic_that_is_deleted_takes_its_offsets_along() {
    let mut cluster = cluster();
    for topic in ["orders", "payments"] {
        assert_eq!(commit_code(&mut cluster, 9, &commit(topic, 0, 5)), NONE);
    }
    cluster.state.remove_topic("orders");
    assert_eq!(fetched(&mut cluster, 9, "orders", 0).0, -1);
    assert_eq!(fetched(&mut cluster, 9, "payments", 0).0, 5);
}

/// What a consumer that reads `orders` joins with.
fn joining(member: &str) -> JoinGroupRequest {
    let metadata = Bytes::from_static(b"\0\0\0\0\0\x01\0\x06orders\xff\xff\xff\xff");
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(metadata);
    JoinGroupRequest::default()
        .with_group_id(text("shop").into())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(60_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn syncing(member: &str, generation: i32) -> SyncGroupRequest {
    let sync = SyncGroupRequest::default().with_group_id(text("shop").into());
    sync.with_member_id(text(member)).with_generation_id(generation)
}

/// A member that reads `orders`, in a generation that is shared out.
fn member(cluster: &mut TestCluster) -> StrBytes {
    let id = cluster.ask(1, 3, &joining("")).member_id;
    assert_eq!(cluster.ask(1, 4, &syncing(&id, 1)).error_code, 0);
    id
}

/// The third member's join waits like the second one's sync, so neither response wakes the other.
#[tokio::test]
async fn a_request_that_waits_is_answered_when_another_one_that_waits_has_changed_the_group() {
    let broker = EmbeddedBroker::builder().start().await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::connect(&broker, 1).await);
    }
    let [first, second, third] = &mut clients[..] else { panic!("three clients") };
    let leader = first.ask(3, &joining("")).await.member_id;
    second.send(3, 5, &joining("")).await;
    let alive = HeartbeatRequest::default().with_group_id(text("shop").into()).with_member_id(leader.clone());
    let alive = alive.with_generation_id(1);
    while ErrorCode(first.ask(3, &alive).await.error_code) != ErrorCode::REBALANCE_IN_PROGRESS {}
    assert_eq!(first.ask(3, &joining(&leader)).await.generation_id, 2);
    let follower = second.receive::<JoinGroupRequest>(3, 5).await.member_id;
    second.send(2, 5, &syncing(&follower, 2)).await;
    third.send(3, 5, &joining("")).await;
    let synced = second.receive::<SyncGroupRequest>(2, 5).await;
    assert_eq!(ErrorCode(synced.error_code), ErrorCode::REBALANCE_IN_PROGRESS);
}

fn delete_offset(cluster: &mut TestCluster, topic: &str, partition: i32) -> ErrorCode {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
    let topic = OffsetDeleteRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default().with_group_id(text("shop").into()).with_topics(vec![topic]);
    let told = cluster.ask(1, 0, &request);
    ErrorCode(told.topics.first().map_or(told.error_code, |topic| topic.partitions[0].error_code))
}

#[test]
fn offsets_are_deleted_of_topics_that_no_member_reads() {
    let mut cluster = cluster();
    assert_eq!(delete_offset(&mut cluster, "orders", 0), ErrorCode::GROUP_ID_NOT_FOUND);
    for topic in ["orders", "payments"] {
        assert_eq!(commit_code(&mut cluster, 9, &commit(topic, 0, 5)), NONE);
    }
    let id = member(&mut cluster);
    assert_eq!(delete_offset(&mut cluster, "orders", 0), ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
    assert_eq!(delete_offset(&mut cluster, "orders", 2), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(delete_offset(&mut cluster, "payments", 0), NONE);
    assert_eq!((fetched(&mut cluster, 9, "orders", 0).0, fetched(&mut cluster, 9, "payments", 0).0), (5, -1));
    let leave = LeaveGroupRequest::default().with_group_id(text("shop").into()).with_member_id(id);
    assert_eq!(cluster.ask(1, 0, &leave).error_code, 0);
    assert_eq!(delete_offset(&mut cluster, "orders", 0), NONE);
}

fn state_of(cluster: &mut TestCluster, version: i16) -> (String, usize, ErrorCode) {
    let request = DescribeGroupsRequest::default().with_groups(vec![text("shop").into()]);
    let told = cluster.ask(1, version, &request).groups.remove(0);
    (told.group_state.to_string(), told.members.len(), ErrorCode(told.error_code))
}

fn listed(cluster: &mut TestCluster, version: i16) -> Vec<String> {
    let groups = cluster.ask(1, version, &ListGroupsRequest::default()).groups;
    groups.iter().map(|group| group.group_id.to_string()).collect()
}

fn delete(cluster: &mut TestCluster, version: i16) -> ErrorCode {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![text("shop").into(); 2]);
    let results = cluster.ask(1, version, &request).results;
    assert_eq!(results.len(), 1);
    ErrorCode(results[0].error_code)
}

#[test]
fn groups_are_described_listed_and_deleted_in_every_version() {
    let mut cluster = cluster();
    assert_eq!(state_of(&mut cluster, 5), ("Dead".to_owned(), 0, NONE));
    assert_eq!(state_of(&mut cluster, 6), ("Dead".to_owned(), 0, ErrorCode::GROUP_ID_NOT_FOUND));
    assert_eq!(delete(&mut cluster, 2), ErrorCode::GROUP_ID_NOT_FOUND);
    let id = member(&mut cluster);
    for version in 0..=6 {
        assert_eq!(state_of(&mut cluster, version), ("Stable".to_owned(), 1, NONE));
        assert_eq!(listed(&mut cluster, version.min(5)), ["shop"]);
        assert_eq!(delete(&mut cluster, version.min(2)), ErrorCode::NON_EMPTY_GROUP);
    }
    cluster.now_ms += 10_000;
    assert_eq!(listed(&mut cluster, 5), ["shop"], "{id} is gone, and the group is not");
    assert_eq!(state_of(&mut cluster, 6), ("Empty".to_owned(), 0, NONE));
    assert_eq!((delete(&mut cluster, 0), listed(&mut cluster, 5).len()), (NONE, 0));
}

/// What each request to a group gets from a client with these rules.
fn rights(rules: &[&str]) -> Vec<ErrorCode> {
    let rules = rules.iter().map(|rule| format!("User:ANONYMOUS {rule}").parse().unwrap());
    let builder = EmbeddedBroker::builder().authorize().topic("orders", 2).topic("payments", 1);
    let mut cluster = TestCluster::new(rules.fold(builder, Builder::acl), 1);
    let group = || text("shop");
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![group()]);
    let found = cluster.ask(1, 4, &find).coordinators[0].error_code;
    let join = JoinGroupRequest::default().with_group_id(group().into()).with_session_timeout_ms(10_000);
    let heartbeat = HeartbeatRequest::default().with_group_id(group().into());
    let sync = SyncGroupRequest::default().with_group_id(group().into());
    let leave = LeaveGroupRequest::default().with_group_id(group().into());
    vec![
        ErrorCode(found),
        ErrorCode(cluster.ask(1, 4, &join).error_code),
        ErrorCode(cluster.ask(1, 4, &heartbeat).error_code),
        ErrorCode(cluster.ask(1, 4, &sync).error_code),
        ErrorCode(cluster.ask(1, 4, &leave).error_code),
        commit_code(&mut cluster, 9, &commit("orders", 0, 1)),
        fetched(&mut cluster, 9, "orders", 0).1,
        fetched(&mut cluster, 1, "orders", 0).1,
        state_of(&mut cluster, 5).2,
        delete_offset(&mut cluster, "orders", 0),
        delete(&mut cluster, 2),
    ]
}

#[test]
fn a_user_may_do_with_a_group_what_apache_kafka_would_allow() {
    let refused = ErrorCode::GROUP_AUTHORIZATION_FAILED;
    let topic = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    let (odd, unknown) = (ErrorCode::INCONSISTENT_GROUP_PROTOCOL, ErrorCode::UNKNOWN_MEMBER_ID);
    let gone = ErrorCode::GROUP_ID_NOT_FOUND;
    assert_eq!(rights(&[]), [refused; 11]);
    let seen = [NONE, refused, refused, refused, refused, refused, topic, topic, NONE, refused, refused];
    assert_eq!(rights(&["DESCRIBE group shop"]), seen);
    let used = [NONE, odd, unknown, unknown, NONE, topic, topic, topic, NONE, refused, refused];
    assert_eq!(rights(&["READ group sh PREFIXED"]), used);
    let both = [NONE, odd, unknown, unknown, NONE, NONE, NONE, NONE, NONE, refused, refused];
    assert_eq!(rights(&["READ group shop", "READ topic orders"]), both);
    let deleted = [NONE, refused, refused, refused, refused, refused, topic, topic, NONE, gone, gone];
    assert_eq!(rights(&["DELETE group shop"]), deleted);
}

#[test]
fn a_client_that_may_not_see_the_cluster_sees_the_groups_that_it_may_see() {
    let seen = |rule: &str| {
        let rules = [rule, "READ group *", "READ topic *", "DESCRIBE group hidden DENY"];
        let rules = rules.map(|rule| format!("User:ANONYMOUS {rule}").parse().unwrap());
        let builder = EmbeddedBroker::builder().authorize().topic("orders", 1);
        let mut cluster = TestCluster::new(rules.into_iter().fold(builder, Builder::acl), 1);
        for group in ["shop", "hidden"] {
            let commit = commit("orders", 0, 1).with_group_id(text(group).into());
            assert_eq!(commit_code(&mut cluster, 9, &commit), NONE);
        }
        listed(&mut cluster, 5)
    };
    assert_eq!(seen("READ topic orders"), ["shop"]);
    assert_eq!(seen("DESCRIBE cluster"), ["hidden", "shop"]);
}
