//! A store in a SQLite file.
//!
//! In: calls from any task. Out: rows in a file, synced before a call returns. Two threads of its own touch the disk: one
//! writes, one reads. A third wakes the callers where they are many. Deliberately absent: a file on a network, where SQLite's locks do not hold.
//!
//! # Group commit
//!
//! A sync takes a millisecond or more, however much is written. So the calls that have come while one transaction was written
//! share the next one, and its sync. A thousand tasks that store an event each need one sync.
//!
//! # Full disks
//!
//! [`Quota`] bounds what is inserted. Deleting needs space too, in the log. So a file `-reserve` beside the store keeps some. If the
//! disk is full, inserts fail as [`Full`](StoreErrorKind::Full). A call that settles events gives the reserve's space away and goes
//! on. Inserts are taken again once the reserve could be written again.
//!
//! # Commits that fail
//!
//! If a sync fails, the transaction may be in the log nevertheless. Then the file is opened anew and read. Only if that does not
//! help either, the call fails as [`Indeterminate`](StoreErrorKind::Indeterminate).
//!
//! # One publisher
//!
//! One process publishes with a file at a time, because it does not ask the file what others have stored: two would not keep the order of a
//! key between them. Other processes may look at the events, replay and purge them. A store in PostgreSQL is for several publishers.
//! A process that is stopped (SIGSTOP) while it writes has the file locked: nobody else can write until it goes on or is killed.
//!
//! # A look inside
//!
//! `sqlite3 outbox.db "SELECT * FROM failed_kafka_events_readable"` shows events with times and payloads as text, also while the
//! store is open.

mod changes;
mod errors;
mod filter;
mod inserts;
mod keys;
mod leases;
mod open;
mod operator;
mod options;
mod reader;
mod reads;
mod reserve;
mod rows;
mod schema;
mod work;
mod writer;

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use self::{
    options::Options,
    reader::{ReadConnection, Reader},
    work::{Stop, Task, Work},
    writer::{Message, Writer},
};
use super::{
    Change, Claim, Claimed, Filter, Lease, NewEvent, Outcome, Page, PageLimits, Published, Quota, Seq, SlotCounts,
    Store, StoreError, StoreErrorKind, StoreFuture, StoreStats, StoredEvent, clock::Clock, group::Weight,
};

/// How many calls wait in a queue. More wait outside of it, in order.
const QUEUE: usize = 2_048;

/// Opens a [`SqliteStore`].
#[derive(Clone, Debug)]
pub struct SqliteStoreBuilder(Options);

impl SqliteStoreBuilder {
    /// Sets how much it takes.
    #[must_use]
    pub fn quota(mut self, quota: Quota) -> Self {
        self.0.quota = quota;
        self
    }

