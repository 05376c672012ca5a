//! Everything outside the sender, by script. Like a real broker's, the responses of a connection come in the order of its
//! requests: what is asked behind a Produce request waits for the test to answer that one.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    Ack, DeliveryError, ProducerBuilder,
    accumulator::{Accumulator, Limits, MetadataFailure, TopicState},
    cluster::TopicId,
    delivery::{Accepted, Callbacks, Delivery},
    metrics::{Gauges, Metrics},
    sender::{Action, ConnectionId, Event, Sender},
    wire::{
        compression::Compressor,
        record_batch::writer::Payload,
        testing::{self, SentBatch},
    },
};

pub(super) use crate::wire::testing::Says;

pub(super) const TOPIC: &str = "orders";
pub(super) const TOPIC_ID: TopicId = TopicId::from_u128(7);

/// A Produce request that was not answered.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) connection: ConnectionId,
    pub(super) correlation: i32,
    pub(super) node: i32,
    pub(super) acks: i16,
    pub(super) batches: Vec<SentBatch>,
}

impl Sent {
    /// Partition, epoch and first sequence number of each batch.
    pub(super) fn stamps(&self) -> Vec<(i32, i16, i32)> {
        self.batches.iter().map(|batch| (batch.partition, batch.stamp.epoch, batch.stamp.base_sequence)).collect()
    }
}

/// The sender with everything around it.
pub(super) struct Rig {
    pub(super) sender: Sender,
    pub(super) accumulator: Arc<Accumulator>,
    pub(super) now: Instant,
    /// Produce requests, oldest first.
    pub(super) sent: Vec<Sent>,
    /// `(partition, leader, epoch)` as metadata responses tell it.
    pub(super) leaders: Vec<(i32, i32, i32)>,
    pub(super) brokers: Vec<(i32, u16)>,
    pub(super) topic_error: i16,
    /// What metadata responses say instead of all else, if not 0.
    pub(super) metadata_error: i16,
    pub(super) topic_id: TopicId,
    /// The next producer id; the error that InitProducerId responses with.
    pub(super) producer_id: i64,
    pub(super) init_error: i16,
    /// What brokers respond to SaslHandshake and SaslAuthenticate, and for how long they know a client then, in milliseconds.
    pub(super) handshake_error: i16,
    pub(super) sasl_error: i16,
    pub(super) session_ms: i64,
    /// The messages of SaslAuthenticate requests.
    pub(super) sasl_messages: usize,
    /// How often another token was asked for.
    pub(super) renewals: usize,
    /// Version ranges as brokers tell them.
    pub(super) ranges: Vec<(i16, i16, i16)>,
    /// Names of APIs whose requests stay without a response.
    pub(super) mute: Vec<i16>,
    pub(super) disconnected: Vec<ConnectionId>,
    /// Connections that are open, with their ports.
    pub(super) open: Vec<(ConnectionId, u16)>,
    pub(super) dials: usize,
    /// Ports that refuse connections.
    pub(super) refuses: Vec<u16>,
    /// Whether they do so because of a certificate.
    pub(super) refuses_tls: bool,
    /// Ports where connections are neither made nor refused.
    pub(super) silent: Vec<u16>,
    pub(super) metadata_requests: usize,
    /// Frames that have come and were not read.
    pub(super) unread: Vec<(ConnectionId, Bytes)>,
    /// Whether connections are read when the sender asks for it.
    pub(super) reads: bool,
    /// By connection, what has no response yet: Produce requests, and what came in behind them.
    queues: HashMap<ConnectionId, VecDeque<Asked>>,
}

/// A request that will be answered in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// By the test.
    Produce { correlation: i32 },
    /// By the rig.
    Other { key: i16, version: i16, correlation: i32 },
}

