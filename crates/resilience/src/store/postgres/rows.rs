//! Events as rows, and rows as events.
//!
//! In: an event or a row. Out: the other. Pure.

use std::{borrow::Cow, time::Duration};

use tokio_postgres::Row;
use uuid::Uuid;

use super::{changes::status_of, errors::unreadable, lane::Stop};
use crate::store::{EventError, Position, Seq, StoredEvent, clock::instant, headers::headers_of, lease::remaining};

/// The columns that [`stored`] reads, in its order.
pub(super) const COLUMNS: &str = "seq, slot, bytes, status, attempts, next_retry_at, maybe_sent, created_at, updated_at, \
     event_id, topic, event_key, headers, first_error_class, first_error, last_error_class, last_error, payload, bucket, \
     written_partition, written_offset";

/// Up to which number events count as maybe sent, by bucket.
pub(super) struct Marks(pub(super) Vec<(i16, i64)>);

impl Marks {
    fn of(&self, bucket: i16) -> i64 {
        self.0.iter().find(|(number, _)| *number == bucket).map_or(0, |(_, mark)| *mark)
    }
}

/// The event of a row.
pub(super) fn stored(row: &Row, now: i64, marks: &Marks) -> Result<StoredEvent, Stop> {
    let (seq, updated_at): (i64, i64) = (row.try_get(0)?, row.try_get(8)?);
    let next_retry_at: Option<i64> = row.try_get(5)?;
    let headers: Option<&str> = row.try_get(12)?;
    let first_error = event_error(row, 13)?;
    let (slot, attempts): (i32, i64) = (row.try_get(1)?, row.try_get(4)?);
    Ok(StoredEvent {
        seq: Seq(seq),
        slot: u16::try_from(slot).map_err(|_| unreadable(&format!("no slot: {slot}")))?,
        event_id: row.try_get::<_, Uuid>(9)?,
        topic: row.try_get(10)?,
        key: row.try_get(11)?,
        payload: row.try_get(17)?,
        headers: headers.map_or(Ok(Vec::new()), headers_of).map_err(|error| unreadable(&error))?,
        status: status_of(row, 3)?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        due_in: next_retry_at.map_or(Duration::ZERO, |until| remaining(now, updated_at, until)),
        maybe_sent: row.try_get::<_, bool>(6)? || seq <= marks.of(row.try_get(18)?),
        last_error: event_error(row, 15)?.or_else(|| first_error.clone()),
        first_error,
        created_at: instant(row.try_get(7)?),
        updated_at: instant(updated_at),
        position: position(row, 19)?,
        bytes: u64::try_from(row.try_get::<_, i64>(2)?).unwrap_or(0),
    })
}

/// The position in this column and the next one.
fn position(row: &Row, at: usize) -> Result<Option<Position>, Stop> {
    let (partition, offset): (Option<i32>, Option<i64>) = (row.try_get(at)?, row.try_get(at + 1)?);
    Ok(partition.zip(offset).map(|(partition, offset)| Position { partition, offset }))
}

/// The error in this column and the next one.
fn event_error(row: &Row, at: usize) -> Result<Option<EventError>, Stop> {
    let (class, text): (Option<String>, Option<String>) = (row.try_get(at)?, row.try_get(at + 1)?);
    Ok(class.map(|class| EventError::new(class, text.unwrap_or_default())))
}

/// A text for people, without the one character that PostgreSQL does not take.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_for_people_loses_nothing_but_nul() {
        assert_eq!(text("ü\n"), "ü\n");
        assert_eq!(text("a\0b"), "a\u{fffd}b");
    }

    #[test]
    fn marks_are_found_by_their_bucket() {
        let marks = Marks(vec![(3, 30), (5, 50)]);
        assert_eq!([3, 4, 5].map(|bucket| marks.of(bucket)), [30, 0, 50]);
    }
}
