//! One type for both ways in which a record can fail.
//!
//! In: an error of milena. Out: whether the record can be sent again, and whether it may be in the log. Pure.

use std::fmt;

use milena::{DeliveryError, ErrorCode, FailureKind, Persisted, SendError};

/// Why a record could not be sent.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The record was not accepted.
    Send(SendError),
    /// The record was accepted, and could not be delivered.
    Delivery(DeliveryError),
}

impl Failure {
    /// Whether the same record may succeed if it is sent again later.
    #[must_use]
    pub fn retriable(&self) -> bool {
        match self {
            Self::Send(error) => error.retriable(),
            Self::Delivery(error) => error.retriable(),
        }
    }

    /// Whether the record may be in the log.
    #[must_use]
    pub fn persisted(&self) -> Persisted {
        match self {
            Self::Send(error) => error.persisted(),
            Self::Delivery(error) => error.persisted(),
        }
    }

    /// The Kafka error code, or the nearest one; `NONE` if there is none.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Send(error) => error.code(),
            Self::Delivery(error) => error.code(),
        }
    }

    /// Whether the record or a permission is the cause. Such a record fails with every producer until the cause is
    /// removed, so it belongs in a dead-letter topic.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        !self.retriable() && !self.producer_is_gone() && !self.is_kept_out()
    }

    /// Whether the producer is the cause: it was closed, dropped or fenced, and sends nothing more.
    #[must_use]
    pub fn producer_is_gone(&self) -> bool {
        match self {
            Self::Send(error) => matches!(error, SendError::Closed { .. } | SendError::Fatal { .. }),
            Self::Delivery(error) => {
                matches!(error.kind(), FailureKind::Closed | FailureKind::Abandoned | FailureKind::Fatal)
            }
        }
    }

    /// Whether no broker lets the client in: its user name, password or mechanism is wrong. The record is not to blame, and an operator has to act.
    #[must_use]
    pub fn is_kept_out(&self) -> bool {
        matches!(self, Self::Send(SendError::Unauthenticated { .. }))
    }

    /// The error's type and variant, such as `SendError::TooLarge`. Programs can compare it, because it does not
    /// change.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Send(error) => send_error_name(error),
            Self::Delivery(error) => match error.kind() {
                FailureKind::Rejected => "DeliveryError::Rejected",
                FailureKind::Expired => "DeliveryError::Expired",
                FailureKind::Closed => "DeliveryError::Closed",
                FailureKind::Abandoned => "DeliveryError::Abandoned",
                FailureKind::Fatal => "DeliveryError::Fatal",
                // A variant of a later milena.
                _ => "DeliveryError::Other",
            },
        }
    }

    /// The record's partition, if one was chosen.
    #[must_use]
    pub fn partition(&self) -> Option<i32> {
        match self {
            Self::Send(SendError::InvalidPartition { partition, .. }) => Some(*partition),
            Self::Send(_) => None,
            Self::Delivery(error) => Some(error.partition()),
        }
    }
}

fn send_error_name(error: &SendError) -> &'static str {
    match error {
        SendError::Closed { .. } => "SendError::Closed",
        SendError::QueueFull { .. } => "SendError::QueueFull",
        SendError::NotReady { .. } => "SendError::NotReady",
        SendError::Timeout { .. } => "SendError::Timeout",
        SendError::UnknownTopic { .. } => "SendError::UnknownTopic",
        SendError::TooLarge { .. } => "SendError::TooLarge",
        SendError::InvalidTopic { .. } => "SendError::InvalidTopic",
        SendError::InvalidPartition { .. } => "SendError::InvalidPartition",
        SendError::TopicRefused { .. } => "SendError::TopicRefused",
        SendError::Unauthenticated { .. } => "SendError::Unauthenticated",
        SendError::Fatal { .. } => "SendError::Fatal",
        SendError::Serialization { .. } => "SendError::Serialization",
        SendError::Partitioner { .. } => "SendError::Partitioner",
        SendError::InvalidRecord { .. } => "SendError::InvalidRecord",
        // A variant of a later milena.
        _ => "SendError::Other",
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(error) => error.fmt(f),
            Self::Delivery(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl From<DeliveryError> for Failure {
    fn from(error: DeliveryError) -> Self {
        Self::Delivery(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::every_failure;

    #[test]
    fn every_failure_is_either_retriable_or_fatal_or_caused_by_the_producer_or_by_who_it_is() {
        for failure in every_failure() {
            let gone = failure.producer_is_gone();
            let kinds = [failure.retriable() && !gone, failure.is_fatal(), gone, failure.is_kept_out()];
            assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "{failure:?}: {kinds:?}");
        }
    }

    #[test]
    fn every_failure_has_a_different_name() {
        let mut names: Vec<_> = every_failure().iter().map(Failure::type_name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
    }

    #[test]
    fn a_failure_has_the_facts_and_the_text_of_its_error() {
        for failure in every_failure() {
            let below = match &failure {
                Failure::Send(error) => error.to_string(),
                Failure::Delivery(error) => error.to_string(),
            };
            assert_eq!(failure.to_string(), below);
        }
    }
}
