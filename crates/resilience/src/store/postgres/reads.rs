//! What is read.
//!
//! In: a session, where to begin. Out: events and counts. No transaction is longer than a statement.

use futures_util::future::try_join;
use tokio_postgres::types::ToSql;

use super::{
    filter::{CONDITION, Condition, all_buckets},
    lane::{NOW, Stop},
    leases::numbers,
    options::Options,
    rows::{COLUMNS, Marks, stored},
    session::Session,
};
use crate::store::{
    Filter, Lease, Page, PageLimits, Seq, SlotCounts, StoreError, StoreStats, StoredEvent, counters::Counters,
    query::PageBuilder,
};

/// How many rows are looked at in one statement.
const SPAN: i64 = 10_000;

const FIRST: &str = "SELECT min(seq) FROM unnest($2::smallint[]) AS b (number), LATERAL (SELECT seq FROM failed_kafka_events \
     WHERE bucket = b.number AND seq > $1 ORDER BY seq LIMIT 1) AS of_bucket";
const SLOTS: &str = "SELECT slot, count(*) FROM failed_kafka_events WHERE bucket = ANY($3) AND seq >= $1 AND seq < $2 \
     AND status IN ('PENDING', 'RETRYING') GROUP BY slot";
const MARKS: &str =
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, bucket, maybe_sent_up_to FROM outbox_leases";
const COUNTERS: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, pending, retrying, dlq_failed, resolved, \
     dlq, purged, rows, bytes FROM outbox_stats";

/// Unsettled rows of some buckets behind `$1`, in order. Each bucket is read by the index, and no further than it must be, because the
/// database merges them.
fn merged(columns: &str, buckets: &[i16]) -> String {
    let bucket = |bucket: &i16| {
        format!(
            "(SELECT {columns} FROM failed_kafka_events WHERE bucket = {bucket} AND seq > $1 \
             AND status IN ('PENDING', 'RETRYING') ORDER BY seq)"
        )
    };
    buckets.iter().map(bucket).collect::<Vec<_>>().join(" UNION ALL ")
}

/// A page: at most `$2` rows, and no more than one behind those that have `$3` bytes together. The second is there also if the first
/// is too large, so that it is known whether there are more.
pub(crate) fn page_text(buckets: &[i16]) -> String {
    let merged = merged(COLUMNS, buckets);
    format!(
        "SELECT {COLUMNS} FROM (SELECT *, row_number() OVER so_far AS number, sum(bytes) OVER so_far - bytes AS before \
         FROM (SELECT * FROM ({merged}) AS of_buckets ORDER BY seq LIMIT $2) AS first_ones \
         WINDOW so_far AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)) AS measured \
         WHERE number <= 2 OR before <= $3::bigint ORDER BY seq"
    )
}

/// Unsettled events behind `after`.
pub(super) async fn page(
    session: &Session,
    options: &Options,
    lease: &Lease,
    (after, limits): (Seq, PageLimits),
) -> Result<Page, Stop> {
    let buckets = numbers(&lease.buckets);
    if buckets.is_empty() {
        return Ok(PageBuilder::new(limits).end());
    }
    let check = format!("{MARKS} WHERE bucket = ANY($1) AND token = $2");
    let rows = i64::try_from(limits.rows.max(1)).unwrap_or(i64::MAX).saturating_add(1);
    let bytes = i64::try_from(limits.bytes).unwrap_or(i64::MAX);
    let text = page_text(&buckets);
    let whose: [&(dyn ToSql + Sync); 2] = [&buckets, &lease.token.0];
    let which: [&(dyn ToSql + Sync); 3] = [&after.0, &rows, &bytes];
    // Both are on their way at once, in this order.
    let (leases, rows) = try_join(session.query(&check, &whose), session.query(&text, &which)).await?;
    if leases.len() != buckets.len() {
        return Err(StoreError::fenced(lease.token).into());
    }
    let (now, marks) = marks(&leases, options)?;
    let mut page = PageBuilder::new(limits);
    for row in rows {
        if !page.push(stored(&row, now, &marks)?) {
            break;
        }
    }
    Ok(page.end())
}

