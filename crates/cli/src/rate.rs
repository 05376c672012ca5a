//! How many a second.
//!
//! In: a number a second. Out: how many may be done now. Waits for the clock where that is none.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// The most steps a second.
const STEPS: u32 = 10;

/// Lets through so many a second, in steps: a tenth of them ten times a second, or one at a time if they are fewer. What was not
/// used is not caught up later.
#[derive(Debug)]
pub(crate) struct Pacer(Option<Steps>);

#[derive(Debug)]
struct Steps {
    at_once: usize,
    left: usize,
    ticks: Interval,
}

impl Pacer {
    /// Of so many a second; `None` is no limit.
    pub(crate) fn new(rate: Option<u32>) -> Self {
        Self(rate.map(|rate| {
            let (at_once, every) = step(rate);
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Steps { at_once, left: 0, ticks }
        }))
    }

    /// How many of `wanted` may be done now; at least one. Dropping the future uses none up.
    pub(crate) async fn allow(&mut self, wanted: usize) -> usize {
        let Some(steps) = &mut self.0 else { return wanted };
        if steps.left == 0 {
            steps.ticks.tick().await;
            steps.left = steps.at_once;
        }
        let allowed = wanted.min(steps.left);
        steps.left -= allowed;
        allowed
    }
}

/// How many at once, and how long after the step before.
fn step(rate: u32) -> (usize, Duration) {
    let rate = rate.max(1);
    let at_once = rate.div_ceil(STEPS);
    (at_once as usize, Duration::from_secs(at_once.into()) / rate)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_step_is_a_tenth_of_a_second_or_as_long_as_one_takes() {
        for (rate, at_once, every_ms) in [(0, 1, 1_000), (1, 1, 1_000), (4, 1, 250), (10, 1, 100), (1_000, 100, 100)] {
            assert_eq!(step(rate), (at_once, Duration::from_millis(every_ms)), "{rate}");
        }
        let (at_once, every) = step(15);
        assert_eq!((at_once, every.as_millis()), (2, 133));
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_are_let_through_a_second_as_were_asked_for() {
        let (mut pacer, started) = (Pacer::new(Some(20)), Instant::now());
        let mut done = 0;
        while done < 60 {
            done += pacer.allow(100).await;
        }
        assert_eq!((done, started.elapsed()), (60, Duration::from_millis(2_900)));
        assert_eq!(Pacer::new(None).allow(7).await, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_missed_is_not_caught_up() {
        let mut pacer = Pacer::new(Some(10));
        pacer.allow(1).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let started = Instant::now();
        for _ in 0..11 {
            pacer.allow(1).await;
        }
        assert_eq!(started.elapsed(), Duration::from_secs(1));
    }
}
