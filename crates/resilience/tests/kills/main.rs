//! Publishing processes that are killed, stopped and out of disk, before a real Kafka that is stopped and killed as well.
//!
//! A process publishes with milena's producer and a store in a file, and keeps a diary of what it calls and is told. It is killed (SIGKILL) at
//! a moment drawn from a seed, and started again. In the end Kafka is well, and what the topics have is held against the diaries:
//!
//! - [`plan`]: what happens in an act, from its seed
//! - [`act`]: an act, and what it leaves
//! - [`child`], [`process`]: the process that publishes, from inside and from outside
//! - [`disk`]: publishing while the disk is full
//! - [`diary`], [`judge`]: what was called and told, and whether it was true
//!
//! The short form is these tests by themselves. The long form is the command `crates/resilience/tests/kills/run`. All need the feature
//! `kafka-tests`, because Kafka is real.

#![cfg(unix)]

mod act;
mod child;
mod diary;
mod disk;
mod judge;
mod plan;
mod process;

use std::{
    env,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use act::{Outcome, Stage, fill, perform};
use child::Sabotage;
use judge::{Counts, Violation};
use plan::{Plan, Weather};

/// The kills of an act in the long form, and in the short one.
const LONG: usize = 20;
const SHORT: usize = 10;

/// Not a test of its own: what the other tests start. Without an order it has nothing to do.
#[test]
fn child() {
    process::run_as_child();
}

#[test]
fn no_event_is_lost_or_reordered_or_repeated_without_a_mark_whenever_its_process_is_killed() {
    let number = |name| env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let (kills, first) = (number("MILENA_KILLS"), number("MILENA_KILLS_SEED").unwrap_or(1));
    let each = if kills.is_some() { LONG } else { SHORT };
    let acts = kills.map_or(2, |kills| kills.div_ceil(LONG as u64));
    let mut total = Counts::default();
    let (mut killed, mut overtaken, mut frozen, mut restarted) = (0, 0, 0, 0);
    let start = Instant::now();
    let mut stage = stage();
    for seed in first..first + acts {
        let plan = Plan::draw(seed, each);
        frozen += plan.count(Weather::Freeze);
        restarted += plan.count(Weather::Kill);
        let outcome = perform(&mut stage, &plan, None);
        total.add(outcome.counts);
        killed += outcome.kills;
        overtaken += outcome.overtaken;
        println!("seed {seed}: {:?}", outcome.counts);
        outcome.assert_good(&plan);
    }
    println!("{killed} kills, {overtaken} takeovers; Kafka frozen {frozen} times, killed {restarted} times");
    println!("in {:?}: {total:?}", start.elapsed());
    assert!(total.interrupted > 0 && total.stored > 0 && total.published > 0, "nothing was at stake: {total:?}");
    assert!(total.repetitions > 0, "nothing had to be sent again: {total:?}");
}

/// With rows that are removed by hand: the judge misses them.
#[test]
fn events_whose_rows_are_removed_are_found_to_be_lost() {
    let plan = Plan::simple(false, &[Some(Weather::Freeze)]);
    sabotage(&plan, Sabotage::Rows, |violation| matches!(violation, Violation::Lost(_)));
}

#[test]
fn repetitions_that_are_not_marked_are_found() {
    let plan = Plan::simple(true, &[Some(Weather::Freeze)]);
    sabotage(&plan, Sabotage::Flags, |violation| matches!(violation, Violation::Unflagged(_)));
}

#[test]
fn events_without_an_order_are_found_in_another_one() {
    let plan = Plan::simple(false, &[Some(Weather::Freeze), Some(Weather::Heal)]);
    sabotage(&plan, Sabotage::Order, |violation| matches!(violation, Violation::Disorder { .. }));
}

#[test]
fn what_is_stored_while_the_disk_is_full_is_published_and_the_rest_is_handed_back() {
    let plan = Plan::simple(false, &[]);
    let Some(outcome) = fill(&mut stage()) else {
        println!("no small disk can be mounted here");
        return;
    };
    println!("full disk: {:?}", outcome.counts);
    let Counts { stored, published, not_written, .. } = outcome.counts;
    assert!(stored > 50 && published > 50 && not_written > 50, "the disk must be full, and not always");
    outcome.assert_good(&plan);
}

/// Something is done wrong on purpose. The judge finds that, and nothing else.
fn sabotage(plan: &Plan, sabotage: Sabotage, expected: impl Fn(&Violation) -> bool) {
    let Outcome { violations, counts, .. } = perform(&mut stage(), plan, Some(sabotage));
    println!("{sabotage:?}: {} violations, {counts:?}", violations.len());
    assert!(!violations.is_empty(), "{sabotage:?} was not noticed: {counts:?}");
    let others: Vec<_> = violations.iter().filter(|violation| !expected(violation)).collect();
    assert!(others.is_empty(), "{others:?}");
}

/// The Kafka that all tests share, one after the other.
fn stage() -> MutexGuard<'static, Stage> {
    static STAGE: OnceLock<Mutex<Stage>> = OnceLock::new();
    let stage = STAGE.get_or_init(|| Mutex::new(Stage::prepare()));
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}