impl Rig {
    /// An idempotent producer with these properties, and a cluster of brokers 1 and 2 that lead partitions 0 and 1.
    pub(super) fn new(properties: &[(&str, &str)]) -> Self {
        let builder = ProducerBuilder::new("127.0.0.1:9000").properties([("linger.ms", "0")]);
        let config = Arc::new(builder.properties(properties.iter().copied()).validate().unwrap());
        let limits = Limits::of(&config);
        let accumulator = Accumulator::new(limits, Callbacks::inline(Vec::new()));
        let now = Instant::now();
        Self {
            sender: Sender::new(config, Arc::clone(&accumulator), now, 1),
            accumulator,
            now,
            sent: Vec::new(),
            leaders: vec![(0, 1, 5), (1, 2, 5)],
            brokers: vec![(1, 9001), (2, 9002)],
            topic_error: 0,
            metadata_error: 0,
            topic_id: TOPIC_ID,
            producer_id: 100,
            init_error: 0,
            handshake_error: 0,
            sasl_error: 0,
            session_ms: 0,
            sasl_messages: 0,
            renewals: 0,
            ranges: vec![(0, 0, 12), (3, 0, 13), (17, 0, 1), (18, 0, 4), (22, 0, 5), (36, 0, 2)],
            mute: Vec::new(),
            disconnected: Vec::new(),
            open: Vec::new(),
            dials: 0,
            refuses: Vec::new(),
            refuses_tls: false,
            silent: Vec::new(),
            metadata_requests: 0,
            unread: Vec::new(),
            reads: true,
            queues: HashMap::new(),
        }
    }

    /// The same, connected and with the topic known.
    pub(super) fn ready(properties: &[(&str, &str)]) -> Self {
        let mut rig = Self::new(properties);
        rig.accumulator.topics().want(TOPIC);
        rig.run();
        assert!(matches!(rig.accumulator.topics().state(TOPIC), Some(TopicState::Ready(_))));
        rig
    }

