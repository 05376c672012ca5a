//! Stops sending to a cluster that does not take records, and tries again later: a circuit breaker.
//!
//! In: calls that want to begin, how they ended, and the time. Out: a [`Permit`] for each call, or [`CallNotPermitted`].
//! Awaits nothing and has no clock; the decisions are a state machine, which is pure. Deliberately absent: what becomes
//! of a record that is not sent, and a task of its own.
//!
//! # States
//!
//! ```text
//!                too many of the last calls failed, or were slow
//!    ┌── CLOSED ────────────────────────────────────────────────► OPEN ◄─┐
//!    │     ▲                                                       │     │ its calls failed, were slow, or
//!    │     │ its calls succeeded                                   │     │ maxWaitDurationInHalfOpenState is over
//!    │     └──────────────────── HALF_OPEN ◄───────────────────────┘     │
//!    │                               │  the wait is over, at the next call
//!    │                               └───────────────────────────────────┘
//!    └─► FORCED_OPEN, DISABLED, METRICS_ONLY: by order of an operator, from any state and back
//! ```
//!
//! Names and defaults are those of resilience4j; see [`BreakerConfig`]. The default opens when half of the last 100
//! calls failed, and not before 100 calls. [`BreakerConfig::consecutive_failures`] and [`BreakerConfig::failure_rate`]
//! open sooner.
//!
//! # What counts
//!
//! Only what speaks of Kafka: no response, no leader, too few replicas, no room in `buffer.memory`. A record that is too
//! large would fail on a healthy cluster too, so it counts as nothing. [`Counts`] has the table.
//!
//! # One for each cluster
//!
//! Have one breaker for a cluster and share it; a clone is the same breaker. Topics share brokers, connections,
//! `buffer.memory` and the sender, so what stops one for long stops most. A breaker for each topic or
//! partition would need as many failures as there are topics, each after its `delivery.timeout.ms`, to learn the same;
//! and one topic without traffic would never learn that the cluster is back. What is wrong with one topic alone counts
//! as nothing, so it does not stop the others.
//!
//! Note that a producer retries by itself for `delivery.timeout.ms`, two minutes by default. A failure is seen after
//! that, unless memory or metadata fail first (`max.block.ms`, one minute). A breaker that shall open sooner needs a
//! shorter `delivery.timeout.ms`, not a lower threshold.
//!
//! # Permits
//!
//! A call takes a [`Permit`] and ends it by [`settle`](Permit::settle), [`succeed`](Permit::succeed) or
//! [`fail`](Permit::fail). A permit that is dropped, as with a future that is cancelled, says nothing and gives its
//! place back. A permit belongs to one period of a state: if the state changed meanwhile, its outcome changes nothing.
//! In HALF_OPEN it has a time, [`BreakerConfig::permit_timeout`]: after that it has failed, another call may take its
//! place, and what it tells later changes nothing. So HALF_OPEN ends whatever becomes of its calls, as long as others come
//! that say something of Kafka.
//!
//! ```
//! # async fn example(producer: milena::Producer) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Instant;
//! use milena::Record;
//! use milena_resilience::{Publish, breaker::{Breaker, BreakerConfig}};
//!
//! let breaker = Breaker::new(BreakerConfig::consecutive_failures(5), Instant::now())?;
//! match breaker.try_acquire(Instant::now()) {
//!     Ok(permit) => {
//!         let outcome = producer.publish(Record::to("orders").value("nine")).await;
//!         permit.settle(&outcome, Instant::now());
//!     }
//!     Err(refused) => println!("{refused}; still ours: store it"),
//! }
//! # Ok(()) }
//! ```
//!
//! # Without traffic
//!
//! OPEN ends at the next call after its wait. If no call comes, or if none shall be risked, its owner can probe. The
//! contract has four parts:
//!
//! - [`Breaker::next_check`] says when to look again. Look every second or so too, because the breaker can open between.
//! - [`Breaker::due`] gives a [`Probe`] if the wait in OPEN is over. Have one owner; two would probe twice.
//! - The owner finds out whether Kafka is there. [`Produce::refresh_metadata`](milena::Produce::refresh_metadata) asks without writing
//!   anything; a record to a topic of its own asks for more. [`Produce::partitions_for`](milena::Produce::partitions_for) is no question: of a
//!   topic that the producer knows it tells what it knows, also while every broker is down.
//! - It reports [`probe_succeeded`](Breaker::probe_succeeded), which makes it HALF_OPEN, so that calls decide; or
//!   [`probe_failed`](Breaker::probe_failed), which makes it wait again, and longer. A probe that nobody reports changes
//!   nothing. If a call, an operator or another probe was faster, the report changes nothing either.
//!
//! ```
//! # async fn example(breaker: milena_resilience::breaker::Breaker, producer: milena::Producer) {
//! use std::time::{Duration, Instant};
//! use milena_resilience::breaker::Counts;
//!
//! loop {
//!     if let Some(probe) = breaker.due(Instant::now()) {
//!         match producer.refresh_metadata("orders").await {
//!             Err(error) if Counts::of(&error.clone().into()) == Counts::Failure => breaker.probe_failed(probe, Instant::now()),
//!             _ => breaker.probe_succeeded(probe, Instant::now()),
//!         }
//!     }
//!     tokio::time::sleep(Duration::from_secs(1)).await;
//! }
//! # }
//! ```
//!
//! # Where it differs from resilience4j
//!
//! - The wait in OPEN grows while the breaker flaps, has jitter, and is over at its end (resilience4j: after it).
//! - A call that ends after the state has changed changes nothing. In resilience4j it still counts, in whatever state.
//! - A permit of HALF_OPEN has a time.
//! - With `maxWaitDurationInHalfOpenState`, OPEN follows, and its wait counts from the end of that time, also if nobody
//!   looks for long.
//! - Seconds of a window by time are counted from the first call, not from 1970.
//! - Numbers of calls that were not permitted, and of openings, go on over transitions; only
//!   [`reset`](Breaker::reset) sets them to zero. An unknown rate is `None`, not -1.
//!
//! # Where it differs from `tower-resilience-circuitbreaker`
//!
//! Tests run both side by side (`tests/differential.rs`). In these it is as resilience4j, and the other is not:
//!
//! - A window of calls slides. The other's counts all calls since the last transition, and only when it is full.
//! - HALF_OPEN decides by the rate when all its calls have ended, also by that of slow calls. The other opens at the
//!   first failure, and closes after successes however slow they were.
//! - A call is slow above the threshold, not from it on.
//! - A [`reset`](Breaker::reset) while it is CLOSED empties the window.
//!
//! And in one it is as neither: a call that ends after the state has changed changes nothing.

