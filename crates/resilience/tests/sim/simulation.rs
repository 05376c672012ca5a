//! Runs publishers, their relays and a store under every fault, thousands of times. Each run can be repeated from its seed.
//!
//! Publishers, gates, breakers, relays and the store in memory are the real ones; Kafka is a script behind the mock producer
//! ([`kafka`]), time is tokio's paused clock, and a [`process`] can be killed at each await. [`plan`] draws a run from its seed, [`home`] is an
//! instance in its lives, and [`judge`] says what is wrong.
//!
//! Some keys belong to one instance. The others are published by all, in turn: a call begins when the last one of its key, on whichever
//! instance, has returned, or its process has died. So calls of a key have an order, and the judge looks for it in the topic.
//!
//! `crates/resilience/tests/sim/run SEEDS [START]` runs any number of seeds; with one seed its trace is printed.

mod home;
mod judge;
mod kafka;
mod plan;
mod process;
mod store;
mod world;

use std::{
    collections::BTreeMap,
    env,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Mutex, time::sleep};

pub(crate) use self::process::Process;
use self::{
    home::Home,
    judge::{Kind, Remains},
    kafka::Kafka,
    plan::{KEYS, Plan},
    store::{SlowStore, Without},
    world::{Fate, World},
};
use crate::{
    publisher::ResilientPublisher,
    store::{Filter, Seq, Status, Store},
};

/// How many seeds every `cargo test` runs.
const SEEDS: u64 = 1_000;

/// The result of a run.
struct Report {
    violations: Vec<(Kind, String)>,
    events: usize,
    trace: Vec<String>,
}

/// Runs the plan of a seed.
fn run(seed: u64, without: Without, traced: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(simulate(Plan::draw(seed), without, traced))
}

async fn simulate(plan: Plan, without: Without, traced: bool) -> Report {
    let (plan, world) = (Arc::new(plan), Arc::new(World::new(traced)));
    world.note(|| format!("{plan:?}"));
    let kafka = Kafka::new(&plan, &world);
    let store = SlowStore::new(&plan, &world, without);
    let batons = Arc::new(plan.common_keys().map(|_| Mutex::default()).collect());
    let home = |number| Home {
        number,
        plan: Arc::clone(&plan),
        world: Arc::clone(&world),
        kafka: Arc::clone(&kafka),
        store: Arc::clone(&store),
        without,
        batons: Arc::clone(&batons),
    };
    let homes: Vec<Home> = (0..plan.homes.len()).map(home).collect();
    let lives: Vec<_> = homes.iter().map(|home| tokio::spawn(home.clone().live())).collect();
    for (at, strike) in &plan.strikes {
        sleep(Duration::from_millis(*at).saturating_sub(world.now())).await;
        store.strike(*strike).await;
    }
    let mut publishers = Vec::new();
    for life in lives {
        publishers.push(life.await.expect("an instance does not panic"));
    }
    let calm = plan.weather.last().map_or(0, |(until, _)| *until);
    sleep(Duration::from_millis(calm).saturating_sub(world.now())).await;
    kafka.heal();
    store.memory().fail_no_more();
    world.note(|| "all is well".to_owned());
    let mut violations = settle(&plan, &world, &store, (&homes, &publishers), &kafka).await;
    let memory = store.memory();
    let rows = memory.list(Filter::new(), Seq::START, usize::MAX).await.expect("the store is well");
    let stats = memory.stats().await.expect("the store is well");
    let remains = Remains { calls: world.calls(), logs: kafka.logs(), rows, stats };
    violations.extend(judge::judge(&plan, &remains));
    Report { violations, events: remains.calls.len(), trace: world.trace() }
}

/// Waits until the store is empty, has an operator replay what is left, and waits until events are published directly again.
async fn settle(
    plan: &Plan,
    world: &World,
    store: &SlowStore,
    (homes, publishers): (&[Home], &[ResilientPublisher]),
    kafka: &Kafka,
) -> Vec<(Kind, String)> {
    let mut violations = Vec::new();
    violations.extend(drain(world, store).await);
    if plan.replays {
        kafka.repair();
        let failed = Filter::new().status(Status::DeadLetterFailed);
        store.memory().replay(failed).await.expect("the store is well");
        world.note(|| "an operator replays".to_owned());
        publishers.iter().for_each(ResilientPublisher::wake);
        violations.extend(drain(world, store).await);
    }
    // Those whose retention is over are swept, and others are counted.
    sleep(Duration::from_millis(100_000 + plan.interval_ms * 2)).await;
    // A store that takes little may be full of what it keeps.
    let has_room = plan.quota_rows > 100;
    for (home, publisher) in homes.iter().zip(publishers).filter(|_| has_room) {
        for key in (0..KEYS).map(|key| home.number as u64 * KEYS + key).chain(plan.common_keys()) {
            if !home.probe(publisher, key).await {
                violations.push((Kind::Indirect, format!("key {key}")));
            }
        }
    }
    violations.extend(drain(world, store).await);
    violations
}

