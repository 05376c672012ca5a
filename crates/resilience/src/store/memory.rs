//! A store in memory, for tests: it loses everything with the process.
//!
//! In: calls, and how the next ones shall fail. Out: answers, which depend on nothing but the calls and the clock.
//! Deliberately absent: threads, chance and disks.

mod keys;
mod table;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::sync::oneshot;
use uuid::Uuid;

use self::table::Table;
use super::{
    Busy, Claim, Claimed, Filter, Lease, NewEvent, Outcome, Page, PageLimits, Pass, Published, Quota, Seq, SlotCounts,
    Store, StoreError, StoreErrorKind, StoreFuture, StoreStats, StoredEvent, clock::Clock,
};

/// How a call of a [`MemoryStore`] fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing changes.
    Refuse(StoreErrorKind),
    /// It fails as [`StoreErrorKind::Indeterminate`].
    Indeterminate {
        /// Whether it was carried out nevertheless.
        done: bool,
    },
    /// It succeeds after this time, which is tokio's and can be paused.
    Slow(Duration),
    /// It succeeds at once, and answers after this time: the process was stopped meanwhile.
    Late(Duration),
}

/// A store in memory, for tests. It can be told to fail. Clones are the same store.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use milena_resilience::store::{Fault, MemoryStore, NewEvent, Store, StoreErrorKind};
///
/// let store = MemoryStore::new();
/// store.fail_next_insert(Fault::Refuse(StoreErrorKind::Unavailable));
/// let event = NewEvent::new(uuid::Uuid::now_v7(), "orders", "nine");
/// assert!(store.insert(vec![event.clone()]).await.is_err());
/// assert!(store.insert(vec![event]).await.is_ok());
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore {
    clock: Clock,
    is_shared: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    table: Table,
    /// While syncs are held: what was synced before, and who waits for the next.
    synced: Option<Table>,
    waiting: Vec<oneshot::Sender<bool>>,
    inserts: VecDeque<Fault>,
    settles: VecDeque<Fault>,
    always: Option<Fault>,
    is_closed: bool,
    /// It answers before it has synced, which the simulation must find.
    without_syncs: bool,
}

/// What a fault is meant for.
#[derive(Clone, Copy)]
enum Call {
    Insert,
    Settle,
    Write,
    Read,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store with one bucket, [`Quota::default`], no retention and the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_buckets(1)
    }

    /// An empty store with this many buckets, at least one.
    #[must_use]
    pub fn with_buckets(buckets: u16) -> Self {
        let state = State {
            table: Table::new(buckets),
            synced: None,
            waiting: Vec::new(),
            inserts: VecDeque::new(),
            settles: VecDeque::new(),
            always: None,
            is_closed: false,
            without_syncs: false,
        };
        Self { clock: Clock::default(), is_shared: false, state: Arc::new(Mutex::new(state)) }
    }

    /// Sets how much it takes.
    #[must_use]
    pub fn quota(self, quota: Quota) -> Self {
        self.lock().table.quota = quota;
        self
    }

    /// Keeps settled rows for this long.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        self.lock().table.retention = Some(retention);
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock::new(now);
        self
    }

    /// Lets several publishers use it, in the order per key that is kept between processes as well.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.is_shared = true;
        self
    }

    #[cfg(test)]
    pub(crate) fn without_syncs(self) -> Self {
        self.lock().without_syncs = true;
        self
    }

    /// Has an insert fail: the next one, or the one behind those that were named before.
    pub fn fail_next_insert(&self, fault: Fault) {
        self.lock().inserts.push_back(fault);
    }

    /// Has a call of [`settle`](Store::settle) or [`acknowledge`](Store::acknowledge) fail, as
    /// [`fail_next_insert`](Self::fail_next_insert).
    pub fn fail_next_settle(&self, fault: Fault) {
        self.lock().settles.push_back(fault);
    }

    /// Has every call fail until it is called with `None`.
    pub fn fail_always(&self, fault: Option<Fault>) {
        self.lock().always = fault;
    }

    /// Has no call fail any more.
    #[cfg(test)]
    pub(crate) fn fail_no_more(&self) {
        let mut state = self.lock();
        state.inserts.clear();
        state.settles.clear();
        state.always = None;
    }

    /// From now on what is written is not synced: calls that write wait, and others do not see it, until
    /// [`sync`](Self::sync) or [`crash`](Self::crash).
    pub fn hold_syncs(&self) {
        let mut state = self.lock();
        if state.synced.is_none() {
            state.synced = Some(state.table.clone());
        }
    }

    /// Syncs what was written, and holds no syncs any more.
    pub fn sync(&self) {
        self.lock().end_hold(true);
    }

    /// Loses what was written and not synced, as a machine that loses its power. Calls that wait fail as
    /// [`StoreErrorKind::Indeterminate`]. Holds no syncs any more.
    pub fn crash(&self) {
        let mut state = self.lock();
        if let Some(synced) = state.synced.clone() {
            state.table = synced;
        }
        state.end_hold(false);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        work: impl FnOnce(&mut Table, i64) -> Result<T, StoreError> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        StoreFuture::new(async move {
            let fault = self.lock().fault(call);
            if let Some(Fault::Slow(time)) = fault {
                tokio::time::sleep(time).await;
            }
            if let Some(Fault::Refuse(kind)) = fault {
                return Err(StoreError::new(kind, "the test wants it so", "none"));
            }
            if fault == Some(Fault::Indeterminate { done: false }) {
                return Err(indeterminate());
            }
            let (answer, sync) = self.lock().carry_out(call, work, self.clock.now_ms())?;
            let is_synced = match sync {
                Some(sync) => sync.await.unwrap_or(false),
                None => true,
            };
            if let Some(Fault::Late(time)) = fault {
                tokio::time::sleep(time).await;
            }
            if is_synced && fault != Some(Fault::Indeterminate { done: true }) {
                Ok(answer)
            } else {
                Err(indeterminate())
            }
        })
    }
}

