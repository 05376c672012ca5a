//! Where records wait.
//!
//! In: encoded records, appended on the caller's core under a lock of their partition's own. Out: sealed batches, in order,
//! to the sender, which learns from a list which partitions have one: nothing here costs more when there are more
//! partitions. Pure but for being awaited: time is passed in. Deliberately absent: batches that were drained (they belong
//! to the sender's lanes), and any knowledge of brokers.
//!
//! A batch is ready when it is full, has waited `linger.ms`, or when somebody waits for memory, flushes or closes. It
//! stays open until the sender takes it, so that under backpressure batches fill up instead of growing in number.

mod batch;
mod clock;
mod compress;
mod compressing;
mod memory;
mod outstanding;
mod partition;
mod routes;
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

#[cfg(test)]
pub(crate) use self::compress::Work;
use self::{batch::Batch, memory::Counted, outstanding::Outstanding};
pub(crate) use self::{
    batch::{Held, SealedBatch},
    clock::Clock,
    compressing::Compressing,
    memory::{Charge, Closed, Memory},
    partition::Partition,
    routes::Route,
    topics::{Topic, TopicState, Topics},
};
use crate::{
    cluster,
    config::Config,
    delivery::{Accepted, Callbacks, Completer, Listener, listener, nothing},
    error::ErrorCode,
    metrics::Recorder,
    wire::{
        compression::Method,
        record_batch::{HEADER_LEN, writer::Payload},
    },
};

/// The smallest buffer that a batch starts with, in bytes.
const SMALLEST_BUFFER: usize = 512;

/// More bytes than this without an outcome, and who sends lets the sender run, before every so many batches of a partition.
const BEHIND: usize = 1 << 20;
const TURNS: u64 = 4;

/// A timer of the runtime counts in milliseconds and rounds up, and so does the kernel's wait beneath it. `linger.ms` is how long a
/// batch waits at most, so its timer is set earlier by what it may be late, or by a third of a short linger.
const LATE: Duration = Duration::from_micros(1_500);

/// How large, how long, how much.
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
}

impl Limits {
    /// Those of a producer.
    pub(crate) fn of(config: &Config) -> Self {
        let (batch_size, buffer_memory) = (config.batch_size, config.buffer_memory);
        let linger = config.linger.saturating_sub(LATE.min(config.linger / 3));
        Self { batch_size, linger, buffer_memory, method: compressing::method(config) }
    }
}

/// Where records wait. Shared by all that append and by the sender.
#[derive(Debug)]
pub(crate) struct Accumulator {
    limits: Limits,
    callbacks: Callbacks,
    memory: Arc<Memory>,
    outstanding: Arc<Outstanding>,
    topics: Topics,
    compressing: Arc<Compressing>,
    recorder: Recorder,
    ready: Mutex<Ready>,
    flushing: AtomicUsize,
    closed: AtomicBool,
    failed: OnceLock<(ErrorCode, Arc<str>)>,
    wake: Notify,
}

/// What the sender is to look at. Touched once or twice a batch, never by a record.
#[derive(Debug, Default)]
struct Ready {
    /// Slots of partitions with a batch that can be taken.
    listed: Vec<u32>,
    /// Open batches, oldest first, which is also the order in which they become due, because `linger.ms` is one constant.
    lingering: VecDeque<Lingering>,
    /// So many of them, from the oldest on, do not linger.
    hurried: usize,
}

#[derive(Debug)]
struct Lingering {
    opened: Instant,
    slot: u32,
    serial: u64,
}

/// A record that was appended.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) accepted: Accepted,
    /// Bytes that it took.
    pub(crate) bytes: usize,
    /// Whether the batch is as good as full: another record of this size would not fit.
    pub(crate) filled: bool,
}

/// How a record may be appended.
#[derive(Debug)]
pub(crate) enum Turn {
    /// In whatever batch, unless the sender is behind: then it goes first. For a new batch there must be as much memory as for
    /// [`Patient`](Self::Patient).
    Polite,
    /// In whatever batch. A new one must get as much memory as is usual, else it is better to wait: with less it would be full with
    /// its first records, and they are what memory is short of.
    Patient,
    /// As well as it can be done without waiting: a new batch makes do with memory for this record.
    Now,
    /// In a batch of its own, if need be, for which this was charged.
    Charged(Charge),
}

impl From<Option<Charge>> for Turn {
    fn from(charge: Option<Charge>) -> Self {
        charge.map_or(Self::Now, Self::Charged)
    }
}

/// Why a record was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A new batch must be opened and needs so many bytes: charge them, and come again.
    NeedsMemory(usize),
    /// A new batch must be opened, and the sender is behind: let it run, and come again.
    Behind,
    /// The producer is closed.
    Closed,
}

impl Ready {
    /// When the oldest open batch is to be sent though it is not full.
    fn next_due(&self, linger: Duration) -> Option<Instant> {
        let oldest = self.lingering.front()?;
        Some(if self.hurried > 0 { oldest.opened } else { oldest.opened + linger })
    }
}

