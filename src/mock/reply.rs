//! What a [`MockProducer`](super::MockProducer) is told to do with a record, and what it remembers of one.
//!
//! In: the test's wishes; records. Out: [`Reply`], [`SentRecord`]. Pure.

use std::{borrow::Cow, time::Duration};

use crate::{
    error::{DeliveryError, SendError},
    record::{Header, Record},
};

/// What becomes of a record that is handed to a [`MockProducer`](super::MockProducer).
#[derive(Clone, Debug)]
#[must_use = "hand it to a MockProducer"]
pub struct Reply {
    /// Why it is not accepted, or what comes of it when it is.
    pub(super) fate: Result<Fate, SendError>,
    pub(super) after: Option<Duration>,
}

/// What becomes of an accepted record.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Ack,
    Fail(DeliveryError),
    Hold,
}

impl Reply {
    /// It is accepted and written, at its partition's next offset.
    pub fn ack() -> Self {
        Self::of(Ok(Fate::Ack))
    }

    /// It is accepted and not delivered. The error is told of the record's own topic and partition.
    pub fn fail(error: DeliveryError) -> Self {
        Self::of(Ok(Fate::Fail(error)))
    }

    /// It is not accepted.
    pub fn refuse(error: SendError) -> Self {
        Self::of(Err(error))
    }

    /// It is accepted, and has no outcome until
    /// [`complete_next`](super::MockProducer::complete_next) or [`error_next`](super::MockProducer::error_next) gives it one.
    pub fn hold() -> Self {
        Self::of(Ok(Fate::Hold))
    }

    /// The same, so much later: its outcome, or the answer of a `send` that is refused. Counted by tokio's clock, which a test
    /// can pause. A record that is held stays held.
    ///
    /// `send` then panics outside of a tokio runtime with time enabled. `try_send` refuses at once.
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = Some(delay);
        self
    }

    fn of(fate: Result<Fate, SendError>) -> Self {
        Self { fate, after: None }
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self::ack()
    }
}

/// A record that a [`MockProducer`](super::MockProducer) accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentRecord {
    /// Its topic.
    pub topic: String,
    /// The partition that was chosen for it, or that it named.
    pub partition: i32,
    /// Its own timestamp in milliseconds since the Unix epoch, if it had one.
    pub timestamp: Option<i64>,
    /// Its key; `None` is null.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is null.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
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

    /// The value of its last header of this name, unless that is null.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rfind(|header| header.key == name)?.value.as_deref()
    }
}

fn owned(header: &Header<'_>) -> Header<'static> {
    let value = header.value.as_ref().map(|value| Cow::Owned(value.to_vec()));
    Header { key: Cow::Owned(header.key.clone().into_owned()), value }
}
