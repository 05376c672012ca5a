//! Three real brokers under faults, a producer with records in flight, and an oracle that holds what it told of each record
//! against the log.
//!
//! The short form is these tests as they are: each fault once, 6,000 records or more at 2,000 a second, on one cluster that they
//! share one after the other. Its session timeout is lowered to 3 s (Kafka: 9 s), so that a leader that is gone is replaced
//! within seconds. The long form is the same tests with 40,000 records, Kafka's own session timeout, longer freezes and many
//! runs: the command `tests/kafka/faults`. Violations fail a test; silences are reported and never judged.

mod client;
mod load;
mod oracle;
mod report;
mod strike;

use std::{
    collections::BTreeMap,
    env, fs,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use milena::{Producer, admin::Admin};
use milena_test_support::{dump, kafka::RealKafka, overseer::Overseer};
use tokio::task::block_in_place;

use crate::cluster::unique;
use client::Client;
use load::{History, Load, Order};
use oracle::{Id, Judgement, Told, Violation};
use report::Row;
use strike::{Fault, Seen, Stage};

const NODES: usize = 3;
const PARTITIONS: i32 = 3;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Records that the same producer sends when all is over.
const AFTERWARDS: u32 = 300;
/// The test that a client's process runs.
const CLIENT_TEST: &str = "fault::a_client_that_is_killed_leaves_no_lie_and_another_continues";

#[test]
fn a_leader_frozen_for_less_than_the_request_timeout_costs_no_record() {
    check(Fault::Freeze(1), &[Fault::Freeze(1)]);
}

#[test]
fn a_leader_frozen_for_longer_than_the_request_timeout_costs_no_record() {
    check(Fault::Freeze(7), &[Fault::Freeze(10), Fault::Freeze(45)]);
}

#[test]
fn a_leader_that_is_killed_costs_no_record() {
    check(Fault::Kill, &[Fault::Kill]);
}

#[test]
fn a_rolling_restart_costs_no_record() {
    check(Fault::RollingRestart, &[Fault::RollingRestart]);
}

#[test]
fn connections_that_go_deaf_and_are_reset_cost_no_record() {
    check(Fault::Cut, &[Fault::Cut]);
}

#[test]
fn without_idempotence_connections_that_go_deaf_and_are_reset_do_cost_repetitions() {
    check(Fault::CutPlain, &[Fault::CutPlain]);
}

#[test]
fn answers_that_are_lost_after_the_request_was_written_cost_no_record() {
    check(Fault::LoseAnswers, &[Fault::LoseAnswers]);
}

#[test]
fn leaders_moved_by_reassignment_cost_no_record() {
    check(Fault::MoveLeaders, &[Fault::MoveLeaders]);
}

#[test]
fn a_client_that_is_killed_leaves_no_lie_and_another_continues() {
    if !client::obey() {
        check(Fault::KillClient, &[Fault::KillClient]);
    }
}

/// How large the tests are.
#[derive(Clone, Copy, Debug)]
enum Form {
    Short,
    /// `java` puts Apache's producer in the place of ours.
    Long {
        runs: usize,
        java: bool,
    },
}

impl Form {
    fn chosen() -> Self {
        let runs = env::var("MILENA_FAULTS_RUNS").ok();
        let java = env::var("MILENA_FAULTS_CLIENT").is_ok_and(|client| client == "java");
        let long = |runs: String| Self::Long { runs: runs.parse().expect("MILENA_FAULTS_RUNS is a number"), java };
        runs.map_or(Self::Short, long)
    }

    fn is_java(self) -> bool {
        matches!(self, Self::Long { java: true, .. })
    }

    fn records(self) -> u32 {
        match self {
            Self::Short => 6_000,
            Self::Long { .. } => 40_000,
        }
    }

    fn settings(self) -> Vec<(&'static str, &'static str)> {
        // Leaders that move back on their own would be a second fault in some runs.
        let mut settings = vec![("auto.leader.rebalance.enable", "false")];
        if matches!(self, Self::Short) {
            settings.extend([("broker.session.timeout.ms", "3000"), ("broker.heartbeat.interval.ms", "500")]);
        }
        settings
    }
}

fn check(short: Fault, long: &[Fault]) {
    static TURN: Mutex<()> = Mutex::new(());
    // One that failed leaves a cluster on which the next can still be tried.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let form = Form::chosen();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    match form {
        Form::Short => {
            let Outcome { row, bit, violations } = runtime.block_on(run(short, form));
            println!("{}", row.line());
            assert!(bit, "{short} did not bite: {}", row.seen);
            assert!(violations.is_empty(), "{short}: {violations:?}");
        }
        Form::Long { runs, .. } => {
            let chosen = env::var("MILENA_FAULTS").unwrap_or_default();
            let is_chosen =
                |fault: &&Fault| chosen.is_empty() || chosen.split(' ').any(|name| name == fault.to_string());
            long.iter().filter(is_chosen).for_each(|fault| runtime.block_on(run_often(*fault, form, runs)));
        }
    }
}

async fn run_often(fault: Fault, form: Form, runs: usize) {
    let mut failed = 0;
    for number in 1..=runs {
        let Outcome { row, bit, violations } = run(fault, form).await;
        print!("{number}/{runs} {}", row.line());
        if bit {
            report::keep(&row);
        }
        failed += usize::from(!bit || !violations.is_empty());
    }
    println!("{}", report::table(&report::all()));
    assert_eq!(failed, 0, "runs of {fault} that did not bite or have violations; see {}", report::folder().display());
}

