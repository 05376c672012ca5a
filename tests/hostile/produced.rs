//! Lies about the outcome of records, in Produce responses, and about the producer id.

use milena::{FailureKind, Persisted};

use crate::{
    liar::{NEW, OLD, Told, framed},
    responses::{Appended, Asked, INIT_PRODUCER_ID, PRODUCE, Produced, TOPIC, appended, init_producer_id, produce},
    run,
    scenario::{Case, Expect, Times, run_all},
};

/// Each lie in both dialects, told in every response.
fn always<T: Clone + Send + Sync + 'static>(
    api: i16,
    lies: Vec<(&str, T, Expect, bool)>,
    write: impl Fn(&Asked, &T) -> Told + Clone + Send + Sync + 'static,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, lie, expect, closes) in lies {
        for (dialect_name, dialect) in [("new", NEW), ("old", OLD)] {
            let (lie, write) = (lie.clone(), write.clone());
            let tell = move |asked: &Asked| write(asked, &lie);
            let outcome = (Times::Always, expect, closes);
            cases.push(Case::new(format!("{dialect_name}: {name}"), dialect, api, tell, outcome));
        }
    }
    cases
}

fn told(asked: &Asked, produced: &Produced) -> Told {
    Told::Frame(produce(asked, produced).bytes)
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
fn a_partition_that_is_left_out_is_no_success_and_sent_again() {
    let expect = unknown(&["left the partition out"]);
    let nothing = Produced { topics: Vec::new(), ..Produced::default() };
    let lies = vec![("nothing at all", nothing, expect, false), ("a topic alone", appended([]), expect, false)];
    run(run_all(always(PRODUCE, lies, told)));
}

#[test]
fn a_partition_that_was_not_asked_or_stands_twice_ends_the_connection() {
    let (strange, twice) = (unknown(&["was not asked"]), unknown(&["two responses for partition 0"]));
    let elsewhere = Produced { strange_id: true, ..Produced::default() };
    let no = Appended { error: 87, ..ok(0) };
    let two_topics = Produced { topics: vec![(TOPIC, vec![ok(0)]), (TOPIC, vec![ok(0)])], ..Produced::default() };
    let lies = vec![
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
    run(run_all(always(PRODUCE, lies, told)));
}

/// An offset that no record can have is not passed on; it is not invented either, and nothing overflows.
#[test]
fn an_offset_that_cannot_be_is_not_told() {
    let lies = vec![
        ("-1", at(-1), Expect::Somewhere, false),
        ("-2", at(-2), Expect::Somewhere, false),
        ("the least", at(i64::MIN), Expect::Somewhere, false),
        ("the most", at(i64::MAX), Expect::Somewhere, false),
    ];
    run(run_all(always(PRODUCE, lies, told)));
}

#[test]
fn refusals_without_end_are_answered_with_backoff_and_end_as_unknown() {
    let lies = vec![
        ("not the leader", refused(6, None), unknown(&["NOT_LEADER_OR_FOLLOWER"]), false),
        ("not the leader, but itself", refused(6, Some((1, 0))), unknown(&["NOT_LEADER_OR_FOLLOWER"]), false),
        ("itself, in the most epoch", refused(6, Some((1, i32::MAX))), unknown(&["NOT_LEADER"]), false),
        ("one that nobody knows", refused(6, Some((99, 9))), unknown(&["NOT_LEADER_OR_FOLLOWER"]), false),
        ("negative leader and epoch", refused(6, Some((-5, -5))), unknown(&["NOT_LEADER_OR_FOLLOWER"]), false),
        ("timed out", refused(7, None), unknown(&["REQUEST_TIMED_OUT"]), false),
    ];
    run(run_all(always(PRODUCE, lies, told)));
}

#[test]
fn an_error_that_nobody_knows_does_not_say_that_nothing_was_written() {
    let expect = Expect::Fails(FailureKind::Rejected, Persisted::Unknown, &[]);
    let codes = [("9999", 9_999), ("the most", i16::MAX), ("the least", i16::MIN)];
    let lies = codes.map(|(name, code)| (name, refused(code, None), expect, false));
    run(run_all(always(PRODUCE, lies.into(), told)));
}

#[test]
fn lies_beside_the_outcome_do_no_harm() {
    let well = Expect::Delivered;
    let extra = (1_000..1_050).map(|tag| (tag, vec![7; 40])).collect();
    let throttled = |throttle_ms| Produced { throttle_ms, ..Produced::default() };
    let lies = vec![
        ("a throttle without end", throttled(i32::MAX), well, false),
        ("a throttle of -1", throttled(-1), well, false),
        ("a throttle into the past", throttled(i32::MIN), well, false),
        ("tagged fields that nobody knows", Produced { extra, ..Produced::default() }, well, false),
        ("a leader although all is well", refused(0, Some((99, i32::MAX))), well, false),
        ("refused records although all is well", appended([Appended { refused: vec![0, -1], ..ok(0) }]), well, false),
    ];
    // The truth of the first record; others would stand elsewhere.
    let once = always(PRODUCE, lies, told).into_iter().map(|case| Case { times: Times::Once, ..case });
    run(run_all(once.collect()));
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let tell = |asked: &Asked, unasked: &[u8]| Told::Raw([&framed(&asked.honest), unasked].concat());
    let lies: Vec<(&str, &[u8], Expect, bool)> = vec![
        ("an empty one", &[0, 0, 0, 4, 0, 0, 0, 9], Expect::Delivered, true),
        ("one with the next id", &[0, 0, 0, 5, 0, 0, 0, 99, 0], Expect::Delivered, true),
    ];
    run(run_all(always(PRODUCE, lies, move |asked, unasked: &&[u8]| tell(asked, unasked))));
}

#[test]
fn without_a_producer_id_nothing_is_sent_and_the_error_says_why() {
    let none = |words| Expect::Fails(FailureKind::Expired, Persisted::No, words);
    // What does not heal by itself is told at once.
    let words = &["no producer id", "CLUSTER_AUTHORIZATION_FAILED"];
    let refused = Expect::Fails(FailureKind::Rejected, Persisted::No, words);
    let lies = vec![
        ("an id of -1", (0, 0, -1, 0), none(&["no producer id"]), false),
        ("the least id", (0, 0, i64::MIN, 0), none(&["no producer id"]), false),
        ("refused", (0, 31, -1, -1), refused, false),
        ("an error with an id", (0, 15, 7, 0), none(&["no producer id"]), false),
        ("an error that nobody knows", (0, 9_999, 7, 0), none(&["no producer id", "9999"]), false),
        ("a throttle without end", (i32::MAX, 15, 7, 0), none(&["no producer id"]), false),
    ];
    run(run_all(always(INIT_PRODUCER_ID, lies, |asked, &(throttle, error, id, epoch)| {
        Told::Frame(init_producer_id(asked, throttle, error, id, epoch).bytes)
    })));
}

#[test]
fn an_odd_identity_does_no_harm() {
    let lies = vec![
        ("the most id", (i64::MAX, 0), Expect::Delivered, false),
        ("the most epoch", (5, i16::MAX), Expect::Delivered, false),
        ("a negative epoch", (6, -1), Expect::Delivered, false),
    ];
    run(run_all(always(INIT_PRODUCER_ID, lies, |asked, &(id, epoch)| {
        Told::Frame(init_producer_id(asked, -1, 0, id, epoch).bytes)
    })));
}
