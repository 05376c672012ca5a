//! The bug museum: bugs of other producers, each as a test that milena must pass.
//!
//! In: bugs of librdkafka, franz-go, Java's client and others, by the issue or commit that repaired them. Out: one test
//! or more for each bug that a producer like this one can have. A test is named after the behaviour, and its comment
//! has the source and the story. All tests here drive the sender with the scripted broker of `src/sender/tests/rig.rs`.
//! The tests that need only the public API are in `tests/producer/museum.rs`. `tests/tidy/museum.rs` checks the table.
//!
//! | no. | what went wrong | held by |
//! |---|---|---|
//! | 1 | a batch went again with other records | `a_batch_that_goes_again_has_the_records_it_had_whatever_was_appended_meanwhile`, `a_retry_sends_the_same_bytes` |
//! | 2 | an error that left the fate open moved the sequence | `an_error_that_leaves_the_fate_open_moves_no_sequence_number` |
//! | 3 | a hint was taken for the whole cluster | `a_hint_leaves_the_other_brokers_and_their_connections_alone` |
//! | 4 | cached metadata pointed into the response's buffer | `nothing_that_is_remembered_keeps_the_answer_that_told_it` |
//! | 5 | leader epoch -1 was accepted as a step back | `a_partition_without_a_leader_does_not_make_way_for_an_older_one` |
//! | 6 | zeros in place of topic ids | `a_topic_whose_id_nobody_told_is_named_though_the_broker_speaks_of_ids` |
//! | 7 | `UNKNOWN_TOPIC_ID` was retried for ever | `an_unknown_topic_id_is_given_up_like_any_other_error`, `a_batch_for_a_topic_that_was_created_anew_goes_again_under_the_new_id` |
//! | 8 | no leader anywhere failed records at once | `records_are_kept_while_no_partition_at_all_has_a_leader` |
//! | 9 | the count of what is in flight wrapped at 256 | `more_than_256_requests_in_flight_are_counted_and_none_is_overtaken_at_another_leader` |
//! | 10 | the window stayed open when the leader moved | `every_new_leader_has_to_accept_a_batch_before_it_gets_several`, `a_success_at_the_old_leader_does_not_open_the_window_at_the_new_one` |
//! | 11 | acks=0: two readers on a connection; closed twice | `with_acks_0_answers_to_other_requests_are_told_apart_and_an_end_may_be_told_twice` |
//! | 12 | failed records had offsets | `a_failed_record_has_no_offset_even_if_its_answer_tells_one`, `records_whose_answer_tells_no_offset_have_none` |
//! | 13 | a second entry for a partition replaced the first | `two_entries_for_one_partition_settle_nothing_and_the_batch_goes_again` |
//! | 14 | user code ran under a lock of the client | `user_code_of_every_kind_may_call_the_producer` |
//! | 15 | flush starved or slept on; a record came too late for close | `flush_ends_though_every_failure_sends_another_record`, `flush_ends_though_a_send_that_was_blocked_meanwhile_is_cancelled`, `a_record_that_comes_too_late_for_close_is_refused_and_not_kept_for_ever`, `records_sent_while_the_producer_is_closed_are_refused_or_have_an_outcome` |
//! | 16 | a connection was used after the broker's idle limit | `a_connection_is_left_before_the_broker_would_leave_it`, `a_request_of_which_nothing_was_written_goes_again_even_without_retries` |
//! | 17 | connections reset during ApiVersions leaked, or never worked | `connections_that_are_reset_while_versions_are_negotiated_leave_nothing_behind`, `a_broker_that_hangs_up_on_our_first_question_is_asked_in_its_oldest_version` |
//! | 18 | a busy connection was never authenticated again | cannot: there is no SASL yet, so no session ends |
//! | 19 | InitProducerId was lost; `PRODUCER_FENCED` was retried | `a_producer_id_whose_request_was_lost_is_asked_for_again`, `a_fenced_batch_is_told_at_once_and_nothing_is_sent_any_more` |
//! | 20 | brokers that freeze and thaw, and a client that restarts, left gaps | `brokers_that_freeze_and_thaw_leave_no_gap_for_a_producer_that_starts_again` |
//! | 21 | purging raced with sending | `what_a_socket_holds_stays_as_it_is_and_is_charged_until_the_request_is_over`, `a_record_appended_while_its_topic_is_forgotten_is_delivered` |
//! | 22 | an epoch was bumped in the middle of a transaction | cannot: there are no transactions; epochs are each partition's own, see `an_epoch_is_one_partitions_own` |
//! | 23 | two layers of retries multiplied | `failures_of_every_kind_use_up_the_same_retries` |
//! | 24 | a broker advertised localhost | `a_remote_broker_that_advertises_localhost_is_named_as_the_cause` |
//! | 25 | a duplicate was given an offset | `a_batch_that_the_broker_has_already_is_a_success_at_no_known_offset` |

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

/// Answers a request, and returns the one that is sent thereupon as the socket gets it.
fn request_after(rig: &mut Rig, sent: &Sent, says: &[Says]) -> Bytes {
    let frame = testing::produce(rig.ranges[0].2, sent.correlation, (TOPIC, TOPIC_ID), says, &[]);
    rig.event(Event::Frame { connection: sent.connection, frame });
    match rig.sender.poll_action(rig.now) {
        Some(Action::Send { segments, .. }) => segments.concat().into(),
        other => panic!("{other:?} where a request was expected"),
    }
}