/// One run.
struct Outcome {
    row: Row,
    /// Whether the fault struck at all; a run in which it did not proves nothing.
    bit: bool,
    violations: Vec<Violation>,
}

/// One run on a healthy topic of its own. The evidence of violations is kept.
async fn run(fault: Fault, form: Form) -> Outcome {
    let stage = block_in_place(|| stage(form));
    let topic = unique("fault");
    let mut admin = Admin::connect(&stage.kafka.bootstrap_servers()).await.expect("the cluster answers");
    let created = admin.create_topic(&topic, PARTITIONS, 3, &[("min.insync.replicas", "2")]).await;
    created.expect("the topic can be created");
    block_in_place(|| stage.overseer.await_in_sync(&topic, NODES));
    let (history, seen) = match fault {
        Fault::KillClient => block_in_place(|| kill_client(stage, &topic, form.records())),
        fault if form.is_java() => strike_java(stage, fault, &topic, form.records()).await,
        fault => strike(stage, fault, &topic, form.records()).await,
    };
    let told: BTreeMap<Id, Told> = history.iter().map(|(id, fate)| (*id, fate.told)).collect();
    let log = load::entries(admin.read_all(&topic).await.expect("the topic can be read"));
    let judged = oracle::judge(&told, &log);
    let role = seen.role.map(|role| format!(" of a {role}")).unwrap_or_default();
    let name = format!("{fault}{role}{}", if form.is_java() { ", Java" } else { "" });
    let row = Row::new(name, &judged, seen.silence, seen.what);
    let violations = held_against(fault, &judged);
    if !violations.is_empty() {
        block_in_place(|| keep_evidence(stage, &topic, &row, &violations, &history));
    }
    Outcome { row, bit: seen.bit && repetitions_show(fault, &judged), violations }
}

/// A producer under load while a fault strikes, and what it says afterwards.
async fn strike(stage: &Stage, fault: Fault, topic: &str, records: u32) -> (History, Seen) {
    let servers = if fault.is_proxied() { stage.kafka.proxied_servers() } else { stage.kafka.bootstrap_servers() };
    let builder = Producer::builder(&servers).request_timeout(REQUEST_TIMEOUT);
    let builder = if fault == Fault::CutPlain { builder.idempotence(false) } else { builder };
    let producer = builder.build().await.expect("the settings are valid");
    let order = |first, at_least| Order { topic: topic.to_owned(), client: 0, first, at_least };
    let load = Load::start(producer.clone(), order(0, records), |_| ());
    load.await_acked(records as usize / 4).await;
    let mut seen = stage.strike(fault, topic, &|| load.is_complete()).await;
    let mut history = load.finish().await;
    block_in_place(|| stage.overseer.await_in_sync(topic, NODES));
    seen.bit |= seen.frozen.is_some_and(|frozen| strike::waited(&history, frozen));
    seen.silence = longest_silence(&history);
    let next = history.keys().next_back().map_or(0, |last| last.number + 1);
    let afterwards = Load::start(producer, order(next, AFTERWARDS), |_| ()).finish().await;
    let acked = afterwards.values().filter(|fate| matches!(fate.told, Told::Acked(_))).count();
    assert_eq!(acked, AFTERWARDS as usize, "the same producer goes on when all is over");
    history.extend(afterwards);
    (history, seen)
}

/// Apache's producer in the place of ours.
async fn strike_java(stage: &Stage, fault: Fault, topic: &str, records: u32) -> (History, Seen) {
    let servers = if fault.is_proxied() { stage.kafka.proxied_servers() } else { stage.kafka.bootstrap_servers() };
    let order = Order { topic: topic.to_owned(), client: 0, first: 0, at_least: records };
    let mut load = Client::start_java(&servers, &order);
    block_in_place(|| load.await_acked(records as usize / 4));
    let mut seen = stage.strike(fault, topic, &|| load.sent() >= records as usize).await;
    let history = block_in_place(|| load.finish());
    seen.bit |= seen.frozen.is_some_and(|frozen| strike::waited(&history, frozen));
    seen.silence = longest_silence(&history);
    (history, seen)
}

/// A client that is killed in the middle, and one that goes on with the first record that was not handed over.
fn kill_client(stage: &Stage, topic: &str, records: u32) -> (History, Seen) {
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
    let seen =
        Seen { what, role: None, bit: killed && unanswered > 0, frozen: None, silence: longest_silence(&history) };
    (history, seen)
}

fn longest_silence(history: &History) -> Duration {
    let acked = history.values().filter(|fate| matches!(fate.told, Told::Acked(_)));
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
fn keep_evidence(stage: &Stage, topic: &str, row: &Row, violations: &[Violation], history: &History) {
    let mut text = format!("{}\n{violations:#?}\n{history:#?}\n", row.line());
    for node in 0..NODES {
        text += &format!("node {}: {:#?}\n", node + 1, dump::dump(&stage.kafka.segments(node, topic)));
    }
    let file = report::folder().join(format!("{}-{topic}.txt", row.fault));
    fs::write(&file, text).expect("the evidence can be written");
    println!("evidence in {}", file.display());
}

/// The cluster that all faults share, one after the other.
fn stage(form: Form) -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let started = Instant::now();
        let kafka = RealKafka::start_with_proxies(NODES, &form.settings());
        let overseer = Overseer::start(&kafka.bootstrap_servers());
        println!("{NODES} brokers in {:?}", started.elapsed());
        Stage { kafka, overseer }
    })
}
