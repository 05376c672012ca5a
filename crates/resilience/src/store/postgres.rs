//! A store in a PostgreSQL database, which several processes may share.
//!
//! In: calls from any task. Out: rows in a table, synced before a call returns. PostgreSQL 13 or later. Deliberately absent: TLS of its
//! own ([`open_with`](PostgresStoreBuilder::open_with) takes a connector), and anything that is held open between calls: no transaction
//! lasts longer than a call, so nothing waits in the database while Kafka is waited for.
//!
//! # Group commit
//!
//! A sync takes a millisecond or more, however much is written. So the calls that have come while one transaction was written share the
//! next one, and its sync. A thousand tasks that store an event each need one sync. `synchronous_commit` is on, whatever the role's
//! default.
//!
//! # Several processes
//!
//! The slots are divided into 16 buckets. Each process leases some, and sends only their events. No one can acquire more than a fair share:
//! the buckets divided by those who have some or asked for some lately. Whoever has more is told so by [`Store::share`], and gives its
//! lease back when nothing is in flight; if it does not, it can renew it no longer once another has waited for twice as long as a lease lasts. Owners must have names of their own. All times are those of the database's clock.
//!
//! Publishers keep the order of a key between all processes ([`Pass`], [`Store::busy`]). While the store is empty they publish without asking
//! it. While it is not, they ask it, many at once; a server that is far away makes each such event slower by as much. While the server
//! is down, events are handed back, unless they keep the order of
//! [their own instance](crate::publisher::Order::PerKeyOfInstance) alone.
//!
//! Events get their numbers one process after the other, under an advisory lock that lasts until they are visible. So no number appears
//! after a higher one was read. A process that is stopped (SIGSTOP) in that moment holds others up for at most
//! [`timeout`](PostgresStoreBuilder::timeout).
//!
//! # Full disks
//!
//! [`Quota`] bounds what is inserted. The disk of the database is its own matter: inserts fail as [`Full`](StoreErrorKind::Full) when it
//! says so.
//!
//! # Commits that fail
//!
//! If the connection is lost during a commit, the database is asked over a new one whether it happened. Only if it cannot be asked within
//! [`timeout`](PostgresStoreBuilder::timeout), the call fails as [`Indeterminate`](StoreErrorKind::Indeterminate).
//!
//! # Servers that are down
//!
//! Calls fail as [`Unavailable`](StoreErrorKind::Unavailable), at the latest after
//! [`connect_timeout`](PostgresStoreBuilder::connect_timeout). The next attempt to connect is made after a backoff of at most a second;
//! calls before that fail at once.
//!
//! # A look inside
//!
//! `psql -c "SELECT * FROM failed_kafka_events_readable"` shows events with times and payloads as text, `outbox_stats` the counts, and
//! `outbox_leases` who sends what.

mod changes;
mod errors;
mod filter;
mod home;
mod inserts;
mod keys;
mod lane;
mod leases;
mod link;
mod open;
mod operator;
mod options;
mod passes;
mod publish;
mod reads;
mod rows;
mod schema;
mod session;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::timeout,
};
use tokio_postgres::{
    NoTls, Socket,
    tls::{MakeTlsConnect, TlsConnect},
};

use self::{
    home::Home,
    lane::{Call, Lane, Stop},
    link::{Connector, Link},
    operator::{Deed, Step, Sweep},
    options::Options,
    publish::{Inserted, Message, Publisher, Request},
    session::Session,
};
#[cfg(all(test, feature = "postgres-tests"))]
pub(crate) use self::{link::PLANNING, reads::page_text};
use super::{
    Busy, Claim, Claimed, Filter, Lease, NewEvent, Outcome, Page, PageLimits, Pass, Published, Quota, Seq, SlotCounts,
    Store, StoreError, StoreErrorKind, StoreFuture, StoreStats, StoredEvent,
};

/// How many calls wait in a queue. More wait outside of it, in order.
const QUEUE: usize = 2_048;

/// Opens a [`PostgresStore`].
#[derive(Clone, Debug)]
pub struct PostgresStoreBuilder(Options);

