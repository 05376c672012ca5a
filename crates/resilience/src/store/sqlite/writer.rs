//! The thread that writes: many calls, one transaction, one sync.
//!
//! In: calls, in order. Out: their answers, after the sync. While one transaction is written, the calls for the next one wait.
//! If a transaction fails before its commit, each of its calls is carried out again alone, so that one cannot spoil the others.

use std::{sync::Arc, thread};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    errors,
    open::{for_writing, write_back},
    options::Options,
    reader::ReadConnection,
    reserve::Reserve,
    work::{End, Job, Mark, Work, counters, roll_back},
};
use crate::store::{
    StoreError, StoreErrorKind,
    answers::AnswerThread,
    group::{Group, LIMITS},
};

/// How often other threads get the processor before a transaction that has several calls is committed.
const YIELDS: usize = 4;

/// What the thread is told.
pub(super) enum Message {
    Job(Box<dyn Job>),
    /// Finish what was sent before, close the file, and say so.
    Close(oneshot::Sender<()>),
}

/// The thread's state.
pub(super) struct Writer {
    options: Arc<Options>,
    /// Closed after a commit that may have happened.
    connection: Option<Connection>,
    reading: ReadConnection,
    reserve: Reserve,
    messages: mpsc::Receiver<Message>,
    /// The first call of the next transaction, which did not fit into the last one.
    held: Option<Box<dyn Job>>,
    closing: Vec<oneshot::Sender<()>>,
    /// Marks this writer's commits.
    id: i64,
    answers: AnswerThread,
}

impl Writer {
    /// Opens the file.
    pub(super) fn open(
        options: Arc<Options>,
        reading: ReadConnection,
        messages: mpsc::Receiver<Message>,
    ) -> Result<Self, StoreError> {
        let connection = Some(for_writing(&options)?);
        let mut reserve = if options.must_exist {
            Reserve::of_others(&options.path)
        } else {
            Reserve::new(&options.path, options.reserve)
        };
        reserve.ensure(options.clock.now_ms(), || {});
        let id = i64::from_ne_bytes(uuid::Uuid::now_v7().as_u64_pair().1.to_ne_bytes());
        Ok(Self {
            options,
            connection,
            reading,
            reserve,
            messages,
            held: None,
            closing: Vec::new(),
            id,
            answers: AnswerThread::start(),
        })
    }

    /// Serves until the store is closed or dropped.
    pub(super) fn run(mut self) {
        while let Some(job) = self.next() {
            self.serve(job);
        }
        drop(self.reading.closed());
        drop(self.connection.take());
        self.answers.end();
        for closing in self.closing.drain(..) {
            // Whoever dropped the call does not want to know.
            let _ = closing.send(());
        }
    }

    /// Waits for the next call.
    fn next(&mut self) -> Option<Box<dyn Job>> {
        if let Some(job) = self.held.take() {
            return Some(job);
        }
        loop {
            match self.messages.blocking_recv()? {
                Message::Job(job) => return Some(job),
                Message::Close(done) => self.close(done),
            }
        }
    }

    /// The next call, if there is one.
    fn try_next(&mut self) -> Option<Box<dyn Job>> {
        loop {
            match self.messages.try_recv().ok()? {
                Message::Job(job) => return Some(job),
                Message::Close(done) => self.close(done),
            }
        }
    }

    /// The next call, if there is one, or if another is about to come: many callers call again as soon as they have their
    /// answers. They get the processor a few times before the sync, which stores a fifth more on busy machines.
    fn next_soon(&mut self, joined: usize) -> Option<Box<dyn Job>> {
        let yields = if joined > 1 { YIELDS } else { 0 };
        for _ in 0..yields {
            if let Some(job) = self.try_next() {
                return Some(job);
            }
            thread::yield_now();
        }
        self.try_next()
    }

    /// Takes no more messages; those that are there are still received.
    fn close(&mut self, done: oneshot::Sender<()>) {
        self.messages.close();
        self.closing.push(done);
    }

    fn serve(&mut self, first: Box<dyn Job>) {
        let mut jobs = vec![first];
        let mut end = self.attempt(&mut jobs, true);
        if is_full(&end) && self.write_back() {
            end = self.attempt(&mut jobs, false);
        }
        if jobs.len() == 1 || !matches!(end, End::Failed(_)) {
            return self.conclude(jobs, end);
        }
        for job in jobs {
            let mut alone = vec![job];
            let end = self.attempt(&mut alone, false);
            self.conclude(alone, end);
        }
    }

