//! A partition's lane: its sealed batches in sequence order, from the first drain to the response.
//!
//! In: batches, responses, leaders. Out: what may be sent next, and batches that are done. Pure. Deliberately absent:
//! connections, requests and the clock.
//!
//! ```text
//! completed ◄── [in flight][in flight] [waiting][waiting] ◄── accumulator
//!                └── window, at most 5 ─┘
//! ```
//! A failure does not disturb the batches behind it: when the responses of all that are in flight have come, the lane goes on
//! with the first batch that has none, in order. Until a batch succeeds on the current leader, one is in flight at most
//! (KAFKA-15591): a broker that does not know this producer yet accepts any first sequence number, so a second batch
//! could be written though the first was refused. A topic that was created anew has leaders that know no producer, whatever
//! their nodes and epochs are.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    entry::{Entry, FailedAttempt, Gap, State},
    room::Room,
};
use crate::{
    accumulator::{PartitionQueue, SealedBatch},
    error::Persisted,
    wire::record_batch::writer::Stamp,
};

/// A partition's leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) node: i32,
    pub(crate) epoch: i32,
}

/// No leader that there is.
const NOWHERE: Leader = Leader { node: i32::MIN, epoch: i32::MIN };

/// A caller that names a batch by its position has just found it there.
const IN_LANE: &str = "a batch that is named by its position is in its lane";

/// One partition's lane.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Where its batches come from.
    pub(crate) queue: Arc<PartitionQueue>,
    /// Whether the accumulator said that there is a batch to take.
    pub(crate) supplied: bool,
    /// Whether it stands in its leader's row of lanes to drain.
    pub(crate) listed: bool,
    /// The moment that it waits for, if it does.
    pub(crate) timer: Option<Instant>,
    /// Whether it stands in the list of those that wait for a producer id.
    pub(crate) unidentified: bool,
    /// The partition's leader, if it is known.
    pub(crate) leader: Option<Leader>,
    /// Whether a batch succeeded on the current leader.
    pub(crate) proven: bool,
    /// Whether a response said that the leader is elsewhere, and none has said where.
    doubted: bool,
    /// The newest leader epoch of any response; -1 for none.
    newest_epoch: i32,
    entries: VecDeque<Entry>,
    /// How many batches have been sent and have no response.
    pub(crate) in_flight: usize,
    /// The leader that has what is in flight.
    sent_to: Leader,
    /// The stamp of the next new batch. Each lane has an epoch of its own: brokers keep a producer's epoch by partition, so starting
    /// anew in one partition disturbs no other.
    next: Option<Stamp>,
    /// A producer id that must not be used again here.
    spent: Option<i64>,
    /// What is missing behind the last batch that was stamped.
    gap: Option<Gap>,
    retry_at: Option<Instant>,
    room: Room,
}

/// What limits a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// The most batches in flight.
    pub(crate) max: usize,
    /// Whether batches carry sequence numbers.
    pub(crate) idempotent: bool,
}

/// Whether a lane can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It can.
    Ready,
    /// It has nothing to send.
    Idle,
    /// It must wait for a response, or for a leader.
    Blocked,
    /// It must wait for this moment.
    Until(Instant),
    /// It must wait for a producer id other than this one.
    NeedsProducerId(Option<i64>),
}

impl Lane {
    pub(crate) fn new(queue: Arc<PartitionQueue>) -> Self {
        Self {
            queue,
            supplied: false,
            listed: false,
            timer: None,
            unidentified: false,
            leader: None,
            proven: false,
            doubted: false,
            newest_epoch: -1,
            entries: VecDeque::new(),
            in_flight: 0,
            sent_to: NOWHERE,
            next: None,
            spent: None,
            gap: None,
            retry_at: None,
            room: Room::default(),
        }
    }

    /// The current producer epoch, if there is one.
    pub(crate) fn epoch(&self) -> Option<i16> {
        self.next.map(|next| next.epoch)
    }

