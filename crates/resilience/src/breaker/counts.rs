//! Which failures speak of Kafka, and which of the caller.
//!
//! In: a [`Failure`]. Out: whether a circuit breaker counts it. Pure, and total: codes that are not known count as
//! milena's error table reads them, as `UNKNOWN_SERVER_ERROR`.

use milena::{DeliveryError, ErrorCode, FailureKind, SendError};

use crate::Failure;

/// The codes that count as failures, in the order of the table of [`Counts`].
const OF_KAFKA: [ErrorCode; 31] = [
    ErrorCode::REQUEST_TIMED_OUT,
    ErrorCode::NETWORK_EXCEPTION,
    ErrorCode::LEADER_NOT_AVAILABLE,
    ErrorCode::NOT_LEADER_OR_FOLLOWER,
    ErrorCode::BROKER_NOT_AVAILABLE,
    ErrorCode::REPLICA_NOT_AVAILABLE,
    ErrorCode::LISTENER_NOT_FOUND,
    ErrorCode::FENCED_LEADER_EPOCH,
    ErrorCode::UNKNOWN_LEADER_EPOCH,
    ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
    ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
    ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode::COORDINATOR_NOT_AVAILABLE,
    ErrorCode::NOT_COORDINATOR,
    ErrorCode::NOT_CONTROLLER,
    ErrorCode::NOT_ENOUGH_REPLICAS,
    ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ErrorCode::UNKNOWN_SERVER_ERROR,
    ErrorCode::KAFKA_STORAGE_ERROR,
    ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
    ErrorCode::INVALID_PRODUCER_EPOCH,
    ErrorCode::INVALID_PRODUCER_ID_MAPPING,
    ErrorCode::UNKNOWN_PRODUCER_ID,
    ErrorCode::THROTTLING_QUOTA_EXCEEDED,
    ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
    ErrorCode::UNSUPPORTED_SASL_MECHANISM,
    ErrorCode::ILLEGAL_SASL_STATE,
    ErrorCode::UNSUPPORTED_VERSION,
    ErrorCode::SASL_AUTHENTICATION_FAILED,
    ErrorCode::INCONSISTENT_CLUSTER_ID,
    ErrorCode::REBOOTSTRAP_REQUIRED,
];

