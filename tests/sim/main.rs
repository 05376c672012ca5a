//! Runs the whole producer under every fault, thousands of times. Each run can be repeated from its seed.
//!
//! The producer is the real one, from `send` to `close`, and the broker is the embedded broker's pure state. A
//! simulated network and a simulated clock connect them. Only the driver and the sockets are not the real ones.
//! [`plan`] draws a run from its seed, and [`simulation`] runs it ([`network`], [`tasks`], [`strikes`], and `source` for tokens). [`judge`] and
//! [`checker`] find false outcomes, and [`availability`] finds needless failures and delays. [`shrink`] makes a failing
//! plan small.
//!
//! `tests/sim/run SEEDS [START]` runs any number of seeds. `tests/sim/run 1 SEED` replays one and prints its trace.

mod availability;
mod checker;
mod judge;
mod network;
mod notes;
mod plan;
mod regressions;
mod shrink;
mod simulation;
#[cfg(feature = "oauth")]
mod source;
mod strikes;
mod tasks;

use std::{
    collections::BTreeMap,
    env, fmt,
    num::NonZero,
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use judge::Report;
use plan::{Kind, Network, Plan};
use shrink::shrink;
use simulation::Simulation;

/// How many seeds every `cargo test` runs.
const SEEDS: u64 = 1_000;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// The result of many runs.
#[derive(Default)]
struct Total {
    struck: BTreeMap<Kind, u64>,
    records: usize,
    anomalous_seeds: usize,
    /// The sum of the hashes of all traces, in any order.
    hash: u64,
    failed: Vec<(u64, String)>,
    /// The seeds with neglects.
    neglected: Vec<(u64, String)>,
}

/// One of each kind of finding, with its count.
fn first(wrong: &[impl fmt::Debug]) -> String {
    let mut kinds: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for wrong in wrong {
        let text = format!("{wrong:?}");
        let kind = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
        kinds.entry(kind).or_insert((0, text)).0 += 1;
    }
    kinds.into_values().map(|(times, text)| format!("{times} x {text}")).collect::<Vec<_>>().join(", ")
}

impl Total {
    fn add(&mut self, seed: u64, report: &Report) {
        report.struck.iter().for_each(|(kind, times)| *self.struck.entry(*kind).or_default() += times);
        self.records += report.records;
        self.anomalous_seeds += usize::from(report.anomalies > 0);
        self.hash = self.hash.wrapping_add(report.hash);
        if !report.violations.is_empty() {
            self.failed.push((seed, first(&report.violations)));
        }
        if !report.neglects.is_empty() {
            self.neglected.push((seed, first(&report.neglects)));
        }
    }

    fn merge(mut self, mut other: Self) -> Self {
        other.struck.iter().for_each(|(kind, times)| *self.struck.entry(*kind).or_default() += times);
        self.records += other.records;
        self.anomalous_seeds += other.anomalous_seeds;
        self.hash = self.hash.wrapping_add(other.hash);
        self.failed.append(&mut other.failed);
        self.failed.sort();
        self.neglected.append(&mut other.neglected);
        self.neglected.sort();
        self
    }

    fn print(&self, seeds: u64, took: Duration) {
        let rate = seeds as f64 / took.as_secs_f64();
        let (failed, neglected) = (self.failed.len(), self.neglected.len());
        println!(
            "{seeds} seeds, {} records, {failed} seeds failed, {neglected} neglected, {rate:.0} seeds/s",
            self.records
        );
        println!("hash of all traces {:016x}, faults that struck:", self.hash);
        self.struck.iter().for_each(|(kind, times)| println!("  {kind:?}: {times}"));
        for (seed, why) in self.failed.iter().chain(&self.neglected).take(number("MILENA_SIM_PRINT", 20) as usize) {
            println!("seed {seed}: {why}; tests/sim/run 1 {seed} replays it");
        }
    }
}

/// Runs seeds on all cores. Runs share nothing, so the result does not depend on the core.
fn simulate(seeds: Range<u64>, control: bool) -> Total {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut total = Total::default();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                return total;
            }
            total.add(seed, &Simulation::judge(&Plan::draw(seed, control), false));
        }
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let totals = workers.into_iter().map(|worker| worker.join().expect("a run panicked"));
        totals.fold(Total::default(), Total::merge)
    })
}

/// The plan of a seed, with the requests that met a fault in its run.
fn settled(seed: u64, control: bool) -> Plan {
    let plan = Plan::draw(seed, control);
    let met = Simulation::judge(&plan, false).met;
    Plan { network: Network::Exactly(met), ..plan }
}

