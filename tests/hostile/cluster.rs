//! False brokers, topics and partitions in Metadata responses. Metadata with an incomplete topic is not used.
//!
//! Deliberately absent: a wrong leader in the highest possible epoch. Of two epochs the higher one is used, as in Apache
//! Kafka's own client (KIP-320), so the correct leader in a lower epoch would be ignored.

use milena::{FailureKind, Persisted};
use milena_test_support::peer;

use crate::{
    proxy::{NEW, OLD, Reply},
    responses::{Cluster, METADATA, Partition, Request, Topic, metadata, partition, topic_of},
    run,
    scenario::{Case, Expect, Times, run_all},
};

/// A case of each row in both dialects, for every Metadata response.
fn always(rows: Vec<(&str, Cluster, Expect, bool)>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, cluster, expect, closes) in rows {
        for (dialect_name, dialect) in [("new", NEW), ("old", OLD)] {
            let cluster = cluster.clone();
            let reply = move |request: &Request| Reply::Frame(metadata(request, &cluster).bytes);
            let outcome = (Times::Always, expect, closes);
            cases.push(Case::new(format!("{dialect_name}: {name}"), dialect, METADATA, reply, outcome));
        }
    }
    cases
}

fn brokers(brokers: &[(i32, &str, i32)]) -> Cluster {
    let brokers = brokers.iter().map(|(id, host, port)| (*id, (*host).to_owned(), *port)).collect();
    Cluster { brokers, ..Cluster::default() }
}

fn topics(topics: Vec<Topic>) -> Cluster {
    Cluster { topics, ..Cluster::default() }
}

/// All partitions, each with the same change.
fn each(change: impl Fn(Partition) -> Partition) -> Cluster {
    topic_of((0..3).map(partition).map(change))
}

#[test]
fn metadata_of_an_incomplete_topic_is_not_used_and_is_requested_again() {
    let not_yet = Expect::Unsent(&["LEADER_NOT_AVAILABLE"]);
    run(run_all(always(vec![
        ("no partitions, error 0", topic_of([]), not_yet, false),
        ("a partition left out", topic_of([0, 2].map(partition)), not_yet, false),
        ("the first partition left out", topic_of([1, 2].map(partition)), not_yet, false),
        ("one partition far away", topic_of([partition(i32::MAX)]), not_yet, false),
        ("the topic left out", topics(vec![]), Expect::Unsent(&["no metadata for orders"]), false),
        (
            "another topic in its place",
            topics(vec![Topic { name: "others", ..Topic::default() }]),
            Expect::Unsent(&["no metadata for orders"]),
            false,
        ),
        (
            "an unknown error",
            topics(vec![Topic { error: 9_999, ..Topic::default() }]),
            Expect::Unsent(&["9999"]),
            false,
        ),
    ])));
}

#[test]
fn contradictory_responses_end_the_connection() {
    let twice = |number| topic_of([0, 1, number, 2].map(partition));
    let leaders = |number, leader| {
        let other = Partition { leader, ..partition(number) };
        topic_of([partition(0), partition(1), partition(2), other])
    };
    let unsent = |words| Expect::Unsent(words);
    run(run_all(always(vec![
        ("a partition twice", twice(1), unsent(&["partition 1 of topic orders stands in it twice"]), true),
        ("a partition twice, led by another", leaders(0, 7), unsent(&["partition 0", "twice"]), true),
        ("a partition twice, without a leader", leaders(2, -1), unsent(&["partition 2", "twice"]), true),
        ("a negative partition", twice(-1), unsent(&["partition -1 of topic orders cannot be"]), true),
        ("the least partition", topic_of([partition(i32::MIN)]), unsent(&["cannot be"]), true),
        ("the topic twice", topics(vec![Topic::default(); 2]), unsent(&["topic orders stands in it twice"]), true),
        ("a broker twice", brokers(&[(1, "127.0.0.1", 0), (1, "127.0.0.1", 1)]), unsent(&["broker 1", "twice"]), true),
    ])));
}

