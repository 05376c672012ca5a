//! The tables of all messages that milena reads, one each, in the order of Apache Kafka's own schema
//! (`clients/src/main/resources/common/message/*.json`).
//!
//! In: nothing. Out: tables. Pure. Fields have the names that the kafka-protocol crate gives them. Fetch ends at v12:
//! v13 replaces names by topic ids, and later versions add fields for replicas, none of which milena uses.

use kafka_protocol::messages::{
    ApiVersionsResponse, CreateTopicsResponse, DescribeConfigsResponse, FetchResponse, InitProducerIdResponse,
    ListOffsetsResponse, MetadataResponse, ProduceResponse, ResponseHeader, SaslAuthenticateResponse,
    SaslHandshakeResponse,
};

use super::{Field, FieldKind, Shape, Shaped};

/// For each type, the function that makes a field of it.
macro_rules! types {
    ($($name:ident $kind:expr;)*) => {
        $(const fn $name(name: &'static str) -> Field { Field::new(name, $kind) })*
    };
}

types! {
    bool FieldKind::Fixed(1);
    int8 FieldKind::Fixed(1);
    int16 FieldKind::Fixed(2);
    int32 FieldKind::Fixed(4);
    int64 FieldKind::Fixed(8);
    uuid FieldKind::Fixed(16);
    text FieldKind::Text;
    records FieldKind::Blob;
    int32s FieldKind::List(&FieldKind::Fixed(4));
    texts FieldKind::List(&FieldKind::Text);
}

const fn row(name: &'static str, fields: &'static [Field]) -> Field {
    Field::new(name, FieldKind::Row(fields))
}

const fn rows(name: &'static str, fields: &'static [Field]) -> Field {
    Field::new(name, FieldKind::Rows(fields))
}

macro_rules! shapes {
    ($($message:ident $min:literal..=$max:literal flexible $flexible:literal [$($fields:tt)*])*) => {$(
        impl Shaped for $message {
            const SHAPE: Shape = Shape {
                name: stringify!($message), min: $min, max: $max, flexible: $flexible, fields: &[$($fields)*],
            };
        }
    )*};
}

const FEATURE: &[Field] = &[text("name"), int16("version"), int16("version")];
const CONFIG: &[Field] =
    &[text("name"), text("value").nullable(), bool("read_only"), int8("config_source"), bool("is_sensitive")];
const LEADER_ID_AND_EPOCH: &[Field] = &[int32("leader_id"), int32("leader_epoch")];

shapes! {
    ResponseHeader 0..=1 flexible 1 [
        int32("correlation_id"),
    ]

    ApiVersionsResponse 0..=4 flexible 3 [
        int16("error_code"),
        rows("api_keys", &[int16("api_key"), int16("min_version"), int16("max_version")]),
        int32("throttle_time_ms").since(1),
        rows("supported_features", FEATURE).tagged(0).since(3),
        int64("finalized_features_epoch").tagged(1).since(3),
        rows("finalized_features", FEATURE).tagged(2).since(3),
        bool("zk_migration_ready").tagged(3).since(3),
    ]

    MetadataResponse 0..=13 flexible 9 [
        int32("throttle_time_ms").since(3),
        rows("brokers", &[int32("node_id"), text("host"), int32("port"), text("rack").since(1).nullable()]),
        text("cluster_id").since(2).nullable(),
        int32("controller_id").since(1),
        rows("topics", &[
            int16("error_code"),
            text("name").nullable_since(12),
            uuid("topic_id").since(10),
            bool("is_internal").since(1),
            rows("partitions", &[
                int16("error_code"),
                int32("partition_index"),
                int32("leader_id"),
                int32("leader_epoch").since(7),
                int32s("replica_nodes"),
                int32s("isr_nodes"),
                int32s("offline_replicas").since(5),
            ]),
            int32("topic_authorized_operations").since(8),
        ]),
        int32("cluster_authorized_operations").since(8).until(10),
        int16("error_code").since(13),
    ]

    SaslHandshakeResponse 0..=1 flexible 99 [
        int16("error_code"),
        texts("mechanisms"),
    ]

    SaslAuthenticateResponse 0..=2 flexible 2 [
        int16("error_code"),
        text("error_message").nullable(),
        records("auth_bytes"),
        int64("session_lifetime_ms").since(1),
    ]

    InitProducerIdResponse 0..=5 flexible 2 [
        int32("throttle_time_ms"),
        int16("error_code"),
        int64("producer_id"),
        int16("producer_epoch"),
    ]

    ProduceResponse 3..=13 flexible 9 [
        rows("responses", &[
            text("name").until(12),
            uuid("topic_id").since(13),
            rows("partition_responses", &[
                int32("index"),
                int16("error_code"),
                int64("base_offset"),
                int64("log_append_time_ms"),
                int64("log_start_offset").since(5),
                rows("record_errors", &[int32("batch_index"), text("batch_index_error_message").nullable()]).since(8),
                text("error_message").since(8).nullable(),
                row("current_leader", LEADER_ID_AND_EPOCH).tagged(0).since(10),
            ]),
        ]),
        int32("throttle_time_ms"),
        rows("node_endpoints", &[int32("node_id"), text("host"), int32("port"), text("rack").nullable()])
            .tagged(0)
            .since(10),
    ]

    CreateTopicsResponse 2..=7 flexible 5 [
        int32("throttle_time_ms"),
        rows("topics", &[
            text("name"),
            uuid("topic_id").since(7),
            int16("error_code"),
            text("error_message").nullable(),
            int16("topic_config_error_code").tagged(0).since(5),
            int32("num_partitions").since(5),
            int16("replication_factor").since(5),
            rows("configs", CONFIG).since(5).nullable(),
        ]),
    ]

    ListOffsetsResponse 1..=10 flexible 6 [
        int32("throttle_time_ms").since(2),
        rows("topics", &[
            text("name"),
            rows("partitions", &[
                int32("partition_index"),
                int16("error_code"),
                int64("timestamp"),
                int64("offset"),
                int32("leader_epoch").since(4),
            ]),
        ]),
    ]

    FetchResponse 4..=12 flexible 12 [
        int32("throttle_time_ms"),
        int16("error_code").since(7),
        int32("session_id").since(7),
        rows("responses", &[
            text("topic"),
            rows("partitions", &[
                int32("partition_index"),
                int16("error_code"),
                int64("high_watermark"),
                int64("last_stable_offset"),
                int64("log_start_offset").since(5),
                row("diverging_epoch", &[int32("epoch"), int64("end_offset")]).tagged(0).since(12),
                row("current_leader", LEADER_ID_AND_EPOCH).tagged(1).since(12),
                row("snapshot_id", &[int64("end_offset"), int32("epoch")]).tagged(2).since(12),
                rows("aborted_transactions", &[int64("producer_id"), int64("first_offset")]).nullable(),
                int32("preferred_read_replica").since(11),
                records("records").nullable(),
            ]),
        ]),
    ]

    DescribeConfigsResponse 1..=4 flexible 4 [
        int32("throttle_time_ms"),
        rows("results", &[
            int16("error_code"),
            text("error_message").nullable(),
            int8("resource_type"),
            text("resource_name"),
            rows("configs", &[
                text("name"),
                text("value").nullable(),
                bool("read_only"),
                int8("config_source"),
                bool("is_sensitive"),
                rows("synonyms", &[text("name"), text("value").nullable(), int8("source")]),
                int8("config_type").since(3),
                text("documentation").since(3).nullable(),
            ]),
        ]),
    ]
}

#[cfg(any(test, feature = "broker"))]
mod groups;
mod managing;

/// The messages that only the embedded broker reads.
#[cfg(any(test, feature = "broker"))]
mod requests {
    use kafka_protocol::messages::{
        ApiVersionsRequest, CreateTopicsRequest, DescribeConfigsRequest, FetchRequest, InitProducerIdRequest,
        ListOffsetsRequest, MetadataRequest, ProduceRequest, RequestHeader, SaslAuthenticateRequest,
        SaslHandshakeRequest,
    };

    use super::*;

    shapes! {
        RequestHeader 1..=2 flexible 2 [
            int16("request_api_key"),
            int16("request_api_version"),
            int32("correlation_id"),
            Field::new("client_id", FieldKind::OldText).nullable(),
        ]

        ApiVersionsRequest 0..=4 flexible 3 [
            text("client_software_name").since(3),
            text("client_software_version").since(3),
        ]

        MetadataRequest 0..=13 flexible 9 [
            rows("topics", &[uuid("topic_id").since(10), text("name").nullable_since(10)]).nullable_since(1),
            bool("allow_auto_topic_creation").since(4),
            bool("include_cluster_authorized_operations").since(8).until(10),
            bool("include_topic_authorized_operations").since(8),
        ]

        InitProducerIdRequest 0..=5 flexible 2 [
            text("transactional_id").nullable(),
            int32("transaction_timeout_ms"),
            int64("producer_id").since(3),
            int16("producer_epoch").since(3),
        ]

        ProduceRequest 3..=13 flexible 9 [
            text("transactional_id").nullable(),
            int16("acks"),
            int32("timeout_ms"),
            rows("topic_data", &[
                text("name").until(12),
                uuid("topic_id").since(13),
                rows("partition_data", &[int32("index"), records("records").nullable()]),
            ]),
        ]

        CreateTopicsRequest 2..=7 flexible 5 [
            rows("topics", &[
                text("name"),
                int32("num_partitions"),
                int16("replication_factor"),
                rows("assignments", &[int32("partition_index"), int32s("broker_ids")]),
                rows("configs", &[text("name"), text("value").nullable()]),
            ]),
            int32("timeout_ms"),
            bool("validate_only"),
        ]

        ListOffsetsRequest 1..=10 flexible 6 [
            int32("replica_id"),
            int8("isolation_level").since(2),
            rows("topics", &[
                text("name"),
                rows("partitions", &[
                    int32("partition_index"),
                    int32("current_leader_epoch").since(4),
                    int64("timestamp"),
                ]),
            ]),
            int32("timeout_ms").since(10),
        ]

        FetchRequest 4..=12 flexible 12 [
            text("cluster_id").nullable().tagged(0).since(12),
            int32("replica_id"),
            int32("max_wait_ms"),
            int32("min_bytes"),
            int32("max_bytes"),
            int8("isolation_level"),
            int32("session_id").since(7),
            int32("session_epoch").since(7),
            rows("topics", &[
                text("topic"),
                rows("partitions", &[
                    int32("partition"),
                    int32("current_leader_epoch").since(9),
                    int64("fetch_offset"),
                    int32("last_fetched_epoch").since(12),
                    int64("log_start_offset").since(5),
                    int32("partition_max_bytes"),
                ]),
            ]),
            rows("forgotten_topics_data", &[text("topic"), int32s("partitions")]).since(7),
            text("rack_id").since(11),
        ]

        DescribeConfigsRequest 1..=4 flexible 4 [
            rows("resources", &[
                int8("resource_type"),
                text("resource_name"),
                Field::new("configuration_keys", FieldKind::List(&FieldKind::Text)).nullable(),
            ]),
            bool("include_synonyms"),
            bool("include_documentation").since(3),
        ]

        SaslHandshakeRequest 0..=1 flexible 99 [
            text("mechanism"),
        ]

        SaslAuthenticateRequest 0..=2 flexible 2 [
            records("auth_bytes"),
        ]
    }
}
