//! HALF_OPEN under whatever calls can do: every order of a few steps beside a naive model, 10,000 tasks at once, and a
//! simulated outage with calls that succeed, fail, say nothing, are cancelled, or hang.

use std::{
    collections::BTreeMap,
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use milena_resilience::breaker::{Breaker, BreakerConfig, BreakerState, Permit};

const S: Duration = Duration::from_secs(1);
/// [`BreakerConfig::permit_timeout`], in the seconds of a step that passes time, and two of those.
const PASS: u64 = 100;
const TIMEOUT: u64 = 180;

fn config(trials: u32, threshold: f64) -> BreakerConfig {
    BreakerConfig::new()
        .sliding_window_size(trials)
        .permitted_number_of_calls_in_half_open_state(trials)
        .failure_rate_threshold(threshold)
        .permit_timeout(S * TIMEOUT as u32)
        .slow_call_duration_threshold(S * 10_000)
        .wait_jitter(0.0)
}

/// A breaker whose wait in OPEN is just over.
fn waited(config: BreakerConfig) -> (Breaker, Instant) {
    let start = Instant::now();
    let breaker = Breaker::new(config, start).unwrap();
    while let Ok(permit) = breaker.try_acquire(start) {
        permit.fail(start);
    }
    (breaker, start + 60 * S)
}

/// What can happen; a call is told by its place among those that were permitted.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    Succeed(usize),
    Fail(usize),
    Drop(usize),
    PassTime,
}

/// A naive HALF_OPEN: all that happened, looked through each time.
struct Model {
    trials: usize,
    threshold: f64,
    now: u64,
    /// When each call began, and how it ended: `None` if it said nothing.
    calls: Vec<(u64, Option<Ended>)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ended {
    Succeeded,
    Failed,
    TookTooLong,
    Dropped,
}

impl Model {
    fn count(&self, ended: &[Ended]) -> usize {
        self.calls.iter().filter(|(_, end)| end.is_some_and(|end| ended.contains(&end))).count()
    }

    fn state(&self) -> BreakerState {
        let failed = self.count(&[Ended::Failed, Ended::TookTooLong]);
        let all = failed + self.count(&[Ended::Succeeded]);
        match all {
            all if all < self.trials => BreakerState::HalfOpen,
            all if failed as f64 * 100.0 >= self.threshold * all as f64 => BreakerState::Open,
            _ => BreakerState::Closed,
        }
    }

    fn has_place(&self) -> bool {
        self.calls.len() - self.count(&[Ended::Dropped, Ended::TookTooLong]) < self.trials
    }

    fn end(&mut self, call: usize, end: Ended) {
        self.calls[call].1.get_or_insert(end);
    }