    /// Lets the sender do all that it can do now.
    pub(super) fn run(&mut self) {
        self.event(Event::Woken);
        for _ in 0..10_000 {
            let Some(action) = self.sender.poll_action(self.now) else { return };
            self.act(action);
        }
        panic!("the sender does not come to rest");
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect { connection, port, .. } => {
                self.dials += 1;
                if self.refuses.contains(&port) {
                    let is_refused = self.refuses_tls;
                    let why = "refused".into();
                    self.event(Event::Disconnected { connection, why, written: None, is_refused });
                } else if !self.silent.contains(&port) {
                    self.open.push((connection, port));
                    self.event(Event::Connected { connection });
                }
            }
            Action::Read { connection } if self.reads => self.read(connection),
            Action::Read { .. } => {}
            Action::RenewToken => self.renewals += 1,
            Action::Disconnect { connection } => {
                self.disconnected.push(connection);
                self.close(connection);
            }
            Action::Send { connection, correlation, segments, answered } => {
                self.request(connection, correlation, &segments, answered);
            }
        }
    }

    /// What waits unread on a connection is told, and then that it has been read.
    fn read(&mut self, connection: ConnectionId) {
        let (read, later) = self.unread.drain(..).partition(|(of, _)| *of == connection);
        self.unread = later;
        for (connection, frame) in read {
            self.event(Event::Frame { connection, frame });
        }
        self.event(Event::Read { connection });
    }

    fn close(&mut self, connection: ConnectionId) {
        self.open.retain(|(open, _)| *open != connection);
        self.sent.retain(|sent| sent.connection != connection);
        self.queues.remove(&connection);
    }

    fn request(&mut self, connection: ConnectionId, correlation: i32, segments: &[Bytes], answered: bool) {
        let (key, version) = (
            i16::from_be_bytes([segments[0][4], segments[0][5]]),
            i16::from_be_bytes([segments[0][6], segments[0][7]]),
        );
        if key == 0 {
            let port = self.open.iter().find(|(open, _)| *open == connection).map_or(0, |(_, port)| *port);
            let node = i32::from(port) - 9000;
            let (acks, batches) = testing::read_produce(segments);
            self.sent.push(Sent { connection, correlation, node, acks, batches });
            if answered {
                self.queues.entry(connection).or_default().push_back(Asked::Produce { correlation });
            }
            return;
        }
        self.metadata_requests += usize::from(key == 3);
        if !self.mute.contains(&key) {
            self.queues.entry(connection).or_default().push_back(Asked::Other { key, version, correlation });
            self.answer_in_turn(connection);
        }
    }

    /// Answers what is not Produce, up to the first Produce request that has no response.
    fn answer_in_turn(&mut self, connection: ConnectionId) {
        while let Some(&Asked::Other { key, version, correlation }) =
            self.queues.get(&connection).and_then(VecDeque::front)
        {
            self.queues.get_mut(&connection).and_then(VecDeque::pop_front);
            self.answer_other(connection, key, version, correlation);
        }
    }

    fn answer_other(&mut self, connection: ConnectionId, key: i16, version: i16, correlation: i32) {
        let topic = (TOPIC, self.topic_id, self.topic_error, self.leaders.clone());
        let frame = match key {
            3 => match self.metadata_error {
                0 => testing::metadata(version, correlation, &self.brokers, &[topic]),
                error => testing::metadata_error(version, correlation, error),
            },
            17 => testing::sasl_handshake(version, correlation, self.handshake_error, &["SCRAM-SHA-256"]),
            36 => {
                self.sasl_messages += 1;
                testing::sasl_authenticate(version, correlation, self.sasl_error, self.session_ms)
            }
            18 => testing::api_versions(version, correlation, 0, &self.ranges),
            22 => {
                self.producer_id += 1;
                testing::init_producer_id(version, correlation, self.init_error, self.producer_id)
            }
            other => panic!("request {other}"),
        };
        self.event(Event::Frame { connection, frame });
    }

    /// Why callers cannot have metadata, if that is so.
    pub(super) fn metadata_failure(&self) -> Option<MetadataFailure> {
        self.accumulator.topics().known().metadata_failure.clone()
    }

    /// What was counted until now.
    pub(super) fn metrics(&self) -> Metrics {
        let gauges = Gauges { buffer_total: 0, buffer_free: 0, waiting: 0, undelivered: 0 };
        Metrics::take(self.accumulator.recorder(), gauges, &"rig".into(), self.now)
    }

    /// Compresses all that waits for it.
    pub(super) fn compress(&mut self) {
        let mut compressor = Compressor::new(self.accumulator.method());
        while self.accumulator.compress_one(&mut compressor) {}
        self.event(Event::Woken);
        self.run();
    }

    pub(super) fn event(&mut self, event: Event) {
        self.sender.handle_event(self.now, event);
    }

    /// Lets time pass, waking the sender whenever it wants to be woken.
    pub(super) fn pass(&mut self, time: Duration) {
        self.run();
        let until = self.now + time;
        for _ in 0..100_000 {
            let at = self.sender.poll_timeout().unwrap_or(until).max(self.now);
            if at > until {
                self.now = until;
                return;
            }
            self.now = at;
            self.sender.handle_timeout(at);
            self.run();
        }
        panic!("the sender spins");
    }

    pub(super) fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    /// Appends a record and lets the sender send it.
    pub(super) fn send(&mut self, partition: usize, value: &str) -> Delivery {
        let delivery = self.append(partition, value);
        self.run();
        delivery
    }

    /// As `send`, for a record whose outcome the test does not look at.
    pub(super) fn push(&mut self, partition: usize, value: &str) {
        drop(self.send(partition, value));
    }

    /// As `append`, for a record whose outcome the test does not look at.
    pub(super) fn fill(&mut self, partition: usize, value: &str) {
        drop(self.append(partition, value));
    }

    /// Appends a record.
    pub(super) fn append(&mut self, partition: usize, value: &str) -> Delivery {
        self.append_with(partition, value, 1_000)
    }

    /// Appends a record with this timestamp.
    pub(super) fn append_at(&mut self, partition: usize, timestamp: i64) -> Delivery {
        self.append_with(partition, "some value", timestamp)
    }

    fn append_with(&mut self, partition: usize, value: &str, timestamp: i64) -> Delivery {
        let Some(TopicState::Ready(topic)) = self.accumulator.topics().state(TOPIC) else {
            panic!("topic is not known")
        };
        let payload = Payload::new(None, Some(value.as_bytes()), &[]);
        let (queue, timestamp) = (&topic.partitions[partition], Some(timestamp));
        self.accumulator.append::<Accepted>(queue, timestamp, &payload, None, None, &self.now).unwrap().receipt.into()
    }

    /// Takes the oldest request that is not answered.
    pub(super) fn take(&mut self) -> Sent {
        assert!(!self.sent.is_empty(), "no request was sent");
        self.sent.remove(0)
    }

    /// Answers a request.
    pub(super) fn respond(&mut self, sent: &Sent, says: &[Says]) {
        self.answer_from(sent, says, &[]);
    }

    /// Answers a request and tells addresses of brokers with it.
    pub(super) fn answer_from(&mut self, sent: &Sent, says: &[Says], brokers: &[(i32, u16)]) {
        let version = self.ranges.iter().find(|(key, ..)| *key == 0).map_or(12, |(.., max)| *max);
        let frame = testing::produce(version, sent.correlation, (TOPIC, self.topic_id), says, brokers);
        self.event(Event::Frame { connection: sent.connection, frame });
        if let Some(queue) = self.queues.get_mut(&sent.connection) {
            queue.retain(|asked| *asked != Asked::Produce { correlation: sent.correlation });
        }
        self.answer_in_turn(sent.connection);
        self.run();
    }

    /// Answers all batches of a request with one error code; offsets count from `base_offset`.
    pub(super) fn answer_all(&mut self, sent: &Sent, error: i16, base_offset: i64) {
        let mut next = base_offset;
        let mut says = Vec::new();
        for batch in &sent.batches {
            let base_offset = if error == 0 { next } else { -1 };
            says.push(Says { partition: batch.partition, error, base_offset, ..Says::default() });
            next += batch.values.len() as i64;
        }
        self.respond(sent, &says);
    }

    /// The oldest request is answered with success.
    pub(super) fn ack(&mut self, base_offset: i64) -> Sent {
        let sent = self.take();
        self.answer_all(&sent, 0, base_offset);
        sent
    }

    /// The oldest request is answered with an error.
    pub(super) fn refuse(&mut self, error: i16) -> Sent {
        let sent = self.take();
        self.answer_all(&sent, error, -1);
        sent
    }

    /// A broker asks not to be sent to for so long.
    pub(super) fn throttle(&mut self, broker: i32, throttle_ms: i32) {
        self.sender.common.now = self.now;
        self.sender.links.throttle(broker, throttle_ms, &mut self.sender.common);
    }

    /// A connection breaks after the request `written` went out whole; `i32::MAX` stands for the last one.
    pub(super) fn cut(&mut self, connection: ConnectionId, written: Option<i32>) {
        let node = self.sender.links.nodes.values().find(|node| node.connection() == Some(connection));
        let last = node.and_then(|node| node.in_flight.back()).map(|request| request.correlation);
        let written = if written == Some(i32::MAX) { last } else { written };
        self.close(connection);
        self.event(Event::Disconnected { connection, why: "cut".into(), written, is_refused: false });
        self.run();
    }
}

/// The offset that a delivery was acknowledged at.
pub(super) fn offset(delivery: &Delivery) -> Option<i64> {
    outcome(delivery).expect("acknowledged").offset()
}

/// How a delivery failed.
pub(super) fn failure(delivery: &Delivery) -> DeliveryError {
    outcome(delivery).expect_err("failed")
}

fn outcome(delivery: &Delivery) -> Result<Ack, DeliveryError> {
    delivery.outcome().expect("an outcome")
}

/// Whether a delivery has no outcome yet.
pub(super) fn is_pending(delivery: &Delivery) -> bool {
    delivery.outcome().is_none()
}
