//! Events and counts as text and as JSON.
//!
//! In: an event, counts. Out: lines. Pure but for [`Rows`], which prints. Events are untrusted, so text has no control characters.

use std::{
    fmt::Write as _,
    io::{BufWriter, Write},
    ops::ControlFlow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use milena_resilience::store::{EventError, Position, StoreStats, StoredEvent};
use serde::Serialize;

use super::age;
use crate::{
    console::Stdout,
    output::{self, HeaderLine, Key, Value, printable},
};

/// The most characters of an error in a line of a list.
const MAX_ERROR: usize = 200;

/// Prints a line for each event, until stdout takes no more.
pub(super) struct Rows {
    json: bool,
    out: BufWriter<Stdout>,
}

impl Rows {
    pub(super) fn new(json: bool) -> Self {
        Self { json, out: BufWriter::new(Stdout) }
    }

    pub(super) fn print(&mut self, event: &StoredEvent) -> ControlFlow<()> {
        let line = if self.json { output::json(&EventLine::of(event)) } else { row(event) };
        match writeln!(self.out, "{line}") {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    pub(super) fn flush(&mut self) {
        // The console keeps the error.
        let _ = self.out.flush();
    }
}

/// An event in a line, without headers and payload.
fn row(event: &StoredEvent) -> String {
    let StoredEvent { seq, status, attempts, event_id, .. } = event;
    let (topic, key) = (printable(event.topic.as_bytes()), text(event.key.as_deref()));
    let error = event.last_error.as_ref().map_or_else(|| "-".to_owned(), |error| cut(error_text(error)));
    format!("{seq}\t{status}\t{topic}\t{key}\t{attempts}\t{}\t{event_id}\t{error}", date(event.created_at))
}

/// All of an event, over several lines.
pub(super) fn whole(event: &StoredEvent, hex: bool) -> String {
    let mut out = String::new();
    let mut put = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<13} {value}");
    };
    put("seq", event.seq.to_string());
    put("event id", event.event_id.to_string());
    put("status", event.status.to_string());
    put("topic", printable(event.topic.as_bytes()));
    put("key", shown(event.key.as_deref(), hex));
    put("attempts", format!("{} failed", event.attempts));
    if event.status.is_unsettled() {
        let due = if event.due_in.is_zero() { "due".to_owned() } else { format!("in {}", age::text(event.due_in)) };
        put("next attempt", due);
    }
    put("maybe sent", if event.maybe_sent { "yes: it may be in its topic" } else { "no" }.to_owned());
    if let Some(Position { partition, offset }) = event.position {
        put("written at", format!("partition {partition}, offset {offset}"));
    }
    put("stored", date(event.created_at));
    put("changed", date(event.updated_at));
    put("bytes", event.bytes.to_string());
    for (name, error) in [("first error", &event.first_error), ("last error", &event.last_error)] {
        put(name, error.as_ref().map_or_else(|| "-".to_owned(), error_text));
    }
    for (name, value) in &event.headers {
        put("header", format!("{}={}", printable(name.as_bytes()), shown(value.as_deref(), hex)));
    }
    put("payload", shown_lines(event.payload.as_deref(), hex));
    out.truncate(out.trim_end_matches('\n').len());
    out
}

/// All of an event as a JSON object.
pub(super) fn whole_json(event: &StoredEvent) -> String {
    let header = |(name, value): &'_ (String, Option<Vec<u8>>)| (name.clone(), value.clone());
    let headers: Vec<_> = event.headers.iter().map(header).collect();
    let headers =
        headers.iter().map(|(name, value)| HeaderLine { name, value: Value::new(value.as_deref()) }).collect();
    output::json(&WholeLine { event: EventLine::of(event), headers, value: Value::new(event.payload.as_deref()) })
}

fn error_text(error: &EventError) -> String {
    printable(format!("{}: {}", error.class(), error.text()).as_bytes())
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_ERROR) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "(null)".to_owned(), printable)
}

/// Bytes as text, or in base 16 if they are none.
fn shown(bytes: Option<&[u8]>, hex: bool) -> String {
    match bytes {
        Some(bytes) if hex || str::from_utf8(bytes).is_err() => in_base_16(bytes),
        _ => text(bytes),
    }
}

/// The same, and text keeps its lines.
fn shown_lines(bytes: Option<&[u8]>, hex: bool) -> String {
    match bytes.map(str::from_utf8) {
        Some(Ok(text)) if !hex => output::printable_lines(text),
        _ => shown(bytes, hex),
    }
}

fn in_base_16(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn date(time: SystemTime) -> String {
    output::date(unix_ms(time))
}

fn unix_ms(time: SystemTime) -> i64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default()).try_into().unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

#[derive(Serialize)]
struct EventLine<'a> {
    seq: i64,
    event_id: String,
    status: &'static str,
    topic: &'a str,
    #[serde(flatten)]
    key: Key<'a>,
    attempts: u32,
    due_in_ms: u64,
    maybe_sent: bool,
    created_at: i64,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    bytes: u64,
    first_error: Option<ErrorLine<'a>>,
    last_error: Option<ErrorLine<'a>>,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    class: &'a str,
    message: &'a str,
}

