//! Sending a record again when sending it failed, within one budget.
//!
//! In: a record, a [`Publish`]er, a [`RetryPolicy`]. Out: its acknowledgement, or a [`RetryError`] that says what was tried.
//! Awaits; the decision is [`RetryPolicy::decide`], which is pure. Deliberately absent: storage. A record is in memory while
//! it waits, and is the caller's again when it is given up.
//!
//! # One budget
//!
//! A producer sends again by itself, for up to `delivery.timeout.ms`, and with idempotence it may, without writing anything
//! twice. That is the layer that should do it. A loop around it multiplies: three attempts with the producer's defaults can
//! take six minutes and, without idempotence, write a record many times. So [`RetryPolicy::budget`] covers both: it is
//! counted from the first attempt, and no attempt begins after it. With the defaults, two minutes each, this loop sends
//! again what failed early (no room in `buffer.memory`, no metadata within `max.block.ms`, innocent batch-mates of an
//! invalid record) and leaves alone what the producer tried for its whole time. The longest that [`Retry::send`] takes is
//! the budget, `max.block.ms` and `delivery.timeout.ms` together. Have one such loop, not one in each layer.
//!
//! # Repetitions
//!
//! An attempt that ended as [`Persisted::Unknown`] may stand in the log. Sent again, it is a new record to the broker,
//! whether or not the producer is idempotent. Unless [`RetryPolicy::resend_unknown`] allows it, such a record is given up.
//! If it does, the new attempt has the header [`POSSIBLE_DUPLICATE`], and consumers must look for the event's id, such as
//! in a header `eventId`, among those that they have seen. A record that is sent again stands behind those that were sent
//! meanwhile: order is lost.

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

/// Name of the header that a record gets when it is sent again although an earlier attempt may have been written. Its value
/// is the number of such attempts, in decimal. A consumer that finds it must expect that it has seen the event before; one
/// that finds an event without it may have the event again later all the same.
pub const POSSIBLE_DUPLICATE: &str = "possibleDuplicate";

/// Sends records again as a [`RetryPolicy`] has it.
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
    /// Follows a policy; jitter is drawn from the process's own randomness, and each failed attempt is logged at `DEBUG`.
    ///
    /// # Errors
    /// All that makes the policy impossible.
    pub fn new(policy: RetryPolicy) -> Result<Self, InvalidPolicy> {
        policy.check()?;
        Ok(Self { policy, chance: Box::new(chance), observer: Box::new(log) })
    }

    /// Draws jitter from `chance`, which gives numbers from 0 to 1: for tests, and for runs that are to be repeated.
    #[must_use]
    pub fn jitter_from(mut self, chance: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.chance = Box::new(chance);
        self
    }

    /// Tells `observer`, instead of the log, of each attempt that failed and of what is done about it.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Fn(&Attempt, &Decision) + Send + Sync + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Sends a record, and again where the policy says so.
    ///
    /// # Errors
    /// What was tried, and why it is not tried again.
    ///
    /// # Panics
    /// When it has to wait before another attempt and there is no tokio runtime with time enabled. A test may pause that time.
    ///
    /// # Cancel safety
    /// If the future is dropped while an attempt is on its way, that attempt goes on and the record may be written; while it
    /// waits, the record is not sent again. What was tried is not told then.
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

/// The record as it is sent next, after so many attempts that may have been written.
fn marked<'a>(record: &Record<'a>, doubts: u32) -> Record<'a> {
    if doubts == 0 {
        return record.clone();
    }
    let mark = Header::owned(POSSIBLE_DUPLICATE, doubts.to_string());
    record.clone().without_header(POSSIBLE_DUPLICATE).with_header(mark)
}

/// A number from 0 to 1 that nobody can foresee.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn chance() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

fn log(attempt: &Attempt, decision: &Decision) {
    tracing::debug!(%attempt, ?decision, "attempt failed");
}

/// A record that was delivered in the end.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Where it stands.
    pub ack: Ack,
    /// When the attempt began that delivered it, counted from when the first did.
    pub at: Duration,
    /// How long was waited before that attempt.
    pub waited: Duration,
    /// The attempts that failed before.
    pub tried: Vec<Attempt>,
}

/// One attempt that failed.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// How long was waited before it.
    pub waited: Duration,
    /// When it began, counted from when the first did.
    pub at: Duration,
    /// How long it took to fail.
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

