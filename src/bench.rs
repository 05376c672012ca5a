//! What benchmarks call of the inside: thin wrappers, no measuring. Not a part of the API, and only there with the feature
//! `bench-internals`.
//!
//! In: plain values. Out: the work of one part, done once. What can be measured through the public API has no wrapper.

use std::{hint::black_box, sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    Header, ProducerBuilder,
    accumulator::{Accumulator, Limits, Topic, TopicState},
    cluster::TopicId,
    delivery::Callbacks,
    error::ErrorCode,
    sender::{self, Action, ConnectionId, Event, Facts, Sender},
    wire::{
        compression::Compressor,
        record_batch::{
            reader::Batch,
            writer::{Payload, Stamp, Writer, stamp},
        },
        testing::{self, Says},
    },
};

const TOPIC: &str = "bench";
const TOPIC_ID: TopicId = TopicId::from_u128(7);
/// The sender's one broker, and what it speaks.
const BROKER: (i32, u16) = (1, 9001);
const SPOKEN: [(i16, i16, i16); 4] = [(0, 0, 12), (3, 0, 13), (18, 0, 4), (22, 0, 5)];

/// Writes the same record so many times into one batch that begins in `buffer`, whose capacity is used.
#[must_use]
pub fn write_batch(
    mut buffer: Vec<u8>,
    records: u32,
    key: Option<&[u8]>,
    value: &[u8],
    headers: &[Header<'_>],
) -> Vec<u8> {
    buffer.resize(buffer.capacity(), 0);
    let mut writer = Writer::new(buffer);
    for timestamp in 0..i64::from(records) {
        let payload = Payload::new(key, Some(value), headers);
        writer.append(timestamp, black_box(&payload));
    }
    writer.finish().unwrap_or_default()
}

/// Puts producer id, sequence and checksum into a batch.
pub fn stamp_batch(batch: &mut [u8]) {
    stamp(batch, Stamp { producer_id: 7, epoch: 0, base_sequence: 0 });
}

/// Compresses one batch after the other.
pub struct Compressing(Compressor);

impl Compressing {
    /// With a codec as `compression.type` names it, at its usual level.
    ///
    /// # Panics
    /// When this build has not got it.
    #[must_use]
    pub fn new(codec: &str) -> Self {
        let config = ProducerBuilder::new("127.0.0.1:9001").property("compression.type", codec).validate();
        Self(Compressor::new(Limits::of(&config.expect("it is built in")).method))
    }

    /// The batch, compressed; `None` if it would not become shorter.
    pub fn compress(&mut self, batch: &[u8]) -> Option<Vec<u8>> {
        self.0.compress(batch)
    }
}

/// Reads a batch and all its records. Returns how many they are.
#[must_use]
pub fn read_batch(bytes: Bytes) -> usize {
    let batch = Batch::parse(bytes).ok().filter(|batch| batch.check_crc().is_ok());
    batch.and_then(|batch| batch.records().ok()).map_or(0, |records| records.filter(|r| black_box(r).is_ok()).count())
}

/// The hash of a key.
#[must_use]
pub fn murmur2(key: &[u8]) -> u32 {
    crate::record::murmur2::murmur2(key)
}

/// Judges an error code. Returns whether the batch would be sent again.
#[must_use]
pub fn would_retry(code: i16) -> bool {
    let facts =
        Facts { idempotent: true, records: 100, waited_for: true, may_retry: true, first: true, maybe_written: false };
    matches!(sender::verdict(ErrorCode(code), facts), sender::Verdict::Retry { .. })
}

/// A sender, connected to one broker that leads all partitions, with nothing but memory around it.
#[derive(Debug)]
pub struct Step {
    sender: Sender,
    accumulator: Arc<Accumulator>,
    now: Instant,
    partitions: i32,
    requests: Vec<(ConnectionId, i32, Vec<Bytes>)>,
    answers: Vec<(ConnectionId, Bytes)>,
}

impl Step {
    /// A topic of so many partitions.
    ///
    /// # Panics
    /// When the sender does not come to know it.
    #[must_use]
    pub fn new(partitions: i32) -> Self {
        let properties = [("linger.ms", "0"), ("buffer.memory", "268435456")];
        let config = ProducerBuilder::new("127.0.0.1:9001").properties(properties).validate().expect("it is valid");
        let config = Arc::new(config);
        let limits = Limits::of(&config);
        let callbacks = Callbacks::threaded(config.interceptors.clone());
        let (accumulator, now) = (Accumulator::new(limits, callbacks), Instant::now());
        accumulator.topics().want(TOPIC);
        let sender = Sender::new(config, Arc::clone(&accumulator), now, 1);
        let mut step = Self { sender, accumulator, now, partitions, requests: Vec::new(), answers: Vec::new() };
        step.drain();
        step
    }

    /// Does what the sender asks for. Produce requests are kept, all others answered.
    fn act(&mut self, action: Action) {
        match action {
            Action::Connect { connection, .. } => self.event(Event::Connected { connection }),
            Action::Disconnect { .. } | Action::Read { .. } => {}
            Action::Send { connection, correlation, segments, .. } => {
                let at = |i: usize| i16::from_be_bytes([segments[0][i], segments[0][i + 1]]);
                match at(4) {
                    0 => self.requests.push((connection, correlation, segments)),
                    key => {
                        let frame = introduction(key, at(6), correlation, self.partitions);
                        self.event(Event::Frame { connection, frame });
                    }
                }
            }
        }
    }

    fn topic(&self) -> Option<Arc<Topic>> {
        match self.accumulator.topics().state(TOPIC) {
            Some(TopicState::Ready(topic)) => Some(topic),
            _ => None,
        }
    }

    fn event(&mut self, event: Event) {
        self.sender.handle_event(self.now, event);
    }

    /// Appends so many records to each partition.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn fill(&mut self, records: usize, value: &[u8]) {
        let topic = self.topic().expect("the topic is known");
        let payload = Payload::new(None, Some(value), &[]);
        for partition in &topic.partitions {
            for _ in 0..records {
                let appended = self.accumulator.append(partition, Some(1_000), &payload, None, None, &self.now);
                drop(appended.expect("memory"));
            }
        }
    }

    /// Has the sender take what waits, and make requests of it. Returns how many.
    pub fn drain(&mut self) -> usize {
        self.event(Event::Woken);
        while let Some(action) = self.sender.poll_action(self.now) {
            self.act(action);
        }
        self.requests.len()
    }

    /// Writes the broker's answers: everything is acknowledged.
    pub fn prepare_answers(&mut self) {
        for (connection, correlation, segments) in self.requests.drain(..) {
            let (_, batches) = testing::read_produce(&segments);
            let says: Vec<_> =
                batches.iter().map(|batch| Says { partition: batch.partition, ..Says::default() }).collect();
            let frame = testing::produce(12, correlation, (TOPIC, TOPIC_ID), &says, &[]);
            self.answers.push((connection, frame));
        }
    }

    /// Hands the answers to the sender, which judges each batch. Returns how many batches have no outcome afterwards.
    pub fn judge(&mut self) -> usize {
        for (connection, frame) in std::mem::take(&mut self.answers) {
            self.event(Event::Frame { connection, frame });
        }
        while let Some(action) = self.sender.poll_action(self.now) {
            self.act(action);
        }
        self.accumulator.undelivered()
    }
}

fn introduction(key: i16, version: i16, correlation: i32, partitions: i32) -> Bytes {
    let leaders = (0..partitions).map(|partition| (partition, BROKER.0, 5)).collect();
    match key {
        3 => testing::metadata(version, correlation, &[BROKER], &[(TOPIC, TOPIC_ID, 0, leaders)]),
        18 => testing::api_versions(version, correlation, 0, &SPOKEN),
        _ => testing::init_producer_id(version, correlation, 0, 7),
    }
}
