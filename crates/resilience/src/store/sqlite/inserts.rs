//! Inserts events.
//!
//! In: events. Out: rows. Deliberately absent: statements of several rows. They save a tenth of a microsecond an event, of five that
//! its share of a commit takes.

use rusqlite::params;
use uuid::fmt::Hyphenated;

use super::work::{Stop, Work};
use crate::store::{EventError, NewEvent, Seq, counters::Rows, headers::headers_text, lease::after};

const INSERT: &str = "INSERT INTO failed_kafka_events (seq, slot, bytes, next_retry_at, maybe_sent, created_at, updated_at, \
     event_id, topic, event_key, headers, first_error_class, first_error, payload) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

/// Inserts all or none.
pub(super) fn insert(work: &mut Work<'_>, events: &[NewEvent]) -> Result<Vec<Seq>, Stop> {
    let bytes: u64 = events.iter().map(NewEvent::cost).sum();
    let added = Rows { rows: signed(events.len() as u64), bytes: signed(bytes) };
    work.admit(added)?;
    let now = work.now;
    let (statement, last_seq) = work.inserting(INSERT)?;
    let mut buffer = [0; Hyphenated::LENGTH];
    let mut seqs = Vec::with_capacity(events.len());
    for event in events {
        *last_seq += 1;
        statement.execute(params![
            *last_seq,
            event.slot(),
            signed(event.cost()),
            event.hold.map(|hold| after(now, hold)),
            event.maybe_sent,
            now,
            &*event.event_id.hyphenated().encode_lower(&mut buffer),
            event.topic,
            event.key,
            headers_text(&event.headers),
            event.error.as_ref().map(EventError::class),
            event.error.as_ref().map(EventError::text),
            event.payload
        ])?;
        seqs.push(Seq(*last_seq));
    }
    work.counters.add(added);
    Ok(seqs)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
