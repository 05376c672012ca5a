//! Lanes: the batches of all topic-partitions, from the first drain to their outcome, and the producer id that they go under.
//!
//! In: what the accumulator has, leaders, time, and what became of attempts. Out: batches for a request to a broker, and the outcome of
//! every batch. Pure. Deliberately absent: connections, requests on the wire, and what metadata say. What lanes need of those,
//! [`Lanes::waits_for`] and `wants_refresh` say.
//!
//! Parts: [`mod@lane`] (one topic-partition's batches and sequence numbers), [`entry`] (one batch), [`room`] (how large a batch may be),
//! [`identity`] (the producer id); and of the lanes themselves [`drain`] (batches for a request), [`mod@verdict`] (what a response means) and
//! [`attempts`] (verdicts carried out), [`expiry`] (batches that fail without a verdict).

pub(super) mod attempts;
mod drain;
pub(super) mod entry;
mod expiry;
mod identity;
pub(super) mod lane;
mod room;
pub(super) mod verdict;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashSet, VecDeque},
    sync::Arc,
    time::Instant,
};

pub(super) use self::drain::Drained;
use self::{
    identity::ProducerId,
    lane::{Lane, Leader, Readiness, Window},
};
use super::{Common, metadata::TopicChange};
use crate::{cluster::PartitionMetadata, wire::apis::init_producer_id::ProducerIdResult};

const LANE: &str = "the lane of a slot";

/// All lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    window: Window,
    /// By slot.
    lanes: Vec<Lane>,
    /// The producer id of all lanes. The sender chooses the broker that it is requested from.
    pub(super) producer_id: ProducerId,
    /// Lanes that can send, by the broker that leads them, the one to be drained next first. Each broker that is known has a row.
    ready: BTreeMap<i32, VecDeque<u32>>,
    /// Lanes that wait for a moment.
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Lanes that wait for a producer id.
    unidentified: Vec<u32>,
    /// Lanes that wait for a leader: metadata are requested until one is known.
    leaderless: BTreeSet<u32>,
    /// Brokers in whose rows lanes stand that are led elsewhere by now.
    left: BTreeSet<i32>,
    /// No batch expires before this moment.
    pub(super) expires: Instant,
    /// The number of the next Produce request.
    next_request: u64,
    /// Whether the metadata are wrong or incomplete: the sender is to request them again.
    pub(super) wants_refresh: bool,
}

impl Lanes {
    /// None yet.
    pub(super) fn new(common: &Common) -> Self {
        let (config, now) = (&common.config, common.now);
        Self {
            window: Window { max: config.max_in_flight.min(5), idempotent: config.idempotence },
            lanes: Vec::new(),
            producer_id: ProducerId::new(config.idempotence, common.retry, now),
            ready: BTreeMap::new(),
            timers: BinaryHeap::new(),
            unidentified: Vec::new(),
            leaderless: BTreeSet::new(),
            left: BTreeSet::new(),
            expires: now + config.delivery_timeout,
            next_request: 0,
            wants_refresh: false,
        }
    }

    /// Whether lanes have something to send to a broker.
    pub(super) fn waits_for(&self, broker: i32) -> bool {
        self.ready.get(&broker).is_some_and(|slots| !slots.is_empty())
    }

    /// The brokers that lanes have something to send to.
    pub(super) fn waited_for(&self) -> Vec<i32> {
        self.ready.iter().filter(|(_, slots)| !slots.is_empty()).map(|(broker, _)| *broker).collect()
    }

    /// When the first of the lanes that wait for a moment can go on.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// A broker is known: lanes that it leads can be listed.
    pub(super) fn broker_came(&mut self, broker: i32) {
        self.ready.entry(broker).or_default();
    }

    /// A broker is forgotten: what waits for it waits for another leader.
    pub(super) fn broker_went(&mut self, broker: i32, common: &mut Common) {
        self.strike_moved();
        // Those of bootstrap.servers lead nothing and have no row.
        for slot in self.ready.remove(&broker).unwrap_or_default() {
            if let Some(lane) = self.lane(slot, common) {
                lane.listed = false;
            }
            self.list(slot, common);
        }
    }

    /// The accumulator has a batch for a lane. Returns its topic.
    pub(super) fn supplied(&mut self, slot: u32, common: &mut Common) -> Option<Arc<str>> {
        let lane = self.lane(slot, common)?;
        lane.supplied = true;
        let topic = Arc::clone(&lane.queue.origin.topic);
        self.list(slot, common);
        Some(topic)
    }

    /// Lists lanes whose wait is over.
    pub(super) fn list_timed(&mut self, common: &mut Common) {
        while let Some(Reverse((at, slot))) = self.timers.peek().copied()
            && at <= common.now
        {
            self.timers.pop();
            if let Some(lane) = self.lane(slot, common) {
                lane.timer = lane.timer.filter(|timer| *timer > at);
            }
            self.list(slot, common);
        }
    }

    /// Lists lanes that had no leader, after metadata came that may name one.
    pub(super) fn list_leaderless(&mut self, common: &mut Common) {
        std::mem::take(&mut self.leaderless).into_iter().for_each(|slot| self.list(slot, common));
    }

