//! Records what became of events.
//!
//! In: outcomes. Out: rows that are gone, kept or wait again. A range of rows that settle alike is one statement.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    leases::check,
    work::{Stop, Work},
};
use crate::store::{
    Change, EventError, Lease, Outcome, Position, Seq, Status, StoreError,
    counters::Rows,
    lease::after,
    steps::{Step, steps},
};

const COUNT: &str = "SELECT COUNT(*), COALESCE(SUM(bytes), 0), COALESCE(SUM(status = 'PENDING'), 0), \
     COALESCE(SUM(status = 'RETRYING'), 0) FROM failed_kafka_events \
     WHERE seq BETWEEN ?1 AND ?2 AND status NOT IN ('RESOLVED', 'DLQ')";
const DELETE: &str =
    "DELETE FROM failed_kafka_events WHERE seq BETWEEN ?1 AND ?2 AND status NOT IN ('RESOLVED', 'DLQ')";
const KEEP: &str = "UPDATE failed_kafka_events SET status = ?3, updated_at = ?4, next_retry_at = NULL \
     WHERE seq BETWEEN ?1 AND ?2 AND status NOT IN ('RESOLVED', 'DLQ')";
const POSITION: &str = "UPDATE failed_kafka_events SET written_partition = ?2, written_offset = ?3 \
     WHERE seq = ?1 AND status NOT IN ('RESOLVED', 'DLQ')";
const STATUS: &str = "SELECT status FROM failed_kafka_events WHERE seq = ?1 AND status NOT IN ('RESOLVED', 'DLQ')";
const FAIL: &str = "UPDATE failed_kafka_events SET status = ?2, updated_at = ?3, next_retry_at = ?4, attempts = ?5, \
     maybe_sent = maybe_sent | ?6, last_error_class = ?7, last_error = ?8 WHERE seq = ?1";

/// Records outcomes, if the lease is still valid.
pub(super) fn settle(work: &mut Work<'_>, lease: &Lease, outcomes: &[Outcome]) -> Result<u64, Stop> {
    check(work.connection, lease)?;
    if outcomes.iter().any(|outcome| !lease.buckets.contains(&crate::store::bucket_of(outcome.slot, 1))) {
        return Err(StoreError::fenced(lease.token).into());
    }
    record(work, outcomes)
}

/// Records outcomes, whoever has the lease. Returns how many rows were changed.
pub(super) fn record(work: &mut Work<'_>, outcomes: &[Outcome]) -> Result<u64, Stop> {
    let mut changed = 0;
    for step in steps(outcomes) {
        changed += match step {
            Step::Settle { first, last, status, positions } => settle_range(work, (first, last), status, &positions)?,
            Step::Fail(outcome) => u64::from(fail(work, outcome)?),
        };
    }
    Ok(changed)
}

/// Says in rows that are kept where their events were written.
fn place(connection: &Connection, positions: &[(Seq, Position)]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(POSITION)?;
    for (seq, Position { partition, offset }) in positions {
        statement.execute(params![seq.0, partition, offset])?;
    }
    Ok(())
}

fn settle_range(
    work: &mut Work<'_>,
    (first, last): (Seq, Seq),
    status: Status,
    positions: &[(Seq, Position)],
) -> rusqlite::Result<u64> {
    let range = [first.0, last.0];
    let (rows, bytes, pending, retrying): (i64, i64, i64, i64) = work
        .connection
        .prepare_cached(COUNT)?
        .query_row(range, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    if rows == 0 {
        return Ok(0);
    }
    if work.options.retention.is_some() {
        place(work.connection, positions)?;
        work.connection.prepare_cached(KEEP)?.execute(params![first.0, last.0, status.as_str(), work.now])?;
    } else {
        work.connection.prepare_cached(DELETE)?.execute(range)?;
    }
    work.counters.change(Status::Pending, status, pending);
    work.counters.change(Status::Retrying, status, retrying);
    work.counters.change(Status::DeadLetterFailed, status, rows - pending - retrying);
    if work.options.retention.is_none() {
        work.counters.remove(status, Rows { rows, bytes });
    }
    Ok(rows.unsigned_abs())
}

/// Says whether there was such a row.
fn fail(work: &mut Work<'_>, outcome: &Outcome) -> Result<bool, Stop> {
    let seq = outcome.seq.0;
    let mut statement = work.connection.prepare_cached(STATUS)?;
    let Some(from) = statement.query_row([seq], |row| row.get::<_, String>(0)).optional()? else { return Ok(false) };
    let Some((attempts, retry_at, maybe_sent, error)) = failure(&outcome.change, work.now) else { return Ok(false) };
    let to = outcome.change.status();
    work.connection.prepare_cached(FAIL)?.execute(params![
        seq,
        to.as_str(),
        work.now,
        retry_at,
        attempts,
        maybe_sent,
        error.class(),
        error.text()
    ])?;
    work.counters.change(from.parse().unwrap_or(Status::Pending), to, 1);
    Ok(true)
}

fn failure(change: &Change, now: i64) -> Option<(u32, Option<i64>, bool, &EventError)> {
    match change {
        Change::Resolved | Change::DeadLettered => None,
        Change::Failed { attempts, retry_in, maybe_sent, error } => {
            Some((*attempts, Some(after(now, *retry_in)), *maybe_sent, error))
        }
        Change::DeadLetterFailed { attempts, maybe_sent, error } => Some((*attempts, None, *maybe_sent, error)),
    }
}
