//! The last calls, by number or by time.
//!
//! In: calls that ended, and the time. Out: how many there are, how many failed, how many were slow. Pure. Sums are kept
//! up to date, so that neither a call nor a question walks through the window.

use std::time::{Duration, Instant};

/// Numbers of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) calls: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failed = self.failed.saturating_add(other.failed);
        self.slow = self.slow.saturating_add(other.slow);
    }

    fn subtract(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.failed = self.failed.saturating_sub(other.failed);
        self.slow = self.slow.saturating_sub(other.slow);
    }

    /// Percent of the calls that failed.
    pub(super) fn failure_rate(self) -> f64 {
        f64::from(self.failed) * 100.0 / f64::from(self.calls)
    }

    /// Percent of the calls that were slow.
    pub(super) fn slow_call_rate(self) -> f64 {
        f64::from(self.slow) * 100.0 / f64::from(self.calls)
    }
}

/// The last calls.
#[derive(Clone, Debug)]
pub(super) struct Window {
    kind: Kind,
    /// The slot of the newest call.
    head: usize,
    totals: Totals,
    minimum: u32,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A call for each slot, or none yet. The next call takes the slot after the newest.
    Calls(Vec<Slot>),
    /// The calls of a second for each slot; the newest is this second. As resilience4j's `SlidingTimeWindowMetrics`.
    Seconds { buckets: Vec<Totals>, newest: Option<Instant> },
}

/// What is remembered of a call: a byte, because a window may have many.
#[derive(Clone, Copy, Debug, Default)]
struct Slot(u8);

impl Slot {
    fn of(failed: bool, slow: bool) -> Self {
        Self(1 | u8::from(failed) << 1 | u8::from(slow) << 2)
    }

    fn totals(self) -> Totals {
        let bit = |at: u8| u32::from(self.0 >> at & 1);
        Totals { calls: bit(0), failed: bit(1), slow: bit(2) }
    }
}

impl Window {
    /// The last `size` calls; the rate is known from `minimum` calls on, or when the window is full.
    pub(super) fn calls(size: u32, minimum: u32) -> Self {
        let slots = vec![Slot::default(); size.max(1) as usize];
        Self { kind: Kind::Calls(slots), head: 0, totals: Totals::default(), minimum: minimum.min(size) }
    }

    /// The calls of the last `size` seconds; the rate is known from `minimum` calls on.
    pub(super) fn seconds(size: u32, minimum: u32) -> Self {
        let buckets = vec![Totals::default(); size.max(1) as usize];
        Self { kind: Kind::Seconds { buckets, newest: None }, head: 0, totals: Totals::default(), minimum }
    }

    /// A call ended now. `now` is never before an earlier one.
    pub(super) fn record(&mut self, failed: bool, slow: bool, now: Instant) {
        self.move_to(now);
        let slot = Slot::of(failed, slow);
        match &mut self.kind {
            Kind::Calls(slots) => {
                self.head = if self.head + 1 < slots.len() { self.head + 1 } else { 0 };
                if let Some(oldest) = slots.get_mut(self.head) {
                    self.totals.subtract(std::mem::replace(oldest, slot).totals());
                }
            }
            Kind::Seconds { buckets, .. } => {
                if let Some(bucket) = buckets.get_mut(self.head) {
                    bucket.add(slot.totals());
                }
            }
        }
        self.totals.add(slot.totals());
    }

    /// The calls that are in the window now.
    pub(super) fn totals(&mut self, now: Instant) -> Totals {
        self.move_to(now);
        self.totals
    }

    /// The same, if there are enough of them to speak of a rate.
    pub(super) fn known(&mut self, now: Instant) -> Option<Totals> {
        Some(self.totals(now)).filter(|totals| totals.calls >= self.minimum.max(1))
    }

    /// Forgets the seconds that have left the window.
    fn move_to(&mut self, now: Instant) {
        let Kind::Seconds { buckets, newest } = &mut self.kind else { return };
        let since = newest.get_or_insert(now);
        let seconds = now.saturating_duration_since(*since).as_secs();
        if seconds == 0 {
            return;
        }
        *since += Duration::from_secs(seconds);
        for _ in 0..seconds.min(buckets.len() as u64) {
            self.head = if self.head + 1 < buckets.len() { self.head + 1 } else { 0 };
            if let Some(oldest) = buckets.get_mut(self.head) {
                self.totals.subtract(std::mem::take(oldest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Numbers from a seed.
    fn numbers(mut seed: u64) -> impl FnMut(u64) -> u64 {
        move |below| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        }
    }

    fn sum<'a>(calls: impl IntoIterator<Item = &'a Totals>) -> Totals {
        let mut sum = Totals::default();
        calls.into_iter().for_each(|call| sum.add(*call));
        sum
    }

    #[test]
    fn a_window_of_calls_knows_the_last_ones_and_no_others() {
        for seed in 0..200 {
            let mut draw = numbers(seed);
            let size = draw(7) + 1;
            let (mut window, mut calls) = (Window::calls(size as u32, 1), VecDeque::new());
            let now = Instant::now();
            for _ in 0..50 {
                let (failed, slow) = (draw(2) == 0, draw(3) == 0);
                window.record(failed, slow, now);
                calls.push_back(Slot::of(failed, slow).totals());
                if calls.len() as u64 > size {
                    calls.pop_front();
                }
                assert_eq!(window.totals(now), sum(&calls), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_window_of_time_knows_the_calls_of_its_seconds_and_no_others() {
        for seed in 0..200 {
            let mut draw = numbers(seed);
            let size = draw(7) + 1;
            let (mut window, mut calls) = (Window::seconds(size as u32, 1), Vec::<(u64, Totals)>::new());
            let (start, mut ms) = (Instant::now(), 0);
            window.totals(start);
            for _ in 0..80 {
                ms += [0, draw(10), draw(1_500), draw(9_000)][draw(4) as usize];
                let now = start + MS * ms as u32;
                if draw(3) > 0 {
                    let (failed, slow) = (draw(2) == 0, draw(3) == 0);
                    window.record(failed, slow, now);
                    calls.push((ms / 1_000, Slot::of(failed, slow).totals()));
                }
                let last = calls.iter().filter(|(second, _)| second + size > ms / 1_000).map(|(_, call)| call);
                assert_eq!(window.totals(now), sum(last), "seed {seed} at {ms} ms");
            }
        }
    }

    #[test]
    fn a_rate_is_unknown_until_there_are_enough_calls() {
        let now = Instant::now();
        for (mut window, enough) in [
            (Window::calls(4, 3), 3),
            (Window::calls(4, 100), 4),
            (Window::seconds(4, 100), 100),
            (Window::calls(1, 1), 1),
        ] {
            let known = (0..enough + 2).map(|_| {
                let known = window.known(now).is_some();
                window.record(true, false, now);
                known
            });
            assert_eq!(known.take_while(|known| !known).count(), enough);
        }
    }

    #[test]
    fn rates_are_percentages() {
        let totals = Totals { calls: 8, failed: 2, slow: 1 };
        assert_eq!((totals.failure_rate(), totals.slow_call_rate()), (25.0, 12.5));
    }
}
