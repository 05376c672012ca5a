//! Formats acknowledgements, errors and records, as text or as JSON.
//!
//! In: acknowledgements, errors, records. Out: one line each. Pure. Bytes from a broker are untrusted, so text for a terminal never
//! has control characters, and JSON has bytes that are not UTF-8 as base64 under another name.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::ValueEnum;
use jiff::Timestamp;
use milena::{
    Ack, DeliveryError, ErrorCode, FailureKind, Header, Persisted, Record, SendError,
    admin::{ConsumedRecord, TimestampType},
};
use serde::Serialize;

/// The format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line for a person
    Text,
    /// An object for each line
    Json,
}

/// Milliseconds since the Unix epoch as RFC 3339 in UTC; the bare number where no such date exists.
pub(crate) fn date(unix_ms: i64) -> String {
    match Timestamp::from_millisecond(unix_ms) {
        Ok(timestamp) if unix_ms >= 0 => format!("{timestamp:.3}"),
        _ => unix_ms.to_string(),
    }
}

/// A cache of the last date, because many timestamps are in the same second.
#[derive(Debug, Default)]
pub(crate) struct Dates {
    second: i64,
    /// The second's date and time; empty if it has none.
    text: String,
}

impl Dates {
    /// Writes the same text as [`date`].
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, unix_ms: i64) {
        let second = unix_ms.div_euclid(1_000);
        if second != self.second || self.text.is_empty() {
            let date = date(second.saturating_mul(1_000));
            (self.second, self.text) = (second, date.strip_suffix("000Z").unwrap_or_default().to_owned());
        }
        if self.text.is_empty() {
            return put_number(out, unix_ms);
        }
        let digit = |of: i64| b'0' + (unix_ms.rem_euclid(1_000) / of % 10) as u8;
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(&[digit(100), digit(10), digit(1), b'Z']);
    }
}

/// Writes a number.
pub(crate) fn put_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A time since the start, for the lines of labs and of their log.
pub(crate) fn stamp(since_start: Duration) -> String {
    format!("{:>7.3} s", since_start.as_secs_f64())
}

