//! One transaction, and the calls that share it.
//!
//! In: a connection, calls. Out: the counts before and after, a commit that can be recognised later. Deliberately absent:
//! answering the calls, which the writer does after the commit.

use rusqlite::{CachedStatement, Connection, params};
use tokio::sync::oneshot;

use super::{errors, options::Options};
use crate::store::{
    StoreError, StoreErrorKind,
    counters::{Counters, Rows},
    group::Weight,
};

/// A transaction that is under way.
pub(super) struct Work<'c> {
    pub(super) connection: &'c Connection,
    pub(super) options: &'c Options,
    pub(super) counters: Counters,
    pub(super) now: i64,
    /// Whether there is room to settle events after more were inserted.
    pub(super) has_reserve: bool,
    commits: i64,
    /// Kept for the whole transaction, because most calls insert one event.
    insert: Option<CachedStatement<'c>>,
}

/// Why a call does not succeed in its transaction.
pub(super) enum Stop {
    /// It must not. It has written nothing, so the transaction goes on without it.
    Refused(StoreError),
    /// SQLite failed, and the transaction with it.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

/// How a transaction ended.
pub(super) enum End {
    Committed,
    /// Nothing has changed.
    Failed(StoreError),
    /// The commit failed, and may have happened. If so, it is the one with this mark.
    Doubtful(rusqlite::Error, Mark),
}

/// What a commit leaves in the database: how many there were, and whose it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) commits: i64,
    pub(super) writer: i64,
}

impl Mark {
    /// Whether the commit with this mark happened, if `found` is what the database has now; `None` if that cannot be told,
    /// because somebody else has committed since.
    pub(super) fn happened(self, found: Self) -> Option<bool> {
        if found == self {
            Some(true)
        } else if found.commits < self.commits {
            Some(false)
        } else {
            None
        }
    }
}

const BEGIN: &str = "BEGIN IMMEDIATE";
const COUNTERS: &str = "SELECT last_seq, last_token, pending, retrying, dlq_failed, resolved, dlq, purged, rows, bytes, \
     commits, writer FROM outbox_counters WHERE id = 1";
const SET_COUNTERS: &str = "UPDATE outbox_counters SET last_seq = ?1, last_token = ?2, pending = ?3, retrying = ?4, \
     dlq_failed = ?5, resolved = ?6, dlq = ?7, purged = ?8, rows = ?9, bytes = ?10, commits = ?11, writer = ?12 WHERE id = 1";

/// The counts, and the mark of the last commit.
pub(super) fn counters(connection: &Connection) -> rusqlite::Result<(Counters, Mark)> {
    connection.prepare_cached(COUNTERS)?.query_row([], |row| {
        let counters = Counters {
            last_seq: row.get(0)?,
            last_token: row.get(1)?,
            pending: row.get(2)?,
            retrying: row.get(3)?,
            dlq_failed: row.get(4)?,
            resolved: row.get(5)?,
            dlq: row.get(6)?,
            purged: row.get(7)?,
            rows: row.get(8)?,
            bytes: row.get(9)?,
        };
        Ok((counters, Mark { commits: row.get(10)?, writer: row.get(11)? }))
    })
}

impl<'c> Work<'c> {
    /// Begins a transaction. It waits for other processes, but not for long.
    pub(super) fn begin(connection: &'c Connection, options: &'c Options, has_reserve: bool) -> rusqlite::Result<Self> {
        connection.prepare_cached(BEGIN)?.execute([])?;
        let now = options.clock.now_ms();
        match counters(connection) {
            Ok((counters, Mark { commits, .. })) => {
                Ok(Self { connection, options, counters, now, has_reserve, commits, insert: None })
            }
            Err(error) => {
                roll_back(connection);
                Err(error)
            }
        }
    }

    /// The statement that inserts a row, and the number of the last row.
    pub(super) fn inserting(&mut self, sql: &str) -> rusqlite::Result<(&mut CachedStatement<'c>, &mut i64)> {
        let statement = match self.insert.take() {
            Some(statement) => statement,
            None => self.connection.prepare_cached(sql)?,
        };
        Ok((self.insert.insert(statement), &mut self.counters.last_seq))
    }

