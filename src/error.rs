//! The errors of the public API.
//!
//! In: facts from the producer, the accumulator and the sender. Out: [`ConfigError`] (nothing was built), [`SendError`] (the record was
//! not accepted), [`DeliveryError`] (the record was accepted and then failed) and [`FlushError`]. Pure. A delivery error is cheap to
//! clone, because all records of a batch share it. Deliberately absent: the table of Kafka's error codes, which is in
//! [`crate::wire::errors`].

pub(crate) mod any;
mod made;
pub(crate) mod rights;

use std::{fmt, sync::Arc, time::Duration};

pub use crate::wire::errors::ErrorCode;

/// Whether a failed record may be in the log.
///
/// Check this before you send a record again. A second `send` has a new sequence number, so idempotence does not recognise it as a
/// duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persisted {
    /// The record is certainly not in the log.
    No,
    /// A request with the record was written to a socket, and no definite response came. The record may be in the log, once. Without
    /// idempotence (`enable.idempotence=false`) it may be there more than once.
    Unknown,
}

impl fmt::Display for Persisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "not written",
            Self::Unknown => "may have been written",
        })
    }
}

/// The way in which an accepted record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The record is not sent again. A broker returned an error that cannot be retried, or refused other records of the batch, or
    /// `retries` are used up. In the last case the last attempt may have had no response. [`DeliveryError::retriable`] tells whether
    /// another `send` may succeed.
    Rejected,
    /// `delivery.timeout.ms` passed, in the queue, between attempts or in flight. [`DeliveryError::cause`] is the error of the last
    /// attempt that failed, or of the batch before it in its partition.
    Expired,
    /// The producer was closed before the record had an outcome.
    Closed,
    /// The producer was dropped without being closed, or its runtime shut down.
    Abandoned,
    /// The producer cannot send any more. It was fenced, because another one has its producer id (`PRODUCER_FENCED`).
    Fatal,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Closed => "closed",
            Self::Abandoned => "abandoned",
            Self::Fatal => "fatal",
        })
    }
}

/// The error of a record that was accepted and then failed.
///
/// All records of a batch share it, so a clone costs one reference count.
#[derive(Clone, Debug)]
pub struct DeliveryError(Arc<DeliveryFailure>);

/// The facts of a [`DeliveryError`].
#[derive(Clone, Debug)]
pub(crate) struct DeliveryFailure {
    pub(crate) kind: FailureKind,
    pub(crate) code: ErrorCode,
    pub(crate) persisted: Persisted,
    pub(crate) retriable: bool,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) broker: Option<i32>,
    pub(crate) attempts: u32,
    pub(crate) elapsed: Duration,
    pub(crate) cause: Option<String>,
    /// What helps, if it is more than the code tells.
    pub(crate) advice: Option<String>,
}

impl DeliveryError {
    pub(crate) fn new(failure: DeliveryFailure) -> Self {
        Self(Arc::new(failure))
    }

    /// The way in which the record failed.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// The Kafka error code of the last response. Without a response it is the code that Apache Kafka's client uses for such a failure
    /// (`REQUEST_TIMED_OUT`, `NETWORK_EXCEPTION`), or `NONE` if the producer was closed or dropped.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// Whether the same record may succeed if it is sent again later.
    #[must_use]
    pub fn retriable(&self) -> bool {
        self.0.retriable
    }

    /// Whether the record may be in the log.
    #[must_use]
    pub fn persisted(&self) -> Persisted {
        self.0.persisted
    }

    /// The record's topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The record's partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.0.partition
    }

    /// The broker at which the last attempt failed, if one did. An attempt that was in flight does not count.
    #[must_use]
    pub fn broker(&self) -> Option<i32> {
        self.0.broker
    }

    /// How many requests with the record were passed to a connection. If a broker found the batch too large and it was split, only
    /// the requests after the split count.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The time from the creation of the record's batch to the failure.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// The message of the last attempt that failed, or the broker's message for this record.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    fn hint(&self) -> &str {
        match self.0.kind {
            FailureKind::Rejected | FailureKind::Fatal => {
                self.0.advice.as_deref().unwrap_or_else(|| self.0.code.advice())
            }
            FailureKind::Expired if self.0.attempts == 0 => {
                "no request with it was sent: check that the partition has a reachable leader, or raise delivery.timeout.ms"
            }
            FailureKind::Expired => "check the broker's health and its replicas, or raise delivery.timeout.ms",
            FailureKind::Closed => "give close() a longer timeout, or flush() before it",
            FailureKind::Abandoned => "close() the producer before it and its runtime are dropped",
        }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &*self.0;
        write!(f, "record for {}-{} {}", e.topic, e.partition, e.kind)?;
        if e.code != ErrorCode::NONE {
            write!(f, " with {}", e.code)?;
        }
        if let Some(broker) = e.broker {
            write!(f, " by broker {broker}")?;
        }
        let (times, ms) = (e.attempts, e.elapsed.as_millis());
        write!(f, " after {times} attempt{} in {ms} ms", if times == 1 { "" } else { "s" })?;
        write!(f, " ({}, {})", e.persisted, if self.retriable() { "retriable" } else { "not retriable" })?;
        if let Some(cause) = &e.cause {
            write!(f, ": {cause}")?;
        }
        write!(f, "; {}", self.hint())
    }
}