    /// Carries out calls in one transaction. With `more`, those that have come in the meantime join it.
    fn attempt(&mut self, jobs: &mut Vec<Box<dyn Job>>, more: bool) -> End {
        let connection = match self.connection.take().map_or_else(|| for_writing(&self.options), Ok) {
            Ok(connection) => connection,
            Err(error) => return End::Failed(error),
        };
        let end = self.attempt_with(&connection, jobs, more);
        let is_usable = connection.is_autocommit() && !matches!(end, End::Doubtful(..));
        self.connection = is_usable.then_some(connection);
        end
    }

    fn attempt_with(&mut self, connection: &Connection, jobs: &mut Vec<Box<dyn Job>>, more: bool) -> End {
        let options = Arc::clone(&self.options);
        let make_room = || drop(write_back(connection));
        let has_reserve = self.reserve.ensure(options.clock.now_ms(), make_room);
        let mut work = match Work::begin(connection, &options, has_reserve) {
            Ok(work) => work,
            Err(error) => return End::Failed(errors::failed(&error)),
        };
        match self.run_jobs(&mut work, jobs, more) {
            Ok(()) => work.commit(self.id),
            Err(error) => {
                roll_back(connection);
                End::Failed(errors::failed(&error))
            }
        }
    }

    fn run_jobs(&mut self, work: &mut Work<'_>, jobs: &mut Vec<Box<dyn Job>>, more: bool) -> rusqlite::Result<()> {
        let mut group = Group::new(LIMITS);
        for job in jobs.iter_mut() {
            group.takes(job.weight());
            job.run(work)?;
        }
        while more && let Some(mut job) = self.next_soon(jobs.len()) {
            if !group.takes(job.weight()) {
                self.held = Some(job);
                break;
            }
            let ran = job.run(work);
            jobs.push(job);
            ran?;
        }
        Ok(())
    }

    /// Answers calls.
    fn conclude(&mut self, mut jobs: Vec<Box<dyn Job>>, end: End) {
        let end = self.try_with_reserve(&mut jobs, end);
        let end = match end {
            End::Committed => Ok(()),
            End::Failed(error) => Err(error),
            End::Doubtful(error, mark) => self.look(&error, mark),
        };
        self.answers.give(jobs.len(), move || jobs.into_iter().for_each(|job| job.answer(end.clone())));
    }

    /// Where the disk is full, a call that makes room is tried again with the space that was kept for it.
    fn try_with_reserve(&mut self, jobs: &mut Vec<Box<dyn Job>>, end: End) -> End {
        let may = is_full(&end) && jobs.iter().all(|job| job.may_use_reserve());
        if may && self.reserve.release(self.options.clock.now_ms()) {
            return self.attempt(jobs, false);
        }
        end
    }

    /// Writes the log back to the file, so that its space is used again. Says whether it succeeded.
    fn write_back(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| write_back(connection).unwrap_or(false))
    }

    /// Finds out whether a commit happened that failed. All connections are closed before, so that the log is read anew from
    /// the disk. What is found there is written back to the file and synced, so that it does not depend on a log that may
    /// not be on the disk.
    fn look(&mut self, error: &rusqlite::Error, mark: Mark) -> Result<(), StoreError> {
        let reading = self.reading.clone();
        let kept_closed = reading.closed();
        let doubtful = |why: &str| errors::doubtful(error, why);
        let connection = for_writing(&self.options).map_err(|error| doubtful(&error.to_string()))?;
        let found = write_back(&connection).and_then(|done| Ok((done, counters(&connection)?.1)));
        drop(kept_closed);
        let (is_done, found) = found.map_err(|error| doubtful(&error.to_string()))?;
        self.connection = Some(connection);
        match mark.happened(found) {
            _ if !is_done => Err(doubtful("another process keeps the log in use")),
            Some(true) => Ok(()),
            Some(false) => Err(errors::undone(error)),
            None => Err(doubtful("another process has written since")),
        }
    }
}

fn is_full(end: &End) -> bool {
    matches!(end, End::Failed(error) if error.kind() == StoreErrorKind::Full)
}