/// A duration for a person: `830 µs`, `12 ms`, `3.41 s`.
pub(crate) fn elapsed(duration: Duration) -> String {
    match duration.as_micros() {
        us @ 0..1_000 => format!("{us} µs"),
        us @ 1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

/// `1 line`, `2 lines`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Bytes as text that cannot control a terminal: control characters, characters that change the direction of text, and bytes that
/// are not UTF-8 are escaped.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_bidi(c) { out.extend(c.escape_default()) } else { out.push(c) }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Does the same for several lines and keeps their ends.
pub(crate) fn printable_lines(text: &str) -> String {
    Vec::from_iter(text.split('\n').map(|line| printable(line.as_bytes()))).join("\n")
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Why a record is not in the log, or may not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The kind of failure in a word or two: `expired`, `not accepted`.
    pub(crate) kind: String,
    /// The Kafka error code; `NONE` if no broker was involved.
    pub(crate) code: ErrorCode,
    pub(crate) persisted: Persisted,
    pub(crate) retriable: bool,
    pub(crate) message: String,
}

impl Failure {
    /// The failure of a record that this program itself refused.
    pub(crate) fn refused(message: String) -> Self {
        let kind = "not accepted".into();
        Self { kind, code: ErrorCode::NONE, persisted: Persisted::No, retriable: false, message }
    }
}

impl From<&DeliveryError> for Failure {
    fn from(error: &DeliveryError) -> Self {
        let ended = after_closing(error.kind(), error.topic(), error.partition(), error.persisted());
        Self {
            kind: error.kind().to_string(),
            code: error.code(),
            persisted: error.persisted(),
            retriable: error.retriable(),
            message: ended.unwrap_or_else(|| error.to_string()),
        }
    }
}

/// The message for an unfinished record after closing. The library's message would say how to close the producer; the command
/// does that already, and closes early only if the user interrupts it.
fn after_closing(kind: FailureKind, topic: &str, partition: i32, persisted: Persisted) -> Option<String> {
    match kind {
        FailureKind::Closed | FailureKind::Abandoned => {
            Some(format!("no answer for {topic}-{partition} when the waiting was ended ({persisted})"))
        }
        _ => None,
    }
}

impl From<&SendError> for Failure {
    fn from(error: &SendError) -> Self {
        let (code, retriable) = (error.code(), error.retriable());
        let message = match error {
            SendError::Closed { topic } => format!("the sending to {topic} has ended"),
            _ => error.to_string(),
        };
        Self { code, retriable, persisted: error.persisted(), ..Self::refused(message) }
    }
}

/// The outcome of one input line.
pub(crate) type Outcome<'a> = Result<&'a Ack, &'a Failure>;

/// A failure as a line of text.
pub(crate) fn failure(line: u64, failure: &Failure) -> String {
    format!("line {line}: failed: {}", failure.message)
}

/// Writes the outcome of one input line. There may be a million of them in a second, so a delivered line allocates nothing.
pub(crate) fn put_outcome(out: &mut Vec<u8>, dates: &mut Dates, format: Format, line: u64, outcome: Outcome<'_>) {
    match (format, outcome) {
        (Format::Text, Ok(ack)) => {
            out.extend_from_slice(b"line ");
            put_number(out, line);
            out.extend_from_slice(b": ");
            put_place(out, dates, ack);
        }
        (Format::Text, Err(failed)) => out.extend_from_slice(failure(line, failed).as_bytes()),
        (Format::Json, Ok(ack)) => put_json(
            out,
            &AckLine {
                line,
                topic: ack.topic(),
                partition: ack.partition(),
                offset: ack.offset(),
                timestamp: ack.timestamp(),
            },
        ),
        (Format::Json, Err(failure)) => put_json(
            out,
            &FailureLine {
                line,
                error: &failure.kind,
                code: (failure.code != ErrorCode::NONE).then(|| failure.code.name()),
                written: written(failure.persisted),
                retriable: failure.retriable,
                message: &failure.message,
            },
        ),
    }
    out.push(b'\n');
}

/// The topic, partition, offset and timestamp of a record, as text.
pub(crate) fn place(ack: &Ack) -> String {
    let mut out = Vec::new();
    put_place(&mut out, &mut Dates::default(), ack);
    printable(&out)
}

fn put_place(out: &mut Vec<u8>, dates: &mut Dates, ack: &Ack) {
    out.extend_from_slice(b"topic=");
    out.extend_from_slice(ack.topic().as_bytes());
    out.extend_from_slice(b" partition=");
    put_number(out, ack.partition());
    out.extend_from_slice(b" offset=");
    match ack.offset() {
        Some(offset) => put_number(out, offset),
        None => out.extend_from_slice(b"unknown"),
    }
    out.extend_from_slice(b" timestamp=");
    dates.put(out, ack.timestamp());
    out.extend_from_slice(b" (");
    put_number(out, ack.timestamp());
    out.push(b')');
}

/// Whether a failed record is in the log: `no` or `unknown`.
pub(crate) fn written(persisted: Persisted) -> &'static str {
    match persisted {
        Persisted::No => "no",
        Persisted::Unknown => "unknown",
    }
}

#[derive(Serialize)]
struct AckLine<'a> {
    line: u64,
    topic: &'a str,
    partition: i32,
    offset: Option<i64>,
    timestamp: i64,
}

#[derive(Serialize)]
struct FailureLine<'a> {
    line: u64,
    error: &'a str,
    code: Option<&'static str>,
    written: &'static str,
    retriable: bool,
    message: &'a str,
}

