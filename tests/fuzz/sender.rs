//! Operations on accumulator, sender and their environment, in any order.
//!
//! In: settings, then a list of operations. The embedded broker's pure state responds. A connection delivers its bytes,
//! breaks or changes them when the input chooses so. Then all faults end. The simulation draws a whole plan from a seed.
//! Here nothing happens by itself: every step is a choice that a fuzzer can change alone, and brokers may send false
//! responses. [`judge`] has the checks.

mod judge;
mod links;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use self::{judge::Record, links::Link};
use super::input::Input;
use crate::{
    ProducerBuilder,
    accumulator::{Accumulator, Limits, TopicState},
    broker::{Api, EmbeddedBroker, Fault, State},
    delivery::{Accepted, Callbacks, Completion},
    error::ErrorCode,
    sender::{ConnectionId, Event, Sender},
    wire::{
        errors::{Class, Row, TABLE, Written},
        record_batch::{HEADER_LEN, writer::Payload},
    },
};

const TOPIC: &str = "orders";
const MOST_RECORDS: usize = 200;
/// A run that has not ended after this many wake-ups is endless.
const PATIENCE: usize = 50_000;

/// The guarantees of a run.
struct Promise {
    acks_0: bool,
    idempotent: bool,
    /// `delivery.timeout.ms`
    timeout: Duration,
}

/// How the producer ends.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Rest,
    Close,
    Drop,
}

struct Harness {
    promise: Promise,
    buffer_memory: usize,
    start: Instant,
    now: Duration,
    sender: Sender,
    accumulator: Arc<Accumulator>,
    cluster: State,
    nodes: usize,
    partitions: usize,
    links: BTreeMap<ConnectionId, Link>,
    records: Vec<Record>,
    /// Records whose callbacks ran.
    called: Arc<Mutex<Vec<usize>>>,
    /// Whether brokers may send false responses: then fewer conditions hold.
    hostile: bool,
}

/// The target.
pub fn sender(data: &[u8]) {
    let mut input = Input::new(data);
    let ending = input.one_of(&[Ending::Rest, Ending::Rest, Ending::Rest, Ending::Close, Ending::Drop]);
    let mut harness = Harness::new(&mut input);
    if input.byte() % 4 == 3 {
        harness.perform_actions()
    } else {
        harness.flow()
    }
    while !input.is_empty() {
        harness.step(&mut input);
        harness.perform_actions();
    }
    if ending == Ending::Rest {
        harness.heal();
    }
    harness.judge(ending);
}

impl Harness {
    fn new(input: &mut Input<'_>) -> Self {
        let acks = input.one_of(&["all", "all", "all", "1", "0"]);
        let idempotent = acks == "all" && input.byte() % 4 != 3;
        let (batch_size, linger) = (input.one_of(&["1", "150", "16384"]), input.one_of(&["0", "5"]));
        let (in_flight, retries) = (input.one_of(&["5", "2", "1"]), input.one_of(&["2147483647", "2147483647", "1"]));
        let (timeout, buffer_memory) = (input.one_of(&[3_000, 30_000]), input.one_of(&["1000000", "3000"]));
        let (nodes, partitions) = (1 + input.below(3), 1 + input.below(3));
        let idempotence = if idempotent { "true" } else { "false" };
        let properties = [
            ("acks", acks),
            ("enable.idempotence", idempotence),
            ("batch.size", batch_size),
            ("linger.ms", linger),
            ("max.in.flight.requests.per.connection", in_flight),
            ("retries", retries),
            ("delivery.timeout.ms", if timeout == 3_000 { "3000" } else { "30000" }),
            ("request.timeout.ms", input.one_of(&["1000", "2900"])),
            ("buffer.memory", buffer_memory),
            ("metadata.max.age.ms", input.one_of(&["300000", "1500"])),
        ];
        let config = Arc::new(ProducerBuilder::new("127.0.0.1:9001").properties(properties).validate().unwrap());
        let limits = Limits::of(&config);
        let accumulator = Accumulator::new(limits, Callbacks::inline(Vec::new()));
        accumulator.topics().want(TOPIC);
        let broker = EmbeddedBroker::builder().nodes(nodes).auto_create(false).topic(TOPIC, partitions);
        let broker = broker.topic_default("max.message.bytes", input.one_of(&["1000000", "400"]));
        let ports: Vec<u16> = (9_001..).take(nodes).collect();
        let start = Instant::now();
        Self {
            promise: Promise { acks_0: acks == "0", idempotent, timeout: Duration::from_millis(timeout) },
            buffer_memory: limits.buffer_memory,
            start,
            now: Duration::ZERO,
            sender: Sender::new(config, Arc::clone(&accumulator), start, u64::from(input.byte())),
            accumulator,
            cluster: broker.state(&ports).unwrap(),
            nodes,
            partitions,
            links: BTreeMap::new(),
            records: Vec::new(),
            called: Arc::default(),
            hostile: input.yes(),
        }
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.now.as_millis() as i64
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(20) {
            0..=2 => self.append(input),
            3 => (0..=input.below(6)).for_each(|_| self.append(input)),
            4 => self.open(input.byte()),
            5..=6 => self.serve_one(input.byte()),
            7..=8 => self.deliver_one(input.byte()),
            9 => self.cut_one(input.byte(), input.yes()),
            10 => self.jam_one(input.byte()),
            11 if self.hostile => self.corrupt_one(input),
            12 if self.hostile => self.inject_frame(input),
            13 | 14 => self.pass(Duration::from_millis(input.one_of(&[1, 5, 50, 300, 1_000, 5_000]))),
            15 => self.strike(input),
            16 => {
                let (partition, node) = (input.below(self.partitions) as i32, self.node(input));
                drop(self.cluster.move_leader(TOPIC, partition, node, input.yes()));
            }
            17 => match (input.yes(), self.node(input)) {
                (true, node) => self.stop(node),
                (false, node) => self.cluster.restart(node),
            },
            18 => match input.below(16) {
                0 => self.accumulator.close(),
                1 => drop(self.cluster.limit_in_sync(TOPIC, 0, 0)),
                2 => self.cluster.heal(),
                _ => self.accumulator.send_open_batches(),
            },
            _ => self.flow(),
        }
    }