/// What a failure means to a circuit breaker.
///
/// A breaker stands for a cluster, so it counts what says that the cluster does not take records. What the caller did
/// wrong, or what is wrong with one topic, would fail on a healthy cluster too. It counts as nothing, which is neither a
/// failure nor a success: it does not end a row of failures, and in HALF_OPEN its place is free again.
///
/// # Records that were not accepted
///
/// | [`SendError`] | counts as | because |
/// |---|---|---|
/// | `QueueFull` | failure | records leave `buffer.memory` more slowly than they come |
/// | `Timeout` | failure | no metadata or no memory came within `max.block.ms` |
/// | `Unauthenticated` | failure | no broker lets the program in, and nothing gets through until somebody acts |
/// | `Closed`, `Fatal` | nothing | this producer is gone, not the cluster |
/// | `NotReady` | nothing | `try_send` finds each new topic so, and says it at once |
/// | `UnknownTopic`, `InvalidTopic`, `TopicRefused` | nothing | the cluster answered; it is about one topic |
/// | `InvalidPartition`, `TooLarge`, `Serialization`, `Partitioner`, `InvalidRecord` | nothing | the record or the program is the cause |
///
/// A variant of a later milena counts as a failure if it is retriable.
///
/// # Records that were not delivered
///
/// | [`FailureKind`] | counts as | because |
/// |---|---|---|
/// | `Rejected`, `Expired` | by its code | the last response, or its absence, is the cause |
/// | `Closed`, `Abandoned`, `Fatal` | nothing | this producer is gone, not the cluster |
///
/// A kind of a later milena counts by its code.
///
/// # Codes
///
/// | [`ErrorCode`] | counts as | because |
/// |---|---|---|
/// | 7, 13 | failure | no response came: a timeout, or a lost connection |
/// | 5, 6, 8, 9, 72, 74, 75, 80, 83 | failure | a leader or replica is not there, or has moved, for longer than the producer retried |
/// | 14, 15, 16, 41 | failure | a coordinator or the controller is not there |
/// | 19, 20 | failure | too few replicas are in sync |
/// | -1, 56 | failure | a broker or its disk failed |
/// | 45, 47, 49, 59 | failure | brokers lost what they knew of the producer |
/// | 89 | failure | the cluster asks for less |
/// | 31, 33, 34, 35, 58, 104, 129 | failure | the whole cluster refuses this client, or is another one |
/// | 0, 46 | nothing | no error: the record is written |
/// | 2, 10, 18, 32, 87 | nothing | the record or its batch is the cause |
/// | 3, 17, 29, 43, 100, 103 | nothing | it is about one topic |
/// | 21, 42, 44, 53, 76, 90 | nothing | this client's settings or its identity are the cause |
/// | 1, 4, 11, 12, 22-28, 30, 36-40, 48, 50-52, 54, 55, 57, 60-71, 73, 77-79, 81, 82, 84-86, 88, 91-99, 101, 102, 105-128, 130-133 | nothing | no response to a producer has it: consumers, groups, shares, transactions, administration, brokers among themselves |
///
/// ```
/// use milena::{DeliveryError, ErrorCode, FailureKind};
/// use milena_resilience::{Failure, breaker::Counts};
///
/// let rejected = |code| Failure::from(DeliveryError::of(FailureKind::Rejected, "orders", 0).with_code(code));
/// assert_eq!(Counts::of(&rejected(ErrorCode::NOT_ENOUGH_REPLICAS)), Counts::Failure);
/// assert_eq!(Counts::of(&rejected(ErrorCode::MESSAGE_TOO_LARGE)), Counts::Nothing);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counts {
    /// The call failed, and Kafka is the cause.
    Failure,
    /// The call says nothing of Kafka.
    Nothing,
}

