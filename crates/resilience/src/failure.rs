//! One type for both moments at which a record can fail.
//!
//! In: an error of milena's. Out: what it means for the record. Pure.

use std::fmt;

use milena::{DeliveryError, ErrorCode, FailureKind, Persisted, SendError};

/// Why a record could not be sent: it was not accepted, or it was accepted and not delivered.
#[derive(Clone, Debug)]
pub enum Failure {
    /// It was not accepted.
    Send(SendError),
    /// It was accepted and could not be delivered.
    Delivery(DeliveryError),
}

impl Failure {
    /// Whether the same record could succeed if it were sent again later, unchanged.
    #[must_use]
    pub fn retriable(&self) -> bool {
        match self {
            Self::Send(error) => error.retriable(),
            Self::Delivery(error) => error.retriable(),
        }
    }

    /// Whether the record can be in the log all the same.
    #[must_use]
    pub fn persisted(&self) -> Persisted {
        match self {
            Self::Send(error) => error.persisted(),
            Self::Delivery(error) => error.persisted(),
        }
    }

    /// The Kafka error code, or the nearest one; `NONE` where there is none.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Send(error) => error.code(),
            Self::Delivery(error) => error.code(),
        }
    }

    /// Whether it is the record or a permission that is at fault: sent again, it fails again, whoever sends it, until
    /// somebody changes something. Such a record is for a dead-letter topic.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        !self.retriable() && !self.producer_is_gone()
    }

    /// Whether it is the producer that is at fault: it was closed, dropped or fenced, and sends nothing any more.
    #[must_use]
    pub fn producer_is_gone(&self) -> bool {
        match self {
            Self::Send(error) => matches!(error, SendError::Closed { .. } | SendError::Fatal { .. }),
            Self::Delivery(error) => {
                matches!(error.kind(), FailureKind::Closed | FailureKind::Abandoned | FailureKind::Fatal)
            }
        }
    }

    /// The error's type and variant, such as `SendError::TooLarge`: a name that stays, for programs to compare.
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
                // Of a later milena.
                _ => "DeliveryError::Other",
            },
        }
    }

    /// The partition that the record was for, where one had been chosen.
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
        SendError::Fatal { .. } => "SendError::Fatal",
        SendError::Serialization { .. } => "SendError::Serialization",
        SendError::Partitioner { .. } => "SendError::Partitioner",
        SendError::InvalidRecord { .. } => "SendError::InvalidRecord",
        // Of a later milena.
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
    fn every_failure_is_either_worth_another_try_or_fatal_or_the_producers() {
        for failure in every_failure() {
            let gone = failure.producer_is_gone();
            let kinds = [failure.retriable() && !gone, failure.is_fatal(), gone];
            assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "{failure:?}: {kinds:?}");
        }
    }

    #[test]
    fn every_failure_has_a_name_of_its_own() {
        let mut names: Vec<_> = every_failure().iter().map(Failure::type_name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
    }

    #[test]
    fn a_failure_says_what_the_error_below_it_says() {
        for failure in every_failure() {
            let below = match &failure {
                Failure::Send(error) => error.to_string(),
                Failure::Delivery(error) => error.to_string(),
            };
            assert_eq!(failure.to_string(), below);
        }
    }
}
