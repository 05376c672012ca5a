//! What is logged for an operator while something goes wrong, and no more of it than can be read.
//!
//! In: attempts that failed and connections that ended, with the time. Out: `tracing` events at `WARN`, in all at most ten
//! each second. About one partition there is at most one each second. What lasts (a broker that is away, a topic that is
//! missing, a producer id that no broker gives) is logged again after 1 s, 2 s, 4 s and so on up to a minute. Each line has the
//! number of those that were held back since the one before. State changes for the better are logged at `INFO`. Pure: whether a
//! line is written follows from the times that are passed in. Deliberately absent: batches that failed for good, whose outcome
//! says so.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::lanes::{entry::FailedAttempt, verdict::Verdict};
use crate::{accumulator::PartitionQueue, error::ErrorCode};

/// How long a line about something keeps another one about the same back, at first.
const SHORTEST: Duration = Duration::from_secs(1);
/// And at most, where it lasts.
const LONGEST: Duration = Duration::from_secs(60);
/// Lines within any second, about whatever.
const MOST: usize = 10;

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// A partition, by its slot.
    Partition(u32),
    /// A broker's connection.
    Broker(i32),
    /// What went out to a broker without a response.
    Unconfirmed(i32),
    /// A topic that is not there.
    Topic(Arc<str>),
    /// The producer id.
    ProducerId,
    /// The token that says who the producer is.
    Token,
    /// The cluster, of which all is learned anew.
    Cluster,
    /// The brokers that are known, of which too few can be reached.
    KnownBrokers,
    /// Something that must be there and is not.
    Missing(&'static str),
}

impl Subject {
    /// Whether it is a state that lasts, and not one event after the other.
    fn lasts(&self) -> bool {
        !matches!(self, Self::Partition(_) | Self::Unconfirmed(_))
    }
}

/// When lines were written, and about what.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    lines: VecDeque<Instant>,
    last: BTreeMap<Subject, LastLine>,
    held_back: u64,
    /// How often something was not there that must be.
    faults: u64,
}

/// The last line about something.
#[derive(Clone, Copy, Debug)]
struct LastLine {
    at: Instant,
    /// How long it keeps the next one back.
    keeps_back: Duration,
}

/// The producer was dropped before these records had an outcome.
pub(super) fn given_up(records: u64, maybe_written: u64) {
    if records > 0 {
        tracing::warn!(
            records,
            maybe_written,
            "the producer was dropped without close(), and its undelivered records are given up; await close() before the last clone is dropped"
        );
    }
}

impl Warnings {
    /// Whether a line about `subject` may be written now; if so, how many were held back since the last line, if any.
    fn admit(&mut self, subject: Subject, now: Instant) -> Option<Option<u64>> {
        self.forget(now);
        let before = self.last.get(&subject).copied();
        if self.lines.len() >= MOST || before.is_some_and(|last| last.at + last.keeps_back > now) {
            self.held_back = self.held_back.saturating_add(1);
            return None;
        }
        let longer = before.filter(|_| subject.lasts()).map(|last| (last.keeps_back * 2).min(LONGEST));
        self.last.insert(subject, LastLine { at: now, keeps_back: longer.unwrap_or(SHORTEST) });
        self.lines.push_back(now);
        let held_back = std::mem::take(&mut self.held_back);
        Some((held_back > 0).then_some(held_back))
    }

    /// Forgets what is over: a line about something that has been quiet for as long again as it was kept back.
    fn forget(&mut self, now: Instant) {
        while self.lines.front().is_some_and(|at| *at + SHORTEST <= now) {
            self.lines.pop_front();
        }
        self.last.retain(|subject, last| {
            let lasts = if subject.lasts() { 3 * last.keeps_back } else { last.keeps_back };
            last.at + lasts > now
        });
    }

    /// What was logged about `subject` is over.
    fn is_over(&mut self, subject: &Subject) {
        self.last.remove(subject);
    }

    /// A batch is sent again, or in parts, or under a new stamp. Other verdicts are final, and are the batch's outcome.
    pub(super) fn attempt_failed(
        &mut self,
        queue: &PartitionQueue,
        attempt: &FailedAttempt,
        verdict: Verdict,
        now: Instant,
    ) {
        let FailedAttempt { number, broker, code: error, .. } = attempt;
        let (topic, partition, cause) = (&*queue.origin.topic, queue.origin.partition, attempt.cause());
        let Some(next) = what_next(verdict) else {
            tracing::debug!(topic, partition, broker, attempt = number, %error, cause, ?verdict, "attempt failed");
            return;
        };
        if let Some(held_back) = self.admit(Subject::Partition(queue.slot), now) {
            tracing::warn!(topic, partition, broker, attempt = number, %error, cause, held_back, "retry: {next}");
        }
    }

    /// A connection ended with so many requests without a response, or (`None`) could not be made.
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

    /// A connection ended, over which so many records went out without a response that shows that they were taken.
    pub(super) fn lost_unconfirmed(&mut self, broker: i32, address: &str, why: &str, records: u64, now: Instant) {
        if let Some(held_back) = self.admit(Subject::Unconfirmed(broker), now) {
            tracing::warn!(
                broker,
                address,
                why,
                records,
                held_back,
                "connection ended: records that went out over it with acks=0 may not have been written"
            );
        }
    }

    /// A connection was made.
    pub(super) fn connected(&mut self, broker: i32, host: &str, port: u16) {
        self.is_over(&Subject::Broker(broker));
        tracing::info!(broker, host, port, "connected");
    }

