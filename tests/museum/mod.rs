//! The bug museum: bugs of other producers, each as a test that milena must pass.
//!
//! In: bugs of librdkafka, franz-go, Java's client and others, by the issue or commit that repaired them. Out: one test
//! or more for each bug that a producer like this one can have. A test is named after the behaviour, and its comment
//! has the source and the story. All tests here drive the sender with the scripted broker of `src/sender/tests/rig.rs`.
//! The tests that need only the public API are in `tests/producer/museum.rs`.
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

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::rig::{Rig, Says, Sent, TOPIC, TOPIC_ID};
use crate::{
    sender::{Action, Event},
    wire::testing,
};

/// How many bugs there are.
const ENTRIES: usize = 25;

/// Answers a request, and returns the one that is sent thereupon as the socket gets it.
fn request_after(rig: &mut Rig, sent: &Sent, says: &[Says]) -> Bytes {
    let frame = testing::produce(rig.ranges[0].2, sent.correlation, (TOPIC, TOPIC_ID), says, &[]);
    rig.event(Event::Frame { connection: sent.connection, frame });
    match rig.sender.poll_action(rig.now) {
        Some(Action::Send { segments, .. }) => segments.concat().into(),
        other => panic!("{other:?} where a request was expected"),
    }
}

/// The rows of the index at the top of this file: number, and what stands in the last column.
fn index() -> Vec<(usize, &'static str)> {
    let rows = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = rows.map(|row| row.trim_end_matches(" |").split(" | ").collect::<Vec<_>>());
    cells.filter_map(|cells| Some((cells.first()?.parse().ok()?, *cells.get(2)?))).collect()
}

/// Names in backticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Every Rust file of the library and its tests.
fn sources() -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    ["src", "tests"].iter().for_each(|folder| walk(&root.join(folder), &mut found));
    found
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The comment above a test, if `source` has a test of that name.
fn story<'a>(source: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let (before, _) = source.split_once(&format!("\nfn {name}() {{"))?;
    let above = before.strip_suffix("#[test]")?.lines().rev();
    Some(above.take_while(|line| line.starts_with("///")).collect())
}

#[test]
fn the_index_covers_every_bug_once_in_order() {
    let numbers: Vec<_> = index().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=ENTRIES).collect::<Vec<_>>());
}

#[test]
fn every_test_that_the_index_names_exists_and_every_bug_without_one_has_its_reason() {
    let sources = sources();
    for (number, cell) in index() {
        let names = names(cell);
        assert!(!names.is_empty() || cell.starts_with("cannot: "), "{number} has neither a test nor a reason");
        for name in names {
            let told = sources.iter().find_map(|source| story(source, name));
            assert!(told.is_some(), "{number}: there is no test {name}");
        }
    }
}

#[test]
fn the_first_test_of_every_bug_tells_its_source() {
    let sources = sources();
    for (number, cell) in index().into_iter().filter(|(_, cell)| !cell.starts_with("cannot: ")) {
        let name = names(cell)[0];
        let told = sources.iter().find_map(|source| story(source, name)).unwrap_or_default();
        assert!(!told.is_empty(), "{number}: {name} has no comment");
    }
}

#[test]
fn a_name_is_found_where_it_is_a_test_and_nowhere_else() {
    let source = "x\n/// Why.\n#[test]\nfn is_one() {\n}\nfn helper() {\n}\n";
    assert_eq!(story(source, "is_one"), Some(vec!["/// Why."]));
    assert_eq!((story(source, "helper"), story(source, "is")), (None, None));
}
