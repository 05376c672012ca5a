//! Records what became of events.
//!
//! In: outcomes. Out: rows that are gone, kept or wait again. All rows that settle alike are one statement.

use std::collections::HashMap;

use tokio_postgres::{Row, types::ToSql};

use super::{
    errors::unreadable,
    lane::{Call, Stop, Work},
    leases::check,
    rows::text,
};
use crate::store::{
    Change, EventError, Lease, Outcome, Position, Seq, Status, StoreError, bucket_of, counters::Rows, lease::after,
};

const DELETE: &str = "WITH gone AS (DELETE FROM failed_kafka_events e USING unnest($1::smallint[], $2::bigint[]) AS r (bucket, seq) \
     WHERE e.bucket = r.bucket AND e.seq = r.seq AND e.status NOT IN ('RESOLVED', 'DLQ') RETURNING e.seq, e.status, e.bytes) \
     SELECT status, count(*), sum(bytes)::bigint, array_agg(seq) FROM gone GROUP BY status";
const KEEP: &str = "WITH old AS MATERIALIZED (SELECT e.bucket, e.seq, e.status, e.bytes, \
     r.partition, r.position FROM unnest($1::smallint[], $2::bigint[], $5::integer[], $6::bigint[]) \
     AS r (bucket, seq, partition, position) JOIN failed_kafka_events e USING (bucket, seq) \
     WHERE e.status NOT IN ('RESOLVED', 'DLQ') ORDER BY seq FOR UPDATE OF e), \
     kept AS (UPDATE failed_kafka_events e SET status = $3, updated_at = $4, next_retry_at = NULL, \
     written_partition = old.partition, written_offset = old.position FROM old \
     WHERE e.bucket = old.bucket AND e.seq = old.seq) \
     SELECT status, count(*), sum(bytes)::bigint, array_agg(seq) FROM old GROUP BY status";
const FAIL: &str = "WITH old AS MATERIALIZED (SELECT e.bucket, e.seq, e.status AS was, r.* FROM unnest($1::smallint[], $2::bigint[], \
     $3::text[], $4::bigint[], $5::bigint[], $6::boolean[], $7::text[], $8::text[]) \
     AS r (of_bucket, of_seq, status, next_retry_at, attempts, maybe_sent, class, text) \
     JOIN failed_kafka_events e ON e.bucket = r.of_bucket AND e.seq = r.of_seq \
     WHERE e.status NOT IN ('RESOLVED', 'DLQ') ORDER BY e.seq FOR UPDATE OF e), \
     failed AS (UPDATE failed_kafka_events e SET status = old.status, updated_at = $9, next_retry_at = old.next_retry_at, \
     attempts = old.attempts, maybe_sent = e.maybe_sent OR old.maybe_sent, last_error_class = old.class, last_error = old.text \
     FROM old WHERE e.bucket = old.bucket AND e.seq = old.seq) \
     SELECT was, status, count(*) FROM old GROUP BY was, status";

/// Where rows are: their buckets and numbers. And where their events were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    buckets: Vec<i16>,
    seqs: Vec<i64>,
    partitions: Vec<Option<i32>>,
    offsets: Vec<Option<i64>>,
}

impl Places {
    pub(super) fn push(&mut self, bucket: u16, seq: Seq, position: Option<Position>) {
        self.buckets.push(i16::try_from(bucket).unwrap_or(-1));
        self.seqs.push(seq.0);
        self.partitions.push(position.map(|position| position.partition));
        self.offsets.push(position.map(|position| position.offset));
    }
}

/// Outcomes of which each is of another row.
#[derive(Debug, Default, PartialEq, Eq)]
struct Round<'a> {
    resolved: Places,
    dead_lettered: Places,
    failed: Vec<&'a Outcome>,
}

/// Puts outcomes together that can be recorded at once. Two outcomes of one row keep their order, so they are in two rounds.
fn rounds(outcomes: &[Outcome], buckets: u16) -> Vec<Round<'_>> {
    let (mut rounds, mut seen) = (Vec::new(), HashMap::with_capacity(outcomes.len()));
    for outcome in outcomes {
        let times: &mut usize = seen.entry(outcome.seq).or_default();
        if rounds.len() == *times {
            rounds.push(Round::default());
        }
        let Some(round) = rounds.get_mut(*times) else { continue };
        *times += 1;
        let bucket = bucket_of(outcome.slot, buckets);
        match outcome.change {
            Change::Resolved => round.resolved.push(bucket, outcome.seq, outcome.position),
            Change::DeadLettered => round.dead_lettered.push(bucket, outcome.seq, None),
            Change::Failed { .. } | Change::DeadLetterFailed { .. } => round.failed.push(outcome),
        }
    }
    rounds
}

/// Records outcomes, if the lease is still valid.
pub(super) struct Settle {
    pub(super) lease: Lease,
    pub(super) outcomes: Vec<Outcome>,
}

impl Call for Settle {
    type Answer = u64;

    async fn run(&self, work: &mut Work<'_>) -> Result<u64, Stop> {
        let is_mine = |outcome: &Outcome| self.lease.buckets.contains(&bucket_of(outcome.slot, work.options.buckets));
        if !self.outcomes.iter().all(is_mine) {
            return Err(StoreError::fenced(self.lease.token).into());
        }
        check(work.session, &self.lease).await?;
        let mut changed = 0;
        for round in rounds(&self.outcomes, work.options.buckets) {
            changed += settle(work, &round.resolved, Status::Resolved).await?.len() as u64;
            changed += settle(work, &round.dead_lettered, Status::DeadLettered).await?.len() as u64;
            changed += fail(work, &round.failed).await?;
        }
        Ok(changed)
    }
}