impl Accumulator {
    pub(crate) fn new(limits: Limits, callbacks: Callbacks) -> Arc<Self> {
        let compressing = Compressing::new(limits.method);
        Arc::new(Self {
            memory: Memory::new(limits.buffer_memory, limits.batch_size),
            limits,
            callbacks,
            outstanding: Arc::default(),
            topics: Topics::new(Arc::clone(&compressing)),
            compressing,
            recorder: Recorder::default(),
            ready: Mutex::default(),
            flushing: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            failed: OnceLock::new(),
            wake: Notify::new(),
        })
    }

    /// The topics that can be appended to.
    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// What is counted of the producer. It stands here because the sender and all that append share nothing else.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// `buffer.memory`.
    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Appends a record, at the time of `clock` where it has none of its own. `callback` is taken only when the record is.
    #[inline]
    pub(crate) fn append(
        &self,
        partition: &Partition,
        timestamp: Option<i64>,
        payload: &Payload<'_>,
        callback: Option<&mut dyn Listener>,
        turn: impl Into<Turn>,
        clock: &impl Clock,
    ) -> Result<Appended, Refused> {
        let max_len = payload.max_len();
        let mut nobody = self.callbacks.has_interceptors().then_some(nothing);
        let callback = match callback {
            Some(callback) => Some(callback as &mut dyn Listener),
            None => listener(&mut nobody),
        };
        let mut queue = partition.lock();
        if queue.closed {
            return Err(Refused::Closed);
        }
        let limit = queue.limit(self.limits.batch_size);
        let telling = callback.as_deref().map_or(0, |callback| callback.cost(queue.open.as_ref().map(Batch::notices)));
        let timestamp = timestamp.unwrap_or_else(|| queue.unix_ms(clock));
        let has_room = |open: &mut Batch| open.reaches(timestamp) && open.make_room(max_len, telling, limit);
        let telling = if queue.open.as_mut().is_some_and(has_room) {
            telling
        } else {
            let alone = callback.as_deref().map_or(0, |callback| callback.cost(None));
            self.reopen(partition, &mut queue, (max_len, alone), timestamp, turn.into(), clock)?;
            alone
        };
        let Some(open) = &mut queue.open else { return Err(Refused::Closed) };
        let before = open.len();
        let accepted = open.append(timestamp, payload, callback, telling);
        let bytes = open.len() - before;
        let filled = open.len() + bytes > limit;
        Ok(Appended { accepted, bytes, filled })
    }

    /// Fixes the open batch's records, and opens another batch, with room for a record of `len` bytes and for `telling` bytes of
    /// who is told of it.
    #[cold]
    fn reopen(
        &self,
        partition: &Partition,
        queue: &mut partition::Queue,
        (len, telling): (usize, usize),
        timestamp: i64,
        turn: Turn,
        clock: &impl Clock,
    ) -> Result<(), Refused> {
        self.seal(partition, queue);
        if matches!(turn, Turn::Polite) && queue.serial.is_multiple_of(TURNS) && self.is_behind() {
            return Err(Refused::Behind);
        }
        let size = (queue.usual_len, queue.limit(self.limits.batch_size));
        let charge = self.charge(size, HEADER_LEN + len, telling, turn)?;
        self.open(partition, queue, charge, timestamp, clock.now());
        Ok(())
    }

    /// Whether so much waits that more would only lie about, and fall out of the processor's caches. Tasks that send in a loop
    /// never give up their thread; on a runtime whose threads all do that, nobody would be left to send what they append.
    fn is_behind(&self) -> bool {
        self.memory.limit() - self.memory.free() > BEHIND
    }

    /// Fixes the open batch's records, if there is one.
    fn seal(&self, partition: &Partition, queue: &mut partition::Queue) {
        if queue.open.is_some() {
            partition.seal(queue);
            // It would have taken more. Else one that could not grow, for want of memory, would keep those behind it small as well.
            queue.usual_len = queue.usual_len.saturating_mul(2).min(self.limits.batch_size);
            if queue.has_next() {
                self.list(partition, queue);
            }
        }
    }

    /// Memory for a new batch, and how much of it is for its buffer: what was charged before, else as much as the last batch
    /// took, if it may be so large, else, for who cannot wait, as little as will do.
    fn charge(
        &self,
        (usual, limit): (usize, usize),
        least: usize,
        telling: usize,
        turn: Turn,
    ) -> Result<(Charge, usize), Refused> {
        let makes_do = matches!(turn, Turn::Now | Turn::Charged(_));
        if let Turn::Charged(charge) = turn
            && charge.bytes() >= least
        {
            let buffer = charge.bytes().saturating_sub(telling).max(least);
            return Ok((charge, buffer));
        }
        let usual = usual.next_power_of_two().clamp(SMALLEST_BUFFER, limit.max(SMALLEST_BUFFER));
        let buffer = if usual >= limit { limit } else { usual }.max(least);
        let charged = |buffer: usize| Some((self.memory.try_charge(buffer + telling)?, buffer));
        // Who has to wait asks for a buffer as it is usual: with less, the batch would be full with its first record, and the next
        // one would wait again. An eighth of all is enough, so that others get something too.
        let worth_waiting = buffer.min(self.memory.limit() / 8).max(least);
        let all = (worth_waiting + telling).min(self.memory.limit());
        let less = || if makes_do { charged(least) } else { None };
        charged(buffer).or_else(less).ok_or(Refused::NeedsMemory(all))
    }

