//! What operators do with many rows: replay, purge and sweep, a small transaction at a time.
//!
//! In: a filter, and how far it has been worked through. Out: how many rows, and how far now.

use rusqlite::{OptionalExtension, params_from_iter};

use super::{
    filter::{Condition, condition},
    work::{Stop, Work},
};
use crate::store::{Filter, Seq, Status, counters::Rows, lease::after};

/// How many numbers one transaction covers, and so how many rows at most.
const SPAN: i64 = 1_000;

const FIRST: &str = "SELECT seq FROM failed_kafka_events WHERE seq > ? ORDER BY seq LIMIT 1";
const DUE: &str = "SELECT seq FROM failed_kafka_events INDEXED BY failed_kafka_events_settled \
     WHERE status IN ('RESOLVED', 'DLQ') AND updated_at <= ?1 ORDER BY updated_at, seq LIMIT 1000";

/// One step: how many rows were changed, and where to go on; `None` at the end.
pub(super) struct Portion {
    pub(super) changed: u64,
    pub(super) next: Option<Seq>,
}

/// Has rows behind `after` tried again.
pub(super) fn replay(work: &mut Work<'_>, filter: &Filter, after: Seq) -> Result<Portion, Stop> {
    step(work, filter, after, |work, mut condition| {
        condition.text +=
            " AND (status IN ('RETRYING', 'DLQ', 'DLQ_FAILED') OR (status = 'PENDING' AND next_retry_at > 0))";
        let found = count(work, &condition)?;
        let set = "UPDATE failed_kafka_events SET status = 'PENDING', attempts = 0, next_retry_at = NULL, updated_at =";
        let sql = format!("{set} {} WHERE {}", work.now, condition.text);
        work.connection.prepare_cached(&sql)?.execute(params_from_iter(&condition.values))?;
        found.iter().for_each(|(status, rows)| work.counters.change(*status, Status::Pending, rows.rows));
        Ok(found)
    })
}

/// Removes rows behind `after`.
pub(super) fn purge(work: &mut Work<'_>, filter: &Filter, after: Seq) -> Result<Portion, Stop> {
    step(work, filter, after, |work, condition| {
        let found = count(work, &condition)?;
        let sql = format!("DELETE FROM failed_kafka_events WHERE {}", condition.text);
        work.connection.prepare_cached(&sql)?.execute(params_from_iter(&condition.values))?;
        found.iter().for_each(|(status, rows)| work.counters.remove(*status, *rows));
        Ok(found)
    })
}

fn step(
    work: &mut Work<'_>,
    filter: &Filter,
    after: Seq,
    change: impl FnOnce(&mut Work<'_>, Condition) -> rusqlite::Result<Vec<(Status, Rows)>>,
) -> Result<Portion, Stop> {
    let first = work.connection.prepare_cached(FIRST)?.query_row([after.0], |row| row.get::<_, i64>(0)).optional()?;
    let Some(first) = first else { return Ok(Portion { changed: 0, next: None }) };
    let end = first.saturating_add(SPAN);
    let found = change(work, condition(filter, first, end, work.now))?;
    let changed = found.iter().map(|(_, rows)| rows.rows.unsigned_abs()).sum();
    Ok(Portion { changed, next: Some(Seq(end - 1)) })
}

/// Rows by status.
fn count(work: &Work<'_>, condition: &Condition) -> rusqlite::Result<Vec<(Status, Rows)>> {
    let sql = format!(
        "SELECT status, COUNT(*), SUM(bytes) FROM failed_kafka_events WHERE {} GROUP BY status",
        condition.text
    );
    let mut statement = work.connection.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(&condition.values), |row| {
        let status = row.get::<_, String>(0)?.parse().unwrap_or(Status::Pending);
        Ok((status, Rows { rows: row.get(1)?, bytes: row.get(2)? }))
    })?;
    found.collect()
}

/// Removes some of the settled rows whose retention is over.
pub(super) fn sweep(work: &mut Work<'_>) -> Result<u64, Stop> {
    let retention = work.options.retention.unwrap_or_default();
    let until = work.now.saturating_sub(after(0, retention));
    let sql = format!("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM failed_kafka_events WHERE seq IN ({DUE})");
    let found = |row: &rusqlite::Row<'_>| Ok(Rows { rows: row.get(0)?, bytes: row.get(1)? });
    let gone = work.connection.prepare_cached(&sql)?.query_row([until], found)?;
    if gone.rows > 0 {
        let sql = format!("DELETE FROM failed_kafka_events WHERE seq IN ({DUE})");
        work.connection.prepare_cached(&sql)?.execute([until])?;
        work.counters.remove(Status::Resolved, gone);
    }
    Ok(gone.rows.unsigned_abs())
}
