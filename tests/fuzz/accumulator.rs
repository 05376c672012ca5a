//! Operations on the accumulator, in any order.
//!
//! In: a list of operations. Checks: every record that was appended is in exactly one batch, in the order of its
//! partition; the sender is notified of every partition that has a batch; batches do not exceed their size and are
//! charged for their bytes; a flush ends when the batches before it have completed; every record has one outcome; at the
//! end no memory is charged.

use std::{
    collections::{BTreeSet, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::input::Input;
use crate::{
    Delivery,
    accumulator::{Accumulator, Charge, Closed, Held, Limits, PartitionQueue, Refused, SealedBatch},
    cluster,
    delivery::{Accepted, Callbacks, Outcome, listener},
    wire::compression::Method,
    wire::record_batch::{
        HEADER_LEN,
        reader::Batch,
        writer::{Payload, Stamp, stamp},
    },
};

const LINGER: Duration = Duration::from_millis(5);
const PARTITIONS: usize = 3;

type Wait = Pin<Box<dyn Future<Output = Result<Charge, Closed>>>>;
type Flush = Pin<Box<dyn Future<Output = ()>>>;

/// A record that is to be appended: partition, length, whether it has a callback.
#[derive(Clone, Copy)]
struct Draft {
    partition: usize,
    len: usize,
    callbacks: bool,
}

/// The accumulator, and the expected state.
struct Bench {
    accumulator: Arc<Accumulator>,
    limits: Limits,
    now: Instant,
    partitions: Vec<Arc<PartitionQueue>>,
    /// Records that were appended and not taken, by partition.
    queued: Vec<VecDeque<usize>>,
    /// Slots that the sender was notified of.
    listed: BTreeSet<u32>,
    taken: VecDeque<(Vec<usize>, SealedBatch)>,
    deliveries: Vec<Delivery>,
    /// How often each record's callback must run, and the records whose callback has run.
    callbacks: Vec<usize>,
    called: Arc<Mutex<Vec<usize>>>,
    /// Pending flushes, and how many records there were before each.
    flushes: Vec<(usize, Flush)>,
    waits: VecDeque<(Draft, Wait)>,
    next_offset: i64,
}

/// The target.
pub fn accumulator(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = Limits {
        batch_size: input.one_of(&[1, 100, 300, 1_000]),
        linger: input.one_of(&[Duration::ZERO, LINGER]),
        buffer_memory: input.one_of(&[200, 2_000, 100_000]),
        method: Method::NONE,
        rate_window: Duration::from_secs(30),
    };
    let abandons = input.yes();
    let mut bench = Bench::new(limits);
    while !input.is_empty() {
        bench.step(&mut input);
        bench.look();
    }
    bench.end(abandons);
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let accumulator = Accumulator::new(limits, Callbacks::inline(Vec::new()));
        let leaders = [cluster::PartitionMetadata { leader: Some(1), leader_epoch: 0 }; PARTITIONS];
        Self {
            partitions: accumulator.publish(&"orders".into(), &leaders, 1).partitions.to_vec(),
            accumulator,
            limits,
            now: Instant::now(),
            queued: vec![VecDeque::new(); PARTITIONS],
            listed: BTreeSet::new(),
            taken: VecDeque::new(),
            deliveries: Vec::new(),
            callbacks: Vec::new(),
            called: Arc::default(),
            flushes: Vec::new(),
            waits: VecDeque::new(),
            next_offset: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0..=3 => {
                let len = input.one_of(&[0, 1, 20, 80, 150, 300, 1_500]);
                self.append(Draft { partition: input.below(PARTITIONS), len, callbacks: input.yes() }, None);
            }
            4 => self.now += Duration::from_millis(input.one_of(&[1, 4, 5, 20])),
            5 => self.take_ready(),
            6 | 7 => self.take(input.below(PARTITIONS)),
            8 => self.finish(input.below(4), Self::ack),
            9 => self.finish(input.below(4), |_, (_, batch)| drop(batch)),
            10 => self.finish(input.below(4), Self::split),
            11 => self.flush(),
            12 => self.serve_first(),
            13 => drop(self.waits.remove(input.below(4))),
            14 => self.expire(input.below(PARTITIONS), Duration::from_millis(input.one_of(&[0, 5, 20]))),
            _ => match input.below(8) {
                0 => self.accumulator.close(),
                _ => self.accumulator.send_open_batches(),
            },
        }
    }

    fn append(&mut self, draft: Draft, charge: Option<Charge>) {
        let number = self.deliveries.len();
        let mut value = u32::try_from(number).unwrap().to_be_bytes().to_vec();
        value.resize(4 + draft.len, 7);
        let payload = Payload::new(None, Some(&value), &[]);
        let max_len = payload.max_len();
        if HEADER_LEN + max_len > self.limits.buffer_memory {
            return;
        }
        let called = Arc::clone(&self.called);
        let call = move |_| called.lock().unwrap().push(number);
        let mut callback = draft.callbacks.then_some(call);
        let (now, partition) = (self.now, &self.partitions[draft.partition]);
        match self.accumulator.append::<Accepted>(partition, Some(7), &payload, listener(&mut callback), charge, &now) {
            Ok(appended) => {
                assert!(appended.bytes <= max_len && callback.is_none());
                self.deliveries.push(appended.receipt.into());
                self.callbacks.push(usize::from(draft.callbacks));
                self.queued[draft.partition].push_back(number);
            }
            Err(Refused::NeedsMemory(bytes)) => {
                assert!(bytes <= self.limits.buffer_memory);
                let accumulator = Arc::clone(&self.accumulator);
                let mut wait: Wait = Box::pin(async move { accumulator.wait_for_memory(bytes).await });
                match poll(&mut wait) {
                    Some(Ok(charge)) => self.append(draft, Some(charge)),
                    Some(Err(Closed)) => assert!(self.accumulator.is_closed()),
                    None => self.waits.push_back((draft, wait)),
                }
            }
            Err(Refused::Behind) => panic!("no append asked to yield to the sender"),
            Err(Refused::Closed) => assert!(self.accumulator.is_closed()),
        }
    }

    /// The first waiting append gets memory, if there is any.
    fn serve_first(&mut self) {
        let Some((draft, mut wait)) = self.waits.pop_front() else { return };
        match poll(&mut wait) {
            Some(charge) => {
                drop(wait);
                charge.into_iter().for_each(|charge| self.append(draft, Some(charge)));
            }
            None => self.waits.push_front((draft, wait)),
        }
    }

    fn take_ready(&mut self) {
        let mut slots = Vec::new();
        self.accumulator.take_ready(self.now, &mut slots);
        self.listed.extend(slots);
    }

    /// Takes a batch, as the sender does: only from a slot that it was notified of.
    fn take(&mut self, partition: usize) {
        let slot = self.partitions[partition].slot;
        if self.listed.contains(&slot) {
            match self.partitions[partition].take() {
                Some(batch) => self.took(partition, batch),
                None => drop(self.listed.remove(&slot)),
            }
        }
    }

    fn expire(&mut self, partition: usize, age: Duration) {
        let older = self.partitions[partition].take_older(self.now, age);
        older.into_iter().for_each(|batch| self.took(partition, batch));
        if age.is_zero() {
            assert!(self.queued[partition].is_empty(), "every batch is older than zero");
        }
    }

    /// A batch holds the next records of its partition.
    fn took(&mut self, partition: usize, batch: SealedBatch) {
        let mut bytes = batch.bytes.clone();
        stamp(&mut bytes, Stamp::NONE);
        let read = Batch::parse(Bytes::from(bytes)).unwrap();
        let number = |value: Bytes| u32::from_be_bytes(*value.first_chunk().unwrap()) as usize;
        let numbers: Vec<usize> = read.records().unwrap().map(|r| number(r.unwrap().value.unwrap())).collect();
        let expected: Vec<usize> = self.queued[partition].drain(..numbers.len()).collect();
        assert_eq!(numbers, expected);
        assert_eq!(numbers.len(), batch.records as usize);
        assert!(batch.bytes.len() <= self.limits.batch_size || numbers.len() == 1, "{} bytes", batch.bytes.len());
        assert!(batch.held.charge.bytes() >= batch.bytes.len());
        self.taken.push_back((numbers, batch));
    }

    /// Completes a batch by `how`.
    fn finish(&mut self, number: usize, how: fn(&mut Self, (Vec<usize>, SealedBatch))) {
        if let Some(taken) = self.taken.remove(number) {
            let records = taken.0.clone();
            how(self, taken);
            assert!(records.iter().all(|record| self.deliveries[*record].outcome().is_some()));
        }
    }

    fn ack(&mut self, (numbers, batch): (Vec<usize>, SealedBatch)) {
        let base = self.next_offset;
        let outcome = Outcome::Acked { base_offset: Some(base), append_time: None, confirmed: true };
        batch.completer.complete(outcome, Box::new(batch.held));
        for (number, offset) in numbers.iter().zip(base..) {
            assert_eq!(self.deliveries[*number].outcome().unwrap().unwrap().offset(), Some(offset));
            self.next_offset = offset + 1;
        }
    }

    /// Completes a batch in two parts, the second part first.
    fn split(&mut self, (numbers, batch): (Vec<usize>, SealedBatch)) {
        if numbers.len() < 2 {
            return self.ack((numbers, batch));
        }
        let middle = numbers.len() / 2;
        let Held { mut charge, token } = batch.held;
        let parts = batch.completer.split(&[0, u32::try_from(middle).unwrap()]);
        for (part, base) in parts.into_iter().zip([self.next_offset, self.next_offset + 1_000]).rev() {
            let held = Held { charge: charge.split_off(charge.bytes() / 2), token: token.clone() };
            part.complete(
                Outcome::Acked { base_offset: Some(base), append_time: None, confirmed: true },
                Box::new(held),
            );
        }
        let first = self.deliveries[numbers[middle]].outcome().unwrap().unwrap();
        assert_eq!(first.offset(), Some(self.next_offset + 1_000));
        self.next_offset += 2_000;
    }

    fn flush(&mut self) {
        let accumulator = Arc::clone(&self.accumulator);
        let mut flush: Flush = Box::pin(async move { accumulator.flush().await });
        if poll(&mut flush).is_none() {
            self.flushes.push((self.deliveries.len(), flush));
        }
    }

    /// Checks the conditions that hold at any time.
    fn look(&mut self) {
        let memory = self.accumulator.memory();
        assert!(memory.free() <= memory.limit());
        for (records, _) in self.flushes.extract_if(.., |(_, flush)| poll(flush).is_some()) {
            let done = self.deliveries.iter().take(records).all(|delivery| delivery.outcome().is_some());
            assert!(done, "a flush of {records} records ended before they were completed");
        }
        let called = self.called.lock().unwrap();
        assert!(called.iter().all(|number| self.deliveries[*number].outcome().is_some()));
    }

    fn end(mut self, abandons: bool) {
        self.waits.clear();
        if abandons {
            for (partition, batch) in self.accumulator.abandon() {
                self.took(partition.origin.partition as usize, batch);
            }
        } else {
            self.drain();
        }
        assert!(self.queued.iter().all(VecDeque::is_empty), "every record was in a batch");
        while !self.taken.is_empty() {
            self.finish(0, Self::ack);
        }
        self.look();
        assert!(self.flushes.is_empty(), "every flush ends once all records are completed");
        let memory = self.accumulator.memory();
        assert_eq!((memory.free(), self.accumulator.undelivered()), (memory.limit(), 0));
        let mut times = vec![0; self.callbacks.len()];
        self.called.lock().unwrap().iter().for_each(|number| times[*number] += 1);
        assert_eq!(times, self.callbacks, "every callback ran once");
    }

    /// Takes all batches after the linger. The sender must have been notified of every partition with a batch.
    fn drain(&mut self) {
        self.now += LINGER;
        self.take_ready();
        for partition in 0..PARTITIONS {
            while !self.queued[partition].is_empty() {
                assert!(self.listed.contains(&self.partitions[partition].slot), "partition {partition} is forgotten");
                self.take(partition);
            }
        }
    }
}

fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T>>>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
