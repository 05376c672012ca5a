//! What to do with a record that failed: the strategy for each kind of failure.
//!
//! In: a [`Failure`], and how long there have been such failures. Out: a [`Strategy`]. Pure. Deliberately absent:
//! carrying it out, and the waits, which are those of a [`RetryPolicy`](crate::retry::RetryPolicy).
//!
//! | failure | examples | strategy |
//! |---|---|---|
//! | transient: certainly not written, and may succeed later | no metadata or no memory in time, too few replicas, expired before it was sent | [`RetryWithBackoff`](Strategy::RetryWithBackoff) |
//! | permanent: the record or a permission is the cause | too large, cannot be serialized, invalid topic, not authorized | [`FailFast`](Strategy::FailFast): log it, keep it as a dead letter |
//! | unknown outcome: may have been written, and may succeed later | no response in time, the connection was lost | [`CircuitBreaker`](Strategy::CircuitBreaker) |
//! | transient, for longer than 10 minutes | the brokers are down | [`StoreAndAlert`](Strategy::StoreAndAlert) |
//! | the producer is gone: closed, dropped or fenced | | [`StoreAndAlert`](Strategy::StoreAndAlert) |
//!
//! The facts are those of [`Failure`]. The first row that is true counts, in this order: the producer is gone
//! ([`producer_is_gone`](Failure::producer_is_gone)), permanent (not [`retriable`](Failure::retriable)), unknown
//! outcome ([`persisted`](Failure::persisted)), transient. So a record that a broker refuses for good is a dead letter
//! also if an earlier attempt may have been written; the letter says so. `UNKNOWN_SERVER_ERROR` is permanent, as in
//! Java: its name says that the cause is unknown, not the outcome. A topic that does not exist is transient, because it
//! can be created.
//!
//! A broker that is offline mostly leaves transient failures behind. Only records that were on their way when it went
//! have an unknown outcome.

use std::time::Duration;

use milena::Persisted;

use crate::Failure;

/// After how long a transient failure is not waited for any more: 10 minutes.
pub const LONG: Duration = Duration::from_secs(10 * 60);

/// What to do with a record that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Send it again after a wait, which [`Retry`](crate::retry::Retry) does.
    RetryWithBackoff,
    /// Log it, and keep it as a dead letter, which [`DeadLetters`](crate::dead_letter::DeadLetters) does. It would fail
    /// again.
    FailFast,
    /// Tell the circuit breaker, which stops sending if there are many such failures. Send the record again only if
    /// consumers recognise duplicates (see
    /// [`RetryPolicy::resend_unknown`](crate::retry::RetryPolicy::resend_unknown)).
    CircuitBreaker,
    /// Store the record outside of Kafka, and alert an operator. A dead-letter topic would be in the same cluster.
    StoreAndAlert,
}

impl Strategy {
    /// The strategy for a failure. `lasted` is the time since the first of such failures without a success between
    /// them, and `long` the time after which a transient failure is not waited for any more, such as [`LONG`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use milena::{DeliveryError, ErrorCode, FailureKind};
    /// use milena_resilience::strategy::{LONG, Strategy};
    ///
    /// let refused = DeliveryError::of(FailureKind::Rejected, "orders", 0).with_code(ErrorCode::NOT_ENOUGH_REPLICAS);
    /// let strategy = |minutes: u64| Strategy::of(&refused.clone().into(), Duration::from_secs(60 * minutes), LONG);
    /// assert_eq!(strategy(1), Strategy::RetryWithBackoff);
    /// assert_eq!(strategy(11), Strategy::StoreAndAlert);
    /// ```
    #[must_use]
    pub fn of(failure: &Failure, lasted: Duration, long: Duration) -> Self {
        if failure.producer_is_gone() || failure.is_kept_out() {
            Self::StoreAndAlert
        } else if !failure.retriable() {
            Self::FailFast
        } else if failure.persisted() == Persisted::Unknown {
            Self::CircuitBreaker
        } else if lasted > long {
            Self::StoreAndAlert
        } else {
            Self::RetryWithBackoff
        }
    }
}

#[cfg(test)]
mod tests {
    use milena::{ErrorCode, FailureKind, SendError, WaitedFor};

    use super::{
        Strategy::{CircuitBreaker, FailFast, RetryWithBackoff, StoreAndAlert},
        *,
    };
    use crate::testing::{delivery, every_failure};

    const SECOND: Duration = Duration::from_secs(1);

    /// The strategies after exactly 10 minutes, and after a moment more.
    fn strategies(failure: &Failure) -> [Strategy; 2] {
        [LONG, LONG + Duration::from_nanos(1)].map(|lasted| Strategy::of(failure, lasted, LONG))
    }

