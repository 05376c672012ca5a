//! What the publishers of several processes have to know of each other.
//!
//! In: calls of publishers. Out: rows of `outbox_passes`, one for each pass, and which slots have unsettled events. Whoever gives a pass has the
//! lock of those who insert until its commit is visible. So an insert sees every pass that was given before, and a pass is not given
//! after an insert.

use tokio_postgres::Row;

use super::{
    lane::{Call, Stop, Work},
    leases::numbers,
    schema::Lock,
    session::Session,
};
use crate::store::{Busy, Pass, Seq};

const ALL: &str = "SELECT ARRAY(SELECT number FROM outbox_passes ORDER BY number)";
const UNSETTLED: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
     COALESCE(sum(pending + retrying), 0)::bigint FROM outbox_counters";
const GIVE: &str = "INSERT INTO outbox_passes DEFAULT VALUES RETURNING number";
const END: &str = "DELETE FROM outbox_passes WHERE number = ANY($1)";
const BUSY: &str = "SELECT b.number, count(e.seq), COALESCE(max(e.seq), b.behind), \
     COALESCE(array_agg(DISTINCT e.slot) FILTER (WHERE e.slot IS NOT NULL), '{}') \
     FROM unnest($1::smallint[], $2::bigint[]) AS b (number, behind) LEFT JOIN LATERAL (SELECT seq, slot FROM failed_kafka_events \
     WHERE bucket = b.number AND seq > b.behind AND status IN ('PENDING', 'RETRYING') ORDER BY seq LIMIT $3) AS e ON true \
     GROUP BY b.number, b.behind ORDER BY b.number";

/// Gives a pass, unless an event is unsettled.
pub(super) struct TakePass {
    pub(super) instead_of: Option<Pass>,
}

impl Call for TakePass {
    type Answer = Option<Pass>;

    fn lock(&self) -> Option<Lock> {
        Some(Lock::Insert)
    }

    fn first(&self) -> &'static str {
        UNSETTLED
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Option<Pass>, Stop> {
        if work.first.try_get::<_, i64>(1)? > 0 {
            return Ok(None);
        }
        if let Some(Pass(old)) = self.instead_of {
            work.session.execute(END, &[&vec![old]]).await?;
        }
        Ok(Some(Pass(work.session.query_one(GIVE, &[]).await?.try_get(0)?)))
    }
}

/// Whether an event is unsettled. During an outage it spares the others the lock of [`TakePass`].
pub(super) async fn has_unsettled(session: &Session) -> Result<bool, Stop> {
    Ok(session.query_one(UNSETTLED, &[]).await?.try_get::<_, i64>(1)? > 0)
}

/// Ends passes.
pub(super) struct EndPasses(pub(super) Vec<Pass>);

impl Call for EndPasses {
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let passes: Vec<i64> = self.0.iter().map(|pass| pass.0).collect();
        work.session.execute(END, &[&passes]).await?;
        Ok(())
    }
}

/// All passes.
pub(super) async fn all(session: &Session) -> Result<Vec<Pass>, Stop> {
    passes(&session.query_one(ALL, &[]).await?, 0)
}

/// The passes in this column.
pub(super) fn passes(row: &Row, at: usize) -> Result<Vec<Pass>, Stop> {
    Ok(row.try_get::<_, Vec<i64>>(at)?.into_iter().map(Pass).collect())
}

/// Which slots have unsettled events behind these places.
pub(super) async fn busy(session: &Session, behind: &[(u16, Seq)], limit: u64) -> Result<Vec<Busy>, Stop> {
    let buckets = numbers(&behind.iter().map(|(bucket, _)| *bucket).collect::<Vec<_>>());
    let places: Vec<i64> = behind.iter().map(|(_, place)| place.0).collect();
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = session.query(BUSY, &[&buckets, &places, &most]).await?;
    rows.iter().map(|row| busy_of(row, limit)).collect()
}

fn busy_of(row: &Row, limit: u64) -> Result<Busy, Stop> {
    let (bucket, slots): (i16, Vec<i32>) = (row.try_get(0)?, row.try_get(3)?);
    let events = u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(u64::MAX);
    Ok(Busy {
        bucket: u16::try_from(bucket).unwrap_or(u16::MAX),
        slots: slots.into_iter().filter_map(|slot| u16::try_from(slot).ok()).collect(),
        events,
        last: Seq(row.try_get(2)?),
        is_end: events < limit,
    })
}
