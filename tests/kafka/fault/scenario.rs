//! One run: a new topic, a load, a fault, and the oracle's result.
//!
//! In: a healthy cluster. Out: the run's row in the table, and its violations. The cluster is healthy again at the end.

use std::{collections::BTreeMap, fs, time::Duration};

use milena::{Producer, admin::Admin};
use milena_test_support::dump;
use tokio::task::block_in_place;

use super::{
    CLIENT_TEST, Form, NODES, PARTITIONS, REQUEST_TIMEOUT,
    client::Client,
    load::{self, History, Load, Order, SentRecord},
    oracle::{self, Id, Judgement, Reported, Violation},
    report::{self, Row},
    secured,
    strike::{self, Fault, Seen, Stage},
};
use crate::cluster::unique;

/// Records that the same producer sends after the fault.
const AFTERWARDS: u32 = 300;

/// One run.
pub(crate) struct Outcome {
    pub(crate) row: Row,
    /// Whether the fault had an effect; a run without one proves nothing.
    pub(crate) effective: bool,
    pub(crate) violations: Vec<Violation>,
}

/// The histories and observations of a run.
struct Observed {
    history: History,
    /// The records that the same producer sent after the fault.
    afterwards: History,
    seen: Seen,
}

/// One run on a new, healthy topic. The evidence of violations is kept.
pub(crate) async fn run(stage: &Stage, fault: Fault, form: Form) -> Outcome {
    let topic = unique("fault");
    let mut admin = Admin::connect(&stage.kafka.bootstrap_servers()).await.expect("the cluster responds");
    let created = admin.create_topic(&topic, PARTITIONS, 3, &[("min.insync.replicas", "2")]).await;
    created.expect("the topic can be created");
    block_in_place(|| stage.overseer.await_in_sync(&topic, NODES));
    let Observed { history, afterwards, seen } = match fault {
        Fault::KillClient => block_in_place(|| kill_client(stage, &topic, form.records())),
        fault if form.is_java() => strike_java(stage, fault, &topic, form.records()).await,
        fault => strike(stage, fault, &topic, form.records()).await,
    };
    let reported: BTreeMap<Id, Reported> =
        history.iter().chain(&afterwards).map(|(id, sent)| (*id, sent.reported)).collect();
    let log = load::entries(admin.read_all(&topic).await.expect("the topic can be read"));
    let judged = oracle::judge(&reported, &log);
    let role = seen.role.map(|role| format!(" of a {role}")).unwrap_or_default();
    let name = format!("{fault}{role}{}", if form.is_java() { ", Java" } else { "" });
    let of_one = (0..PARTITIONS).map(|one| silence(&history, |sent| sent.partition == one)).max().unwrap_or_default();
    let seen_at = format!("{}, silence of one partition {} ms", seen.what, of_one.as_millis());
    let row = Row::new(name, &judged, silence(&history, |_| true), seen_at);
    let violations = unexpected_violations(fault, &judged);
    if !violations.is_empty() {
        block_in_place(|| keep_evidence(stage, &topic, &row, &violations, &[history, afterwards]));
    }
    Outcome { row, effective: seen.effective && repetitions_show(fault, &judged), violations }
}

/// Runs a producer under load while a fault strikes, and again afterwards.
async fn strike(stage: &Stage, fault: Fault, topic: &str, records: u32) -> Observed {
    let builder = Producer::builder(&super::servers(stage, fault)).request_timeout(REQUEST_TIMEOUT);
    let builder = builder.properties(secured::of_clients());
    let builder = if fault == Fault::CutPlain { builder.idempotence(false) } else { builder };
    let producer = builder.build().await.expect("the settings are valid");
    let order = |first, at_least| Order { topic: topic.to_owned(), client: 0, first, at_least };
    let load = Load::start(producer.clone(), order(0, records), |_| ());
    load.await_acked(records as usize / 4).await;
    let mut seen = stage.strike(fault, &[topic.to_owned()], &|| load.has_sent_all()).await;
    let history = load.finish().await;
    block_in_place(|| stage.overseer.await_in_sync(topic, NODES));
    seen.effective |= seen.frozen.is_some_and(|frozen| strike::waited(&history, frozen));
    let next = history.keys().next_back().map_or(0, |last| last.number + 1);
    let afterwards = Load::start(producer, order(next, AFTERWARDS), |_| ()).finish().await;
    let acked = afterwards.values().filter(|sent| matches!(sent.reported, Reported::Acked(_))).count();
    assert_eq!(acked, AFTERWARDS as usize, "the same producer continues after the fault");
    Observed { history, afterwards, seen }
}