impl PostgresStoreBuilder {
    /// Sets the schema that the tables are in. It is created if it is not there. Default is the first one of the role's `search_path`.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.0.schema = Some(name.into());
        self
    }

    /// Sets how many buckets a new store has, from 1 to 1,024. Default 16. One that is there keeps its own number.
    #[must_use]
    pub fn buckets(mut self, buckets: u16) -> Self {
        self.0.buckets = buckets.clamp(1, 1_024);
        self
    }

    /// Sets how much it takes. Each process goes by its own quota.
    #[must_use]
    pub fn quota(mut self, quota: Quota) -> Self {
        self.0.quota = quota;
        self
    }

    /// Keeps settled rows for this long. Without it they are deleted.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.0.retention = Some(retention);
        self
    }

    /// Sets how long connecting may take. Default 3 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.0.connect_timeout = timeout;
        self
    }

    /// Sets how long a transaction may take, waiting for locks as well, and how long a commit is looked for whose answer was lost. Default
    /// 10 s. The database ends what has not moved for as long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = timeout;
        self
    }

    /// Opens only a store that is there. Nothing is created: neither tables nor a schema.
    #[must_use]
    pub fn must_exist(mut self) -> Self {
        self.0.must_exist = true;
        self
    }

    /// Sets the clock, instead of the database's.
    #[cfg(all(test, feature = "postgres-tests"))]
    pub(crate) fn clock(mut self, now: impl Fn() -> std::time::SystemTime + Send + Sync + 'static) -> Self {
        self.0.clock = Some(super::clock::Clock::new(now));
        self
    }

    /// Connects, and creates the tables or brings them up to date. It does so without TLS. The store has a thread of its own
    /// for its connections.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) if the connection string or the role is wrong, or another program's tables are there. Also if the store
    /// [must exist](Self::must_exist) and does not;
    /// [`NewerSchema`](StoreErrorKind::NewerSchema) if a later version of this crate made the tables;
    /// [`Unavailable`](StoreErrorKind::Unavailable) if the server is out of reach.
    ///
    /// # Cancel safety
    /// If the future is dropped, the tables may be created.
    pub async fn open(self) -> Result<PostgresStore, StoreError> {
        self.open_with(NoTls).await
    }

    /// As [`open`](Self::open), with a connector for TLS, such as that of `tokio-postgres-rustls`. Whether it is used is up to `sslmode`
    /// in the connection string.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    ///
    /// # Cancel safety
    /// As [`open`](Self::open).
    pub async fn open_with<T>(self, tls: T) -> Result<PostgresStore, StoreError>
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::TlsConnect: Send,
        T::Stream: Send + 'static,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let mut options = self.0;
        let home = Home::start()?;
        let connector = Connector::new(&options, tls, home.clone())?;
        let reading = Link::new(connector.clone());
        let session = reading.session().await?;
        let writers = [uuid::Uuid::now_v7(), uuid::Uuid::now_v7()];
        let opening = timeout(options.timeout, open::open(&session, &options, &writers));
        options.buckets = opening.await.map_err(|_| errors::silent())??;
        let options = Arc::new(options);
        let [publishing, changing] = writers.map(|writer| Lane::new(connector.clone(), Arc::clone(&options), writer));
        let (publisher, messages) = mpsc::channel(QUEUE);
        home.spawn(Publisher::new(publishing, messages).run());
        let changing = Arc::new(Mutex::new(changing));
        Ok(PostgresStore { options, writers, home, publisher, changing, reading, is_closed: AtomicBool::new(false) })
    }
}

/// A store in a PostgreSQL database. It has three connections, which are opened when they are needed. If it is dropped, what was called
/// before is still carried out; [`Store::close`] waits for that.
///
/// ```no_run
/// # async fn example() -> Result<(), milena_resilience::store::StoreError> {
/// use std::time::Duration;
/// use milena_resilience::store::{NewEvent, Store, postgres::PostgresStore};
///
/// let store = PostgresStore::builder("postgresql://app:secret@localhost/app")
///     .schema("outbox")
///     .retention(Duration::from_hours(24))
///     .open()
///     .await?;
/// store.insert(vec![NewEvent::new(uuid::Uuid::now_v7(), "orders", "nine").key("user-1")]).await?;
/// store.close().await?;
/// # Ok(()) }
/// ```
pub struct PostgresStore {
    options: Arc<Options>,
    /// Marks the commits of this store.
    writers: [uuid::Uuid; 2],
    home: Home,
    /// What publishers write shares transactions.
    publisher: mpsc::Sender<Message>,
    /// Everything else that writes has one of its own.
    changing: Arc<Mutex<Lane>>,
    reading: Link,
    is_closed: AtomicBool,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("options", &self.options).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// A store in the database that this connection string names, such as `postgresql://user:password@host/database` or
    /// `host=localhost user=app`. The password is never shown.
    #[must_use]
    pub fn builder(connection: impl Into<String>) -> PostgresStoreBuilder {
        PostgresStoreBuilder(Options::new(connection.into()))
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.is_closed.load(Ordering::SeqCst) { Err(StoreError::closed()) } else { Ok(()) }
    }