/// Settles rows, whoever has the lease. Returns which were changed.
pub(super) async fn settle(work: &mut Work<'_>, rows: &Places, status: Status) -> Result<Vec<Seq>, Stop> {
    let Places { buckets, seqs, partitions, offsets } = rows;
    if seqs.is_empty() {
        return Ok(Vec::new());
    }
    let is_kept = work.options.retention.is_some();
    let found = if is_kept {
        work.session.query(KEEP, &[buckets, seqs, &status.as_str(), &work.now, partitions, offsets]).await?
    } else {
        work.session.query(DELETE, &[buckets, seqs]).await?
    };
    let mut changed = Vec::with_capacity(seqs.len());
    for row in found {
        let rows = Rows { rows: row.try_get(1)?, bytes: row.try_get(2)? };
        work.counters.change(status_of(&row, 0)?, status, rows.rows);
        if !is_kept {
            work.counters.remove(status, rows);
        }
        changed.extend(row.try_get::<_, Vec<i64>>(3)?.into_iter().map(Seq));
    }
    Ok(changed)
}

/// Returns how many rows were changed.
async fn fail(work: &mut Work<'_>, outcomes: &[&Outcome]) -> Result<u64, Stop> {
    let failures = Failures::of(outcomes, work.options.buckets, work.now);
    if failures.rows.seqs.is_empty() {
        return Ok(0);
    }
    let Failures { rows: Places { buckets, seqs, .. }, statuses, retry_at, attempts, maybe_sent, classes, texts } =
        &failures;
    let values: [&(dyn ToSql + Sync); 9] =
        [buckets, seqs, statuses, retry_at, attempts, maybe_sent, classes, texts, &work.now];
    let mut changed = 0;
    for row in work.session.query(FAIL, &values).await? {
        let rows: i64 = row.try_get(2)?;
        work.counters.change(status_of(&row, 0)?, status_of(&row, 1)?, rows);
        changed += rows.unsigned_abs();
    }
    Ok(changed)
}

/// Rows that failed, column by column.
#[derive(Default)]
struct Failures<'a> {
    rows: Places,
    statuses: Vec<&'static str>,
    retry_at: Vec<Option<i64>>,
    attempts: Vec<i64>,
    maybe_sent: Vec<bool>,
    classes: Vec<std::borrow::Cow<'a, str>>,
    texts: Vec<std::borrow::Cow<'a, str>>,
}

impl<'a> Failures<'a> {
    fn of(outcomes: &[&'a Outcome], buckets: u16, now: i64) -> Self {
        let mut all = Self::default();
        for outcome in outcomes {
            all.rows.push(bucket_of(outcome.slot, buckets), outcome.seq, None);
            match &outcome.change {
                Change::Resolved | Change::DeadLettered => {}
                Change::Failed { attempts, retry_in, maybe_sent, error } => {
                    all.push(outcome, Some(after(now, *retry_in)), (*attempts, *maybe_sent, error));
                }
                Change::DeadLetterFailed { attempts, maybe_sent, error } => {
                    all.push(outcome, None, (*attempts, *maybe_sent, error));
                }
            }
        }
        all
    }

    fn push(&mut self, outcome: &Outcome, retry_at: Option<i64>, failure: (u32, bool, &'a EventError)) {
        let (attempts, maybe_sent, error) = failure;
        self.statuses.push(outcome.change.status().as_str());
        self.retry_at.push(retry_at);
        self.attempts.push(i64::from(attempts));
        self.maybe_sent.push(maybe_sent);
        self.classes.push(text(error.class()));
        self.texts.push(text(error.text()));
    }
}

/// The status in this column.
pub(super) fn status_of(row: &Row, at: usize) -> Result<Status, Stop> {
    let status: &str = row.try_get(at)?;
    Ok(status.parse::<Status>().map_err(|error| unreadable(&error.to_string()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_one_row_are_in_rounds_of_their_own_in_their_order() {
        let outcome = |seq, change| Outcome { seq: Seq(seq), slot: 0, change, position: None };
        let failed = Change::DeadLetterFailed { attempts: 1, maybe_sent: false, error: EventError::new("a", "b") };
        let outcomes = [
            outcome(6, Change::Resolved),
            outcome(4, Change::DeadLettered),
            outcome(7, failed.clone()),
            outcome(7, failed),
            outcome(6, Change::Resolved),
            outcome(5, Change::Resolved),
            outcome(7, Change::Resolved),
        ];
        let places = |seqs: &[i64]| {
            let mut places = Places::default();
            seqs.iter().for_each(|seq| places.push(0, Seq(*seq), None));
            places
        };
        let expected = [
            Round { resolved: places(&[6, 5]), dead_lettered: places(&[4]), failed: vec![&outcomes[2]] },
            Round { resolved: places(&[6]), failed: vec![&outcomes[3]], ..Round::default() },
            Round { resolved: places(&[7]), ..Round::default() },
        ];
        assert_eq!(rounds(&outcomes, 16), expected);
        assert_eq!(rounds(&[], 16), []);
    }
}
