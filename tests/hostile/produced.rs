//! False outcomes of records in Produce responses, and false producer ids.

use milena::{FailureKind, Persisted};

use crate::{
    proxy::{NEW, OLD, Reply, framed},
    responses::{Appended, INIT_PRODUCER_ID, PRODUCE, Produced, Request, TOPIC, appended, init_producer_id, produce},
    run,
    scenario::{Case, Expect, Times, run_all},
};

/// A case of each row in both dialects, for every response.
fn always<T: Clone + Send + Sync + 'static>(
    api: i16,
    rows: Vec<(&str, T, Expect, bool)>,
    write: impl Fn(&Request, &T) -> Reply + Clone + Send + Sync + 'static,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, rule, expect, closes) in rows {
        for (dialect_name, dialect) in [("new", NEW), ("old", OLD)] {
            let (rule, write) = (rule.clone(), write.clone());
            let reply = move |request: &Request| write(request, &rule);
            let outcome = (Times::Always, expect, closes);
            cases.push(Case::new(format!("{dialect_name}: {name}"), dialect, api, reply, outcome));
        }
    }
    cases
}

fn reply_to(request: &Request, produced: &Produced) -> Reply {
    Reply::Frame(produce(request, produced).bytes)
}

fn ok(index: i32) -> Appended {
    Appended { index, ..Appended::default() }
}

fn at(base_offset: i64) -> Produced {
    appended([Appended { base_offset, ..ok(0) }])
}

fn refused(error: i16, leader: Option<(i32, i32)>) -> Produced {
    appended([Appended { error, leader, ..ok(0) }])
}

fn unknown(words: &'static [&'static str]) -> Expect {
    Expect::Fails(FailureKind::Expired, Persisted::Unknown, words)
}

#[test]
fn a_batch_whose_partition_is_missing_in_the_response_is_retried() {
    let expect = unknown(&["left the partition out"]);
    let nothing = Produced { topics: Vec::new(), ..Produced::default() };
    let rows = vec![("nothing at all", nothing, expect, false), ("a topic alone", appended([]), expect, false)];
    run(run_all(always(PRODUCE, rows, reply_to)));
}

#[test]
fn a_partition_that_was_not_in_the_request_or_is_repeated_ends_the_connection() {
    let (strange, twice) = (unknown(&["was not asked"]), unknown(&["two responses for partition 0"]));
    let elsewhere = Produced { strange_id: true, ..Produced::default() };
    let no = Appended { error: 87, ..ok(0) };
    let two_topics = Produced { topics: vec![(TOPIC, vec![ok(0)]), (TOPIC, vec![ok(0)])], ..Produced::default() };
    let rows = vec![
        ("another partition", appended([ok(1)]), strange, true),
        ("a partition that does not exist", appended([ok(i32::MAX)]), strange, true),
        ("partition -1", appended([ok(-1)]), strange, true),
        ("the right one and another", appended([ok(0), ok(2)]), strange, true),
        ("another topic", elsewhere, strange, true),
        ("the same twice", appended([ok(0), ok(0)]), twice, true),
        ("written and refused", appended([ok(0), no.clone()]), twice, true),
        ("refused and written", appended([no, ok(0)]), twice, true),
        ("the topic twice", two_topics, twice, true),
    ];
    run(run_all(always(PRODUCE, rows, reply_to)));
}

/// An impossible base offset is not passed on, no other offset is invented, and nothing overflows.
#[test]
fn an_impossible_offset_is_not_in_the_acknowledgement() {
    let rows = vec![
        ("-1", at(-1), Expect::Somewhere, false),
        ("-2", at(-2), Expect::Somewhere, false),
        ("the least", at(i64::MIN), Expect::Somewhere, false),
        ("the most", at(i64::MAX), Expect::Somewhere, false),
    ];
    run(run_all(always(PRODUCE, rows, reply_to)));
}

