//! The batches of one partition: an open batch behind the sealed ones.
//!
//! In: records, from any number of tasks. Out: sealed batches, in the order in which they were opened. Pure. The lock
//! is held only to append or to take a batch, never across an await and never around user code.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    batch::{OpenBatch, SealedBatch},
    clock::Clock,
    compressing::{CompressionQueue, Stage},
    memory::Charge,
};
use crate::delivery::Origin;

/// The batches of one partition that wait to be sent.
#[derive(Debug)]
pub(crate) struct PartitionQueue {
    /// The partition's number among all partitions of all topics. It never changes.
    pub(crate) slot: u32,
    pub(crate) origin: Origin,
    queue: Mutex<QueueState>,
    backlog: AtomicU32,
    compressing: Arc<CompressionQueue>,
}

/// The state that the lock guards.
#[derive(Debug, Default)]
pub(super) struct QueueState {
    pub(super) open: Option<OpenBatch>,
    sealed: VecDeque<Sealed>,
    /// Whether the partition is in the sender's list.
    pub(super) listed: bool,
    pub(super) closed: bool,
    /// How large the last batch became. The next batch starts with a buffer of this size.
    pub(super) usual_len: usize,
    /// The largest batch that the topic accepts, in bytes before compression; `usize::MAX` if that is unknown.
    pub(super) largest: usize,
    pub(super) serial: u64,
    /// The tick and the wall clock at the last reading.
    read: Option<(u64, i64)>,
}

/// A sealed batch. It has no bytes while they are being compressed.
#[derive(Debug)]
struct Sealed {
    batch: SealedBatch,
    serial: u64,
    stage: Stage,
}

impl PartitionQueue {
    pub(crate) fn new(slot: u32, origin: Origin, compressing: Arc<CompressionQueue>) -> Self {
        let queue = Mutex::new(QueueState { largest: usize::MAX, ..QueueState::default() });
        Self { slot, origin, queue, backlog: AtomicU32::new(0), compressing }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many batches were not drained yet. Adaptive partitioning (KIP-794) weighs partitions by it.
    pub(crate) fn backlog(&self) -> u32 {
        self.backlog.load(Relaxed)
    }

    pub(super) fn opened(&self) {
        self.backlog.fetch_add(1, Relaxed);
    }

    /// The next batch that can be sent. `None` takes the partition off the sender's list.
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

    /// Seals the open batch, and has it compressed if there is a codec.
    pub(super) fn seal(&self, queue: &mut QueueState) {
        let stage = self.compressing.first_stage();
        if let Some(serial) = queue.seal(stage)
            && stage == Stage::Uncompressed
        {
            self.compressing.add(self.slot, serial);
        }
    }

    /// Limits the batches that are opened from now on to `bytes` before compression; `None` removes the limit.
    pub(crate) fn limit_batches(&self, bytes: Option<usize>) {
        self.lock().largest = bytes.unwrap_or(usize::MAX);
    }

    /// When the oldest batch of the queue was opened.
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

    /// Refuses further records, and takes all batches.
    pub(super) fn abandon(&self) -> Vec<SealedBatch> {
        let mut queue = self.lock();
        queue.closed = true;
        std::iter::from_fn(|| queue.oldest_batch()).collect()
    }
}

impl QueueState {
    /// The largest size of a batch, in bytes.
    #[inline]
    pub(super) fn limit(&self, batch_size: usize) -> usize {
        self.largest.min(batch_size)
    }

    /// The wall clock in milliseconds since the Unix epoch, read at most once a tick.
    #[inline]
    pub(super) fn unix_ms(&mut self, clock: &impl Clock) -> i64 {
        let tick = clock.tick();
        match self.read {
            Some((read, unix_ms)) if read == tick => unix_ms,
            _ => self.read.insert((tick, clock.unix_ms())).1,
        }
    }

    /// Seals the open batch. Returns its serial number, if there is one.
    fn seal(&mut self, stage: Stage) -> Option<u64> {
        let open = self.open.take()?;
        self.usual_len = open.len();
        let serial = open.serial;
        let batch = open.seal()?;
        // Most queues hold one sealed batch at a time, as in `Lane::push`.
        if self.sealed.capacity() == 0 {
            self.sealed.reserve_exact(1);
        }
        self.sealed.push_back(Sealed { batch, serial, stage });
        Some(serial)
    }

    /// Whether the oldest sealed batch can be sent.
    pub(super) fn has_next(&self) -> bool {
        self.sealed.front().is_some_and(|sealed| sealed.stage == Stage::Ready)
    }

    /// Takes the bytes of a batch to compress them, if the batch still waits.
    pub(super) fn take_bytes(&mut self, serial: u64) -> Option<Vec<u8>> {
        let sealed =
            self.sealed.iter_mut().find(|sealed| sealed.serial == serial && sealed.stage == Stage::Uncompressed)?;
        sealed.stage = Stage::Compressing;
        Some(std::mem::take(&mut sealed.batch.bytes))
    }

    /// Puts the bytes back into their batch, if it still waits. Returns the part of its charge that shorter bytes do
    /// not need: up to `spare` bytes.
    pub(super) fn put_back(&mut self, serial: u64, bytes: Vec<u8>, spare: usize) -> Option<Charge> {
        let Sealed { batch, stage, .. } = self.sealed.iter_mut().find(|sealed| sealed.serial == serial)?;
        *stage = Stage::Ready;
        let unneeded = spare.saturating_sub(bytes.len());
        batch.bytes = bytes;
        Some(batch.held.charge.split_off(unneeded))
    }

    /// Makes the open batch due. Returns false if it has another serial number, or is due already.
    pub(super) fn due(&mut self, serial: u64) -> bool {
        let open = self.open.as_mut().filter(|open| open.serial == serial && !open.due);
        open.map(|open| open.due = true).is_some()
    }

    /// The oldest batch in any stage, for a caller that does not send it.
    fn oldest_batch(&mut self) -> Option<SealedBatch> {
        if self.sealed.is_empty() {
            self.seal(Stage::Ready);
        }
        self.sealed.pop_front().map(|sealed| sealed.batch)
    }

    fn oldest(&self) -> Option<Instant> {
        self.sealed.front().map(|sealed| sealed.batch.created).or_else(|| Some(self.open.as_ref()?.created))
    }
}