fn indeterminate() -> StoreError {
    let text = "the commit failed, and it cannot be told whether it happened";
    StoreError::new(StoreErrorKind::Indeterminate, text, "read the store back")
}

impl State {
    fn fault(&mut self, call: Call) -> Option<Fault> {
        let next = match call {
            Call::Insert => self.inserts.pop_front(),
            Call::Settle => self.settles.pop_front(),
            Call::Write | Call::Read => None,
        };
        next.or(self.always)
    }

    /// The answer, and what to wait for before it is told.
    fn carry_out<T>(
        &mut self,
        call: Call,
        work: impl FnOnce(&mut Table, i64) -> Result<T, StoreError>,
        now: i64,
    ) -> Result<(T, Option<oneshot::Receiver<bool>>), StoreError> {
        if self.is_closed {
            return Err(StoreError::closed());
        }
        match (&mut self.synced, call) {
            (Some(synced), Call::Read) => Ok((work(synced, now)?, None)),
            (None, _) => Ok((work(&mut self.table, now)?, None)),
            (Some(_), _) => {
                let answer = work(&mut self.table, now)?;
                let (sender, receiver) = oneshot::channel();
                if self.without_syncs {
                    return Ok((answer, None));
                }
                self.waiting.push(sender);
                Ok((answer, Some(receiver)))
            }
        }
    }

    fn end_hold(&mut self, synced: bool) {
        self.synced = None;
        for waiting in self.waiting.drain(..) {
            // Whoever dropped the call does not want to know.
            let _ = waiting.send(synced);
        }
    }
}