impl std::error::Error for DeliveryError {}

/// What `send` was waiting for when `max.block.ms` had passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitedFor {
    /// The topic's partitions and their leaders.
    Metadata,
    /// Free bytes in `buffer.memory`.
    Memory,
}

/// The error of a record that was not accepted. The record is certainly not in the log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The producer is closed, or its runtime has shut down.
    #[error("producer is closed; create a new one to send to {topic}")]
    Closed {
        /// The record's topic.
        topic: Arc<str>,
    },
    /// `try_send` found too little free memory in `buffer.memory`.
    #[error(
        "buffer.memory is full: record for {topic} needs {needed} bytes, {free} of {limit} are free; slow down, use send(), or raise buffer.memory"
    )]
    QueueFull {
        /// The record's topic.
        topic: Arc<str>,
        /// Bytes that the record needs.
        needed: usize,
        /// Free bytes.
        free: usize,
        /// `buffer.memory`.
        limit: usize,
    },
    /// The topic's metadata is not known yet, and `try_send` does not wait for it. It has been requested.
    #[error("metadata of topic {topic} is not known yet and has been requested; use send(), or try again shortly")]
    NotReady {
        /// The record's topic.
        topic: Arc<str>,
    },
    /// `max.block.ms` passed.
    #[error("{} for {topic} within {} ms{}", waited(*waited_for), elapsed.as_millis(), because(cause.as_deref()))]
    Timeout {
        /// The record's topic.
        topic: Arc<str>,
        /// What the call waited for.
        waited_for: WaitedFor,
        /// How long the call waited.
        elapsed: Duration,
        /// The Kafka error code of the reason: that of the cluster's response, `NETWORK_EXCEPTION` if no broker responds, else
        /// `REQUEST_TIMED_OUT`.
        code: ErrorCode,
        /// The last error during the wait, such as a refused connection.
        cause: Option<String>,
    },
    /// `max.block.ms` passed, and the cluster does not have the topic.
    #[error(
        "no such topic: for {} ms the cluster answered {} for {topic}; create it, or check its name",
        elapsed.as_millis(),
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    )]
    UnknownTopic {
        /// The record's topic.
        topic: Arc<str>,
        /// How long the call waited for the topic.
        elapsed: Duration,
    },
    /// The record is larger than a request or `buffer.memory` may be.
    #[error("record for {topic} takes {size} bytes, {setting} allows {limit}; make it smaller or raise {setting}")]
    TooLarge {
        /// The record's topic.
        topic: Arc<str>,
        /// The record's greatest possible size in bytes, uncompressed, with the overhead of a batch.
        size: usize,
        /// The limit in bytes.
        limit: usize,
        /// The setting that holds the limit.
        setting: &'static str,
    },
    /// The topic's name is illegal.
    #[error("invalid topic name {topic:?}: {reason}")]
    InvalidTopic {
        /// The name, shortened to 256 characters.
        topic: Arc<str>,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The partition does not exist, or was added so recently that it is not known yet. New metadata has been requested.
    #[error("{topic} has partitions 0 to {}, got {partition}; leave the partition out to have one chosen", count.saturating_sub(1))]
    InvalidPartition {
        /// The record's topic.
        topic: Arc<str>,
        /// The record's partition.
        partition: i32,
        /// How many partitions the topic has.
        count: usize,
    },
    /// The cluster refused the topic. The producer is not authorised, or the name is illegal by the broker's rules. The topic's metadata are
    /// requested again with each record for it, so it can be sent to when the right was granted, without a restart.
    #[error("{code} for topic {topic}; {reason}")]
    TopicRefused {
        /// The record's topic.
        topic: Arc<str>,
        /// The broker's error.
        code: ErrorCode,
        /// Who may not do what, and which rule allows it.
        reason: Arc<str>,
    },
    /// No broker and this client accept each other: user name, password, token or mechanism is wrong, a certificate is not trusted, or there is no
    /// valid token. The producer
    /// goes on trying while records wait for it, so it can be sent to when the cause is mended, without a restart.
    #[error("no broker and this client accept each other, so nothing can be sent to {topic}: {reason}")]
    Unauthenticated {
        /// The record's topic.
        topic: Arc<str>,
        /// `SASL_AUTHENTICATION_FAILED`, `UNSUPPORTED_SASL_MECHANISM` or `ILLEGAL_SASL_STATE`; `NETWORK_EXCEPTION` for TLS.
        code: ErrorCode,
        /// Which broker refused whom, or which source has no token, what it said, and what to look at.
        reason: Arc<str>,
    },
    /// The producer cannot send any more; see [`FailureKind::Fatal`].
    #[error("producer cannot send to {topic}: {reason}")]
    Fatal {
        /// The record's topic.
        topic: Arc<str>,
        /// The broker's error.
        code: ErrorCode,
        /// What happened.
        reason: Arc<str>,
    },
    /// A serializer refused the key or the value.
    #[error("cannot serialize the {part} of a record for {topic}: {reason}")]
    Serialization {
        /// The record's topic.
        topic: Arc<str>,
        /// `key` or `value`.
        part: &'static str,
        /// The serializer's reason.
        reason: String,
    },
    /// The custom [`Partitioner`](crate::Partitioner) panicked.
    #[error("the partitioner panicked at a record for {topic}: {reason}; mend it, or name the record's partition")]
    Partitioner {
        /// The record's topic.
        topic: Arc<str>,
        /// The panic's message.
        reason: String,
    },
    /// The record breaks a rule of the record format. The producer does not return this error at present: every record that is not
    /// [`TooLarge`](Self::TooLarge) can be encoded.
    #[error("invalid record for {topic}: {reason}")]
    InvalidRecord {
        /// The record's topic.
        topic: Arc<str>,
        /// The rule that it breaks.
        reason: String,
    },
}

