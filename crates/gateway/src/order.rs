//! A record as a request asks for it: borrowed from the request, or owned where it has to wait.
//!
//! In: parts. Out: the library's [`Record`], as often as it is asked for. Pure.

use std::borrow::Cow;

use milena::{Header, Record};

use crate::trace::TRACEPARENT;

/// Bytes that a record takes beside its parts while it waits.
const OVERHEAD: usize = 256;

/// A record that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order<'a> {
    pub(crate) topic: Cow<'a, str>,
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Cow<'a, [u8]>>,
    pub(crate) value: Option<Cow<'a, [u8]>>,
    pub(crate) headers: Vec<Header<'a>>,
}

impl<'a> Order<'a> {
    /// Adds the trace of the request, unless the record has one of its own.
    pub(crate) fn trace(&mut self, parent: Option<&'a [u8]>) {
        if let Some(parent) = parent
            && !self.headers.iter().any(|header| header.key == TRACEPARENT)
        {
            self.headers.push(Header::new(TRACEPARENT, parent));
        }
    }

    /// The record.
    pub(crate) fn record(&self) -> Record<'_> {
        let (key, value) = (self.key.as_deref().map(Cow::Borrowed), self.value.as_deref().map(Cow::Borrowed));
        let mut record = Record::to(&self.topic).with_payload(key, value);
        if let Some(partition) = self.partition {
            record = record.partition(partition);
        }
        if let Some(timestamp) = self.timestamp {
            record = record.timestamp(timestamp);
        }
        self.headers.iter().fold(record, |record, header| record.with_header(borrow(header)))
    }

    /// The same, without what it borrows.
    pub(crate) fn into_owned(self) -> Order<'static> {
        let Self { topic, partition, timestamp, key, value, headers } = self;
        let owned = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
        let own =
            |header: Header<'_>| Header { key: Cow::Owned(header.key.into_owned()), value: header.value.map(owned) };
        let headers = headers.into_iter().map(own).collect();
        Order {
            topic: topic.into_owned().into(),
            partition,
            timestamp,
            key: key.map(owned),
            value: value.map(owned),
            headers,
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        let len = |part: &Option<Cow<'_, [u8]>>| part.as_ref().map_or(0, |bytes| bytes.len());
        OVERHEAD + self.topic.len() + len(&self.key) + len(&self.value) + self.header_bytes()
    }

    /// The bytes of its headers' names and values.
    pub(crate) fn header_bytes(&self) -> usize {
        let size = |header: &Header<'_>| header.key.len() + header.value.as_ref().map_or(0, |value| value.len());
        self.headers.iter().map(size).sum()
    }
}

fn borrow<'a>(header: &'a Header<'_>) -> Header<'a> {
    Header { key: Cow::Borrowed(&header.key), value: header.value.as_deref().map(Cow::Borrowed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_the_same_record_as_often_as_it_is_asked_for_borrowed_or_owned() {
        let order = Order {
            topic: "t".into(),
            partition: Some(1),
            timestamp: Some(2),
            key: Some(Cow::Borrowed(b"k")),
            value: Some(Cow::Borrowed(b"v")),
            headers: vec![Header::new("a", b"1"), Header::null("b")],
        };
        let expected = Record::to("t").key("k").value("v").partition(1).timestamp(2).header("a", "1");
        let expected = expected.with_header(Header::null("b"));
        assert_eq!((order.record(), order.record()), (expected.clone(), expected.clone()));
        assert_eq!(order.clone().into_owned().record(), expected);
        assert_eq!((order.header_bytes(), order.size()), (3, OVERHEAD + 1 + 1 + 1 + 3));
    }

    #[test]
    fn a_trace_is_added_unless_the_record_has_one() {
        let mut order =
            Order { topic: "t".into(), partition: None, timestamp: None, key: None, value: None, headers: vec![] };
        order.trace(None);
        assert_eq!(order.headers, []);
        order.trace(Some(b"first"));
        order.trace(Some(b"second"));
        assert_eq!(order.headers, [Header::new(TRACEPARENT, b"first")]);
    }

    #[test]
    fn what_is_absent_is_null() {
        let order =
            Order { topic: "t".into(), partition: None, timestamp: None, key: None, value: None, headers: vec![] };
        assert_eq!(order.record(), Record::to("t"));
    }
}
