//! Records, and what happens to them before they are appended to a batch.
//!
//! In: borrowed keys, values and headers. Out: a [`Record`], which the producer encodes at once into its partition's open batch, so
//! that nothing of it must live longer than the call to `send`; [`owned::OwnedRecord`] for records that are kept. Pure. Deliberately absent:
//! schemas.

use std::borrow::Cow;

pub(crate) mod headers;
pub(crate) mod intercept;
pub(crate) mod murmur2;
pub(crate) mod owned;
pub(crate) mod partition;
pub(crate) mod round_robin;
pub(crate) mod serialize;
pub(crate) mod topic;

pub use headers::Header;

/// A record to send, which borrows its parts from the caller.
///
/// ```
/// use milena::Record;
/// let json = String::from(r#"{"total": 9}"#);
/// let record = Record::to("orders").key("user-1").value(&json).header("source", "shop");
/// assert_eq!(record.topic(), "orders");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    topic: &'a str,
    partition: Option<i32>,
    timestamp: Option<i64>,
    key: Option<Cow<'a, [u8]>>,
    value: Option<Cow<'a, [u8]>>,
    headers: Vec<Header<'a>>,
}

impl<'a> Record<'a> {
    /// A record for `topic`, without key, value and headers. A null value is a tombstone in a compacted topic. The partitioner chooses
    /// the partition. The timestamp is the time of sending, as exact as the system's coarse clock: on Linux mostly 4 ms, and 10 ms
    /// at worst.
    #[must_use]
    #[inline]
    pub fn to(topic: &'a str) -> Self {
        Self { topic, partition: None, timestamp: None, key: None, value: None, headers: Vec::new() }
    }

    /// Sets the key. Records with equal keys go to the same partition as long as the number of partitions does not change, unless a
    /// record has a partition of its own, a custom partitioner chooses, or `partitioner.ignore.keys` is set.
    #[must_use]
    #[inline]
    pub fn key(self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        // Moving each field, here and below, lets the compiler build the record in registers and write it once.
        let Self { topic, partition, timestamp, key: _, value, headers } = self;
        Self { topic, partition, timestamp, key: Some(Cow::Borrowed(key.as_ref())), value, headers }
    }

    /// Sets the value.
    #[must_use]
    #[inline]
    pub fn value(self, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        let Self { topic, partition, timestamp, key, value: _, headers } = self;
        Self { topic, partition, timestamp, key, value: Some(Cow::Borrowed(value.as_ref())), headers }
    }

    /// Replaces key and value, which may be borrowed, owned, or `None` for null. Meant for interceptors.
    #[must_use]
    pub fn with_payload(self, key: Option<Cow<'a, [u8]>>, value: Option<Cow<'a, [u8]>>) -> Self {
        Self { key, value, ..self }
    }

    /// Adds a header. Names may repeat, and the order is kept.
    #[must_use]
    pub fn header(self, key: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.with_header(Header::new(key, value.as_ref()))
    }

    /// Adds a header that may be owned or have a null value.
    #[must_use]
    pub fn with_header(mut self, header: Header<'a>) -> Self {
        self.headers.push(header);
        self
    }

    /// Removes every header of this name.
    #[must_use]
    pub fn without_header(mut self, key: &str) -> Self {
        self.headers.retain(|header| header.key != key);
        self
    }

    /// Sets the partition. The partitioner is not called.
    #[must_use]
    pub fn partition(self, partition: i32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// Sets the timestamp, in milliseconds since the Unix epoch. The broker replaces it if the topic is configured with
    /// `message.timestamp.type=LogAppendTime`. `send` refuses a negative one, as Java's `ProducerRecord` does.
    #[must_use]
    pub fn timestamp(self, unix_ms: i64) -> Self {
        Self { timestamp: Some(unix_ms), ..self }
    }

    /// As [`partition`](Self::partition), in place.
    pub(crate) fn place(&mut self, partition: i32) {
        self.partition = Some(partition);
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.topic
    }

    /// The key's bytes; `None` is null.
    #[must_use]
    pub fn key_bytes(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The value's bytes; `None` is null.
    #[must_use]
    pub fn value_bytes(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// The headers, in order.
    #[must_use]
    pub fn headers(&self) -> &[Header<'a>] {
        &self.headers
    }

    /// The last header of this name. If a name is to have one value, it is the last one's.
    #[must_use]
    pub fn last_header(&self, key: &str) -> Option<&Header<'a>> {
        self.headers.iter().rfind(|header| header.key == key)
    }

    /// The partition, if the caller set one.
    #[must_use]
    pub fn explicit_partition(&self) -> Option<i32> {
        self.partition
    }

    /// The timestamp in milliseconds since the Unix epoch, if the caller set one.
    #[must_use]
    pub fn explicit_timestamp(&self) -> Option<i64> {
        self.timestamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order_and_repeated_names() {
        let record = Record::to("t").header("a", "1").header("b", "2").header("a", "3");
        let keys: Vec<_> = record.headers().iter().map(|header| header.key.as_ref()).collect();
        assert_eq!(keys, ["a", "b", "a"]);
        assert_eq!(record.last_header("a"), Some(&Header::new("a", b"3")));
        assert_eq!(record.last_header("c"), None);
    }

    #[test]
    fn removing_a_header_removes_all_of_its_name() {
        let record = Record::to("t").header("a", "1").header("b", "2").header("a", "3").without_header("a");
        assert_eq!(record.headers(), [Header::new("b", b"2")]);
    }
}
