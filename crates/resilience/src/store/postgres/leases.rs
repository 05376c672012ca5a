//! The leases of the buckets.
//!
//! In: calls of those who send. Out: rows of `outbox_leases`, one for each bucket. A row is locked until the transaction ends that named
//! its token, so a lease that is taken over meanwhile is either not yet, or not any more, that of the transaction.

use std::time::Duration;

use futures_util::future::try_join;
use tokio_postgres::Row;

use super::{
    lane::{Call, NOW, Stop, Work},
    options::Options,
    schema::Lock,
    session::Session,
};
use crate::store::{
    Lease, Seq, StoreError, Token,
    lease::after,
    share::{self, Held, Wanting},
};

const CHECK: &str = "SELECT bucket FROM outbox_leases WHERE bucket = ANY($1) AND token = $2 ORDER BY bucket FOR SHARE";
const READ: &str =
    "SELECT bucket, owner, token, renewed_at, lease_until, last_token FROM outbox_leases ORDER BY bucket";
const WANTING: &str = "SELECT owner, since FROM outbox_owners WHERE $1 < until AND $1 >= seen_at - 1000";
const WANT: &str = "INSERT INTO outbox_owners AS o (owner, since, seen_at, until) VALUES ($1, $2, $2, $3) ON CONFLICT (owner) \
     DO UPDATE SET since = CASE WHEN $2 < o.until AND $2 >= o.since THEN o.since ELSE $2 END, seen_at = $2, until = $3";
const ACQUIRE: &str = "UPDATE outbox_leases l SET owner = $1, token = $2, last_token = $2, renewed_at = $3, lease_until = $4, \
     maybe_sent_up_to = GREATEST(l.maybe_sent_up_to, l.sent_up_to) \
     FROM unnest($5::smallint[], $6::bigint[], $7::bigint[]) AS was (bucket, token, renewed_at) \
     WHERE l.bucket = was.bucket AND l.token = was.token AND l.renewed_at = was.renewed_at RETURNING l.bucket, l.sent_up_to";
const RENEW: &str = "UPDATE outbox_leases SET renewed_at = $3, lease_until = $4 WHERE bucket = ANY($1) AND token = $2";
const RELEASE: &str =
    "UPDATE outbox_leases SET owner = NULL, token = 0, sent_up_to = 0 WHERE bucket = ANY($1) AND token = $2";
const LEAVE: &str = "DELETE FROM outbox_owners WHERE owner = $1";
const SENDING: &str =
    "UPDATE outbox_leases SET sent_up_to = GREATEST(sent_up_to, $3) WHERE bucket = ANY($1) AND token = $2";

/// The lease's buckets as the database has them.
pub(super) fn numbers(buckets: &[u16]) -> Vec<i16> {
    buckets.iter().map(|bucket| i16::try_from(*bucket).unwrap_or(-1)).collect()
}

/// Whether so many rows are those of all the lease's buckets.
fn all_of(lease: &Lease, rows: u64) -> Result<(), Stop> {
    if rows == lease.buckets.len() as u64 { Ok(()) } else { Err(StoreError::fenced(lease.token).into()) }
}

/// Whether the lease is still valid. It stays so until the transaction ends.
pub(super) async fn check(session: &Session, lease: &Lease) -> Result<(), Stop> {
    let rows = session.query(CHECK, &[&numbers(&lease.buckets), &lease.token.0]).await?;
    all_of(lease, rows.len() as u64)
}

/// Takes buckets that nobody has. What their last owners may have sent counts as maybe sent from then on.
pub(super) struct Acquire {
    pub(super) owner: String,
    pub(super) lasting: Duration,
    pub(super) want: u16,
}

impl Call for Acquire {
    type Answer = Option<Lease>;