impl Counts {
    /// What this failure counts as.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Send(error) => Self::of_send(error),
            Failure::Delivery(error) => Self::of_delivery(error),
        }
    }

    fn of_send(error: &SendError) -> Self {
        match error {
            SendError::QueueFull { .. } | SendError::Timeout { .. } | SendError::Unauthenticated { .. } => {
                Self::Failure
            }
            SendError::Closed { .. }
            | SendError::Fatal { .. }
            | SendError::NotReady { .. }
            | SendError::UnknownTopic { .. }
            | SendError::InvalidTopic { .. }
            | SendError::TopicRefused { .. }
            | SendError::InvalidPartition { .. }
            | SendError::TooLarge { .. }
            | SendError::Serialization { .. }
            | SendError::Partitioner { .. }
            | SendError::InvalidRecord { .. } => Self::Nothing,
            // A variant of a later milena.
            _ => Self::failure_if(error.retriable()),
        }
    }

    fn of_delivery(error: &DeliveryError) -> Self {
        match error.kind() {
            FailureKind::Closed | FailureKind::Abandoned | FailureKind::Fatal => Self::Nothing,
            // Rejected, Expired, and the kinds of a later milena.
            _ => Self::of_code(error.code()),
        }
    }

    fn of_code(code: ErrorCode) -> Self {
        // A code without a row of its own has that of UNKNOWN_SERVER_ERROR.
        Self::failure_if(OF_KAFKA.contains(&code.row().code))
    }

    fn failure_if(is_failure: bool) -> Self {
        if is_failure { Self::Failure } else { Self::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use milena::Persisted;

    use super::*;
    use crate::testing::{delivery, every_failure};

    /// The rows of the tables in the docs of `Counts`: what counts, and as what.
    fn rows() -> Vec<(String, Counts)> {
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let rows = include_str!("counts.rs").lines().filter_map(|line| line.strip_prefix("/// |")).map(cells);
        rows.filter_map(|cells| match &*cells[1] {
            "failure" => Some((cells[0].clone(), Counts::Failure)),
            "nothing" => Some((cells[0].clone(), Counts::Nothing)),
            _ => None,
        })
        .collect()
    }

    /// The codes of a cell such as `1, 22-28`.
    fn codes(cell: &str) -> Vec<i16> {
        let parts = cell.split(", ").filter_map(|part| {
            let (first, last) = part.split_once('-').filter(|(first, _)| !first.is_empty()).unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        parts.flatten().collect()
    }

    #[test]
    fn every_code_counts_as_its_row_says_and_has_one_row() {
        let mut seen = BTreeMap::new();
        for (cell, counts) in rows() {
            for code in codes(&cell) {
                assert_eq!(seen.insert(code, counts), None, "{code} has two rows");
            }
        }
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), (-1..=133).collect::<Vec<_>>());
        for (code, counts) in seen {
            for kind in [FailureKind::Rejected, FailureKind::Expired] {
                for persisted in [Persisted::No, Persisted::Unknown] {
                    let failure = delivery(kind, ErrorCode(code), persisted, true);
                    assert_eq!(Counts::of(&failure), counts, "{failure:?}");
                }
            }
        }
    }

    #[test]
    fn a_code_that_nobody_knows_is_an_unknown_error_of_a_server() {
        for code in [i16::MIN, -2, 134, i16::MAX] {
            let failure = delivery(FailureKind::Rejected, ErrorCode(code), Persisted::Unknown, false);
            assert_eq!(Counts::of(&failure), Counts::Failure, "{code}");
        }
    }

    #[test]
    fn every_failure_counts_as_the_row_of_its_variant_says() {
        // `Fatal` and `Closed` are in both tables, with the same meaning.
        let row = |variant: &str| {
            let quoted = format!("`{variant}`");
            rows().into_iter().find(|(cell, _)| cell.split(", ").any(|name| name == quoted)).map(|(_, counts)| counts)
        };
        for failure in every_failure() {
            let (_, variant) = failure.type_name().split_once("::").unwrap();
            let expected = match variant {
                // By its code: MESSAGE_TOO_LARGE and REQUEST_TIMED_OUT.
                "Rejected" => Counts::Nothing,
                "Expired" => Counts::Failure,
                _ => row(variant).unwrap_or_else(|| panic!("{variant} has no row")),
            };
            assert_eq!(Counts::of(&failure), expected, "{variant}");
        }
    }

    #[test]
    fn a_producer_that_is_gone_says_nothing_of_kafka_whatever_its_code() {
        for kind in [FailureKind::Closed, FailureKind::Abandoned, FailureKind::Fatal] {
            for code in -1..=133 {
                let failure = delivery(kind, ErrorCode(code), Persisted::Unknown, true);
                assert_eq!(Counts::of(&failure), Counts::Nothing, "{kind} {code}");
            }
        }
    }

    #[test]
    fn what_kafka_does_and_what_the_caller_does_are_told_apart() {
        let of = |code| Counts::of(&delivery(FailureKind::Rejected, code, Persisted::No, false));
        for code in [
            ErrorCode::NETWORK_EXCEPTION,
            ErrorCode::REQUEST_TIMED_OUT,
            ErrorCode::NOT_ENOUGH_REPLICAS,
            ErrorCode::COORDINATOR_NOT_AVAILABLE,
            ErrorCode::LEADER_NOT_AVAILABLE,
            ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        ] {
            assert_eq!(of(code), Counts::Failure, "{code}");
        }
        for code in [
            ErrorCode::MESSAGE_TOO_LARGE,
            ErrorCode::INVALID_RECORD,
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ] {
            assert_eq!(of(code), Counts::Nothing, "{code}");
        }
    }
}
