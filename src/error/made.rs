//! Constructors of delivery errors, for tests of code that receives them.
//!
//! In: facts. Out: a [`DeliveryError`] like those of the producer. Pure. Deliberately absent: constructors of
//! [`SendError`](super::SendError), whose variants are public.

use std::{sync::Arc, time::Duration};

use super::{DeliveryError, DeliveryFailure, ErrorCode, FailureKind, Persisted};

impl DeliveryError {
    /// An error of a record of this topic-partition. The record was never sent and is certainly not written. The code is
    /// `REQUEST_TIMED_OUT` for [`Expired`](FailureKind::Expired), `UNKNOWN_SERVER_ERROR` for [`Rejected`](FailureKind::Rejected),
    /// `PRODUCER_FENCED` for [`Fatal`](FailureKind::Fatal), else `NONE`. The error is retriable unless it is rejected or fatal.
    ///
    /// ```
    /// use milena::{DeliveryError, FailureKind, Persisted};
    ///
    /// let error = DeliveryError::of(FailureKind::Expired, "orders", 0).with_persisted(Persisted::Unknown).with_attempts(3);
    /// assert!(error.retriable());
    /// assert!(error.to_string().starts_with("record for orders-0 expired with REQUEST_TIMED_OUT"));
    /// ```
    #[must_use]
    pub fn of(kind: FailureKind, topic: &str, partition: i32) -> Self {
        let code = match kind {
            FailureKind::Rejected => ErrorCode::UNKNOWN_SERVER_ERROR,
            FailureKind::Expired => ErrorCode::REQUEST_TIMED_OUT,
            FailureKind::Fatal => ErrorCode::PRODUCER_FENCED,
            FailureKind::Closed | FailureKind::Abandoned => ErrorCode::NONE,
        };
        Self::new(DeliveryFailure {
            kind,
            code,
            persisted: Persisted::No,
            retriable: is_retriable(kind, code),
            topic: Arc::from(topic),
            partition,
            broker: None,
            attempts: 0,
            elapsed: Duration::ZERO,
            cause: None,
            advice: None,
        })
    }

    /// The same error with another code. A rejection is retriable if and only if its code is.
    #[must_use]
    pub fn with_code(self, code: ErrorCode) -> Self {
        let retriable = is_retriable(self.kind(), code);
        self.changed(|failure| (failure.code, failure.retriable) = (code, retriable))
    }

    /// The same error, retriable or not.
    #[must_use]
    pub fn with_retriable(self, retriable: bool) -> Self {
        self.changed(|failure| failure.retriable = retriable)
    }

    /// The same error of a record that is certainly not written, or may be.
    #[must_use]
    pub fn with_persisted(self, persisted: Persisted) -> Self {
        self.changed(|failure| failure.persisted = persisted)
    }

    /// The same error of a record of another topic-partition.
    #[must_use]
    pub fn with_place(self, topic: &str, partition: i32) -> Self {
        self.changed(|failure| (failure.topic, failure.partition) = (Arc::from(topic), partition))
    }

    /// The same error from this broker.
    #[must_use]
    pub fn with_broker(self, broker: i32) -> Self {
        self.changed(|failure| failure.broker = Some(broker))
    }

    /// The same error after this number of attempts.
    #[must_use]
    pub fn with_attempts(self, attempts: u32) -> Self {
        self.changed(|failure| failure.attempts = attempts)
    }

    /// The same error after this time.
    #[must_use]
    pub fn with_elapsed(self, elapsed: Duration) -> Self {
        self.changed(|failure| failure.elapsed = elapsed)
    }

    /// The same error with the message of the last attempt.
    #[must_use]
    pub fn with_cause(self, cause: impl Into<String>) -> Self {
        self.changed(|failure| failure.cause = Some(cause.into()))
    }

    fn changed(mut self, change: impl FnOnce(&mut DeliveryFailure)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

/// Whether the sender calls such a failure retriable.
fn is_retriable(kind: FailureKind, code: ErrorCode) -> bool {
    match kind {
        FailureKind::Rejected => code.retriable(),
        FailureKind::Fatal => false,
        FailureKind::Expired | FailureKind::Closed | FailureKind::Abandoned => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_code_and_the_hope_that_the_producer_gives_it() {
        for (kind, code, retriable) in [
            (FailureKind::Rejected, ErrorCode::UNKNOWN_SERVER_ERROR, false),
            (FailureKind::Expired, ErrorCode::REQUEST_TIMED_OUT, true),
            (FailureKind::Closed, ErrorCode::NONE, true),
            (FailureKind::Abandoned, ErrorCode::NONE, true),
            (FailureKind::Fatal, ErrorCode::PRODUCER_FENCED, false),
        ] {
            let error = DeliveryError::of(kind, "t", 1);
            assert_eq!((error.kind(), error.code(), error.retriable()), (kind, code, retriable));
            assert_eq!((error.persisted(), error.attempts()), (Persisted::No, 0));
        }
    }

    #[test]
    fn every_fact_can_be_another_one_and_a_clone_keeps_its_own() {
        let error = DeliveryError::of(FailureKind::Rejected, "t", 1);
        let other = error
            .clone()
            .with_code(ErrorCode::NOT_ENOUGH_REPLICAS)
            .with_persisted(Persisted::Unknown)
            .with_place("u", 2)
            .with_broker(3)
            .with_attempts(4)
            .with_elapsed(Duration::from_millis(5))
            .with_cause("too few");
        assert_eq!((other.code(), other.retriable()), (ErrorCode::NOT_ENOUGH_REPLICAS, true));
        assert_eq!((other.persisted(), other.topic(), other.partition()), (Persisted::Unknown, "u", 2));
        assert_eq!((other.broker(), other.attempts(), other.elapsed().as_millis()), (Some(3), 4, 5));
        assert_eq!(other.cause(), Some("too few"));
        assert!(!other.with_retriable(false).retriable());
        assert_eq!((error.topic(), error.persisted()), ("t", Persisted::No));
    }
}
