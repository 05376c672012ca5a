//! What an operator is told while something goes wrong, and no more of it than can be read.
//!
//! In: attempts that failed and connections that ended, with the time. Out: `tracing` events at `WARN`: about one
//! partition or broker at most one each second, in all at most ten each second, with the number of those held back in
//! between. State changes for the better are told at `INFO`. Pure: whether a line is written follows from the times that
//! are passed in. Deliberately absent: batches that failed for good, which those who wait for them are told.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::verdict::Verdict;
use crate::{delivery::Origin, error::ErrorCode};

/// How long a line about something keeps another one about the same back.
const WINDOW: Duration = Duration::from_secs(1);
/// Lines within any such time, about whatever.
const MOST: usize = 10;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A partition, by its slot.
    Partition(u32),
    /// A broker's connection.
    Broker(i32),
    /// The producer id.
    ProducerId,
}

/// An attempt to send a batch that did not end in an acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) slot: u32,
    pub(super) origin: &'a Origin,
    pub(super) broker: i32,
    /// How often the batch was sent.
    pub(super) number: u32,
    pub(super) error: ErrorCode,
    /// The broker's words, or how the connection ended.
    pub(super) cause: &'a str,
}

/// The lines of the last second.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    told: VecDeque<(Instant, Subject)>,
    held_back: u64,
}

impl Warnings {
    /// Whether a line about `subject` may be written now; if so, how many were held back since the last line, if any.
    fn admit(&mut self, subject: Subject, now: Instant) -> Option<Option<u64>> {
        while self.told.front().is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.told.pop_front();
        }
        if self.told.len() >= MOST || self.told.iter().any(|(_, told)| *told == subject) {
            self.held_back = self.held_back.saturating_add(1);
            return None;
        }
        self.told.push_back((now, subject));
        let held_back = std::mem::take(&mut self.held_back);
        Some((held_back > 0).then_some(held_back))
    }

    /// A batch goes again, or in parts, or under a new stamp. Other verdicts are final, and for those who wait.
    pub(super) fn attempt_failed(&mut self, attempt: Attempt<'_>, verdict: Verdict, now: Instant) {
        let Attempt { slot, origin, broker, number, error, cause } = attempt;
        let (topic, partition) = (&*origin.topic, origin.partition);
        let Some(next) = what_next(verdict) else {
            tracing::debug!(topic, partition, broker, attempt = number, %error, cause, ?verdict, "attempt failed");
            return;
        };
        if let Some(held_back) = self.admit(Subject::Partition(slot), now) {
            tracing::warn!(topic, partition, broker, attempt = number, %error, cause, held_back, "retry: {next}");
        }
    }

    /// A connection ended with so many requests unanswered, or (`None`) could not be made.
    pub(super) fn connection_ended(
        &mut self,
        broker: i32,
        address: &str,
        why: &str,
        unanswered: Option<usize>,
        now: Instant,
    ) {
        if unanswered == Some(0) {
            tracing::info!(broker, address, why, "connection ended");
            return;
        }
        let Some(held_back) = self.admit(Subject::Broker(broker), now) else { return };
        match unanswered {
            Some(unanswered) => tracing::warn!(broker, address, why, unanswered, held_back, "connection lost"),
            None => tracing::warn!(broker, address, why, held_back, "no connection; it is tried again"),
        }
    }

    /// A broker gave no producer id, without which nothing is sent.
    pub(super) fn no_producer_id(&mut self, why: &str, now: Instant) {
        if let Some(held_back) = self.admit(Subject::ProducerId, now) {
            tracing::warn!(why, held_back, "no producer id; it is asked for again");
        }
    }
}

/// What happens to a batch next, if it has not reached its end.
fn what_next(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Retry { .. } => Some("the same batch is sent again"),
        Verdict::Split => Some("its records are sent in smaller batches"),
        Verdict::BumpEpoch => Some("the batch is sent in the producer's next epoch"),
        Verdict::NewProducerId => Some("the batch is sent under a new producer id"),
        Verdict::Acked | Verdict::Duplicate | Verdict::Fail { .. } | Verdict::Fatal { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_subject_has_a_line_each_second_and_the_next_one_tells_how_many_were_held_back() {
        let (mut warnings, start) = (Warnings::default(), Instant::now());
        let mut at = |ms: u32, subject| warnings.admit(subject, start + MS * ms);
        let (orders, broker) = (Subject::Partition(7), Subject::Broker(7));
        assert_eq!(at(0, orders), Some(None));
        assert_eq!(at(1, orders), None);
        assert_eq!(at(500, broker), Some(Some(1)), "another subject waits for nothing, and tells what was held back");
        assert_eq!(at(999, orders), None);
        assert_eq!(at(1_000, orders), Some(Some(1)));
        assert_eq!(at(1_499, broker), None);
        assert_eq!(at(1_500, broker), Some(Some(1)));
    }

    #[test]
    fn ten_lines_a_second_are_enough_however_many_partitions_are_in_trouble() {
        let (mut warnings, start) = (Warnings::default(), Instant::now());
        let told = (0..1_000).filter(|slot| warnings.admit(Subject::Partition(*slot), start).is_some()).count();
        assert_eq!((told, warnings.told.len()), (10, 10), "and no more is remembered either");
        assert_eq!(warnings.admit(Subject::Partition(999), start + WINDOW), Some(Some(990)));
    }

    #[test]
    fn only_a_batch_that_goes_on_is_warned_about() {
        let goes_on = [Verdict::Retry { refresh: true }, Verdict::Split, Verdict::BumpEpoch, Verdict::NewProducerId];
        assert!(goes_on.into_iter().all(|verdict| what_next(verdict).is_some()));
        let persisted = crate::Persisted::No;
        let over = [Verdict::Acked, Verdict::Duplicate, Verdict::Fail { persisted }, Verdict::Fatal { persisted }];
        assert!(over.into_iter().all(|verdict| what_next(verdict).is_none()));
    }
}