    /// As if so many epochs had begun and so many records been written.
    #[cfg(test)]
    pub(crate) fn come_to(&mut self, epoch: i16, next_sequence: i32) {
        self.next = self.next.map(|next| Stamp { epoch, base_sequence: next_sequence, ..next });
    }

    /// Whether there is anything to send, now or later.
    pub(crate) fn has_work(&self) -> bool {
        self.supplied || self.entries.len() > self.in_flight
    }

    /// Whether no batch is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes note of who leads; an older epoch than is known changes nothing (a stale hint or response), unless the topic was
    /// `recreated`. Says whether the leader changed. A change ends a wait: what failed there may succeed here.
    pub(crate) fn lead(&mut self, leader: Option<Leader>, recreated: bool) -> bool {
        let epoch = leader.map_or(-1, |leader| leader.epoch);
        if recreated {
            // What is in flight is for the topic of before. No response to it says anything of this one, and nothing goes to
            // this one until all of them are here.
            (self.sent_to, self.newest_epoch) = (NOWHERE, -1);
        } else if epoch >= 0 && epoch < self.newest_epoch {
            return false;
        }
        self.doubted = false;
        let moved = self.leader.map(|l| l.node) != leader.map(|l| l.node);
        if recreated || moved || epoch > self.newest_epoch {
            self.retry_at = None;
            self.proven = false;
        }
        self.leader = leader;
        self.newest_epoch = self.newest_epoch.max(epoch);
        moved
    }

    /// Whether no response has said who leads, or the last one that did was wrong.
    pub(crate) fn lacks_leader(&self) -> bool {
        self.leader.is_none() || self.doubted
    }

    /// A response said that the leader is elsewhere: nothing is sent until a response says where, or that it is there again.
    pub(crate) fn doubt_leader(&mut self) {
        self.doubted |= self.has_same_leader();
    }

    /// Whether what was sent last went to the current leader.
    fn has_same_leader(&self) -> bool {
        self.leader.is_none_or(|leader| leader.node == self.sent_to.node && leader.epoch <= self.sent_to.epoch)
    }

    /// Whether a batch may be sent to the leader now.
    pub(crate) fn readiness(&self, now: Instant, window: Window, current: Option<i64>) -> Readiness {
        if !self.has_work() {
            return Readiness::Idle;
        }
        let Some(leader) = self.leader.filter(|_| !self.doubted) else { return Readiness::Blocked };
        let max = if window.idempotent && self.proven { window.max } else { 1 };
        let elsewhere = self.in_flight > 0 && self.sent_to.node != leader.node;
        // Responses are missing: what was sent behind a failed batch, or what the window allows no more.
        if elsewhere
            || self.in_flight >= max
            || (self.in_flight > 0 && (self.next_gap().is_some() || self.is_rewinding()))
        {
            return Readiness::Blocked;
        }
        if let Some(at) = self.retry_at.filter(|at| *at > now) {
            return Readiness::Until(at);
        }
        if window.idempotent && self.needs_producer_id(current) {
            return Readiness::NeedsProducerId(self.unusable());
        }
        Readiness::Ready
    }

    /// Whether a batch waits before one that is in flight, or one in flight has its outcome already.
    fn is_rewinding(&self) -> bool {
        self.entries.iter().take(self.in_flight).any(|entry| entry.state == State::Waiting || entry.has_outcome())
    }

    fn needs_producer_id(&self, current: Option<i64>) -> bool {
        let fresh = current.is_some() && current != self.unusable();
        !fresh && (self.next.is_none() || (self.must_restart() && self.has_no_epoch_left()))
    }

    /// The producer id that a restart must not use: its epochs have run out, or the broker knows a newer one.
    fn unusable(&self) -> Option<i64> {
        self.next.filter(|next| next.epoch == i16::MAX).map(|next| next.producer_id).or(self.spent)
    }

    fn has_no_epoch_left(&self) -> bool {
        self.next.is_none_or(|next| Some(next.producer_id) == self.unusable())
    }

