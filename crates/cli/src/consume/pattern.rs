//! `--format-string`: prints each record as a format string says, in the verbs of kcat and rpk.
//!
//! In: a format string, and records. Out: bytes for each. Pure.

use milena::admin::ConsumedRecord;

use crate::{
    encoding::{self, Encoding},
    output::{Dates, printable, put_json, put_number},
};

/// The verbs, with what they print.
const VERBS: &str = "%t topic, %p partition, %o offset, %k key, %K its length (-1 for null), %v or %s value, %V or %S its length, \
    %R its length as 4 bytes, %h headers as name=value,name=value, %H how many, %T or %d timestamp in milliseconds, \
    %i how many records were printed before, %% a percent sign, %{ and %} braces";
/// What may stand in braces behind a verb.
const MODIFIERS: &str = "{hex}, {base64} or {json} behind %k, %v and %s, {date} behind %T and %d";

/// A format string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
    /// What stands for null.
    null: Vec<u8>,
    /// Whether control characters are escaped.
    safe: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key(Shape),
    KeyLen,
    Value(Shape),
    ValueLen,
    BinaryValueLen,
    Headers,
    HeaderCount,
    Timestamp,
    Date,
    Count,
}

/// How a key or a value is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    In(Encoding),
    /// A text of JSON; what is no UTF-8 in it becomes `U+FFFD`.
    Json,
}

impl Pattern {
    /// Parses a format string.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((literal, behind)) = rest.split_once('%') {
            let mut chars = behind.chars();
            let verb = chars.next().ok_or("a percent sign at the end; %% prints one")?;
            let (modifier, behind) = modifier(verb, chars.as_str())?;
            parts.push(Part::Literal(encoding::unescape(literal)?));
            parts.push(part(verb, modifier)?);
            rest = behind;
        }
        parts.push(Part::Literal(encoding::unescape(rest)?));
        parts.retain(|part| *part != Part::Literal(Vec::new()));
        Ok(Self { parts, ..Self::default() })
    }

    /// The same with a text for null; for a terminal with control characters escaped.
    pub(crate) fn with(self, null: &str, safe: bool) -> Self {
        Self { null: null.into(), safe, ..self }
    }

    /// Appends a record. `count` is how many were printed before.
    pub(crate) fn put(&self, out: &mut Vec<u8>, dates: &mut Dates, topic: &str, record: &ConsumedRecord, count: u64) {
        for part in &self.parts {
            match part {
                Part::Literal(bytes) => out.extend_from_slice(bytes),
                Part::Topic => out.extend_from_slice(topic.as_bytes()),
                Part::Partition => put_number(out, record.partition),
                Part::Offset => put_number(out, record.offset),
                Part::Key(shape) => self.put_bytes(out, *shape, record.key.as_deref()),
                Part::KeyLen => put_number(out, len(record.key.as_deref())),
                Part::Value(shape) => self.put_bytes(out, *shape, record.value.as_deref()),
                Part::ValueLen => put_number(out, len(record.value.as_deref())),
                // kcat's form, in which null is -1 as well.
                Part::BinaryValueLen => {
                    let len = i32::try_from(len(record.value.as_deref())).unwrap_or(i32::MAX);
                    out.extend_from_slice(&len.to_be_bytes());
                }
                Part::Headers => self.put_headers(out, record),
                Part::HeaderCount => put_number(out, record.headers.len()),
                Part::Timestamp => put_number(out, record.timestamp),
                Part::Date => dates.put(out, record.timestamp),
                Part::Count => put_number(out, count),
            }
        }
    }
}

impl Pattern {
    fn put_bytes(&self, out: &mut Vec<u8>, shape: Shape, bytes: Option<&[u8]>) {
        match (shape, bytes) {
            (Shape::Json, None) => out.extend_from_slice(b"null"),
            (Shape::Json, Some(bytes)) => put_json(out, &String::from_utf8_lossy(bytes)),
            (Shape::In(_), None) => out.extend_from_slice(&self.null),
            (Shape::In(Encoding::Text), Some(bytes)) if self.safe => out.extend_from_slice(printable(bytes).as_bytes()),
            (Shape::In(encoding), Some(bytes)) => encoding.put(out, bytes),
        }
    }

    fn put_headers(&self, out: &mut Vec<u8>, record: &ConsumedRecord) {
        let text = Shape::In(Encoding::Text);
        for (nth, (name, value)) in record.headers.iter().enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            self.put_bytes(out, text, Some(name.as_bytes()));
            out.push(b'=');
            self.put_bytes(out, text, value.as_deref());
        }
    }
}

/// What stands in braces directly behind a verb, and what follows. A brace is a verb, too.
fn modifier(verb: char, text: &str) -> Result<(Option<&str>, &str), String> {
    match text.strip_prefix('{') {
        Some(inside) if !"%{}".contains(verb) => match inside.split_once('}') {
            Some((modifier, behind)) => Ok((Some(modifier), behind)),
            None => Err(format!("expected }} behind %{verb}{{; %{{ prints a brace")),
        },
        _ => Ok((None, text)),
    }
}

