//! When metadata are asked for, and what a response changes: the part by itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    cluster::{Broker, Cluster, TopicId},
    error::ErrorCode,
    sender::{
        backoff::{Backoff, Chance, PATIENCE},
        metadata::{Changes, Metadata, Policy},
    },
    wire::apis::metadata::{ClusterView, TopicView},
};

const MAX_AGE: Duration = Duration::from_secs(300);
const MAX_IDLE: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_millis(1_000) };

struct Rig {
    metadata: Metadata,
    chance: Chance,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let now = Instant::now();
        let policy = Policy { max_age: MAX_AGE, max_idle: MAX_IDLE, backoff: BACKOFF };
        Self { metadata: Metadata::new(policy, now), chance: Chance::new(1), now }
    }

    /// The same with topic `orders` known, its two partitions led by brokers 1 and 2 in epoch 5.
    fn knowing() -> Self {
        let mut rig = Self::new();
        rig.want("orders");
        rig.ask();
        rig.respond(&[(0, 1, 5), (1, 2, 5)]);
        rig
    }

    fn want(&mut self, topic: &str) {
        self.metadata.want(&topic.into(), self.now);
    }

    fn ask(&mut self) -> Vec<String> {
        self.metadata.take_due(self.now).iter().map(ToString::to_string).collect()
    }

    fn apply(&mut self, response: ClusterView) -> Option<Changes> {
        self.metadata.apply(self.metadata.request, response, self.now, &mut self.chance)
    }

    /// A response for `orders` with `(partition, leader, epoch)`.
    fn respond(&mut self, partitions: &[(i32, i32, i32)]) -> Option<Changes> {
        self.apply(response(vec![topic("orders", 7, partitions)]))
    }

    /// The request that was made last brings no response.
    fn fail(&mut self) {
        self.metadata.failed(self.metadata.request, self.now, &mut self.chance);
    }

    /// The leaders of `orders` that are known, with their epochs.
    fn leaders(&self) -> Vec<(Option<i32>, i32)> {
        let known = &self.metadata.cluster.topics["orders"].partitions;
        known.iter().map(|partition| (partition.leader, partition.leader_epoch)).collect()
    }

    fn recreated(changes: &Changes) -> usize {
        changes.topics.iter().filter(|change| change.recreated).count()
    }

    /// How long until metadata are to be requested.
    fn due_in(&self) -> Option<Duration> {
        self.metadata.due().map(|at| at.saturating_duration_since(self.now))
    }
}

fn broker(id: i32) -> Broker {
    Broker { id, host: "127.0.0.1".into(), port: 9000 + u16::try_from(id).unwrap(), rack: None }
}

fn topic(name: &str, id: u128, partitions: &[(i32, i32, i32)]) -> TopicView {
    let name = Arc::from(name);
    TopicView {
        error: ErrorCode::NONE,
        name,
        id: TopicId::from_u128(id),
        partitions: partitions.to_vec(),
        rights: None,
    }
}

fn response(topics: Vec<TopicView>) -> ClusterView {
    ClusterView { brokers: vec![broker(1), broker(2)], topics, ..ClusterView::default() }
}

fn within_a_fifth(got: Option<Duration>, expected: Duration) -> bool {
    got.is_some_and(|got| (expected.mul_f64(0.8)..=expected.mul_f64(1.2)).contains(&got))
}

#[test]
fn a_new_topic_is_asked_for_at_once_and_alone() {
    let mut rig = Rig::knowing();
    rig.now += Duration::from_secs(5);
    rig.want("refunds");
    assert_eq!(rig.due_in(), Some(Duration::ZERO));
    assert_eq!(rig.ask(), ["refunds"]);
}

#[test]
fn when_all_is_due_all_topics_are_asked_for() {
    let mut rig = Rig::knowing();
    assert_eq!(rig.due_in(), Some(MAX_AGE));
    rig.now += MAX_AGE;
    rig.want("refunds");
    assert_eq!(rig.ask(), ["orders", "refunds"]);
}

#[test]
fn while_a_request_is_on_its_way_only_its_repetition_is_due() {
    let mut rig = Rig::knowing();
    rig.now += MAX_AGE;
    rig.ask();
    rig.metadata.refresh(rig.now);
    assert_eq!(rig.due_in(), Some(PATIENCE));
}

