//! Brings the tables up to date, and signs in.
//!
//! In: a connection. Out: tables of this version, rows for the writers. All of it is one transaction, one store after the other.

use uuid::Uuid;

use super::{
    lane::Stop,
    options::Options,
    reads::now,
    schema::{Lock, MIGRATIONS, UNSETTLED_INDEX, missing},
    session::Session,
};
use crate::store::{StoreError, StoreErrorKind};

/// After this time a writer that was not seen is gone, and its counts are added to those of all who are gone.
const GONE_AFTER_MS: i64 = 7 * 24 * 3_600_000;

const FIND: &str = "SELECT to_regclass(format('%I.outbox_schema', current_schema())) IS NOT NULL, \
     to_regclass(format('%I.failed_kafka_events', current_schema())) IS NOT NULL";
const CREATE: &str = "CREATE TABLE outbox_schema (version integer NOT NULL, buckets integer NOT NULL); \
     INSERT INTO outbox_schema VALUES (0, 0)";
const READ: &str = "SELECT version, buckets FROM outbox_schema";
const FOLD: &str = "WITH gone AS (DELETE FROM outbox_counters WHERE seen_at < $1 OR writer = $2 OR writer = ANY($3) RETURNING *) \
     INSERT INTO outbox_counters SELECT $2, max(seen_at), 0, max(last_seq), sum(pending), sum(retrying), sum(dlq_failed), \
     sum(resolved), sum(dlq), sum(purged), sum(rows), sum(bytes) FROM gone HAVING count(*) > 0";
const SIGN_IN: &str = "INSERT INTO outbox_counters (writer, seen_at) SELECT unnest($1::uuid[]), $2::bigint";

/// Makes or updates the tables, and returns how many buckets the store has.
pub(super) async fn open(session: &Session, options: &Options, writers: &[Uuid]) -> Result<u16, StoreError> {
    if session.query_one("SELECT current_setting('fsync')", &[]).await.is_ok_and(|row| row.get::<_, &str>(0) == "off") {
        tracing::warn!("fsync is off in the database: it may lose events when the power fails");
    }
    let buckets = sign_in(session, options, writers).await;
    end(session, buckets).await
}

/// Adds the counts of these writers to those of all who are gone. They have nothing under way.
pub(super) async fn sign_out(session: &Session, options: &Options, writers: &[Uuid]) -> Result<(), StoreError> {
    let folded = async {
        begin(session).await?;
        fold(session, now(session, options).await?, writers).await
    };
    end(session, folded.await).await
}

async fn begin(session: &Session) -> Result<(), Stop> {
    let lock = session.locking(Lock::Schema);
    Ok(session.batch(&format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {lock}")).await?)
}

async fn end<T>(session: &Session, result: Result<T, Stop>) -> Result<T, StoreError> {
    match result {
        Ok(answer) => {
            session.batch("COMMIT").await.map_err(|error| StoreError::from(Stop::Failed(error)))?;
            Ok(answer)
        }
        Err(stop) => {
            // The connection ends with it if that does not help.
            drop(session.batch("ROLLBACK").await);
            Err(stop.into())
        }
    }
}

async fn sign_in(session: &Session, options: &Options, writers: &[Uuid]) -> Result<u16, Stop> {
    begin(session).await?;
    let buckets = migrate(session, options).await?;
    if options.retention.is_some() {
        session.batch(UNSETTLED_INDEX).await?;
    }
    let now = now(session, options).await?;
    fold(session, now, &[]).await?;
    session.execute(SIGN_IN, &[&writers, &now]).await?;
    Ok(buckets)
}

/// Adds the counts of these writers, and of those that were not seen for long, to those of all who are gone.
async fn fold(session: &Session, now: i64, writers: &[Uuid]) -> Result<(), Stop> {
    session.execute(FOLD, &[&now.saturating_sub(GONE_AFTER_MS), &Uuid::nil(), &writers]).await?;
    Ok(())
}

async fn migrate(session: &Session, options: &Options) -> Result<u16, Stop> {
    let found = session.query_one(FIND, &[]).await?;
    let (is_ours, has_events): (bool, bool) = (found.try_get(0)?, found.try_get(1)?);
    if !is_ours && has_events {
        let text = "the schema has a table failed_kafka_events that is none of this store; it was left as it is";
        return Err(StoreError::new(StoreErrorKind::Refused, text, "name another schema").into());
    }
    if !is_ours && options.must_exist {
        let text = "there is no store in this schema of the database; nothing was created";
        return Err(StoreError::new(StoreErrorKind::Refused, text, "check the database and the schema").into());
    }
    if !is_ours {
        session.batch(CREATE).await?;
    }
    let row = session.query_one(READ, &[]).await?;
    let (version, had): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
    let migrations = missing(version)?;
    if migrations.is_empty() {
        return Ok(u16::try_from(had).unwrap_or(1));
    }
    for migration in migrations {
        session.batch(migration).await?;
    }
    let buckets = if version == 0 { i32::from(options.buckets) } else { had };
    let newest = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    session.execute("UPDATE outbox_schema SET version = $1, buckets = $2", &[&newest, &buckets]).await?;
    if version == 0 {
        let sql = "INSERT INTO outbox_leases (bucket) SELECT generate_series(0, $1::integer - 1)";
        session.execute(sql, &[&buckets]).await?;
    }
    Ok(u16::try_from(buckets).unwrap_or(1))
}