/// Formats a record that is not sent. As JSON it is as one of the log, without an offset.
pub(crate) fn unsent(format: Format, line: u64, record: &Record<'_>, partition: Option<i32>) -> Vec<u8> {
    if format == Format::Json {
        let mut out = Vec::new();
        put_json(
            &mut out,
            &UnsentLine {
                topic: record.topic(),
                partition,
                timestamp: record.explicit_timestamp(),
                key: Key::new(record.key_bytes()),
                value: Value::new(record.value_bytes()),
                headers: record.headers().iter().map(HeaderLine::of).collect(),
            },
        );
        return out;
    }
    let bytes =
        |bytes: Option<&[u8]>| bytes.map_or_else(|| "null".to_owned(), |bytes| count(bytes.len() as u64, "byte"));
    let partition = partition.map_or_else(|| "any".to_owned(), |partition| partition.to_string());
    let (topic, headers) = (printable(record.topic().as_bytes()), record.headers().len());
    let (key, value) = (bytes(record.key_bytes()), bytes(record.value_bytes()));
    let timestamp = record.explicit_timestamp().map_or_else(|| "now".to_owned(), date);
    format!("line {line}: topic={topic} partition={partition} timestamp={timestamp} key={key} value={value} headers={headers}")
        .into_bytes()
}

#[derive(Serialize)]
struct UnsentLine<'a> {
    topic: &'a str,
    partition: Option<i32>,
    timestamp: Option<i64>,
    #[serde(flatten)]
    key: Key<'a>,
    #[serde(flatten)]
    value: Value<'a>,
    headers: Vec<HeaderLine<'a>>,
}

/// Writes a record of the log; it has as many lines as its value. With `safe`, for terminals, control characters are escaped.
/// Without, keys, values and header values are written byte for byte. There may be millions of them, so text allocates nothing.
pub(crate) fn put_record(
    out: &mut Vec<u8>,
    dates: &mut Dates,
    format: Format,
    topic: &str,
    record: &ConsumedRecord,
    safe: bool,
) {
    match format {
        Format::Json => put_json(out, &RecordLine::new(topic, record)),
        Format::Text => put_record_text(out, dates, topic, record, safe),
    }
}

fn put_record_text(out: &mut Vec<u8>, dates: &mut Dates, topic: &str, record: &ConsumedRecord, safe: bool) {
    out.extend_from_slice(topic.as_bytes());
    out.push(b'-');
    put_number(out, record.partition);
    out.push(b'@');
    put_number(out, record.offset);
    out.push(b'\t');
    dates.put(out, record.timestamp);
    out.push(b'\t');
    put_text(out, record.key.as_deref(), safe);
    out.push(b'\t');
    put_text(out, record.value.as_deref(), safe);
    for (name, value) in &record.headers {
        out.push(b'\t');
        put_text(out, Some(name.as_bytes()), safe);
        out.push(b'=');
        put_text(out, value.as_deref(), safe);
    }
}

fn put_text(out: &mut Vec<u8>, bytes: Option<&[u8]>, safe: bool) {
    match bytes {
        None => out.extend_from_slice(b"(null)"),
        Some(bytes) if safe => out.extend_from_slice(printable(bytes).as_bytes()),
        Some(bytes) => out.extend_from_slice(bytes),
    }
}

#[derive(Serialize)]
struct RecordLine<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    timestamp_type: &'static str,
    #[serde(flatten)]
    key: Key<'a>,
    #[serde(flatten)]
    value: Value<'a>,
    headers: Vec<HeaderLine<'a>>,
}

impl<'a> RecordLine<'a> {
    fn new(topic: &'a str, record: &'a ConsumedRecord) -> Self {
        let header = |(name, value): &'a (String, _)| HeaderLine { name, value: Value::new(Option::as_deref(value)) };
        Self {
            topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            timestamp_type: match record.timestamp_type {
                TimestampType::CreateTime => "CreateTime",
                TimestampType::LogAppendTime => "LogAppendTime",
            },
            key: Key::new(record.key.as_deref()),
            value: Value::new(record.value.as_deref()),
            headers: record.headers.iter().map(header).collect(),
        }
    }
}

/// A header, as JSON.
#[derive(Serialize)]
pub(crate) struct HeaderLine<'a> {
    #[serde(rename = "key")]
    pub(crate) name: &'a str,
    #[serde(flatten)]
    pub(crate) value: Value<'a>,
}

impl<'a> HeaderLine<'a> {
    fn of(header: &'a Header<'_>) -> Self {
        Self { name: &header.key, value: Value::new(header.value.as_deref()) }
    }
}

