//! What a publisher counts.
//!
//! In: events. Out: [`PublisherStats`] and [`Health`]. Deliberately absent: what the store and the relay count.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Settings, metrics::Histogram};
use crate::{
    breaker::{Breaker, BreakerState, BreakerStats},
    clock::now,
    relay::Fresh,
};

/// Health looks at the last minute, second by second.
const WINDOW: usize = 60;
/// At most this share of the events of the window may fail.
const MAX_ERROR_RATE: f64 = 0.1;

/// What a publisher has done since it was started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublisherStats {
    /// Whether [`publish_async`](super::ResilientPublisher::publish_async) works: always.
    pub async_enabled: bool,
    /// Whether events that cannot be published are stored.
    pub store_failures: bool,
    /// The circuit breaker.
    pub breaker: BreakerStats,
    /// Events whose call has not returned.
    pub in_flight: u64,
    /// Events that were published directly.
    pub messages_published: u64,
    /// Attempts to publish directly that failed.
    pub messages_failed: u64,
    /// Events that were stored.
    pub stored: u64,
    /// Events that were handed back.
    pub given_up: u64,
    /// How long publishing directly took, all together.
    pub total_publish_time: Duration,
    /// The last failure.
    pub last_error: Option<String>,
}

/// Whether events are being published.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Health {
    /// Whether the error rate is below 0.1 and the breaker is not open.
    pub is_healthy: bool,
    /// The share of attempts of the last minute that failed, from 0 to 1; 0 without any.
    pub error_rate: f64,
    /// The breaker's state.
    pub breaker: BreakerState,
}

/// The counters.
#[derive(Default)]
pub(crate) struct Counters {
    in_flight: AtomicU64,
    pub(super) fresh: Arc<Fresh>,
    failed: AtomicU64,
    stored: AtomicU64,
    given_up: AtomicU64,
    /// Published events that no broker confirmed (`acks=0`).
    unconfirmed: AtomicU64,
    /// One lock costs an event less than a number of atomic counters do.
    direct: Mutex<Direct>,
}

/// Publishing directly.
#[derive(Default)]
struct Direct {
    /// Of the successes.
    latency: Histogram,
    recent: Recent,
}

/// The outcomes of the last minute.
#[derive(Default)]
struct Recent {
    last_error: Option<String>,
    start: Option<Instant>,
    /// The second of each, since the start, and how many succeeded and failed in it.
    seconds: Vec<(u64, u64, u64)>,
}

/// Counts an event as being in flight until it is dropped.
pub(crate) struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    /// An event was published, and the producer says so for sure, unless it has `acks=0`.
    pub(super) fn published(&self, start: Instant, end: Instant, is_confirmed: bool) {
        if !is_confirmed && self.unconfirmed.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "the producer has acks=0: events that no broker confirms can be lost although they count as published"
            );
        }
        let took = end.saturating_duration_since(start);
        self.fresh.add(took);
        let mut direct = self.direct();
        direct.latency.add(took);
        direct.recent.add(end, false);
    }

    pub(super) fn failed(&self, failure: &impl fmt::Display) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let recent = &mut self.direct().recent;
        recent.last_error = Some(failure.to_string());
        recent.add(now(), true);
    }

    pub(super) fn stored(&self) {
        self.stored.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    /// How long publishing took, by bucket.
    pub(super) fn latency(&self) -> Histogram {
        self.direct().latency.clone()
    }

    pub(super) fn stats(&self, settings: &Settings, breaker: &Breaker) -> PublisherStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let direct = self.direct();
        PublisherStats {
            async_enabled: true,
            store_failures: settings.store_failures,
            breaker: breaker.stats(now()),
            in_flight: read(&self.in_flight),
            messages_published: direct.latency.count,
            messages_failed: read(&self.failed),
            stored: read(&self.stored),
            given_up: read(&self.given_up),
            total_publish_time: direct.latency.total,
            last_error: direct.recent.last_error.clone(),
        }
    }

    pub(super) fn health(&self, breaker: &Breaker) -> Health {
        let (error_rate, breaker) = (self.direct().recent.error_rate(now()), breaker.state());
        let is_open = matches!(breaker, BreakerState::Open | BreakerState::ForcedOpen);
        Health { is_healthy: error_rate < MAX_ERROR_RATE && !is_open, error_rate, breaker }
    }

    fn direct(&self) -> MutexGuard<'_, Direct> {
        self.direct.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn second(&mut self, now: Instant) -> u64 {
        let start = *self.start.get_or_insert(now);
        now.saturating_duration_since(start).as_secs()
    }

    fn add(&mut self, now: Instant, is_failure: bool) {
        let second = self.second(now);
        self.seconds.resize(WINDOW, (0, 0, 0));
        let place = usize::try_from(second % WINDOW as u64).unwrap_or(0);
        let (of, succeeded, failed) = &mut self.seconds[place];
        if *of != second {
            (*of, *succeeded, *failed) = (second, 0, 0);
        }
        *(if is_failure { failed } else { succeeded }) += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
    fn error_rate(&mut self, now: Instant) -> f64 {
        let second = self.second(now);
        let recent = self.seconds.iter().filter(|(of, ..)| second - of.min(&second) < WINDOW as u64);
        let (succeeded, failed) = recent.fold((0, 0), |(s, f), (_, succeeded, failed)| (s + succeeded, f + failed));
        if failed == 0 { 0.0 } else { failed as f64 / (succeeded + failed) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_rate_is_that_of_the_last_minute() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(recent.error_rate(start), 0.0);
        (0..3).for_each(|_| recent.add(at(0), false));
        recent.add(at(1), true);
        assert_eq!(recent.error_rate(at(59)), 0.25);
        assert_eq!(recent.error_rate(at(60)), 1.0, "the successes are too long ago");
        assert_eq!(recent.error_rate(at(61)), 0.0);
        recent.add(at(120), true);
        recent.add(at(121), false);
        assert_eq!(recent.error_rate(at(121)), 0.5);
    }
}
