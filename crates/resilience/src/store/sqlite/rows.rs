//! Events as rows, and rows as events.
//!
//! In: a row. Out: an event; headers as text. Pure. Headers are JSON, so that a person can read them:
//! `[["eventType","placed"],["trace",null],["raw",{"hex":"00ff"}]]`.

use std::{str::FromStr, time::Duration};

use rusqlite::{Error, Row, types::Type};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::store::{EventError, Seq, Status, StoredEvent, clock::instant, lease::remaining};

/// The columns that [`stored`] reads, in its order.
pub(super) const COLUMNS: &str = "seq, slot, bytes, status, attempts, next_retry_at, maybe_sent, created_at, updated_at, \
     event_id, topic, event_key, headers, first_error_class, first_error, last_error_class, last_error, payload";

/// The event of a row. Those up to `maybe_sent_up_to` may have been sent.
pub(super) fn stored(row: &Row<'_>, now: i64, maybe_sent_up_to: i64) -> rusqlite::Result<StoredEvent> {
    let (seq, updated_at): (i64, i64) = (row.get(0)?, row.get(8)?);
    let next_retry_at: Option<i64> = row.get(5)?;
    let headers: Option<String> = row.get(12)?;
    let first_error = event_error(row, 13)?;
    Ok(StoredEvent {
        seq: Seq(seq),
        slot: row.get(1)?,
        event_id: parsed(row, 9, Uuid::from_str)?,
        topic: row.get(10)?,
        key: row.get(11)?,
        payload: row.get(17)?,
        headers: headers.map_or(Ok(Vec::new()), |text| headers_of(&text)).map_err(|error| unreadable(12, error))?,
        status: parsed(row, 3, Status::from_str)?,
        attempts: row.get(4)?,
        due_in: next_retry_at.map_or(Duration::ZERO, |until| remaining(now, updated_at, until)),
        maybe_sent: row.get(6)? || seq <= maybe_sent_up_to,
        last_error: event_error(row, 15)?.or_else(|| first_error.clone()),
        first_error,
        created_at: instant(row.get(7)?),
        updated_at: instant(updated_at),
        bytes: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
    })
}

/// The error in this column and the next one.
fn event_error(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<EventError>> {
    let (class, text): (Option<String>, Option<String>) = (row.get(at)?, row.get(at + 1)?);
    Ok(class.map(|class| EventError::new(class, text.unwrap_or_default())))
}

fn parsed<T, E>(row: &Row<'_>, at: usize, parse: impl FnOnce(&str) -> Result<T, E>) -> rusqlite::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    parse(row.get_ref(at)?.as_str()?).map_err(|error| unreadable(at, error))
}

fn unreadable(at: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::FromSqlConversionFailure(at, Type::Text, error.into())
}

/// Headers as text; `None` if there are none.
pub(super) fn headers_text(headers: &[(String, Option<Vec<u8>>)]) -> Option<String> {
    let value = |value: &Option<Vec<u8>>| match value {
        None => Value::Null,
        Some(bytes) => str::from_utf8(bytes).map_or_else(|_| json!({ "hex": hex(bytes) }), Value::from),
    };
    let all: Vec<Value> = headers.iter().map(|(name, bytes)| json!([name, value(bytes)])).collect();
    (!all.is_empty()).then(|| Value::from(all).to_string())
}

/// Headers that were text.
#[expect(clippy::type_complexity, reason = "an alias would hide what it is")]
fn headers_of(text: &str) -> Result<Vec<(String, Option<Vec<u8>>)>, String> {
    let all: Vec<(String, Value)> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let bytes = |value| match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.into_bytes())),
        other => unhex(other.get("hex").and_then(Value::as_str).unwrap_or("?")).map(Some),
    };
    all.into_iter().map(|(name, value)| Ok((name, bytes(value)?))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = text.chars().map(digit).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2));
    let digits = digits.ok_or_else(|| format!("expected pairs of hexadecimal digits, got {text:?}"))?;
    Ok(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_text_that_a_person_can_read_and_come_back() {
        let headers = vec![
            ("eventType".to_owned(), Some(b"placed".to_vec())),
            ("trace".to_owned(), None),
            ("raw".to_owned(), Some(vec![0, 0xff])),
            ("empty".to_owned(), Some(Vec::new())),
            ("\"".to_owned(), Some("ü\n".into())),
        ];
        let text = headers_text(&headers).unwrap();
        assert!(text.starts_with(r#"[["eventType","placed"],["trace",null],["raw",{"hex":"00ff"}]"#), "{text}");
        assert_eq!(headers_of(&text).unwrap(), headers);
        assert_eq!(headers_text(&[]), None);
    }

    #[test]
    fn headers_that_somebody_damaged_are_an_error() {
        for text in
            ["", "[", "[[1,null]]", r#"[["a",{"hex":"0"}]]"#, r#"[["a",{"hex":"zz"}]]"#, r#"[["a",1]]"#, r#"[["a"]]"#]
        {
            assert!(headers_of(text).is_err(), "{text}");
        }
    }
}