    /// Passes a call to the task that writes what publishers have.
    async fn publish<Q, A>(&self, asked: Q, message: fn(Request<Q, A>) -> Message) -> Result<A, StoreError> {
        self.check_open()?;
        let (reply, answer) = oneshot::channel();
        let sent = self.publisher.send(message(Request { asked, reply })).await;
        sent.map_err(|_| StoreError::closed())?;
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Carries out a call that changes something, also if the caller goes away, or does not poll it: it would keep the others waiting.
    async fn write<C: Call + 'static>(&self, call: C) -> Result<C::Answer, StoreError> {
        self.check_open()?;
        let changing = Arc::clone(&self.changing);
        let written = self.home.spawn(async move { changing.lock().await.transact(&call).await });
        written.await.unwrap_or_else(|_| Err(lost()))
    }

    fn change<C: Call + 'static>(&self, call: C) -> StoreFuture<'_, C::Answer> {
        StoreFuture::new(self.write(call))
    }

    async fn read<T, F>(&self, work: impl FnOnce(Arc<Session>, Arc<Options>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Stop>>,
    {
        self.check_open()?;
        let session = self.reading.session().await?;
        match timeout(self.options.timeout, work(Arc::clone(&session), Arc::clone(&self.options))).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.reading.discard(&session).await;
                Err(errors::silent())
            }
        }
    }

    /// Adds the counts of this store's writers to those of all who are gone.
    async fn sign_out(&self) -> Result<(), StoreError> {
        let session = self.reading.session().await?;
        let leaving = timeout(self.options.timeout, open::sign_out(&session, &self.options, &self.writers));
        leaving.await.map_err(|_| errors::silent())?
    }

    /// Repeats a small transaction until it is through.
    async fn operate(&self, deed: Deed, filter: Filter) -> Result<u64, StoreError> {
        let (filter, mut after, mut total) = (Arc::new(filter), Seq::START, 0);
        loop {
            let progress = self.write(Step { deed, filter: Arc::clone(&filter), after }).await?;
            total += progress.changed;
            match progress.next {
                Some(next) => after = next,
                None => return Ok(total),
            }
        }
    }
}

fn lost() -> StoreError {
    let text = "the store's task ended, and it cannot be told whether the call was carried out";
    StoreError::new(StoreErrorKind::Indeterminate, text, "open the store again")
}

