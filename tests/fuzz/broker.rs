//! Requests to the embedded broker's pure state, valid, damaged and arbitrary, and faults between them.
//!
//! Checks: every response has its length and its request's correlation id; logs have no holes; and unless the broker
//! lost its producer state, the sequence numbers of a producer rise without gaps.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{input::Input, members};
use crate::{
    SaslMechanism,
    broker::{Api, EmbeddedBroker, Fault, Pending, Polled, Session, State},
    cluster::TopicId,
    error::ErrorCode,
    wire::{
        apis::{
            Caller, api_versions,
            create_topics::CreateTopic,
            fetch::Fetch,
            init_producer_id,
            list_offsets::AskOffset,
            metadata,
            produce::{self, Head, PartitionBatch},
            request::Request,
            sasl_authenticate, sasl_handshake,
        },
        record_batch::writer::{Payload, Stamp, Writer, stamp},
    },
};

const NODES: usize = 3;
const TOPICS: [&str; 3] = ["orders", "payments", "nobody"];
/// The APIs that are served, and some that are not.
const KEYS: [i16; 24] = [0, 1, 2, 3, 17, 18, 19, 22, 32, 36, 4, -1, 10, 11, 12, 13, 14, 8, 9, 15, 16, 42, 47, 20];
/// The id of the first topic; the others have the following ids.
const FIRST_ID: u128 = u128::from_be_bytes(*b"milena topic\0\0\0\0") + 1;
const PASSWORD: &str = "pencil";
const MOST_HELD: usize = 16;

struct Bench {
    state: State,
    session: Session,
    now_ms: i64,
    correlation: i32,
    held: Vec<(i32, Pending)>,
    /// Whether the broker may lose producer state and records: then fewer conditions hold.
    forgets: bool,
}

/// The target.
pub fn broker(data: &[u8]) {
    let broker = EmbeddedBroker::builder().nodes(NODES).topic("orders", 2).topic("payments", 1);
    let mut input = Input::new(data);
    // Else every request is served, and those that authenticate are refused.
    let broker =
        if input.byte() % 8 == 7 { broker.user("alice", PASSWORD).sasl([SaslMechanism::Plain]) } else { broker };
    let state = broker.topic_default("max.message.bytes", "1000").state(&[9_001, 9_002, 9_003]).unwrap();
    let mut bench = Bench {
        state,
        session: Session::default(),
        now_ms: 1_000_000,
        correlation: 0,
        held: Vec::new(),
        forgets: input.yes(),
    };
    while !input.is_empty() {
        bench.step(&mut input);
    }
    bench.check_logs();
}

impl Bench {
    fn step(&mut self, input: &mut Input<'_>) {
        self.correlation += 1;
        match input.below(16) {
            0..=5 => self.produce(input),
            6 => {
                let frame = members::frame(self.correlation, input);
                self.arrive(input.below(NODES) + 1, frame);
            }
            7 => self.request(input),
            8 => {
                let mut frame =
                    [input.one_of(&KEYS).to_be_bytes(), i16::from(input.byte() % 20).to_be_bytes()].concat();
                frame.extend_from_slice(&self.correlation.to_be_bytes());
                frame.extend_from_slice(input.bytes());
                self.arrive(input.below(NODES + 1), frame.into());
            }
            9 => self.arrive(1, Bytes::copy_from_slice(input.bytes())),
            10 => {
                self.now_ms += i64::from(input.byte()) * 100;
                self.poll_held();
            }
            11 => drop(self.state.move_leader(input.one_of(&TOPICS), input.below(3) as i32, node(input), input.yes())),
            12 => match input.below(4) {
                0 => self.state.stop(node(input)),
                1 => self.state.restart(node(input)),
                2 => drop(self.state.set_paused(node(input), true)),
                _ => self.state.heal(),
            },
            13 if self.forgets => self.forget(input),
            14 => self.inject(input),
            _ => drop(self.state.limit_in_sync(input.one_of(&TOPICS), 0, input.below(4))),
        }
    }

    /// A batch as a producer would send it, or one with a byte changed.
    fn produce(&mut self, input: &mut Input<'_>) {
        let mut writer = Writer::new(Vec::new());
        for _ in 0..=input.below(3) {
            writer.append(self.now_ms, &Payload::new(None, Some(&[7; 3]), &[]));
        }
        let (topic, partition) = (input.one_of(&TOPICS), input.below(3) as i32);
        let origin = self.origin(topic, partition, input);
        let mut batch = writer.finish().unwrap();
        stamp(&mut batch, origin);
        if input.byte() % 8 == 1 {
            let at = input.below(batch.len());
            batch[at] ^= input.byte();
        }
        let topic_id = TopicId::from_u128(FIRST_ID + u128::from(input.byte() % 3));
        let part = PartitionBatch { topic: topic.into(), topic_id, partition, batch: batch.into() };
        let (version, acks) = (3 + input.below(11) as i16, input.one_of(&[-1, 1, 0, 5]));
        let head = Head { version, correlation: self.correlation, client_id: "fuzz", acks, timeout_ms: 1_000 };
        let frame = Bytes::from(produce::encode(&head, &[part]).concat());
        let leader = self.state.leader(topic, partition).filter(|_| input.byte() % 4 != 3);
        let node = leader.map_or_else(|| input.below(NODES + 1), |leader| leader as usize);
        self.arrive(node, frame.slice(4..));
    }

