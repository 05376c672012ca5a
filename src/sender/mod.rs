//! The sender: a state machine that turns sealed batches into requests and answers into outcomes.
//!
//! In: [`Event`]s and time. Out: [`Action`]s, and the outcome of every batch. Pure: no socket, no task, no clock, no chance
//! but the seed it is given. It owns its state, nothing of which is shared; the accumulator is where it takes batches from.
//!
//! Its methods are of two kinds. Inputs: [`Sender::handle_event`], [`Sender::handle_timeout`], [`Sender::close`]. Outputs:
//! [`Sender::poll_action`], which is to be called until it returns `None` after every input, and then
//! [`Sender::poll_timeout`], which says when `handle_timeout` is to be called. Calls without need do nothing.
//!
//! The parts: [`lane`] (one partition's batches and sequence numbers), [`mod@verdict`] (what an answer means), [`identity`],
//! [`metadata`], [`nodes`], [`backoff`], [`room`] (how large a batch may be); and of the sender itself [`drain`] (requests),
//! [`answers`] (verdicts carried out), [`connections`] and what comes over them, [`asking`] (who is asked, and connected to),
//! [`learning`] (metadata taken over), [`expiry`] (batches that are given up), [`late`] (what is read before that),
//! [`warnings`] (what an operator is told).

mod answers;
mod asking;
mod backoff;
mod connections;
mod drain;
mod entry;
mod expiry;
mod identity;
mod lane;
mod late;
mod learning;
mod metadata;
mod nodes;
mod room;
#[cfg(test)]
mod tests;
mod verdict;
mod warnings;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

#[cfg(feature = "bench-internals")]
pub(crate) use self::verdict::{Facts, Verdict, verdict};
use self::{
    backoff::Backoff,
    identity::ProducerId,
    lane::{Lane, Readiness, Window},
    late::Reading,
    metadata::{Metadata, Policy},
    nodes::{Node, Timeouts},
    warnings::Warnings,
};
pub(crate) use self::{backoff::Chance, nodes::ConnectionId};
use crate::{
    accumulator::Accumulator,
    cluster,
    config::{Acks, Config},
    error::{ErrorCode, FailureKind},
};

/// What happened outside.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection was made.
    Connected { connection: ConnectionId },
    /// A connection ended, or could not be made. `written` is the correlation id of the last request that was handed to the
    /// kernel whole: a broker cannot have seen the whole of a later one.
    Disconnected { connection: ConnectionId, why: Arc<str>, written: Option<i32> },
    /// A frame came.
    Frame { connection: ConnectionId, frame: Bytes },
    /// A request that will not be answered was handed to the kernel whole.
    Written { connection: ConnectionId, correlation: i32 },
    /// A connection has been read, as [`Action::Read`] asked: all that had come has been told.
    Read { connection: ConnectionId },
    /// The accumulator has news.
    Woken,
}

/// What is to be done outside.
#[derive(Debug)]
pub(crate) enum Action {
    /// Make a connection. So many attempts in a row have failed before; this one is given up after `within`.
    Connect { connection: ConnectionId, host: Arc<str>, port: u16, failures: u32, within: Duration },
    /// Send a request: its segments, in order. Requests go out in the order of their actions.
    Send { connection: ConnectionId, correlation: i32, segments: Vec<Bytes>, answered: bool },
    /// Tell all that has come on a connection, and then that it has been read. One that is being made tells whether it is made.
    Read { connection: ConnectionId },
    /// End a connection. Nothing that it still says counts.
    Disconnect { connection: ConnectionId },
}

/// Why nothing of this producer will succeed any more.
#[derive(Clone, Debug)]
pub(crate) struct Fatal {
    pub(crate) code: ErrorCode,
    pub(crate) reason: Arc<str>,
}

/// The sender.
#[derive(Debug)]
pub(crate) struct Sender {
    config: Arc<Config>,
    window: Window,
    timeouts: Timeouts,
    retry: Backoff,
    accumulator: Arc<Accumulator>,
    /// By slot.
    lanes: Vec<Lane>,
    nodes: BTreeMap<i32, Node>,
    connections: HashMap<ConnectionId, i32>,
    metadata: Metadata,
    producer_id: ProducerId,
    chance: Chance,
    actions: VecDeque<Action>,
    /// Lanes that wait for a moment.
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Lanes that wait for a producer id.
    unidentified: Vec<u32>,
    /// Lanes that wait for a leader: it is asked for until somebody knows.
    leaderless: BTreeSet<u32>,
    /// Brokers in whose lists lanes stand that are led elsewhere by now.
    left: BTreeSet<i32>,
    /// No batch expires before this moment.
    expires: Instant,
    news: bool,
    fatal: Option<Fatal>,
    warnings: Warnings,
    reading: Reading,
    next_connection: ConnectionId,
    next_request: u64,
    /// The latest time that was passed in.
    now: Instant,
}