    /// Calls took too long, one after the other, until HALF_OPEN is over.
    fn pass_time(&mut self) {
        self.now += PASS;
        for call in 0..self.calls.len() {
            let is_late = self.calls[call].0 + TIMEOUT <= self.now;
            if is_late && self.state() == BreakerState::HalfOpen {
                self.end(call, Ended::TookTooLong);
            }
        }
    }
}

/// Takes all steps, of both; `None` if the last is impossible.
fn run(trials: u32, threshold: f64, steps: &[Step]) -> Option<BreakerState> {
    let (breaker, start) = waited(config(trials, threshold));
    let mut model = Model { trials: trials as usize, threshold, now: 0, calls: Vec::new() };
    let mut permits: Vec<Option<Permit>> = Vec::new();
    let take = |permits: &mut Vec<Option<Permit>>, call: usize| permits.get_mut(call)?.take();
    for step in steps {
        let now = start + S * model.now as u32;
        match *step {
            Step::Begin => {
                let permit = breaker.try_acquire(now);
                assert_eq!(permit.is_ok(), model.has_place(), "{steps:?}");
                model.calls.extend(permit.is_ok().then_some((model.now, None)));
                permits.extend(permit.ok().map(Some));
            }
            Step::Succeed(call) => {
                take(&mut permits, call)?.succeed(now);
                model.end(call, Ended::Succeeded);
            }
            Step::Fail(call) => {
                take(&mut permits, call)?.fail(now);
                model.end(call, Ended::Failed);
            }
            Step::Drop(call) => {
                drop(take(&mut permits, call)?);
                model.end(call, Ended::Dropped);
            }
            Step::PassTime => {
                model.pass_time();
                assert!(breaker.due(start + S * model.now as u32).is_none() || model.state() == BreakerState::Open);
            }
        }
    }
    assert_eq!(breaker.state(), model.state(), "{steps:?}");
    if model.state() != BreakerState::HalfOpen {
        let now = start + S * model.now as u32;
        let before = breaker.stats(now);
        permits
            .into_iter()
            .flatten()
            .zip([true, false].into_iter().cycle())
            .for_each(|(permit, fails)| if fails { permit.fail(now) } else { permit.succeed(now) });
        assert_eq!(breaker.stats(now), before, "{steps:?}: what is still under way belongs to a period that is over");
    }
    Some(model.state())
}

/// All continuations of these steps, as long as it is HALF_OPEN.
fn explore(trials: u32, threshold: f64, steps: &mut Vec<Step>, depth: usize, ends: &mut BTreeMap<&'static str, u64>) {
    let calls = 0..trials as usize + 1;
    let of_calls = calls.flat_map(|call| [Step::Succeed(call), Step::Fail(call), Step::Drop(call)]);
    for step in [Step::Begin, Step::PassTime].into_iter().chain(of_calls) {
        steps.push(step);
        if let Some(state) = run(trials, threshold, steps) {
            *ends.entry(state.name()).or_default() += 1;
            if state == BreakerState::HalfOpen && steps.len() < depth {
                explore(trials, threshold, steps, depth, ends);
            }
        }
        steps.pop();
    }
}

#[test]
fn every_order_of_a_few_steps_ends_as_in_a_naive_model() {
    for (trials, threshold, depth) in [(1, 50.0, 6), (2, 50.0, 6), (2, 100.0, 6), (3, 50.0, 6)] {
        let mut ends = BTreeMap::new();
        // A call has to begin before anything else, which makes it HALF_OPEN.
        explore(trials, threshold, &mut vec![Step::Begin], depth, &mut ends);
        assert_eq!(ends.len(), 3, "all three states are reached: {ends:?}");
        assert!(ends["HALF_OPEN"] > 100, "{ends:?}");
    }
}

#[test]
fn ten_thousand_tasks_at_once_are_exactly_as_many_as_are_permitted() {
    const THREADS: usize = 8;
    for trials in [1, 10, 100] {
        let (breaker, now) = waited(config(trials, 50.0));
        let (barrier, refused) = (Barrier::new(THREADS), AtomicU32::new(0));
        let task = |_| match breaker.try_acquire(now) {
            Ok(permit) => Some(permit),
            Err(error) => {
                assert_eq!(error.state(), BreakerState::HalfOpen);
                refused.fetch_add(1, Relaxed);
                None
            }
        };
        let tasks = || {
            barrier.wait();
            (0..10_000 / THREADS).filter_map(task).collect::<Vec<_>>()
        };
        let permits: Vec<Permit> = thread::scope(|scope| {
            let threads = [0; THREADS].map(|_| scope.spawn(tasks));
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!((permits.len() as u32, refused.into_inner()), (trials, 10_000 - trials));
        permits.into_iter().for_each(|permit| permit.succeed(now));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}

#[test]
fn tasks_that_are_cancelled_at_once_leave_no_hole() {
    let (breaker, now) = waited(config(10, 50.0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..1_250).for_each(|_| drop(breaker.try_acquire(now))));
        }
    });
    let permits: Vec<_> = (0..11).map_while(|_| breaker.try_acquire(now).ok()).collect();
    assert_eq!(permits.len(), 10);
}

/// What a call does in the simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// As the cluster is when it ends.
    Settles,
    SaysNothing,
    Hangs,
}

/// A number below another.
fn draw(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

/// 10,000 tasks call in an hour, during which the cluster is away three times. Returns how many met each state.
fn outage(mut seed: u64) -> BTreeMap<&'static str, u64> {
    const TRIALS: u32 = 5;
    let start = Instant::now();
    let settings = BreakerConfig::failure_rate(50.0).permitted_number_of_calls_in_half_open_state(TRIALS).seed(seed);
    let breaker = Breaker::new(settings.wait_duration_in_open_state(10 * S), start).unwrap();
    let is_away = |ms: u64| [300..600, 1_200..1_230, 1_500..2_400].iter().any(|away| away.contains(&(ms / 1_000)));
    let (mut ends, mut met) = (BTreeMap::<(u64, u64), (Permit, Fate)>::new(), BTreeMap::new());
    for task in 0..10_000_u64 {
        let ms = task * 360;
        let mut later = ends.split_off(&(ms, 0));
        std::mem::swap(&mut ends, &mut later);
        for ((at, _), (permit, fate)) in later {
            let now = start + Duration::from_millis(at);
            match fate {
                Fate::Settles if is_away(at) => permit.fail(now),
                Fate::Settles => permit.succeed(now),
                Fate::SaysNothing => drop(permit),
                // It is never heard of again, and its permit is not given back.
                Fate::Hangs => ends.extend([((u64::MAX, at), (permit, fate))]),
            }
        }
        let now = start + Duration::from_millis(ms);
        if let Ok(permit) = breaker.try_acquire(now) {
            let fate = match draw(&mut seed, 20) {
                0 => Fate::Hangs,
                1..=3 => Fate::SaysNothing,
                _ => Fate::Settles,
            };
            let takes = if is_away(ms) { 2_000 + draw(&mut seed, 20_000) } else { 1 + draw(&mut seed, 300) };
            ends.insert((ms + takes, task), (permit, fate));
        }
        *met.entry(breaker.state().name()).or_default() += 1;
    }
    assert_eq!(breaker.state(), BreakerState::Closed, "the cluster has been back for 20 minutes");
    met
}

#[test]
fn no_outage_and_no_lost_call_keeps_it_from_closing_again() {
    for seed in 0..50 {
        let met = outage(seed);
        let times = |state| met.get(state).copied().unwrap_or_default();
        assert!(times("CLOSED") > 2_500, "seed {seed}: {met:?}");
        assert!(times("OPEN") > 1_000 && times("HALF_OPEN") > 10, "seed {seed}: {met:?}");
    }
}
