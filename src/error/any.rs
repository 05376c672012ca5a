//! One type for all errors.
//!
//! In: any error of the producer. Out: [`Error`], with the questions that programs ask. Pure.

use super::{ConfigError, DeliveryError, ErrorCode, FailureKind, FlushError, Persisted, SendError, rights};

/// Any error of a producer, for programs that handle all in one place. `?` makes it of each.
///
/// ```
/// use milena::{Error, Producer, Record};
///
/// async fn place_order(producer: &Producer, id: &str) -> Result<i64, Error> {
///     let ack = producer.send(Record::to("orders").key(id).value("nine")).await?.await?;
///     Ok(ack.offset().unwrap_or(-1))
/// }
///
/// fn tell(error: &Error) {
///     match error {
///         error if error.is_authorization() => println!("ask for the right to write: {error}"),
///         error if error.is_topic_missing() => println!("create the topic: {error}"),
///         error if error.retriable() => println!("later: {error}"),
///         error => println!("never: {error}"),
///     }
/// }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum Error {
    /// The producer was not built.
    Config(#[from] ConfigError),
    /// The record was not accepted.
    Send(#[from] SendError),
    /// The record was accepted and failed.
    Delivery(#[from] DeliveryError),
    /// Not everything was delivered in time.
    Flush(#[from] FlushError),
}

impl Error {
    /// The error code of Kafka; `NONE` for a configuration, for a flush, and where a record never was on its way to a broker.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Config(_) | Self::Flush(_) => ErrorCode::NONE,
            Self::Send(error) => error.code(),
            Self::Delivery(error) => error.code(),
        }
    }

    /// Whether the record may be in the log. `None` if the error is of no one record.
    #[must_use]
    pub fn persisted(&self) -> Option<Persisted> {
        match self {
            Self::Config(_) | Self::Flush(_) => None,
            Self::Send(error) => Some(error.persisted()),
            Self::Delivery(error) => Some(error.persisted()),
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retriable(&self) -> bool {
        match self {
            Self::Config(_) => false,
            Self::Send(error) => error.retriable(),
            Self::Delivery(error) => error.retriable(),
            Self::Flush(error) => matches!(error, FlushError::Timeout { .. }),
        }
    }

    /// Whether this client may not do it: a rule of the cluster's has to change.
    #[must_use]
    pub fn is_authorization(&self) -> bool {
        rights::is_lack(self.code()) || self.code() == ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    }

    /// Whether the client and the brokers do not accept each other: password, token, mechanism, or certificate.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        matches!(self, Self::Send(SendError::Unauthenticated { .. }))
            || self.code() == ErrorCode::SASL_AUTHENTICATION_FAILED
    }

    /// Whether the topic, or the record's partition of it, does not exist. It may be only that metadata are not everywhere yet.
    #[must_use]
    pub fn is_topic_missing(&self) -> bool {
        self.code() == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION || self.code() == ErrorCode::UNKNOWN_TOPIC_ID
    }

    /// Whether a time limit was reached: `max.block.ms`, `delivery.timeout.ms`, or that of the call.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Config(_) => false,
            Self::Send(error) => matches!(error, SendError::Timeout { .. } | SendError::UnknownTopic { .. }),
            Self::Delivery(error) => error.kind() == FailureKind::Expired,
            Self::Flush(error) => matches!(error, FlushError::Timeout { .. }),
        }
    }

    /// Whether the record is larger than the client or the broker allows.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.code() == ErrorCode::MESSAGE_TOO_LARGE || self.code() == ErrorCode::RECORD_LIST_TOO_LARGE
    }

    /// Whether the producer cannot be used any more, so that a new one has to be made: it is closed, or another one has its producer id.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Send(error) => matches!(error, SendError::Closed { .. } | SendError::Fatal { .. }),
            Self::Delivery(error) => {
                matches!(error.kind(), FailureKind::Closed | FailureKind::Abandoned | FailureKind::Fatal)
            }
            Self::Config(_) | Self::Flush(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn send(error: SendError) -> Error {
        error.into()
    }

    fn delivery(kind: FailureKind, code: ErrorCode) -> Error {
        DeliveryError::of(kind, "t", 0).with_code(code).into()
    }

    /// Which questions are answered by yes.
    fn yes(error: &Error) -> Vec<&'static str> {
        let answers = [
            ("authorization", error.is_authorization()),
            ("authentication", error.is_authentication()),
            ("missing", error.is_topic_missing()),
            ("timeout", error.is_timeout()),
            ("too large", error.is_too_large()),
            ("fatal", error.is_fatal()),
            ("retriable", error.retriable()),
        ];
        answers.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
    }

    #[test]
    fn each_question_is_answered_alike_whoever_found_the_error() {
        let (topic, elapsed) = (std::sync::Arc::<str>::from("t"), Duration::ZERO);
        let refused = |code| send(SendError::TopicRefused { topic: "t".into(), code, reason: "r".into() });
        let table: [(Error, &[&str]); 13] = [
            (ConfigError::new(vec!["x".into()]).into(), &[]),
            (refused(ErrorCode::TOPIC_AUTHORIZATION_FAILED), &["authorization"]),
            (delivery(FailureKind::Rejected, ErrorCode::TOPIC_AUTHORIZATION_FAILED), &["authorization"]),
            (delivery(FailureKind::Rejected, ErrorCode::CLUSTER_AUTHORIZATION_FAILED), &["authorization"]),
            (
                send(SendError::Unauthenticated {
                    topic: "t".into(),
                    code: ErrorCode::NETWORK_EXCEPTION,
                    reason: "r".into(),
                }),
                &["authentication"],
            ),
            (send(SendError::UnknownTopic { topic: topic.clone(), elapsed }), &["missing", "timeout", "retriable"]),
            (delivery(FailureKind::Rejected, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), &["missing", "retriable"]),
            (
                send(SendError::TooLarge { topic: topic.clone(), size: 2, limit: 1, setting: "max.request.size" }),
                &["too large"],
            ),
            (delivery(FailureKind::Rejected, ErrorCode::MESSAGE_TOO_LARGE), &["too large"]),
            (delivery(FailureKind::Expired, ErrorCode::REQUEST_TIMED_OUT), &["timeout", "retriable"]),
            (delivery(FailureKind::Fatal, ErrorCode::PRODUCER_FENCED), &["fatal"]),
            (send(SendError::Closed { topic }), &["fatal"]),
            (FlushError::Timeout { pending: 1, waited: elapsed }.into(), &["timeout", "retriable"]),
        ];
        for (error, expected) in table {
            assert_eq!(yes(&error), expected, "{error}");
        }
    }

    #[test]
    fn it_says_what_the_error_itself_says() {
        let unknown = DeliveryError::of(FailureKind::Expired, "t", 0).with_persisted(Persisted::Unknown);
        let error = Error::from(unknown.clone());
        assert_eq!((error.to_string(), error.persisted()), (unknown.to_string(), Some(Persisted::Unknown)));
        assert_eq!(Error::from(FlushError::InCallback).persisted(), None);
        assert_eq!(send(SendError::Closed { topic: "t".into() }).persisted(), Some(Persisted::No));
    }
}
