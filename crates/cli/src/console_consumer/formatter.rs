//! Formats records as Apache's message formatters do.
//!
//! In: the formatter's properties, and records. Out: bytes for stdout. Pure.

use std::borrow::Cow;

use milena::admin::{ConsumedRecord, TimestampType};

use super::deserializer::Deserializer;
use crate::apache::{self, is_true, value};

/// Which formatter of Apache's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Default,
    /// As the default, and logs each record.
    Logging,
    NoOp,
}

const PACKAGE: &str = "org.apache.kafka.tools.consumer";
const CLASSES: [(&str, Kind); 3] = [
    ("DefaultMessageFormatter", Kind::Default),
    ("LoggingMessageFormatter", Kind::Logging),
    ("NoOpMessageFormatter", Kind::NoOp),
];

/// Formats records.
#[derive(Debug)]
pub(super) struct Formatter {
    kind: Kind,
    /// Whether each of [`Column::ALL`] is printed.
    printed: [bool; Column::ALL.len()],
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null_literal: String,
    key: Option<Deserializer>,
    value: Option<Deserializer>,
    headers: Option<Deserializer>,
}

/// What may be printed of a record, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Timestamp,
    Partition,
    Offset,
    Delivery,
    Epoch,
    Headers,
    Key,
    Value,
}

impl Column {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Timestamp, "print.timestamp"),
        (Self::Partition, "print.partition"),
        (Self::Offset, "print.offset"),
        (Self::Delivery, "print.delivery"),
        (Self::Epoch, "print.epoch"),
        (Self::Headers, "print.headers"),
        (Self::Key, "print.key"),
        (Self::Value, "print.value"),
    ];
}

impl Formatter {
    /// The formatter of a class, with these properties. Names that it does not know have no effect, as in Apache's.
    pub(super) fn new(class: &str, properties: &[(String, String)]) -> Result<Self, String> {
        let or = |name, default| value(properties, name).unwrap_or(default).to_owned();
        let deserializer = |name| value(properties, name).map(|class| Deserializer::named(name, class)).transpose();
        let prints = |(column, name)| is_true(properties, name).unwrap_or(column == Column::Value);
        Ok(Self {
            kind: apache::class("--formatter", PACKAGE, &CLASSES, class)?,
            printed: Column::ALL.map(prints),
            key_separator: or("key.separator", "\t"),
            line_separator: or("line.separator", "\n"),
            headers_separator: or("headers.separator", ","),
            null_literal: or("null.literal", "null"),
            key: deserializer("key.deserializer")?,
            value: deserializer("value.deserializer")?,
            headers: deserializer("headers.deserializer")?,
        })
    }

    /// Appends a record to `out`. After an error the columns before it are there, as in Apache's.
    pub(super) fn put(&self, out: &mut Vec<u8>, record: &ConsumedRecord) -> Result<(), String> {
        if self.kind == Kind::NoOp {
            return Ok(());
        }
        let mut columns = Column::ALL.iter().zip(self.printed).filter(|(_, printed)| *printed).peekable();
        while let Some(((column, _), _)) = columns.next() {
            self.put_column(*column, out, record)?;
            let separator = if columns.peek().is_some() { &self.key_separator } else { &self.line_separator };
            out.extend_from_slice(separator.as_bytes());
        }
        if self.kind == Kind::Logging {
            tracing::info!("{}", logged(record));
        }
        Ok(())
    }