#[test]
fn an_answer_to_a_request_for_new_topics_does_not_put_off_the_next_for_all() {
    let mut rig = Rig::knowing();
    rig.now += MAX_AGE / 2;
    rig.want("refunds");
    rig.ask();
    rig.apply(response(vec![topic("refunds", 8, &[(0, 1, 0)])]));
    assert_eq!(rig.due_in(), Some(MAX_AGE / 2));
}

#[test]
fn what_was_asked_for_in_vain_is_asked_for_after_a_wait_that_doubles() {
    let mut rig = Rig::knowing();
    rig.now += MAX_AGE;
    for wait_ms in [200, 400, 800] {
        rig.ask();
        rig.fail();
        assert!(within_a_fifth(rig.due_in(), Duration::from_millis(wait_ms)), "{wait_ms}: {:?}", rig.due_in());
        rig.now += rig.due_in().unwrap();
    }
}

#[test]
fn a_failure_without_a_request_is_none() {
    let mut rig = Rig::knowing();
    rig.fail();
    assert_eq!(rig.due_in(), Some(MAX_AGE));
}

#[test]
fn a_request_is_repeated_to_another_broker_when_it_has_no_response_in_time() {
    let mut rig = Rig::knowing();
    rig.now += MAX_AGE;
    rig.ask();
    assert_eq!(rig.due_in(), Some(PATIENCE));
    rig.now += PATIENCE;
    rig.want("refunds");
    assert_eq!(rig.ask(), ["orders", "refunds"]);
    assert_eq!(rig.due_in(), Some(PATIENCE));
}

#[test]
fn a_request_to_several_brokers_has_failed_when_the_last_of_them_failed() {
    let mut rig = Rig::knowing();
    rig.now += MAX_AGE;
    rig.ask();
    rig.ask();
    rig.fail();
    assert_eq!(rig.due_in(), Some(PATIENCE), "one may still respond");
    rig.fail();
    assert!(rig.due_in() < Some(PATIENCE), "{:?}", rig.due_in());
}

#[test]
fn a_response_to_an_earlier_request_neither_counts_nor_ends_the_next_one() {
    let mut rig = Rig::knowing();
    rig.now += MAX_AGE;
    rig.ask();
    rig.ask();
    let earlier = rig.metadata.request;
    rig.respond(&[(0, 1, 6), (1, 2, 5)]);
    rig.now += MAX_AGE;
    rig.ask();
    let late = response(vec![topic("orders", 6, &[(0, 2, 4), (1, 2, 4)])]);
    assert!(rig.metadata.apply(earlier, late, rig.now, &mut rig.chance).is_none());
    rig.metadata.failed(earlier, rig.now, &mut rig.chance);
    assert_eq!((rig.due_in(), rig.leaders()[0]), (Some(PATIENCE), (Some(1), 6)));
    assert!(rig.respond(&[(0, 2, 7), (1, 2, 5)]).is_some());
    assert_eq!(rig.leaders()[0], (Some(2), 7));
}

#[test]
fn an_answer_that_brings_something_new_ends_the_doubling_and_one_that_does_not_goes_on_with_it() {
    let mut rig = Rig::knowing();
    let refreshed_in = |rig: &mut Rig, partitions: &[(i32, i32, i32)]| {
        rig.ask();
        rig.respond(partitions);
        rig.metadata.refresh(rig.now);
        rig.due_in()
    };
    rig.now += MAX_AGE;
    for (epoch, wait_ms) in [(5, 200), (5, 400), (6, 100), (6, 200)] {
        let due = refreshed_in(&mut rig, &[(0, 1, epoch), (1, 2, 5)]);
        assert!(within_a_fifth(due, Duration::from_millis(wait_ms)), "{epoch}, {wait_ms}: {due:?}");
        rig.now += due.unwrap();
    }
}

