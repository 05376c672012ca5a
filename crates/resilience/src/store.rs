//! Keeps events that could not be published until they are.
//!
//! In: events, and what became of them. Out: rows in the order of acceptance. The trait [`Store`], and a store in
//! memory; with feature `sqlite` one in a file, with feature `postgres` one in a database. Deliberately absent: sending
//! (the relay does it), and deciding when an event is tried again.
//!
//! # Rows
//!
//! Each event is a row of the table `failed_kafka_events`:
//!
//! | status | meaning | goes on to |
//! |---|---|---|
//! | `PENDING` | stored | `RETRYING`, or settled |
//! | `RETRYING` | an attempt failed, and the next one has a time | `RETRYING`, or settled |
//! | `RESOLVED` | published: settled | gone, or kept for the retention |
//! | `DLQ` | in the dead-letter topic: settled | gone, or kept for the retention |
//! | `DLQ_FAILED` | neither published nor in the dead-letter topic | waits for an operator, who replays or purges it |
//!
//! A settled row is deleted and counted, unless the store has a retention. Then it is kept, with the partition and offset of its record if they are
//! known, and [`Store::sweep`] removes it later.
//!
//! # Order
//!
//! [`Seq`] is the order of acceptance, which is the order of commits. Events of one topic and key share a slot. The
//! relay must send them in the order of `seq`, one after the other. Events without a key have no order.
//!
//! # What may have been sent
//!
//! Before the relay sends events for the first time, it commits up to which `seq` it will ([`Store::sending`]): one small
//! write for a batch. If its lease ends without a release, every event up to there that is not settled counts as
//! [`maybe_sent`](StoredEvent::maybe_sent) from then on.
//!
//! # Leases
//!
//! Several processes may share a store. A [`Lease`] says who sends. Its [`Token`] is in every call that changes a row;
//! with an old token the call changes nothing and fails as [`Fenced`](StoreErrorKind::Fenced). A process that was stopped
//! for longer than its lease can so do no harm when it goes on.
//!
//! # Several publishers
//!
//! Events of a key that several publishers store keep their order if each publisher knows, before it publishes an event directly, that no older
//! one is in the store. It asks ([`Store::busy`]), or it has a [`Pass`]. A pass is given only while nothing is unsettled, so with an empty store
//! nobody asks. A publisher that stores an event is told which passes there are, and says that the event is stored when they have ended: their
//! owners gave them back, or [`PASS_LASTS`] is over. As long as the event is unsettled, no new ones are given. So only those who store
//! the first events of an outage wait.
//!
//! A store that one publisher alone uses ([`Store::is_shared`]) has none of it.
//!
//! # Keys of requests
//!
//! A store may also keep which request has a key, and its answer ([`Store::claim`]), so that what is asked twice of several processes is done once.
//!
//! # Time
//!
//! Callers hand over delays, never instants. A store has one clock. If that clock is set back, what had to wait is due
//! at once; if it is set forward, it is due early. Neither loses anything.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod answers;
mod clock;
mod counters;
mod error;
mod event;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod group;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod headers;
mod keys;
mod lease;
mod memory;
mod outcome;
mod pass;
#[cfg(feature = "postgres")]
pub mod postgres;
mod query;
mod share;
mod slot;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "sqlite")]
mod steps;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use uuid::Uuid;

pub use self::{
    error::{StoreError, StoreErrorKind},
    event::{EventError, InvalidStatus, NewEvent, Position, Seq, Status, StoredEvent},
    keys::{Claim, Claimed},
    lease::{Lease, Token},
    memory::{Fault, MemoryStore},
    outcome::{Change, Outcome, Published},
    pass::{Busy, PASS_LASTS, Pass},
    query::{Filter, Page, PageLimits, Quota, SlotCounts, StoreStats},
    slot::{SLOTS, bucket_of, slot_of},
};

/// The answer of a store, once it is there.
///
/// # Cancel safety
/// If it is dropped after it was polled, the call may still be carried out.
pub struct StoreFuture<'a, T>(Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>);

impl<'a, T> StoreFuture<'a, T> {
    /// For those who implement [`Store`].
    pub fn new(answer: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> Self {
        Self(Box::pin(answer))
    }
}

impl<T> Future for StoreFuture<'_, T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl<T> fmt::Debug for StoreFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreFuture").finish_non_exhaustive()
    }
}

