//! What is measured: from the callbacks, one record at a time.
//!
//! In: the outcome of each record, with when it was due and when it was sent. Out: counts and latencies, of all records, of all
//! but the warm-up, and since the last look. Latencies are kept in microseconds, right within 0.1 %.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hdrhistogram::Histogram;
use milena::{DeliveryError, SendError};

use crate::pace::{latencies, micros};

/// A record that was handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) number: u64,
    /// When it was due, if there is a pace.
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
    /// From when each was due.
    pub(super) from_due: Histogram<u64>,
    pub(super) errors: BTreeMap<String, u64>,
    /// From the first record's being sent to the last one's outcome.
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

    /// Seconds that they took.
    pub(super) fn seconds(&self) -> f64 {
        let (Some(since), Some(until)) = (self.since, self.until) else { return 0.0 };
        until.saturating_duration_since(since).as_secs_f64()
    }

    /// Adds what came later.
    fn join(&mut self, later: &Self) {
        self.records += later.records;
        self.bytes += later.bytes;
        // Both have the same bounds, so each fits in the other.
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

/// Measures.
#[derive(Debug)]
pub(super) struct Meter {
    warmup: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// All that came before the window: so each record is counted once, and not in two histograms.
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

    /// Sending begins.
    pub(super) fn start(&self, now: Instant) {
        let mut state = self.state();
        (state.before.since, state.window.since) = (Some(now), Some(now));
    }

    /// A record has its outcome.
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

    /// A record was not even accepted.
    pub(super) fn refused(&self, error: &SendError) {
        let mut state = self.state();
        *state.window.errors.entry(format!("{error} (not written)")).or_default() += 1;
    }

    /// Whether there was a warm-up, and it is over.
    pub(super) fn is_steady(&self) -> bool {
        self.state().steady.as_ref().is_some_and(|steady| steady.records > 0)
    }

    /// What came since the last look.
    pub(super) fn window(&self) -> Sums {
        let (now, mut state) = (Instant::now(), self.state());
        let mut window = state.window.clone();
        state.before.join(&window);
        state.window.clear(now);
        window.until = Some(now);
        window
    }

    /// How many were acknowledged.
    pub(super) fn records(&self) -> u64 {
        let state = self.state();
        state.before.records + state.window.records
    }

    /// All records.
    pub(super) fn all(&self) -> Sums {
        let state = self.state();
        let mut all = state.before.clone();
        all.join(&state.window);
        all
    }

    /// All but the warm-up, if there is one.
    pub(super) fn steady(&self) -> Option<Sums> {
        self.state().steady.clone()
    }

    /// How many records failed, by cause.
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
    fn latency_is_told_from_the_call_and_from_when_the_record_was_due() {
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
    fn the_warm_up_counts_in_all_and_not_in_what_is_steady() {
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
            "before and since the last look"
        );
        assert!(Meter::new(0).steady().is_none());
    }
}
