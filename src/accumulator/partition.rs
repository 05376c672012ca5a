//! One partition's queue: an open batch behind the sealed ones.
//!
//! In: records, from any number of tasks. Out: sealed batches, in the order in which they were opened. Pure. Its lock is
//! held only to append or to take a batch: never across an await, never around user code.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    Clock,
    batch::{Batch, SealedBatch},
};
use crate::delivery::Origin;

/// One partition, as those who append see it.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Its number among all partitions of all topics, for life.
    pub(crate) slot: u32,
    pub(crate) origin: Origin,
    queue: Mutex<Queue>,
    backlog: AtomicU32,
}

/// What the lock guards.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) open: Option<Batch>,
    sealed: VecDeque<SealedBatch>,
    /// Whether the sender knows that there is something to take.
    pub(super) listed: bool,
    pub(super) closed: bool,
    /// How large the last batch became: the next one starts with a buffer of that size.
    pub(super) usual_len: usize,
    pub(super) serial: u64,
    /// The wall clock when it was read last, and the tick at that moment.
    read: Option<(u64, i64)>,
}

impl Partition {
    pub(crate) fn new(slot: u32, origin: Origin) -> Self {
        Self { slot, origin, queue: Mutex::default(), backlog: AtomicU32::new(0) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Batches that were not drained yet: what adaptive partitioning (KIP-794) weighs.
    pub(crate) fn backlog(&self) -> u32 {
        self.backlog.load(Relaxed)
    }

    pub(super) fn opened(&self) {
        self.backlog.fetch_add(1, Relaxed);
    }

    /// The next batch that may be sent. `None` means that the sender is told when there is one again.
    pub(crate) fn take(&self) -> Option<SealedBatch> {
        let mut queue = self.lock();
        let batch = queue.next();
        match batch {
            Some(_) => drop(self.backlog.fetch_sub(1, Relaxed)),
            None => queue.listed = false,
        }
        batch
    }

    /// When the oldest batch that waits here was opened.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.lock().oldest()
    }

    /// Takes the batches that were opened at least `age` before `now`.
    pub(crate) fn take_older(&self, now: Instant, age: Duration) -> Vec<SealedBatch> {
        let mut queue = self.lock();
        let mut older = Vec::new();
        while queue.oldest().is_some_and(|oldest| now.saturating_duration_since(oldest) >= age) {
            queue.make_due();
            older.extend(queue.next());
        }
        self.backlog.fetch_sub(u32::try_from(older.len()).unwrap_or(u32::MAX), Relaxed);
        older
    }

    /// Refuses further records.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Refuses further records and takes all that wait.
    pub(super) fn abandon(&self) -> Vec<SealedBatch> {
        let mut queue = self.lock();
        queue.closed = true;
        queue.make_due();
        std::iter::from_fn(|| queue.next()).collect()
    }
}

impl Queue {
    /// The wall clock, in milliseconds since the Unix epoch, as it was read in this very tick.
    #[inline]
    pub(super) fn unix_ms(&mut self, clock: &impl Clock) -> i64 {
        let tick = clock.tick();
        match self.read {
            Some((read, unix_ms)) if read == tick => unix_ms,
            _ => self.read.insert((tick, clock.unix_ms())).1,
        }
    }

    /// Fixes the open batch's records.
    pub(super) fn seal(&mut self) {
        if let Some(open) = self.open.take() {
            self.usual_len = open.len();
            self.sealed.extend(open.seal());
        }
    }

    /// Lets the open batch be sent though it is not full; false if it is not the one meant, or is due already.
    pub(super) fn due(&mut self, serial: u64) -> bool {
        let open = self.open.as_mut().filter(|open| open.serial == serial && !open.due);
        open.map(|open| open.due = true).is_some()
    }

    fn make_due(&mut self) {
        if let Some(open) = &mut self.open {
            open.due = true;
        }
    }

    fn next(&mut self) -> Option<SealedBatch> {
        if self.sealed.is_empty() && self.open.as_ref().is_some_and(|open| open.due) {
            self.seal();
        }
        self.sealed.pop_front()
    }

    fn oldest(&self) -> Option<Instant> {
        self.sealed.front().map(|batch| batch.created).or_else(|| self.open.as_ref().map(Batch::created))
    }
}