/// The time, and what counts as maybe sent.
fn marks(rows: &[tokio_postgres::Row], options: &Options) -> Result<(i64, Marks), Stop> {
    let now = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    let marks: Result<_, _> = rows.iter().map(|row| Ok((row.try_get(1)?, row.try_get(2)?))).collect();
    let marks: Vec<(i16, i64)> = marks.map_err(|error: tokio_postgres::Error| Stop::from(error))?;
    Ok((options.now(now), Marks(marks)))
}

/// The counts.
pub(super) async fn stats(session: &Session, options: &Options) -> Result<StoreStats, Stop> {
    let buckets = all_buckets(options.buckets);
    let oldest =
        format!("SELECT created_at FROM ({}) AS all_of_them ORDER BY seq LIMIT 1", merged("created_at, seq", &buckets));
    let start: [&(dyn ToSql + Sync); 1] = [&Seq::START.0];
    let (row, oldest) = try_join(session.query_one(COUNTERS, &[]), session.query(&oldest, &start)).await?;
    let counters = Counters {
        pending: row.try_get(1)?,
        retrying: row.try_get(2)?,
        dlq_failed: row.try_get(3)?,
        resolved: row.try_get(4)?,
        dlq: row.try_get(5)?,
        purged: row.try_get(6)?,
        rows: row.try_get(7)?,
        bytes: row.try_get(8)?,
        ..Counters::default()
    };
    let oldest = oldest.first().map(|row| row.try_get(0)).transpose()?;
    Ok(counters.stats(oldest, options.now(row.try_get(0)?)))
}

/// Counts some more slots, and says where to go on; `None` at the end.
pub(super) async fn slots(
    session: &Session,
    buckets: u16,
    after: Seq,
    counts: &mut SlotCounts,
) -> Result<Option<Seq>, Stop> {
    let Some(first) = first_behind(session, after, buckets).await? else { return Ok(None) };
    let end = first.saturating_add(SPAN);
    for row in session.query(SLOTS, &[&first, &end, &all_buckets(buckets)]).await? {
        let (slot, count): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
        (0..count).for_each(|_| counts.add(u16::try_from(slot).unwrap_or_default()));
    }
    Ok(Some(Seq(end - 1)))
}

/// Adds events that a filter lets through, up to `limit`, and says where to go on; `None` at the end.
pub(super) async fn list(
    session: &Session,
    options: &Options,
    (filter, after, limit): (&Filter, Seq, usize),
    found: &mut Vec<StoredEvent>,
) -> Result<Option<Seq>, Stop> {
    let Some(first) = first_behind(session, after.max(filter.after), options.buckets).await? else { return Ok(None) };
    let Some(end) = filter.end_of_step(first, SPAN) else { return Ok(None) };
    let (now, marks) = marks(&session.query(MARKS, &[]).await?, options)?;
    let left = i64::try_from(limit.saturating_sub(found.len())).unwrap_or(i64::MAX);
    let condition = Condition::new(filter, options.buckets, (first, end), now);
    let mut values = condition.values().to_vec();
    values.push(&left);
    let sql = format!("SELECT {COLUMNS} FROM failed_kafka_events WHERE {CONDITION} ORDER BY seq LIMIT $9");
    for row in session.query(&sql, &values).await? {
        found.push(stored(&row, now, &marks)?);
    }
    Ok((found.len() < limit).then_some(Seq(end - 1)))
}

/// The number of the first row behind `after`.
pub(super) async fn first_behind(session: &Session, after: Seq, buckets: u16) -> Result<Option<i64>, Stop> {
    Ok(session.query_one(FIRST, &[&after.0, &all_buckets(buckets)]).await?.try_get(0)?)
}

/// The time.
pub(super) async fn now(session: &Session, options: &Options) -> Result<i64, Stop> {
    Ok(options.now(session.query_one(NOW, &[]).await?.try_get(0)?))
}
