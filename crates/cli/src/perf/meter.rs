//! Measures latencies and counts outcomes, called from the callbacks.
//!
//! In: the outcome of each record, and the times at which it was due and sent. Out: counts and latencies of all records, of all but
//! the warm-up, and of the current window. Latencies are in microseconds, with a precision of 0.1 %.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hdrhistogram::Histogram;
use milena::{DeliveryError, SendError};

use crate::pace::{latencies, micros};

/// A record that was passed to the producer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) number: u64,
    /// When it was due; `None` without a fixed rate.
    pub(super) due: Option<Instant>,
    pub(super) sent: Instant,
    pub(super) bytes: usize,
}

/// Counts and latencies of some records.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// From the call of send.
    pub(super) latency: Histogram<u64>,
    /// From the time at which each was due.
    pub(super) from_due: Histogram<u64>,
    pub(super) errors: BTreeMap<String, u64>,
    /// When the first record was sent, and when the last one was completed.
    pub(super) since: Option<Instant>,
    pub(super) until: Option<Instant>,
}

impl Sums {
    fn new() -> Self {
        Self {
            records: 0,
            bytes: 0,
            latency: latencies(),
            from_due: latencies(),
            errors: BTreeMap::new(),
            since: None,
            until: None,
        }
    }

    fn add(&mut self, taken: &Taken, now: Instant, failure: Option<&str>) {
        self.since = Some(self.since.map_or(taken.sent, |since| since.min(taken.sent)));
        self.until = Some(now);
        if let Some(failure) = failure {
            *self.errors.entry(failure.to_owned()).or_default() += 1;
            return;
        }
        self.records += 1;
        self.bytes += taken.bytes as u64;
        self.latency.saturating_record(micros(now.saturating_duration_since(taken.sent)));
        if let Some(due) = taken.due {
            self.from_due.saturating_record(micros(now.saturating_duration_since(due)));
        }
    }

    /// Seconds from the first send to the last completion.
    pub(super) fn seconds(&self) -> f64 {
        let (Some(since), Some(until)) = (self.since, self.until) else { return 0.0 };
        until.saturating_duration_since(since).as_secs_f64()
    }

    /// Adds the sums of a later window.
    fn join(&mut self, later: &Self) {
        self.records += later.records;
        self.bytes += later.bytes;
        // Both histograms have the same bounds, so `add` cannot fail.
        let _ = self.latency.add(&later.latency);
        let _ = self.from_due.add(&later.from_due);
        for (cause, times) in &later.errors {
            *self.errors.entry(cause.clone()).or_default() += times;
        }
        self.since = self.since.or(later.since);
        self.until = later.until.or(self.until);
    }

    fn clear(&mut self, now: Instant) {
        self.latency.reset();
        self.from_due.reset();
        (self.records, self.bytes, self.since, self.until) = (0, 0, Some(now), None);
        self.errors.clear();
    }
}

/// Collects the measurements of a run.
#[derive(Debug)]
pub(super) struct Meter {
    warmup: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The sums before the window. They are separate, so that a record is counted in one histogram only.
    before: Sums,
    window: Sums,
    steady: Option<Sums>,
}

impl Meter {
    pub(super) fn new(warmup: u64) -> Self {
        let steady = (warmup > 0).then(Sums::new);
        Self { warmup, state: Mutex::new(State { before: Sums::new(), window: Sums::new(), steady }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the start of sending.
    pub(super) fn start(&self, now: Instant) {
        let mut state = self.state();
        (state.before.since, state.window.since) = (Some(now), Some(now));
    }

    /// Counts a completed record.
    pub(super) fn take(&self, taken: &Taken, failure: Option<&DeliveryError>) {
        let now = Instant::now();
        let failure = failure.map(|error| format!("{} {}", error.code(), written(error)));
        let mut state = self.state();
        state.window.add(taken, now, failure.as_deref());
        if taken.number >= self.warmup
            && let Some(steady) = &mut state.steady
        {
            steady.add(taken, now, failure.as_deref());
        }
    }

    /// Counts a record that the producer refused.
    pub(super) fn refused(&self, error: &SendError) {
        let mut state = self.state();
        *state.window.errors.entry(format!("{error} (not written)")).or_default() += 1;
    }

    /// Whether there was a warm-up, and it is over.
    pub(super) fn is_steady(&self) -> bool {
        self.state().steady.as_ref().is_some_and(|steady| steady.records > 0)
    }

    /// Ends the current window, and returns its sums.
    pub(super) fn window(&self) -> Sums {
        let (now, mut state) = (Instant::now(), self.state());
        let mut window = state.window.clone();
        state.before.join(&window);
        state.window.clear(now);
        window.until = Some(now);
        window
    }

    /// The number of acknowledged records.
    pub(super) fn records(&self) -> u64 {
        let state = self.state();
        state.before.records + state.window.records
    }

    /// The sums of all records.
    pub(super) fn all(&self) -> Sums {
        let state = self.state();
        let mut all = state.before.clone();
        all.join(&state.window);
        all
    }

    /// The sums without the warm-up; `None` if there is no warm-up.
    pub(super) fn steady(&self) -> Option<Sums> {
        self.state().steady.clone()
    }

    /// The number of failed records by cause.
    pub(super) fn errors(&self) -> BTreeMap<String, u64> {
        self.all().errors
    }
}

fn written(error: &DeliveryError) -> &'static str {
    match error.persisted() {
        milena::Persisted::No => "(not written)",
        milena::Persisted::Unknown => "(may be written)",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn latency_is_measured_from_the_call_and_from_when_the_record_was_due() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut sums = Sums::new();
        sums.add(&Taken { number: 0, due: Some(at(0)), sent: at(40), bytes: 10 }, at(50), None);
        sums.add(&Taken { number: 1, due: Some(at(10)), sent: at(45), bytes: 10 }, at(60), Some("TIMED_OUT"));
        assert_eq!((sums.records, sums.bytes, sums.errors["TIMED_OUT"]), (1, 10, 1));
        let close = |got: u64, expected: u64| got.abs_diff(expected) <= expected / 500;
        assert!(close(sums.latency.max(), 10_000) && close(sums.from_due.max(), 50_000));
        assert!((sums.seconds() - 0.020).abs() < 1e-9);
    }

    #[test]
    fn the_warm_up_counts_in_all_and_not_in_steady() {
        let (meter, now) = (Meter::new(2), Instant::now());
        for number in 0..5 {
            meter.take(&Taken { number, due: None, sent: now, bytes: 1 }, None);
        }
        assert_eq!((meter.all().records, meter.steady().unwrap().records), (5, 3));
        assert!(meter.is_steady());
        assert_eq!((meter.window().records, meter.window().records), (5, 0));
        meter.take(&Taken { number: 5, due: None, sent: now, bytes: 1 }, None);
        assert_eq!(
            (meter.records(), meter.all().records, meter.all().latency.len()),
            (6, 6, 6),
            "before the window and in it"
        );
        assert!(Meter::new(0).steady().is_none());
    }
}
