//! What programs build around a producer: sending again ([`retry`]) and dead letters ([`dead_letter`]).
//!
//! In: records, and how sending them failed. Out: records sent again, or put where somebody will look at them. Uses what
//! any user of the crate can use, and nothing else. Deliberately absent: a store for records while brokers are away.
//!
//! # Which failure asks for what
//!
//! | how a send ended | written? | send again | dead letter |
//! |---|---|---|---|
//! | cannot be serialized, or placed by the partitioner, too large, invalid topic, invalid record, not authorized | no | no: it would fail again | yes |
//! | memory or metadata did not come in time, expired without an attempt | no | yes | no |
//! | refused for now (too few replicas), or in bad company ([`INVALID_RECORD`](crate::ErrorCode::INVALID_RECORD) of others) | no | yes | no |
//! | timed out, connection lost, expired after an attempt | unknown | only if consumers can tell repetitions | no |
//! | the producer was closed, dropped or fenced | no, or unknown | with another producer | no |
//!
//! The second and third columns are [`Failure::persisted`] and [`Failure::retriable`], the last is [`Failure::is_fatal`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use milena::{Producer, Record, patterns::{dead_letter::DeadLetters, retry::{Retry, RetryPolicy}}};
//!
//! let producer = Producer::builder("localhost:9092").build().await?;
//! let retry = Retry::new(RetryPolicy::new().max_attempts(3))?;
//! let dead_letters = DeadLetters::with_suffix(".dlt");
//!
//! let record = Record::to("orders").key("user-1").value("nine").header("eventId", "6b1f");
//! match retry.send(&producer, record.clone()).await {
//!     Ok(delivered) => println!("offset {:?} after {} failures", delivered.ack.offset(), delivered.tried.len()),
//!     Err(error) if error.is_fatal() => match dead_letters.publish(&producer, record, &error.report()).await {
//!         Ok(ack) => println!("{error}; kept in {} at {:?}", ack.topic(), ack.offset()),
//!         Err(lost) => eprintln!("{lost}; still ours: {:?}", lost.record().key_bytes()),
//!     },
//!     Err(error) => eprintln!("{error}"),
//! }
//! # Ok(()) }
//! ```

pub mod dead_letter;
pub mod retry;
#[cfg(test)]
mod tests;

use std::{fmt, future::Future};

use crate::{Ack, DeliveryError, ErrorCode, FailureKind, Persisted, Produce, Record, SendError};

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

/// Sends one record and waits for what becomes of it: a [`Producer`](crate::Producer), any other [`Produce`] such as the
/// [`MockProducer`](crate::mock::MockProducer) of a test, or something of your own that does no more than this.
pub trait Publish {
    /// Sends the record once and waits for its acknowledgement.
    ///
    /// # Errors
    /// Why it was not accepted or not delivered.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the record on its way.
    fn publish(&self, record: Record<'_>) -> impl Future<Output = Result<Ack, Failure>> + Send;
}

impl<P: Produce + ?Sized> Publish for P {
    async fn publish(&self, record: Record<'_>) -> Result<Ack, Failure> {
        Ok(self.send(record).await?.await?)
    }
}
