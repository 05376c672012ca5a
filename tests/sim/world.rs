//! One run: the real accumulator and sender, the embedded broker's pure state, and between them a network and a clock that
//! only exist here.
//!
//! In: a plan and a seed. Out: a history, the log, counts of what went wrong, and a hash of everything that happened. Pure
//! and single-threaded: the same seed does the same on every machine.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    checker::{Harm, Id, Log, Promise, Sent, Told, Violation, check},
    plan::{Ending, Kind, Plan},
};
use crate::{
    Delivery, Persisted, ProducerBuilder,
    accumulator::{Accumulator, Limits, Refused, TopicState},
    broker::{Api, EmbeddedBroker, Fault, Outcome, Pending, State},
    delivery::Callbacks,
    error::ErrorCode,
    sender::{Action, Chance, ConnectionId, Event, Sender},
    wire::record_batch::writer::Payload,
};

const TOPIC: &str = "orders";
/// Events after which a run counts as one that never comes to rest.
const PATIENCE: usize = 400_000;
/// When everything heals at the latest, whatever still waits to be sent.
const LONGEST_ILLNESS: Duration = Duration::from_secs(30);
/// Errors that a broker may answer a Produce request with without appending it.
const REFUSALS: [i16; 12] = [2, 3, 5, 6, 19, 45, 47, 49, 56, 59, 74, 87];
/// Errors that a broker may answer a Produce request with after appending it.
const DOUBTS: [i16; 5] = [-1, 6, 7, 20, 56];

/// Something that will happen.
#[derive(Debug)]
enum Happening {
    Connected(ConnectionId),
    Refused(ConnectionId),
    Arrives(ConnectionId, Bytes),
    Answers(ConnectionId, Bytes),
    Poll(ConnectionId),
    Broken(ConnectionId),
    Written(ConnectionId, i32),
    Sends(u32),
    Strikes(Kind),
    Recovers(Kind, i32),
    Ends,
}

/// A connection, seen from both ends.
#[derive(Default)]
struct Connection {
    node: i32,
    /// Whether the producer still holds it.
    open: bool,
    /// Whether the broker still reads it.
    served: bool,
    /// Whether answers get lost from now on.
    deaf: bool,
    /// Whether nothing that is written from now on goes out.
    cut: bool,
    slow: u64,
    last_to_broker: Duration,
    last_to_client: Duration,
    inbox: VecDeque<Bytes>,
    pending: Option<Pending>,
    written: Option<i32>,
}

/// What a run came to.
pub(crate) struct Report {
    pub(crate) violations: Vec<Violation>,
    /// Faults that struck, by kind.
    pub(crate) struck: BTreeMap<Kind, u64>,
    pub(crate) records: usize,
    /// Records that stand in the log more than once, or out of order.
    pub(crate) anomalies: usize,
    pub(crate) hash: u64,
    pub(crate) trace: Vec<String>,
}

/// One record and what its sender waits for.
struct Waiting {
    id: Id,
    partition: usize,
    delivery: Delivery,
}

