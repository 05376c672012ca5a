//! The accumulator: batches that wait to be sent.
//!
//! In: encoded records. Each call appends under the lock of one partition. Out: sealed batches, in order, to the
//! sender. The sender reads a list of the partitions that have a batch, so its cost does not grow with the number of
//! partitions. Pure but for being awaited: time is an argument. Deliberately absent: drained batches (they belong to
//! the sender's lanes) and brokers.
//!
//! A batch is ready when it is full, when it has waited for `linger.ms`, or when a caller waits for memory, flushes or
//! closes. It stays open until the sender takes it, so backpressure makes batches larger, not more numerous.

mod batch;
mod clock;
mod compress;
mod compressing;
mod memory;
mod outstanding;
mod partition;
mod routes;
mod several;
#[cfg(test)]
mod tests;
mod topics;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

#[cfg(all(test, feature = "broker"))]
pub(crate) use self::compress::Work;
use self::{batch::OpenBatch, memory::Counted};
pub(crate) use self::{
    batch::{Held, SealedBatch},
    clock::Clock,
    compressing::CompressionQueue,
    memory::{Charge, Closed, Memory},
    outstanding::{Outstanding, Token},
    partition::PartitionQueue,
    routes::Route,
    topics::{MetadataFailure, ReadyTopic, TopicState, Topics},
};
use crate::{
    cluster::PartitionMetadata,
    config::Config,
    delivery::{Accepted, Callbacks, Completer, Listener, Receipt, listener, nothing},
    error::ErrorCode,
    metrics::Recorder,
    wire::{
        compression::Method,
        record_batch::{HEADER_LEN, writer::Payload},
    },
};

/// The smallest buffer that a batch starts with, in bytes.
const SMALLEST_BUFFER: usize = 512;

/// The sender is behind when batches that have not completed hold more bytes than this.
const BEHIND_BYTES: usize = 1 << 20;
/// `send` yields to a sender that is behind before every fourth batch of a partition.
const YIELD_EVERY: u64 = 4;

/// How late a timer may be. The runtime's timers count in milliseconds and round up, and so does the kernel below them.
/// `linger.ms` is an upper bound, so its timer is set earlier by this, or by a third of a short linger.
const TIMER_LATENESS: Duration = Duration::from_micros(1_500);

/// The accumulator's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// `batch.size` in bytes.
    pub(crate) batch_size: usize,
    /// `linger.ms`.
    pub(crate) linger: Duration,
    /// `buffer.memory` in bytes.
    pub(crate) buffer_memory: usize,
    /// `compression.type` and its level.
    pub(crate) method: Method,
    /// The shortest time that a rate in the metrics covers.
    pub(crate) rate_window: Duration,
}

impl Limits {
    /// The settings of a producer.
    pub(crate) fn of(config: &Config) -> Self {
        let (batch_size, buffer_memory) = (config.batch_size, config.buffer_memory);
        let linger = config.linger.saturating_sub(TIMER_LATENESS.min(config.linger / 3));
        // As long as Java's with its default of two samples.
        let rate_window = config.metrics_sample_window.saturating_mul(config.metrics_num_samples) / 2;
        Self { batch_size, linger, buffer_memory, method: compressing::method(config), rate_window }
    }
}

/// The batches that wait to be sent. The callers that append and the sender share it.
#[derive(Debug)]
pub(crate) struct Accumulator {
    limits: Limits,
    callbacks: Callbacks,
    memory: Arc<Memory>,
    outstanding: Arc<Outstanding>,
    topics: Topics,
    compressing: Arc<CompressionQueue>,
    recorder: Recorder,
    ready: Mutex<Ready>,
    flushing: AtomicUsize,
    closed: AtomicBool,
    failed: OnceLock<(ErrorCode, Arc<str>)>,
    wake: Notify,
}

/// The work for the sender. It changes once or twice for each batch, never for a record.
#[derive(Debug, Default)]
struct Ready {
    /// Slots of partitions that have a batch to take.
    listed: Vec<u32>,
    /// Open batches, oldest first. They become due in this order, because `linger.ms` is the same for all.
    lingering: VecDeque<Lingering>,
    /// How many of them, counted from the oldest, are due without lingering.
    due_early: usize,
}

