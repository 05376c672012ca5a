//! What is read beside the writer.
//!
//! In: a connection, where to begin. Out: events and counts. Every function is one short transaction.

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::{
    errors,
    filter::condition,
    leases::{check, maybe_sent_up_to},
    rows::{COLUMNS, stored},
    work::{Stop, counters},
};
use crate::store::{
    Filter, Lease, Page, PageLimits, Seq, SlotCounts, StoreError, StoreStats, StoredEvent, query::PageBuilder,
};

/// How many rows are looked at in one transaction.
const SPAN: i64 = 10_000;

const FIRST: &str = "SELECT seq FROM failed_kafka_events WHERE seq > ?1 ORDER BY seq LIMIT 1";
const SLOTS: &str =
    "SELECT slot FROM failed_kafka_events WHERE seq >= ?1 AND seq < ?2 AND status IN ('PENDING', 'RETRYING')";

/// Where unsettled rows are found. With a retention there is an index of them.
fn table(has_index: bool) -> &'static str {
    if has_index { "failed_kafka_events INDEXED BY failed_kafka_events_unsettled" } else { "failed_kafka_events" }
}

/// Unsettled events behind `after`.
pub(super) fn page(
    connection: &Connection,
    lease: &Lease,
    after: Seq,
    limits: PageLimits,
    (now, has_index): (i64, bool),
) -> Result<Page, StoreError> {
    let failed = |error: rusqlite::Error| errors::failed(&error);
    let maybe_sent_up_to = check(connection, lease).map_err(|stop| match stop {
        Stop::Refused(error) => error,
        Stop::Failed(error) => failed(error),
    })?;
    let mut page = PageBuilder::new(limits);
    let mut fill = || -> rusqlite::Result<()> {
        let condition = "seq > ?1 AND status IN ('PENDING', 'RETRYING') ORDER BY seq";
        let sql = format!("SELECT {COLUMNS} FROM {} WHERE {condition}", table(has_index));
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([after.0])?;
        while let Some(row) = rows.next()? {
            if !page.push(stored(row, now, maybe_sent_up_to)?) {
                break;
            }
        }
        Ok(())
    };
    fill().map_err(failed)?;
    Ok(page.end())
}

/// The counts.
pub(super) fn stats(connection: &Connection, now: i64, has_index: bool) -> rusqlite::Result<StoreStats> {
    let condition = "status IN ('PENDING', 'RETRYING') ORDER BY seq LIMIT 1";
    let sql = format!("SELECT created_at FROM {} WHERE {condition}", table(has_index));
    let (counters, _) = counters(connection)?;
    let oldest = connection.prepare_cached(&sql)?.query_row([], |row| row.get(0)).optional()?;
    Ok(counters.stats(oldest, now))
}

/// Counts some more slots, and says where to go on; `None` at the end.
pub(super) fn slots(connection: &Connection, after: Seq, counts: &mut SlotCounts) -> rusqlite::Result<Option<Seq>> {
    let Some(first) = first_behind(connection, after)? else { return Ok(None) };
    let end = first.saturating_add(SPAN);
    let mut statement = connection.prepare_cached(SLOTS)?;
    let mut rows = statement.query([first, end])?;
    while let Some(row) = rows.next()? {
        counts.add(row.get(0)?);
    }
    Ok(Some(Seq(end - 1)))
}

/// Adds events that a filter lets through, up to `limit`, and says where to go on; `None` at the end.
pub(super) fn list(
    connection: &Connection,
    filter: &Filter,
    after: Seq,
    found: &mut Vec<StoredEvent>,
    (limit, now): (usize, i64),
) -> rusqlite::Result<Option<Seq>> {
    let Some(first) = first_behind(connection, after.max(filter.after))? else { return Ok(None) };
    let Some(end) = filter.end_of_step(first, SPAN) else { return Ok(None) };
    let maybe_sent_up_to = maybe_sent_up_to(connection)?;
    let condition = condition(filter, first, end, now);
    let sql = format!("SELECT {COLUMNS} FROM failed_kafka_events WHERE {} ORDER BY seq", condition.text);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(condition.values))?;
    while found.len() < limit {
        let Some(row) = rows.next()? else { return Ok(Some(Seq(end - 1))) };
        found.push(stored(row, now, maybe_sent_up_to)?);
    }
    Ok(None)
}

fn first_behind(connection: &Connection, after: Seq) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(FIRST)?.query_row([after.0], |row| row.get(0)).optional()
}
