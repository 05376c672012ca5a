//! Batches for a Produce request.
//!
//! In: the lanes in a broker's row. Out: at most one batch of each topic-partition, and at most `max.request.size` bytes (a larger batch
//! goes alone). Pure. A lane that cannot send is passed over; it never stops the others. What a request costs does not depend on
//! how many partitions there are, only on how many are in it.

use std::collections::VecDeque;

use super::{
    LANE, Lanes,
    attempts::split_entry,
    entry::Entry,
    index,
    lane::{Lane, Readiness},
};
use crate::{
    cluster::TopicId,
    sender::{
        common::Common,
        request::{SentBatches, SentPart},
    },
    wire::apis::produce::PartitionBatch,
};

/// What goes out in a Produce request.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) sent: SentBatches,
    pub(crate) parts: Vec<PartitionBatch>,
    /// Whether each of its lanes had a batch succeed on the leader of now.
    pub(crate) proven: bool,
}

impl Lanes {
    /// Takes batches from the lanes in a broker's row, round robin. `None` if none of them can send. `topic_id` tells a topic's id.
    pub(crate) fn collect(
        &mut self,
        broker: i32,
        topic_id: impl Fn(&str) -> TopicId,
        common: &mut Common,
    ) -> Option<Drained> {
        let turns = self.ready.get(&broker).map_or(0, VecDeque::len);
        let request = self.next_request;
        self.next_request += 1;
        let mut sent = SentBatches { request, parts: Vec::new(), records: 0 };
        let (mut parts, mut bytes) = (Vec::new(), 0);
        for _ in 0..turns {
            let Some(slot) = self.ready.get_mut(&broker).and_then(VecDeque::pop_front) else {
                return common.missing("a lane in the row of a broker");
            };
            let Some(len) = self.next_len(slot, broker, common) else { continue };
            if !parts.is_empty() && bytes + len > common.config.max_request_size {
                self.keep_turn(slot, broker, common);
                break;
            }
            if let Some((mut part, records)) = self.take(slot, request, broker, common) {
                part.topic_id = topic_id(&part.topic);
                bytes += len;
                sent.records += u64::from(records);
                sent.parts.push(SentPart { slot, topic_id: part.topic_id });
                parts.push(part);
            }
            self.list(slot, common);
        }
        let is_proven = |part: &SentPart| self.lanes.get(index(part.slot)).is_some_and(Lane::is_proven);
        let proven = sent.parts.iter().all(is_proven);
        (!parts.is_empty()).then_some(Drained { sent, parts, proven })
    }

    /// A lane's batch does not fit into the request: it goes first in the next one.
    fn keep_turn(&mut self, slot: u32, broker: i32, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(index(slot)) else { return common.missing(LANE) };
        lane.listed = true;
        self.ready.entry(broker).or_default().push_front(slot);
    }

    /// The length of the batch that a lane would send to this broker now. Lanes that cannot are noted for when they can.
    fn next_len(&mut self, slot: u32, broker: i32, common: &mut Common) -> Option<usize> {
        let (window, current) = (self.window, self.producer_id.current());
        let lane = self.lane(slot, common)?;
        lane.listed = false;
        let here = lane.leader().is_some_and(|leader| leader.node == broker);
        if here && lane.readiness(common.now, window, current) == Readiness::Ready {
            self.peek_len(slot, common)
        } else {
            self.list(slot, common);
            None
        }
    }

    /// The length of a lane's next batch. One that is larger than its topic is known to take is split before it is sent.
    fn peek_len(&mut self, slot: u32, common: &mut Common) -> Option<usize> {
        let (now, memory) = (common.now, common.config.metadata_max_age);
        let lane = self.lane(slot, common)?;
        let len = lane.peek_len(now, memory)?;
        match lane.oversized(now, memory) {
            Some((position, size)) if split_entry(lane, position, size, common) => lane.waiting().map(Entry::len),
            _ => Some(len),
        }
    }

    /// Sends a lane's next batch in `request`. Its topic's id is left open. Says how many records it has.
    fn take(&mut self, slot: u32, request: u64, broker: i32, common: &mut Common) -> Option<(PartitionBatch, u32)> {
        let current = self.producer_id.current().filter(|_| self.window.idempotent);
        let now = common.now;
        let lane = self.lane(slot, common)?;
        let Some(measured) = lane.waiting().map(|entry| entry.measured(now)) else { return common.missing(NEXT) };
        let epoch = lane.epoch();
        let Some(batch) = lane.send(request, broker, current) else { return common.missing(NEXT) };
        let origin = lane.queue.origin.clone();
        if epoch.is_some() && epoch != lane.epoch() {
            common.recorder().epoch_bumped();
        }
        common.recorder().batch_sent(&origin.topic, measured, now);
        let part =
            PartitionBatch { topic: origin.topic, topic_id: TopicId::default(), partition: origin.partition, batch };
        Some((part, measured.records))
    }
}

const NEXT: &str = "the batch that a lane was found to have";