#[derive(Debug)]
struct Lingering {
    opened: Instant,
    slot: u32,
    serial: u64,
}

/// A record that was appended.
#[derive(Debug)]
pub(crate) struct Appended<R = Accepted> {
    pub(crate) receipt: R,
    /// How many bytes the record took.
    pub(crate) bytes: usize,
    /// Whether the batch counts as full: another record of this size would not fit.
    pub(crate) filled: bool,
}

/// How a record is appended when a new batch must be opened.
#[derive(Debug)]
pub(crate) enum AppendMode {
    /// Fails with [`Refused::Behind`] when the sender is behind. Needs as much memory as [`Waiting`](Self::Waiting).
    Yielding,
    /// Needs a buffer of the partition's usual size. A smaller buffer would be full after a few records, and its batch
    /// header would take memory that is already short.
    Waiting,
    /// Takes less memory if the usual amount is not free, down to what this record needs.
    NoWait,
    /// Takes this memory, which the caller was charged for before.
    Charged(Charge),
}

impl From<Option<Charge>> for AppendMode {
    fn from(charge: Option<Charge>) -> Self {
        charge.map_or(Self::NoWait, Self::Charged)
    }
}

/// Why a record was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A new batch must be opened. The caller charges this many bytes and tries again.
    NeedsMemory(usize),
    /// A new batch must be opened, but the sender is behind. The caller yields and tries again.
    Behind,
    /// The producer is closed.
    Closed,
}

impl Ready {
    /// When the oldest open batch becomes due although it is not full.
    fn next_due(&self, linger: Duration) -> Option<Instant> {
        let oldest = self.lingering.front()?;
        Some(if self.due_early > 0 { oldest.opened } else { oldest.opened + linger })
    }
}

impl Accumulator {
    pub(crate) fn new(limits: Limits, callbacks: Callbacks) -> Arc<Self> {
        let compressing = CompressionQueue::new(limits.method);
        Arc::new(Self {
            memory: Memory::new(limits.buffer_memory, limits.batch_size),
            limits,
            callbacks,
            outstanding: Arc::default(),
            topics: Topics::new(Arc::clone(&compressing)),
            compressing,
            recorder: Recorder::new(limits.rate_window),
            ready: Mutex::default(),
            flushing: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            failed: OnceLock::new(),
            wake: Notify::new(),
        })
    }

    /// The topics that records can be appended to.
    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The producer's metrics. They are here because the accumulator is all that the callers and the sender share.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The memory that `buffer.memory` limits.
    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Appends a record. A record without a timestamp gets the time of `clock`. The callback is taken only if the
    /// record is accepted.
    #[inline]
    pub(crate) fn append<R: Receipt>(
        &self,
        partition: &PartitionQueue,
        timestamp: Option<i64>,
        payload: &Payload<'_>,
        callback: Option<&mut dyn Listener>,
        mode: impl Into<AppendMode>,
        clock: &impl Clock,
    ) -> Result<Appended<R>, Refused> {
        let max_len = payload.max_len();
        let mut no_callback = self.callbacks.has_interceptors().then_some(nothing);
        let callback = match callback {
            Some(callback) => Some(callback as &mut dyn Listener),
            None => listener(&mut no_callback),
        };
        let mut queue = partition.lock();
        if queue.closed {
            return Err(Refused::Closed);
        }
        let limit = queue.limit(self.limits.batch_size);
        let callback_bytes =
            callback.as_deref().map_or(0, |callback| callback.cost(queue.open.as_ref().map(OpenBatch::notices)));
        let timestamp = timestamp.unwrap_or_else(|| queue.unix_ms(clock));
        let has_room = |open: &mut OpenBatch| open.reaches(timestamp) && open.make_room(max_len, callback_bytes, limit);
        let callback_bytes = if queue.open.as_mut().is_some_and(has_room) {
            callback_bytes
        } else {
            let alone = callback.as_deref().map_or(0, |callback| callback.cost(None));
            self.reopen(partition, &mut queue, (max_len, alone), timestamp, mode.into(), clock)?;
            alone
        };
        let Some(open) = &mut queue.open else { return Err(Refused::Closed) };
        let before = open.len();
        let receipt = open.append(timestamp, payload, callback, callback_bytes);
        let bytes = open.len() - before;
        let filled = open.len() + bytes > limit;
        Ok(Appended { receipt, bytes, filled })
    }

