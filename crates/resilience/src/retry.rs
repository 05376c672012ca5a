//! Sends a record again after a failure, within one time budget.
//!
//! In: a record, a [`Publish`]er, a [`RetryPolicy`]. Out: its acknowledgement, or a [`RetryError`] with all attempts.
//! Awaits; the decision is [`RetryPolicy::decide`], which is pure. Deliberately absent: storage. A record is in memory
//! while it waits, and goes back to the caller after the last failure.
//!
//! # One budget
//!
//! A producer retries by itself for up to `delivery.timeout.ms`, and with idempotence it never writes a record twice.
//! So it is the right layer for retries. A loop around it multiplies the time: three attempts with the producer's defaults can
//! take six minutes and, without idempotence, write a record many times. So [`RetryPolicy::budget`] covers both. It
//! starts with the first attempt, and no attempt begins after it. With the defaults, two minutes each, this loop sends
//! records again that failed early (no memory in `buffer.memory`, no metadata within `max.block.ms`, other records of a
//! batch with an invalid record). It does not send a record again that the producer retried until `delivery.timeout.ms`.
//! [`Retry::send`] takes at most the sum of the budget, `max.block.ms` and `delivery.timeout.ms`. Have one such loop, not
//! one in each layer.
//!
//! # Duplicates
//!
//! A record whose attempt ended as [`Persisted::Unknown`] may be in the log. If it is sent again, it is a new record to
//! the broker, whether or not the producer is idempotent. Such a record is not sent again unless
//! [`RetryPolicy::resend_unknown`] allows it. If it does, the new attempt has the header [`POSSIBLE_DUPLICATE`].
//! Consumers must then compare the event's id, such as a header `eventId`, with those of earlier events. A record that
//! is sent again follows the records that were sent meanwhile, so the order is lost.

mod policy;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime},
};

use milena::{Ack, Header, Persisted, Record};
use tokio::time::{Instant, sleep};

pub use self::policy::{Decision, GaveUp, InvalidPolicy, Progress, RetryPolicy};
use crate::{Failure, Publish, dead_letter::FailureReport};

/// The header of a record that is sent again although an earlier attempt may have been written. Its value is the number
/// of such attempts, in decimal. A consumer that receives this header may have received the event before. An event
/// without it may be received again later.
pub const POSSIBLE_DUPLICATE: &str = "possibleDuplicate";

/// Sends records again as a [`RetryPolicy`] decides.
///
/// ```
/// # async fn example(producer: milena::Producer) -> Result<(), Box<dyn std::error::Error>> {
/// use milena::Record;
/// use milena_resilience::retry::{Retry, RetryPolicy};
///
/// let retry = Retry::new(RetryPolicy::new().max_attempts(3))?;
/// let delivered = retry.send(&producer, Record::to("orders").key("user-1").value("nine")).await?;
/// for attempt in &delivered.tried {
///     println!("{attempt}");
/// }
/// # Ok(()) }
/// ```
pub struct Retry {
    policy: RetryPolicy,
    chance: Box<dyn Fn() -> f64 + Send + Sync>,
    #[expect(clippy::type_complexity, reason = "an alias would hide what it is")]
    observer: Box<dyn Fn(&Attempt, &Decision) + Send + Sync>,
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Retry {
    /// Uses a policy, with random jitter. Logs each failed attempt at `DEBUG`.
    ///
    /// # Errors
    /// The policy is invalid; the error lists every violation.
    pub fn new(policy: RetryPolicy) -> Result<Self, InvalidPolicy> {
        policy.check()?;
        Ok(Self { policy, chance: Box::new(chance), observer: Box::new(log) })
    }

    /// Uses `chance` for the jitter, which returns numbers from 0 to 1. For tests, and for runs that must be
    /// repeatable.
    #[must_use]
    pub fn jitter_from(mut self, chance: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.chance = Box::new(chance);
        self
    }

    /// Calls `observer`, instead of the log, with each failed attempt and the decision that follows it.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Fn(&Attempt, &Decision) + Send + Sync + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Sends a record, and sends it again as the policy decides.
    ///
    /// # Errors
    /// The failed attempts, and why there is no further one.
    ///
    /// # Panics
    /// If it has to wait and there is no tokio runtime with time enabled. A test may pause that time.
    ///
    /// # Cancel safety
    /// If the future is dropped during an attempt, the attempt continues and the record may be written. If it is
    /// dropped during a wait, the record is not sent again. The failed attempts are lost.
    pub async fn send(&self, to: &(impl Publish + ?Sized), record: Record<'_>) -> Result<Delivered, RetryError> {
        let (started_at, start) = (SystemTime::now(), Instant::now());
        let (mut tried, mut waited, mut doubts) = (Vec::new(), Duration::ZERO, 0);
        loop {
            let at = start.elapsed();
            let failure = match to.publish(marked(&record, doubts)).await {
                Ok(ack) => return Ok(Delivered { ack, at, waited, tried }),
                Err(failure) => failure,
            };
            let (elapsed, number) = (start.elapsed(), u32::try_from(tried.len()).unwrap_or(u32::MAX).saturating_add(1));
            let so_far = Progress { attempts: number, elapsed, maybe_written: doubts > 0 };
            let decision = self.policy.decide(&failure, so_far, (self.chance)());
            doubts += u32::from(failure.persisted() == Persisted::Unknown);
            let attempt = Attempt { number, waited, at, took: elapsed.saturating_sub(at), failure };
            (self.observer)(&attempt, &decision);
            tried.push(attempt.clone());
            match decision {
                Decision::Resend { wait, .. } => sleep(wait).await,
                Decision::GiveUp(gave_up) => {
                    let topic = record.topic().to_owned();
                    return Err(RetryError { topic, started_at, gave_up, tried, last: attempt });
                }
            }
            waited = start.elapsed().saturating_sub(elapsed);
        }
    }
}

/// The record for the next attempt, after this many attempts that may have been written.
fn marked<'a>(record: &Record<'a>, doubts: u32) -> Record<'a> {
    if doubts == 0 {
        return record.clone();
    }
    let mark = Header::owned(POSSIBLE_DUPLICATE, doubts.to_string());
    record.clone().without_header(POSSIBLE_DUPLICATE).with_header(mark)
}