#[test]
fn brokers_with_impossible_addresses_are_not_connected_to() {
    let no_broker = Expect::Unsent(&["named no broker that can be connected to"]);
    let long = "a".repeat(300);
    run(run_all(always(vec![
        ("no brokers", brokers(&[]), no_broker, false),
        ("a host that a terminal would obey", brokers(&[(1, "\u{1b}[2J\u{7}", 0)]), no_broker, false),
        ("a host with a line break", brokers(&[(1, "a\r\nb", 0)]), no_broker, false),
        ("a host with a nul", brokers(&[(1, "a\0b", 0)]), no_broker, false),
        ("no host", brokers(&[(1, "", 0)]), no_broker, false),
        ("a host of 300 letters", brokers(&[(1, &long, 0)]), no_broker, false),
        ("port -1", brokers(&[(1, "127.0.0.1", -1)]), no_broker, false),
        ("port 65536", brokers(&[(1, "127.0.0.1", 65_536)]), no_broker, false),
        ("a negative id", brokers(&[(-1, "127.0.0.1", 0), (i32::MIN, "127.0.0.1", 0)]), no_broker, false),
    ])));
}

#[test]
fn a_leader_that_cannot_be_reached_is_named_as_the_cause_and_reached_once_metadata_is_correct() {
    let unsent = |words| Expect::Fails(FailureKind::Expired, Persisted::No, words);
    let at = |address: std::net::SocketAddr| brokers(&[(1, "127.0.0.1", i32::from(address.port()))]);
    run(async {
        run_all(always(vec![
            ("a web server", at(peer::responding(peer::HTTP_RESPONSE)), unsent(&["HTTP"]), false),
            ("a TLS server", at(peer::responding(peer::TLS_ALERT)), unsent(&["TLS"]), false),
            ("a server that hangs up", at(peer::responding(b"")), unsent(&["closed the connection"]), false),
            ("a server that is silent", at(peer::silent()), unsent(&["no response to ApiVersions"]), false),
            ("a port without a listener", at(peer::closed_port()), unsent(&["cannot connect to"]), false),
            ("a host without an address", brokers(&[(1, "kafka.invalid", 9)]), unsent(&["kafka.invalid"]), false),
            ("a broker that is not listed", each(|p| Partition { leader: 99, ..p }), unsent(&["no leader"]), false),
            ("no leader", each(|p| Partition { leader: -1, ..p }), unsent(&["no leader"]), false),
            ("the least id", each(|p| Partition { leader: i32::MIN, ..p }), unsent(&["no leader"]), false),
        ]))
        .await;
    });
}

#[test]
fn false_values_that_are_not_used_are_ignored() {
    let well = Expect::Delivered;
    let extra = (1_000..1_050).map(|tag| (tag, vec![7; 40])).collect();
    run(run_all(always(vec![
        ("another cluster", Cluster { cluster_id: "\u{1b}[31mother", ..Cluster::default() }, well, false),
        ("unknown tagged fields", Cluster { extra, ..Cluster::default() }, well, false),
        ("a throttle without end", Cluster { throttle_ms: i32::MAX, ..Cluster::default() }, well, false),
        ("a throttle into the past", Cluster { throttle_ms: i32::MIN, ..Cluster::default() }, well, false),
        ("the most epoch", each(|p| Partition { epoch: i32::MAX, ..p }), well, false),
        ("the least epoch", each(|p| Partition { epoch: i32::MIN, ..p }), well, false),
        ("an error for each partition", each(|p| Partition { error: 9_999, ..p }), well, false),
        (
            "more brokers than exist",
            brokers(&[(1, "127.0.0.1", 0), (i32::MAX, "127.0.0.1", 1), (5, "\u{1b}", 0)]),
            well,
            false,
        ),
    ])));
}

/// Another cluster id in every response: the producer continues with the broker that responds.
#[test]
fn a_cluster_id_that_changes_with_each_response_is_ignored() {
    let reply = |request: &Request| {
        let cluster_id = ["one", "two", "three"][usize::try_from(request.correlation.rem_euclid(3)).unwrap()];
        Reply::Frame(metadata(request, &Cluster { cluster_id, ..Cluster::default() }).bytes)
    };
    run(run_all(vec![Case::new("names", NEW, METADATA, reply, (Times::Always, Expect::Delivered, false))]));
}