/// Prints the smallest plan that fails as the seed does, and its trace.
fn explain(seed: u64) {
    let small = shrink(settled(seed, false), |plan| !Simulation::judge(plan, false).violations.is_empty());
    println!("\nseed {seed}, made as small as it can be and still fail; tests/sim/run 1 {seed} does this again:");
    print(&small, &Simulation::judge(&small, true));
}

/// As [`explain`], for neglects.
fn explain_neglect(seed: u64) {
    use std::mem::discriminant;
    let whole = settled(seed, false);
    let kinds = |plan: &Plan| Simulation::judge(plan, false).neglects.iter().map(discriminant).collect::<Vec<_>>();
    let found = kinds(&whole);
    let small = shrink(whole, |plan| kinds(plan).iter().any(|kind| found.first() == Some(kind)));
    println!("\nseed {seed}, made as small as it can be and still neglect something:");
    print(&small, &Simulation::judge(&small, true));
}

fn print(plan: &Plan, report: &Report) {
    println!("{plan}");
    report.trace.iter().for_each(|line| println!("{line}"));
    report.violations.iter().for_each(|violation| println!("{violation}"));
    report.neglects.iter().for_each(|neglect| println!("{neglect}"));
}

/// The result of the seeds to run. Both judges share it.
fn total() -> &'static Total {
    static TOTAL: OnceLock<Total> = OnceLock::new();
    TOTAL.get_or_init(|| {
        let (start, seeds, began) = (first_seed(), seeds(), Instant::now());
        let total = simulate(start..start + seeds, false);
        total.print(seeds, began.elapsed());
        total
    })
}

fn first_seed() -> u64 {
    number("MILENA_SIM_START", 0)
}

fn seeds() -> u64 {
    number("MILENA_SIM_SEEDS", SEEDS)
}

#[test]
fn every_record_of_every_seed_has_one_true_outcome() {
    let (start, seeds, total) = (first_seed(), seeds(), total());
    match total.failed.first() {
        Some((seed, _)) => explain(*seed),
        None if seeds == 1 => print(&Plan::draw(start, false), &Simulation::judge(&Plan::draw(start, false), true)),
        None => {}
    }
    let failed = total.failed.len();
    assert!(failed == 0, "{failed} of {seeds} seeds failed, the first is {:?}", total.failed[0]);
    let missing: Vec<_> = Kind::ALL.into_iter().filter(|kind| !total.struck.contains_key(kind)).collect();
    assert!(seeds < SEEDS || missing.is_empty(), "these faults never struck: {missing:?}");
}

#[test]
fn every_record_of_every_seed_is_delivered_if_it_can_be() {
    let (seeds, total) = (seeds(), total());
    if let Some((seed, _)) = total.neglected.first() {
        explain_neglect(*seed);
    }
    let neglected = total.neglected.len();
    assert!(neglected == 0, "{neglected} of {seeds} seeds neglect something, the first is {:?}", total.neglected[0]);
}

#[test]
fn without_idempotence_the_same_faults_do_write_records_twice() {
    let seeds = seeds() / 10;
    let (plain, idempotent) = (simulate(0..seeds, true), simulate(0..seeds, false));
    println!("of {seeds} seeds {} have duplicates without idempotence", plain.anomalous_seeds);
    assert!(plain.failed.is_empty(), "the other guarantees hold: {:?}", plain.failed.first());
    assert!(
        seeds < 100 || plain.anomalous_seeds > idempotent.anomalous_seeds + (seeds as usize / 50),
        "the faults have an effect"
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..200 {
        let hash = || Simulation::judge(&Plan::draw(seed, false), false).hash;
        assert_eq!(hash(), hash(), "seed {seed}");
    }
}

#[test]
fn a_failing_seed_shrinks_to_a_few_faults_and_still_fails() {
    let doubles = |plan: &Plan| Simulation::judge(plan, false).anomalies > 0;
    let seed = (0..).find(|seed| doubles(&settled(*seed, true)) && faults(&settled(*seed, true)) > 5);
    let whole = settled(seed.expect("some seed writes twice without idempotence"), true);
    let small = shrink(whole.clone(), doubles);
    println!("{small}");
    assert!(doubles(&small) && faults(&small) <= 3, "from {} faults to {}", faults(&whole), faults(&small));
}

fn faults(plan: &Plan) -> usize {
    plan.faults.len() + if let Network::Exactly(met) = &plan.network { met.len() } else { 0 }
}
