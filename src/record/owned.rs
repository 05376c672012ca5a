//! A record that owns its parts.
//!
//! In: a [`Record`], or its parts. Out: [`OwnedRecord`], which can be kept, cloned and sent to other tasks, and lends a [`Record`]. Pure. Bytes
//! are shared by its clones.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Header, Record};

/// A record that owns its parts: for queues, channels and whatever else outlives the data that a [`Record`] borrows.
///
/// ```
/// use milena::{OwnedRecord, Record};
///
/// let topic = format!("orders-{}", 7);
/// let kept = OwnedRecord::from(Record::to(&topic).key("user-1").value("nine"));
/// drop(topic);
/// assert_eq!(kept.record().topic(), "orders-7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// The topic's name.
    pub topic: String,
    /// The partition; `None` lets the partitioner choose.
    pub partition: Option<i32>,
    /// In milliseconds since the Unix epoch; `None` is the time of sending.
    pub timestamp: Option<i64>,
    /// The key; `None` is null.
    pub key: Option<Bytes>,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
    /// Names and values, in order; a value that is `None` is null.
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl OwnedRecord {
    /// A record for `topic`, without key, value and headers.
    pub fn to(topic: impl Into<String>) -> Self {
        let topic = topic.into();
        Self { topic, partition: None, timestamp: None, key: None, value: None, headers: Vec::new() }
    }

    /// Sets the key.
    #[must_use]
    pub fn key(self, key: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Sets the value.
    #[must_use]
    pub fn value(self, value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..self }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// The record, to be sent. It borrows from this one.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        Record {
            topic: &self.topic,
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key.as_deref().map(Cow::Borrowed),
            value: self.value.as_deref().map(Cow::Borrowed),
            headers: self.headers.iter().map(lent).collect(),
        }
    }
}

fn lent((name, value): &(String, Option<Bytes>)) -> Header<'_> {
    Header { key: Cow::Borrowed(name), value: value.as_deref().map(Cow::Borrowed) }
}

impl From<Record<'_>> for OwnedRecord {
    fn from(record: Record<'_>) -> Self {
        let Record { topic, partition, timestamp, key, value, headers } = record;
        let owned = |bytes: Cow<'_, [u8]>| Bytes::from(bytes.into_owned());
        let header = |Header { key, value }: Header<'_>| (key.into_owned(), value.map(owned));
        Self {
            topic: topic.to_owned(),
            partition,
            timestamp,
            key: key.map(owned),
            value: value.map(owned),
            headers: headers.into_iter().map(header).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let record = Record::to("t").partition(3).timestamp(7).key("k").header("a", "1").with_header(Header::null("a"));
        assert_eq!(OwnedRecord::from(record.clone()).record(), record);
        let empty = Record::to("t").value("");
        assert_eq!(OwnedRecord::from(empty.clone()).record(), empty, "empty is not null");
    }

    #[test]
    fn its_parts_can_be_given_one_by_one() {
        let owned = OwnedRecord::to("t").key("k").value(vec![1]).header("a", "1");
        assert_eq!(owned, OwnedRecord::from(Record::to("t").key("k").value(&[1]).header("a", "1")));
    }
}