impl Store for MemoryStore {
    fn insert(&self, events: Vec<NewEvent>) -> StoreFuture<'_, Vec<Seq>> {
        self.call(Call::Insert, move |table, now| table.insert(events, now))
    }

    fn insert_among(&self, events: Vec<NewEvent>) -> StoreFuture<'_, (Vec<Seq>, Vec<Pass>)> {
        self.call(Call::Insert, move |table, now| Ok((table.insert(events, now)?, table.passes())))
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn busy(&self, behind: Vec<(u16, Seq)>, limit: u64) -> StoreFuture<'_, Vec<Busy>> {
        self.call(Call::Read, move |table, _| Ok(table.busy(&behind, limit)))
    }

    fn take_pass(&self, instead_of: Option<Pass>) -> StoreFuture<'_, Option<Pass>> {
        self.call(Call::Write, move |table, _| Ok(table.take_pass(instead_of)))
    }

    fn passes(&self) -> StoreFuture<'_, Vec<Pass>> {
        self.call(Call::Read, |table, _| Ok(table.passes()))
    }

    fn end_passes(&self, passes: Vec<Pass>) -> StoreFuture<'_, ()> {
        self.call(Call::Write, move |table, _| {
            table.end_passes(&passes);
            Ok(())
        })
    }

    fn acknowledge(&self, rows: Vec<Published>) -> StoreFuture<'_, u64> {
        self.call(Call::Settle, move |table, now| Ok(table.acknowledge(&rows, now)))
    }

    fn buckets(&self) -> u16 {
        self.lock().table.bucket_count()
    }

    fn share(&self, owner: &str) -> StoreFuture<'_, u16> {
        let owner = owner.to_owned();
        self.call(Call::Read, move |table, now| Ok(table.share(&owner, now)))
    }

    fn acquire(&self, owner: &str, lasting: Duration, want: u16) -> StoreFuture<'_, Option<Lease>> {
        let owner = owner.to_owned();
        self.call(Call::Write, move |table, now| Ok(table.acquire(&owner, lasting, want, now)))
    }

    fn renew(&self, lease: &Lease, lasting: Duration) -> StoreFuture<'_, ()> {
        let lease = lease.clone();
        self.call(Call::Write, move |table, now| table.renew(&lease, lasting, now))
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        let lease = lease.clone();
        self.call(Call::Write, move |table, _| table.release(&lease))
    }

    fn sending(&self, lease: &Lease, up_to: Seq) -> StoreFuture<'_, ()> {
        let lease = lease.clone();
        self.call(Call::Write, move |table, _| table.sending(&lease, up_to))
    }

    fn page(&self, lease: &Lease, after: Seq, limits: PageLimits) -> StoreFuture<'_, Page> {
        let lease = lease.clone();
        self.call(Call::Read, move |table, now| table.page(&lease, after, limits, now))
    }

    fn settle(&self, lease: &Lease, outcomes: Vec<Outcome>) -> StoreFuture<'_, u64> {
        let lease = lease.clone();
        self.call(Call::Settle, move |table, now| table.settle(&lease, outcomes, now))
    }

    fn slots(&self) -> StoreFuture<'_, SlotCounts> {
        self.call(Call::Read, |table, _| Ok(table.slots()))
    }

    fn stats(&self) -> StoreFuture<'_, StoreStats> {
        self.call(Call::Read, |table, now| Ok(table.stats(now)))
    }

    fn list(&self, filter: Filter, after: Seq, limit: usize) -> StoreFuture<'_, Vec<StoredEvent>> {
        self.call(Call::Read, move |table, now| Ok(table.list(&filter, after, limit, now)))
    }

    fn replay(&self, filter: Filter) -> StoreFuture<'_, u64> {
        self.call(Call::Write, move |table, now| Ok(table.replay(&filter, now)))
    }

    fn purge(&self, filter: Filter) -> StoreFuture<'_, u64> {
        self.call(Call::Write, move |table, now| Ok(table.purge(&filter, now)))
    }

    fn sweep(&self) -> StoreFuture<'_, u64> {
        self.call(Call::Write, |table, now| Ok(table.sweep(now)))
    }

    fn retention(&self) -> Duration {
        self.lock().table.retention.unwrap_or_default()
    }

    fn keeps_keys(&self) -> bool {
        true
    }

    fn claim(&self, claim: Claim) -> StoreFuture<'_, Option<Claimed>> {
        self.call(Call::Write, move |table, now| Ok(table.keys.claim(claim, now)))
    }

    fn conclude(&self, key: &str, request_id: Uuid, answer: Option<Vec<u8>>) -> StoreFuture<'_, ()> {
        let key = key.to_owned();
        self.call(Call::Write, move |table, _| {
            table.keys.conclude(&key, request_id, answer);
            Ok(())
        })
    }

    fn sweep_keys(&self) -> StoreFuture<'_, u64> {
        self.call(Call::Write, |table, now| Ok(table.keys.sweep(now)))
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        StoreFuture::new(async {
            self.lock().is_closed = true;
            Ok(())
        })
    }
}