fn part(verb: char, modifier: Option<&str>) -> Result<Part, String> {
    Ok(match (verb, modifier) {
        ('k', modifier) => Part::Key(shape(verb, modifier)?),
        ('v' | 's', modifier) => Part::Value(shape(verb, modifier)?),
        ('T' | 'd', Some("date")) => Part::Date,
        ('t' | 'p' | 'o' | 'K' | 'V' | 'S' | 'R' | 'h' | 'H' | 'T' | 'd' | 'i', Some(modifier)) => {
            return Err(unknown_modifier(verb, modifier));
        }
        ('t', _) => Part::Topic,
        ('p', _) => Part::Partition,
        ('o', _) => Part::Offset,
        ('K', _) => Part::KeyLen,
        ('V' | 'S', _) => Part::ValueLen,
        ('R', _) => Part::BinaryValueLen,
        ('h', _) => Part::Headers,
        ('H', _) => Part::HeaderCount,
        ('T' | 'd', _) => Part::Timestamp,
        ('i', _) => Part::Count,
        ('%' | '{' | '}', _) => Part::Literal(verb.to_string().into_bytes()),
        _ => return Err(format!("expected one of {VERBS}, got %{verb}")),
    })
}

fn shape(verb: char, modifier: Option<&str>) -> Result<Shape, String> {
    match modifier {
        None => Ok(Shape::In(Encoding::Text)),
        Some("hex") => Ok(Shape::In(Encoding::Hex)),
        Some("base64") => Ok(Shape::In(Encoding::Base64)),
        Some("json") => Ok(Shape::Json),
        Some(other) => Err(unknown_modifier(verb, other)),
    }
}

fn unknown_modifier(verb: char, modifier: &str) -> String {
    format!("expected {MODIFIERS}, got %{verb}{{{modifier}}}")
}

/// The length; -1 for null, as in kcat.
fn len(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use milena::admin::TimestampType;

    use super::*;

    fn record(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> ConsumedRecord {
        ConsumedRecord {
            partition: 3,
            offset: 42,
            timestamp: 1_700_000_000_123,
            timestamp_type: TimestampType::CreateTime,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: vec![("a".into(), Some(Bytes::from_static(b"1"))), ("b".into(), None)],
        }
    }

    fn put(pattern: &str, record: &ConsumedRecord, safe: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let pattern = Pattern::parse(pattern).unwrap().with("~", safe);
        pattern.put(&mut out, &mut Dates::default(), "orders", record, 7);
        out
    }

    #[test]
    fn verbs_print_parts_of_a_record() {
        let (full, null) = (record(Some(b"k"), Some(b"\xff\"")), record(None, None));
        for (pattern, record, expected) in [
            ("%t %p %o %k %s\\n", &full, &b"orders 3 42 k \xff\"\n"[..]),
            ("%K %S %V %H %i", &full, b"1 2 2 2 7"),
            ("%K %S %k|%v|%h", &null, b"-1 -1 ~|~|a=1,b=~"),
            ("%R", &full, b"\0\0\0\x02"),
            ("%R", &null, b"\xff\xff\xff\xff"),
            ("%T %d{date} %T{date}", &full, b"1700000000123 2023-11-14T22:13:20.123Z 2023-11-14T22:13:20.123Z"),
            ("%k{hex} %v{base64} %v{json}", &full, "6b /yI= \"\u{fffd}\\\"\"".as_bytes()),
            ("%v{json}%v{hex}", &null, b"null~"),
            ("100%% %{%k%} {}\\t\\x41", &full, b"100% {k} {}\tA"),
            ("plain", &full, b"plain"),
            ("", &full, b""),
        ] {
            assert_eq!(put(pattern, record, false), expected, "{pattern}");
        }
    }

    #[test]
    fn on_a_terminal_records_cannot_control_it_but_the_pattern_can() {
        let record = record(Some(b"\x1b[2J"), Some(b"\x07\xff"));
        assert_eq!(put("\t%k %s{hex}\n", &record, true), b"\t\\u{1b}[2J 07ff\n");
        assert_eq!(put("%s", &record, true), b"\\u{7}\\xff");
    }

    #[test]
    fn a_verb_that_is_not_there_is_refused_with_those_that_are() {
        for (pattern, expected) in [
            ("%q", "expected one of %t topic, %p partition"),
            (
                "%k{upper}",
                "expected {hex}, {base64} or {json} behind %k, %v and %s, {date} behind %T and %d, got %k{upper}",
            ),
            ("%t{hex}", "expected {hex}, {base64} or {json} behind"),
            ("%k{hex", "expected } behind %k{"),
            ("100%", "a percent sign at the end; %% prints one"),
            ("\\q", "expected \\n, \\r, \\t, \\0, \\xNN or \\\\"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert!(error.starts_with(expected), "{pattern}: {error}");
        }
    }
}