#[test]
fn a_partition_without_a_leader_is_asked_for_again_soon() {
    let mut rig = Rig::knowing();
    rig.now += MAX_AGE;
    rig.ask();
    rig.respond(&[(0, -1, 6), (1, 2, 5)]);
    assert_eq!(rig.leaders(), [(None, 6), (Some(2), 5)]);
    assert!(rig.due_in() <= Some(BACKOFF.max), "{:?}", rig.due_in());
}

#[test]
fn a_topic_that_is_not_there_yet_is_asked_for_again_soon_and_a_refused_one_is_not() {
    for (code, again) in [(3, true), (5, true), (-1, true), (38, true), (44, true), (29, false), (17, false)] {
        let mut rig = Rig::new();
        rig.want("orders");
        rig.ask();
        let changes = rig.apply(response(vec![TopicView { error: ErrorCode(code), ..topic("orders", 0, &[]) }]));
        assert_eq!(changes.unwrap().missing, [(Arc::from("orders"), ErrorCode(code))]);
        assert_eq!(rig.due_in() <= Some(BACKOFF.max), again, "{code}: {:?}", rig.due_in());
    }
}

#[test]
fn who_asks_again_for_a_topic_that_is_missing_shortens_the_wait_and_does_not_end_it() {
    let mut rig = Rig::new();
    rig.want("orders");
    for _ in 0..6 {
        rig.ask();
        rig.apply(response(vec![TopicView { error: ErrorCode(3), ..topic("orders", 0, &[]) }]));
        rig.now += rig.due_in().unwrap();
    }
    rig.ask();
    rig.apply(response(vec![TopicView { error: ErrorCode(3), ..topic("orders", 0, &[]) }]));
    assert!(rig.due_in() > Some(BACKOFF.initial));
    rig.want("orders");
    assert_eq!(rig.due_in(), Some(BACKOFF.initial));
}

#[test]
fn a_response_without_brokers_or_without_a_request_changes_nothing() {
    let mut rig = Rig::knowing();
    let before = Cluster::clone(&rig.metadata.cluster);
    assert!(rig.respond(&[(0, 2, 9), (1, 2, 9)]).is_none(), "it was not requested");
    rig.now += MAX_AGE;
    rig.ask();
    let useless = ClusterView { brokers: Vec::new(), ..response(vec![topic("orders", 7, &[(0, 2, 9), (1, 2, 9)])]) };
    assert!(rig.apply(useless).is_none());
    assert_eq!(*rig.metadata.cluster, before);
    assert!(rig.due_in() <= Some(BACKOFF.max), "and it is asked again soon");
}

#[test]
fn topics_that_nobody_asked_for_are_not_taken_over() {
    let mut rig = Rig::new();
    rig.want("orders");
    rig.ask();
    rig.apply(response(vec![topic("orders", 7, &[(0, 1, 5)]), topic("others", 8, &[(0, 1, 5)])]));
    assert_eq!(rig.metadata.cluster.topics.keys().map(|name| &**name).collect::<Vec<_>>(), ["orders"]);
}

#[test]
fn of_two_leader_epochs_the_newer_one_counts_partition_by_partition() {
    for (told, expected) in [
        ([(0, 2, 4), (1, 1, 6)], [(Some(1), 5), (Some(1), 6)]),
        ([(0, 2, 5), (1, 1, 5)], [(Some(2), 5), (Some(1), 5)]),
        // A broker that does not tell epochs.
        ([(0, 2, -1), (1, 1, -1)], [(Some(2), 5), (Some(1), 5)]),
    ] {
        let mut rig = Rig::knowing();
        rig.now += MAX_AGE;
        rig.ask();
        rig.respond(&told);
        assert_eq!(rig.leaders(), expected, "{told:?}");
    }
}

#[test]
fn partitions_that_are_left_out_stay_as_they_were_and_a_new_topic_must_be_told_whole() {
    let mut rig = Rig::knowing();
    rig.now += MAX_AGE;
    rig.ask();
    rig.respond(&[(0, 2, 6)]);
    assert_eq!(rig.leaders(), [(Some(2), 6), (Some(2), 5)]);
    rig.now += MAX_AGE;
    rig.ask();
    rig.respond(&[(1, 1, 7), (3, 1, 0)]);
    assert_eq!(rig.leaders(), [(Some(2), 6), (Some(1), 7)], "3 without 2 is not taken over");
    for partial in [&[(1, 1, 0)][..], &[(0, 1, 0), (2, 1, 0)], &[(-1, 1, 0), (0, 1, 0)], &[]] {
        let mut rig = Rig::new();
        rig.want("orders");
        rig.ask();
        let changes = rig.respond(partial);
        assert_eq!(changes.unwrap().missing, [(Arc::from("orders"), ErrorCode::LEADER_NOT_AVAILABLE)], "{partial:?}");
    }
}