    fn open(
        &self,
        partition: &Partition,
        queue: &mut partition::Queue,
        (charge, buffer): (Charge, usize),
        timestamp: i64,
        now: Instant,
    ) {
        queue.serial += 1;
        let completer = Completer::new(partition.origin.clone(), timestamp, self.callbacks.clone());
        let mut batch = Batch::new(charge, buffer, self.outstanding.enter(), completer, now, queue.serial);
        partition.opened();
        if self.limits.linger.is_zero() {
            batch.due = true;
            queue.open = Some(batch);
            self.list(partition, queue);
            return;
        }
        queue.open = Some(batch);
        let lingering = Lingering { opened: now, slot: partition.slot, serial: queue.serial };
        let mut ready = self.ready();
        ready.lingering.push_back(lingering);
        let first = ready.lingering.len() == 1;
        drop(ready);
        if first || self.in_a_hurry() {
            self.wake();
        }
    }

    /// Tells the sender that the partition has something to take, unless it knows.
    fn list(&self, partition: &Partition, queue: &mut partition::Queue) {
        if !std::mem::replace(&mut queue.listed, true) {
            self.ready().listed.push(partition.slot);
            self.wake();
        }
    }

    /// Moves to `into` the slots of partitions that have a batch to take since the last call.
    pub(crate) fn take_ready(&self, now: Instant, into: &mut Vec<u32>) {
        let hurry = self.in_a_hurry();
        let mut due = Vec::new();
        {
            let mut ready = self.ready();
            into.append(&mut ready.listed);
            while ready.next_due(self.limits.linger).is_some_and(|at| hurry || at <= now) {
                due.extend(ready.lingering.pop_front());
                ready.hurried = ready.hurried.saturating_sub(1);
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

    /// When `take_ready` is to be called again, if nothing wakes the sender before.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.ready().next_due(self.limits.linger)
    }

    /// Whether open batches are to be sent without lingering. Where memory is short and batches wait to be compressed, it is
    /// they that will give memory back; to send what is open would only make more of them, and smaller ones.
    fn in_a_hurry(&self) -> bool {
        let short = || self.memory.waiting() > 0 && !self.compressing.is_busy();
        self.flushing.load(SeqCst) > 0 || self.closed.load(SeqCst) || short()
    }

    /// Waits for memory for a new batch. Meanwhile what is there is sent early.
    ///
    /// Cancel safe.
    pub(crate) async fn wait_for_memory(&self, bytes: usize) -> Result<Charge, Closed> {
        self.memory.charge(bytes, || self.wake()).await
    }

    /// Lets all open batches be sent without lingering, once.
    pub(crate) fn hurry(&self) {
        let mut ready = self.ready();
        ready.hurried = ready.lingering.len();
        drop(ready);
        self.wake();
    }

    /// Waits until all batches that are open or undelivered now are done, and sends them without lingering.
    ///
    /// Cancel safe.
    pub(crate) async fn flush(&self) {
        let _hurry = Counted::new(&self.flushing);
        let generation = self.outstanding.mark();
        self.wake();
        self.outstanding.settled(generation).await;
    }

    /// Batches that are not done.
    pub(crate) fn undelivered(&self) -> usize {
        self.outstanding.count()
    }

    /// Refuses further records. Those that wait can still be taken.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
        self.topics.partitions().iter().for_each(|partition| partition.close());
        self.memory.close();
        self.topics.announce();
        self.wake();
    }

    /// Refuses further records, because the producer cannot go on.
    pub(crate) fn fail(&self, code: ErrorCode, reason: &Arc<str>) {
        self.failed.get_or_init(|| (code, Arc::clone(reason)));
        self.close();
    }

    /// Why the producer cannot go on, if it cannot.
    pub(crate) fn failure(&self) -> Option<&(ErrorCode, Arc<str>)> {
        self.failed.get()
    }

    /// Whether records are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Refuses further records and takes all that wait.
    pub(crate) fn abandon(&self) -> Vec<(Arc<Partition>, SealedBatch)> {
        self.close();
        let of = |partition: Arc<Partition>| {
            partition.abandon().into_iter().map(move |batch| (Arc::clone(&partition), batch))
        };
        self.topics.partitions().into_iter().flat_map(of).collect()
    }

    /// Makes a topic's partitions known; see [`Topics::publish`].
    pub(crate) fn publish(&self, name: &Arc<str>, leaders: &[cluster::Partition], seed: u64) -> Arc<Topic> {
        let topic = self.topics.publish(name, leaders, seed);
        if self.is_closed() {
            topic.partitions.iter().for_each(|partition| partition.close());
        }
        topic
    }

    /// Has the sender look.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until the sender has something to look at.
    ///
    /// Cancel safe.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
