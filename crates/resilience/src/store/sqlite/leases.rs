//! The lease of the one bucket that a file has.
//!
//! In: calls of those who send. Out: the lease's row.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::work::{Stop, Work};
use crate::store::{
    Lease, Seq, StoreError, Token,
    lease::{after, lasts},
};

const READ: &str =
    "SELECT token, renewed_at, lease_until, sent_up_to, maybe_sent_up_to FROM outbox_leases WHERE bucket = 0";
const ACQUIRE: &str = "UPDATE outbox_leases SET owner = ?1, token = ?2, renewed_at = ?3, lease_until = ?4, \
     maybe_sent_up_to = MAX(maybe_sent_up_to, sent_up_to) WHERE bucket = 0";
const RENEW: &str = "UPDATE outbox_leases SET renewed_at = ?1, lease_until = ?2 WHERE bucket = 0";
const RELEASE: &str = "UPDATE outbox_leases SET owner = NULL, token = 0, sent_up_to = 0 WHERE bucket = 0";
const SENDING: &str = "UPDATE outbox_leases SET sent_up_to = MAX(sent_up_to, ?1) WHERE bucket = 0";

/// The lease's row.
struct Bucket {
    token: i64,
    renewed_at: i64,
    lease_until: i64,
    sent_up_to: i64,
    maybe_sent_up_to: i64,
}

fn read(connection: &Connection) -> rusqlite::Result<Bucket> {
    connection.prepare_cached(READ)?.query_row([], |row| {
        Ok(Bucket {
            token: row.get(0)?,
            renewed_at: row.get(1)?,
            lease_until: row.get(2)?,
            sent_up_to: row.get(3)?,
            maybe_sent_up_to: row.get(4)?,
        })
    })
}

/// Up to which event all count as maybe sent.
pub(super) fn maybe_sent_up_to(connection: &Connection) -> rusqlite::Result<i64> {
    Ok(read(connection)?.maybe_sent_up_to)
}

/// As [`maybe_sent_up_to`], for the one who has the lease.
pub(super) fn check(connection: &Connection, lease: &Lease) -> Result<i64, Stop> {
    let bucket = read(connection)?;
    if bucket.token == lease.token.0 && lease.buckets == [0] {
        Ok(bucket.maybe_sent_up_to)
    } else {
        Err(StoreError::fenced(lease.token).into())
    }
}

/// Takes the lease, if nobody has it. What its last owner may have sent counts as maybe sent from then on.
pub(super) fn acquire(work: &mut Work<'_>, owner: &str, lasting: Duration, want: u16) -> Result<Option<Lease>, Stop> {
    let bucket = read(work.connection)?;
    if want == 0 || (bucket.token != 0 && lasts(work.now, bucket.renewed_at, bucket.lease_until)) {
        return Ok(None);
    }
    work.counters.last_token += 1;
    let token = Token(work.counters.last_token);
    work.connection.prepare_cached(ACQUIRE)?.execute(params![owner, token.0, work.now, after(work.now, lasting)])?;
    Ok(Some(Lease { owner: owner.to_owned(), token, buckets: vec![0], sent_up_to: Seq(bucket.sent_up_to) }))
}

pub(super) fn renew(work: &Work<'_>, lease: &Lease, lasting: Duration) -> Result<(), Stop> {
    check(work.connection, lease)?;
    work.connection.prepare_cached(RENEW)?.execute([work.now, after(work.now, lasting)])?;
    Ok(())
}

pub(super) fn release(work: &Work<'_>, lease: &Lease) -> Result<(), Stop> {
    check(work.connection, lease)?;
    work.connection.prepare_cached(RELEASE)?.execute([])?;
    Ok(())
}

pub(super) fn sending(work: &Work<'_>, lease: &Lease, up_to: Seq) -> Result<(), Stop> {
    check(work.connection, lease)?;
    work.connection.prepare_cached(SENDING)?.execute([up_to.0])?;
    Ok(())
}
