//! Batches for a Produce request.
//!
//! In: the lanes in a broker's row. Out: at most one batch of each topic-partition, and at most `max.request.size` bytes (a larger batch
//! goes alone). Pure. A lane that cannot send is passed over; it never stops the others. What a request costs does not depend on
//! how many partitions there are, only on how many are in it.

use std::collections::VecDeque;

use super::{LANE, Lanes, attempts::split_entry, entry::Entry, index, lane::Readiness};
use crate::{
    cluster::TopicId,
    delivery::Origin,
    sender::{Common, SentBatches, SentPart},
    wire::apis::produce::PartitionBatch,
};

/// What goes out in a Produce request.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) sent: SentBatches,
    pub(crate) parts: Vec<PartitionBatch>,
    /// Whether each of its lanes had a batch succeed on the current leader.
    pub(crate) proven: bool,
}

impl Lanes {
    /// Takes batches from the lanes in a broker's row, round robin. `None` if none of them can send. `topic_id` knows a topic's id.
    pub(crate) fn collect(
        &mut self,
        broker: i32,
        topic_id: impl Fn(&str) -> TopicId,
        common: &mut Common,
    ) -> Option<Drained> {
        let turns = self.ready.get(&broker).map_or(0, VecDeque::len);
        let sent = SentBatches { request: self.next_request, parts: Vec::new(), records: 0 };
        let mut drained = Drained { sent, parts: Vec::new(), proven: true };
        self.next_request += 1;
        let mut bytes = 0;
        for _ in 0..turns {
            let Some(slot) = self.ready.get_mut(&broker).and_then(VecDeque::pop_front) else {
                return common.missing("a lane in the row of a broker");
            };
            let Some(len) = self.next_len(slot, broker, common) else { continue };
            bytes += len;
            if !drained.parts.is_empty() && bytes > common.config.max_request_size {
                self.keep_turn(slot, broker, common);
                break;
            }
            self.take(slot, broker, &topic_id, &mut drained, common);
            self.list(slot, common);
        }
        (!drained.parts.is_empty()).then_some(drained)
    }

    /// A lane's batch does not fit into the request: it goes first in the next one.
    fn keep_turn(&mut self, slot: u32, broker: i32, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(index(slot)) else { return common.missing(LANE) };
        lane.listed = true;
        self.ready.entry(broker).or_default().push_front(slot);
    }

    /// The length of the batch that a lane would send to this broker now. Lanes that cannot are noted for when they can. A batch that
    /// is larger than its topic is known to take is split first.
    fn next_len(&mut self, slot: u32, broker: i32, common: &mut Common) -> Option<usize> {
        let (window, current) = (self.window, self.producer_id.current);
        let (now, memory) = (common.now, common.config.metadata_max_age);
        let lane = self.lane(slot, common)?;
        lane.listed = false;
        let here = lane.leader.is_some_and(|leader| leader.node == broker);
        if !here || lane.readiness(now, window, current) != Readiness::Ready {
            self.list(slot, common);
            return None;
        }
        let len = lane.peek_len(now, memory)?;
        match lane.oversized(now, memory) {
            Some((position, size)) if split_entry(lane, position, size, common) => lane.waiting().map(Entry::len),
            Some(_) | None => Some(len),
        }
    }

    /// Adds a lane's next batch to a request.
    fn take(
        &mut self,
        slot: u32,
        broker: i32,
        topic_id: impl Fn(&str) -> TopicId,
        drained: &mut Drained,
        common: &mut Common,
    ) {
        let current = self.producer_id.current.filter(|_| self.window.idempotent);
        let now = common.now;
        let Some(lane) = self.lane(slot, common) else { return };
        let Some(measured) = lane.waiting().map(|entry| entry.measured(now)) else { return common.missing(NEXT) };
        let epoch = lane.epoch();
        let Some(batch) = lane.send(drained.sent.request, broker, current) else { return common.missing(NEXT) };
        if epoch.is_some() && epoch != lane.epoch() {
            common.recorder().epoch_bumped();
        }
        common.recorder().batch_sent(&lane.queue.origin.topic, measured, now);
        let Origin { topic, partition } = lane.queue.origin.clone();
        let topic_id = topic_id(&topic);
        drained.proven &= lane.proven;
        drained.sent.records += u64::from(measured.records);
        drained.sent.parts.push(SentPart { slot, topic_id });
        drained.parts.push(PartitionBatch { topic, topic_id, partition, batch });
    }
}

const NEXT: &str = "the batch that a lane was found to have";