pub(crate) struct World {
    plan: Plan,
    chance: Chance,
    start: Instant,
    now: Duration,
    wall_ms: i64,
    /// `None` once it was dropped.
    sender: Option<Sender>,
    accumulator: Arc<Accumulator>,
    cluster: State,
    connections: BTreeMap<ConnectionId, Connection>,
    agenda: BinaryHeap<Reverse<(Duration, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    next: u64,
    sent_by_task: Vec<u32>,
    history: Vec<Waiting>,
    harm: Vec<Harm>,
    struck: BTreeMap<Kind, u64>,
    healed: bool,
    widest_window: usize,
    hasher: std::hash::DefaultHasher,
    trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, control: bool, traced: bool) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::draw(&mut chance, control);
        let start = Instant::now();
        let builder = ProducerBuilder::new("127.0.0.1:9001").properties(plan.properties.iter().map(|(n, v)| (*n, v)));
        let config = Arc::new(builder.validate().expect("plans are valid"));
        let limits =
            Limits { batch_size: config.batch_size, linger: config.linger, buffer_memory: config.buffer_memory };
        let accumulator = Accumulator::new(limits, Callbacks::inline(Vec::new()));
        let sender = Sender::new(config, Arc::clone(&accumulator), start, chance.next());
        let max_message_bytes = plan.max_message_bytes.to_string();
        let ports: Vec<u16> = (9_001..).take(plan.nodes).collect();
        let broker = EmbeddedBroker::builder().nodes(plan.nodes).auto_create(false);
        let broker = broker.topic_with(
            TOPIC,
            plan.partitions,
            [
                ("max.message.bytes", &*max_message_bytes),
                ("min.insync.replicas", if plan.nodes > 1 { "2" } else { "1" }),
            ],
        );
        let cluster = broker.state(&ports).expect("plans are valid");
        let mut world = Self {
            sent_by_task: vec![0; plan.tasks as usize],
            harm: vec![Harm::default(); plan.partitions],
            plan,
            chance,
            start,
            now: Duration::ZERO,
            wall_ms: 1_700_000_000_000,
            sender: Some(sender),
            accumulator,
            cluster,
            connections: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            next: 0,
            history: Vec::new(),
            struck: BTreeMap::new(),
            healed: false,
            widest_window: 0,
            hasher: std::hash::DefaultHasher::new(),
            trace: traced.then(Vec::new),
        };
        world.schedule();
        world
    }

    /// What the plan has in store.
    fn schedule(&mut self) {
        for task in 0..self.plan.tasks {
            self.later(Duration::ZERO, Happening::Sends(task));
        }
        for (at, kind) in self.plan.faults.clone() {
            self.later(Duration::from_millis(at), Happening::Strikes(kind));
        }
        if self.plan.ending != Ending::Heal {
            self.later(Duration::from_millis(self.plan.ends_ms), Happening::Ends);
        }
    }

    fn later(&mut self, delay: Duration, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    fn at(&mut self, at: Duration, happening: Happening) {
        self.next += 1;
        self.agenda.push(Reverse((at, self.next)));
        self.happenings.insert(self.next, happening);
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn now_ms(&self) -> i64 {
        self.wall_ms + self.now.as_millis() as i64
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        let line = format!("{:>12.6} {}", self.now.as_secs_f64(), what());
        line.hash(&mut self.hasher);
        if let Some(trace) = &mut self.trace {
            trace.push(line);
        }
    }

    /// Runs to the end and judges.
    pub(crate) fn run(mut self) -> Report {
        let mut unrest = false;
        self.drive();
        for step in 0.. {
            if step > PATIENCE {
                unrest = true;
                break;
            }
            if !self.step() {
                break;
            }
            self.drive();
        }
        self.judge(unrest)
    }

    /// Lets the next thing happen; false when nothing will.
    fn step(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        let wake =
            self.sender.as_ref().and_then(Sender::poll_timeout).map(|at| at.saturating_duration_since(self.start));
        let next = self.agenda.peek().map(|Reverse((at, _))| *at);
        match (next, wake) {
            (Some(at), wake) if wake.is_none_or(|wake| at <= wake) => {
                let Some(Reverse((at, number))) = self.agenda.pop() else { return false };
                self.now = self.now.max(at);
                if let Some(happening) = self.happenings.remove(&number) {
                    self.happen(happening);
                }
                true
            }
            (_, Some(wake)) => {
                self.now = self.now.max(wake);
                let now = self.instant();
                self.sender.iter_mut().for_each(|sender| sender.handle_timeout(now));
                true
            }
            _ => false,
        }
    }

    /// Whether all is said: every task has sent its records, every fault has struck, every record has an outcome.
    fn is_over(&mut self) -> bool {
        let all_sent = self.sent_by_task.iter().all(|sent| *sent == self.plan.records_per_task);
        let struck = !self.happenings.values().any(|h| matches!(h, Happening::Strikes(_) | Happening::Recovers(..)));
        let ended = self.sender.is_none();
        if !self.healed && struck && (all_sent || ended || self.now >= LONGEST_ILLNESS) {
            self.healed = true;
            self.cluster.heal();
            self.plan.network.clear();
            (1..=self.plan.nodes as i32).for_each(|node| self.cluster.restart(node));
            self.poll_all();
            self.note(|| "everything heals".to_owned());
        }
        self.healed
            && (all_sent || ended)
            && self.history.iter().all(|waiting| waiting.delivery.outcome().is_some())
            && self.zombies_landed()
    }

    /// Whether nothing that was sent is still on its way to a broker: it may yet be written.
    fn zombies_landed(&self) -> bool {
        let arriving = self.happenings.values().any(|h| matches!(h, Happening::Arrives(..)));
        !arriving && self.connections.values().all(|c| !c.served || (c.pending.is_none() && c.inbox.is_empty()))
    }

    /// Carries out what the sender wants.
    fn drive(&mut self) {
        let now = self.instant();
        if let Some(sender) = &mut self.sender {
            sender.handle_event(now, Event::Woken);
        }
        while let Some(action) = self.sender.as_mut().and_then(|sender| sender.poll_action(now)) {
            match action {
                Action::Connect { connection, port, .. } => self.connect(connection, i32::from(port) - 9_000),
                Action::Disconnect { connection } => self.hang_up(connection),
                Action::Send { connection, correlation, segments, answered } => {
                    self.send(connection, correlation, Bytes::from(segments.concat()), answered);
                }
            }
        }
        let window = self.sender.as_ref().map_or(0, Sender::widest_window);
        self.widest_window = self.widest_window.max(window);
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(1 + self.chance.below(self.plan.delay_us as usize) as u64)
    }

    fn connect(&mut self, id: ConnectionId, node: i32) {
        let delay = self.delay();
        self.note(|| format!("connection {id} to node {node}"));
        self.connections.insert(id, Connection { node, open: true, served: true, slow: 1, ..Connection::default() });
        let is_up = self.cluster.node_is_up(node);
        self.later(delay, if is_up { Happening::Connected(id) } else { Happening::Refused(id) });
    }

    /// The producer closes a connection. What it wrote may still be read by the broker.
    fn hang_up(&mut self, id: ConnectionId) {
        self.note(|| format!("the producer ends connection {id}"));
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.open = false;
        }
    }

    fn send(&mut self, id: ConnectionId, correlation: i32, bytes: Bytes, answered: bool) {
        let api = i16::from_be_bytes([bytes[4], bytes[5]]);
        self.note(|| format!("request {correlation} (api {api}, {} bytes) over connection {id}", bytes.len()));
        let Some(connection) = self.connections.get(&id).filter(|connection| connection.open) else { return };
        if connection.cut {
            return;
        }
        let fault = self.draw_fault();
        if fault == Some(Kind::CutBefore) {
            self.cut(id);
            return;
        }
        let mut delay = self.delay();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.written = Some(correlation);
            match fault {
                Some(Kind::Slow) => connection.slow = 40,
                Some(Kind::AnswerLost | Kind::HalfOpen) => connection.deaf = true,
                _ => {}
            }
            delay *= connection.slow as u32;
        }
        if fault == Some(Kind::HalfOpen) {
            delay += Duration::from_millis(self.chance.below(9_000) as u64);
        }
        self.goes_out(id, delay, bytes.slice(4..));
        if !answered {
            self.later(Duration::from_micros(10), Happening::Written(id, correlation));
        }
        match fault {
            Some(Kind::CutAfter) => self.cut(id),
            Some(Kind::AnswerLost) => {
                let soon = Duration::from_millis(self.chance.below(200) as u64);
                self.later(soon, Happening::Broken(id));
            }
            _ => {}
        }
    }

    fn draw_fault(&mut self) -> Option<Kind> {
        let network: Vec<(Kind, u64)> = self.plan.network.iter().map(|(kind, rate)| (*kind, *rate)).collect();
        let kind = network.into_iter().find(|(_, rate)| (self.chance.below(1_000) as u64) < *rate)?.0;
        self.strike_counts(kind);
        Some(kind)
    }

    fn strike_counts(&mut self, kind: Kind) {
        *self.struck.entry(kind).or_default() += 1;
        self.note(|| format!("fault: {kind:?}"));
    }

    /// The connection breaks. The producer learns of it shortly; what is on its way to the broker arrives.
    fn cut(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            (connection.deaf, connection.cut) = (true, true);
        }
        let delay = self.delay();
        self.later(delay, Happening::Broken(id));
    }

    fn goes_out(&mut self, id: ConnectionId, delay: Duration, frame: Bytes) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.last_to_broker = connection.last_to_broker.max(now + delay);
        let at = connection.last_to_broker;
        self.at(at, Happening::Arrives(id, frame));
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.instant();
        match happening {
            Happening::Connected(id) => self.tell(id, Event::Connected { connection: id }),
            Happening::Refused(id) => self.broken(id, "refused"),
            Happening::Broken(id) => self.broken(id, "broken"),
            Happening::Written(id, correlation) => self.tell(id, Event::Written { connection: id, correlation }),
            Happening::Arrives(id, frame) => {
                if let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.served) {
                    connection.inbox.push_back(frame);
                    self.serve(id);
                }
            }
            Happening::Poll(id) => self.serve(id),
            Happening::Answers(id, frame) => {
                let deaf = self.connections.get(&id).is_none_or(|connection| connection.deaf);
                if !deaf {
                    self.tell(id, Event::Frame { connection: id, frame });
                }
            }
            Happening::Sends(task) => self.task_sends(task, now),
            Happening::Strikes(kind) => self.strike(kind),
            Happening::Recovers(kind, node) => self.recover(kind, node),
            Happening::Ends => self.end(now),
        }
    }

    fn tell(&mut self, id: ConnectionId, event: Event) {
        let now = self.instant();
        let open = self.connections.get(&id).is_some_and(|connection| connection.open);
        if let Some(sender) = self.sender.as_mut().filter(|_| open) {
            sender.handle_event(now, event);
        }
    }

    fn broken(&mut self, id: ConnectionId, why: &str) {
        let written = self.connections.get(&id).and_then(|connection| connection.written);
        self.note(|| format!("connection {id} is {why}"));
        self.tell(id, Event::Disconnected { connection: id, why: why.into(), written });
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.open = false;
        }
    }

    /// The broker works on what a connection brought, in order.
    fn serve(&mut self, id: ConnectionId) {
        let now_ms = self.now_ms();
        loop {
            let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.served) else { return };
            if connection.pending.is_none() {
                let Some(frame) = connection.inbox.pop_front() else { return };
                match self.cluster.arrive(now_ms, connection.node, frame) {
                    Ok(pending) => connection.pending = Some(pending),
                    Err(_) => return self.broker_closes(id),
                }
            }
            let Some(pending) = &connection.pending else { return };
            match self.cluster.poll(now_ms, pending) {
                Outcome::Hold { until_ms } => {
                    if until_ms < i64::MAX {
                        let wait = u64::try_from(until_ms - now_ms).unwrap_or(0).max(1);
                        self.later(Duration::from_millis(wait), Happening::Poll(id));
                    }
                    return;
                }
                Outcome::Done(reply) => {
                    connection.pending = None;
                    let wait = u64::try_from(reply.at_ms - now_ms).unwrap_or(0);
                    self.reply(id, Duration::from_millis(wait), &reply.bytes);
                    if reply.close {
                        return self.broker_closes(id);
                    }
                }
            }
        }
    }

    /// An answer goes back. Garbage comes without a length that fits; then the connection ends as a frame decoder ends it.
    fn reply(&mut self, id: ConnectionId, wait: Duration, bytes: &Bytes) {
        if bytes.is_empty() {
            return;
        }
        let (now, delay) = (self.now, self.delay());
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let delay = wait + delay * connection.slow as u32;
        connection.last_to_client = connection.last_to_client.max(now + delay);
        let at = connection.last_to_client;
        let len = bytes.first_chunk().map_or(0, |len| i32::from_be_bytes(*len));
        let whole = usize::try_from(len).is_ok_and(|len| len + 4 == bytes.len());
        let happening = if whole { Happening::Answers(id, bytes.slice(4..)) } else { Happening::Broken(id) };
        self.at(at, happening);
    }

    fn broker_closes(&mut self, id: ConnectionId) {
        let delay = self.delay();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.served = false;
        let at = connection.last_to_client.max(self.now + delay);
        self.at(at, Happening::Broken(id));
    }

    fn poll_all(&mut self) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        ids.into_iter().for_each(|id| self.later(Duration::ZERO, Happening::Poll(id)));
    }

    /// A task sends its next record, or tries again later.
    fn task_sends(&mut self, task: u32, now: Instant) {
        let number = self.sent_by_task[task as usize];
        if number >= self.plan.records_per_task || self.accumulator.is_closed() {
            self.sent_by_task[task as usize] = self.plan.records_per_task;
            return;
        }
        let again = Duration::from_millis(10);
        let known = self.accumulator.topics().known();
        let Some(TopicState::Ready(topic)) = known.topic(TOPIC) else {
            drop(known);
            self.accumulator.topics().want(TOPIC);
            return self.later(again, Happening::Sends(task));
        };
        let partition = self.chance.below(topic.partitions.len());
        let id = Id { task, number };
        let mut value = format!("{task}.{number}.{partition}.").into_bytes();
        value.resize(value.len() + self.chance.below(self.plan.largest_record), b'x');
        let payload = Payload { key: None, value: Some(&value), headers: &[] };
        let record = (self.now_ms(), &payload, payload.max_len());
        match self.accumulator.append(&topic.partitions[partition], record, &mut None, None, || now) {
            Ok(appended) => {
                self.history.push(Waiting { id, partition, delivery: appended.delivery });
                self.sent_by_task[task as usize] = number + 1;
                let pause = Duration::from_micros(self.chance.below(self.plan.pause_us as usize) as u64);
                self.note(|| format!("task {task} sends record {number} to partition {partition}"));
                self.later(pause, Happening::Sends(task));
            }
            Err(Refused::NeedsMemory(_)) => self.later(again, Happening::Sends(task)),
            Err(Refused::Closed) => {}
        }
    }

    fn strike(&mut self, kind: Kind) {
        self.strike_counts(kind);
        let partition = self.chance.below(self.plan.partitions) as i32;
        let node = 1 + self.chance.below(self.plan.nodes) as i32;
        let times = 1 + self.chance.below(3) as u64;
        let soon = Duration::from_millis(1 + self.chance.below(3_000) as u64);
        match kind {
            Kind::MoveWithHint | Kind::MoveSilently => {
                let _ = self.cluster.move_leader(TOPIC, partition, node, kind == Kind::MoveWithHint);
            }
            Kind::Restart => {
                self.cluster.stop(node);
                let here = self.connections.iter().filter(|(_, c)| c.node == node && c.served).map(|(id, _)| *id);
                here.collect::<Vec<_>>().into_iter().for_each(|id| self.broker_closes(id));
                self.later(soon, Happening::Recovers(kind, node));
            }
            Kind::Pause => {
                let _ = self.cluster.set_paused(node, true);
                self.later(soon, Happening::Recovers(kind, node));
            }
            Kind::Error => {
                let mut code = REFUSALS[self.chance.below(REFUSALS.len())];
                // Both mean that the broker accepts nothing of the old identity any more. It would be a lie if a request of
                // that identity were still on its way and then accepted.
                if [47, 49].contains(&code) && !self.plan.network.is_empty() {
                    code = 45;
                }
                self.inject(Fault::error(ErrorCode(code)).on(Api::Produce).at(TOPIC, partition).times(times));
            }
            Kind::ErrorAfterAppend => {
                let code = DOUBTS[self.chance.below(DOUBTS.len())];
                self.inject(
                    Fault::error_after_append(ErrorCode(code)).on(Api::Produce).at(TOPIC, partition).times(times),
                );
            }
            Kind::MetadataError => {
                let code = [3, 5][self.chance.below(2)];
                self.inject(Fault::error(ErrorCode(code)).on(Api::Metadata).at_topic(TOPIC).times(times));
            }
            Kind::IdentityError => {
                let code = [14, 15, 31, 51][self.chance.below(4)];
                self.inject(Fault::error(ErrorCode(code)).on(Api::InitProducerId).times(times));
            }
            Kind::Throttle => self.inject(Fault::throttle(soon).on(Api::Produce).times(times)),
            Kind::Garbage => {
                let garbage = (0..self.chance.below(40)).map(|_| self.chance.below(256) as u8).collect::<Vec<u8>>();
                let len = (garbage.len() as i32).to_be_bytes();
                self.inject(Fault::garbage([&len[..], &garbage].concat()).times(times));
            }
            Kind::FewReplicas => {
                let _ = self.cluster.limit_in_sync(TOPIC, partition, 1);
            }
            Kind::Forget => {
                self.cluster.forget_producers(node);
                self.harm.iter_mut().for_each(|harm| harm.forgot = true);
            }
            Kind::Truncate => {
                let end = self.cluster.log(TOPIC, partition).len() as i64;
                let _ = self.cluster.truncate_log(TOPIC, partition, end - self.chance.below(20) as i64);
                let harm = &mut self.harm[partition as usize];
                // What was lost may be sent again, and then stands behind what was sent later.
                (harm.truncated, harm.forgot) = (true, true);
            }
            Kind::ClockJump => self.wall_ms += self.chance.below(7_200_000) as i64 - 3_600_000,
            Kind::CutBefore | Kind::CutAfter | Kind::AnswerLost | Kind::HalfOpen | Kind::Slow => {}
        }
        self.poll_all();
    }

    fn inject(&mut self, fault: Fault) {
        self.cluster.inject(fault);
    }

    fn recover(&mut self, kind: Kind, node: i32) {
        self.note(|| format!("node {node} recovers from {kind:?}"));
        match kind {
            Kind::Restart => self.cluster.restart(node),
            _ => drop(self.cluster.set_paused(node, false)),
        }
        self.poll_all();
    }

    /// The producer ends in the middle.
    fn end(&mut self, now: Instant) {
        self.note(|| "the producer ends".to_owned());
        if let Some(mut sender) = self.sender.take()
            && self.plan.ending == Ending::Close
        {
            sender.close(now);
        }
        self.connections.values_mut().for_each(|connection| connection.open = false);
    }

    fn judge(mut self, unrest: bool) -> Report {
        let logs: Vec<Log> = (0..self.plan.partitions).map(|partition| self.log(partition)).collect();
        let promise = Promise { idempotent: self.plan.idempotent, acks_0: self.plan.acks_0 };
        let sent: Vec<Sent> = self.history.iter().map(told).collect();
        let mut violations = check(&sent, &logs, &self.harm, promise);
        if unrest {
            violations.push(Violation::Restless);
        }
        if self.widest_window > if promise.idempotent { 5 } else { 1 } {
            violations.push(Violation::Window { batches: self.widest_window });
        }
        violations.extend(self.history.iter().filter_map(|waiting| self.late(waiting)));
        let strict = Promise { idempotent: true, acks_0: promise.acks_0 };
        let anomalous =
            |violation: &Violation| matches!(violation, Violation::Duplicated { .. } | Violation::Reordered { .. });
        let anomalies = check(&sent, &logs, &self.harm, strict).iter().filter(|v| anomalous(v)).count();
        drop(self.sender.take());
        self.trace_outcomes();
        let memory = self.accumulator.memory();
        if memory.free() != memory.limit() || self.accumulator.undelivered() != 0 {
            violations.push(Violation::MemoryKept { bytes: memory.limit() - memory.free() });
        }
        Report {
            violations,
            struck: self.struck,
            records: self.history.len(),
            anomalies,
            hash: self.hasher.finish(),
            trace: self.trace.unwrap_or_default(),
        }
    }

    /// A record whose failure came after its time.
    fn late(&self, waiting: &Waiting) -> Option<Violation> {
        let timeout = self.plan.properties.iter().find(|(name, _)| *name == "delivery.timeout.ms")?.1.parse().ok()?;
        let elapsed = waiting.delivery.outcome()?.err()?.elapsed();
        (elapsed > Duration::from_millis(timeout))
            .then_some(Violation::Late { id: waiting.id, ms: elapsed.as_millis() })
    }

    /// What was told and what stands in the log, for the reader of a trace.
    fn trace_outcomes(&mut self) {
        let Some(trace) = &mut self.trace else { return };
        trace.insert(0, format!("{:#?}", self.plan));
        for waiting in &self.history {
            let Id { task, number } = waiting.id;
            let outcome = match waiting.delivery.outcome() {
                None => "no outcome".to_owned(),
                Some(Ok(ack)) => format!("offset {:?}", ack.offset()),
                Some(Err(error)) => error.to_string(),
            };
            trace.push(format!("record {number} of task {task} for partition {}: {outcome}", waiting.partition));
        }
        for partition in 0..self.plan.partitions {
            for record in self.cluster.log(TOPIC, partition as i32) {
                let value: String =
                    String::from_utf8_lossy(&record.value.unwrap_or_default()).chars().take(12).collect();
                let (id, epoch, sequence) = (record.producer_id, record.producer_epoch, record.sequence);
                let from = format!("producer {id} epoch {epoch} sequence {sequence}");
                trace.push(format!("partition {partition} offset {}: {value} from {from}", record.offset));
            }
        }
    }

    fn log(&self, partition: usize) -> Log {
        let records = self.cluster.log(TOPIC, partition as i32).into_iter();
        records.map(|record| (record.offset, name(record.value.as_deref().unwrap_or_default(), partition))).collect()
    }
}

/// A record's name as its value tells it. One that was written to another partition than it was made for has no name here.
fn name(value: &[u8], partition: usize) -> Id {
    let text = String::from_utf8_lossy(value);
    let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten()) {
        (Some(task), Some(number), Some(made_for)) if made_for as usize == partition => Id { task, number },
        _ => Id { task: u32::MAX, number: u32::MAX },
    }
}

fn told(waiting: &Waiting) -> Sent {
    let told = match waiting.delivery.outcome() {
        None => Told::Nothing,
        Some(Ok(ack)) => Told::Acked(ack.offset()),
        Some(Err(error)) if error.persisted() == Persisted::No => Told::NotWritten,
        Some(Err(_)) => Told::Unknown,
    };
    Sent { id: waiting.id, partition: waiting.partition, told }
}