/// Waits until all calls have returned and the store has nothing to publish, for an hour at most.
async fn drain(world: &World, store: &SlowStore) -> Option<(Kind, String)> {
    let is_open = || world.calls().iter().any(|call| call.fate == Fate::Open && !call.is_killed);
    let mut unsettled = 0;
    for _ in 0..360 {
        unsettled = store.memory().stats().await.expect("the store is well").unsettled();
        if unsettled == 0 && !is_open() {
            return None;
        }
        sleep(Duration::from_secs(10)).await;
    }
    Some((Kind::Undrained, format!("{unsettled} events")))
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// The result of many runs.
#[derive(Default)]
struct Total {
    events: usize,
    failed: Vec<(u64, Vec<(Kind, String)>)>,
}

impl Total {
    fn seeds_with(&self, kind: Kind) -> usize {
        self.failed.iter().filter(|(_, found)| found.iter().any(|(found, _)| *found == kind)).count()
    }
}

/// Runs seeds on all cores. Runs share nothing.
fn run_all(seeds: Range<u64>, without: Without) -> Total {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut total = Total::default();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                return total;
            }
            let unwound = std::panic::AssertUnwindSafe(|| run(seed, without, false));
            let Ok(report) = std::panic::catch_unwind(unwound) else {
                total.failed.push((seed, vec![(Kind::Panics, String::new())]));
                continue;
            };
            total.events += report.events;
            if !report.violations.is_empty() {
                total.failed.push((seed, report.violations));
            }
        }
    };
    let mut total = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        let totals = workers.into_iter().map(|worker| worker.join().expect("a run panicked"));
        totals.fold(Total::default(), |mut all, mut one| {
            all.events += one.events;
            all.failed.append(&mut one.failed);
            all
        })
    });
    total.failed.sort();
    total
}

#[test]
fn every_event_of_every_seed_is_where_it_should_be() {
    let (start, seeds, began) = (number("RESSIM_START", 0), number("RESSIM_SEEDS", SEEDS), std::time::Instant::now());
    if seeds == 1 {
        run(start, Without::Nothing, true).trace.iter().for_each(|line| println!("{line}"));
    }
    let total = run_all(start..start + seeds, Without::Nothing);
    let rate = seeds as f64 / began.elapsed().as_secs_f64();
    println!("{seeds} seeds, {} events, {} seeds failed, {rate:.0} seeds/s", total.events, total.failed.len());
    let mut kinds: BTreeMap<Kind, Vec<u64>> = BTreeMap::new();
    for (seed, found) in &total.failed {
        found.iter().for_each(|(kind, _)| kinds.entry(*kind).or_default().push(*seed));
    }
    kinds
        .iter()
        .for_each(|(kind, seeds)| println!("{kind:?}: {} in seeds {:?}", seeds.len(), &seeds[..seeds.len().min(12)]));
    total.failed.iter().take(20).for_each(|(seed, found)| println!("seed {seed}: {found:?}"));
    assert!(total.failed.is_empty(), "crates/resilience/tests/sim/run 1 {} replays the first", total.failed[0].0);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        let trace = || run(seed, Without::Nothing, true).trace;
        assert!(trace() == trace(), "seed {seed}");
    }
}

#[test]
fn without_an_order_the_judge_finds_disorder() {
    assert!(run_all(0..100, Without::Order).seeds_with(Kind::Disorder) > 5);
}

#[test]
fn without_asking_the_judge_finds_disorder_between_instances() {
    assert!(run_all(0..300, Without::Asking).seeds_with(Kind::Disorder) > 5);
}

#[test]
fn without_waiting_for_passes_the_judge_finds_disorder_between_instances() {
    assert!(run_all(0..300, Without::Waiting).seeds_with(Kind::Disorder) > 1);
}

#[test]
fn without_marks_the_judge_finds_repetitions_without_one() {
    assert!(run_all(0..100, Without::Marks).seeds_with(Kind::Unflagged) > 5);
}

#[test]
fn without_syncs_the_judge_finds_lost_events() {
    assert!(run_all(0..300, Without::Syncs).seeds_with(Kind::Lost) > 1);
}
