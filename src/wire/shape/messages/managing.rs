//! The tables of requests and responses by which topics and the cluster are looked at and changed.
//!
//! In: nothing. Out: tables. Pure. Those of CreateTopics and DescribeConfigs are older, and with the others.

use kafka_protocol::messages::{
    AlterConfigsResponse, CreatePartitionsResponse, DeleteRecordsResponse, DeleteTopicsResponse,
    DescribeClusterResponse, DescribeTopicPartitionsResponse, IncrementalAlterConfigsResponse,
    OffsetForLeaderEpochResponse,
};

use super::*;

const ALTERED: &[Field] =
    &[int16("error_code"), text("error_message").nullable(), int8("resource_type"), text("resource_name")];
const CURSOR: &[Field] = &[text("topic_name"), int32("partition_index")];

shapes! {
    AlterConfigsResponse 0..=2 flexible 2 [
        int32("throttle_time_ms"),
        rows("responses", ALTERED),
    ]

    IncrementalAlterConfigsResponse 0..=1 flexible 1 [
        int32("throttle_time_ms"),
        rows("responses", ALTERED),
    ]

    DescribeTopicPartitionsResponse 0..=0 flexible 0 [
        int32("throttle_time_ms"),
        rows("topics", &[
            int16("error_code"),
            text("name").nullable(),
            uuid("topic_id"),
            bool("is_internal"),
            rows("partitions", &[
                int16("error_code"),
                int32("partition_index"),
                int32("leader_id"),
                int32("leader_epoch"),
                int32s("replica_nodes"),
                int32s("isr_nodes"),
                int32s("eligible_leader_replicas").nullable(),
                int32s("last_known_elr").nullable(),
                int32s("offline_replicas"),
            ]),
            int32("topic_authorized_operations"),
        ]),
        row("next_cursor", CURSOR).nullable(),
    ]

    DeleteTopicsResponse 1..=6 flexible 4 [
        int32("throttle_time_ms"),
        rows("responses", &[
            text("name").nullable_since(6),
            uuid("topic_id").since(6),
            int16("error_code"),
            text("error_message").since(5).nullable(),
        ]),
    ]

    DescribeClusterResponse 0..=2 flexible 0 [
        int32("throttle_time_ms"),
        int16("error_code"),
        text("error_message").nullable(),
        int8("endpoint_type").since(1),
        text("cluster_id"),
        int32("controller_id"),
        rows("brokers", &[
            int32("broker_id"),
            text("host"),
            int32("port"),
            text("rack").nullable(),
            bool("is_fenced").since(2),
        ]),
        int32("cluster_authorized_operations"),
    ]

    CreatePartitionsResponse 0..=3 flexible 2 [
        int32("throttle_time_ms"),
        rows("results", &[text("name"), int16("error_code"), text("error_message").nullable()]),
    ]

    DeleteRecordsResponse 0..=2 flexible 2 [
        int32("throttle_time_ms"),
        rows("topics", &[
            text("name"),
            rows("partitions", &[int32("partition_index"), int64("low_watermark"), int16("error_code")]),
        ]),
    ]

    OffsetForLeaderEpochResponse 2..=4 flexible 4 [
        int32("throttle_time_ms"),
        rows("topics", &[
            text("topic"),
            rows("partitions", &[int16("error_code"), int32("partition"), int32("leader_epoch"), int64("end_offset")]),
        ]),
    ]
}

/// The messages that only the embedded broker reads.
#[cfg(any(test, feature = "broker"))]
mod requests {
    use kafka_protocol::messages::{
        AlterConfigsRequest, CreatePartitionsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
        DescribeClusterRequest, DescribeTopicPartitionsRequest, IncrementalAlterConfigsRequest,
        OffsetForLeaderEpochRequest,
    };

    use super::*;

    shapes! {
        AlterConfigsRequest 0..=2 flexible 2 [
            rows("resources", &[
                int8("resource_type"),
                text("resource_name"),
                rows("configs", &[text("name"), text("value").nullable()]),
            ]),
            bool("validate_only"),
        ]

        IncrementalAlterConfigsRequest 0..=1 flexible 1 [
            rows("resources", &[
                int8("resource_type"),
                text("resource_name"),
                rows("configs", &[text("name"), int8("config_operation"), text("value").nullable()]),
            ]),
            bool("validate_only"),
        ]

        DescribeTopicPartitionsRequest 0..=0 flexible 0 [
            rows("topics", &[text("name")]),
            int32("response_partition_limit"),
            row("cursor", CURSOR).nullable(),
        ]

        DeleteTopicsRequest 1..=6 flexible 4 [
            rows("topics", &[text("name").nullable(), uuid("topic_id")]).since(6),
            texts("topic_names").until(5),
            int32("timeout_ms"),
        ]

        DescribeClusterRequest 0..=2 flexible 0 [
            bool("include_cluster_authorized_operations"),
            int8("endpoint_type").since(1),
            bool("include_fenced_brokers").since(2),
        ]

        CreatePartitionsRequest 0..=3 flexible 2 [
            rows("topics", &[
                text("name"),
                int32("count"),
                rows("assignments", &[int32s("broker_ids")]).nullable(),
            ]),
            int32("timeout_ms"),
            bool("validate_only"),
        ]

        DeleteRecordsRequest 0..=2 flexible 2 [
            rows("topics", &[
                text("name"),
                rows("partitions", &[int32("partition_index"), int64("offset")]),
            ]),
            int32("timeout_ms"),
        ]

        OffsetForLeaderEpochRequest 2..=4 flexible 4 [
            int32("replica_id").since(3),
            rows("topics", &[
                text("topic"),
                rows("partitions", &[int32("partition"), int32("current_leader_epoch"), int32("leader_epoch")]),
            ]),
        ]
    }
}
