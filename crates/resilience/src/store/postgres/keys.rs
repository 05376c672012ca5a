//! Requests that are carried out once.
//!
//! In: calls. Out: rows of `outbox_keys`, one for each key. Who comes second waits until the first has committed.

use tokio_postgres::Row;
use uuid::Uuid;

use super::lane::{Call, Stop, Work};
use crate::store::{Claim, Claimed, StoreError, clock::age, lease::after};

const CLAIM: &str = "INSERT INTO outbox_keys AS k (idempotency_key, fingerprint, request_id, claimed_at, kept_until) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (idempotency_key) DO UPDATE SET fingerprint = excluded.fingerprint, \
     request_id = excluded.request_id, claimed_at = excluded.claimed_at, kept_until = excluded.kept_until, answer = NULL \
     WHERE k.kept_until <= $4 OR (k.answer IS NULL AND k.request_id IN ($6, excluded.request_id))";
const FIND: &str = "SELECT fingerprint, request_id, claimed_at, answer FROM outbox_keys WHERE idempotency_key = $1";
const ANSWER: &str = "UPDATE outbox_keys SET answer = $3 WHERE idempotency_key = $1 AND request_id = $2";
const FREE: &str = "DELETE FROM outbox_keys WHERE idempotency_key = $1 AND request_id = $2";
const SWEEP: &str = "DELETE FROM outbox_keys WHERE kept_until <= $1";
const COUNT: &str = "SELECT count(*) FROM outbox_keys";

impl Call for Claim {
    type Answer = Option<Claimed>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Option<Claimed>, Stop> {
        let Self { key, fingerprint, request_id, lasting, instead_of } = self;
        let until = after(work.now, *lasting);
        if work.session.execute(CLAIM, &[key, fingerprint, request_id, &work.now, &until, instead_of]).await? > 0 {
            return Ok(None);
        }
        match work.session.query(FIND, &[key]).await?.first() {
            Some(row) => Ok(Some(claimed(row, work.now)?)),
            // Its request has freed it meanwhile.
            None => Err(StoreError::busy_key().into()),
        }
    }
}

fn claimed(row: &Row, now: i64) -> Result<Claimed, Stop> {
    Ok(Claimed {
        fingerprint: row.try_get(0)?,
        request_id: row.try_get(1)?,
        age: age(now, row.try_get(2)?),
        answer: row.try_get(3)?,
    })
}

/// Ends the request that has a key.
pub(super) struct Conclude {
    pub(super) key: String,
    pub(super) request_id: Uuid,
    pub(super) answer: Option<Vec<u8>>,
}

impl Call for Conclude {
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let Self { key, request_id, answer } = self;
        match answer {
            Some(answer) => work.session.execute(ANSWER, &[key, request_id, answer]).await?,
            None => work.session.execute(FREE, &[key, request_id]).await?,
        };
        Ok(())
    }
}

/// Removes keys whose time is over, and counts the others.
pub(super) struct SweepKeys;

impl Call for SweepKeys {
    type Answer = u64;

    async fn run(&self, work: &mut Work<'_>) -> Result<u64, Stop> {
        work.session.execute(SWEEP, &[&work.now]).await?;
        Ok(work.session.query_one(COUNT, &[]).await?.try_get::<_, i64>(0)?.unsigned_abs())
    }
}