    #[test]
    fn every_error_of_send_has_its_strategy_before_and_after_ten_minutes() {
        let transient = [RetryWithBackoff, StoreAndAlert];
        let expected = [
            ("SendError::Closed", [StoreAndAlert; 2]),
            ("SendError::QueueFull", transient),
            ("SendError::NotReady", transient),
            ("SendError::Timeout", transient),
            ("SendError::UnknownTopic", transient),
            ("SendError::TooLarge", [FailFast; 2]),
            ("SendError::InvalidTopic", [FailFast; 2]),
            ("SendError::InvalidPartition", [FailFast; 2]),
            ("SendError::TopicRefused", [FailFast; 2]),
            ("SendError::Unauthenticated", [StoreAndAlert; 2]),
            ("SendError::Fatal", [StoreAndAlert; 2]),
            ("SendError::Serialization", [FailFast; 2]),
            ("SendError::Partitioner", [FailFast; 2]),
            ("SendError::InvalidRecord", [FailFast; 2]),
        ];
        let sends = every_failure().into_iter().filter(|failure| matches!(failure, Failure::Send(_)));
        assert_eq!(sends.map(|failure| (failure.type_name(), strategies(&failure))).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_kind_of_failed_delivery_has_its_strategy_whether_it_may_have_been_written_or_not() {
        use FailureKind::{Abandoned, Closed, Expired, Fatal, Rejected};
        let (transient, unknown) = ([RetryWithBackoff, StoreAndAlert], [CircuitBreaker; 2]);
        // Kind, retriable, the strategies if not written, the strategies if it may have been.
        for (kind, retriable, not_written, maybe_written) in [
            (Rejected, true, transient, unknown),
            (Rejected, false, [FailFast; 2], [FailFast; 2]),
            (Expired, true, transient, unknown),
            (Expired, false, [FailFast; 2], [FailFast; 2]),
            (Closed, true, [StoreAndAlert; 2], [StoreAndAlert; 2]),
            (Closed, false, [StoreAndAlert; 2], [StoreAndAlert; 2]),
            (Abandoned, true, [StoreAndAlert; 2], [StoreAndAlert; 2]),
            (Abandoned, false, [StoreAndAlert; 2], [StoreAndAlert; 2]),
            (Fatal, true, [StoreAndAlert; 2], [StoreAndAlert; 2]),
            (Fatal, false, [StoreAndAlert; 2], [StoreAndAlert; 2]),
        ] {
            for (persisted, expected) in [(Persisted::No, not_written), (Persisted::Unknown, maybe_written)] {
                let failure = delivery(kind, ErrorCode::NONE, persisted, retriable);
                assert_eq!(strategies(&failure), expected, "{kind}, retriable: {retriable}, {persisted}");
            }
        }
    }

    #[test]
    fn every_error_code_of_a_broker_has_its_strategy() {
        // Those of Java's producer (`RetriableException`), and BROKER_NOT_AVAILABLE.
        let retriable = [
            2, 3, 5, 6, 7, 8, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83, 84, 88, 89, 100,
            103, 106, 122, 123, 133,
        ];
        for code in -1..=133 {
            let refused = |persisted| {
                let error = milena::DeliveryError::of(FailureKind::Rejected, "orders", 2).with_code(ErrorCode(code));
                strategies(&error.with_persisted(persisted).into())
            };
            let (not_written, maybe_written) = if retriable.contains(&code) {
                ([RetryWithBackoff, StoreAndAlert], [CircuitBreaker; 2])
            } else {
                ([FailFast; 2], [FailFast; 2])
            };
            assert_eq!(refused(Persisted::No), not_written, "{}", ErrorCode(code));
            assert_eq!(refused(Persisted::Unknown), maybe_written, "{}", ErrorCode(code));
        }
    }

    #[test]
    fn the_code_of_an_error_of_send_changes_nothing() {
        for code in (-1..=133).map(ErrorCode) {
            let timeout = SendError::Timeout {
                topic: "orders".into(),
                waited_for: WaitedFor::Metadata,
                elapsed: SECOND,
                code,
                cause: None,
            };
            assert_eq!(strategies(&timeout.into()), [RetryWithBackoff, StoreAndAlert], "{code}");
            let refused = SendError::TopicRefused { topic: "orders".into(), code, reason: "refused".into() };
            assert_eq!(strategies(&refused.into()), [FailFast; 2], "{code}");
            let fatal = SendError::Fatal { topic: "orders".into(), code, reason: "fenced".into() };
            assert_eq!(strategies(&fatal.into()), [StoreAndAlert; 2], "{code}");
        }
    }

    #[test]
    fn what_counts_as_long_can_be_chosen() {
        let full: Failure = SendError::NotReady { topic: "orders".into() }.into();
        let after = |lasted, long| Strategy::of(&full, lasted, long);
        assert_eq!(after(Duration::ZERO, Duration::ZERO), RetryWithBackoff);
        assert_eq!(after(2 * SECOND, SECOND), StoreAndAlert);
        assert_eq!(after(Duration::MAX, Duration::MAX), RetryWithBackoff, "it is waited for without end");
    }
}