    /// The next batch to send, from the lane or else from the accumulator, without sending it. `memory` is for how long it is
    /// remembered that a batch was too large.
    pub(crate) fn peek_len(&mut self, now: Instant, memory: Duration) -> Option<usize> {
        // The last refusal is long ago: batches may be as large as `batch.size` again.
        if self.room.is_known() && self.room.limit(now, memory).is_none() {
            self.room = Room::default();
            self.queue.limit_batches(None);
        }
        self.take_next();
        self.waiting().map(Entry::len)
    }

    /// Takes the next batch from the accumulator if none waits in the lane. Returns whether one waits.
    #[inline]
    pub(crate) fn take_next(&mut self) -> bool {
        if self.entries.len() == self.in_flight {
            match self.queue.take() {
                Some(batch) => self.push(batch),
                None => self.supplied = false,
            }
        }
        self.entries.len() > self.in_flight
    }

    /// The next batch, if it is larger than the partition takes, as far as is known, and can be split: its place, and the size
    /// of its parts in bytes before compression. One that may have been written stays as it is.
    pub(crate) fn oversized(&self, now: Instant, memory: Duration) -> Option<(usize, usize)> {
        let limit = self.room.limit(now, memory)?;
        let position = self.entries.iter().position(|entry| entry.state == State::Waiting)?;
        let entry = self.entries.get(position)?;
        let splits = entry.len() > limit && entry.records > 1 && !entry.maybe_written;
        splits.then(|| (position, entry.before_compression(limit)))
    }

    /// The batch at `position` was too large. Says of which size its parts are to be, in bytes before compression; batches that
    /// are opened from now on are no larger.
    pub(crate) fn too_large(&mut self, position: usize, now: Instant, memory: Duration) -> Option<usize> {
        let entry = self.entries.get(position)?;
        self.room.refused(entry.len(), now);
        let size = entry.before_compression(self.room.limit(now, memory)?);
        self.queue.limit_batches(Some(size));
        Some(size)
    }

    /// Adds a batch that was taken from the accumulator.
    pub(crate) fn push(&mut self, batch: SealedBatch) {
        // Most lanes have one batch at a time, and where there are many lanes, room for four is more than all else of a lane.
        if self.entries.capacity() == 0 {
            self.entries.reserve_exact(1);
        }
        self.entries.push_back(Entry::new(batch));
    }

    /// Sends the batch that [`peek_len`](Self::peek_len) showed, in `request` to `node`: its bytes, which will not change.
    /// The lane must be [`Ready`](Readiness::Ready). `current` is the current producer id, if there is one.
    pub(crate) fn send(&mut self, request: u64, node: i32, current: Option<i64>) -> Option<Bytes> {
        if current.is_some() && self.must_restart() {
            self.restart(current);
        }
        if self.next.is_none() {
            self.next = current.map(first_stamp);
        }
        let entry = self.entries.iter_mut().find(|entry| entry.state == State::Waiting)?;
        if entry.stamp().is_none() {
            entry.put_stamp(self.next.unwrap_or(Stamp::NONE));
            self.next = self.next.map(|next| after(next, entry.records));
        }
        self.in_flight += 1;
        self.sent_to = Leader { node, epoch: self.newest_epoch };
        Some(entry.send(request))
    }

