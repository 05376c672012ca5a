//! The retry job: sends stored events again, and makes dead letters of those that cannot be delivered.
//!
//! In: a store, a producer, a breaker. Out: events in their topics, or in dead-letter topics, or kept. Started by a
//! [`ResilientPublisher`](crate::publisher::ResilientPublisher).
//!
//! # When
//!
//! When an event is stored, when the breaker closes, and every minute. An event that failed by itself waits as [`Schedule`] says: 1, 5, 15
//! and then 60 minutes. After three failures it becomes a dead letter. A failure that speaks of Kafka (the table of
//! [`Counts`](crate::breaker::Counts)) is an outage and costs no attempt, so an outage of any length makes no dead letters.
//! [`Schedule::count_outages`] changes that.
//!
//! # Order
//!
//! Events of one topic and key are sent one after the other, in the order in which they were stored; other keys are sent at
//! the same time. While an event waits for its next attempt, its key waits ([`Poison::Block`]) or does not ([`Poison::Skip`]).
//!
//! # Duplicates
//!
//! An event that may have been sent before carries the header [`possibleDuplicate`](crate::retry::POSSIBLE_DUPLICATE). That is so after an attempt
//! with an unknown outcome, and for what was on its way when a process ended.
//!
//! # Several processes
//!
//! Each sends the events of some of the store's buckets. After each renewal of its lease it asks the store for its share. If it has more, or
//! may have more that are free, it sends nothing new until all that is on its way is settled, gives its lease back and acquires a new one.
//!
//! # Dead letters
//!
//! They go to `{topic}.dlq`. If that fails for another reason than an outage, the row becomes `DLQ_FAILED` and stays until somebody replays or
//! purges it. What can never be written (too large, not authorized) becomes a dead letter at once.

mod backlog;
mod buckets;
mod job;
mod letters;
mod observe;
mod rows;
mod schedule;
mod share;
mod waiting;

use std::time::Duration;

pub use self::{
    backlog::Poison,
    letters::Letters,
    observe::{Alert, RelayStats},
    schedule::{Blame, Next, Schedule},
};
pub(crate) use self::{
    job::{Job, Wake},
    observe::Observer,
    rows::{blame, error_of, record},
    share::Fresh,
};

/// How the relay works.
///
/// ```
/// use milena_resilience::relay::{Poison, RelayConfig, Schedule};
///
/// let config = RelayConfig::default().schedule(Schedule::default().max_attempts(5)).poison(Poison::Skip);
/// ```
#[derive(Clone, Debug)]
pub struct RelayConfig {
    pub(crate) interval: Duration,
    pub(crate) schedule: Schedule,
    pub(crate) poison: Poison,
    pub(crate) dead_letters: Letters,
    pub(crate) limits: backlog::Limits,
    pub(crate) max_in_flight: usize,
    pub(crate) lease: Duration,
    pub(crate) shutdown: Duration,
    pub(crate) in_order: bool,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            schedule: Schedule::default(),
            poison: Poison::Block,
            dead_letters: Letters::default(),
            limits: backlog::Limits { rows: 10_000, bytes: 32 << 20 },
            max_in_flight: 1_000,
            lease: Duration::from_secs(9),
            shutdown: Duration::from_secs(30),
            in_order: true,
        }
    }
}

impl RelayConfig {
    /// Sets how often the store is searched from its beginning. Defaults to a minute.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Sets when events are sent again, and how often.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sets whether an event that waits for its next attempt blocks the later ones of its key. Defaults to [`Poison::Block`].
    #[must_use]
    pub fn poison(mut self, poison: Poison) -> Self {
        self.poison = poison;
        self
    }

    /// Sets what dead letters are like. By default they go to `{topic}.dlq`.
    #[must_use]
    pub fn dead_letters(mut self, letters: Letters) -> Self {
        self.dead_letters = letters;
        self
    }

    /// Sets the most events in memory, and the most bytes of them. Defaults to 10,000 and 32 MiB.
    #[must_use]
    pub fn in_memory(mut self, events: usize, bytes: usize) -> Self {
        self.limits = backlog::Limits { rows: events.max(4), bytes: bytes.max(1) };
        self
    }

    /// Sets the most events that are on their way at a time. Defaults to 1,000. There are fewer, down to a fiftieth, while events that are
    /// published directly take longer for them.
    #[must_use]
    pub fn max_in_flight(mut self, events: usize) -> Self {
        self.max_in_flight = events.max(1);
        self
    }

    /// Sets for how long a lease lasts without being renewed: when a process crashes, another takes over after that. Defaults
    /// to 9 s. It is renewed each third of it.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(30));
        self
    }

    /// Sets how long closing waits for events that are on their way. Defaults to 30 s. What takes longer is flagged as a possible
    /// duplicate when it is sent again.
    #[must_use]
    pub fn shutdown(mut self, limit: Duration) -> Self {
        self.shutdown = limit;
        self
    }
}
