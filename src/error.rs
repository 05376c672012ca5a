//! What can go wrong, told to the person who must act.
//!
//! In: facts from the producer, the accumulator and the sender. Out: three error types that mirror the three moments at
//! which a record can fail: [`ConfigError`] (nothing was built), [`SendError`] (the record was not accepted) and
//! [`DeliveryError`] (it was accepted and then failed). Pure. Cheap to clone, because one failed batch answers many
//! records. Deliberately absent: the table of broker error codes, which is in [`crate::wire::errors`].

mod made;

use std::{fmt, sync::Arc, time::Duration};

pub use crate::wire::errors::ErrorCode;

/// Whether a record that failed can be in the log all the same.
///
/// Ask this before you send a record again: a second `send` is a new sequence number, so idempotence does not
/// recognise it as a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persisted {
    /// It is certainly not in the log.
    No,
    /// A request with it was written to a socket and no definite answer came back: it may be in the log, once. Without
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

/// How an accepted record came to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// It is not tried again: a broker answered with an error that cannot be retried, or refused other records of its batch, or
    /// `retries` are used up, in which case the last attempt may also have had no answer. [`DeliveryError::retriable`] tells
    /// whether it is worth another `send`.
    Rejected,
    /// `delivery.timeout.ms` ran out, in the queue, between attempts or in flight; [`DeliveryError::cause`] tells of the last
    /// attempt that failed, or of what failed before it in its partition.
    Expired,
    /// The producer was closed before an answer came.
    Closed,
    /// The producer, or the runtime it ran on, went away without being closed.
    Abandoned,
    /// The producer as a whole cannot go on: it was fenced, because another one has its identity (`PRODUCER_FENCED`).
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

/// A record that was accepted and then could not be delivered.
///
/// One value answers every record of a batch, so a clone costs one reference count.
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
}

impl DeliveryError {
    pub(crate) fn new(failure: DeliveryFailure) -> Self {
        Self(Arc::new(failure))
    }

    #[cfg(test)]
    pub(crate) fn failure(&self) -> &DeliveryFailure {
        &self.0
    }

    /// How it came to fail.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// The Kafka error code of the last answer; for a failure that no broker answered, the code that Apache Kafka's own
    /// client uses for it (`REQUEST_TIMED_OUT`, `NETWORK_EXCEPTION`), or `NONE` when the producer went away.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// Whether the same record could succeed if it were sent again later, unchanged.
    #[must_use]
    pub fn retriable(&self) -> bool {
        self.0.retriable
    }

    /// Whether the record can be in the log all the same.
    #[must_use]
    pub fn persisted(&self) -> Persisted {
        self.0.persisted
    }

    /// The topic the record was for.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The partition the record was for.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.0.partition
    }

    /// The broker at which the last attempt failed, if one did. An attempt that was still in flight has not.
    #[must_use]
    pub fn broker(&self) -> Option<i32> {
        self.0.broker
    }

    /// How often a request with the record was handed to a connection. Of a batch that was split because a broker found it too
    /// large, what came before does not count.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Time from the creation of the record's batch to the failure.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// What the last attempt that failed, or the broker's message for this record, said.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    fn hint(&self) -> &'static str {
        match self.0.kind {
            FailureKind::Rejected | FailureKind::Fatal => self.0.code.advice(),
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

/// What a `send` was still waiting for when `max.block.ms` ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitedFor {
    /// The topic's partitions and their leaders.
    Metadata,
    /// Free bytes in `buffer.memory`.
    Memory,
}