mod config;
mod counts;
mod machine;
mod state;
mod window;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use self::machine::{Machine, Pass};
pub use self::{
    config::{BreakerConfig, InvalidBreakerConfig, SlidingWindowType},
    counts::Counts,
    machine::Probe,
    state::{BreakerState, BreakerStats, CallNotPermitted, Transition},
};
use crate::Failure;

/// No period: calls have to ask the state machine.
const ASK: u64 = 0;

/// A circuit breaker. A clone is the same breaker.
///
/// Every method takes the time, so that tests need no clock. Where it goes back, as between threads, the latest time
/// counts. No method waits for anything but a lock, which is held for a few instructions. A call costs one atomic read
/// when it begins and that lock when it ends, as long as all calls are permitted.
#[derive(Clone)]
pub struct Breaker(Arc<Shared>);

struct Shared {
    /// The period in which every call may pass without asking, or [`ASK`]. It follows the machine within its lock.
    free: AtomicU64,
    core: Mutex<Core>,
    observer: Box<dyn Fn(&Transition) + Send + Sync>,
}

struct Core {
    machine: Machine,
    /// Whether a thread is telling the observer what happened.
    telling: bool,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("machine", &self.0.lock().machine).finish_non_exhaustive()
    }
}

impl Breaker {
    /// A breaker that is CLOSED. It logs each transition, at `WARN` if it opens, else at `INFO`.
    ///
    /// # Errors
    /// The configuration is invalid; the error lists every violation.
    pub fn new(config: BreakerConfig, now: Instant) -> Result<Self, InvalidBreakerConfig> {
        Self::observed_by(config, now, log)
    }