impl SendError {
    /// Whether the same record may be accepted later.
    #[must_use]
    pub fn retriable(&self) -> bool {
        use SendError::{NotReady, QueueFull, Timeout, UnknownTopic};
        matches!(self, QueueFull { .. } | NotReady { .. } | Timeout { .. } | UnknownTopic { .. })
    }

    /// Always [`Persisted::No`]: a record that was not accepted never left the process.
    #[must_use]
    pub fn persisted(&self) -> Persisted {
        Persisted::No
    }

    /// The nearest Kafka error code, or `NONE` where there is none.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotReady { .. } => ErrorCode::REQUEST_TIMED_OUT,
            Self::Timeout { code, .. } => *code,
            Self::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
            Self::InvalidTopic { .. } => ErrorCode::INVALID_TOPIC_EXCEPTION,
            Self::InvalidPartition { .. } | Self::UnknownTopic { .. } => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Self::TopicRefused { code, .. } | Self::Fatal { code, .. } | Self::Unauthenticated { code, .. } => *code,
            Self::InvalidRecord { .. } | Self::Serialization { .. } => ErrorCode::INVALID_RECORD,
            Self::Closed { .. } | Self::QueueFull { .. } | Self::Partitioner { .. } => ErrorCode::NONE,
        }
    }
}

fn waited(waited_for: WaitedFor) -> &'static str {
    match waited_for {
        WaitedFor::Metadata => "no metadata",
        WaitedFor::Memory => "no free buffer.memory",
    }
}

fn because(cause: Option<&str>) -> String {
    cause.map_or_else(String::new, |cause| format!("; last cause: {cause}"))
}

/// The error of a configuration that is invalid, with every violation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid configuration: {}", violations.join("; "))]
pub struct ConfigError {
    violations: Vec<String>,
}

impl ConfigError {
    pub(crate) fn new(violations: Vec<String>) -> Self {
        Self { violations }
    }

    /// One sentence for each violation, in the order in which settings are documented.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }
}

/// The error of `flush` and `close`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// The call came from a delivery callback, for which it would have to wait.
    #[error("called from within a delivery callback, which it would wait for; spawn a task for it instead")]
    InCallback,
    /// Records had no outcome when the limit had passed.
    #[error("{pending} batch{} still undelivered after {} ms", if *pending == 1 { "" } else { "es" }, waited.as_millis())]
    Timeout {
        /// The number of batches without an outcome.
        pending: usize,
        /// How long the call waited.
        waited: Duration,
    },
}