/// The same with Apache's producer.
async fn strike_java(stage: &Stage, fault: Fault, topic: &str, records: u32) -> Observed {
    let servers = if fault.is_proxied() { stage.kafka.proxied_servers() } else { stage.kafka.bootstrap_servers() };
    let order = Order { topic: topic.to_owned(), client: 0, first: 0, at_least: records };
    let mut load = Client::start_java(&servers, &order);
    block_in_place(|| load.await_acked(records as usize / 4));
    let mut seen = stage.strike(fault, &[topic.to_owned()], &|| load.sent() >= records as usize).await;
    let history = block_in_place(|| load.finish());
    seen.effective |= seen.frozen.is_some_and(|frozen| strike::waited(&history, frozen));
    Observed { history, afterwards: History::new(), seen }
}

/// Kills a client under load, and starts another that continues with the first record that was not sent.
fn kill_client(stage: &Stage, topic: &str, records: u32) -> Observed {
    let servers = super::servers(stage, Fault::KillClient);
    let start = |client, first, at_least| {
        Client::start(CLIENT_TEST, &servers, &Order { topic: topic.to_owned(), client, first, at_least })
    };
    let mut first = start(0, 0, records);
    first.await_acked(records as usize / 4);
    let (mut history, killed) = first.kill();
    let incomplete = history.values().filter(|sent| sent.reported == Reported::Unknown).count();
    let next = history.keys().next_back().map_or(0, |last| last.number + 1);
    history.extend(start(1, next, records - next).finish());
    let what = format!("killed at record {next} with {incomplete} unanswered");
    let seen = Seen { what, role: None, effective: killed && incomplete > 0, frozen: None };
    Observed { history, afterwards: History::new(), seen }
}

/// The longest time between two of the chosen acknowledgements.
pub(crate) fn silence(history: &History, chosen: impl Fn(&SentRecord) -> bool) -> Duration {
    let acked = history.values().filter(|sent| matches!(sent.reported, Reported::Acked(_)) && chosen(sent));
    oracle::longest_silence(acked.map(|sent| sent.completed_at).collect())
}

/// The violations of the producer's guarantees. Without idempotence, duplicates are allowed, and so is another order.
fn unexpected_violations(fault: Fault, judged: &Judgement) -> Vec<Violation> {
    let is_repetition = |v: &&Violation| matches!(v, Violation::Duplicate { .. } | Violation::Reordered { .. });
    let allowed = |v: &&Violation| fault == Fault::CutPlain && is_repetition(v);
    judged.violations.iter().filter(|v| !allowed(v)).copied().collect()
}

/// Whether a fault without idempotence caused duplicates. If it causes none, the same fault with idempotence proves nothing.
fn repetitions_show(fault: Fault, judged: &Judgement) -> bool {
    fault != Fault::CutPlain || judged.count(|v| matches!(v, Violation::Duplicate { .. })) > 0
}

/// Writes a file with the violations, the outcome of every record, and the batches of each node's log.
fn keep_evidence(stage: &Stage, topic: &str, row: &Row, violations: &[Violation], history: &[History; 2]) {
    let mut text = format!("{}\n{violations:#?}\n{history:#?}\n", row.line());
    for node in 0..NODES {
        text += &format!("node {}: {:#?}\n", node + 1, dump::dump(&stage.kafka.segments(node, topic)));
    }
    let file = report::folder().join(format!("{}-{topic}.txt", row.fault));
    fs::write(&file, text).expect("the evidence can be written");
    println!("evidence in {}", file.display());
}