    fn node(&self, input: &mut Input<'_>) -> i32 {
        1 + input.below(self.nodes) as i32
    }

    fn append(&mut self, input: &mut Input<'_>) {
        let (partition, padding) = (input.below(self.partitions), input.one_of(&[0, 1, 60, 200, 500]));
        let known = self.accumulator.topics().known();
        let Some(TopicState::Ready(topic)) = known.topic(TOPIC).cloned() else {
            self.accumulator.topics().want(TOPIC);
            return;
        };
        let Some(queue) = topic.partitions.get(partition).filter(|_| self.records.len() < MOST_RECORDS) else { return };
        let number = self.records.len();
        let value = judge::value(number, partition, padding);
        let payload = Payload::new(None, Some(&value), &[]);
        let (now, called) = (self.instant(), Arc::clone(&self.called));
        let mut callback = Some(move |_: Completion| called.lock().unwrap().push(number));
        let timestamp = self.now_ms();
        if HEADER_LEN + payload.max_len() > self.buffer_memory {
            return;
        }
        if let Ok(appended) =
            self.accumulator.append::<Accepted>(queue, Some(timestamp), &payload, Some(&mut callback), None, &now)
        {
            self.records.push(Record { partition, delivery: appended.receipt.into() });
        }
    }

    /// Injects an error into the responses to some following requests, before or after the broker has carried them out.
    fn strike(&mut self, input: &mut Input<'_>) {
        let (row, after) = (&TABLE[input.below(TABLE.len())], input.yes());
        let api = input.one_of(&[Api::Produce, Api::Produce, Api::Metadata, Api::InitProducerId, Api::ApiVersions]);
        let is_false = api == Api::Produce && is_false(row, after);
        let code = if is_false && !self.hostile { ErrorCode::NOT_LEADER_OR_FOLLOWER } else { row.code };
        let fault = if after { Fault::error_after_append(code) } else { Fault::error(code) };
        let fault = if code == ErrorCode::NONE { Fault::throttle(Duration::from_millis(700)) } else { fault };
        self.cluster.inject(fault.on(api).times(1 + input.below(3) as u64));
    }

    /// Advances the time, and wakes the sender at each of its timeouts.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..PATIENCE {
            match self.wakes_at() {
                Some(at) if at <= until => self.wake(at),
                _ => {
                    self.now = until;
                    return self.sender.handle_timeout(self.instant());
                }
            }
        }
        panic!("the sender spins");
    }

    fn wakes_at(&self) -> Option<Duration> {
        let at = self.sender.poll_timeout()?;
        Some(at.saturating_duration_since(self.start).max(self.now))
    }

    fn wake(&mut self, at: Duration) {
        self.now = at;
        self.sender.handle_timeout(self.instant());
        self.perform_actions();
    }

    /// Ends all faults, and runs until every record is completed.
    fn heal(&mut self) {
        self.cluster.heal();
        (1..=self.nodes as i32).for_each(|node| self.cluster.restart(node));
        self.mend();
        for _ in 0..PATIENCE {
            self.flow();
            if self.records.iter().all(|record| record.delivery.outcome().is_some()) {
                return;
            }
            let at = self.wakes_at().expect("a record is pending, so there is a timeout");
            self.wake(at);
        }
        panic!("the sender never comes to rest");
    }

    fn notify(&mut self, event: Event) {
        self.sender.handle_event(self.instant(), event);
    }
}

/// Whether this error is false: about whether the broker appended the batch, or because it means that the broker accepts nothing
/// more with the old producer id and epoch, while a request with them may still be in transit.
fn is_false(row: &Row, after: bool) -> bool {
    let nothing_more = [47, 49, 90].contains(&row.code.0);
    nothing_more || matches!(row.class, Class::None | Class::Duplicate) || (after && row.written == Written::No)
}