/// A random number from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn chance() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

fn log(attempt: &Attempt, decision: &Decision) {
    tracing::debug!(%attempt, ?decision, "attempt failed");
}

/// A record that was delivered.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The acknowledgement.
    pub ack: Ack,
    /// When the successful attempt began, counted from the start of the first.
    pub at: Duration,
    /// How long the wait before that attempt was.
    pub waited: Duration,
    /// The failed attempts before it.
    pub tried: Vec<Attempt>,
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The attempt's number; the first is 1.
    pub number: u32,
    /// How long the wait before it was.
    pub waited: Duration,
    /// When it began, counted from the start of the first.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// How it failed.
    pub failure: Failure,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, waited, at, took, failure } = self;
        write!(f, "attempt {number} at {} ms", at.as_millis())?;
        if !waited.is_zero() {
            write!(f, " (waited {} ms)", waited.as_millis())?;
        }
        let (code, persisted) = (failure.code(), failure.persisted());
        write!(f, ": {} {code} after {} ms, {persisted}", failure.type_name(), took.as_millis())
    }
}

/// A record that was not delivered, and its attempts.
#[derive(Clone, Debug)]
pub struct RetryError {
    topic: String,
    started_at: SystemTime,
    gave_up: GaveUp,
    tried: Vec<Attempt>,
    last: Attempt,
}

impl RetryError {
    /// Every attempt, in order.
    #[must_use]
    pub fn tried(&self) -> &[Attempt] {
        &self.tried
    }

    /// How the last attempt failed.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.last.failure
    }

    /// Why there was no further attempt.
    #[must_use]
    pub fn gave_up(&self) -> GaveUp {
        self.gave_up
    }

    /// Whether the record or a permission is the cause, so that the record belongs in a dead-letter topic.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.gave_up == GaveUp::Fatal
    }

    /// Whether any attempt may have been written.
    #[must_use]
    pub fn persisted(&self) -> Persisted {
        let unknown = self.tried.iter().any(|attempt| attempt.failure.persisted() == Persisted::Unknown);
        if unknown { Persisted::Unknown } else { Persisted::No }
    }

    /// The time from the start of the first attempt to the end of the last.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.last.at.saturating_add(self.last.took)
    }

    /// The report for a dead letter.
    #[must_use]
    pub fn report(&self) -> FailureReport<'_> {
        let failed = |attempt: &Attempt| {
            let after = attempt.at.saturating_add(attempt.took);
            self.started_at.checked_add(after).unwrap_or(self.started_at)
        };
        FailureReport {
            failure: &self.last.failure,
            attempts: self.last.number,
            first_failed_at: self.tried.first().map_or(self.started_at, failed),
            last_failed_at: failed(&self.last),
            persisted: self.persisted(),
        }
    }
}