    /// Seals the open batch and opens another, with room for a record of `len` bytes and `callback_bytes` of its
    /// callback.
    #[cold]
    fn reopen(
        &self,
        partition: &PartitionQueue,
        queue: &mut partition::QueueState,
        (len, callback_bytes): (usize, usize),
        timestamp: i64,
        mode: AppendMode,
        clock: &impl Clock,
    ) -> Result<(), Refused> {
        self.seal(partition, queue);
        if matches!(mode, AppendMode::Yielding) && queue.serial.is_multiple_of(YIELD_EVERY) && self.is_behind() {
            return Err(Refused::Behind);
        }
        let size = (queue.usual_len, queue.limit(self.limits.batch_size));
        let (charge, buffer) = self.charge(size, HEADER_LEN + len, callback_bytes, mode)?;
        queue.serial += 1;
        let completer = Completer::new(partition.origin.clone(), timestamp, self.callbacks.clone());
        let (token, now) = (self.outstanding.enter(), clock.now());
        self.open(partition, queue, OpenBatch::new(charge, buffer, token, completer, now, queue.serial));
        Ok(())
    }

    /// Whether so many bytes wait that the sender should run first. More bytes would only leave the processor's caches
    /// before they are sent. A task that sends in a loop never gives up its thread, so on a runtime where all threads
    /// do that, the sender would never run.
    fn is_behind(&self) -> bool {
        self.memory.limit() - self.memory.free() > BEHIND_BYTES
    }

    /// Seals the open batch, if there is one.
    fn seal(&self, partition: &PartitionQueue, queue: &mut partition::QueueState) {
        if queue.open.is_some() {
            partition.seal(queue);
            // The batch was full, so the next one may be larger. Otherwise one batch that could not grow would keep all
            // later ones small.
            queue.usual_len = queue.usual_len.saturating_mul(2).min(self.limits.batch_size);
            if queue.has_next() {
                self.list(partition, queue);
            }
        }
    }

    /// Charges memory for a new batch. Returns the charge and how much of it is for the buffer: what the caller was
    /// charged before, or what the partition's batches usually take, or, if `mode` allows, the least that will do.
    fn charge(
        &self,
        (usual, limit): (usize, usize),
        least: usize,
        callback_bytes: usize,
        mode: AppendMode,
    ) -> Result<(Charge, usize), Refused> {
        let may_take_less = matches!(mode, AppendMode::NoWait | AppendMode::Charged(_));
        if let AppendMode::Charged(charge) = mode
            && charge.bytes() >= least
        {
            let buffer = charge.bytes().saturating_sub(callback_bytes).max(least);
            return Ok((charge, buffer));
        }
        let usual = usual.next_power_of_two().clamp(SMALLEST_BUFFER, limit.max(SMALLEST_BUFFER));
        let buffer = if usual >= limit { limit } else { usual }.max(least);
        let charged = |buffer: usize| Some((self.memory.try_charge(buffer + callback_bytes)?, buffer));
        // A caller that has to wait asks for a usual buffer. With less, its batch would be full with the first record,
        // and the next record would wait again. At most an eighth of all memory, so that other partitions get some.
        let worth_waiting = buffer.min(self.memory.limit() / 8).max(least);
        let all = (worth_waiting + callback_bytes).min(self.memory.limit());
        let less = || if may_take_less { charged(least) } else { None };
        charged(buffer).or_else(less).ok_or(Refused::NeedsMemory(all))
    }

    /// Opens a batch, and has the sender take it after `linger.ms`.
    fn open(&self, partition: &PartitionQueue, queue: &mut partition::QueueState, batch: OpenBatch) {
        let lingering = Lingering { opened: batch.created, slot: partition.slot, serial: batch.serial };
        let open = queue.open.insert(batch);
        partition.opened();
        if self.limits.linger.is_zero() {
            open.due = true;
            return self.list(partition, queue);
        }
        let mut ready = self.ready();
        ready.lingering.push_back(lingering);
        let first = ready.lingering.len() == 1;
        drop(ready);
        if first || self.must_not_linger() {
            self.wake();
        }
    }