/// A record that was not accepted: it is certainly not in the log, and it is still the caller's.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The producer is closed, or its runtime has shut down.
    #[error("producer is closed; create a new one to send to {topic}")]
    Closed {
        /// The record's topic.
        topic: Arc<str>,
    },
    /// `try_send` found no free memory in `buffer.memory`.
    #[error(
        "buffer.memory is full: record for {topic} needs {needed} bytes, {free} of {limit} are free; slow down, use send(), or raise buffer.memory"
    )]
    QueueFull {
        /// The record's topic.
        topic: Arc<str>,
        /// Bytes it would have taken.
        needed: usize,
        /// Bytes that were free.
        free: usize,
        /// `buffer.memory`.
        limit: usize,
    },
    /// `try_send` named a topic whose metadata is not here yet; it has been asked for.
    #[error("metadata of topic {topic} is not known yet and has been requested; use send(), or try again shortly")]
    NotReady {
        /// The record's topic.
        topic: Arc<str>,
    },
    /// `max.block.ms` ran out.
    #[error("{} for {topic} within {} ms{}", waited(*waited_for), elapsed.as_millis(), because(cause.as_deref()))]
    Timeout {
        /// The record's topic.
        topic: Arc<str>,
        /// What was missing.
        waited_for: WaitedFor,
        /// How long the call waited.
        elapsed: Duration,
        /// The Kafka error code of what kept it waiting: the cluster's answer, `NETWORK_EXCEPTION` where no broker answers, else
        /// `REQUEST_TIMED_OUT`.
        code: ErrorCode,
        /// The last thing that went wrong meanwhile, such as a refused connection.
        cause: Option<String>,
    },
    /// `max.block.ms` ran out, and the cluster answers that it does not have the topic.
    #[error(
        "no such topic: for {} ms the cluster answered {} for {topic}; create it, or check its name",
        elapsed.as_millis(),
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    )]
    UnknownTopic {
        /// The record's topic.
        topic: Arc<str>,
        /// How long the call waited for it to be created.
        elapsed: Duration,
    },
    /// The record alone is larger than a request or the buffer may be.
    #[error("record for {topic} takes {size} bytes, {setting} allows {limit}; make it smaller or raise {setting}")]
    TooLarge {
        /// The record's topic.
        topic: Arc<str>,
        /// Upper bound of its size in bytes, uncompressed, with batch overhead.
        size: usize,
        /// The limit in bytes.
        limit: usize,
        /// The setting that holds the limit.
        setting: &'static str,
    },
    /// The topic's name cannot exist.
    #[error("invalid topic name {topic:?}: {reason}")]
    InvalidTopic {
        /// The name, shortened to 256 characters.
        topic: Arc<str>,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The partition does not exist, or was added so lately that it is not known yet: metadata is asked for again.
    #[error("{topic} has partitions 0 to {}, got {partition}; leave the partition out to have one chosen", count.saturating_sub(1))]
    InvalidPartition {
        /// The record's topic.
        topic: Arc<str>,
        /// The partition asked for.
        partition: i32,
        /// How many partitions the topic has.
        count: usize,
    },
    /// The cluster refused the topic (not authorised, or illegal by the broker's rules).
    #[error("{code} for topic {topic}; {}", code.advice())]
    TopicRefused {
        /// The record's topic.
        topic: Arc<str>,
        /// The broker's reason.
        code: ErrorCode,
    },
    /// The producer cannot go on; see [`FailureKind::Fatal`].
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
        /// What the serializer said.
        reason: String,
    },
    /// The custom [`Partitioner`](crate::Partitioner) panicked.
    #[error("the partitioner panicked at a record for {topic}: {reason}; mend it, or name the record's partition")]
    Partitioner {
        /// The record's topic.
        topic: Arc<str>,
        /// What the panic said.
        reason: String,
    },
    /// The record breaks a rule of the format. The producer does not return it at present: every record that can be made, and
    /// is not [`TooLarge`](Self::TooLarge), can be encoded.
    #[error("invalid record for {topic}: {reason}")]
    InvalidRecord {
        /// The record's topic.
        topic: Arc<str>,
        /// Which rule.
        reason: String,
    },
}

impl SendError {
    /// Whether the same record could be accepted later, unchanged.
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
            Self::TopicRefused { code, .. } | Self::Fatal { code, .. } => *code,
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

/// A configuration that cannot work: every violation at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    violations: Vec<String>,
}

impl ConfigError {
    pub(crate) fn new(violations: Vec<String>) -> Self {
        Self { violations }
    }

    /// One sentence for each rule that is broken, in the order in which settings are documented.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid configuration: {}", self.violations.join("; "))
    }
}

impl std::error::Error for ConfigError {}

/// Why `flush` or `close` could not do all of its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// It was called from a delivery callback, which it would have had to wait for.
    #[error("called from within a delivery callback, which it would wait for; spawn a task for it instead")]
    InCallback,
    /// Records were still undelivered when the time was up.
    #[error("{pending} batch{} still undelivered after {} ms", if *pending == 1 { "" } else { "es" }, waited.as_millis())]
    Timeout {
        /// Batches without an answer.
        pending: usize,
        /// How long the call waited.
        waited: Duration,
    },
}
