//! What operators do with many rows: replay, purge and sweep, a small transaction at a time.
//!
//! In: a filter, and how far it has been worked through. Out: how many rows, and how far now.

use std::sync::Arc;

use super::{
    changes::status_of,
    filter::{CONDITION, Condition},
    lane::{Call, Stop, Work},
    reads::first_behind,
};
use crate::store::{Filter, Seq, Status, counters::Rows, lease::after};

/// How many numbers one transaction covers, and so how many rows at most.
const SPAN: i64 = 1_000;

const SWEEP: &str = "WITH due AS MATERIALIZED (SELECT bucket, seq FROM failed_kafka_events WHERE status IN ('RESOLVED', 'DLQ') \
     AND updated_at <= $1 ORDER BY updated_at, seq LIMIT 1000 FOR UPDATE SKIP LOCKED), \
     gone AS (DELETE FROM failed_kafka_events e USING due WHERE e.bucket = due.bucket AND e.seq = due.seq RETURNING e.bytes) \
     SELECT count(*), COALESCE(sum(bytes), 0)::bigint FROM gone";

fn replay() -> String {
    format!(
        "WITH old AS MATERIALIZED (SELECT bucket, seq, status, bytes FROM failed_kafka_events WHERE {CONDITION} \
         AND (status IN ('RETRYING', 'DLQ', 'DLQ_FAILED') OR (status = 'PENDING' AND next_retry_at IS NOT NULL)) \
         ORDER BY seq FOR UPDATE), \
         again AS (UPDATE failed_kafka_events e SET status = 'PENDING', attempts = 0, next_retry_at = NULL, updated_at = $9 \
         FROM old WHERE e.bucket = old.bucket AND e.seq = old.seq) SELECT status, count(*), sum(bytes)::bigint FROM old GROUP BY status"
    )
}

fn purge() -> String {
    format!(
        "WITH gone AS (DELETE FROM failed_kafka_events WHERE {CONDITION} RETURNING status, bytes) \
         SELECT status, count(*), sum(bytes)::bigint FROM gone GROUP BY status"
    )
}

/// What is done with the rows of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Replay,
    Purge,
}

/// One step through the rows behind `after`.
pub(super) struct Step {
    pub(super) deed: Deed,
    pub(super) filter: Arc<Filter>,
    pub(super) after: Seq,
}

/// How many rows a step changed, and where to go on; `None` at the end.
pub(super) struct Progress {
    pub(super) changed: u64,
    pub(super) next: Option<Seq>,
}

impl Call for Step {
    type Answer = Progress;

    async fn run(&self, work: &mut Work<'_>) -> Result<Progress, Stop> {
        let after = self.after.max(self.filter.after);
        let first = first_behind(work.session, after, work.options.buckets).await?;
        let range = first.and_then(|first| Some((first, self.filter.end_of_step(first, SPAN)?)));
        let Some((first, end)) = range else { return Ok(Progress { changed: 0, next: None }) };
        let condition = Condition::new(&self.filter, work.options.buckets, (first, end), work.now);
        let mut values = condition.values().to_vec();
        let sql = match self.deed {
            Deed::Purge => purge(),
            Deed::Replay => {
                values.push(&work.now);
                replay()
            }
        };
        let mut changed = 0;
        for row in work.session.query(&sql, &values).await? {
            let (status, rows) = (status_of(&row, 0)?, Rows { rows: row.try_get(1)?, bytes: row.try_get(2)? });
            match self.deed {
                Deed::Replay => work.counters.change(status, Status::Pending, rows.rows),
                Deed::Purge => work.counters.remove(status, rows),
            }
            changed += rows.rows.unsigned_abs();
        }
        Ok(Progress { changed, next: Some(Seq(end - 1)) })
    }
}

/// Removes some of the settled rows whose retention is over.
pub(super) struct Sweep;

impl Call for Sweep {
    type Answer = u64;

    async fn run(&self, work: &mut Work<'_>) -> Result<u64, Stop> {
        let retention = work.options.retention.unwrap_or_default();
        let until = work.now.saturating_sub(after(0, retention));
        let row = work.session.query_one(SWEEP, &[&until]).await?;
        let gone = Rows { rows: row.try_get(0)?, bytes: row.try_get(1)? };
        work.counters.remove(Status::Resolved, gone);
        Ok(gone.rows.unsigned_abs())
    }
}