    /// Whether rows may be inserted.
    pub(super) fn admit(&self, added: Rows) -> Result<(), StoreError> {
        if !self.has_reserve {
            let text = "the disk is full: the space that is kept for settling events is in use";
            return Err(StoreError::new(StoreErrorKind::Full, text, "make room; events can still be settled"));
        }
        self.counters.admit(self.options.quota, added)
    }

    /// Commits and syncs.
    pub(super) fn commit(mut self, writer: i64) -> End {
        let mark = Mark { commits: self.commits + 1, writer };
        drop(self.insert.take());
        if let Err(error) = self.set_counters(mark) {
            roll_back(self.connection);
            return End::Failed(errors::failed(&error));
        }
        match (self.options.commit)(self.connection) {
            Ok(()) => End::Committed,
            Err(error) if errors::is_undone(&error) => {
                roll_back(self.connection);
                End::Failed(errors::undone(&error))
            }
            Err(error) => End::Doubtful(error, mark),
        }
    }

    fn set_counters(&self, mark: Mark) -> rusqlite::Result<()> {
        let Counters { last_seq, last_token, pending, retrying, dlq_failed, resolved, dlq, purged, rows, bytes } =
            self.counters;
        self.connection.prepare_cached(SET_COUNTERS)?.execute(params![
            last_seq,
            last_token,
            pending,
            retrying,
            dlq_failed,
            resolved,
            dlq,
            purged,
            rows,
            bytes,
            mark.commits,
            mark.writer
        ])?;
        Ok(())
    }
}

/// Ends a transaction without a trace, if one is still under way. SQLite has ended it already after some errors. A
/// connection that cannot even do this is still in its transaction, and the writer closes it.
pub(super) fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::warn!(%error, "rollback failed; the store's file is opened again");
    }
}

/// A call that waits for its turn.
pub(super) trait Job: Send {
    fn weight(&self) -> Weight;

    /// Whether it may use the space that is kept for when the disk is full.
    fn may_use_reserve(&self) -> bool;

    /// Carries it out. It may run again if the transaction fails.
    fn run(&mut self, work: &mut Work<'_>) -> rusqlite::Result<()>;

    /// Answers the caller: how the transaction ended, or what came of the call.
    fn answer(self: Box<Self>, end: Result<(), StoreError>);
}

/// A call as a closure, and who waits for its answer.
pub(super) struct Task<T, F> {
    pub(super) work: F,
    pub(super) weight: Weight,
    pub(super) may_use_reserve: bool,
    pub(super) done: Option<Result<T, StoreError>>,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&mut Work<'_>) -> Result<T, Stop> + Send> Job for Task<T, F> {
    fn weight(&self) -> Weight {
        self.weight
    }

    fn may_use_reserve(&self) -> bool {
        self.may_use_reserve
    }

    fn run(&mut self, work: &mut Work<'_>) -> rusqlite::Result<()> {
        self.done = Some(match (self.work)(work) {
            Ok(done) => Ok(done),
            Err(Stop::Refused(error)) => Err(error),
            Err(Stop::Failed(error)) => return Err(error),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, end: Result<(), StoreError>) {
        let answer = match (end, self.done) {
            // A refusal is true whatever became of the transaction.
            (_, Some(Err(refused))) => Err(refused),
            (Err(error), _) => Err(error),
            (Ok(()), Some(done)) => done,
            (Ok(()), None) => Err(StoreError::closed()),
        };
        // Whoever dropped the call does not want to know.
        let _ = self.reply.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_recognised_by_its_mark_unless_somebody_else_has_committed_since() {
        let mark = |commits, writer| Mark { commits, writer };
        let ours = mark(8, 1);
        let cases = [
            ("it is the last one", mark(8, 1), Some(true)),
            ("the one before is the last one", mark(7, 1), Some(false)),
            ("that was somebody else's", mark(7, 2), Some(false)),
            ("somebody else's has its number", mark(8, 2), None),
            ("somebody else's came after it, or in its place and once more", mark(9, 2), None),
        ];
        for (name, found, expected) in cases {
            assert_eq!(ours.happened(found), expected, "{name}");
        }
    }
}