/// A store of events that could not be published.
///
/// A call is carried out wholly or not at all. If it fails, nothing has changed, except as
/// [`Indeterminate`](StoreErrorKind::Indeterminate) says. A change is on disk when the call returns.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use milena_resilience::store::{Change, MemoryStore, NewEvent, Outcome, PageLimits, Seq, Store};
///
/// let store = MemoryStore::new();
/// store.insert(vec![NewEvent::new(uuid::Uuid::now_v7(), "orders", "nine").key("user-1")]).await?;
///
/// let lease = store.acquire("relay-1", Duration::from_secs(30), 1).await?.expect("nobody else has it");
/// let page = store.page(&lease, Seq::START, PageLimits::default()).await?;
/// store.sending(&lease, page.last()).await?;
/// // … each event is sent …
/// let outcomes = page.events.iter().map(|event| Outcome::of(event, Change::Resolved)).collect();
/// store.settle(&lease, outcomes).await?;
/// assert_eq!(store.stats().await?.resolved, 1);
/// # Ok::<(), milena_resilience::store::StoreError>(()) }).unwrap();
/// ```
pub trait Store: fmt::Debug + Send + Sync {
    /// Stores events, all or none, in this order. They are on disk when it returns.
    ///
    /// # Errors
    /// [`Full`](StoreErrorKind::Full) if the quota or the disk has no room for all of them;
    /// [`Indeterminate`](StoreErrorKind::Indeterminate) if they may be there nevertheless.
    fn insert(&self, events: Vec<NewEvent>) -> StoreFuture<'_, Vec<Seq>>;

