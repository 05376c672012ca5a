//! One connection that writes, a transaction at a time.
//!
//! In: calls. Out: their answers, after the commit. If a commit's answer is lost, the database is asked whether it happened.
//!
//! Each lane has a row in `outbox_counters` that nobody else changes. Every transaction counts itself in it before the commit is sent.
//! So the row is locked until the commit has happened or not, whatever became of the connection, and then it tells which.

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    errors,
    link::{Connector, Link},
    options::Options,
    schema::Lock,
    session::Session,
};
use crate::store::{StoreError, counters::Counters};

/// How often a transaction is tried that ran into another one.
const TRIES: u32 = 5;

/// The time, in a row of its own.
pub(super) const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
const COUNT: &str = "INSERT INTO outbox_counters AS c (writer, seen_at, commits, last_seq, pending, retrying, dlq_failed, resolved, \
     dlq, purged, rows, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (writer) DO UPDATE SET \
     seen_at = excluded.seen_at, commits = excluded.commits, last_seq = GREATEST(c.last_seq, excluded.last_seq), \
     pending = c.pending + excluded.pending, retrying = c.retrying + excluded.retrying, \
     dlq_failed = c.dlq_failed + excluded.dlq_failed, resolved = c.resolved + excluded.resolved, dlq = c.dlq + excluded.dlq, \
     purged = c.purged + excluded.purged, rows = c.rows + excluded.rows, bytes = c.bytes + excluded.bytes";
const LOOK: &str = "SELECT commits FROM outbox_counters WHERE writer = $1 FOR UPDATE";

/// What is done in one transaction. It may run again if the transaction fails.
pub(super) trait Call: Send + Sync {
    type Answer: Send;

    /// What it locks first.
    fn lock(&self) -> Option<Lock> {
        None
    }

    /// What it reads first: one row that begins with the time.
    fn first(&self) -> &'static str {
        NOW
    }

    fn run(&self, work: &mut Work<'_>) -> impl Future<Output = Result<Self::Answer, Stop>> + Send;
}

/// A transaction that is under way.
pub(super) struct Work<'s> {
    pub(super) session: &'s Session,
    pub(super) options: &'s Options,
    /// From the database's clock.
    pub(super) now: i64,
    /// What the call read first.
    pub(super) first: Row,
    /// What the transaction adds to the counts.
    pub(super) counters: Counters,
}

/// Why a call does not succeed in its transaction.
pub(super) enum Stop {
    Refused(StoreError),
    /// The database failed, and the transaction with it.
    Failed(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Stop> for StoreError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(error) => error,
            Stop::Failed(error) => errors::failed(&error),
        }
    }
}

/// How a transaction ended.
enum End<T> {
    Committed(T),
    /// Nothing has changed.
    Failed(StoreError),
    /// Nothing has changed, and it may succeed at once.
    Passing(StoreError),
    /// The commit failed for this reason, and may have happened.
    Doubtful(T, String),
}

/// A connection that writes.
pub(super) struct Lane {
    link: Link,
    options: Arc<Options>,
    /// Marks this lane's commits.
    writer: Uuid,
    commits: i64,
}

impl Lane {
    /// A lane, whose row has to be in the database before its first commit.
    pub(super) fn new(connector: Connector, options: Arc<Options>, writer: Uuid) -> Self {
        Self { link: Link::new(connector), options, writer, commits: 0 }
    }

    /// Carries a call out, commits it, and answers.
    pub(super) async fn transact<C: Call>(&mut self, call: &C) -> Result<C::Answer, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.attempt(call).await {
                End::Committed(answer) => return Ok(answer),
                End::Passing(_) if tries < TRIES => {}
                End::Failed(error) | End::Passing(error) => return Err(error),
                End::Doubtful(answer, why) => return self.look(&why).await.map(|()| answer),
            }
        }
    }

    pub(super) async fn close(&self) {
        self.link.close().await;
    }

    async fn attempt<C: Call>(&mut self, call: &C) -> End<C::Answer> {
        let session = match self.link.session().await {
            Ok(session) => session,
            Err(error) => return End::Failed(error),
        };
        self.commits += 1;
        let answer = match timeout(self.options.timeout, self.prepare(&session, call)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(stop)) => {
                self.roll_back(&session).await;
                return match stop {
                    Stop::Failed(error) if errors::is_passing(&error) => End::Passing(errors::failed(&error)),
                    stop => End::Failed(stop.into()),
                };
            }
            Err(_) => {
                self.link.discard(&session).await;
                return End::Failed(errors::silent());
            }
        };
        // It is sent when everything before has been answered. So nothing is committed if this is not reached.
        let why = match timeout(self.options.timeout, session.batch("COMMIT")).await {
            Ok(Ok(())) => return End::Committed(answer),
            Ok(Err(error)) if errors::is_undone(&error) => return End::Failed(errors::failed(&error)),
            Ok(Err(error)) => errors::told(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        self.link.discard(&session).await;
        End::Doubtful(answer, why)
    }

    /// Everything but the commit.
    async fn prepare<C: Call>(&self, session: &Session, call: &C) -> Result<C::Answer, Stop> {
        let lock = call.lock().map_or_else(String::new, |lock| session.locking(lock));
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {lock}");
        // Both are on their way at once.
        let ((), first) = try_join(session.batch(&begin), session.query_one(call.first(), &[])).await?;
        let now = self.options.now(first.try_get(0)?);
        let mut work = Work { session, options: &self.options, now, first, counters: Counters::default() };
        let answer = call.run(&mut work).await?;
        self.count(&work).await?;
        Ok(answer)
    }

    async fn count(&self, work: &Work<'_>) -> Result<(), Stop> {
        let c = &work.counters;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 12] = [
            &self.writer,
            &work.now,
            &self.commits,
            &c.last_seq,
            &c.pending,
            &c.retrying,
            &c.dlq_failed,
            &c.resolved,
            &c.dlq,
            &c.purged,
            &c.rows,
            &c.bytes,
        ];
        work.session.execute(COUNT, &values).await?;
        Ok(())
    }

    async fn roll_back(&self, session: &Session) {
        let done = timeout(self.options.timeout, session.batch("ROLLBACK")).await;
        if !matches!(done, Ok(Ok(()))) {
            self.link.discard(session).await;
        }
    }

    /// Finds out whether a commit happened whose answer was lost.
    async fn look(&self, why: &str) -> Result<(), StoreError> {
        let end = Instant::now() + self.options.timeout;
        let mut pause = Duration::from_millis(20);
        loop {
            match self.commits().await {
                Ok(Some(commits)) if commits >= self.commits => return Ok(()),
                Ok(Some(_)) => return Err(errors::undone(why)),
                Ok(None) => return Err(errors::doubtful(why, "somebody removed the writer's row")),
                Err(error) if Instant::now() + pause > end => return Err(errors::doubtful(why, &error.to_string())),
                Err(_) => sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// How many of this lane's transactions have happened. Waits for one that is under way.
    async fn commits(&self) -> Result<Option<i64>, StoreError> {
        let session = self.link.session().await?;
        let Ok(found) = timeout(self.options.timeout, session.query(LOOK, &[&self.writer])).await else {
            self.link.discard(&session).await;
            return Err(errors::silent());
        };
        let found = found.map_err(|error| errors::failed(&error))?;
        found.first().map(|row| row.try_get(0)).transpose().map_err(|error| errors::failed(&error))
    }
}