impl<'a> EventLine<'a> {
    fn of(event: &'a StoredEvent) -> Self {
        let error = |error: &'a EventError| ErrorLine { class: error.class(), message: error.text() };
        Self {
            seq: event.seq.0,
            event_id: event.event_id.to_string(),
            status: event.status.as_str(),
            topic: &event.topic,
            key: Key::new(event.key.as_deref()),
            attempts: event.attempts,
            due_in_ms: millis(event.due_in),
            maybe_sent: event.maybe_sent,
            created_at: unix_ms(event.created_at),
            updated_at: unix_ms(event.updated_at),
            partition: event.position.map(|position| position.partition),
            offset: event.position.map(|position| position.offset),
            bytes: event.bytes,
            first_error: event.first_error.as_ref().map(error),
            last_error: event.last_error.as_ref().map(error),
        }
    }
}

#[derive(Serialize)]
struct WholeLine<'a> {
    #[serde(flatten)]
    event: EventLine<'a>,
    headers: Vec<HeaderLine<'a>>,
    #[serde(flatten)]
    value: Value<'a>,
}

/// Counts, over several lines.
pub(super) fn stats(stats: &StoreStats) -> String {
    let oldest = stats.oldest.map_or_else(|| "-".to_owned(), age::text);
    let lines = [
        ("PENDING", stats.pending.to_string()),
        ("RETRYING", stats.retrying.to_string()),
        ("DLQ_FAILED", stats.dlq_failed.to_string()),
        ("oldest", oldest),
        ("rows", stats.rows.to_string()),
        ("bytes", stats.bytes.to_string()),
        ("resolved", stats.resolved.to_string()),
        ("dlq", stats.dlq.to_string()),
        ("purged", stats.purged.to_string()),
    ];
    Vec::from_iter(lines.map(|(name, value)| format!("{name:<11} {value}"))).join("\n")
}

/// Counts as a JSON object.
pub(super) fn stats_json(stats: &StoreStats) -> String {
    output::json(&StatsLine {
        pending: stats.pending,
        retrying: stats.retrying,
        dlq_failed: stats.dlq_failed,
        resolved: stats.resolved,
        dlq: stats.dlq,
        purged: stats.purged,
        rows: stats.rows,
        bytes: stats.bytes,
        oldest_ms: stats.oldest.map(millis),
    })
}

#[derive(Serialize)]
struct StatsLine {
    pending: u64,
    retrying: u64,
    dlq_failed: u64,
    resolved: u64,
    dlq: u64,
    purged: u64,
    rows: u64,
    bytes: u64,
    oldest_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use milena_resilience::event::EventId;
    use milena_resilience::store::{Filter, MemoryStore, NewEvent, Seq, Store};

    use super::*;

    const ID: &str = "0193a5b0-7c1e-7000-8000-000000000001";

    async fn stored(payload: &[u8]) -> StoredEvent {
        let store = MemoryStore::new().clock(|| UNIX_EPOCH + Duration::from_millis(1_700_000_000_123));
        let id: EventId = ID.parse().unwrap();
        let event = NewEvent::new(id, "orders", payload)
            .key("user\t1")
            .header("eventType", "placed")
            .header("raw", [0xff])
            .error(EventError::new("DeliveryError::Rejected", "too\nlarge"));
        store.insert(vec![event]).await.unwrap();
        store.list(Filter::new(), Seq::START, 1).await.unwrap().remove(0)
    }

    #[tokio::test]
    async fn an_event_in_a_list_is_one_line_without_control_characters() {
        let expected = format!(
            "1\tPENDING\torders\tuser\\t1\t0\t2023-11-14T22:13:20.123Z\t{ID}\tDeliveryError::Rejected: too\\nlarge"
        );
        assert_eq!(row(&stored(b"nine").await), expected);
        assert_eq!(cut("é".repeat(201)), format!("{}…", "é".repeat(200)));
        assert_eq!(cut("é".repeat(200)), "é".repeat(200));
    }

    #[tokio::test]
    async fn an_event_is_shown_with_its_errors_headers_and_payload() {
        let shown = whole(&stored(b"one\ntwo\x1b").await, false);
        for line in [
            "seq           1",
            "key           user\\t1",
            "next attempt  due",
            "maybe sent    no",
            "first error   DeliveryError::Rejected: too\\nlarge",
            "last error    DeliveryError::Rejected: too\\nlarge",
            "header        eventType=placed",
            "header        raw=0xff",
            "payload       one",
            "two\\u{1b}",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line:?} is not in\n{shown}");
        }
        assert!(whole(&stored(b"\x00\xff").await, false).ends_with("payload       0x00ff"));
        assert!(whole(&stored(b"nine").await, true).ends_with("payload       0x6e696e65"));
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_base_64_in_json() {
        let shown: serde_json::Value = serde_json::from_str(&whole_json(&stored(b"\xff").await)).unwrap();
        assert_eq!((&shown["seq"], &shown["key"]), (&1.into(), &"user\t1".into()));
        assert_eq!(shown["value_base64"], "/w==");
        assert_eq!(shown["headers"][1], serde_json::json!({"key": "raw", "value_base64": "/w=="}));
        assert_eq!(shown["last_error"]["message"], "too\nlarge");
        assert_eq!((&shown["created_at"], &shown["due_in_ms"]), (&1_700_000_000_123_i64.into(), &0.into()));
    }
}