    /// The same, but calls `observer` with each transition, instead of the log.
    ///
    /// It is called on the thread that caused the transition, after it, and without a lock: it may use the breaker. It
    /// gets transitions one by one and in order; a thread that is slow in it does not hold up others. If it panics, that
    /// is logged.
    ///
    /// # Errors
    /// The configuration is invalid; the error lists every violation.
    pub fn observed_by(
        config: BreakerConfig,
        now: Instant,
        observer: impl Fn(&Transition) + Send + Sync + 'static,
    ) -> Result<Self, InvalidBreakerConfig> {
        config.check()?;
        let seed = config.seeded().unwrap_or_else(|| RandomState::new().hash_one(0));
        let machine = Machine::new(config, seed, now);
        let free = AtomicU64::new(machine.free_period().unwrap_or(ASK));
        let core = Mutex::new(Core { machine, telling: false });
        Ok(Self(Arc::new(Shared { free, core, observer: Box::new(observer) })))
    }

    /// Asks for a permit for one call. The permit is to be ended, or dropped if the call said nothing.
    ///
    /// # Errors
    /// The breaker does not permit a call now. The error says in which state it is, and when to ask again.
    pub fn try_acquire(&self, now: Instant) -> Result<Permit, CallNotPermitted> {
        let pass = match self.0.free.load(Ordering::Acquire) {
            ASK => self.0.locked(|machine| machine.try_acquire(now))?,
            period => Pass { period, probe: None, at: now },
        };
        Ok(Permit { shared: Arc::clone(&self.0), pass })
    }

    /// If the wait in OPEN is over and no call came, the right to probe; see the [module](self). Also does whatever time
    /// alone does, such as to give up calls of HALF_OPEN.
    pub fn due(&self, now: Instant) -> Option<Probe> {
        self.0.locked(|machine| machine.due(now))
    }

    /// When [`due`](Self::due) is to be called next; `None` while only calls can change something. May be past.
    #[must_use]
    pub fn next_check(&self) -> Option<Instant> {
        self.0.lock().machine.next_check()
    }

    /// A probe found that Kafka is back: HALF_OPEN.
    pub fn probe_succeeded(&self, probe: Probe, now: Instant) {
        self.0.locked(|machine| machine.probe_succeeded(probe, now));
    }

    /// A probe found that Kafka is not back: OPEN again, for longer.
    pub fn probe_failed(&self, probe: Probe, now: Instant) {
        self.0.locked(|machine| machine.probe_failed(probe, now));
    }

    /// The state. It changes at calls, not by itself: OPEN stays OPEN after its wait until somebody asks.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.0.lock().machine.state()
    }

    /// The numbers of this moment.
    #[must_use]
    pub fn stats(&self, now: Instant) -> BreakerStats {
        self.0.locked(|machine| machine.stats(now))
    }

    /// Makes it CLOSED, with an empty window. Waits go on growing if it opens again soon. In resilience4j,
    /// `transitionToClosedState`.
    pub fn close(&self, now: Instant) {
        self.0.locked(|machine| machine.order(BreakerState::Closed, now));
    }

    /// Makes it FORCED_OPEN: no call is permitted until [`close`](Self::close) or another order. In resilience4j,
    /// `transitionToForcedOpenState`.
    pub fn force_open(&self, now: Instant) {
        self.0.locked(|machine| machine.order(BreakerState::ForcedOpen, now));
    }

    /// Makes it DISABLED: every call is permitted, and none counts. In resilience4j, `transitionToDisabledState`.
    pub fn disable(&self, now: Instant) {
        self.0.locked(|machine| machine.order(BreakerState::Disabled, now));
    }

    /// Makes it METRICS_ONLY: every call is permitted and counts, but it never opens. In resilience4j,
    /// `transitionToMetricsOnlyState`.
    pub fn metrics_only(&self, now: Instant) {
        self.0.locked(|machine| machine.order(BreakerState::MetricsOnly, now));
    }

    /// Makes it as new: CLOSED, with all numbers at zero and the first wait next. In resilience4j, `reset`.
    pub fn reset(&self, now: Instant) {
        self.0.locked(|machine| machine.reset(now));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        // The machine does not panic, so it is whole.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the machine do something, and tells what happened.
    fn locked<T>(&self, act: impl FnOnce(&mut Machine) -> T) -> T {
        let mut core = self.lock();
        let result = act(&mut core.machine);
        if core.machine.has_news() {
            self.free.store(core.machine.free_period().unwrap_or(ASK), Ordering::Release);
            let is_told = std::mem::replace(&mut core.telling, true);
            drop(core);
            if !is_told {
                self.tell();
            }
        }
        result
    }

    /// Tells the observer all that happened, one after the other. What happens meanwhile, here or on other threads, is
    /// told by this loop too.
    fn tell(&self) {
        while let Some(transition) = self.next_news() {
            if catch_unwind(AssertUnwindSafe(|| (self.observer)(&transition))).is_err() {
                tracing::error!(%transition, "the observer of a circuit breaker panicked");
            }
        }
    }

    fn next_news(&self) -> Option<Transition> {
        let mut core = self.lock();
        let next = core.machine.next_news();
        core.telling = next.is_some();
        next
    }
}

