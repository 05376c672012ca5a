//! One run: a topic of its own, a load, a fault, and the oracle's result.
//!
//! In: a healthy cluster. Out: the run's row in the table, and its violations. The cluster is healthy again at the end.

use std::{collections::BTreeMap, fs, time::Duration};

use milena::{Producer, admin::Admin};
use milena_test_support::dump;
use tokio::task::block_in_place;

use super::{
    CLIENT_TEST, Form, NODES, PARTITIONS, REQUEST_TIMEOUT,
    client::Client,
    load::{self, Fate, History, Load, Order},
    oracle::{self, Id, Judgement, Told, Violation},
    report::{self, Row},
    strike::{self, Fault, Seen, Stage},
};
use crate::cluster::unique;

/// Records that the same producer sends when all is over.
const AFTERWARDS: u32 = 300;

/// One run.
pub(crate) struct Outcome {
    pub(crate) row: Row,
    /// Whether the fault struck at all; a run in which it did not proves nothing.
    pub(crate) bit: bool,
    pub(crate) violations: Vec<Violation>,
}

/// What happened in it.
struct Story {
    history: History,
    /// What the same producer sent when the fault was over.
    afterwards: History,
    seen: Seen,
}

/// One run on a healthy topic of its own. The evidence of violations is kept.
pub(crate) async fn run(stage: &Stage, fault: Fault, form: Form) -> Outcome {
    let topic = unique("fault");
    let mut admin = Admin::connect(&stage.kafka.bootstrap_servers()).await.expect("the cluster answers");
    let created = admin.create_topic(&topic, PARTITIONS, 3, &[("min.insync.replicas", "2")]).await;
    created.expect("the topic can be created");
    block_in_place(|| stage.overseer.await_in_sync(&topic, NODES));
    let Story { history, afterwards, seen } = match fault {
        Fault::KillClient => block_in_place(|| kill_client(stage, &topic, form.records())),
        fault if form.is_java() => strike_java(stage, fault, &topic, form.records()).await,
        fault => strike(stage, fault, &topic, form.records()).await,
    };
    let told: BTreeMap<Id, Told> = history.iter().chain(&afterwards).map(|(id, fate)| (*id, fate.told)).collect();
    let log = load::entries(admin.read_all(&topic).await.expect("the topic can be read"));
    let judged = oracle::judge(&told, &log);
    let role = seen.role.map(|role| format!(" of a {role}")).unwrap_or_default();
    let name = format!("{fault}{role}{}", if form.is_java() { ", Java" } else { "" });
    let of_one = (0..PARTITIONS).map(|one| silence(&history, |fate| fate.partition == one)).max().unwrap_or_default();
    let seen_at = format!("{}, silence of one partition {} ms", seen.what, of_one.as_millis());
    let row = Row::new(name, &judged, silence(&history, |_| true), seen_at);
    let violations = held_against(fault, &judged);
    if !violations.is_empty() {
        block_in_place(|| keep_evidence(stage, &topic, &row, &violations, &[history, afterwards]));
    }
    Outcome { row, bit: seen.bit && repetitions_show(fault, &judged), violations }
}

/// A producer under load while a fault strikes, and what it says afterwards.
async fn strike(stage: &Stage, fault: Fault, topic: &str, records: u32) -> Story {
    let servers = if fault.is_proxied() { stage.kafka.proxied_servers() } else { stage.kafka.bootstrap_servers() };
    let builder = Producer::builder(&servers).request_timeout(REQUEST_TIMEOUT);
    let builder = if fault == Fault::CutPlain { builder.idempotence(false) } else { builder };
    let producer = builder.build().await.expect("the settings are valid");
    let order = |first, at_least| Order { topic: topic.to_owned(), client: 0, first, at_least };
    let load = Load::start(producer.clone(), order(0, records), |_| ());
    load.await_acked(records as usize / 4).await;
    let mut seen = stage.strike(fault, &[topic.to_owned()], &|| load.is_complete()).await;
    let history = load.finish().await;
    block_in_place(|| stage.overseer.await_in_sync(topic, NODES));
    seen.bit |= seen.frozen.is_some_and(|frozen| strike::waited(&history, frozen));
    let next = history.keys().next_back().map_or(0, |last| last.number + 1);
    let afterwards = Load::start(producer, order(next, AFTERWARDS), |_| ()).finish().await;
    let acked = afterwards.values().filter(|fate| matches!(fate.told, Told::Acked(_))).count();
    assert_eq!(acked, AFTERWARDS as usize, "the same producer goes on when all is over");
    Story { history, afterwards, seen }
}

