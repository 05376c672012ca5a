//! When a stored event is sent again, and when it becomes a dead letter.
//!
//! In: how a delivery failed, and how often this event has failed. Out: a [`Next`]. Pure. Deliberately absent: which failures speak of
//! Kafka and not of the event, which is the breaker's table.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// The waits between the attempts of one event, and how many attempts it has.
///
/// The two are separate: with fewer waits than attempts the last wait repeats, and with more the rest is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    waits: Vec<Duration>,
    max_attempts: u32,
    count_outages: bool,
    outage_wait: Duration,
}

impl Default for Schedule {
    /// Waits of 1, 5, 15 and then 60 minutes; three attempts; outages cost no attempt.
    fn default() -> Self {
        Self {
            waits: [1, 5, 15, 60].map(|minutes| MINUTE * minutes).to_vec(),
            max_attempts: 3,
            count_outages: false,
            outage_wait: Duration::from_secs(1),
        }
    }
}

/// What is to become of an event whose delivery failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The event is sent again after this wait. It has failed so many times by itself.
    Retry {
        /// Its failed attempts, with this one if it counts.
        attempts: u32,
        /// How long to wait.
        wait: Duration,
    },
    /// The event goes to the dead-letter topic.
    DeadLetter {
        /// Its failed attempts, with this one.
        attempts: u32,
    },
}

/// What a failure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Kafka cannot be reached or cannot write: the event is as good as any other.
    Outage,
    /// This event failed, and may succeed later.
    Event,
    /// This event can never be written as it is.
    Permanent,
}

impl Schedule {
    /// Sets the waits before the second attempt, the third and so on. Attempts beyond the last wait use the last one. Without any, an
    /// event is sent again at once.
    #[must_use]
    pub fn waits(mut self, waits: impl IntoIterator<Item = Duration>) -> Self {
        self.waits = waits.into_iter().collect();
        self
    }

    /// Sets after how many failed attempts an event becomes a dead letter. At least 1; defaults to 3.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// Sets whether a failure that speaks of Kafka counts as an attempt. Defaults to no. With yes, an outage of 21 minutes makes dead
    /// letters of all events that are tried in it, for a dead-letter topic of the same cluster.
    #[must_use]
    pub fn count_outages(mut self, count: bool) -> Self {
        self.count_outages = count;
        self
    }

    /// Sets how long an event waits after a failure that does not count, if the breaker lets it. Defaults to 1 s.
    #[must_use]
    pub fn outage_wait(mut self, wait: Duration) -> Self {
        self.outage_wait = wait;
        self
    }

    /// Divides all waits by `factor`, for demonstrations and tests.
    #[must_use]
    pub fn faster(mut self, factor: u32) -> Self {
        let factor = factor.max(1);
        self.waits.iter_mut().for_each(|wait| *wait /= factor);
        self.outage_wait /= factor;
        self
    }

    /// How long an event waits after so many failed attempts.
    #[must_use]
    pub fn wait(&self, attempts: u32) -> Duration {
        let place = usize::try_from(attempts).unwrap_or(usize::MAX);
        self.waits.get(place).or_else(|| self.waits.last()).copied().unwrap_or_default()
    }

    /// Decides what becomes of an event that had failed `attempts` times, and now failed again.
    #[must_use]
    pub fn next(&self, attempts: u32, blame: Blame) -> Next {
        let counted = attempts.saturating_add(1);
        match blame {
            Blame::Outage if !self.count_outages => Next::Retry { attempts, wait: self.outage_wait },
            Blame::Permanent => Next::DeadLetter { attempts: counted },
            Blame::Outage | Blame::Event if counted >= self.max_attempts => Next::DeadLetter { attempts: counted },
            Blame::Outage | Blame::Event => Next::Retry { attempts: counted, wait: self.wait(counted) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: u32) -> Duration {
        MINUTE * minutes
    }

    #[test]
    fn waits_are_1_5_15_and_then_60_minutes() {
        let schedule = Schedule::default();
        let waits = [0, 1, 2, 3, 4, 100, u32::MAX].map(|attempts| schedule.wait(attempts));
        assert_eq!(waits, [1, 5, 15, 60, 60, 60, 60].map(minutes));
    }

    #[test]
    fn the_third_failure_of_an_event_makes_a_dead_letter() {
        let schedule = Schedule::default();
        let next = [0, 1, 2, 3].map(|attempts| schedule.next(attempts, Blame::Event));
        let retry = |attempts, wait| Next::Retry { attempts, wait: minutes(wait) };
        let letter = |attempts| Next::DeadLetter { attempts };
        assert_eq!(next, [retry(1, 5), retry(2, 15), letter(3), letter(4)]);
    }

    #[test]
    fn schedule_and_maximum_are_separate() {
        let schedule = Schedule::default().max_attempts(6);
        let next: Vec<_> = (0..6).map(|attempts| schedule.next(attempts, Blame::Event)).collect();
        let retry = |attempts, wait| Next::Retry { attempts, wait: minutes(wait) };
        let expected =
            [retry(1, 5), retry(2, 15), retry(3, 60), retry(4, 60), retry(5, 60), Next::DeadLetter { attempts: 6 }];
        assert_eq!(next, expected);
        let once = Schedule::default().max_attempts(0);
        assert_eq!(once.next(0, Blame::Event), Next::DeadLetter { attempts: 1 }, "at least one attempt");
        let at_once = Schedule::default().waits([]);
        assert_eq!(at_once.next(0, Blame::Event), Next::Retry { attempts: 1, wait: Duration::ZERO });
    }

    #[test]
    fn an_outage_costs_no_attempt_unless_it_is_to_count() {
        let schedule = Schedule::default();
        for attempts in [0, 1, 2, 7] {
            let expected = Next::Retry { attempts, wait: Duration::from_secs(1) };
            assert_eq!(schedule.next(attempts, Blame::Outage), expected);
        }
        let literal = Schedule::default().count_outages(true);
        let next = [0, 1, 2].map(|attempts| literal.next(attempts, Blame::Outage));
        let retry = |attempts, wait| Next::Retry { attempts, wait: minutes(wait) };
        assert_eq!(next, [retry(1, 5), retry(2, 15), Next::DeadLetter { attempts: 3 }]);
    }

    #[test]
    fn what_can_never_be_written_becomes_a_dead_letter_at_once() {
        assert_eq!(Schedule::default().next(0, Blame::Permanent), Next::DeadLetter { attempts: 1 });
        assert_eq!(Schedule::default().max_attempts(9).next(4, Blame::Permanent), Next::DeadLetter { attempts: 5 });
    }

    #[test]
    fn a_demonstration_divides_all_waits() {
        let fast = Schedule::default().faster(60);
        assert_eq!([0, 1, 2, 3].map(|attempts| fast.wait(attempts)), [1, 5, 15, 60].map(Duration::from_secs));
        assert_eq!(Schedule::default().faster(0), Schedule::default());
    }
}
