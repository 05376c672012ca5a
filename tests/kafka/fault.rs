//! Three real brokers under faults, and a producer with records in flight. An oracle compares the outcome of each
//! record with the log. With `MILENA_FAULTS_SECURITY=SASL_SSL` clients speak TLS, and authenticate every three seconds.
//!
//! The short form is these tests by themselves: each fault once, with 6,000 records or more at 2,000 a second. All
//! tests use one cluster, one after the other. Its session timeout is 3 s (Kafka: 9 s), so that a failed leader is
//! replaced within seconds. The long form is the command `tests/kafka/faults`: the same tests with 40,000 records,
//! Kafka's own session timeout, longer freezes and many runs. `tests/kafka/race` runs the same faults with other
//! producers as well. A violation fails a test. Silences are only reported.

mod client;
mod load;
mod oracle;
mod race;
mod report;
mod scenario;
mod secured;
mod standings;
mod strike;

use std::{
    env,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use milena_test_support::{kafka::RealKafka, overseer::Overseer};
use tokio::task::block_in_place;

use race::Heat;
use scenario::{Outcome, run};
use strike::{Fault, Stage};

const NODES: usize = 3;
const PARTITIONS: i32 = 3;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The files with the lines of all runs, in the folder for results.
const RESULTS: &str = "results.tsv";
const RACE: &str = "race.tsv";
/// The test in which a client process runs.
const CLIENT_TEST: &str = "fault::a_client_that_is_killed_leaves_no_false_outcome_and_another_continues";

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
fn responses_that_are_lost_after_the_request_was_written_cost_no_record() {
    check(Fault::LoseResponses, &[Fault::LoseResponses]);
}

#[test]
fn leaders_moved_by_reassignment_cost_no_record() {
    check(Fault::MoveLeaders, &[Fault::MoveLeaders]);
}

#[test]
fn a_client_that_is_killed_leaves_no_false_outcome_and_another_continues() {
    if !client::run_as_client() {
        check(Fault::KillClient, &[Fault::KillClient]);
    }
}

/// The size of the tests.
#[derive(Clone, Copy, Debug)]
enum Form {
    Short,
    Long { runs: usize, who: Who },
}

/// The producer that sends in the long form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Milena,
    /// Apache's producer instead of milena.
    Java,
    /// All producers concurrently.
    Race,
}

impl Who {
    fn chosen() -> Self {
        match env::var("MILENA_FAULTS_CLIENT").as_deref() {
            Ok("java") => Self::Java,
            Ok("race") => Self::Race,
            _ => Self::Milena,
        }
    }
}

impl Form {
    fn chosen() -> Self {
        let runs = env::var("MILENA_FAULTS_RUNS").ok();
        let number = |runs: String| runs.parse().expect("MILENA_FAULTS_RUNS is a number");
        runs.map_or(Self::Short, |runs| Self::Long { runs: number(runs), who: Who::chosen() })
    }

    fn is_java(self) -> bool {
        matches!(self, Self::Long { who: Who::Java, .. })
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
    // A fault by another name would not be chosen, and nobody would notice.
    let is_named = |fault: &Fault| include_str!("faults").contains(&format!(" {fault}"));
    assert!(long.iter().all(is_named), "tests/kafka/faults does not name all of {long:?}");
    static TURN: Mutex<()> = Mutex::new(());
    // After a failed test the cluster can still be used by the next.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let form = Form::chosen();
    if secured::is_on() && !secured::can_be(short) {
        return println!("{short} needs a proxy that can read what it carries");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    match form {
        Form::Short => {
            let Outcome { row, effective, violations } = runtime.block_on(run(stage(form), short, form));
            println!("{}", row.line());
            assert!(effective, "{short} had no effect: {}", row.seen);
            assert!(violations.is_empty(), "{short}: {violations:?}");
        }
        Form::Long { runs, who } => {
            let chosen = env::var("MILENA_FAULTS").unwrap_or_default();
            let is_chosen =
                |fault: &&Fault| chosen.is_empty() || chosen.split(' ').any(|name| name == fault.to_string());
            long.iter().filter(is_chosen).for_each(|fault| match who {
                Who::Race => runtime.block_on(race_often(*fault, form, runs)),
                _ => runtime.block_on(run_often(*fault, form, runs)),
            });
        }
    }
}

async fn run_often(fault: Fault, form: Form, runs: usize) {
    let mut failed = 0;
    for number in 1..=runs {
        let Outcome { row, effective, violations } = run(block_in_place(|| stage(form)), fault, form).await;
        print!("{number}/{runs} {}", row.line());
        if effective {
            report::keep(RESULTS, &row.line());
        }
        failed += usize::from(!effective || !violations.is_empty());
    }
    println!("{}", report::table(&report::all(RESULTS)));
    assert_eq!(failed, 0, "runs of {fault} without effect or with violations; see {}", report::folder().display());
}

async fn race_often(fault: Fault, form: Form, runs: usize) {
    let mut failed = 0;
    for number in 1..=runs {
        let Heat { lap, effective, violations } =
            race::run(block_in_place(|| stage(form)), fault, number, form.records()).await;
        print!("{number}/{runs} {}", lap.line());
        if effective {
            report::keep(RACE, &lap.line());
        }
        violations.iter().for_each(|violation| println!("milena: {violation:?}"));
        failed += usize::from(!effective || !violations.is_empty());
    }
    println!("{}", standings::tables(&report::all(RACE)));
    assert_eq!(failed, 0, "runs of {fault} without effect or in which milena has violations");
}

/// Where clients connect to, while this fault strikes.
fn servers(stage: &Stage, fault: Fault) -> String {
    let is_proxied = fault.is_proxied() || secured::is_on();
    if is_proxied { stage.kafka.proxied_servers() } else { stage.kafka.bootstrap_servers() }
}

/// The cluster that all faults share, one after the other.
fn stage(form: Form) -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let started = Instant::now();
        let secured = if secured::is_on() { secured::of_brokers() } else { Vec::new() };
        let secured = secured.iter().map(|(name, value)| (*name, &**value));
        let settings: Vec<_> = form.settings().into_iter().chain(secured).collect();
        let kafka = match secured::is_on() {
            true => RealKafka::start_with_opaque_proxies(NODES, &settings),
            false => RealKafka::start_with_proxies(NODES, &settings),
        };
        let overseer = Overseer::start(&kafka.bootstrap_servers());
        println!("{NODES} brokers in {:?}", started.elapsed());
        Stage { kafka, overseer }
    })
}
