//! The circuit breaker beside that of `tower-resilience-circuitbreaker`, in thousands of random sequences of calls that
//! begin, succeed, fail and are cancelled.
//!
//! After each step both have permitted the same and are in the same state with the same numbers. Where they differ on
//! purpose, [`Difference`] says so, and the sequence goes on with both closed. The other breaker has a clock of its own
//! that nobody can set, so in a sequence its wait in OPEN is either zero or an hour, and its calls are either all slow
//! or none. What it does not have is not compared: waits that grow, the time of a permit, the limits of HALF_OPEN,
//! FORCED_OPEN, DISABLED and METRICS_ONLY, a window that slides by time.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use milena_resilience::breaker::{Breaker, BreakerConfig, BreakerState, BreakerStats, Permit, SlidingWindowType};
use tower::Service;
use tower_resilience_circuitbreaker::{
    CircuitBreakerConfigBuilder, CircuitBreakerError, CircuitBreakerHandle, CircuitBreakerLayer, CircuitMetrics,
    CircuitState, DefaultClassifier, SlidingWindowType as OtherWindow,
};

const SEQUENCES: u64 = 4_000;
const STEPS: usize = 80;
const MS: Duration = Duration::from_millis(1);

/// Where the two differ, and ours is as resilience4j.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// The other's window of calls does not slide: it counts all calls since the last transition. They are compared
    /// until the window is full.
    WindowSlides,
    /// The other opens at the first failure in HALF_OPEN; ours decides by the rate when all calls have ended.
    HalfOpenDecidesByRate,
    /// The other closes although calls of HALF_OPEN were slow.
    HalfOpenSeesSlowCalls,
    /// The other counts a call that began before the last transition; for ours it changes nothing.
    LateOutcomesAreIgnored,
}

/// A number below another.
struct Dice(u64);

impl Dice {
    fn below(&mut self, number: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % number
    }
}

/// How one sequence is configured.
#[derive(Clone, Copy, Debug)]
struct Plan {
    model: Model,
    /// Percent.
    threshold: u32,
    size: u32,
    trials: u32,
    recovers: bool,
    slow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    Calls,
    /// With a window that is longer than the sequence.
    Time,
    Consecutive,
}

impl Plan {
    fn draw(dice: &mut Dice) -> Self {
        let model = [Model::Calls, Model::Time, Model::Consecutive][dice.below(3) as usize];
        let size = dice.below(8) as u32 + 1;
        // Ours may decide at the minimum, the other only when all have ended: so there are no more than that.
        let trials = if model == Model::Consecutive { 1 } else { dice.below(u64::from(size.min(4))) as u32 + 1 };
        let threshold = [1, 20, 25, 34, 50, 75, 100][dice.below(7) as usize];
        let slow = model != Model::Consecutive && dice.below(8) == 0;
        Self { model, threshold, size, trials, recovers: dice.below(4) > 0, slow }
    }

    fn ours(self) -> BreakerConfig {
        let config = match self.model {
            Model::Consecutive => BreakerConfig::consecutive_failures(self.size),
            Model::Calls => BreakerConfig::new().sliding_window_size(self.size),
            Model::Time => {
                BreakerConfig::new().sliding_window_type(SlidingWindowType::TimeBased).sliding_window_size(3_600)
            }
        };
        let config = match self.model {
            Model::Consecutive => config,
            _ => config.failure_rate_threshold(f64::from(self.threshold)).minimum_number_of_calls(self.size),
        };
        let hour = Duration::from_secs(3_600);
        config
            .permitted_number_of_calls_in_half_open_state(self.trials)
            .wait_duration_in_open_state(if self.recovers { MS } else { hour })
            .max_wait_duration_in_open_state(Duration::ZERO)
            .wait_jitter(0.0)
            .slow_call_duration_threshold(if self.slow { Duration::ZERO } else { hour })
    }