    /// The stamp of a batch: of no producer, of a producer with its next sequence number, or arbitrary.
    fn origin(&self, topic: &str, partition: i32, input: &mut Input<'_>) -> Stamp {
        let producer_id = i64::from(input.byte() % 4) - 1;
        if producer_id < 0 {
            return Stamp::NONE;
        }
        let log = self.state.log(topic, partition);
        match log.iter().rfind(|record| record.producer_id == producer_id).filter(|_| input.yes()) {
            Some(last) => Stamp { producer_id, epoch: last.producer_epoch, base_sequence: last.sequence + 1 },
            None => {
                Stamp { producer_id, epoch: i16::from(input.byte() % 3), base_sequence: i32::from(input.byte() % 16) }
            }
        }
    }

    fn request(&mut self, input: &mut Input<'_>) {
        let (topic, number) = (input.one_of(&TOPICS), i32::from(input.byte()) - 2);
        let caller = Caller { correlation: self.correlation, client_id: "fuzz" };
        let node = input.below(NODES + 1);
        let create = |name: &str, version| {
            let create = CreateTopic {
                topic: name,
                partitions: number,
                replication: -1,
                replicas: None,
                brokers: 1,
                configs: &[],
                timeout_ms: 1,
            };
            create.encode(caller, version)
        };
        let fetch = Fetch {
            topic,
            partition: 0,
            offset: i64::from(number),
            max_wait_ms: number * 10,
            max_bytes: number * 10,
            committed: number % 2 == 1,
        };
        let frame = match input.below(10) {
            0 => api_versions::encode(caller, input.below(5) as i16),
            1 => metadata::encode(caller, 4 + input.below(10) as i16, [topic, "new"].into_iter(), true),
            2 => init_producer_id::encode(caller, input.below(6) as i16),
            3 => fetch.encode(caller, 4 + input.below(9) as i16),
            4 => {
                let ask = AskOffset {
                    topic,
                    partition: input.below(3) as i32,
                    timestamp: i64::from(number),
                    committed: number % 2 == 1,
                };
                ask.encode(caller, 1 + input.below(7) as i16)
            }
            5 => create(&String::from_utf8_lossy(input.bytes()), 2 + input.below(6) as i16),
            6 => sasl_handshake::encode(caller, input.below(2) as i16, input.one_of(&["PLAIN", "SCRAM-SHA-256", "x"])),
            7 => sasl_authenticate::encode(caller, input.below(3) as i16, b"\0alice\0pencil".to_vec()),
            8 => sasl_authenticate::encode(caller, input.below(3) as i16, input.bytes().to_vec()),
            _ => metadata::encode(caller, 4 + input.below(9) as i16, [topic].into_iter(), false),
        };
        self.arrive(node, frame.slice(4..));
    }

    fn arrive(&mut self, node: usize, frame: Bytes) {
        let correlation = frame.get(4..8).map(|id| i32::from_be_bytes(*id.first_chunk().unwrap()));
        if let (Ok(pending), Some(correlation)) =
            (self.state.arrive(self.now_ms, node as i32, &self.session, frame), correlation)
        {
            self.held.push((correlation, pending));
        }
        self.poll_held();
        self.held.truncate(MOST_HELD);
    }

    fn poll_held(&mut self) {
        let (state, session, now_ms) = (&mut self.state, &mut self.session, self.now_ms);
        self.held.retain(|(correlation, pending)| match state.poll(now_ms, session, pending) {
            Polled::Hold { until_ms } => {
                assert!(until_ms > now_ms, "a held request is held until later");
                true
            }
            Polled::Done(reply) => {
                if let Some((length, rest)) = reply.bytes.split_first_chunk::<4>() {
                    assert_eq!(u32::from_be_bytes(*length) as usize, rest.len());
                    assert_eq!(rest.first_chunk(), Some(&correlation.to_be_bytes()));
                }
                false
            }
        });
    }

    fn forget(&mut self, input: &mut Input<'_>) {
        match input.below(3) {
            0 => drop(self.state.truncate_log(input.one_of(&TOPICS), 0, input.below(8) as i64)),
            1 => self.state.forget_producers(node(input)),
            _ => drop(self.state.remove_topic(input.one_of(&TOPICS))),
        }
    }

    fn inject(&mut self, input: &mut Input<'_>) {
        let code = ErrorCode(i16::from(input.byte()) - 2);
        let fault = match input.below(4) {
            0 => Fault::error(code),
            1 => Fault::error_after_append(code),
            2 => Fault::drop_request(),
            _ => Fault::drop_response(),
        };
        self.state.inject(fault.on(input.one_of(&[Api::Produce, Api::Fetch, Api::Metadata, Api::InitProducerId])));
    }

    fn check_logs(&self) {
        for (topic, partition) in [("orders", 0), ("orders", 1), ("payments", 0), ("nobody", 0), ("new", 0)] {
            let log = self.state.log(topic, partition);
            assert!(log.iter().zip(0..).all(|(record, offset)| record.offset == offset), "{topic}-{partition}");
            let mut last: BTreeMap<i64, (i16, i32)> = BTreeMap::new();
            for record in log.iter().filter(|record| record.producer_id >= 0 && !self.forgets) {
                let this = (record.producer_epoch, record.sequence);
                let Some((epoch, sequence)) = last.insert(record.producer_id, this) else { continue };
                let follows = this == (epoch, sequence.wrapping_add(1) & i32::MAX);
                assert!(follows || (this.0 > epoch && this.1 == 0), "{this:?} behind {epoch}, {sequence}");
            }
        }
    }
}

fn node(input: &mut Input<'_>) -> i32 {
    1 + input.below(NODES) as i32
}
