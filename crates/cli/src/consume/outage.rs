//! Decides when an outage of brokers is reported.
//!
//! In: the error of each round of reading, if any, and the time. Out: the message for the user, if any. Pure. An outage is reported
//! once it has lasted for the grace period, then at growing intervals, and once more when it is over. A leader that moves is
//! over sooner, so it is not reported.

use std::time::{Duration, Instant};

const FIRST_INTERVAL: Duration = Duration::from_secs(10);
const MAX_INTERVAL: Duration = Duration::from_secs(300);

/// An outage lasts from the first round with an error to the first without.
#[derive(Debug)]
pub(super) struct Outage {
    /// How long it may last before it is reported.
    grace: Duration,
    begun: Option<Begun>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    report_at: Instant,
    interval: Duration,
    reported: bool,
}

impl Outage {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, begun: None }
    }

    /// Takes the error of a round, and returns the line to print, if any.
    pub(super) fn after_round(&mut self, error: Option<&str>, now: Instant) -> Option<String> {
        let Some(error) = error else { return self.end(now) };
        let first = Begun { at: now, report_at: now + self.grace, interval: FIRST_INTERVAL, reported: false };
        let begun = self.begun.get_or_insert(first);
        if now < begun.report_at {
            return None;
        }
        (begun.report_at, begun.reported) = (now + begun.interval, true);
        begun.interval = (begun.interval * 2).min(MAX_INTERVAL);
        Some(format!("warning: not everything can be read for {} s, trying on: {error}", seconds(begun.at, now)))
    }

    fn end(&mut self, now: Instant) -> Option<String> {
        let begun = self.begun.take().filter(|begun| begun.reported)?;
        Some(format!("everything can be read again, after {} s", seconds(begun.at, now)))
    }
}

fn seconds(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages at those seconds. A second in `failing` is a round with an error.
    fn messages(seconds: impl Iterator<Item = u64>, failing: std::ops::Range<u64>) -> Vec<(u64, String)> {
        let (start, mut outage) = (Instant::now(), Outage::new(Duration::from_secs(1)));
        let mut messages = Vec::new();
        for second in seconds {
            let error = failing.contains(&second).then_some("connection refused");
            let message = outage.after_round(error, start + Duration::from_secs(second));
            messages.extend(message.map(|message| (second, message)));
        }
        messages
    }

    #[test]
    fn an_outage_is_reported_at_growing_intervals_and_when_it_is_over() {
        let messages = messages(0..1_000, 5..900);
        let when: Vec<_> = messages.iter().map(|(second, _)| *second).collect();
        assert_eq!(when, [6, 16, 36, 76, 156, 316, 616, 900]);
        assert_eq!(messages[1].1, "warning: not everything can be read for 11 s, trying on: connection refused");
        assert_eq!(messages[7].1, "everything can be read again, after 895 s");
    }

    #[test]
    fn an_outage_that_ends_within_the_grace_period_is_not_reported() {
        assert_eq!(messages(0..100, 5..6), []);
    }
}