    fn put_column(&self, column: Column, out: &mut Vec<u8>, record: &ConsumedRecord) -> Result<(), String> {
        let text = match column {
            Column::Timestamp => timestamp(record),
            Column::Partition => format!("Partition:{}", record.partition),
            Column::Offset => format!("Offset:{}", record.offset),
            // Apache's console consumer never has either, because it is told neither.
            Column::Delivery => "Delivery:NOT_PRESENT".into(),
            Column::Epoch => "Epoch:NOT_PRESENT".into(),
            Column::Headers if record.headers.is_empty() => "NO_HEADERS".into(),
            Column::Headers => return self.put_headers(out, record),
            Column::Key => return self.put_bytes(out, self.key, record.key.as_deref()),
            Column::Value => return self.put_bytes(out, self.value, record.value.as_deref()),
        };
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn put_headers(&self, out: &mut Vec<u8>, record: &ConsumedRecord) -> Result<(), String> {
        for (number, (name, value)) in record.headers.iter().enumerate() {
            if number > 0 {
                out.extend_from_slice(self.headers_separator.as_bytes());
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            self.put_bytes(out, self.headers, value.as_deref())?;
        }
        Ok(())
    }

    /// What stands for null goes through the deserializer, too, as in Apache's.
    fn put_bytes(&self, out: &mut Vec<u8>, by: Option<Deserializer>, bytes: Option<&[u8]>) -> Result<(), String> {
        let bytes = bytes.unwrap_or(self.null_literal.as_bytes());
        out.extend_from_slice(&by.map_or(Ok(Cow::Borrowed(bytes)), |by| by.text(bytes))?);
        Ok(())
    }
}

fn timestamp(record: &ConsumedRecord) -> String {
    let by = match record.timestamp_type {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    format!("{by}:{}", record.timestamp)
}

fn logged(record: &ConsumedRecord) -> String {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| apache::text(bytes).into_owned());
    let key = text(record.key.as_deref()).map_or_else(|| "null ".into(), |key| key + ", ");
    let value = text(record.value.as_deref()).unwrap_or_else(|| "null".into());
    format!("{}, key:{key}value:{value}", timestamp(record))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::apache::property;

    const DEFAULT: &str = "org.apache.kafka.tools.consumer.DefaultMessageFormatter";

    fn record(
        key: Option<&'static [u8]>,
        value: Option<&'static [u8]>,
        headers: &[(&str, Option<&'static [u8]>)],
    ) -> ConsumedRecord {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(Bytes::from_static)));
        ConsumedRecord {
            partition: 3,
            offset: 42,
            timestamp: 17,
            timestamp_type: TimestampType::CreateTime,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: headers.collect(),
        }
    }

    fn put(class: &str, properties: &[&str], record: &ConsumedRecord) -> (Vec<u8>, Result<(), String>) {
        let properties: Vec<_> = properties.iter().map(|text| property(text).unwrap()).collect();
        let mut out = Vec::new();
        let done = Formatter::new(class, &properties).unwrap().put(&mut out, record);
        (out, done)
    }

    #[test]
    fn columns_are_printed_in_their_order_with_separators_between() {
        let all = Column::ALL.map(|(_, name)| format!("{name}=true"));
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let full = record(Some(b"k"), Some(b"v"), &[("a", Some(b"1")), ("b", None)]);
        let bare = record(None, None, &[]);
        for (properties, record, expected) in [
            (&[][..], &full, "v\n"),
            (&[], &bare, "null\n"),
            (
                &all,
                &full,
                "CreateTime:17\tPartition:3\tOffset:42\tDelivery:NOT_PRESENT\tEpoch:NOT_PRESENT\ta:1,b:null\tk\tv\n",
            ),
            (
                &all,
                &bare,
                "CreateTime:17\tPartition:3\tOffset:42\tDelivery:NOT_PRESENT\tEpoch:NOT_PRESENT\tNO_HEADERS\tnull\tnull\n",
            ),
            (&["print.key=true", "print.value=false"], &full, "k\n"),
            (&["print.value=no"], &full, ""),
            (&["print.key= TRUE ", "key.separator=::", "line.separator=;"], &full, "k::v;"),
            (&["print.headers=true", "headers.separator=|", "null.literal=-"], &full, "a:1|b:-\tv\n"),
            (&["unknown=1"], &full, "v\n"),
        ] {
            assert_eq!(String::from_utf8(put(DEFAULT, properties, record).0).unwrap(), expected, "{properties:?}");
        }
    }

    #[test]
    fn bytes_come_out_as_they_are_or_as_their_deserializer_has_it() {
        let package = "org.apache.kafka.common.serialization";
        let number = record(Some(b"\0\0\0\x07"), Some(b"\xff"), &[("a", None)]);
        let key = format!("key.deserializer={package}.IntegerDeserializer");
        assert_eq!(put(DEFAULT, &["print.key=true", &key], &number), (b"7\t\xff\n".into(), Ok(())));
        let headers = format!("headers.deserializer={package}.IntegerDeserializer");
        assert_eq!(put(DEFAULT, &["print.headers=true", &headers], &number), (b"a:1853189228\t\xff\n".into(), Ok(())));
        let value = format!("value.deserializer={package}.LongDeserializer");
        let error = Err("expected 8 bytes of a number, got 1".to_owned());
        assert_eq!(put(DEFAULT, &["print.partition=true", &value], &number), (b"Partition:3\t".into(), error));
    }

    #[test]
    fn of_the_other_formatters_one_prints_the_same_and_one_prints_nothing() {
        let record = record(None, Some(b"v"), &[]);
        for (class, expected) in [("LoggingMessageFormatter", &b"v\n"[..]), ("NoOpMessageFormatter", b"")] {
            assert_eq!(put(class, &[], &record).0, expected, "{class}");
        }
        assert_eq!(logged(&record), "CreateTime:17, key:null value:v");
        let error = Formatter::new("kafka.tools.DefaultMessageFormatter", &[]).unwrap_err();
        assert!(error.starts_with("--formatter: expected one of org.apache.kafka.tools.consumer.{"), "{error}");
    }
}
