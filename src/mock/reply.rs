//! The replies of a [`MockProducer`](super::MockProducer), and its history.
//!
//! In: the test's choice; records. Out: [`Reply`], [`SentRecord`]. Pure.

use std::{borrow::Cow, time::Duration};

use crate::{
    error::{DeliveryError, SendError},
    record::{Header, Record},
};

/// What a [`MockProducer`](super::MockProducer) does with a record.
#[derive(Clone, Debug, Default)]
#[must_use = "hand it to a MockProducer"]
pub struct Reply {
    pub(super) fate: Fate,
    pub(super) after: Option<Duration>,
}

/// What happens to a record.
#[derive(Clone, Debug, Default)]
pub(super) enum Fate {
    Refuse(SendError),
    #[default]
    Ack,
    Fail(DeliveryError),
    Hold,
}

impl Reply {
    /// Accepts and acknowledges the record, at its partition's next offset.
    pub fn ack() -> Self {
        Self::of(Fate::Ack)
    }

    /// Accepts the record, and fails its delivery. The error gets the record's own topic and partition.
    pub fn fail(error: DeliveryError) -> Self {
        Self::of(Fate::Fail(error))
    }

    /// Refuses the record.
    pub fn refuse(error: SendError) -> Self {
        Self::of(Fate::Refuse(error))
    }

    /// Accepts the record. It has no outcome until [`complete_next`](super::MockProducer::complete_next) or
    /// [`error_next`](super::MockProducer::error_next) gives it one.
    pub fn hold() -> Self {
        Self::of(Fate::Hold)
    }

    /// Delays the outcome, or the result of a `send` that is refused, by `delay`. Time is that of tokio's clock, which
    /// a test can pause. A record that is held stays held.
    ///
    /// `send` then panics outside of a tokio runtime with time enabled. `try_send` refuses at once.
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = Some(delay);
        self
    }

    fn of(fate: Fate) -> Self {
        Self { fate, after: None }
    }
}

/// A record that a [`MockProducer`](super::MockProducer) accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentRecord {
    /// The topic.
    pub topic: String,
    /// The partition that was chosen, or that the record named.
    pub partition: i32,
    /// The record's timestamp in milliseconds since the Unix epoch, if it had one.
    pub timestamp: Option<i64>,
    /// The key; `None` is null.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is null.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<Header<'static>>,
}

impl SentRecord {
    pub(super) fn new(record: &Record<'_>, partition: i32) -> Self {
        Self {
            topic: record.topic().to_owned(),
            partition,
            timestamp: record.explicit_timestamp(),
            key: record.key_bytes().map(<[u8]>::to_vec),
            value: record.value_bytes().map(<[u8]>::to_vec),
            headers: record.headers().iter().map(owned).collect(),
        }
    }

    /// The value of the last header of this name, unless it is null.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rfind(|header| header.key == name)?.value.as_deref()
    }
}

fn owned(header: &Header<'_>) -> Header<'static> {
    let value = header.value.as_ref().map(|value| Cow::Owned(value.to_vec()));
    Header { key: Cow::Owned(header.key.clone().into_owned()), value }
}