/// A record that was given up, and what was tried.
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

    /// Whether the record or a permission is at fault, so that the record is for a dead-letter topic.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.gave_up == GaveUp::Fatal
    }

    /// Whether any of the attempts may have been written.
    #[must_use]
    pub fn persisted(&self) -> Persisted {
        let unknown = self.tried.iter().any(|attempt| attempt.failure.persisted() == Persisted::Unknown);
        if unknown { Persisted::Unknown } else { Persisted::No }
    }

    /// Time from the beginning of the first attempt to the end of the last.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.last.at.saturating_add(self.last.took)
    }

    /// What a dead letter tells of it.
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
        // A name that no topic can have may be anything.
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

    /// When each attempt began, how long was waited before it, and how long it took, in milliseconds.
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
    async fn a_record_that_goes_on_failing_is_given_up_with_all_that_was_tried() {
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
    async fn a_fatal_failure_is_told_at_once() {
        let broker = Script::failing([(3, too_large())]);
        let error = retry(RetryPolicy::new()).send(&broker, record()).await.unwrap_err();
        assert_eq!((error.gave_up(), error.is_fatal()), (GaveUp::Fatal, true));
        assert_eq!((times(error.tried()), error.failure().code()), (vec![(0, 0, 3)], ErrorCode::MESSAGE_TOO_LARGE));
        assert_eq!(broker.published().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_may_have_been_written_is_given_up_unless_the_policy_says_otherwise() {
        let broker = Script::failing([(500, unknown())]);
        let error = retry(RetryPolicy::new()).send(&broker, record()).await.unwrap_err();
        assert_eq!((error.gave_up(), error.persisted()), (GaveUp::MaybeWritten, Persisted::Unknown));
        assert_eq!(broker.published().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_is_sent_again_after_an_unknown_outcome_says_so_from_then_on() {
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
    async fn once_unknown_always_unknown_whatever_the_last_attempt_says() {
        let broker = Script::failing([(1, unknown()), (1, too_large())]);
        let error = retry(RetryPolicy::new().resend_unknown(true)).send(&broker, record()).await.unwrap_err();
        assert_eq!((error.gave_up(), error.persisted()), (GaveUp::Fatal, Persisted::Unknown));
        assert_eq!(error.report().persisted, Persisted::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_counts_what_the_attempts_take() {
        let broker = Script::failing((0..9).map(|_| (450, refused())));
        let policy = RetryPolicy::new().max_attempts(9).budget(Duration::from_secs(1));
        let error = retry(policy).send(&broker, record()).await.unwrap_err();
        assert_eq!((error.gave_up(), error.tried().len()), (GaveUp::BudgetUsedUp, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_comes_from_where_it_was_asked_to_come_from() {
        let broker = Script::failing([(0, refused()), (0, refused())]);
        let retry = Retry::new(RetryPolicy::new().jitter(0.5)).unwrap().jitter_from(|| 1.0);
        let delivered = retry.send(&broker, record()).await.unwrap();
        assert_eq!(times(&delivered.tried), [(0, 0, 0), (150, 150, 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_observer_hears_of_every_attempt_that_failed_and_of_what_comes_next() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        let retry = retry(RetryPolicy::new()).observed_by(move |attempt, decision| {
            told.lock().unwrap().push((attempt.number, *decision));
        });
        let broker = Script::failing([(0, refused()), (0, too_large())]);
        retry.send(&broker, record()).await.unwrap_err();
        let again = Decision::Resend { wait: Duration::from_millis(100), marked: false };
        assert_eq!(*heard.lock().unwrap(), [(1, again), (2, Decision::GiveUp(GaveUp::Fatal))]);
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
    async fn the_report_tells_the_first_and_the_last_failure() {
        let broker = Script::failing([(5, refused()), (7, too_large())]);
        let error = retry(RetryPolicy::new()).send(&broker, record()).await.unwrap_err();
        let report = error.report();
        assert_eq!((report.attempts, report.failure.code()), (2, ErrorCode::MESSAGE_TOO_LARGE));
        let between = report.last_failed_at.duration_since(report.first_failed_at).unwrap();
        assert_eq!(between, Duration::from_millis(107));
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_is_no_name_at_all_does_not_flood_or_break_the_message() {
        let name = format!("a\n{}", "b".repeat(10_000));
        let failure = SendError::InvalidTopic { topic: "a".into(), reason: "only letters" };
        let broker = Script::failing([(0, failure.into())]);
        let error = retry(RetryPolicy::new()).send(&broker, Record::to(&name)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.len() < 1_000 && !text.contains('\n'), "{text:?}");
    }

    #[test]
    fn chance_stays_between_nought_and_one_and_differs() {
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
