//! Thin wrappers around internals, for benchmarks. Not a part of the API, and only with the feature `bench-internals`.
//!
//! In: plain values. Out: the work of one part, done once. Parts that the public API can measure have no wrapper.

use std::{
    hint::black_box,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    Header, ProducerBuilder,
    accumulator::{Accumulator, Limits, PartitionQueue, ReadyTopic, TopicState},
    cluster::TopicId,
    delivery::{Accepted, Callbacks},
    error::ErrorCode,
    sender::{self, Action, ConnectionId, Event, Facts, Sender},
    wire::{
        compression::Compressor,
        record_batch::{
            reader::Batch,
            writer::{Payload, Stamp, Writer, stamp},
        },
        testing::{self, Says, SentBatch},
    },
};

/// The sender's brokers, and the versions that they support.
const BROKERS: [(i32, u16); 2] = [(1, 9001), (2, 9002)];
const SPOKEN: [(i16, i16, i16); 4] = [(0, 0, 12), (3, 0, 13), (18, 0, 4), (22, 0, 5)];

/// Writes the same record `records` times into one batch in `buffer`, whose capacity is reused.
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

/// Stamps producer id, sequence and checksum into a batch.
pub fn stamp_batch(batch: &mut [u8]) {
    stamp(batch, Stamp { producer_id: 7, epoch: 0, base_sequence: 0 });
}

/// Compresses batches.
pub struct Compressing(Compressor);

impl Compressing {
    /// A compressor with a codec of `compression.type`, at its default level.
    ///
    /// # Panics
    /// If this build does not have the codec.
    #[must_use]
    pub fn new(codec: &str) -> Self {
        let config = ProducerBuilder::new("127.0.0.1:9001").property("compression.type", codec).validate();
        Self(Compressor::new(Limits::of(&config.expect("it is built in")).method))
    }

    /// The compressed batch. `None` if it would not become shorter.
    pub fn compress(&mut self, batch: &[u8]) -> Option<Vec<u8>> {
        self.0.compress(batch)
    }
}

/// Reads a batch and all its records. Returns how many there are.
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

/// Looks an error code up. Returns whether the batch would be sent again.
#[must_use]
pub fn would_retry(code: i16) -> bool {
    let facts =
        Facts { idempotent: true, records: 100, waited_for: true, may_retry: true, first: true, maybe_written: false };
    matches!(sender::verdict(ErrorCode(code), facts), sender::Verdict::Retry { .. })
}

/// A sender without sockets. Two brokers know every requested topic, and one of them leads all partitions.
#[derive(Debug)]
pub struct Step {
    sender: Sender,
    accumulator: Arc<Accumulator>,
    now: Instant,
    cluster: FakeCluster,
    requests: Vec<BenchRequest>,
    responses: Vec<(ConnectionId, Bytes)>,
}

/// The brokers' metadata of every topic.
#[derive(Debug)]
struct FakeCluster {
    partitions: i32,
    leader: i32,
    epoch: i32,
    /// How often all topics were created.
    created: u128,
}

/// A request without a response.
#[derive(Debug)]
struct BenchRequest {
    connection: ConnectionId,
    correlation: i32,
    segments: Vec<Bytes>,
}

impl Step {
    /// A sender that knows one topic with this many partitions.
    ///
    /// # Panics
    /// If the sender does not learn of the topic.
    #[must_use]
    pub fn new(partitions: i32) -> Self {
        let mut step = Self::among(partitions);
        step.learn(0..1);
        step
    }

    /// A sender that is connected and knows no topic yet. Each topic has this many partitions.
    ///
    /// # Panics
    /// If the sender does not connect.
    #[must_use]
    pub fn among(partitions: i32) -> Self {
        let properties = [("linger.ms", "0"), ("buffer.memory", "268435456")];
        let config = ProducerBuilder::new("127.0.0.1:9001").properties(properties).validate().expect("it is valid");
        let config = Arc::new(config);
        let limits = Limits::of(&config);
        let callbacks = Callbacks::threaded(config.interceptors.clone());
        let (accumulator, now) = (Accumulator::new(limits, callbacks), Instant::now());
        let sender = Sender::new(config, Arc::clone(&accumulator), now, 1);
        let cluster = FakeCluster { partitions, leader: BROKERS[0].0, epoch: 5, created: 1 };
        let mut step = Self { sender, accumulator, now, cluster, requests: Vec::new(), responses: Vec::new() };
        step.settle();
        step
    }

    /// Has the sender learn of these topics, all at once.
    ///
    /// # Panics
    /// If it does not.
    pub fn learn(&mut self, topics: Range<usize>) {
        self.want(topics.clone());
        self.settle();
        assert!(topics.into_iter().all(|number| self.topic(number).is_some()), "all topics are known");
    }

    /// Requests metadata of these topics.
    pub fn want(&self, topics: Range<usize>) {
        topics.for_each(|number| _ = self.accumulator.topics().want(&name(number)));
    }

    /// Advances the time.
    pub fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Moves the leadership of all partitions to the other broker. The sender learns of it with its next metadata.
    pub const fn move_leaders(&mut self) {
        self.cluster.leader = BROKERS[0].0 + BROKERS[1].0 - self.cluster.leader;
        self.cluster.epoch += 1;
    }

    /// Creates all topics anew. The sender learns of it with its next metadata.
    pub const fn recreate(&mut self) {
        self.cluster.created += 1;
    }