    /// Stores events as [`insert`](Self::insert) does, and tells which passes there were when they were stored.
    ///
    /// # Errors
    /// Those of [`insert`](Self::insert).
    fn insert_among(&self, events: Vec<NewEvent>) -> StoreFuture<'_, (Vec<Seq>, Vec<Pass>)> {
        let inserted = self.insert(events);
        StoreFuture::new(async { Ok((inserted.await?, Vec::new())) })
    }

    /// Whether several publishers may use it, in one process or in many. Then it has [`busy`](Self::busy), passes, and an
    /// [`insert_among`](Self::insert_among) of its own. Defaults to no.
    fn is_shared(&self) -> bool {
        false
    }

    /// Which slots of these buckets have unsettled events behind these places, as of a moment after it was called. At most `limit` events of
    /// each bucket are read, in order.
    ///
    /// # Errors
    /// Those of every call.
    fn busy(&self, behind: Vec<(u16, Seq)>, limit: u64) -> StoreFuture<'_, Vec<Busy>> {
        let _ = (behind, limit);
        StoreFuture::new(async { Ok(Vec::new()) })
    }

    /// Gives a pass, instead of one that the publisher has, unless an event is unsettled. It and inserts happen one after the other: it sees
    /// the events that were inserted before, and an insert after it sees the pass.
    ///
    /// # Errors
    /// Those of every call. There may be a pass nevertheless, which nobody may use.
    fn take_pass(&self, instead_of: Option<Pass>) -> StoreFuture<'_, Option<Pass>> {
        let _ = instead_of;
        StoreFuture::new(async { Ok(None) })
    }

    /// Which passes there are, in the order of their numbers.
    ///
    /// # Errors
    /// Those of every call.
    fn passes(&self) -> StoreFuture<'_, Vec<Pass>> {
        StoreFuture::new(async { Ok(Vec::new()) })
    }

    /// Ends passes: their owner does not use them any more, or their time is over.
    ///
    /// # Errors
    /// Those of every call.
    fn end_passes(&self, passes: Vec<Pass>) -> StoreFuture<'_, ()> {
        let _ = passes;
        StoreFuture::new(async { Ok(()) })
    }

    /// Settles events that a publisher stored and then published itself (it wrote ahead). It needs no lease: that an event
    /// is published is true whoever has one. Returns how many rows were changed; rows that are gone do not matter.
    ///
    /// # Errors
    /// Those of every call.
    fn acknowledge(&self, rows: Vec<Published>) -> StoreFuture<'_, u64>;

    /// How many buckets the store has. Each has its own lease. SQLite has one, PostgreSQL 16.
    fn buckets(&self) -> u16;

    /// Acquires a lease for at most `want` buckets that nobody has. Returns `None` if there are none, or if this owner has its
    /// [`share`](Self::share) already. The lease lasts for `lasting`, and longer if it is renewed.
    ///
    /// # Errors
    /// Those of every call.
    fn acquire(&self, owner: &str, lasting: Duration, want: u16) -> StoreFuture<'_, Option<Lease>>;

    /// How many buckets this owner may have now, if several processes share the store: all who have some or asked for some lately have the
    /// same share. Whoever has more should settle what is in flight, release its lease and acquire a smaller one, each time that it
    /// renews it or so. A store that only one process uses says that it may have all.
    ///
    /// # Errors
    /// Those of every call.
    fn share(&self, owner: &str) -> StoreFuture<'_, u16> {
        let (_, buckets) = (owner, self.buckets());
        StoreFuture::new(async move { Ok(buckets) })
    }

    /// Has a lease last for `lasting` from now. It may have expired, if nobody acquired it since.
    ///
    /// # Errors
    /// [`Fenced`](StoreErrorKind::Fenced).
    fn renew(&self, lease: &Lease, lasting: Duration) -> StoreFuture<'_, ()>;

    /// Gives a lease back. Only if each event that was sent has an outcome, and that was settled: no event counts as
    /// maybe sent. Otherwise let it expire.
    ///
    /// # Errors
    /// [`Fenced`](StoreErrorKind::Fenced).
    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()>;

    /// Says that events of the lease's buckets up to this one will be sent. It must return before the first of them is
    /// sent.
    ///
    /// # Errors
    /// [`Fenced`](StoreErrorKind::Fenced).
    fn sending(&self, lease: &Lease, up_to: Seq) -> StoreFuture<'_, ()>;

    /// Reads the lease's unsettled events behind `after`, in order. Those that are not due are among them.
    ///
    /// # Errors
    /// [`Fenced`](StoreErrorKind::Fenced).
    fn page(&self, lease: &Lease, after: Seq, limits: PageLimits) -> StoreFuture<'_, Page>;

    /// Records what became of events: all of it or nothing. Rows that are gone or settled do not matter. Returns how many
    /// rows were changed. It works also when the store is full.
    ///
    /// # Errors
    /// [`Fenced`](StoreErrorKind::Fenced).
    fn settle(&self, lease: &Lease, outcomes: Vec<Outcome>) -> StoreFuture<'_, u64>;

    /// How many unsettled events each slot has. It reads all of them, in short steps, so call it once, before events are
    /// inserted.
    ///
    /// # Errors
    /// Those of every call.
    fn slots(&self) -> StoreFuture<'_, SlotCounts>;

    /// The counts. It costs the same however many events there are.
    ///
    /// # Errors
    /// Those of every call.
    fn stats(&self) -> StoreFuture<'_, StoreStats>;

    /// Reads events that a filter lets through, behind `after`, in order; at most `limit`. For people: it may read all
    /// rows, in short steps.
    ///
    /// # Errors
    /// Those of every call.
    fn list(&self, filter: Filter, after: Seq, limit: usize) -> StoreFuture<'_, Vec<StoredEvent>>;

    /// Has events that a filter lets through tried again from the start: `RETRYING`, `DLQ` and `DLQ_FAILED` become
    /// `PENDING`, with no attempts, and a `PENDING` one that is [held](NewEvent::hold) is held no more. They keep their place in the order, so they go before newer ones of their key that have
    /// not been sent, and behind those that have. Returns how many. It works in small transactions; after an error some
    /// may be changed.
    ///
    /// # Errors
    /// Those of every call.
    fn replay(&self, filter: Filter) -> StoreFuture<'_, u64>;

    /// Removes events that a filter lets through, whatever their status. Those that were not settled are counted as
    /// purged. Returns how many. It works in small transactions; after an error some may be gone.
    ///
    /// # Errors
    /// Those of every call.
    fn purge(&self, filter: Filter) -> StoreFuture<'_, u64>;

    /// How long a settled row is kept. Defaults to not at all.
    fn retention(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether it has [`claim`](Self::claim), [`conclude`](Self::conclude) and [`sweep_keys`](Self::sweep_keys). Defaults to no.
    fn keeps_keys(&self) -> bool {
        false
    }

    /// Claims a key for a request. Returns `None` if the request has it from now on, also if it had it before. Otherwise another request has it, and its
    /// time is not over.
    ///
    /// # Errors
    /// Those of every call; [`Refused`](StoreErrorKind::Refused) by a store without keys.
    fn claim(&self, claim: Claim) -> StoreFuture<'_, Option<Claimed>> {
        let _ = claim;
        StoreFuture::new(async { Err(StoreError::no_keys()) })
    }

    /// Ends the request that has a key: with its answer, or without, so that the key is free again. Nothing changes if another request has it by now.
    ///
    /// # Errors
    /// Those of every call; [`Refused`](StoreErrorKind::Refused) by a store without keys.
    fn conclude(&self, key: &str, request_id: Uuid, answer: Option<Vec<u8>>) -> StoreFuture<'_, ()> {
        let _ = (key, request_id, answer);
        StoreFuture::new(async { Err(StoreError::no_keys()) })
    }

    /// Removes keys whose time is over, and returns how many are left. Call it each minute or so.
    ///
    /// # Errors
    /// Those of every call; [`Refused`](StoreErrorKind::Refused) by a store without keys.
    fn sweep_keys(&self) -> StoreFuture<'_, u64> {
        StoreFuture::new(async { Err(StoreError::no_keys()) })
    }

    /// Removes settled rows whose retention is over; all of them if the store has none. Returns how many. Call it each
    /// minute or so. It works in small transactions.
    ///
    /// # Errors
    /// Those of every call.
    fn sweep(&self) -> StoreFuture<'_, u64>;

    /// Carries out what was called before, and ends. Every later call fails as [`Closed`](StoreErrorKind::Closed), but for
    /// another `close`.
    ///
    /// # Errors
    /// Those of every call.
    fn close(&self) -> StoreFuture<'_, ()>;
}
