//! The bug museum: bugs of other producers, each as a test that milena must pass.
//!
//! In: bugs of librdkafka, franz-go, Java's client and others, by the issue or commit that repaired them. Out: one test
//! or more for each bug that a producer like this one can have. A test is named after the behaviour, and its comment
//! has the source and the bug. All tests here drive the sender with the scripted broker of `src/sender/tests/rig.rs`.
//! The tests that need only the public API are in `tests/producer/museum.rs`. `tests/tidy/museum.rs` checks the table.
//!
//! | no. | bug | tests |
//! |---|---|---|
//! | 1 | a batch was retried with other records | `a_retried_batch_has_the_same_records_whatever_was_appended_meanwhile`, `a_retry_sends_the_same_bytes` |
//! | 2 | an error with an unknown outcome moved the sequence | `an_error_with_an_unknown_outcome_moves_no_sequence_number` |
//! | 3 | a hint was taken for the whole cluster | `a_hint_leaves_the_other_brokers_and_their_connections_alone` |
//! | 4 | cached metadata pointed into the response's buffer | `cached_metadata_does_not_hold_the_buffer_of_its_response` |
//! | 5 | leader epoch -1 was accepted as a step back | `a_partition_without_a_leader_does_not_accept_an_older_leader` |
//! | 6 | zeros in place of topic ids | `a_topic_without_a_known_id_is_sent_by_name_although_the_broker_supports_ids` |
//! | 7 | `UNKNOWN_TOPIC_ID` was retried for ever | `a_batch_with_an_unknown_topic_id_fails_as_with_any_other_error`, `a_batch_for_a_recreated_topic_is_retried_with_the_new_id` |
//! | 8 | no leader anywhere failed records at once | `records_are_kept_while_no_partition_at_all_has_a_leader` |
//! | 9 | the count of what is in flight wrapped at 256 | `more_than_256_requests_in_flight_are_counted_and_none_is_overtaken_at_another_leader` |
//! | 10 | the window stayed open when the leader moved | `every_new_leader_has_to_accept_a_batch_before_it_gets_several`, `a_success_at_the_old_leader_does_not_open_the_window_at_the_new_one` |
//! | 11 | acks=0: two readers on a connection; closed twice | `with_acks_0_responses_to_other_requests_are_matched_and_a_second_disconnect_is_ignored` |
//! | 12 | failed records had offsets | `a_failed_record_has_no_offset_even_if_its_response_has_one`, `records_whose_response_has_no_offset_have_none` |
//! | 13 | a second entry for a partition replaced the first | `two_entries_for_one_partition_are_rejected_and_the_batch_is_retried` |
//! | 14 | user code ran under a lock of the client | `user_code_of_every_kind_may_call_the_producer` |
//! | 15 | flush starved or was not woken; a record was sent after close began | `flush_ends_though_every_failure_sends_another_record`, `flush_ends_though_a_send_that_was_blocked_meanwhile_is_cancelled`, `a_record_that_is_sent_after_close_began_is_refused`, `records_sent_while_the_producer_is_closed_are_refused_or_have_an_outcome` |
//! | 16 | a connection was used after the broker's idle limit | `an_idle_connection_is_closed_before_the_broker_closes_it`, `a_request_of_which_nothing_was_written_is_sent_again_even_without_retries` |
//! | 17 | connections reset during ApiVersions leaked, or never worked | `connections_that_are_reset_while_versions_are_negotiated_leave_nothing_behind`, `a_broker_that_ends_the_connection_on_api_versions_receives_it_in_its_oldest_version` |
//! | 18 | a busy connection was never authenticated again | cannot: there is no SASL yet, so no session ends |
//! | 19 | InitProducerId was lost; `PRODUCER_FENCED` was retried | `a_producer_id_whose_request_was_lost_is_requested_again`, `a_fenced_batch_fails_at_once_and_nothing_more_is_sent` |
//! | 20 | brokers that freeze and thaw, and a client that restarts, left gaps | `brokers_that_freeze_and_thaw_leave_no_gap_for_a_producer_that_starts_again` |
//! | 21 | purging raced with sending | `bytes_in_a_socket_stay_unchanged_and_charged_until_the_request_is_over`, `a_record_appended_while_its_topic_is_forgotten_is_delivered` |
//! | 22 | an epoch was bumped in the middle of a transaction | cannot: there are no transactions; each partition has its own epoch, see `an_epoch_is_one_partitions_own` |
//! | 23 | two layers of retries multiplied | `failures_of_every_kind_use_up_the_same_retries` |
//! | 24 | a broker advertised localhost | `a_remote_broker_that_advertises_localhost_is_named_as_the_cause` |
//! | 25 | a duplicate was given an offset | `a_batch_that_the_broker_already_has_succeeds_without_an_offset` |

mod connections;
mod endings;
mod leaders;
mod sequences;

use bytes::Bytes;

use super::rig::{Rig, Says, Sent, TOPIC, TOPIC_ID};
use crate::{
    sender::{Action, Event},
    wire::testing,
};

/// Responds to a request, and returns the bytes of the next request.
fn request_after(rig: &mut Rig, sent: &Sent, says: &[Says]) -> Bytes {
    let frame = testing::produce(rig.ranges[0].2, sent.correlation, (TOPIC, TOPIC_ID), says, &[]);
    rig.event(Event::Frame { connection: sent.connection, frame });
    match rig.sender.poll_action(rig.now) {
        Some(Action::Send { segments, .. }) => segments.concat().into(),
        other => panic!("{other:?} where a request was expected"),
    }
}