impl Sender {
    /// A sender that takes batches from `accumulator`. All that is left to chance follows from `seed`.
    pub(crate) fn new(config: Arc<Config>, accumulator: Arc<Accumulator>, now: Instant, seed: u64) -> Self {
        let retry = Backoff { initial: config.retry_backoff, max: config.retry_backoff_max };
        let policy = Policy { max_age: config.metadata_max_age, max_idle: config.metadata_max_idle, backoff: retry };
        let mut sender = Self {
            window: Window { max: config.max_in_flight.min(5), idempotent: config.idempotence },
            timeouts: Timeouts {
                request: config.request_timeout,
                setup: Backoff {
                    initial: config.connection_setup_timeout,
                    max: config.connection_setup_timeout_max.max(config.connection_setup_timeout),
                },
                idle: config.connections_max_idle,
            },
            retry,
            accumulator,
            lanes: Vec::new(),
            nodes: BTreeMap::new(),
            connections: HashMap::new(),
            metadata: Metadata::new(policy, now),
            producer_id: ProducerId::new(config.idempotence, now),
            chance: Chance::new(seed),
            actions: VecDeque::new(),
            timers: BinaryHeap::new(),
            unidentified: Vec::new(),
            leaderless: BTreeSet::new(),
            left: BTreeSet::new(),
            expires: now + config.delivery_timeout,
            news: true,
            fatal: None,
            warnings: Warnings::default(),
            reading: Reading::new(now),
            next_connection: 0,
            next_request: 0,
            now,
            config,
        };
        sender.bootstrap(now);
        sender
    }

    /// Takes note of something that happened.
    pub(crate) fn handle_event(&mut self, now: Instant, event: Event) {
        (self.now, self.news) = (now, true);
        match event {
            Event::Connected { connection } => self.connected(now, connection),
            Event::Disconnected { connection, why, written } => self.disconnected(now, connection, &why, written),
            Event::Frame { connection, frame } => self.frame(now, connection, &frame),
            Event::Written { connection, correlation } => self.written(now, connection, correlation),
            Event::Read { connection } => self.reading.read(connection),
            Event::Woken => {}
        }
        self.strike_moved();
    }

