//! Runs every scenario except those of `fault` twice, with the embedded broker and with a real Apache Kafka, so that a
//! difference between the two fails a test.
//!
//! - [`acks`]: what an acknowledgement guarantees, for every `acks`
//! - [`compression`]: every codec, read back by all readers
//! - [`content`]: nulls, headers and timestamps arrive as they were sent
//! - [`partitions`]: the partition of a record
//! - [`volume`]: 200,000 records from eight tasks
//! - [`topics`]: topics that do not exist yet, or never will
//! - [`outages`]: brokers that stop and restart, or start late
//! - [`limits`]: the largest record, the smallest, and records that are too large
//! - [`authentication`]: every mechanism of SASL, sessions that end, what a refusal says, passwords that are corrected
//! - [`authorization`]: rights that are missing, and are granted later
//! - `tokens`: OAUTHBEARER with tokens of each source, sources that fail, tokens that end (feature `oidc`)
//! - `fault`: three real brokers, with faults of the brokers and of their connections
//! - `java_clients`: Apache's own producer and consumer on the same topics, and that Java chooses the same partition for a key
//! - `keys`: TLS with each kind of key, in each version, with each way to authenticate
//! - `rotation`: sessions that end and certificates that are replaced, under full load
//! - `security`: TLS, with and without a client's certificate, and what does not fit
//!
//! milena reads the topics back and, on real Kafka, Apache's console consumer and `DumpLogSegments` as well: see
//! [`log`]. The clusters of the scenarios are in [`cluster`] and [`secured`].
//!
//! Real Kafka and Apache's tools need the feature `kafka-tests`. Without it, the scenarios use only the embedded broker.

mod acks;
mod authentication;
mod authorization;
mod cluster;
mod compression;
mod content;
#[cfg(feature = "kafka-tests")]
mod fault;
#[cfg(feature = "kafka-tests")]
mod java_clients;
#[cfg(feature = "kafka-tests")]
mod keys;
mod limits;
mod log;
mod outages;
mod partitions;
#[cfg(feature = "kafka-tests")]
mod rotation;
mod secured;
#[cfg(all(feature = "broker-tls", feature = "scram"))]
mod security;
#[cfg(feature = "oidc")]
mod tokens;
mod topics;
mod volume;

use std::time::Duration;

/// A scenario that takes longer than this hangs; none takes a tenth of it.
const HANG: Duration = Duration::from_secs(300);

fn run(scenario: impl Future<Output = ()>) {
    run_within(HANG, scenario);
}

fn run_within(limit: Duration, scenario: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    runtime.block_on(async { tokio::time::timeout(limit, scenario).await.expect("the scenario hangs") });
}

macro_rules! scenarios {
    ($($file:ident: $($name:ident),+;)+) => {
        mod embedded {
            $($(#[test]
            fn $name() {
                crate::run(crate::$file::$name(crate::cluster::Kind::Embedded));
            })+)+
        }
        #[cfg(feature = "kafka-tests")]
        mod real {
            $($(#[test]
            fn $name() {
                crate::run(crate::$file::$name(crate::cluster::Kind::Real));
            })+)+
        }
    };
}

scenarios! {
    acks:
        acks_all_with_idempotence_returns_the_offset_of_each_record,
        acks_all_without_idempotence_returns_the_offset_of_each_record,
        acks_one_returns_the_offset_of_each_record,
        acks_zero_writes_every_record_and_invents_no_offset;
    authentication:
        every_mechanism_lets_the_producer_and_the_reader_in,
        a_refusal_comes_at_once_and_says_who_was_refused_how_and_what_to_look_at,
        a_listener_without_sasl_says_so,
        a_listener_that_wants_sasl_is_recognised_by_a_client_without_it,
        sessions_that_end_every_three_seconds_cost_no_record_and_no_connection,
        a_record_that_waits_is_delivered_once_the_brokers_have_the_password_again,
        a_producer_that_was_refused_sends_once_its_password_is_right;
    authorization:
        a_topic_that_may_not_be_written_to_fails_its_records_until_the_right_is_granted,
        a_topic_that_may_not_be_seen_is_refused_at_once_until_the_right_is_granted,
        a_topic_that_may_not_be_created_is_refused_at_once_until_the_right_is_granted,
        a_client_that_gets_no_producer_id_is_told_which_right_it_lacks,
        a_right_that_is_taken_and_given_back_costs_only_the_records_between,
        a_topic_that_is_refused_does_not_hold_back_another_one,
        a_description_of_a_topic_says_the_same;
    compression:
        every_codec_is_compressed_in_the_log_and_read_by_every_reader,
        batches_that_do_not_compress_are_sent_uncompressed,
        a_compressed_batch_that_a_broker_finds_too_large_is_split_and_compressed_again;
    content:
        null_and_empty_keys_and_values_stay_apart,
        headers_keep_order_repetitions_nulls_and_empty_values,
        explicit_timestamps_are_kept_also_when_they_go_backwards,
        a_log_append_time_topic_sets_the_timestamps_and_the_ack_has_them;
    partitions:
        an_explicit_partition_is_used;
    volume:
        two_hundred_thousand_records_of_eight_tasks_arrive_once_and_in_order;
    topics:
        a_missing_topic_is_created_by_sending_to_it,
        an_unknown_topic_times_out_with_the_cause_and_works_once_it_exists;
    outages:
        a_producer_continues_after_its_broker_has_restarted,
        a_producer_that_starts_before_its_brokers_connects_once_they_start,
        records_that_flow_while_the_broker_restarts_arrive_once_and_in_order,
        records_that_flow_while_the_broker_is_frozen_arrive_once_and_in_order;
    limits:
        a_batch_of_exactly_max_message_bytes_is_written_and_one_byte_more_is_refused,
        a_record_over_max_message_bytes_fails_alone,
        ten_thousand_headers_arrive;
}

/// Scenarios that need TLS, with either cluster.
#[cfg(all(feature = "broker-tls", feature = "scram"))]
mod encrypted {
    scenarios! {
        security:
            records_come_back_over_each_version_of_tls,
            a_broker_that_is_not_trusted_and_a_client_without_tls_are_told,
            a_client_shows_its_certificate_to_a_broker_that_requires_one,
            a_listener_without_tls_is_recognised,
            who_the_client_is_can_be_said_over_tls;
    }
}

/// Scenarios with tokens.
#[cfg(feature = "oidc")]
mod oidc {
    scenarios! {
        tokens:
            a_token_of_each_source_lets_the_producer_and_the_reader_in,
            what_is_wrong_with_a_source_comes_at_once_with_its_reason,
            a_token_that_brokers_refuse_is_told_with_their_words_and_replaced,
            tokens_that_end_every_few_seconds_cost_no_record_and_no_connection,
            a_source_that_fails_costs_nothing_while_the_last_token_is_valid_and_heals;
    }
}

/// Scenarios that need Apache's tools, with either cluster.
#[cfg(feature = "kafka-tests")]
mod tools {
    scenarios! {
        java_clients:
            equal_keys_go_to_the_partition_that_the_java_producer_chooses,
            the_console_producer_and_the_console_consumer_agree_with_milena;
    }
}