/// Apache's producer in the place of ours.
async fn strike_java(stage: &Stage, fault: Fault, topic: &str, records: u32) -> Story {
    let servers = if fault.is_proxied() { stage.kafka.proxied_servers() } else { stage.kafka.bootstrap_servers() };
    let order = Order { topic: topic.to_owned(), client: 0, first: 0, at_least: records };
    let mut load = Client::start_java(&servers, &order);
    block_in_place(|| load.await_acked(records as usize / 4));
    let mut seen = stage.strike(fault, &[topic.to_owned()], &|| load.sent() >= records as usize).await;
    let history = block_in_place(|| load.finish());
    seen.bit |= seen.frozen.is_some_and(|frozen| strike::waited(&history, frozen));
    Story { history, afterwards: History::new(), seen }
}

/// A client that is killed in the middle, and one that goes on with the first record that was not handed over.
fn kill_client(stage: &Stage, topic: &str, records: u32) -> Story {
    let servers = stage.kafka.bootstrap_servers();
    let start = |client, first, at_least| {
        Client::start(CLIENT_TEST, &servers, &Order { topic: topic.to_owned(), client, first, at_least })
    };
    let mut first = start(0, 0, records);
    first.await_acked(records as usize / 4);
    let (mut history, killed) = first.kill();
    let unanswered = history.values().filter(|fate| fate.told == Told::Unknown).count();
    let next = history.keys().next_back().map_or(0, |last| last.number + 1);
    history.extend(start(1, next, records - next).finish());
    let what = format!("killed at record {next} with {unanswered} unanswered");
    let seen = Seen { what, role: None, bit: killed && unanswered > 0, frozen: None };
    Story { history, afterwards: History::new(), seen }
}

/// The longest time between two of the chosen acknowledgements.
pub(crate) fn silence(history: &History, chosen: impl Fn(&Fate) -> bool) -> Duration {
    let acked = history.values().filter(|fate| matches!(fate.told, Told::Acked(_)) && chosen(fate));
    oracle::longest_silence(acked.map(|fate| fate.told_at).collect())
}

/// What is wrong: without idempotence records may be repeated, and repetitions change the order.
fn held_against(fault: Fault, judged: &Judgement) -> Vec<Violation> {
    let is_repetition = |v: &&Violation| matches!(v, Violation::Duplicate { .. } | Violation::Reordered { .. });
    let allowed = |v: &&Violation| fault == Fault::CutPlain && is_repetition(v);
    judged.violations.iter().filter(|v| !allowed(v)).copied().collect()
}

/// Cuts that cost no record its being written once, without idempotence, are too weak to prove anything with it.
fn repetitions_show(fault: Fault, judged: &Judgement) -> bool {
    fault != Fault::CutPlain || judged.count(|v| matches!(v, Violation::Duplicate { .. })) > 0
}

/// Violations, what was told of every record, and the batches of each node's log.
fn keep_evidence(stage: &Stage, topic: &str, row: &Row, violations: &[Violation], history: &[History; 2]) {
    let mut text = format!("{}\n{violations:#?}\n{history:#?}\n", row.line());
    for node in 0..NODES {
        text += &format!("node {}: {:#?}\n", node + 1, dump::dump(&stage.kafka.segments(node, topic)));
    }
    let file = report::folder().join(format!("{}-{topic}.txt", row.fault));
    fs::write(&file, text).expect("the evidence can be written");
    println!("evidence in {}", file.display());
}
