//! When to say that brokers are away.
//!
//! In: how each round of reading went, and the time. Out: what to tell the user, if anything. Pure. An outage is told once it
//! has lasted for a moment, then at growing intervals, and once more when it is over; a leader that moves is none.

use std::time::{Duration, Instant};

const FIRST_INTERVAL: Duration = Duration::from_secs(10);
const MAX_INTERVAL: Duration = Duration::from_secs(300);

/// From the first round that failed to the first that did not.
#[derive(Debug)]
pub(super) struct Outage {
    /// How long it may last without a word.
    grace: Duration,
    begun: Option<Begun>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    tell_at: Instant,
    interval: Duration,
    told: bool,
}

impl Outage {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, begun: None }
    }

    /// Takes what went wrong in a round, and gives the line that the user is to see.
    pub(super) fn after_round(&mut self, trouble: Option<&str>, now: Instant) -> Option<String> {
        let Some(trouble) = trouble else { return self.end(now) };
        let first = Begun { at: now, tell_at: now + self.grace, interval: FIRST_INTERVAL, told: false };
        let begun = self.begun.get_or_insert(first);
        if now < begun.tell_at {
            return None;
        }
        (begun.tell_at, begun.told) = (now + begun.interval, true);
        begun.interval = (begun.interval * 2).min(MAX_INTERVAL);
        Some(format!("warning: not everything can be read for {} s, trying on: {trouble}", seconds(begun.at, now)))
    }

    fn end(&mut self, now: Instant) -> Option<String> {
        let begun = self.begun.take().filter(|begun| begun.told)?;
        Some(format!("everything can be read again, after {} s", seconds(begun.at, now)))
    }
}

fn seconds(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told at those seconds; a second in `away` is a round that failed.
    fn told(seconds: impl Iterator<Item = u64>, away: std::ops::Range<u64>) -> Vec<(u64, String)> {
        let (start, mut outage) = (Instant::now(), Outage::new(Duration::from_secs(1)));
        let mut told = Vec::new();
        for second in seconds {
            let trouble = away.contains(&second).then_some("nobody is there");
            let word = outage.after_round(trouble, start + Duration::from_secs(second));
            told.extend(word.map(|word| (second, word)));
        }
        told
    }

    #[test]
    fn an_outage_is_told_at_growing_intervals_and_when_it_is_over() {
        let told = told(0..1_000, 5..900);
        let when: Vec<_> = told.iter().map(|(second, _)| *second).collect();
        assert_eq!(when, [6, 16, 36, 76, 156, 316, 616, 900]);
        assert_eq!(told[1].1, "warning: not everything can be read for 11 s, trying on: nobody is there");
        assert_eq!(told[7].1, "everything can be read again, after 895 s");
    }

    #[test]
    fn what_is_over_within_a_moment_is_not_told() {
        assert_eq!(told(0..100, 5..6), []);
    }
}