/// What a breaker without another observer does with a transition.
pub(crate) fn log(transition: &Transition) {
    if transition.to == BreakerState::Open {
        tracing::warn!("{transition}");
    } else {
        tracing::info!("{transition}");
    }
}

/// The right to make one call.
///
/// If it is dropped before it is ended, the call says nothing of Kafka, and its place is free again.
#[must_use = "a permit that is dropped gives its place back"]
pub struct Permit {
    shared: Arc<Shared>,
    pass: Pass,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("pass", &self.pass).finish_non_exhaustive()
    }
}

impl Permit {
    /// The call ended so. A failure counts as [`Counts`] says.
    pub fn settle<T>(self, outcome: &Result<T, Failure>, now: Instant) {
        match outcome.as_ref().map_err(Counts::of) {
            Ok(_) => self.succeed(now),
            Err(Counts::Failure) => self.fail(now),
            Err(Counts::Nothing) => {}
        }
    }

    /// The call succeeded.
    pub fn succeed(self, now: Instant) {
        self.end(false, now);
    }

    /// The call failed, and Kafka is the cause.
    pub fn fail(self, now: Instant) {
        self.end(true, now);
    }

    fn end(self, failed: bool, now: Instant) {
        self.shared.locked(|machine| machine.record(self.pass, failed, now));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Only calls of HALF_OPEN have a place. One that has ended has none to give back.
        if self.pass.probe.is_some() {
            self.shared.locked(|machine| machine.release(self.pass));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{refused, too_large, unknown};

    const S: Duration = Duration::from_secs(1);

    fn breaker(config: BreakerConfig, now: Instant) -> Breaker {
        Breaker::new(config.wait_jitter(0.0), now).unwrap()
    }

    /// What the observer got, as pairs of names.
    fn observed(config: BreakerConfig, now: Instant) -> (Breaker, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let observer = move |news: &Transition| list.lock().unwrap().push(format!("{} {}", news.from, news.to));
        (Breaker::observed_by(config, now, observer).unwrap(), told)
    }

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.try_acquire(now).unwrap().fail(now);
    }

    #[test]
    fn an_invalid_configuration_makes_no_breaker() {
        let error = Breaker::new(BreakerConfig::consecutive_failures(0), Instant::now()).unwrap_err();
        assert_eq!(error.violations().len(), 2);
    }

    #[test]
    fn outcomes_count_by_what_they_say_of_kafka() {
        let now = Instant::now();
        let breaker = breaker(BreakerConfig::new(), now);
        let outcomes = [Ok(()), Err(refused()), Err(unknown()), Err(too_large()), Err(too_large())];
        for outcome in outcomes {
            breaker.try_acquire(now).unwrap().settle(&outcome, now);
        }
        let stats = breaker.stats(now);
        assert_eq!((stats.buffered_calls, stats.failed_calls), (3, 2));
    }

    #[test]
    fn what_says_nothing_of_kafka_gives_its_place_in_half_open_back() {
        let now = Instant::now();
        let breaker = breaker(BreakerConfig::consecutive_failures(1), now);
        fail(&breaker, now);
        let later = now + 60 * S;
        for _ in 0..3 {
            breaker.try_acquire(later).unwrap().settle(&Err::<(), _>(too_large()), later);
            drop(breaker.try_acquire(later).unwrap());
        }
        assert_eq!((breaker.state(), breaker.stats(later).buffered_calls), (BreakerState::HalfOpen, 0));
        breaker.try_acquire(later).unwrap().settle(&Ok(()), later);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_clone_is_the_same_breaker_and_a_permit_outlives_both() {
        let now = Instant::now();
        let breaker = breaker(BreakerConfig::consecutive_failures(1), now);
        let clone = breaker.clone();
        let permit = clone.try_acquire(now).unwrap();
        fail(&clone, now);
        assert_eq!(breaker.state(), BreakerState::Open);
        drop((breaker, clone));
        permit.fail(now);
    }

    #[test]
    fn every_order_is_obeyed_by_calls_that_do_not_ask() {
        let now = Instant::now();
        let breaker = breaker(BreakerConfig::consecutive_failures(1), now);
        let permits = || breaker.try_acquire(now).is_ok();
        assert!(permits());
        breaker.force_open(now);
        assert!(!permits());
        breaker.disable(now);
        fail(&breaker, now);
        assert!(permits());
        breaker.metrics_only(now);
        fail(&breaker, now);
        assert!(permits());
        breaker.close(now);
        fail(&breaker, now);
        assert!(!permits());
        breaker.reset(now);
        assert!(permits());
        assert_eq!(breaker.stats(now).opened, 0);
    }

    #[test]
    fn the_observer_gets_every_transition_in_order_and_may_use_the_breaker() {
        let now = Instant::now();
        let (inside, told) = (Arc::new(Mutex::new(None::<Breaker>)), Arc::new(Mutex::new(Vec::new())));
        let (seen, list) = (Arc::clone(&inside), Arc::clone(&told));
        let observer = move |news: &Transition| {
            let breaker = seen.lock().unwrap().clone().unwrap();
            if news.to == BreakerState::Open {
                breaker.force_open(now);
                assert_eq!(breaker.state(), BreakerState::ForcedOpen);
            }
            // What it caused is not told before it returns.
            list.lock().unwrap().push((news.from, news.to));
        };
        let breaker = Breaker::observed_by(BreakerConfig::consecutive_failures(1), now, observer).unwrap();
        *inside.lock().unwrap() = Some(breaker.clone());
        fail(&breaker, now);
        breaker.close(now);
        inside.lock().unwrap().take();
        let expected = [
            (BreakerState::Closed, BreakerState::Open),
            (BreakerState::Open, BreakerState::ForcedOpen),
            (BreakerState::ForcedOpen, BreakerState::Closed),
        ];
        assert_eq!(*told.lock().unwrap(), expected);
    }

    #[test]
    fn an_observer_that_panics_hinders_nothing() {
        let now = Instant::now();
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let observer = move |_: &Transition| {
            counted.fetch_add(1, Ordering::Relaxed);
            panic!("on purpose");
        };
        let breaker = Breaker::observed_by(BreakerConfig::consecutive_failures(1), now, observer).unwrap();
        fail(&breaker, now);
        breaker.reset(now);
        assert_eq!((count.load(Ordering::Relaxed), breaker.state()), (2, BreakerState::Closed));
    }

    #[test]
    fn a_period_that_ends_is_told_once_and_follows_the_one_before_also_from_many_threads() {
        let now = Instant::now();
        let (breaker, told) = observed(BreakerConfig::consecutive_failures(1), now);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        if let Ok(permit) = breaker.try_acquire(now) {
                            permit.fail(now);
                        }
                        breaker.reset(now);
                    }
                });
            }
        });
        drop(breaker);
        let told = told.lock().unwrap();
        assert!(told.len() >= 2_000, "{}", told.len());
        for pair in told.windows(2) {
            assert_eq!(pair[0].split_once(' ').unwrap().1, pair[1].split_once(' ').unwrap().0);
        }
    }

    #[test]
    fn its_owner_looks_again_when_it_says() {
        let now = Instant::now();
        let breaker = breaker(BreakerConfig::consecutive_failures(1), now);
        assert!(breaker.next_check().is_none() && breaker.due(now).is_none());
        fail(&breaker, now);
        let later = breaker.next_check().unwrap();
        assert_eq!(later, now + 60 * S);
        let probe = breaker.due(later).unwrap();
        breaker.probe_failed(probe, later);
        let later = breaker.next_check().unwrap();
        breaker.probe_succeeded(breaker.due(later).unwrap(), later);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }
}