    /// The next batch to be sent, of those that were taken.
    pub(crate) fn waiting(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.state == State::Waiting)
    }

    /// What is missing right before the next batch.
    fn next_gap(&self) -> Option<Gap> {
        match self.waiting() {
            Some(entry) if entry.stamp().is_some() => entry.gap_before,
            _ => self.gap,
        }
    }

    /// Whether the next batch needs a new epoch. A batch that may have been written is sent as it is, to learn whether what
    /// is missing before it was written too.
    fn must_restart(&self) -> bool {
        match self.next_gap() {
            None => false,
            Some(Gap::Certain) => true,
            Some(Gap::Unknown) => !self.waiting().is_some_and(|entry| entry.stamp().is_some() && entry.maybe_written),
        }
    }

    /// Goes on with the next epoch from sequence 0, or with another producer id when epochs have run out.
    fn restart(&mut self, current: Option<i64>) {
        self.next = match self.next {
            Some(next) if !self.has_no_epoch_left() => Some(Stamp { epoch: next.epoch + 1, base_sequence: 0, ..next }),
            _ => current.map(first_stamp),
        };
        self.spent = None;
        self.gap = None;
        self.proven = false;
        self.entries.iter_mut().for_each(Entry::clear_stamp);
    }

    /// The batch that was sent in `request`, and its place in the lane.
    pub(crate) fn sent_in(&mut self, request: u64) -> Option<(usize, &mut Entry)> {
        self.entries.iter_mut().enumerate().find(|(_, entry)| entry.state == State::InFlight(request))
    }

    /// The batch at `position`.
    pub(crate) fn entry(&mut self, position: usize) -> Option<&mut Entry> {
        self.entries.get_mut(position)
    }

    /// The batch at `position` was written, as a broker `confirmed`, or went out whole and no response is expected (`acks=0`): it
    /// leaves the lane.
    pub(crate) fn acked(&mut self, position: usize, confirmed: bool) -> Option<Entry> {
        let entry = self.leave(position)?;
        if confirmed {
            self.proven = self.leader.is_some() && self.has_same_leader();
            self.room.accepted(entry.len());
        }
        Some(entry)
    }

    /// The connection to `node` ended: if it leads, it must be proven again.
    pub(crate) fn lost(&mut self, node: i32) {
        self.proven &= self.leader.is_some_and(|leader| leader.node != node);
    }

    /// The batch at `position` is to be sent again, not before `at`, unless there is a new leader already.
    pub(crate) fn retry(&mut self, position: usize, at: Instant) {
        let Some(entry) = self.entries.get_mut(position) else { return debug_assert!(false, "{IN_LANE}") };
        self.in_flight -= usize::from(entry.is_in_flight());
        entry.state = State::Waiting;
        self.retry_at = self.has_same_leader().then(|| self.retry_at.map_or(at, |before| before.max(at)));
        self.proven = false;
    }

    /// Sequence numbers start anew with the first batch, once nothing is in flight; `spent` if the producer id is of no use
    /// any more.
    pub(crate) fn restart_later(&mut self, spent: bool) {
        let Some(first) = self.entries.front_mut() else { return debug_assert!(false, "{IN_LANE}") };
        first.gap_before = Some(Gap::Certain);
        if spent {
            self.spent = self.next.map(|next| next.producer_id);
        }
    }

    /// The batch at `position` has failed for good: it leaves the lane, and a gap if others have numbers after its own. The
    /// batches before it are not concerned.
    pub(crate) fn failed(&mut self, position: usize, persisted: Persisted) -> Option<Entry> {
        let entry = self.leave(position)?;
        self.proven = false;
        let is_current =
            |stamp: &Stamp, next: Stamp| (stamp.producer_id, stamp.epoch) == (next.producer_id, next.epoch);
        let stamp = entry.stamp().filter(|stamp| self.next.is_some_and(|next| is_current(stamp, next)));
        let Some(stamp) = stamp else { return Some(entry) };
        let last = self.next == Some(after(stamp, entry.records));
        let certain = persisted == Persisted::No || entry.gap_before == Some(Gap::Certain);
        let gap = if certain { Gap::Certain } else { Gap::Unknown };
        match self.entries.get_mut(position).filter(|next| next.stamp().is_some()) {
            Some(next) if next.gap_before != Some(Gap::Certain) => next.gap_before = Some(gap),
            Some(_) => {}
            // Nothing after it was stamped and it is nowhere: its numbers are free again.
            None if last && persisted == Persisted::No && entry.gap_before.is_none() => {
                self.next = Some(stamp);
            }
            None => self.gap = Some(gap),
        }
        Some(entry)
    }

    fn leave(&mut self, position: usize) -> Option<Entry> {
        let mut entry = self.entries.remove(position)?;
        self.in_flight -= usize::from(entry.is_in_flight());
        entry.state = State::Waiting;
        Some(entry)
    }

    /// Puts the parts of a batch that was too large in its place. Together they have its sequence numbers.
    pub(crate) fn replace(&mut self, position: usize, parts: Vec<Entry>) {
        let Some(whole) = self.leave(position) else { return debug_assert!(false, "{IN_LANE}") };
        let mut stamp = whole.stamp();
        let mut gap_before = whole.gap_before;
        for (offset, mut part) in parts.into_iter().enumerate() {
            part.gap_before = gap_before.take();
            if let Some(first) = stamp {
                part.put_stamp(first);
                stamp = Some(after(first, part.records));
            }
            self.entries.insert(position + offset, part);
        }
        self.proven = false;
    }

    /// The first batch that was opened at least `age` ago and without an outcome.
    pub(crate) fn expired(&self, now: Instant, age: Duration) -> Option<usize> {
        let is_old = |entry: &Entry| !entry.has_outcome() && now.saturating_duration_since(entry.created) >= age;
        self.entries.iter().position(is_old)
    }

    /// When the oldest batch without an outcome was opened.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let waited_for = self.entries.iter().filter(|entry| !entry.has_outcome());
        waited_for.map(|entry| entry.created).chain(self.queue.oldest()).min()
    }

    /// All that is here leaves.
    pub(crate) fn take_all(&mut self) -> Vec<Entry> {
        self.in_flight = 0;
        self.entries.drain(..).collect()
    }

    /// The last failure of the first batch that has one: those behind it wait for it.
    pub(crate) fn last_failure(&self) -> Option<&FailedAttempt> {
        self.entries.iter().find_map(|entry| entry.last_failure.as_ref())
    }
}