impl Store for PostgresStore {
    fn insert(&self, events: Vec<NewEvent>) -> StoreFuture<'_, Vec<Seq>> {
        StoreFuture::new(async { Ok(self.publish(events, Message::Insert).await?.seqs) })
    }

    fn insert_among(&self, events: Vec<NewEvent>) -> StoreFuture<'_, (Vec<Seq>, Vec<Pass>)> {
        StoreFuture::new(async {
            let Inserted { seqs, passes } = self.publish(events, Message::Insert).await?;
            Ok((seqs, passes))
        })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn busy(&self, behind: Vec<(u16, Seq)>, limit: u64) -> StoreFuture<'_, Vec<Busy>> {
        StoreFuture::new(self.read(move |session, _| async move { passes::busy(&session, &behind, limit).await }))
    }

    fn take_pass(&self, instead_of: Option<Pass>) -> StoreFuture<'_, Option<Pass>> {
        StoreFuture::new(async move {
            let is_refused = self.read(|session, _| async move { passes::has_unsettled(&session).await });
            if is_refused.await? { Ok(None) } else { self.write(passes::TakePass { instead_of }).await }
        })
    }

    fn passes(&self) -> StoreFuture<'_, Vec<Pass>> {
        StoreFuture::new(self.read(|session, _| async move { passes::all(&session).await }))
    }

    fn end_passes(&self, passes: Vec<Pass>) -> StoreFuture<'_, ()> {
        self.change(passes::EndPasses(passes))
    }

    fn acknowledge(&self, rows: Vec<Published>) -> StoreFuture<'_, u64> {
        StoreFuture::new(self.publish(rows, Message::Acknowledge))
    }

    fn buckets(&self) -> u16 {
        self.options.buckets
    }

    fn share(&self, owner: &str) -> StoreFuture<'_, u16> {
        let owner = owner.to_owned();
        StoreFuture::new(self.read(async move |session, options| leases::share(&session, &owner, &options).await))
    }

    fn acquire(&self, owner: &str, lasting: Duration, want: u16) -> StoreFuture<'_, Option<Lease>> {
        self.change(leases::Acquire { owner: owner.to_owned(), lasting, want })
    }

    fn renew(&self, lease: &Lease, lasting: Duration) -> StoreFuture<'_, ()> {
        self.change(leases::Renew { lease: lease.clone(), lasting })
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        self.change(leases::Release(lease.clone()))
    }

    fn sending(&self, lease: &Lease, up_to: Seq) -> StoreFuture<'_, ()> {
        self.change(leases::Sending { lease: lease.clone(), up_to })
    }

    fn page(&self, lease: &Lease, after: Seq, limits: PageLimits) -> StoreFuture<'_, Page> {
        let lease = lease.clone();
        let page = move |session: Arc<Session>, options: Arc<Options>| async move {
            reads::page(&session, &options, &lease, (after, limits)).await
        };
        StoreFuture::new(self.read(page))
    }

    fn settle(&self, lease: &Lease, outcomes: Vec<Outcome>) -> StoreFuture<'_, u64> {
        self.change(changes::Settle { lease: lease.clone(), outcomes })
    }

    fn slots(&self) -> StoreFuture<'_, SlotCounts> {
        StoreFuture::new(async {
            let (mut counts, mut after) = (SlotCounts::new(), Seq::START);
            loop {
                let step = |session: Arc<Session>, options: Arc<Options>| async move {
                    let next = reads::slots(&session, options.buckets, after, &mut counts).await?;
                    Ok((counts, next))
                };
                let (counted, next) = self.read(step).await?;
                counts = counted;
                match next {
                    Some(next) => after = next,
                    None => return Ok(counts),
                }
            }
        })
    }

    fn stats(&self) -> StoreFuture<'_, StoreStats> {
        StoreFuture::new(self.read(|session, options| async move { reads::stats(&session, &options).await }))
    }

    fn list(&self, filter: Filter, after: Seq, limit: usize) -> StoreFuture<'_, Vec<StoredEvent>> {
        StoreFuture::new(async move {
            let (filter, mut found, mut after) = (Arc::new(filter), Vec::new(), after);
            loop {
                let its_filter = Arc::clone(&filter);
                let step = |session: Arc<Session>, options: Arc<Options>| async move {
                    let next = reads::list(&session, &options, (&its_filter, after, limit), &mut found).await?;
                    Ok((found, next))
                };
                let (listed, next) = self.read(step).await?;
                found = listed;
                match next {
                    Some(next) => after = next,
                    None => return Ok(found),
                }
            }
        })
    }

    fn replay(&self, filter: Filter) -> StoreFuture<'_, u64> {
        StoreFuture::new(self.operate(Deed::Replay, filter))
    }

    fn purge(&self, filter: Filter) -> StoreFuture<'_, u64> {
        StoreFuture::new(self.operate(Deed::Purge, filter))
    }

    fn sweep(&self) -> StoreFuture<'_, u64> {
        StoreFuture::new(async {
            let mut total = 0;
            loop {
                let gone = self.write(Sweep).await?;
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
        self.change(claim)
    }

    fn conclude(&self, key: &str, request_id: uuid::Uuid, answer: Option<Vec<u8>>) -> StoreFuture<'_, ()> {
        self.change(keys::Conclude { key: key.to_owned(), request_id, answer })
    }

    fn sweep_keys(&self) -> StoreFuture<'_, u64> {
        self.change(keys::SweepKeys)
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        StoreFuture::new(async {
            let was_closed = self.is_closed.swap(true, Ordering::SeqCst);
            let (done, is_done) = oneshot::channel();
            if self.publisher.send(Message::Close(done)).await.is_ok() {
                // An error would mean that the task has ended already.
                let _ = is_done.await;
            }
            self.changing.lock().await.close().await;
            if !was_closed && let Err(error) = self.sign_out().await {
                // Whoever opens the store after a week does it.
                tracing::debug!(%error, "the counts of a closed store were not added up");
            }
            self.reading.close().await;
            Ok(())
        })
    }
}