/// A key, as JSON: text, or base64 under another name.
#[derive(Serialize)]
pub(crate) enum Key<'a> {
    #[serde(rename = "key")]
    Text(Option<&'a str>),
    #[serde(rename = "key_base64")]
    Binary(String),
}

impl<'a> Key<'a> {
    pub(crate) fn new(bytes: Option<&'a [u8]>) -> Self {
        match bytes.map(str::from_utf8).transpose() {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Binary(STANDARD.encode(bytes.unwrap_or_default())),
        }
    }
}

/// A value, as JSON: text, or base64 under another name.
#[derive(Serialize)]
pub(crate) enum Value<'a> {
    #[serde(rename = "value")]
    Text(Option<&'a str>),
    #[serde(rename = "value_base64")]
    Binary(String),
}

impl<'a> Value<'a> {
    pub(crate) fn new(bytes: Option<&'a [u8]>) -> Self {
        match Key::new(bytes) {
            Key::Text(text) => Self::Text(text),
            Key::Binary(base64) => Self::Binary(base64),
        }
    }
}

/// A line of JSON.
pub(crate) fn json(line: &impl Serialize) -> String {
    // These types cannot fail to serialize.
    serde_json::to_string(line).unwrap_or_default()
}

/// Writes what has a form in JSON.
pub(crate) fn put_json(out: &mut Vec<u8>, line: &(impl Serialize + ?Sized)) {
    // These types cannot fail to serialize, and a write to a vector cannot fail.
    let _ = serde_json::to_writer(out, line);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn consumed(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> ConsumedRecord {
        ConsumedRecord {
            partition: 1,
            offset: 42,
            timestamp: 1_700_000_000_123,
            timestamp_type: TimestampType::CreateTime,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: vec![("h".into(), None), ("h".into(), Some(Bytes::from_static(b"\xff")))],
        }
    }

    #[test]
    fn dates_are_rfc_3339_with_milliseconds_and_what_is_no_date_stays_a_number() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (-1, "-1"),
            (i64::MAX, "9223372036854775807"),
        ] {
            assert_eq!(date(ms), expected);
        }
    }

    #[test]
    fn cached_dates_are_the_same() {
        let mut dates = Dates::default();
        let times = [
            0,
            1,
            999,
            1_000,
            1_700_000_000_123,
            1_700_000_000_999,
            1_700_000_001_000,
            -1,
            -1_001,
            i64::MAX,
            i64::MIN,
            5,
            -5,
        ];
        for ms in times {
            let mut out = Vec::new();
            dates.put(&mut out, ms);
            assert_eq!(String::from_utf8(out).unwrap(), date(ms));
        }
    }

    #[test]
    fn durations_are_formatted_in_the_unit_that_fits() {
        for (us, expected) in
            [(0, "0 µs"), (999, "999 µs"), (1_999, "1 ms"), (999_999, "999 ms"), (1_234_000, "1.23 s")]
        {
            assert_eq!(elapsed(Duration::from_micros(us)), expected);
        }
    }

    #[test]
    fn text_for_a_terminal_cannot_control_it() {
        for (bytes, expected) in [
            (&b"plain \xc3\xa9 \\"[..], "plain é \\"),
            (b"\x1b[2J\x07", "\\u{1b}[2J\\u{7}"),
            (b"a\r\nb\tc", "a\\r\\nb\\tc"),
            (b"\xc2\x9b31m", "\\u{9b}31m"),
            ("\u{202e}txt.exe".as_bytes(), "\\u{202e}txt.exe"),
            (b"a\xff\xfeb\xc3", "a\\xff\\xfeb\\xc3"),
        ] {
            assert_eq!(printable(bytes), expected);
        }
        assert_eq!(printable_lines("a\x1b\nb"), "a\\u{1b}\nb");
    }

    fn record(format: Format, topic: &str, record: &ConsumedRecord, safe: bool) -> Vec<u8> {
        let mut out = Vec::new();
        put_record(&mut out, &mut Dates::default(), format, topic, record, safe);
        out
    }

    #[test]
    fn a_record_as_text_has_place_date_key_value_and_headers() {
        let line = record(Format::Text, "orders", &consumed(None, Some(b"a\x1b")), true);
        let expected = "orders-1@42\t2023-11-14T22:13:20.123Z\t(null)\ta\\u{1b}\th=(null)\th=\\xff";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn a_record_as_text_for_a_pipe_keeps_every_byte() {
        let line = record(Format::Text, "t", &consumed(Some(b"\xff"), Some(b"a\x1b\n")), false);
        assert!(line.ends_with(b"\t\xff\ta\x1b\n\th=(null)\th=\xff"));
    }

    #[test]
    fn a_record_as_json_distinguishes_text_null_and_bytes() {
        let line = record(Format::Json, "orders", &consumed(Some(b"\x00\xff"), Some(b"\"a\"\n")), true);
        let expected = r#"{"topic":"orders","partition":1,"offset":42,"timestamp":1700000000123,"timestamp_type":"CreateTime","key_base64":"AP8=","value":"\"a\"\n","headers":[{"key":"h","value":null},{"key":"h","value_base64":"/w=="}]}"#;
        assert_eq!(String::from_utf8(line).unwrap(), expected);
        let null = record(Format::Json, "orders", &consumed(None, None), true);
        assert!(String::from_utf8(null).unwrap().contains(r#""key":null,"value":null"#));
    }

    #[test]
    fn a_record_that_is_not_sent_is_told_with_what_is_known() {
        let told =
            |format, record: &Record<'_>, partition| String::from_utf8(unsent(format, 3, record, partition)).unwrap();
        let record = Record::to("t").key("k").value(b"\xff").header("a", "1").timestamp(0);
        let text = "line 3: topic=t partition=2 timestamp=1970-01-01T00:00:00.000Z key=1 byte value=1 byte headers=1";
        assert_eq!(told(Format::Text, &record, Some(2)), text);
        let json = r#"{"topic":"t","partition":2,"timestamp":0,"key":"k","value_base64":"/w==","headers":[{"key":"a","value":"1"}]}"#;
        assert_eq!(told(Format::Json, &record, Some(2)), json);
        let text = "line 3: topic=t partition=any timestamp=now key=null value=null headers=0";
        assert_eq!(told(Format::Text, &Record::to("t"), None), text);
    }

    #[test]
    fn a_failure_says_kind_code_and_whether_it_was_written() {
        let failure = Failure {
            kind: "expired".into(),
            code: ErrorCode::REQUEST_TIMED_OUT,
            persisted: Persisted::Unknown,
            retriable: true,
            message: "gone".into(),
        };
        let outcome = |format, line, outcome: Outcome<'_>| {
            let mut out = Vec::new();
            put_outcome(&mut out, &mut Dates::default(), format, line, outcome);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(outcome(Format::Text, 3, Err(&failure)), "line 3: failed: gone\n");
        let expected = r#"{"line":3,"error":"expired","code":"REQUEST_TIMED_OUT","written":"unknown","retriable":true,"message":"gone"}"#;
        assert_eq!(outcome(Format::Json, 3, Err(&failure)), format!("{expected}\n"));
        let refused = outcome(Format::Json, 1, Err(&Failure::refused("no key".into())));
        assert!(refused.contains(r#""error":"not accepted","code":null,"written":"no""#), "{refused}");
    }

    #[test]
    fn messages_are_about_the_command_and_not_the_library() {
        let closed = SendError::Closed { topic: "t".into() };
        assert_eq!(Failure::from(&closed).message, "the sending to t has ended");
        let by = |kind| after_closing(kind, "t", 3, Persisted::Unknown);
        assert_eq!(
            by(FailureKind::Closed).unwrap(),
            "no answer for t-3 when the waiting was ended (may have been written)"
        );
        assert_eq!(by(FailureKind::Abandoned), by(FailureKind::Closed));
        assert_eq!(by(FailureKind::Expired), None);
    }

    #[test]
    fn a_refused_send_was_certainly_not_written() {
        let error = SendError::QueueFull { topic: "t".into(), needed: 2, free: 1, limit: 1 };
        let failure = Failure::from(&error);
        assert_eq!((failure.persisted, failure.retriable), (Persisted::No, true));
        assert_eq!(failure.message, error.to_string());
    }
}