#[test]
fn a_topic_is_recreated_when_its_id_is_another_one_and_both_are_told() {
    for (id, recreated) in [(7, false), (8, true), (0, false)] {
        let mut rig = Rig::knowing();
        rig.now += MAX_AGE;
        rig.ask();
        let changes = rig.apply(response(vec![topic("orders", id, &[(0, 2, 1), (1, 2, 1)])]));
        assert_eq!(Rig::recreated(changes.as_ref().unwrap()), usize::from(recreated), "{id}");
        let leaders = if recreated { [(Some(2), 1); 2] } else { [(Some(1), 5), (Some(2), 5)] };
        assert_eq!(rig.leaders(), leaders, "{id}");
        let known = rig.metadata.cluster.topics["orders"].id;
        assert_eq!(known, TopicId::from_u128(if recreated { 8 } else { 7 }), "an id that is known stays known");
    }
}

/// What one response makes of `orders`, which is known with partitions led by brokers 1 and 2 in epoch 5. Beside it what Java makes
/// of the same response (`Metadata.handleMetadataResponse`, `updateLatestMetadata`, version 4.2): where it differs, Java has no
/// partitions of the topic, or fewer, until the next response, and `send` waits for that or throws.
#[test]
fn every_rule_of_merging_an_answer_is_kept_whatever_ids_and_epochs_it_has() {
    const KNOWN: &[(Option<i32>, i32)] = &[(Some(1), 5), (Some(2), 5)];
    type Told<'a> = &'a [(i32, i32, i32)];
    type Leaders<'a> = &'a [(Option<i32>, i32)];
    // What the response is; its error; the topic's id, of which 7 is the known one and 0 none; partition, leader and epoch; our
    // leaders after it; whether it is asked again soon; Java's leaders after it.
    let table: &[(&str, i16, u128, Told<'_>, Leaders<'_>, bool, Leaders<'_>)] = &[
        ("the same", 0, 7, &[(0, 1, 5), (1, 2, 5)], KNOWN, false, KNOWN),
        (
            "a leader moved",
            0,
            7,
            &[(0, 2, 6), (1, 2, 5)],
            &[(Some(2), 6), (Some(2), 5)],
            false,
            &[(Some(2), 6), (Some(2), 5)],
        ),
        (
            "a leader moved in the same epoch",
            0,
            7,
            &[(0, 2, 5), (1, 2, 5)],
            &[(Some(2), 5), (Some(2), 5)],
            false,
            &[(Some(2), 5), (Some(2), 5)],
        ),
        ("an older epoch", 0, 7, &[(0, 2, 4), (1, 1, 3)], KNOWN, true, KNOWN),
        (
            "no epochs, as below Metadata 9",
            0,
            7,
            &[(0, 2, -1), (1, 1, -1)],
            &[(Some(2), 5), (Some(1), 5)],
            false,
            &[(Some(2), -1), (Some(1), -1)],
        ),
        ("no leader", 0, 7, &[(0, -1, 6), (1, 2, 5)], &[(None, 6), (Some(2), 5)], true, &[(None, 6), (Some(2), 5)]),
        (
            "a leader that no broker is",
            0,
            7,
            &[(0, 9, 6), (1, 2, 5)],
            &[(Some(9), 6), (Some(2), 5)],
            false,
            &[(None, 6), (Some(2), 5)],
        ),
        (
            "partitions were added",
            0,
            7,
            &[(0, 1, 5), (1, 2, 5), (2, 1, 0)],
            &[(Some(1), 5), (Some(2), 5), (Some(1), 0)],
            false,
            &[(Some(1), 5), (Some(2), 5), (Some(1), 0)],
        ),
        ("one partition less", 0, 7, &[(0, 1, 5)], KNOWN, false, &[(Some(1), 5)]),
        ("the first partition less", 0, 7, &[(1, 1, 6)], &[(Some(1), 5), (Some(1), 6)], false, &[(Some(1), 6)]),
        ("no partitions", 0, 7, &[], KNOWN, true, &[]),
        ("an impossible partition", 0, 7, &[(-1, 1, 5), (0, 2, 6)], KNOWN, true, &[(Some(2), 6)]),
        (
            "another id",
            0,
            8,
            &[(0, 2, 0), (1, 1, 0)],
            &[(Some(2), 0), (Some(1), 0)],
            false,
            &[(Some(2), 0), (Some(1), 0)],
        ),
        ("another id, fewer partitions", 0, 8, &[(0, 2, 0)], &[(Some(2), 0)], false, &[(Some(2), 0)]),
        (
            "another id, more partitions",
            0,
            8,
            &[(0, 2, 0), (1, 1, 0), (2, 2, 0)],
            &[(Some(2), 0), (Some(1), 0), (Some(2), 0)],
            false,
            &[(Some(2), 0), (Some(1), 0), (Some(2), 0)],
        ),
        ("another id, partitions left out", 0, 8, &[(1, 1, 0)], KNOWN, true, &[(Some(1), 0)]),
        ("no id", 0, 0, &[(0, 2, 6), (1, 2, 5)], &[(Some(2), 6), (Some(2), 5)], false, &[(Some(2), 6), (Some(2), 5)]),
        ("no id, an older epoch", 0, 0, &[(0, 2, 4), (1, 2, 5)], KNOWN, true, KNOWN),
        ("no id, fewer partitions", 0, 0, &[(0, 1, 5)], KNOWN, true, &[(Some(1), 5)]),
        ("deleted, or not known there yet", 3, 0, &[], KNOWN, true, &[]),
        ("no leader yet", 5, 7, &[], KNOWN, true, &[]),
        ("an invalid name", 17, 0, &[], KNOWN, true, &[]),
        ("not authorized", 29, 0, &[], KNOWN, true, &[]),
        ("too few brokers to create it", 38, 0, &[], KNOWN, true, &[]),
        ("an error without a name", -1, 7, &[(0, 2, 9)], KNOWN, true, &[]),
    ];
    for (what, error, id, told, ours, again, java) in table {
        let mut rig = Rig::knowing();
        rig.now += MAX_AGE;
        rig.ask();
        rig.apply(response(vec![TopicView { error: ErrorCode(*error), ..topic("orders", *id, told) }]));
        assert_eq!(rig.leaders(), *ours, "{what}; Java has {java:?}");
        assert_eq!(rig.due_in() <= Some(BACKOFF.max), *again, "{what}: {:?}", rig.due_in());
        assert!(rig.leaders().len() >= java.len(), "{what}: nothing is missing that Java has");
    }
}

/// Brokers before 2.8 tell no ids, so a topic that was created anew can only be told by what contradicts the one of before.
#[test]
fn without_ids_a_topic_was_created_anew_when_three_answers_in_a_row_contradict_what_is_known() {
    for contradiction in [&[(0, 2, 0), (1, 2, 0)][..], &[(0, 1, 5)]] {
        let mut rig = Rig::new();
        rig.want("orders");
        rig.ask();
        rig.apply(response(vec![topic("orders", 0, &[(0, 1, 5), (1, 2, 5)])]));
        let tell = |rig: &mut Rig, partitions: &[(i32, i32, i32)]| {
            rig.now += rig.due_in().unwrap();
            rig.ask();
            Rig::recreated(&rig.apply(response(vec![topic("orders", 0, partitions)])).unwrap())
        };
        let known = [(0, 1, 5), (1, 2, 5)];
        let told = [contradiction, contradiction, &known, contradiction, contradiction, contradiction];
        let recreated: Vec<_> = told.into_iter().map(|partitions| tell(&mut rig, partitions)).collect();
        assert_eq!(recreated, [0, 0, 0, 0, 0, 1], "a late response or two change nothing");
        assert_eq!(rig.leaders().len(), contradiction.len());
    }
}

/// A broker that hints at the most epoch there is would never be corrected.
#[test]
fn with_ids_older_epochs_are_believed_when_ten_answers_in_a_row_tell_them() {
    let mut rig = Rig::knowing();
    for responses in 1..=10 {
        rig.now += rig.due_in().unwrap();
        rig.ask();
        let changes = rig.respond(&[(0, 2, 0), (1, 2, 0)]);
        assert_eq!(Rig::recreated(changes.as_ref().unwrap()) == 1, responses == 10, "{responses}");
    }
    assert_eq!(rig.leaders(), [(Some(2), 0); 2]);
}

#[test]
fn a_hint_counts_if_it_is_newer_and_its_broker_has_an_address() {
    for (leader, addresses, taken) in [
        ((2, 6), &[][..], true),
        ((2, 5), &[], false),
        ((2, 4), &[], false),
        ((3, 6), &[], false),
        ((3, 6), &[broker(3)], true),
        ((3, 6), &[broker(4)], false),
    ] {
        let mut rig = Rig::knowing();
        assert_eq!(rig.metadata.hint("orders", 0, leader, addresses), taken, "{leader:?}");
        assert_eq!(rig.leaders()[0], if taken { (Some(leader.0), leader.1) } else { (Some(1), 5) });
        assert_eq!(rig.metadata.cluster.brokers.contains_key(&leader.0), taken || leader.0 == 2);
    }
    let mut rig = Rig::knowing();
    assert!(!rig.metadata.hint("others", 0, (2, 9), &[]));
    assert!(!rig.metadata.hint("orders", 2, (2, 9), &[]));
    assert!(!rig.metadata.hint("orders", -1, (2, 9), &[]));
}

#[test]
fn a_topic_is_forgotten_when_it_was_not_used_for_long_and_has_no_batches() {
    let mut rig = Rig::knowing();
    rig.now += MAX_IDLE / 2;
    rig.metadata.touch(&"orders".into(), rig.now);
    rig.now += MAX_IDLE - Duration::from_millis(1);
    assert!(rig.metadata.evict_idle(rig.now, |_| false).is_empty());
    rig.now += Duration::from_millis(1);
    assert!(rig.metadata.evict_idle(rig.now, |topic| topic == "orders").is_empty());
    assert_eq!(rig.metadata.evict_idle(rig.now, |_| false), [Arc::from("orders")]);
    assert!(rig.ask().is_empty());
}

#[test]
fn starting_over_forgets_the_brokers_and_keeps_the_topics() {
    let mut rig = Rig::knowing();
    rig.now += Duration::from_secs(60);
    rig.metadata.rebootstrap(rig.now);
    assert!(rig.metadata.cluster.brokers.is_empty());
    assert_eq!(rig.leaders().len(), 2);
    assert_eq!((rig.due_in(), rig.metadata.last_success), (Some(Duration::ZERO), rig.now));
    assert_eq!(rig.ask(), ["orders"]);
}

#[test]
fn the_last_success_is_that_of_the_last_useful_answer() {
    let mut rig = Rig::knowing();
    let success = rig.now;
    rig.now += MAX_AGE;
    rig.ask();
    rig.fail();
    assert_eq!(rig.metadata.last_success, success);
    rig.ask();
    rig.respond(&[(0, 1, 5), (1, 2, 5)]);
    assert_eq!(rig.metadata.last_success, rig.now);
}

#[test]
fn a_topic_that_is_wanted_while_metadata_is_requested_is_requested_as_soon_as_the_response_is_there() {
    let mut rig = Rig::new();
    rig.want("orders");
    rig.ask();
    rig.want("payments");
    assert_eq!(rig.due_in(), Some(PATIENCE), "one request is in flight");
    rig.respond(&[(0, 1, 5), (1, 2, 5)]);
    assert_eq!(rig.due_in(), Some(Duration::ZERO));
    assert_eq!(rig.ask(), ["payments"]);
    rig.respond(&[(0, 1, 5), (1, 2, 5)]);
    assert!(rig.due_in() > Some(Duration::ZERO), "a topic that the response left out waits for the backoff");
}
