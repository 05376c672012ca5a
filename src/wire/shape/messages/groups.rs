//! The tables of what the embedded broker and clients say to each other of groups.
//!
//! In: nothing. Out: tables. Pure. Only tests read the responses. OffsetCommit and OffsetFetch end at v9: v10 replaces names by topic ids.

use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest,
    HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
    ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
};

use super::*;

const COMMITTED: &[Field] = &[
    int32("partition_index"),
    int64("committed_offset"),
    int32("committed_leader_epoch").since(5),
    text("metadata").nullable(),
    int16("error_code"),
];
const OWNED: &[Field] = &[uuid("topic_id"), int32s("partitions")];
const PARTITION_CODES: &[Field] = &[int32("partition_index"), int16("error_code")];

shapes! {
    FindCoordinatorRequest 0..=6 flexible 3 [
        text("key").until(3),
        int8("key_type").since(1),
        texts("coordinator_keys").since(4),
    ]

    FindCoordinatorResponse 0..=6 flexible 3 [
        int32("throttle_time_ms").since(1),
        int16("error_code").until(3),
        text("error_message").since(1).until(3).nullable(),
        int32("node_id").until(3),
        text("host").until(3),
        int32("port").until(3),
        rows("coordinators", &[
            text("key"),
            int32("node_id"),
            text("host"),
            int32("port"),
            int16("error_code"),
            text("error_message").nullable(),
        ]).since(4),
    ]

    JoinGroupRequest 0..=9 flexible 6 [
        text("group_id"),
        int32("session_timeout_ms"),
        int32("rebalance_timeout_ms").since(1),
        text("member_id"),
        text("group_instance_id").since(5).nullable(),
        text("protocol_type"),
        rows("protocols", &[text("name"), records("metadata")]),
        text("reason").since(8).nullable(),
    ]

    JoinGroupResponse 0..=9 flexible 6 [
        int32("throttle_time_ms").since(2),
        int16("error_code"),
        int32("generation_id"),
        text("protocol_type").since(7).nullable(),
        text("protocol_name").nullable_since(7),
        text("leader"),
        bool("skip_assignment").since(9),
        text("member_id"),
        rows("members", &[
            text("member_id"),
            text("group_instance_id").since(5).nullable(),
            records("metadata"),
        ]),
    ]

    SyncGroupRequest 0..=5 flexible 4 [
        text("group_id"),
        int32("generation_id"),
        text("member_id"),
        text("group_instance_id").since(3).nullable(),
        text("protocol_type").since(5).nullable(),
        text("protocol_name").since(5).nullable(),
        rows("assignments", &[text("member_id"), records("assignment")]),
    ]

    SyncGroupResponse 0..=5 flexible 4 [
        int32("throttle_time_ms").since(1),
        int16("error_code"),
        text("protocol_type").since(5).nullable(),
        text("protocol_name").since(5).nullable(),
        records("assignment"),
    ]

    HeartbeatRequest 0..=4 flexible 4 [
        text("group_id"),
        int32("generation_id"),
        text("member_id"),
        text("group_instance_id").since(3).nullable(),
    ]

    HeartbeatResponse 0..=4 flexible 4 [
        int32("throttle_time_ms").since(1),
        int16("error_code"),
    ]

    LeaveGroupRequest 0..=5 flexible 4 [
        text("group_id"),
        text("member_id").until(2),
        rows("members", &[
            text("member_id"),
            text("group_instance_id").nullable(),
            text("reason").since(5).nullable(),
        ]).since(3),
    ]

    LeaveGroupResponse 0..=5 flexible 4 [
        int32("throttle_time_ms").since(1),
        int16("error_code"),
        rows("members", &[text("member_id"), text("group_instance_id").nullable(), int16("error_code")]).since(3),
    ]

    OffsetCommitRequest 2..=9 flexible 8 [
        text("group_id"),
        int32("generation_id_or_member_epoch"),
        text("member_id"),
        text("group_instance_id").since(7).nullable(),
        int64("retention_time_ms").until(4),
        rows("topics", &[
            text("name"),
            rows("partitions", &[
                int32("partition_index"),
                int64("committed_offset"),
                int32("committed_leader_epoch").since(6),
                text("committed_metadata").nullable(),
            ]),
        ]),
    ]

    OffsetCommitResponse 2..=9 flexible 8 [
        int32("throttle_time_ms").since(3),
        rows("topics", &[text("name"), rows("partitions", PARTITION_CODES)]),
    ]

    OffsetFetchRequest 1..=9 flexible 6 [
        text("group_id").until(7),
        rows("topics", &[text("name"), int32s("partition_indexes")]).until(7).nullable_since(2),
        rows("groups", &[
            text("group_id"),
            text("member_id").since(9).nullable(),
            int32("member_epoch").since(9),
            rows("topics", &[text("name"), int32s("partition_indexes")]).nullable(),
        ]).since(8),
        bool("require_stable").since(7),
    ]

    OffsetFetchResponse 1..=9 flexible 6 [
        int32("throttle_time_ms").since(3),
        rows("topics", &[text("name"), rows("partitions", COMMITTED)]).until(7),
        int16("error_code").since(2).until(7),
        rows("groups", &[
            text("group_id"),
            rows("topics", &[text("name"), rows("partitions", COMMITTED)]),
            int16("error_code"),
        ]).since(8),
    ]

    OffsetDeleteRequest 0..=0 flexible 99 [
        text("group_id"),
        rows("topics", &[text("name"), rows("partitions", &[int32("partition_index")])]),
    ]

    OffsetDeleteResponse 0..=0 flexible 99 [
        int16("error_code"),
        int32("throttle_time_ms"),
        rows("topics", &[text("name"), rows("partitions", PARTITION_CODES)]),
    ]

    ConsumerGroupHeartbeatRequest 0..=1 flexible 0 [
        text("group_id"),
        text("member_id"),
        int32("member_epoch"),
        text("instance_id").nullable(),
        text("rack_id").nullable(),
        int32("rebalance_timeout_ms"),
        texts("subscribed_topic_names").nullable(),
        text("subscribed_topic_regex").since(1).nullable(),
        text("server_assignor").nullable(),
        rows("topic_partitions", OWNED).nullable(),
    ]

    ConsumerGroupHeartbeatResponse 0..=1 flexible 0 [
        int32("throttle_time_ms"),
        int16("error_code"),
        text("error_message").nullable(),
        text("member_id").nullable(),
        int32("member_epoch"),
        int32("heartbeat_interval_ms"),
        row("assignment", &[rows("topic_partitions", OWNED)]).nullable(),
    ]

    ListGroupsRequest 0..=5 flexible 3 [
        texts("states_filter").since(4),
        texts("types_filter").since(5),
    ]

    ListGroupsResponse 0..=5 flexible 3 [
        int32("throttle_time_ms").since(1),
        int16("error_code"),
        rows("groups", &[
            text("group_id"),
            text("protocol_type"),
            text("group_state").since(4),
            text("group_type").since(5),
        ]),
    ]

    DescribeGroupsRequest 0..=6 flexible 5 [
        texts("groups"),
        bool("include_authorized_operations").since(3),
    ]

    DescribeGroupsResponse 0..=6 flexible 5 [
        int32("throttle_time_ms").since(1),
        rows("groups", &[
            int16("error_code"),
            text("error_message").since(6).nullable(),
            text("group_id"),
            text("group_state"),
            text("protocol_type"),
            text("protocol_data"),
            rows("members", &[
                text("member_id"),
                text("group_instance_id").since(4).nullable(),
                text("client_id"),
                text("client_host"),
                records("member_metadata"),
                records("member_assignment"),
            ]),
            int32("authorized_operations").since(3),
        ]),
    ]

    DeleteGroupsRequest 0..=2 flexible 2 [
        texts("groups_names"),
    ]

    DeleteGroupsResponse 0..=2 flexible 2 [
        int32("throttle_time_ms"),
        rows("results", &[text("group_id"), int16("error_code")]),
    ]
}
