//! Requests that are carried out once.
//!
//! In: calls. Out: rows of `outbox_keys`, one for each key.

use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

use super::work::{Stop, Work};
use crate::store::{Claim, Claimed, clock::age, lease::after};

const CLAIM: &str = "INSERT INTO outbox_keys AS k (idempotency_key, fingerprint, request_id, claimed_at, kept_until) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (idempotency_key) DO UPDATE SET fingerprint = excluded.fingerprint, \
     request_id = excluded.request_id, claimed_at = excluded.claimed_at, kept_until = excluded.kept_until, answer = NULL \
     WHERE k.kept_until <= ?4 OR (k.answer IS NULL AND k.request_id IN (?6, excluded.request_id))";
const FIND: &str = "SELECT fingerprint, request_id, claimed_at, answer FROM outbox_keys WHERE idempotency_key = ?1";
const ANSWER: &str = "UPDATE outbox_keys SET answer = ?3 WHERE idempotency_key = ?1 AND request_id = ?2";
const FREE: &str = "DELETE FROM outbox_keys WHERE idempotency_key = ?1 AND request_id = ?2";
const SWEEP: &str = "DELETE FROM outbox_keys WHERE kept_until <= ?1";
const COUNT: &str = "SELECT COUNT(*) FROM outbox_keys";

pub(super) fn claim(work: &mut Work<'_>, claim: &Claim) -> Result<Option<Claimed>, Stop> {
    let Claim { key, fingerprint, request_id, lasting, instead_of } = claim;
    let (request_id, instead_of) = (request_id.to_string(), instead_of.map(|id| id.to_string()));
    let row = params![key, fingerprint, request_id, work.now, after(work.now, *lasting), instead_of];
    if work.connection.prepare_cached(CLAIM)?.execute(row)? > 0 {
        return Ok(None);
    }
    let found = |row: &Row<'_>| claimed(row, work.now);
    Ok(work.connection.prepare_cached(FIND)?.query_row([key], found).optional()?)
}

fn claimed(row: &Row<'_>, now: i64) -> rusqlite::Result<Claimed> {
    let (id, claimed_at): (String, i64) = (row.get(1)?, row.get(2)?);
    Ok(Claimed {
        fingerprint: row.get(0)?,
        request_id: Uuid::parse_str(&id).unwrap_or_default(),
        age: age(now, claimed_at),
        answer: row.get(3)?,
    })
}

pub(super) fn conclude(work: &mut Work<'_>, key: &str, request_id: Uuid, answer: Option<&[u8]>) -> Result<(), Stop> {
    let id = request_id.to_string();
    match answer {
        Some(answer) => work.connection.prepare_cached(ANSWER)?.execute(params![key, id, answer])?,
        None => work.connection.prepare_cached(FREE)?.execute(params![key, id])?,
    };
    Ok(())
}

pub(super) fn sweep(work: &mut Work<'_>) -> Result<u64, Stop> {
    work.connection.prepare_cached(SWEEP)?.execute([work.now])?;
    let left: i64 = work.connection.prepare_cached(COUNT)?.query_row([], |row| row.get(0))?;
    Ok(left.unsigned_abs())
}