    /// Takes note of the time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        (self.now, self.news) = (now, true);
    }

    /// What to do next; `None` when there is nothing until the next input.
    pub(crate) fn poll_action(&mut self, now: Instant) -> Option<Action> {
        if std::mem::take(&mut self.news) {
            self.now = now;
            self.advance(now);
        }
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if nothing happens before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let lanes = self.timers.peek().map(|Reverse((at, _))| *at);
        let asking = self.next_to_ask();
        [self.accumulator.next_due(), lanes, asking, self.next_judgement()].into_iter().flatten().min()
    }

    /// When a connection, a request or a batch is to be judged, which waits while what has come is being read.
    fn next_judgement(&self) -> Option<Instant> {
        if let Some(at) = self.reading.ends_at() {
            return Some(at);
        }
        let nodes = self.nodes.values().filter_map(|node| node.deadline(self.now, self.timeouts));
        nodes.chain([self.expires]).min()
    }

    /// Fails all that is undelivered.
    pub(crate) fn close(&mut self, now: Instant) {
        self.now = now;
        self.fail_all(FailureKind::Closed);
        self.nodes.values().for_each(|node| node.count_end(self.accumulator.recorder(), now));
    }

    /// The most batches that any partition has in flight.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn widest_window(&self) -> usize {
        self.lanes.iter().map(Lane::in_flight).max().unwrap_or(0)
    }

    /// Does all that can be done now.
    fn advance(&mut self, now: Instant) {
        self.end_reading(now);
        self.take_wishes(now);
        self.list_supplied(now);
        self.list_timed(now);
        self.expire(now);
        self.end_overdue(now);
        self.ask_around(now);
        self.drain(now);
        self.connect_wanted(now);
    }

    /// Topics that somebody asked for.
    fn take_wishes(&mut self, now: Instant) {
        let wanted = self.accumulator.topics().take_wanted();
        let mut published = false;
        for topic in wanted {
            self.metadata.want(&topic, now);
            let cluster = Arc::clone(self.metadata.cluster());
            if let Some(known) = cluster.topics.get(&topic) {
                // Whoever asks for a topic that is known missed something about it.
                self.metadata.refresh(now);
                self.publish(&topic, &known.partitions, false, None, now);
                published = true;
            } else {
                self.accumulator.topics().expect(&topic);
            }
        }
        if published {
            self.strike_moved();
            self.accumulator.topics().announce();
        }
    }

    /// Lanes that the accumulator has a batch for.
    fn list_supplied(&mut self, now: Instant) {
        let mut slots = Vec::new();
        self.accumulator.take_ready(now, &mut slots);
        for slot in slots {
            let Some(lane) = self.lane(slot) else { continue };
            lane.supplied = true;
            let topic = Arc::clone(&lane.queue.origin.topic);
            self.metadata.touch(&topic, now);
            self.list(slot, now);
        }
    }

    /// Lanes whose wait is over.
    fn list_timed(&mut self, now: Instant) {
        while let Some(Reverse((at, slot))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            self.list(slot, now);
        }
    }

    /// Puts a lane where it will be drained, or where it is remembered until it can be.
    fn list(&mut self, slot: u32, now: Instant) {
        let (window, current) = (self.window, self.producer_id.current());
        let Some(lane) = self.lane(slot) else { return };
        if lane.listed {
            return;
        }
        match lane.readiness(now, window, current) {
            Readiness::Ready => self.list_at_leader(slot, now),
            Readiness::Until(at) => self.timers.push(Reverse((at, slot))),
            Readiness::NeedsProducerId(spent) => {
                self.producer_id.need(spent);
                self.unidentified.push(slot);
            }
            Readiness::Blocked if lane.lacks_leader() => {
                self.leaderless.insert(slot);
                self.metadata.refresh(now);
            }
            Readiness::Blocked | Readiness::Idle => {}
        }
    }

    fn list_at_leader(&mut self, slot: u32, now: Instant) {
        let Some(lane) = self.lanes.get_mut(index(slot)) else { return };
        let node = lane.leader().and_then(|leader| self.nodes.get_mut(&leader.node));
        match node {
            Some(node) => {
                lane.listed = true;
                node.ready.push_back(slot);
            }
            None => self.metadata.refresh(now),
        }
    }

    /// A partition's lane, made when it is first needed.
    fn lane(&mut self, slot: u32) -> Option<&mut Lane> {
        while self.lanes.len() <= index(slot) {
            let slot = u32::try_from(self.lanes.len()).ok()?;
            self.lanes.push(Lane::new(self.accumulator.topics().partition(slot)?));
        }
        self.lanes.get_mut(index(slot))
    }

    /// Gives the lanes of a topic their leaders, and those who append its partitions. Of `stale` partitions nothing was learned:
    /// who doubts their leader goes on to do so.
    fn publish(
        &mut self,
        topic: &Arc<str>,
        partitions: &[cluster::PartitionMetadata],
        recreated: bool,
        stale: Option<&BTreeSet<usize>>,
        now: Instant,
    ) {
        let seed = self.chance.next();
        let published = self.accumulator.publish(topic, partitions, seed);
        for (number, (queue, partition)) in published.partitions.iter().zip(partitions).enumerate() {
            if stale.is_some_and(|stale| stale.contains(&number)) {
                self.list(queue.slot, now);
                continue;
            }
            let leader = partition.leader.map(|node| lane::Leader { node, epoch: partition.leader_epoch });
            self.lead(queue.slot, leader, recreated, now);
        }
        if recreated {
            self.leave_without_leaders(topic, partitions.len(), now);
        }
    }

    /// A topic that was created anew may have fewer partitions. What waits for the others has no leader; when they come back,
    /// their epochs begin anew as well.
    fn leave_without_leaders(&mut self, topic: &Arc<str>, count: usize, now: Instant) {
        let gone = self.accumulator.topics().partitions_from(topic, count);
        gone.into_iter().for_each(|slot| self.lead(slot, None, true, now));
    }

    fn lead(&mut self, slot: u32, leader: Option<lane::Leader>, recreated: bool, now: Instant) {
        let Some(lane) = self.lane(slot) else { return };
        let node = |lane: &Lane| lane.leader().map(|leader| leader.node);
        let before = node(lane);
        if lane.lead(leader, recreated) && node(lane) != before && std::mem::take(&mut lane.listed) {
            self.left.extend(before);
        }
        self.list(slot, now);
    }

    /// Strikes lanes that are led elsewhere by now out of the lists that they stood in: once for all that an answer moved, which may
    /// be every lane of a broker.
    fn strike_moved(&mut self) {
        for id in std::mem::take(&mut self.left) {
            let leader = |slot: u32| self.lanes.get(index(slot)).and_then(Lane::leader);
            let is_here = |slot: &u32| leader(*slot).is_some_and(|leader| leader.node == id);
            self.nodes.entry(id).and_modify(|node| node.ready.retain(is_here));
        }
    }

    /// How acks stand on the wire.
    fn acks(&self) -> i16 {
        match self.config.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }

    fn delivery_timeout(&self) -> Duration {
        self.config.delivery_timeout
    }
}

impl Drop for Sender {
    /// Whatever ended the task that owned it, nobody is left waiting.
    fn drop(&mut self) {
        self.fail_all(FailureKind::Abandoned);
    }
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}
