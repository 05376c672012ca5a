//! What benchmarks call of the inside: thin wrappers, no measuring. Not a part of the API, and only there with the feature
//! `bench-internals`.
//!
//! In: plain values. Out: the work of one part, done once. What can be measured through the public API has no wrapper.

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
    delivery::Callbacks,
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

/// The sender's brokers, and what they speak.
const BROKERS: [(i32, u16); 2] = [(1, 9001), (2, 9002)];
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

/// A sender with nothing but memory around it. Two brokers know as many topics as anybody asks for; one of them leads all.
#[derive(Debug)]
pub struct Step {
    sender: Sender,
    accumulator: Arc<Accumulator>,
    now: Instant,
    cluster: Cluster,
    requests: Vec<BenchRequest>,
    answers: Vec<(ConnectionId, Bytes)>,
}

/// What the brokers say of every topic.
#[derive(Debug)]
struct Cluster {
    partitions: i32,
    leader: i32,
    epoch: i32,
    /// How often all topics were created.
    created: u128,
}

/// A request that was not answered yet.
#[derive(Debug)]
struct BenchRequest {
    connection: ConnectionId,
    correlation: i32,
    segments: Vec<Bytes>,
}

impl Step {
    /// The sender knows one topic of so many partitions.
    ///
    /// # Panics
    /// When it does not come to know it.
    #[must_use]
    pub fn new(partitions: i32) -> Self {
        let mut step = Self::among(partitions);
        step.learn(0..1);
        step
    }

    /// The sender is connected, and knows none of the topics, which have so many partitions each.
    ///
    /// # Panics
    /// When it does not connect.
    #[must_use]
    pub fn among(partitions: i32) -> Self {
        let properties = [("linger.ms", "0"), ("buffer.memory", "268435456")];
        let config = ProducerBuilder::new("127.0.0.1:9001").properties(properties).validate().expect("it is valid");
        let config = Arc::new(config);
        let limits = Limits::of(&config);
        let callbacks = Callbacks::threaded(config.interceptors.clone());
        let (accumulator, now) = (Accumulator::new(limits, callbacks), Instant::now());
        let sender = Sender::new(config, Arc::clone(&accumulator), now, 1);
        let cluster = Cluster { partitions, leader: BROKERS[0].0, epoch: 5, created: 1 };
        let mut step = Self { sender, accumulator, now, cluster, requests: Vec::new(), answers: Vec::new() };
        step.settle();
        step
    }

    /// Has the sender learn of these topics, all at once.
    ///
    /// # Panics
    /// When it does not.
    pub fn learn(&mut self, topics: Range<usize>) {
        self.want(topics.clone());
        self.settle();
        assert!(topics.into_iter().all(|number| self.topic(number).is_some()), "all topics are known");
    }

    /// Somebody asks for these topics.
    pub fn want(&self, topics: Range<usize>) {
        topics.for_each(|number| _ = self.accumulator.topics().want(&name(number)));
    }

    /// Time passes.
    pub fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// The other broker leads all partitions from now on. The sender is told when it asks.
    pub const fn move_leaders(&mut self) {
        self.cluster.leader = BROKERS[0].0 + BROKERS[1].0 - self.cluster.leader;
        self.cluster.epoch += 1;
    }

    /// All topics are created anew. The sender is told when it asks.
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

    /// Does what the sender asks for. Requests are kept until they are answered.
    fn act(&mut self, action: Action) {
        match action {
            Action::Connect { connection, .. } => self.event(Event::Connected { connection }),
            Action::Disconnect { connection } => self.requests.retain(|request| request.connection != connection),
            Action::Read { connection } => self.event(Event::Read { connection }),
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

    /// Appends so many records to each partition of the topics that are known.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn fill(&mut self, records: usize, value: &[u8]) {
        for topic in (0..).map_while(|number| self.topic(number)) {
            topic.partitions.iter().for_each(|partition| self.append(partition, records, value));
        }
    }

    /// Appends a record to the first partition of the first topic.
    ///
    /// # Panics
    /// When it does not fit.
    pub fn fill_first(&mut self, value: &[u8]) {
        let topic = self.topic(0).expect("the topic is known");
        self.append(&topic.partitions[0], 1, value);
    }

    fn append(&self, partition: &PartitionQueue, records: usize, value: &[u8]) {
        let payload = Payload::new(None, Some(value), &[]);
        for _ in 0..records {
            let appended = self.accumulator.append(partition, Some(1_000), &payload, None, None, &self.now);
            drop(appended.expect("memory"));
        }
    }

    /// Has the sender look at the time and at what waits, and make requests. Returns how many have no answer.
    pub fn drain(&mut self) -> usize {
        self.event(Event::Woken);
        self.advance();
        self.requests.len()
    }

    /// Writes the brokers' answers: every batch is acknowledged.
    pub fn prepare_answers(&mut self) {
        for request in std::mem::take(&mut self.requests) {
            let frame = self.cluster.answer(&request, &Says::default());
            self.answers.push((request.connection, frame));
        }
    }

    /// Writes answers that acknowledge nothing: the other broker leads.
    pub fn prepare_hints(&mut self) {
        self.move_leaders();
        let leader = Some((self.cluster.leader, self.cluster.epoch));
        let says = Says { error: ErrorCode::NOT_LEADER_OR_FOLLOWER.0, leader, ..Says::default() };
        for request in std::mem::take(&mut self.requests) {
            let frame = self.cluster.answer(&request, &says);
            self.answers.push((request.connection, frame));
        }
    }

    /// Hands the answers to the sender, which takes them over. Returns how many batches have no outcome afterwards.
    pub fn judge(&mut self) -> usize {
        for (connection, frame) in std::mem::take(&mut self.answers) {
            self.event(Event::Frame { connection, frame });
        }
        self.advance();
        self.accumulator.undelivered()
    }

    /// Goes on until nothing is asked any more.
    pub fn settle(&mut self) {
        while self.drain() > 0 {
            self.prepare_answers();
            self.judge();
        }
    }
}

impl Cluster {
    /// The answer to a request. Of batches it says what `says` does.
    fn answer(&self, request: &BenchRequest, says: &Says) -> Bytes {
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

/// An answer to a Produce request, which names each topic once. As Kafka's, it names brokers only beside a leader (KIP-951).
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