    fn topic(&self, number: usize) -> Option<Arc<ReadyTopic>> {
        match self.accumulator.topics().state(&name(number)) {
            Some(TopicState::Ready(topic)) => Some(topic),
            _ => None,
        }
    }

    fn event(&mut self, event: Event) {
        self.sender.handle_event(self.now, event);
    }

    /// Performs the sender's actions. Keeps its requests until they get a response.
    fn act(&mut self, action: Action) {
        match action {
            Action::Connect { connection, .. } => self.event(Event::Connected { connection }),
            Action::Disconnect { connection } => self.requests.retain(|request| request.connection != connection),
            Action::Read { connection } => self.event(Event::Read { connection }),
            Action::RenewToken => {}
            Action::Send { connection, correlation, segments, .. } => {
                self.requests.push(BenchRequest { connection, correlation, segments });
            }
        }
    }

    fn advance(&mut self) {
        while let Some(action) = self.sender.poll_action(self.now) {
            self.act(action);
        }
    }

    /// Appends this many records to each partition of all known topics.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn fill(&mut self, records: usize, value: &[u8]) {
        for topic in (0..).map_while(|number| self.topic(number)) {
            topic.partitions.iter().for_each(|partition| self.append(partition, records, value));
        }
    }

    /// Appends a record to the first partition of the first topic.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn fill_first(&mut self, value: &[u8]) {
        let topic = self.topic(0).expect("the topic is known");
        self.append(&topic.partitions[0], 1, value);
    }

    fn append(&self, partition: &PartitionQueue, records: usize, value: &[u8]) {
        let payload = Payload::new(None, Some(value), &[]);
        for _ in 0..records {
            let appended = self.accumulator.append::<Accepted>(partition, Some(1_000), &payload, None, None, &self.now);
            drop(appended.expect("memory"));
        }
    }

    /// Has the sender handle timeouts and ready batches, and make requests. Returns how many requests have no response.
    pub fn drain(&mut self) -> usize {
        self.event(Event::Woken);
        self.advance();
        self.requests.len()
    }

    /// Writes the responses that acknowledge every batch.
    pub fn prepare_answers(&mut self) {
        for request in std::mem::take(&mut self.requests) {
            let frame = self.cluster.respond(&request, &Says::default());
            self.responses.push((request.connection, frame));
        }
    }

    /// Writes responses with `NOT_LEADER_OR_FOLLOWER`: the other broker leads.
    pub fn prepare_hints(&mut self) {
        self.move_leaders();
        let leader = Some((self.cluster.leader, self.cluster.epoch));
        let says = Says { error: ErrorCode::NOT_LEADER_OR_FOLLOWER.0, leader, ..Says::default() };
        for request in std::mem::take(&mut self.requests) {
            let frame = self.cluster.respond(&request, &says);
            self.responses.push((request.connection, frame));
        }
    }

    /// Passes the responses to the sender. Returns how many batches have no outcome after that.
    pub fn judge(&mut self) -> usize {
        for (connection, frame) in std::mem::take(&mut self.responses) {
            self.event(Event::Frame { connection, frame });
        }
        self.advance();
        self.accumulator.undelivered()
    }

    /// Continues until the sender makes no more requests.
    pub fn settle(&mut self) {
        while self.drain() > 0 {
            self.prepare_answers();
            self.judge();
        }
    }
}

impl FakeCluster {
    /// The response to a request. `says` gives the result of its batches.
    fn respond(&self, request: &BenchRequest, says: &Says) -> Bytes {
        let BenchRequest { correlation, segments, .. } = request;
        let at = |i: usize| i16::from_be_bytes([segments[0][i], segments[0][i + 1]]);
        let (key, version, correlation) = (at(4), at(6), *correlation);
        match key {
            0 => produced(version, correlation, segments, says),
            3 => self.metadata(version, correlation, &testing::read_metadata(segments)),
            18 => testing::api_versions(version, correlation, 0, &SPOKEN),
            _ => testing::init_producer_id(version, correlation, 0, 7),
        }
    }

    fn metadata(&self, version: i16, correlation: i32, topics: &[String]) -> Bytes {
        let leaders = || (0..self.partitions).map(|partition| (partition, self.leader, self.epoch)).collect();
        let id = |name: &str| TopicId::from_u128(self.created << 64 | number(name));
        let topics: Vec<_> = topics.iter().map(|name| (&**name, id(name), 0, leaders())).collect();
        testing::metadata(version, correlation, &BROKERS, &topics)
    }
}

/// A Produce response that names each topic once. As Kafka's, it names brokers only if it names a leader (KIP-951).
fn produced(version: i16, correlation: i32, segments: &[Bytes], says: &Says) -> Bytes {
    let (_, batches) = testing::read_produce(segments);
    let topics = batches.chunk_by(|a, b| a.topic == b.topic);
    let say = |batch: &SentBatch| Says { partition: batch.partition, ..says.clone() };
    let said: Vec<(_, Vec<_>)> =
        topics.map(|batches| (&*batches[0].topic, batches.iter().map(say).collect())).collect();
    let said: Vec<_> = said.iter().map(|(topic, says)| (*topic, TopicId::nil(), &**says)).collect();
    let brokers: &[_] = if says.leader.is_some() { &BROKERS } else { &[] };
    testing::produce_topics(version, correlation, &said, brokers)
}

fn name(number: usize) -> String {
    format!("bench-{number:05}")
}

fn number(name: &str) -> u128 {
    name.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().expect("one of ours")
}