    /// Keeps settled rows for this long, and costs an index more. Without it they are deleted.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.0.retention = Some(retention);
        self
    }

    /// Sets how much space a file beside the store keeps for settling events when the disk is full, in bytes. Default 24 MiB. That
    /// is what the log can have when the disk becomes full, and what writing it back may take.
    #[must_use]
    pub fn reserve(mut self, bytes: u64) -> Self {
        self.0.reserve = bytes;
        self
    }

    /// Opens only a store that is there. Nothing is created: neither the file nor a reserve. The reserve that another process
    /// keeps is used.
    #[must_use]
    pub fn must_exist(mut self) -> Self {
        self.0.must_exist = true;
        self
    }

    /// Sets how long a call waits for another process that writes. Default 5 s.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.0.busy_timeout = timeout;
        self
    }

    /// Sets the clock. Default is the system's.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.0.clock = Clock::new(now);
        self
    }

    /// Has commits end like this.
    #[cfg(test)]
    pub(crate) fn commit(
        mut self,
        commit: impl Fn(&rusqlite::Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.0.commit = Arc::new(commit);
        self
    }

    /// Opens the file, or creates it. Its folder must be there.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) if the file is no database, or another program's: it stays as it is. Also if it
    /// [must exist](Self::must_exist) and does not.
    /// [`NewerSchema`](StoreErrorKind::NewerSchema) if a later version of this crate wrote it.
    ///
    /// # Cancel safety
    /// If the future is dropped, the file may be created, and is closed.
    pub async fn open(self) -> Result<SqliteStore, StoreError> {
        let options = Arc::new(self.0);
        let reading = ReadConnection::default();
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (opened, is_open) = oneshot::channel();
        let (for_writer, its_reading) = (Arc::clone(&options), reading.clone());
        let run = move || match Writer::open(for_writer, its_reading, receiver) {
            Ok(writer) => {
                // If nobody waits, the queue is closed as well, and the thread ends.
                let _ = opened.send(Ok(()));
                writer.run();
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        thread::Builder::new().name("milena-store-write".into()).spawn(run).map_err(|error| {
            let text = format!("no thread can be started: {error}");
            StoreError::new(StoreErrorKind::Unavailable, text, "raise the limit on threads")
        })?;
        is_open.await.unwrap_or_else(|_| Err(StoreError::closed()))?;
        let reader = Reader::start(Arc::clone(&options), reading)?;
        Ok(SqliteStore { options, reader, writer: sender })
    }
}

/// A store in a SQLite file. If it is dropped, what was called before is still carried out; [`Store::close`] waits for that.
///
/// ```no_run
/// # async fn example() -> Result<(), milena_resilience::store::StoreError> {
/// use std::time::Duration;
/// use milena_resilience::store::{NewEvent, Store, sqlite::SqliteStore};
///
/// let store = SqliteStore::builder("outbox.db").retention(Duration::from_hours(24)).open().await?;
/// store.insert(vec![NewEvent::new(uuid::Uuid::now_v7(), "orders", "nine").key("user-1")]).await?;
/// store.close().await?;
/// # Ok(()) }
/// ```
pub struct SqliteStore {
    options: Arc<Options>,
    writer: mpsc::Sender<Message>,
    reader: Reader,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("options", &self.options).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// A store in this file, which needs no feature of its file system but locks.
    #[must_use]
    pub fn builder(path: impl Into<PathBuf>) -> SqliteStoreBuilder {
        SqliteStoreBuilder(Options::new(path.into()))
    }

    async fn write<T: Send + 'static>(
        &self,
        (weight, may_use_reserve): (Weight, bool),
        work: impl FnMut(&mut Work<'_>) -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let task = Task { work, weight, may_use_reserve, done: None, reply };
        self.writer.send(Message::Job(Box::new(task))).await.map_err(|_| StoreError::closed())?;
        answer.await.unwrap_or_else(|_| {
            let text = "the store's thread ended, and it cannot be told whether the call was carried out";
            Err(StoreError::new(StoreErrorKind::Indeterminate, text, "open the store again"))
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.writer.is_closed() {
            return Err(StoreError::closed());
        }
        self.reader.read(work).await
    }

    /// Reads, where only SQLite can fail.
    async fn query<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read(|connection| work(connection).map_err(|error| errors::failed(&error))).await
    }

    /// A call that changes little, and never adds rows.
    fn change<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Work<'_>) -> Result<T, Stop> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        StoreFuture::new(self.write((Weight { rows: 1, bytes: 0 }, true), work))
    }

    fn now(&self) -> (i64, bool) {
        (self.options.clock.now_ms(), self.options.retention.is_some())
    }

    /// Repeats a small transaction until it is through.
    async fn operate(
        &self,
        filter: Filter,
        step: fn(&mut Work<'_>, &Filter, Seq) -> Result<operator::Portion, Stop>,
    ) -> Result<u64, StoreError> {
        let (filter, mut after, mut total) = (Arc::new(filter), Seq::START, 0);
        loop {
            let its_filter = Arc::clone(&filter);
            let portion = self.change(move |work| step(work, &its_filter, after)).await?;
            total += portion.changed;
            match portion.next {
                Some(next) => after = next,
                None => return Ok(total),
            }
        }
    }
}

impl Store for SqliteStore {
    fn insert(&self, events: Vec<NewEvent>) -> StoreFuture<'_, Vec<Seq>> {
        let weight = Weight { rows: events.len(), bytes: events.iter().map(NewEvent::cost).sum() };
        StoreFuture::new(self.write((weight, false), move |work| inserts::insert(work, &events)))
    }

    fn acknowledge(&self, rows: Vec<Published>) -> StoreFuture<'_, u64> {
        let resolved = |Published { seq, position }| Outcome { seq, slot: 0, change: Change::Resolved, position };
        let outcomes: Vec<Outcome> = rows.into_iter().map(resolved).collect();
        let weight = Weight { rows: outcomes.len(), bytes: 0 };
        StoreFuture::new(self.write((weight, true), move |work| changes::record(work, &outcomes)))
    }

    fn buckets(&self) -> u16 {
        1
    }

    fn acquire(&self, owner: &str, lasting: Duration, want: u16) -> StoreFuture<'_, Option<Lease>> {
        let owner = owner.to_owned();
        self.change(move |work| leases::acquire(work, &owner, lasting, want))
    }

    fn renew(&self, lease: &Lease, lasting: Duration) -> StoreFuture<'_, ()> {
        let lease = lease.clone();
        self.change(move |work| leases::renew(work, &lease, lasting))
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        let lease = lease.clone();
        self.change(move |work| leases::release(work, &lease))
    }

    fn sending(&self, lease: &Lease, up_to: Seq) -> StoreFuture<'_, ()> {
        let lease = lease.clone();
        self.change(move |work| leases::sending(work, &lease, up_to))
    }

    fn page(&self, lease: &Lease, after: Seq, limits: PageLimits) -> StoreFuture<'_, Page> {
        let (lease, now) = (lease.clone(), self.now());
        StoreFuture::new(self.read(move |connection| reads::page(connection, &lease, after, limits, now)))
    }

    fn settle(&self, lease: &Lease, outcomes: Vec<Outcome>) -> StoreFuture<'_, u64> {
        let (lease, weight) = (lease.clone(), Weight { rows: outcomes.len(), bytes: 0 });
        StoreFuture::new(self.write((weight, true), move |work| changes::settle(work, &lease, &outcomes)))
    }

    fn slots(&self) -> StoreFuture<'_, SlotCounts> {
        StoreFuture::new(async {
            let (mut counts, mut after) = (SlotCounts::new(), Seq::START);
            loop {
                let step = move |connection: &_| {
                    let next = reads::slots(connection, after, &mut counts)?;
                    Ok((counts, next))
                };
                let (counted, next) = self.query(step).await?;
                counts = counted;
                match next {
                    Some(next) => after = next,
                    None => return Ok(counts),
                }
            }
        })
    }

    fn stats(&self) -> StoreFuture<'_, StoreStats> {
        let (now, has_index) = self.now();
        StoreFuture::new(self.query(move |connection| reads::stats(connection, now, has_index)))
    }

    fn list(&self, filter: Filter, after: Seq, limit: usize) -> StoreFuture<'_, Vec<StoredEvent>> {
        let (now, _) = self.now();
        StoreFuture::new(async move {
            let (filter, mut found, mut after) = (Arc::new(filter), Vec::new(), after);
            loop {
                let its_filter = Arc::clone(&filter);
                let step = move |connection: &_| {
                    let next = reads::list(connection, &its_filter, after, &mut found, (limit, now))?;
                    Ok((found, next))
                };
                let (listed, next) = self.query(step).await?;
                found = listed;
                match next {
                    Some(next) => after = next,
                    None => return Ok(found),
                }
            }
        })
    }

    fn replay(&self, filter: Filter) -> StoreFuture<'_, u64> {
        StoreFuture::new(self.operate(filter, operator::replay))
    }

    fn purge(&self, filter: Filter) -> StoreFuture<'_, u64> {
        StoreFuture::new(self.operate(filter, operator::purge))
    }

    fn sweep(&self) -> StoreFuture<'_, u64> {
        StoreFuture::new(async {
            let mut total = 0;
            loop {
                let gone = self.change(operator::sweep).await?;
                total += gone;
                if gone == 0 {
                    return Ok(total);
                }
            }
        })
    }

    fn retention(&self) -> Duration {
        self.options.retention.unwrap_or_default()
    }

    fn keeps_keys(&self) -> bool {
        true
    }

    fn claim(&self, claim: Claim) -> StoreFuture<'_, Option<Claimed>> {
        let weight = Weight { rows: 1, bytes: claim.key.len() as u64 };
        StoreFuture::new(self.write((weight, false), move |work| keys::claim(work, &claim)))
    }

    fn conclude(&self, key: &str, request_id: Uuid, answer: Option<Vec<u8>>) -> StoreFuture<'_, ()> {
        let key = key.to_owned();
        self.change(move |work| keys::conclude(work, &key, request_id, answer.as_deref()))
    }

    fn sweep_keys(&self) -> StoreFuture<'_, u64> {
        self.change(keys::sweep)
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        StoreFuture::new(async {
            let (done, is_done) = oneshot::channel();
            if self.writer.send(Message::Close(done)).await.is_ok() {
                // An error would mean that the thread has ended already.
                let _ = is_done.await;
            }
            Ok(())
        })
    }
}