#[test]
fn a_batch_that_is_refused_forever_is_retried_with_backoff_and_expires_as_unknown() {
    let rows = vec![
        ("not the leader", refused(6, None), unknown(&["NOT_LEADER_OR_FOLLOWER"]), false),
        ("not the leader, but itself", refused(6, Some((1, 0))), unknown(&["NOT_LEADER_OR_FOLLOWER"]), false),
        ("itself, in the most epoch", refused(6, Some((1, i32::MAX))), unknown(&["NOT_LEADER"]), false),
        ("an unknown leader", refused(6, Some((99, 9))), unknown(&["NOT_LEADER_OR_FOLLOWER"]), false),
        ("negative leader and epoch", refused(6, Some((-5, -5))), unknown(&["NOT_LEADER_OR_FOLLOWER"]), false),
        ("timed out", refused(7, None), unknown(&["REQUEST_TIMED_OUT"]), false),
    ];
    run(run_all(always(PRODUCE, rows, reply_to)));
}

#[test]
fn after_an_unknown_error_a_record_may_have_been_written() {
    let expect = Expect::Fails(FailureKind::Rejected, Persisted::Unknown, &[]);
    let codes = [("9999", 9_999), ("the most", i16::MAX), ("the least", i16::MIN)];
    let rows = codes.map(|(name, code)| (name, refused(code, None), expect, false));
    run(run_all(always(PRODUCE, rows.into(), reply_to)));
}

#[test]
fn false_values_beside_the_outcome_are_ignored() {
    let well = Expect::Delivered;
    let extra = (1_000..1_050).map(|tag| (tag, vec![7; 40])).collect();
    let throttled = |throttle_ms| Produced { throttle_ms, ..Produced::default() };
    let rows = vec![
        ("a throttle without end", throttled(i32::MAX), well, false),
        ("a throttle of -1", throttled(-1), well, false),
        ("a throttle into the past", throttled(i32::MIN), well, false),
        ("unknown tagged fields", Produced { extra, ..Produced::default() }, well, false),
        ("a leader without an error", refused(0, Some((99, i32::MAX))), well, false),
        ("refused records without an error", appended([Appended { refused: vec![0, -1], ..ok(0) }]), well, false),
    ];
    // The rows have the offset of the first record, so they are correct only once.
    let once = always(PRODUCE, rows, reply_to).into_iter().map(|case| Case { times: Times::Once, ..case });
    run(run_all(once.collect()));
}

#[test]
fn a_response_without_a_request_ends_the_connection() {
    let reply = |request: &Request, unasked: &[u8]| Reply::Raw([&framed(&request.original), unasked].concat());
    let rows: Vec<(&str, &[u8], Expect, bool)> = vec![
        ("an empty one", &[0, 0, 0, 4, 0, 0, 0, 9], Expect::Delivered, true),
        ("one with the next id", &[0, 0, 0, 5, 0, 0, 0, 99, 0], Expect::Delivered, true),
    ];
    run(run_all(always(PRODUCE, rows, move |request, unasked: &&[u8]| reply(request, unasked))));
}

#[test]
fn without_a_producer_id_nothing_is_sent_and_the_error_says_why() {
    let none = |words| Expect::Fails(FailureKind::Expired, Persisted::No, words);
    // A fatal error completes the record at once.
    let words = &["no producer id", "CLUSTER_AUTHORIZATION_FAILED"];
    let refused = Expect::Fails(FailureKind::Rejected, Persisted::No, words);
    let rows = vec![
        ("an id of -1", (0, 0, -1, 0), none(&["no producer id"]), false),
        ("the least id", (0, 0, i64::MIN, 0), none(&["no producer id"]), false),
        ("refused", (0, 31, -1, -1), refused, false),
        ("an error with an id", (0, 15, 7, 0), none(&["no producer id"]), false),
        ("an unknown error", (0, 9_999, 7, 0), none(&["no producer id", "9999"]), false),
        ("a throttle without end", (i32::MAX, 15, 7, 0), none(&["no producer id"]), false),
    ];
    run(run_all(always(INIT_PRODUCER_ID, rows, |request, &(throttle, error, id, epoch)| {
        Reply::Frame(init_producer_id(request, throttle, error, id, epoch).bytes)
    })));
}

#[test]
fn an_unusual_producer_id_or_epoch_is_accepted() {
    let rows = vec![
        ("the most id", (i64::MAX, 0), Expect::Delivered, false),
        ("the most epoch", (5, i16::MAX), Expect::Delivered, false),
        ("a negative epoch", (6, -1), Expect::Delivered, false),
    ];
    run(run_all(always(INIT_PRODUCER_ID, rows, |request, &(id, epoch)| {
        Reply::Frame(init_producer_id(request, -1, 0, id, epoch).bytes)
    })));
}
