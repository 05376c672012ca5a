//! Rows as events.
//!
//! In: a row. Out: an event. Pure.

use std::{str::FromStr, time::Duration};

use rusqlite::{Error, Row, types::Type};
use uuid::Uuid;

use crate::store::{
    EventError, Position, Seq, Status, StoredEvent, clock::instant, headers::headers_of, lease::remaining,
};

/// The columns that [`stored`] reads, in its order.
pub(super) const COLUMNS: &str = "seq, slot, bytes, status, attempts, next_retry_at, maybe_sent, created_at, updated_at, \
     event_id, topic, event_key, headers, first_error_class, first_error, last_error_class, last_error, payload, written_partition, \
     written_offset";

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
        position: position(row, 18)?,
        bytes: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
    })
}

/// The position in this column and the next one.
fn position(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Position>> {
    let (partition, offset): (Option<i32>, Option<i64>) = (row.get(at)?, row.get(at + 1)?);
    Ok(partition.zip(offset).map(|(partition, offset)| Position { partition, offset }))
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
