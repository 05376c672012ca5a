//! How many stored events may be on their way while fresh ones are published: fewer when those take longer for it.
//!
//! In: how many fresh events were published, and how long that took. Out: the relay's window. Pure, but for the counters that publishers add
//! to. Deliberately absent: which events are sent.
//!
//! The relay begins with the smallest window and measures how long fresh events take then. While they take about as long, the window grows by a
//! sixteenth of the largest; when they take half as long again, it halves. Without fresh events the largest window counts.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// How often to look.
const LOOK: Duration = Duration::from_millis(100);
/// After so long without a fresh event there is none to be kept from. What was measured before is too old to count.
const QUIET: Duration = Duration::from_secs(1);
/// Fresh events may take so much longer than half as long again: less is noise.
const SLACK: Duration = Duration::from_millis(1);

/// Fresh events that were published, and how long that took, all together.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    published: AtomicU64,
    micros: AtomicU64,
}

impl Fresh {
    pub(crate) fn add(&self, took: Duration) {
        self.published.fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn published(&self) -> u64 {
        self.published.load(Relaxed)
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_micros(self.micros.load(Relaxed))
    }
}

/// The relay's window.
#[derive(Debug)]
pub(super) struct Share {
    most: usize,
    window: usize,
    /// How long fresh events take while the window is the smallest.
    calm: Option<Duration>,
    published: u64,
    time: Duration,
    looked_at: Option<Instant>,
    fresh_at: Option<Instant>,
}

impl Share {
    /// A window of at most so many events.
    pub(super) fn new(most: usize) -> Self {
        let (calm, looked_at, fresh_at) = Default::default();
        Self { most, window: most, calm, published: 0, time: Duration::ZERO, looked_at, fresh_at }
    }

    /// How many events may be on their way, given what was published until now.
    pub(super) fn window(&mut self, fresh: &Fresh, now: Instant) -> usize {
        let since = self.looked_at.map(|at| now.saturating_duration_since(at));
        if since.is_none_or(|since| since >= LOOK) {
            let (published, time) = (fresh.published(), fresh.time());
            let (count, took) = (published - self.published, time.saturating_sub(self.time));
            (self.published, self.time, self.looked_at) = (published, time, Some(now));
            // What was published before the relay had work says nothing of now, but that there are fresh events.
            if count > 0 && since.is_none_or(|since| since >= QUIET) {
                (self.calm, self.window, self.fresh_at) = (None, self.least(), Some(now));
            } else {
                self.look(count, took, now);
            }
        }
        self.window
    }

    /// The smallest window, so that the relay goes on whatever happens.
    fn least(&self) -> usize {
        (self.most / 50).max(1)
    }

    fn look(&mut self, count: u64, took: Duration, now: Instant) {
        if count == 0 {
            if self.fresh_at.is_none_or(|at| now.saturating_duration_since(at) >= QUIET) {
                (self.window, self.calm) = (self.most, None);
            }
            return;
        }
        self.fresh_at = Some(now);
        let mean = took / u32::try_from(count).unwrap_or(u32::MAX);
        match self.calm {
            None if self.window > self.least() => self.window = self.least(),
            None => self.calm = Some(mean),
            Some(calm) if mean > calm + calm / 2 + SLACK => self.slow_down(calm, mean),
            Some(calm) => {
                self.calm = Some(calm.min(mean));
                self.window = (self.window + (self.most / 16).max(1)).min(self.most);
            }
        }
    }

    /// Halves the window. If it is the smallest already, it is not the relay that fresh events wait for, and they are expected to take longer.
    fn slow_down(&mut self, calm: Duration, mean: Duration) {
        if self.window == self.least() {
            self.calm = Some(calm + (mean - calm) / 4);
        }
        self.window = (self.window / 2).max(self.least());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window of at most 1,000 events, looked at each tenth of a second.
    struct Rig {
        share: Share,
        fresh: Fresh,
        now: Instant,
    }

    impl Rig {
        fn new() -> Self {
            Self { share: Share::new(1_000), fresh: Fresh::default(), now: Instant::now() }
        }

        /// The window after a tenth of a second, in which ten events were published in so many milliseconds each.
        fn after(&mut self, millis: u64) -> usize {
            (0..10).for_each(|_| self.fresh.add(Duration::from_millis(millis)));
            self.after_nothing(LOOK)
        }

        /// So many windows, one after the other.
        fn windows(&mut self, count: usize, millis: u64) -> Vec<usize> {
            (0..count).map(|_| self.after(millis)).collect()
        }

        fn after_nothing(&mut self, time: Duration) -> usize {
            self.now += time;
            self.share.window(&self.fresh, self.now)
        }
    }

    #[test]
    fn without_fresh_events_the_window_is_the_largest() {
        let mut rig = Rig::new();
        assert_eq!((rig.after_nothing(LOOK), rig.after_nothing(LOOK), rig.after_nothing(QUIET)), (1_000, 1_000, 1_000));
    }

    #[test]
    fn the_window_is_small_while_it_is_measured_how_long_fresh_events_take_and_grows_as_long_as_they_take_no_longer() {
        let mut rig = Rig::new();
        assert_eq!((rig.after(4), rig.after(4)), (20, 20));
        assert_eq!((rig.after(4), rig.after(7)), (82, 144));
        let windows = rig.windows(20, 7);
        assert_eq!(windows.last(), Some(&1_000), "7 ms are no more than half as long again and a little");
    }

    #[test]
    fn the_window_halves_when_fresh_events_take_longer() {
        let mut rig = Rig::new();
        rig.windows(30, 4);
        let windows = rig.windows(8, 8);
        assert_eq!(windows, [500, 250, 125, 62, 31, 20, 20, 82], "in the end they are expected to take longer");
    }

    #[test]
    fn what_slows_fresh_events_down_without_the_relay_does_not_hold_it_up_for_ever() {
        let mut rig = Rig::new();
        rig.windows(3, 4);
        let windows = rig.windows(60, 40);
        assert_eq!(windows[0], 41);
        assert_eq!(windows.last(), Some(&1_000), "40 ms are what they take now");
    }

    #[test]
    fn a_second_after_the_last_fresh_event_the_window_is_the_largest_again() {
        let mut rig = Rig::new();
        rig.windows(2, 4);
        assert_eq!((rig.after_nothing(LOOK), rig.after_nothing(LOOK * 8)), (20, 20), "seldom is not never");
        assert_eq!(rig.after_nothing(LOOK), 1_000);
    }

    #[test]
    fn what_was_published_before_the_relay_had_work_says_nothing() {
        let mut rig = Rig::new();
        rig.windows(30, 4);
        (0..10).for_each(|_| rig.fresh.add(Duration::from_secs(30)));
        assert_eq!(rig.after_nothing(Duration::from_secs(60)), 20, "there are fresh events, so it is measured anew");
        assert_eq!((rig.after(4), rig.after(4)), (20, 82));
    }
}