/// The stamp of the first batch under a producer id.
fn first_stamp(producer_id: i64) -> Stamp {
    Stamp { producer_id, epoch: 0, base_sequence: 0 }
}

/// The stamp behind a batch of so many `records`. Sequence numbers wrap from 2^31 - 1 to 0. Without a producer id there are none.
fn after(stamp: Stamp, records: u32) -> Stamp {
    if stamp.base_sequence < 0 {
        return stamp;
    }
    let next = (i64::from(stamp.base_sequence) + i64::from(records)) % (i64::from(i32::MAX) + 1);
    Stamp { base_sequence: i32::try_from(next).unwrap_or(0), ..stamp }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accumulator::CompressionQueue, delivery::Origin, wire::compression::Method};

    #[test]
    fn an_older_leader_epoch_changes_nothing_unless_the_topic_was_created_anew() {
        let origin = Origin { topic: "orders".into(), partition: 0 };
        let queue = PartitionQueue::new(0, origin, CompressionQueue::new(Method::NONE));
        let mut lane = Lane::new(Arc::new(queue));
        let (known, older, unnumbered) = (Leader { node: 1, epoch: 5 }, Leader { node: 2, epoch: 3 }, -1);
        assert!(lane.lead(Some(known), false));
        assert!(!lane.lead(Some(older), false));
        assert_eq!(lane.leader, Some(known));
        // A broker too old to number epochs is believed.
        assert!(lane.lead(Some(Leader { epoch: unnumbered, ..older }), false));
        assert!(lane.lead(Some(known), false), "the epoch that is known is no older one");
        assert!(lane.lead(Some(older), true));
        assert_eq!(lane.leader, Some(older));
    }

    #[test]
    fn a_lane_without_a_batch_has_nothing_to_take() {
        let origin = Origin { topic: "orders".into(), partition: 0 };
        let queue = PartitionQueue::new(0, origin, CompressionQueue::new(Method::NONE));
        let mut lane = Lane::new(Arc::new(queue));
        lane.supplied = true;
        assert!(!lane.take_next() && !lane.supplied, "what was announced has expired");
    }
}
