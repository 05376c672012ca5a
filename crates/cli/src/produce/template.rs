//! What all records of a run have in common, and how the texts of an input stand for keys and values.
//!
//! In: arguments. Out: the beginning of each record, and bytes or null for a text. Pure.

use std::borrow::Cow;

use jiff::Timestamp;
use milena::{Header, Record};

use crate::encoding::{Encoding, Wrong};

/// What all records have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    /// Empty if each record names its own.
    pub(crate) topic: String,
    pub(crate) partition: Option<i32>,
    /// In milliseconds since the Unix epoch; `None` is the time of sending.
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Template {
    /// Whether records have nothing in common but their topic.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.partition.is_none() && self.timestamp.is_none() && self.key.is_none() && self.headers.is_empty()
    }

    /// A record without a value yet.
    #[inline]
    pub(crate) fn record(&self) -> Record<'_> {
        let record = Record::to(&self.topic);
        // A record is moved by each step, which would take longer than all else for a line.
        if self.is_bare() {
            return record;
        }
        let record = self.key.iter().fold(record, Record::key);
        let record = self.partition.into_iter().fold(record, Record::partition);
        let record = self.timestamp.into_iter().fold(record, Record::timestamp);
        self.headers.iter().fold(record, |record, (name, value)| record.header(name, value))
    }
}

/// How texts stand for keys and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) key: Encoding,
    pub(crate) value: Encoding,
    /// What stands for null.
    pub(crate) null_marker: Option<Vec<u8>>,
    /// Whether an empty key or value is null.
    pub(crate) empty_is_null: bool,
}

impl Texts {
    /// The key that a text stands for; `None` is null.
    pub(crate) fn key<'a>(&self, text: &'a [u8]) -> Result<Option<Cow<'a, [u8]>>, Wrong> {
        self.bytes(self.key, text)
    }

    /// The value that a text stands for; `None` is null.
    pub(crate) fn value<'a>(&self, text: &'a [u8]) -> Result<Option<Cow<'a, [u8]>>, Wrong> {
        self.bytes(self.value, text)
    }

    /// A header whose value is a text.
    pub(crate) fn header<'a>(&self, name: &'a str, text: &'a [u8]) -> Header<'a> {
        if self.is_marker(text) { Header::null(name) } else { Header::new(name, text) }
    }

    /// Whether a text is null as a whole.
    pub(crate) fn is_null(&self, text: &[u8]) -> bool {
        (self.empty_is_null && text.is_empty()) || self.is_marker(text)
    }

    fn is_marker(&self, text: &[u8]) -> bool {
        self.null_marker.as_deref() == Some(text)
    }

    fn bytes<'a>(&self, encoding: Encoding, text: &'a [u8]) -> Result<Option<Cow<'a, [u8]>>, Wrong> {
        if self.is_null(text) { Ok(None) } else { encoding.decode(text).map(Some) }
    }
}

/// Milliseconds since the Unix epoch, of a number or of a date as RFC 3339 has it, as `milena consume` prints it.
pub(crate) fn time(text: &str) -> Result<i64, String> {
    let number = text.parse().ok();
    let date = || text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
    number
        .or_else(date)
        .filter(|&ms| ms >= 0)
        .ok_or_else(|| format!("expected milliseconds since 1970, or a date as in 2026-11-28T12:00:00Z, got {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_gets_what_is_common_to_all() {
        let headers = vec![("source".into(), "shop".into()), ("source".into(), String::new())];
        let key = Some(b"k".to_vec());
        let template = Template { topic: "orders".into(), partition: Some(2), timestamp: Some(17), key, headers };
        let record = template.record();
        assert_eq!((record.topic(), record.explicit_partition()), ("orders", Some(2)));
        assert_eq!((record.explicit_timestamp(), record.key_bytes()), (Some(17), Some(&b"k"[..])));
        let headers: Vec<_> = record.headers().iter().map(|h| (h.key.as_ref(), h.value.as_deref())).collect();
        assert_eq!(headers, [("source", Some(&b"shop"[..])), ("source", Some(&b""[..]))]);
    }

    #[test]
    fn null_is_a_marker_or_what_is_empty() {
        for (marker, empty_is_null, text, is_null) in [
            (None, false, "", false),
            (None, true, "", true),
            (None, true, "x", false),
            (Some("NULL"), false, "NULL", true),
            (Some("NULL"), false, "NULLS", false),
            (Some("NULL"), false, "", false),
            (Some(""), false, "", true),
        ] {
            let marker = marker.map(|marker: &str| marker.as_bytes().to_vec());
            let texts = Texts { null_marker: marker.clone(), empty_is_null, ..Texts::default() };
            let expected = (!is_null).then_some(text.as_bytes());
            assert_eq!(texts.key(text.as_bytes()).unwrap().as_deref(), expected, "{marker:?} {text:?}");
            assert_eq!(texts.value(text.as_bytes()).unwrap().as_deref(), expected, "{marker:?} {text:?}");
        }
    }

    #[test]
    fn key_and_value_have_encodings_of_their_own_and_the_marker_of_null_has_none() {
        let texts = Texts {
            key: Encoding::Hex,
            value: Encoding::Base64,
            null_marker: Some(b"-".to_vec()),
            empty_is_null: false,
        };
        assert_eq!(texts.key(b"00ff").unwrap().as_deref(), Some(&b"\x00\xff"[..]));
        assert_eq!(texts.value(b"AP8=").unwrap().as_deref(), Some(&b"\x00\xff"[..]));
        assert_eq!((texts.key(b"-"), texts.value(b"-")), (Ok(None), Ok(None)));
        assert!(texts.key(b"AP8=").is_err());
    }

    #[test]
    fn times_are_numbers_or_dates() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1700000000123", Some(1_700_000_000_123)),
            ("2023-11-14T22:13:20.123Z", Some(1_700_000_000_123)),
            ("2023-11-14T23:13:20+01:00", Some(1_700_000_000_000)),
            ("-1", None),
            ("1969-12-31T00:00:00Z", None),
            ("", None),
            ("noon", None),
        ] {
            assert_eq!(time(text).ok(), expected, "{text:?}");
        }
    }
}
