//! From lanes to Produce requests.
//!
//! In: the lanes that each broker's list holds. Out: requests, each with at most one batch of a partition and at most
//! `max.request.size` bytes (a larger batch goes alone). Pure. A lane that cannot send is passed over; it never stops the
//! others. What a request costs does not depend on how many partitions there are, only on how many are in it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    Action, Sender,
    entry::Entry,
    index,
    lane::{Lane, Readiness},
    nodes::{InFlight, SentPart},
};
use crate::{
    config::Acks,
    wire::apis::{
        Api,
        produce::{self, Head, PartitionBatch, TOPIC_IDS_FROM},
    },
};

impl Sender {
    /// Sends what can be sent.
    pub(super) fn drain(&mut self, now: Instant) {
        let ready = self.nodes.values().filter(|node| !node.ready.is_empty() && node.up(now).is_some());
        let ready: Vec<i32> = ready.map(|node| node.id).collect();
        for id in ready {
            while self.drain_one(id, now) {}
        }
    }

    /// Sends one request to a broker, if it can take one and there is something for it. Says whether it did.
    fn drain_one(&mut self, id: i32, now: Instant) -> bool {
        let Some(node) = self.nodes.get(&id) else { return false };
        if node.ready.is_empty() || node.producing() >= self.config.max_in_flight {
            return false;
        }
        let up = node.up(now).and_then(|(connection, versions)| Some((connection, versions.pick(Api::Produce)?)));
        let Some((connection, version)) = up else { return false };
        let request = self.next_request;
        self.next_request += 1;
        let (sent, parts, records) = self.collect(id, request, now);
        if sent.is_empty() {
            return false;
        }
        let bytes = self.send_produce(id, connection, version, request, sent, parts, records, now);
        self.accumulator.recorder().request_sent(bytes, Some(records), now);
        true
    }

    /// Takes batches from the lanes in the broker's list, round robin.
    /// Says how many records they have.
    fn collect(&mut self, id: i32, request: u64, now: Instant) -> (Vec<SentPart>, Vec<PartitionBatch>, u64) {
        let (mut sent, mut parts, mut bytes, mut all) = (Vec::new(), Vec::new(), 0, 0);
        let turns = self.nodes.get(&id).map_or(0, |node| node.ready.len());
        for _ in 0..turns {
            let Some(slot) = self.nodes.get_mut(&id).and_then(|node| node.ready.pop_front()) else { break };
            let Some(len) = self.next_len(slot, id, now) else { continue };
            if !sent.is_empty() && bytes + len > self.config.max_request_size {
                // It keeps its turn for the next request.
                self.nodes.entry(id).and_modify(|node| node.ready.push_front(slot));
                self.lanes[index(slot)].listed = true;
                break;
            }
            if let Some((part, records)) = self.take(slot, request, id, now) {
                bytes += len;
                all += u64::from(records);
                sent.push(SentPart { slot, topic_id: part.topic_id });
                parts.push(part);
            }
            self.list(slot, now);
        }
        (sent, parts, all)
    }

    /// The length of the batch that a lane would send to this broker now. Lanes that cannot are noted for when they can.
    fn next_len(&mut self, slot: u32, node: i32, now: Instant) -> Option<usize> {
        let (window, current) = (self.window, self.producer_id.current());
        let lane = self.lane(slot)?;
        lane.listed = false;
        let here = lane.leader().is_some_and(|leader| leader.node == node);
        if here && lane.readiness(now, window, current) == Readiness::Ready {
            self.peek_len(slot, now)
        } else {
            self.list(slot, now);
            None
        }
    }

    /// The length of a lane's next batch. One that is larger than its topic is known to take is split before it is sent.
    fn peek_len(&mut self, slot: u32, now: Instant) -> Option<usize> {
        let memory = self.config.metadata_max_age;
        let lane = self.lanes.get_mut(index(slot))?;
        let len = lane.peek_len(now, memory)?;
        let Some((position, size)) = lane.oversized(now, memory) else { return Some(len) };
        if !self.split_entry(slot, position, size, now) {
            return Some(len);
        }
        self.lanes.get(index(slot))?.waiting().map(Entry::len)
    }

    fn take(&mut self, slot: u32, request: u64, node: i32, now: Instant) -> Option<(PartitionBatch, u32)> {
        let current = self.producer_id.current().filter(|_| self.window.idempotent);
        let recorder = self.accumulator.recorder();
        let lane = self.lanes.get_mut(index(slot))?;
        let (measured, epoch) = (lane.waiting()?.measured(now), lane.epoch());
        let batch = lane.send(request, node, current)?;
        let origin = lane.queue.origin.clone();
        if epoch.is_some() && epoch != lane.epoch() {
            recorder.epoch_bumped();
        }
        recorder.batch_sent(&origin.topic, measured, now);
        let topic_id =
            self.metadata.cluster().topics.get(&origin.topic).map_or_else(Default::default, |topic| topic.id);
        Some((PartitionBatch { topic: origin.topic, topic_id, partition: origin.partition, batch }, measured.records))
    }

    /// Says how many bytes the request has.
    #[expect(clippy::too_many_arguments, reason = "what a request is made of")]
    fn send_produce(
        &mut self,
        id: i32,
        connection: u64,
        version: i16,
        request: u64,
        sent: Vec<SentPart>,
        mut parts: Vec<PartitionBatch>,
        records: u64,
        now: Instant,
    ) -> usize {
        // With acks=0, too, a leader is proven before a second request is under way to it: the first is to be answered.
        let proven = |part: &SentPart| self.lanes.get(index(part.slot)).is_some_and(Lane::is_proven);
        let answered = self.config.acks != Acks::None || !sent.iter().all(proven);
        let acks = if self.config.acks == Acks::None && answered { 1 } else { self.acks() };
        // A topic without a known id can only be named.
        let by_id = parts.iter().all(|part| !part.topic_id.is_nil());
        let version = if by_id { version } else { version.min(TOPIC_IDS_FROM - 1) };
        parts.sort_by(|a, b| a.topic.cmp(&b.topic));
        let client_id = Arc::clone(&self.config.client_id);
        let timeout_ms = i32::try_from(self.timeouts.request.as_millis()).unwrap_or(i32::MAX);
        let Some(node) = self.nodes.get_mut(&id) else { return 0 };
        let correlation = node.correlation();
        let head = Head { version, correlation, client_id: &client_id, acks, timeout_ms };
        let segments = produce::encode(&head, &parts);
        let api = Api::Produce;
        let in_flight =
            InFlight { correlation, api, version, sent_at: now, request, parts: sent, records, answered, went: false };
        node.sent(in_flight, now);
        let bytes = segments.iter().map(Bytes::len).sum();
        self.actions.push_back(Action::Send { connection, correlation, segments, answered });
        bytes
    }
}