    /// A topic is not there, as the cluster's response says.
    pub(super) fn no_topic(&mut self, topic: &Arc<str>, code: ErrorCode, now: Instant) {
        if let Some(held_back) = self.admit(Subject::Topic(Arc::clone(topic)), now) {
            let advice = code.advice();
            tracing::warn!(%topic, error = %code, advice, held_back, "the cluster does not have this topic; it is asked again");
        }
    }

    /// A topic cannot be used as things are: records for it are refused.
    pub(super) fn topic_refused(&mut self, topic: &Arc<str>, code: ErrorCode, advice: &str, now: Instant) {
        if let Some(held_back) = self.admit(Subject::Topic(Arc::clone(topic)), now) {
            tracing::warn!(%topic, error = %code, advice, held_back, "the topic is refused; the next record asks for it again");
        }
    }

    /// Too many of the brokers that are known cannot be reached.
    pub(super) fn out_of_reach(&mut self, now: Instant) {
        if let Some(held_back) = self.admit(Subject::KnownBrokers, now) {
            tracing::warn!(held_back, "no known broker can be reached; those of bootstrap.servers are tried as well");
        }
    }

    /// All that is known of the cluster is forgotten.
    pub(super) fn rebootstrap(&mut self, why: &str, now: Instant) {
        if let Some(held_back) = self.admit(Subject::Cluster, now) {
            tracing::warn!(why, held_back, "starting again from bootstrap.servers");
        }
    }

    /// Something is not there that must be: the sender goes on without.
    pub(super) fn missing(&mut self, what: &'static str, now: Instant) {
        self.faults += 1;
        if let Some(held_back) = self.admit(Subject::Missing(what), now) {
            let faults = self.faults;
            tracing::error!(faults, held_back, "a fault of milena's: the sender lacks {what}; please report it");
        }
    }

    /// There is a producer id.
    pub(super) fn has_producer_id(&mut self) {
        self.is_over(&Subject::ProducerId);
    }

    /// There is another token.
    pub(super) fn has_token(&mut self) {
        if self.last.contains_key(&Subject::Token) {
            tracing::info!("there is another token");
        }
        self.is_over(&Subject::Token);
    }

    /// No token could be had; the last one is valid, or not any more.
    pub(super) fn no_token(&mut self, why: &str, is_last_valid: bool, now: Instant) {
        if let Some(held_back) = self.admit(Subject::Token, now) {
            match is_last_valid {
                true => tracing::warn!(why, held_back, "no new token; the last one is used, and it is asked for again"),
                false => tracing::warn!(
                    why,
                    held_back,
                    "no valid token, so nobody lets the producer in; it is asked for again"
                ),
            }
        }
    }

    /// A broker gave no producer id, without which nothing is sent. `advice` is what helps, if that is not a part of `why`.
    pub(super) fn no_producer_id(&mut self, why: &str, advice: Option<&str>, now: Instant) {
        if let Some(held_back) = self.admit(Subject::ProducerId, now) {
            tracing::warn!(why, advice, held_back, "no producer id; it is asked for again");
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
        // The failure of the batch before it is logged.
        Verdict::Again => None,
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
        let mut at = |ms: u32, subject: &Subject| warnings.admit(subject.clone(), start + MS * ms);
        let (orders, broker) = (Subject::Partition(7), Subject::Broker(7));
        assert_eq!(at(0, &orders), Some(None));
        assert_eq!(at(1, &orders), None);
        assert_eq!(at(500, &broker), Some(Some(1)), "another subject waits for nothing, and tells what was held back");
        assert_eq!(at(999, &orders), None);
        assert_eq!(at(1_000, &orders), Some(Some(1)));
        assert_eq!(at(1_499, &broker), None);
        assert_eq!(at(1_500, &broker), Some(Some(1)));
        assert_eq!(at(2_000, &orders), Some(None), "each event of a partition is one of its own");
    }

    #[test]
    fn what_lasts_is_told_after_twice_as_long_each_time_and_from_the_beginning_when_it_was_over() {
        let (mut warnings, start) = (Warnings::default(), Instant::now());
        let (topic, broker) = (Subject::Topic("orders".into()), Subject::Broker(7));
        for subject in [&topic, &broker, &Subject::ProducerId, &Subject::KnownBrokers, &Subject::Missing("a lane")] {
            let told: Vec<_> =
                (0..300).filter(|s| warnings.admit(subject.clone(), start + 1_000 * MS * *s).is_some()).collect();
            assert_eq!(told, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243], "{subject:?}");
            warnings = Warnings::default();
        }
        let at = |warnings: &mut Warnings, s: u32| warnings.admit(broker.clone(), start + 1_000 * MS * s).is_some();
        assert_eq!([0, 1, 2, 3].map(|s| at(&mut warnings, s)), [true, true, false, true]);
        warnings.is_over(&broker);
        assert_eq!([4, 5, 6, 7].map(|s| at(&mut warnings, s)), [true, true, false, true]);
        assert_eq!([40, 41].map(|s| at(&mut warnings, s)), [true, true], "or when it was not heard of for long");
    }

    #[test]
    fn ten_lines_a_second_are_enough_however_many_partitions_are_in_trouble() {
        let (mut warnings, start) = (Warnings::default(), Instant::now());
        let told = (0..1_000).filter(|slot| warnings.admit(Subject::Partition(*slot), start).is_some()).count();
        assert_eq!((told, warnings.last.len()), (10, 10), "and no more is remembered either");
        assert_eq!(warnings.admit(Subject::Partition(999), start + SHORTEST), Some(Some(990)));
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