    /// Puts the partition into the sender's list, if it is not there, and wakes the sender.
    fn list(&self, partition: &PartitionQueue, queue: &mut partition::QueueState) {
        if !std::mem::replace(&mut queue.listed, true) {
            self.ready().listed.push(partition.slot);
            self.wake();
        }
    }

    /// Moves to `into` the slots of partitions that got a batch to take since the last call.
    pub(crate) fn take_ready(&self, now: Instant, into: &mut Vec<u32>) {
        let hurry = self.must_not_linger();
        let mut due = Vec::new();
        {
            let mut ready = self.ready();
            into.append(&mut ready.listed);
            while ready.next_due(self.limits.linger).is_some_and(|at| hurry || at <= now) {
                due.extend(ready.lingering.pop_front());
                ready.due_early = ready.due_early.saturating_sub(1);
            }
        }
        for Lingering { slot, serial, .. } in due {
            let Some(partition) = self.topics.partition(slot) else { continue };
            let mut queue = partition.lock();
            if queue.due(serial) && !std::mem::replace(&mut queue.listed, true) {
                into.push(slot);
            }
        }
    }

    /// Whether batches wait for further records (`linger.ms`).
    pub(crate) fn lingers(&self) -> bool {
        !self.limits.linger.is_zero()
    }

    /// When the sender has to call `take_ready` again, if nothing wakes it before.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.ready().next_due(self.limits.linger)
    }

    /// Whether open batches are sent without lingering. Short memory alone is no reason while batches wait for
    /// compression: those will free memory, and sending open batches would only add more and smaller ones.
    fn must_not_linger(&self) -> bool {
        let short = || self.memory.waiting() > 0 && !self.compressing.is_busy();
        self.flushing.load(SeqCst) > 0 || self.closed.load(SeqCst) || short()
    }

    /// Waits for memory for a new batch. Until then open batches are sent without lingering.
    ///
    /// Cancel safe.
    pub(crate) async fn wait_for_memory(&self, bytes: usize) -> Result<Charge, Closed> {
        self.memory.charge(bytes, || self.wake()).await
    }

    /// Makes all open batches due at once.
    pub(crate) fn send_open_batches(&self) {
        let mut ready = self.ready();
        ready.due_early = ready.lingering.len();
        drop(ready);
        self.wake();
    }

    /// Sends all open batches without lingering, and waits until they and all undelivered batches have completed.
    ///
    /// Cancel safe.
    pub(crate) async fn flush(&self) {
        let _hurry = Counted::new(&self.flushing);
        let generation = self.outstanding.start_generation();
        self.wake();
        self.outstanding.settled(generation).await;
    }

    /// How many batches have not completed.
    pub(crate) fn undelivered(&self) -> usize {
        self.outstanding.count()
    }

    /// Refuses further records. The sender can still take the batches that wait.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
        self.topics.partitions().iter().for_each(|partition| partition.close());
        self.memory.close();
        self.topics.announce();
        self.wake();
    }

    /// Refuses further records after a fatal error.
    pub(crate) fn fail(&self, code: ErrorCode, reason: &Arc<str>) {
        self.failed.get_or_init(|| (code, Arc::clone(reason)));
        self.close();
    }

    /// The fatal error, if there was one.
    pub(crate) fn failure(&self) -> Option<&(ErrorCode, Arc<str>)> {
        self.failed.get()
    }

    /// Whether records are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Refuses further records, and takes all batches that wait.
    pub(crate) fn abandon(&self) -> Vec<(Arc<PartitionQueue>, SealedBatch)> {
        self.close();
        let of = |partition: Arc<PartitionQueue>| {
            partition.abandon().into_iter().map(move |batch| (Arc::clone(&partition), batch))
        };
        self.topics.partitions().into_iter().flat_map(of).collect()
    }

    /// Makes a topic's partitions known, see [`Topics::publish`].
    pub(crate) fn publish(&self, name: &Arc<str>, leaders: &[PartitionMetadata], seed: u64) -> Arc<ReadyTopic> {
        let topic = self.topics.publish(name, leaders, seed);
        if self.is_closed() {
            topic.partitions.iter().for_each(|partition| partition.close());
        }
        topic
    }

    /// Wakes the sender.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until something wakes the sender.
    ///
    /// Cancel safe.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
