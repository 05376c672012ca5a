//! What the user gives us.
//!
//! In: borrowed keys, values and headers. Out: a [`Record`] that the producer encodes at once into its partition's open
//! batch, so nothing of it has to live longer than the call to `send`. Pure. Deliberately absent: an owned record type
//! (a batch's bytes are the owned form) and schemas.

use std::borrow::Cow;

pub(crate) mod headers;
pub(crate) mod intercept;
pub(crate) mod murmur2;
pub(crate) mod partition;
pub(crate) mod serialize;
pub(crate) mod topic;

pub use headers::Header;

/// One record on its way into the producer, borrowed from the caller.
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
    /// A record for `topic`: no key, no value (a tombstone in a compacted topic), no headers, the partition chosen by the
    /// partitioner and the timestamp of the moment of sending (as exact as the system's coarse clock: on Linux mostly
    /// 4 ms, and 10 ms at the worst).
    #[must_use]
    #[inline]
    pub fn to(topic: &'a str) -> Self {
        Self { topic, partition: None, timestamp: None, key: None, value: None, headers: Vec::new() }
    }

    /// Sets the key. Records with equal keys go to the same partition as long as the number of partitions stays, unless a
    /// record names its partition, a custom partitioner chooses, or `partitioner.ignore.keys` is set.
    #[must_use]
    #[inline]
    pub fn key(self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        // Taken apart and put together, here and below: so a record is made in registers, and written once.
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

    /// Replaces key and value, borrowed, owned or absent (`None` is null on the wire). Made for interceptors.
    #[must_use]
    pub fn with_payload(mut self, key: Option<Cow<'a, [u8]>>, value: Option<Cow<'a, [u8]>>) -> Self {
        (self.key, self.value) = (key, value);
        self
    }

    /// Adds a header. Keys may repeat; order is kept.
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

    /// Fixes the partition; the partitioner is not asked.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp, in milliseconds since the Unix epoch. The broker replaces it if the topic is configured with
    /// `message.timestamp.type=LogAppendTime`. A negative one is refused when the record is sent, as Java's `ProducerRecord` does.
    #[must_use]
    pub fn timestamp(mut self, unix_ms: i64) -> Self {
        self.timestamp = Some(unix_ms);
        self
    }

    /// As [`partition`](Self::partition), where the record stands.
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

    /// The partition, if the caller fixed it.
    #[must_use]
    pub fn explicit_partition(&self) -> Option<i32> {
        self.partition
    }

    /// The timestamp in milliseconds since the Unix epoch, if the caller set it.
    #[must_use]
    pub fn explicit_timestamp(&self) -> Option<i64> {
        self.timestamp
    }
}