    fn lock(&self) -> Option<Lock> {
        Some(Lock::Lease)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Option<Lease>, Stop> {
        if self.want == 0 {
            return Ok(None);
        }
        let (session, now) = (work.session, work.now);
        let until = after(now, self.lasting);
        session.execute(WANT, &[&self.owner, &now, &until]).await?;
        let (held, wanting, last_token) = read(session, now).await?;
        let free = share::free(&held, &wanting, (&self.owner, self.want), now);
        if free.is_empty() {
            return Ok(None);
        }
        let buckets = numbers(&free.iter().map(|held| held.bucket).collect::<Vec<_>>());
        let tokens: Vec<i64> = free.iter().map(|held| held.token).collect();
        let renewed: Vec<i64> = free.iter().map(|held| held.renewed_at).collect();
        let token = last_token + 1;
        let taken = session.query(ACQUIRE, &[&self.owner, &token, &now, &until, &buckets, &tokens, &renewed]).await?;
        let mut lease =
            Lease { owner: self.owner.clone(), token: Token(token), buckets: Vec::new(), sent_up_to: Seq(i64::MAX) };
        for row in taken {
            lease.buckets.push(u16::try_from(row.try_get::<_, i16>(0)?).unwrap_or(u16::MAX));
            lease.sent_up_to = lease.sent_up_to.min(Seq(row.try_get(1)?));
        }
        lease.buckets.sort_unstable();
        if lease.buckets.len() == usize::from(self.want) {
            session.execute(LEAVE, &[&self.owner]).await?;
        }
        // Those that were renewed in the meantime are not among them.
        Ok((!lease.buckets.is_empty()).then_some(lease))
    }
}

/// The leases of all buckets, who wants some, and the last token that was given.
async fn read(session: &Session, now: i64) -> Result<(Vec<Held>, Vec<Wanting>, i64), Stop> {
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&now];
    let (leases, wanting) = try_join(session.query(READ, &[]), session.query(WANTING, &values)).await?;
    let (mut held, mut last_token) = (Vec::with_capacity(leases.len()), 0);
    for row in leases {
        last_token = last_token.max(row.try_get(5)?);
        held.push(Held {
            bucket: u16::try_from(row.try_get::<_, i16>(0)?).unwrap_or(u16::MAX),
            owner: row.try_get(1)?,
            token: row.try_get(2)?,
            renewed_at: row.try_get(3)?,
            lease_until: row.try_get(4)?,
        });
    }
    let one = |row: &Row| Ok(Wanting { owner: row.try_get(0)?, since: row.try_get(1)? });
    let wanting: Result<_, tokio_postgres::Error> = wanting.iter().map(one).collect();
    Ok((held, wanting?, last_token))
}

/// How many buckets an owner may have now.
pub(super) async fn share(session: &Session, owner: &str, options: &Options) -> Result<u16, Stop> {
    let now = options.now(session.query_one(NOW, &[]).await?.try_get(0)?);
    let (held, wanting, _) = read(session, now).await?;
    Ok(u16::try_from(share::share(&held, &wanting, owner, now)).unwrap_or(u16::MAX))
}

/// Has a lease last from now, unless somebody else has waited for its share for long.
pub(super) struct Renew {
    pub(super) lease: Lease,
    pub(super) lasting: Duration,
}

impl Call for Renew {
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let (lease, until) = (&self.lease, after(work.now, self.lasting));
        let buckets = numbers(&lease.buckets);
        let rows = work.session.execute(RENEW, &[&buckets, &lease.token.0, &work.now, &until]).await?;
        all_of(lease, rows)?;
        let (held, wanting, _) = read(work.session, work.now).await?;
        Ok(share::may_renew(&held, &wanting, (&lease.owner, self.lasting), work.now)?)
    }
}

/// Gives a lease back.
pub(super) struct Release(pub(super) Lease);

impl Call for Release {
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let lease = &self.0;
        let rows = work.session.execute(RELEASE, &[&numbers(&lease.buckets), &lease.token.0]).await?;
        all_of(lease, rows)?;
        work.session.execute(LEAVE, &[&lease.owner]).await?;
        Ok(())
    }
}

/// Says what will be sent.
pub(super) struct Sending {
    pub(super) lease: Lease,
    pub(super) up_to: Seq,
}

impl Call for Sending {
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let lease = &self.lease;
        let values = numbers(&lease.buckets);
        let rows = work.session.execute(SENDING, &[&values, &lease.token.0, &self.up_to.0]).await?;
        all_of(lease, rows)
    }
}