    /// Puts a lane where it will be drained, or where it is remembered until it can be.
    fn list(&mut self, slot: u32, common: &mut Common) {
        let (window, current) = (self.window, self.producer_id.current);
        let Some(lane) = self.lane(slot, common) else { return };
        if lane.listed {
            return;
        }
        match lane.readiness(common.now, window, current) {
            Readiness::Ready => self.list_at_leader(slot, common),
            // One that waits for that moment already is remembered once.
            Readiness::Until(at) if lane.timer.replace(at) == Some(at) => {}
            Readiness::Until(at) => self.timers.push(Reverse((at, slot))),
            Readiness::NeedsProducerId(spent) => {
                if !std::mem::replace(&mut lane.unidentified, true) {
                    self.unidentified.push(slot);
                }
                self.producer_id.need(spent);
            }
            // The batch that the accumulator announced may have expired: then no leader is needed.
            Readiness::Blocked if lane.lacks_leader() && lane.take_next() => {
                self.leaderless.insert(slot);
                self.wants_refresh = true;
            }
            Readiness::Blocked | Readiness::Idle => {}
        }
    }

    fn list_at_leader(&mut self, slot: u32, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(index(slot)) else { return common.missing(LANE) };
        let Some(leader) = lane.leader else { return common.missing("the leader of a lane that can send") };
        match self.ready.get_mut(&leader.node) {
            Some(slots) => {
                lane.listed = true;
                slots.push_back(slot);
            }
            // Metadata named a leader and not its address.
            None => self.wants_refresh = true,
        }
    }

    /// A topic-partition's lane, if it was needed before.
    pub(super) fn get(&self, slot: u32) -> Option<&Lane> {
        self.lanes.get(index(slot))
    }

    /// A topic-partition's lane, made when it is first needed.
    #[inline]
    fn lane(&mut self, slot: u32, common: &mut Common) -> Option<&mut Lane> {
        while self.lanes.len() <= index(slot) {
            let queue =
                u32::try_from(self.lanes.len()).ok().and_then(|slot| common.accumulator.topics().partition(slot));
            let Some(queue) = queue else { return common.missing("the queue of a slot") };
            self.lanes.push(Lane::new(queue));
        }
        self.lanes.get_mut(index(slot))
    }

    /// Gives the lanes of a topic their leaders, and the callers its partitions. For `stale` partitions nothing was learned:
    /// a lane that doubts its leader goes on to do so.
    pub(super) fn publish(&mut self, change: &TopicChange, partitions: &[PartitionMetadata], common: &mut Common) {
        let TopicChange { topic, recreated, stale } = change;
        let seed = common.chance.next();
        let published = common.accumulator.publish(topic, partitions, seed);
        for (number, (queue, partition)) in published.partitions.iter().zip(partitions).enumerate() {
            if stale.contains(&number) {
                self.list(queue.slot, common);
                continue;
            }
            let leader = partition.leader.map(|node| Leader { node, epoch: partition.leader_epoch });
            self.lead(queue.slot, leader, *recreated, common);
        }
        if *recreated {
            // It may have fewer partitions. What waits for the others has no leader; when they come back, their epochs begin anew as well.
            let gone = common.accumulator.topics().partitions_from(topic, partitions.len());
            gone.into_iter().for_each(|slot| self.lead(slot, None, true, common));
        }
    }

    /// A lane has this leader.
    pub(super) fn lead(&mut self, slot: u32, leader: Option<Leader>, recreated: bool, common: &mut Common) {
        let Some(lane) = self.lane(slot, common) else { return };
        let node = |lane: &Lane| lane.leader.map(|leader| leader.node);
        let before = node(lane);
        if lane.lead(leader, recreated) && node(lane) != before && std::mem::take(&mut lane.listed) {
            self.left.extend(before);
        }
        self.list(slot, common);
    }

    /// Strikes lanes that are led elsewhere by now out of the rows that they stood in: once for all that a response moved, which may
    /// be every lane of a broker.
    pub(super) fn strike_moved(&mut self) {
        for id in std::mem::take(&mut self.left) {
            let leader = |slot: u32| self.lanes.get(index(slot)).and_then(|lane| lane.leader);
            let is_here = |slot: &u32| leader(*slot).is_some_and(|leader| leader.node == id);
            self.ready.entry(id).and_modify(|slots| slots.retain(is_here));
        }
    }

    /// A broker gave a producer id, or did not.
    pub(super) fn identified(&mut self, broker: i32, response: ProducerIdResult, common: &mut Common) {
        match self.producer_id.apply(response, broker, common.now, &mut common.chance) {
            Ok(()) => {
                common.warnings.has_producer_id();
                for slot in std::mem::take(&mut self.unidentified) {
                    let Some(lane) = self.lane(slot, common) else { return };
                    lane.unidentified = false;
                    self.list(slot, common);
                }
            }
            Err(cause) => {
                let heals = identity::heals(cause.code);
                let advice = (!heals).then(|| cause.code.advice());
                common.warnings.no_producer_id(&cause.why, advice, common.now);
                if !heals {
                    self.refuse_unidentified(&cause, common);
                }
            }
        }
    }

    /// The topics of which lanes have batches, also in partitions that they have no more.
    pub(super) fn topics_with_batches(&self) -> HashSet<&str> {
        let has_batches = |lane: &&Lane| !lane.is_empty() || lane.queue.oldest().is_some();
        self.lanes.iter().filter(has_batches).map(|lane| &*lane.queue.origin.topic).collect()
    }

    /// The connection to a broker is gone: with `acks=0` its lanes request a response next.
    pub(super) fn lost(&mut self, broker: i32) {
        self.lanes.iter_mut().for_each(|lane| lane.lost(broker));
    }

    /// The most batches that any topic-partition has in flight.
    #[cfg(any(test, fuzzing))]
    pub(super) fn widest_window(&self) -> usize {
        self.lanes.iter().map(|lane| lane.in_flight).max().unwrap_or(0)
    }

    /// As if so many epochs had begun and so many records been written.
    #[cfg(test)]
    pub(super) fn come_to(&mut self, slot: u32, epoch: i16, next_sequence: i32) {
        self.lanes[index(slot)].come_to(epoch, next_sequence);
    }
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}