impl fmt::Display for RetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attempts, ms) = (self.last.number, self.elapsed().as_millis());
        let times = if attempts == 1 { "attempt" } else { "attempts" };
        // An invalid topic name may have any length and content.
        let topic = self.topic.escape_debug().take(256).collect::<String>();
        write!(
            f,
            "record for {topic} given up after {attempts} {times} in {ms} ms ({}): {}",
            self.persisted(),
            self.gave_up
        )?;
        for attempt in &self.tried {
            write!(f, "; {attempt}")?;
        }
        write!(f, "; {}", self.last.failure)
    }
}

impl std::error::Error for RetryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.last.failure)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use milena::{ErrorCode, SendError};

    use super::*;
    use crate::testing::{Script, refused, too_large, unknown};

    fn retry(policy: RetryPolicy) -> Retry {
        Retry::new(policy.jitter(0.0)).unwrap()
    }

    fn record() -> Record<'static> {
        Record::to("orders").key("user-1").value("nine").header("eventId", "6b1f").partition(2).timestamp(9)
    }

    /// For each attempt, when it began, the wait before it, and how long it took, in milliseconds.
    fn times(tried: &[Attempt]) -> Vec<(u128, u128, u128)> {
        tried.iter().map(|a| (a.at.as_millis(), a.waited.as_millis(), a.took.as_millis())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_fails_twice_is_delivered_at_the_third_attempt() {
        let broker = Script::failing([(5, refused()), (7, refused())]);
        let delivered = retry(RetryPolicy::new()).send(&broker, record()).await.unwrap();
        assert_eq!(delivered.ack.offset(), Some(7));
        assert_eq!(times(&delivered.tried), [(0, 0, 5), (105, 100, 7)]);
        assert_eq!((delivered.at.as_millis(), delivered.waited.as_millis()), (312, 200));
        let published = broker.published();
        assert_eq!(published.len(), 3);
        assert!(published.iter().all(|again| *again == published[0]), "the same record each time: {published:?}");
        assert_eq!((published[0].partition, published[0].timestamp), (Some(2), Some(9)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_keeps_failing_is_an_error_with_all_attempts() {
        let broker = Script::failing((0..9).map(|_| (10, refused())));
        let error = retry(RetryPolicy::new().max_attempts(4)).send(&broker, record()).await.unwrap_err();
        assert_eq!(times(error.tried()), [(0, 0, 10), (110, 100, 10), (320, 200, 10), (730, 400, 10)]);
        assert_eq!((error.gave_up(), error.persisted()), (GaveUp::AttemptsUsedUp, Persisted::No));
        assert_eq!((error.elapsed().as_millis(), error.is_fatal()), (740, false));
        assert_eq!(broker.published().len(), 4);
        let text = error.to_string();
        for part in [
            "record for orders given up after 4 attempts in 740 ms (not written): max_attempts is used up",
            "attempt 1 at 0 ms: DeliveryError::Rejected NOT_ENOUGH_REPLICAS (19) after 10 ms, not written",
            "attempt 4 at 730 ms (waited 400 ms): ",
            "min.insync.replicas",
        ] {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fatal_failure_is_returned_at_once() {
        let broker = Script::failing([(3, too_large())]);
        let error = retry(RetryPolicy::new()).send(&broker, record()).await.unwrap_err();
        assert_eq!((error.gave_up(), error.is_fatal()), (GaveUp::Fatal, true));
        assert_eq!((times(error.tried()), error.failure().code()), (vec![(0, 0, 3)], ErrorCode::MESSAGE_TOO_LARGE));
        assert_eq!(broker.published().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_may_have_been_written_is_not_sent_again_unless_the_policy_allows_it() {
        let broker = Script::failing([(500, unknown())]);
        let error = retry(RetryPolicy::new()).send(&broker, record()).await.unwrap_err();
        assert_eq!((error.gave_up(), error.persisted()), (GaveUp::MaybeWritten, Persisted::Unknown));
        assert_eq!(broker.published().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_is_sent_again_after_an_unknown_outcome_keeps_the_header_that_marks_it() {
        let broker = Script::failing([(1, refused()), (1, unknown()), (1, refused()), (1, unknown())]);
        let policy = RetryPolicy::new().max_attempts(5).resend_unknown(true);
        let own = record().header(POSSIBLE_DUPLICATE, "what a caller wrote");
        retry(policy).send(&broker, own).await.unwrap();
        let marks: Vec<_> =
            broker.published().iter().map(|p| p.header(POSSIBLE_DUPLICATE).unwrap().to_owned()).collect();
        assert_eq!(marks, ["what a caller wrote", "what a caller wrote", "1", "1", "2"]);
        let last = broker.published().pop().unwrap();
        assert_eq!(last.headers.iter().filter(|(key, _)| key == POSSIBLE_DUPLICATE).count(), 1);
        assert_eq!(last.header("eventId"), Some("6b1f"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_outcome_stays_unknown_whatever_the_last_attempt_returns() {
        let broker = Script::failing([(1, unknown()), (1, too_large())]);
        let error = retry(RetryPolicy::new().resend_unknown(true)).send(&broker, record()).await.unwrap_err();
        assert_eq!((error.gave_up(), error.persisted()), (GaveUp::Fatal, Persisted::Unknown));
        assert_eq!(error.report().persisted, Persisted::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_includes_the_time_of_the_attempts() {
        let broker = Script::failing((0..9).map(|_| (450, refused())));
        let policy = RetryPolicy::new().max_attempts(9).budget(Duration::from_secs(1));
        let error = retry(policy).send(&broker, record()).await.unwrap_err();
        assert_eq!((error.gave_up(), error.tried().len()), (GaveUp::BudgetUsedUp, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_comes_from_the_given_function() {
        let broker = Script::failing([(0, refused()), (0, refused())]);
        let retry = Retry::new(RetryPolicy::new().jitter(0.5)).unwrap().jitter_from(|| 1.0);
        let delivered = retry.send(&broker, record()).await.unwrap();
        assert_eq!(times(&delivered.tried), [(0, 0, 0), (150, 150, 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_observer_receives_every_failed_attempt_with_its_decision() {
        let observed = Arc::new(Mutex::new(Vec::new()));
        let observer = Arc::clone(&observed);
        let retry = retry(RetryPolicy::new()).observed_by(move |attempt, decision| {
            observer.lock().unwrap().push((attempt.number, *decision));
        });
        let broker = Script::failing([(0, refused()), (0, too_large())]);
        retry.send(&broker, record()).await.unwrap_err();
        let again = Decision::Resend { wait: Duration::from_millis(100), marked: false };
        assert_eq!(*observed.lock().unwrap(), [(1, again), (2, Decision::GiveUp(GaveUp::Fatal))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_that_is_dropped_while_it_waits_sends_nothing_more() {
        let broker = Script::failing([(0, refused())]);
        let retry = retry(RetryPolicy::new());
        let sent = tokio::time::timeout(Duration::from_millis(50), retry.send(&broker, record())).await;
        assert!(sent.is_err(), "it waits");
        sleep(Duration::from_secs(60)).await;
        assert_eq!(broker.published().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_report_has_the_first_and_the_last_failure() {
        let broker = Script::failing([(5, refused()), (7, too_large())]);
        let error = retry(RetryPolicy::new()).send(&broker, record()).await.unwrap_err();
        let report = error.report();
        assert_eq!((report.attempts, report.failure.code()), (2, ErrorCode::MESSAGE_TOO_LARGE));
        let between = report.last_failed_at.duration_since(report.first_failed_at).unwrap();
        assert_eq!(between, Duration::from_millis(107));
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalid_topic_name_does_not_flood_or_break_the_message() {
        let name = format!("a\n{}", "b".repeat(10_000));
        let failure = SendError::InvalidTopic { topic: "a".into(), reason: "only letters" };
        let broker = Script::failing([(0, failure.into())]);
        let error = retry(RetryPolicy::new()).send(&broker, Record::to(&name)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.len() < 1_000 && !text.contains('\n'), "{text:?}");
    }

    #[test]
    fn random_numbers_are_between_zero_and_one_and_differ() {
        let drawn: Vec<_> = (0..100).map(|_| chance()).collect();
        assert!(drawn.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(drawn.iter().any(|number| *number != drawn[0]));
    }

    #[tokio::test]
    async fn sending_with_retries_can_be_spawned() {
        let task = tokio::spawn(async {
            let broker = Script::failing([]);
            retry(RetryPolicy::new()).send(&broker, record()).await.map(|delivered| delivered.tried.len())
        });
        assert_eq!(task.await.unwrap().unwrap(), 0);
        let with_a_producer = |retry: &Retry, producer: &milena::Producer| is_send(retry.send(producer, record()));
        let _: &dyn Fn(&Retry, &milena::Producer) = &with_a_producer;
    }

    fn is_send(_: impl Send) {}
}
