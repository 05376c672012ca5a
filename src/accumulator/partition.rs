//! One partition's queue: an open batch behind the sealed ones.
//!
//! In: records, from any number of tasks. Out: sealed batches, in the order in which they were opened. Pure. Its lock is
//! held only to append or to take a batch: never across an await, never around user code.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    batch::{Batch, SealedBatch},
    clock::Clock,
    compressing::{Compressing, Stage},
    memory::Charge,
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
    compressing: Arc<Compressing>,
}

/// What the lock guards.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) open: Option<Batch>,
    sealed: VecDeque<Sealed>,
    /// Whether the sender knows that there is something to take.
    pub(super) listed: bool,
    pub(super) closed: bool,
    /// How large the last batch became: the next one starts with a buffer of that size.
    pub(super) usual_len: usize,
    /// The largest batch that the topic is known to take, in bytes before compression; `usize::MAX` if that is not known.
    pub(super) largest: usize,
    pub(super) serial: u64,
    /// The wall clock when it was read last, and the tick at that moment.
    read: Option<(u64, i64)>,
}

/// A sealed batch, and how far it is. While its bytes are being compressed it has none.
#[derive(Debug)]
struct Sealed {
    batch: SealedBatch,
    serial: u64,
    stage: Stage,
}

impl Partition {
    pub(crate) fn new(slot: u32, origin: Origin, compressing: Arc<Compressing>) -> Self {
        let queue = Mutex::new(Queue { largest: usize::MAX, ..Queue::default() });
        Self { slot, origin, queue, backlog: AtomicU32::new(0), compressing }
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
        if queue.sealed.is_empty() && queue.open.as_ref().is_some_and(|open| open.due) {
            self.seal(&mut queue);
        }
        let batch = if queue.has_next() { queue.sealed.pop_front().map(|sealed| sealed.batch) } else { None };
        match batch {
            Some(_) => drop(self.backlog.fetch_sub(1, Relaxed)),
            None => queue.listed = false,
        }
        batch
    }

    /// Fixes the open batch's records, and has it compressed if need be.
    pub(super) fn seal(&self, queue: &mut Queue) {
        let stage = self.compressing.first_stage();
        if let Some(serial) = queue.seal(stage)
            && stage == Stage::Raw
        {
            self.compressing.add(self.slot, serial);
        }
    }

    /// Has batches that are opened from now on hold at most so many bytes before compression, or `batch.size`.
    pub(crate) fn limit_batches(&self, bytes: Option<usize>) {
        self.lock().largest = bytes.unwrap_or(usize::MAX);
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
            older.extend(queue.oldest_batch());
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
        std::iter::from_fn(|| queue.oldest_batch()).collect()
    }
}

impl Queue {
    /// How many bytes a batch may have.
    #[inline]
    pub(super) fn limit(&self, batch_size: usize) -> usize {
        self.largest.min(batch_size)
    }

    /// The wall clock, in milliseconds since the Unix epoch, as it was read in this very tick.
    #[inline]
    pub(super) fn unix_ms(&mut self, clock: &impl Clock) -> i64 {
        let tick = clock.tick();
        match self.read {
            Some((read, unix_ms)) if read == tick => unix_ms,
            _ => self.read.insert((tick, clock.unix_ms())).1,
        }
    }

    /// Fixes the open batch's records. Says which batch it is, if there is one.
    fn seal(&mut self, stage: Stage) -> Option<u64> {
        let open = self.open.take()?;
        self.usual_len = open.len();
        let serial = open.serial;
        let batch = open.seal()?;
        // Most have one at a time; see `Lane::push`.
        if self.sealed.capacity() == 0 {
            self.sealed.reserve_exact(1);
        }
        self.sealed.push_back(Sealed { batch, serial, stage });
        Some(serial)
    }

    /// Whether the oldest sealed batch can be sent.
    pub(super) fn has_next(&self) -> bool {
        self.sealed.front().is_some_and(|sealed| sealed.stage == Stage::Done)
    }

    /// Hands out the bytes of a batch that is to be compressed, if it still waits.
    pub(super) fn lend(&mut self, serial: u64) -> Option<Vec<u8>> {
        let sealed = self.sealed.iter_mut().find(|sealed| sealed.serial == serial && sealed.stage == Stage::Raw)?;
        sealed.stage = Stage::Away;
        Some(std::mem::take(&mut sealed.batch.bytes))
    }

    /// Takes a batch's bytes back, if it still waits. They may have become shorter: then a buffer of `spare` bytes is not needed
    /// any more, and what was charged for it is handed back.
    pub(super) fn take_back(&mut self, serial: u64, bytes: Vec<u8>, spare: usize) -> Option<Charge> {
        let Sealed { batch, stage, .. } = self.sealed.iter_mut().find(|sealed| sealed.serial == serial)?;
        *stage = Stage::Done;
        let unneeded = spare.saturating_sub(bytes.len());
        batch.bytes = bytes;
        Some(batch.held.charge.split_off(unneeded))
    }

    /// Lets the open batch be sent though it is not full; false if it is not the one meant, or is due already.
    pub(super) fn due(&mut self, serial: u64) -> bool {
        let open = self.open.as_mut().filter(|open| open.serial == serial && !open.due);
        open.map(|open| open.due = true).is_some()
    }

    /// The oldest batch, however far it is: it will not be sent.
    fn oldest_batch(&mut self) -> Option<SealedBatch> {
        if self.sealed.is_empty() {
            self.seal(Stage::Done);
        }
        self.sealed.pop_front().map(|sealed| sealed.batch)
    }

    fn oldest(&self) -> Option<Instant> {
        self.sealed.front().map(|sealed| sealed.batch.created).or_else(|| self.open.as_ref().map(Batch::created))
    }
}
