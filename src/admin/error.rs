//! The errors of the admin client.
//!
//! In: facts from [`super`]. Out: [`AdminError`]. Pure. Deliberately absent: the errors of a producer, which are in
//! [`crate::error`].

use crate::error::{ConfigError, ErrorCode};

/// Why a request of the admin client failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The text is not a list `host:port,host:port`.
    #[error("bootstrap servers: expected {expected}, got {given:?}")]
    InvalidBootstrap {
        /// The entry.
        given: String,
        /// What was expected instead.
        expected: String,
    },
    /// The properties are not valid.
    #[error(transparent)]
    InvalidConfig(ConfigError),
    /// The broker does not let this client in: user name, password or mechanism is wrong.
    #[error("broker {broker} does not let this client in: {reason}")]
    Unauthenticated {
        /// `host:port`.
        broker: String,
        /// `SASL_AUTHENTICATION_FAILED`, `UNSUPPORTED_SASL_MECHANISM` or `ILLEGAL_SASL_STATE`.
        code: ErrorCode,
        /// Who was refused, what the broker said, and what to look at.
        reason: String,
    },
    /// There is no token to authenticate with (`sasl.mechanism=OAUTHBEARER`).
    #[error("there is no valid token to authenticate with: {reason}")]
    NoToken {
        /// Which source has none, and why.
        reason: String,
    },
    /// No address could be connected to.
    #[error("no broker could be reached: {}; check host and port, and that the broker is running", tried.join(", "))]
    Unreachable {
        /// Each address, and what happened there.
        tried: Vec<String>,
    },
    /// A connection broke, or a response did not come in time.
    #[error("connection to broker {broker} failed during {api}: {reason}")]
    Connection {
        /// `host:port`.
        broker: String,
        /// The request's name.
        api: &'static str,
        /// What happened.
        reason: String,
    },
    /// The broker supports no version of the request that milena supports.
    #[error("broker {broker} speaks {api} {theirs}, milena speaks {ours}; use Apache Kafka 2.1 or newer")]
    UnsupportedVersion {
        /// `host:port`.
        broker: String,
        /// The request's name.
        api: &'static str,
        /// The versions that the broker supports.
        theirs: String,
        /// The versions that milena supports.
        ours: String,
    },
    /// The bytes from the broker are not a response to the request.
    #[error("broker {broker} sent a response to {api} that cannot be read: {reason}")]
    Malformed {
        /// `host:port`.
        broker: String,
        /// The request's name.
        api: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The topic to create exists already.
    #[error("topic {topic} exists already")]
    TopicExists {
        /// Its name.
        topic: String,
    },
    /// There is no such topic.
    #[error("topic {topic} does not exist; create it, or check its name")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// The broker responded with an error code.
    #[error("broker {broker} refused {api} for {subject} with {} ({}){}{}", name(*code), code.0, said(message.as_deref()), hint(*code))]
    Refused {
        /// `host:port`.
        broker: String,
        /// The request's name.
        api: &'static str,
        /// The topic or partition.
        subject: String,
        /// The broker's code.
        code: ErrorCode,
        /// The broker's message, if it sent one.
        message: Option<String>,
    },
    /// The topic does not have this partition.
    #[error("{topic} has partitions 0 to {}, got {partition}", count.saturating_sub(1))]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The requested partition.
        partition: i32,
        /// How many partitions the topic has.
        count: usize,
    },
    /// The partition has no leader at the moment.
    #[error("{topic}-{partition} has no leader; check that the brokers with its replicas are running")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The records cannot be read.
    #[error("records of {topic}-{partition} from offset {offset} cannot be read: {reason}")]
    Unreadable {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The requested offset.
        offset: i64,
        /// What is wrong with them.
        reason: String,
    },
    /// Reading stopped before the end that the partition had when reading began.
    #[error("reading {topic}-{partition} stopped at offset {offset}, expected records up to {end}; try again")]
    Stalled {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The next offset to read.
        offset: i64,
        /// The end when reading began.
        end: i64,
    },
}

impl AdminError {
    /// The broker's error code, if a broker responded with one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } | Self::Unauthenticated { code, .. } => Some(*code),
            Self::TopicExists { .. } => Some(ErrorCode::TOPIC_ALREADY_EXISTS),
            Self::UnknownTopic { .. } => Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            _ => None,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retriable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.retriable(),
            Self::Connection { .. }
            | Self::NoToken { .. }
            | Self::Unreachable { .. }
            | Self::NoLeader { .. }
            | Self::Stalled { .. } => true,
            _ => false,
        }
    }

    /// Whether somebody who reads on and on may go on after it: the same request may succeed later, or the broker, which may have just
    /// started, does not know the topic or partition yet.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.retriable() || matches!(self, Self::UnknownTopic { .. } | Self::UnknownPartition { .. })
    }
}

/// The name of a code. A code that the table does not know has none, so the error shows its number alone.
fn name(code: ErrorCode) -> &'static str {
    if code.row().code == code { code.name() } else { "error" }
}

fn hint(code: ErrorCode) -> String {
    if code.row().code == code { format!("; {}", code.advice()) } else { String::new() }
}

fn said(message: Option<&str>) -> String {
    message.map_or_else(String::new, |message| format!(": {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i16, message: Option<&str>) -> AdminError {
        AdminError::Refused {
            broker: "localhost:9092".into(),
            api: "Fetch",
            subject: "orders-0".into(),
            code: ErrorCode(code),
            message: message.map(Into::into),
        }
    }

    #[test]
    fn a_refusal_names_broker_request_subject_code_and_a_hint() {
        assert_eq!(
            refused(1, None).to_string(),
            "broker localhost:9092 refused Fetch for orders-0 with OFFSET_OUT_OF_RANGE (1); \
             the log does not reach to this offset: read from its beginning or its end"
        );
        assert!(refused(6, None).to_string().contains("NOT_LEADER_OR_FOLLOWER (6); "));
    }

    #[test]
    fn an_unknown_code_is_shown_by_number_with_the_brokers_message() {
        assert_eq!(
            refused(9999, Some("no idea")).to_string(),
            "broker localhost:9092 refused Fetch for orders-0 with error (9999): no idea"
        );
    }

    #[test]
    fn errors_that_may_pass_are_retriable() {
        for (code, expected) in
            [(1, false), (3, true), (6, true), (41, true), (75, true), (76, false), (78, true), (9999, false)]
        {
            assert_eq!(refused(code, None).retriable(), expected, "{code}");
        }
        assert!(AdminError::NoLeader { topic: "t".into(), partition: 0 }.retriable());
        assert!(!AdminError::TopicExists { topic: "t".into() }.retriable());
        assert!(!AdminError::TopicExists { topic: "t".into() }.may_pass());
        let unknown = AdminError::UnknownTopic { topic: "t".into() };
        assert_eq!((unknown.retriable(), unknown.may_pass()), (false, true));
    }
}