    fn other(self) -> CircuitBreakerConfigBuilder<DefaultClassifier> {
        let hour = Duration::from_secs(3_600);
        let config = CircuitBreakerLayer::builder()
            .failure_rate_threshold(f64::from(self.threshold) / 100.0)
            .sliding_window_size(self.size as usize)
            .minimum_number_of_calls(self.size as usize)
            .permitted_calls_in_half_open(self.trials as usize)
            .wait_duration_in_open(if self.recovers { Duration::ZERO } else { hour })
            .slow_call_duration_threshold(if self.slow { Duration::ZERO } else { hour });
        match self.model {
            Model::Calls => config,
            Model::Time => config.sliding_window_type(OtherWindow::TimeBased).sliding_window_duration(hour),
            Model::Consecutive => config.consecutive_failures(self.size as usize),
        }
    }
}

/// How a call ends, once that is told.
type End = Arc<OnceLock<Result<(), ()>>>;
type Other = Box<dyn FnMut(End) -> Pin<Box<dyn Future<Output = Result<(), CircuitBreakerError<()>>> + Send>>>;

/// A call under way in both.
struct Call {
    period: u64,
    permit: Permit,
    end: End,
    other: Pin<Box<dyn Future<Output = Result<(), CircuitBreakerError<()>>> + Send>>,
}

/// Both breakers.
struct Pair {
    plan: Plan,
    now: Instant,
    ours: Breaker,
    /// Transitions of ours.
    periods: Arc<AtomicU64>,
    other: Other,
    handle: CircuitBreakerHandle<DefaultClassifier>,
    calls: Vec<Call>,
    met: BTreeMap<Difference, u64>,
}

fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The output of a future that does not wait.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match poll(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

impl Pair {
    fn new(plan: Plan) -> Self {
        let now = Instant::now();
        let periods = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&periods);
        let ours = Breaker::observed_by(plan.ours(), now, move |_| {
            counter.fetch_add(1, Relaxed);
        });
        let (layer, handle) = plan.other().build_with_handle().unwrap();
        let mut service = layer.layer_fn(tower::service_fn(|end: End| async move {
            poll_fn(|_| end.get().map_or(Poll::Pending, |end| Poll::Ready(*end))).await
        }));
        let other = Box::new(move |end| {
            at_once(poll_fn(|context| service.poll_ready(context))).unwrap();
            service.call(end)
        });
        Self { plan, now, ours: ours.unwrap(), periods, other, handle, calls: Vec::new(), met: BTreeMap::new() }
    }

    fn period(&self) -> u64 {
        self.periods.load(Relaxed)
    }

    fn begin(&mut self) {
        let ours = self.ours.try_acquire(self.now);
        let end = End::default();
        let mut other = (self.other)(Arc::clone(&end));
        let begun = poll(other.as_mut());
        assert_eq!(ours.is_ok(), begun.is_pending(), "one permits: {ours:?}, {begun:?}");
        if let Ok(permit) = ours {
            self.calls.push(Call { period: self.period(), permit, end, other });
        }
    }

    fn end(&mut self, index: usize, failed: bool) {
        let mut call = self.calls.swap_remove(index);
        if call.period != self.period() {
            // For the other it is cancelled, which is nothing: so it has to be for ours.
            *self.met.entry(Difference::LateOutcomesAreIgnored).or_default() += 1;
        } else {
            call.end.set(if failed { Err(()) } else { Ok(()) }).unwrap();
            assert!(poll(call.other.as_mut()).is_ready());
        }
        if failed { call.permit.fail(self.now) } else { call.permit.succeed(self.now) }
    }

    /// Both are CLOSED, and have counted nothing.
    fn close(&mut self) {
        self.ours.reset(self.now);
        // The other keeps its numbers if it is reset while it is closed.
        at_once(self.handle.force_open());
        at_once(self.handle.force_closed());
    }

    /// Compares, unless they differ as they shall. `trial` is how many calls of HALF_OPEN had ended before the step, if
    /// it was that.
    fn compare(&mut self, trial: Option<u32>) {
        let (ours, other) = (self.ours.stats(self.now), at_once(self.handle.metrics()));
        if let Some(difference) = self.difference(trial, &ours, &other) {
            *self.met.entry(difference).or_default() += 1;
            return self.close();
        }
        self.same_state(ours.state, &other);
        let numbers = [ours.buffered_calls, ours.failed_calls, ours.slow_calls].map(|number| number as usize);
        // In OPEN ours shows the calls that opened it; a row of failures is all that the other keeps of a row.
        if ours.state != BreakerState::Open && self.plan.model != Model::Consecutive {
            assert_eq!(numbers, [other.total_calls, other.failure_count, other.slow_call_count]);
        }
    }

    /// The difference that has just come to light.
    fn difference(&self, trial: Option<u32>, ours: &BreakerStats, other: &CircuitMetrics) -> Option<Difference> {
        let Plan { model, size, trials, threshold, slow, .. } = self.plan;
        match (trial, other.state) {
            // The first failure, because the other opens at it.
            (Some(ended), CircuitState::Open) => {
                let by_rate = match ended + 1 {
                    all if all < trials => BreakerState::HalfOpen,
                    _ if slow || 100 >= threshold * trials => BreakerState::Open,
                    _ => BreakerState::Closed,
                };
                assert_eq!(ours.state, by_rate, "after {ended} successes");
                (by_rate != BreakerState::Open).then_some(Difference::HalfOpenDecidesByRate)
            }
            (Some(_), CircuitState::Closed) if slow => {
                assert_eq!(ours.state, BreakerState::Open);
                Some(Difference::HalfOpenSeesSlowCalls)
            }
            (None, CircuitState::Closed) if model == Model::Calls && ours.buffered_calls == size => {
                Some(Difference::WindowSlides).filter(|_| ours.state == BreakerState::Closed)
            }
            _ => None,
        }
    }

    fn same_state(&self, ours: BreakerState, other: &CircuitMetrics) {
        let same = match ours {
            BreakerState::Closed => CircuitState::Closed,
            BreakerState::Open => CircuitState::Open,
            BreakerState::HalfOpen => CircuitState::HalfOpen,
            odd => panic!("nobody ordered {odd}"),
        };
        assert_eq!(same, other.state);
    }

    fn step(&mut self, dice: &mut Dice, failing: u64) {
        self.now += 2 * MS;
        let before = self.ours.stats(self.now);
        let trial = (before.state == BreakerState::HalfOpen).then_some(before.buffered_calls);
        match dice.below(20) {
            0 if !self.plan.recovers => self.close(),
            1 if !self.calls.is_empty() => {
                let index = dice.below(self.calls.len() as u64) as usize;
                drop(self.calls.swap_remove(index));
            }
            2..=10 if !self.calls.is_empty() => {
                let index = dice.below(self.calls.len() as u64) as usize;
                self.end(index, dice.below(10) < failing);
            }
            _ => self.begin(),
        }
        self.compare(trial);
    }
}

#[test]
fn it_permits_and_opens_and_closes_as_another_breaker_but_where_it_shall_not() {
    let mut met = BTreeMap::new();
    for seed in 0..SEQUENCES {
        let mut dice = Dice(seed);
        let plan = Plan::draw(&mut dice);
        let failing = dice.below(11);
        let mut pair = Pair::new(plan);
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (0..STEPS).for_each(|_| pair.step(&mut dice, failing));
        }));
        assert!(run.is_ok(), "seed {seed}: {plan:?}");
        for (difference, times) in pair.met {
            *met.entry(difference).or_insert(0) += times;
        }
    }
    for difference in [
        Difference::WindowSlides,
        Difference::HalfOpenDecidesByRate,
        Difference::HalfOpenSeesSlowCalls,
        Difference::LateOutcomesAreIgnored,
    ] {
        assert!(met.get(&difference).is_some_and(|times| *times > 100), "{difference:?} is hardly met: {met:?}");
    }
}
