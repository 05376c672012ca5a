//! Batches that are given up.
//!
//! In: time. Out: failures, with what is known of whether the batch was written. Pure. `delivery.timeout.ms` is one
//! constant, so the batches that were opened first expire first, and no batch needs a timer: the next look is due when the
//! oldest one expires. A batch that expires while it is in flight is answered at once, but stays in its lane until its
//! request is over: its bytes are the socket's, and what follows it must not be sent before its fate is known.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Fatal, Sender,
    entry::{Entry, State},
    identity::Trouble,
    index,
    lane::Lane,
};
use crate::{
    delivery::{Origin, Outcome},
    error::{DeliveryError, DeliveryFailure, ErrorCode, FailureKind, Persisted},
    metrics::Recorder,
};

/// With so many lanes the sender looks at all of them once in a millisecond at most, with twice as many once in two: where batches
/// expire one after the other, it must get to something else. Timers are no finer, so fewer lanes need no pause.
const LANES_A_MS: usize = 1_000;

impl Sender {
    /// Gives up what is older than `delivery.timeout.ms`.
    pub(super) fn expire(&mut self, now: Instant) {
        if now < self.expires || !self.may_judge(self.expires, now) {
            return;
        }
        let timeout = self.delivery_timeout();
        for slot in 0..self.lanes.len() {
            if self.lanes.get(slot).and_then(Lane::oldest).is_some_and(|oldest| oldest + timeout <= now) {
                self.expire_in(slot, now);
            }
        }
        let oldest = self.lanes.iter().filter_map(Lane::oldest).min();
        let apart = Duration::from_millis((self.lanes.len() / LANES_A_MS) as u64);
        self.expires = (oldest.unwrap_or(now) + timeout).max(now + apart);
    }

    /// Gives up what is too old of one lane.
    fn expire_in(&mut self, slot: usize, now: Instant) {
        let (timeout, why) = (self.delivery_timeout(), self.why_waiting(slot, now));
        let end = End { kind: FailureKind::Expired, why: why.as_ref(), now };
        let Some(lane) = self.lanes.get_mut(slot) else { return };
        give_up_older(lane, timeout, end, self.accumulator.recorder());
        self.list(u32::try_from(slot).unwrap_or(u32::MAX), now);
    }

    /// What keeps a lane from sending, for the person who will read it.
    fn why_waiting(&self, slot: usize, now: Instant) -> Option<Trouble> {
        let lane = self.lanes.get(slot)?;
        if let Some(last) = lane.last_error() {
            let said = last.message.as_deref().unwrap_or_else(|| last.code.advice());
            let why = format!("the partition's last attempt ended with {}: {said}", last.code).into();
            return Some(Trouble { code: last.code, why });
        }
        let lost = |why: Arc<str>| Trouble { code: ErrorCode::NETWORK_EXCEPTION, why };
        let Some(node) = lane.leader().and_then(|leader| self.nodes.get(&leader.node)) else {
            let trouble = self.accumulator.topics().known().metadata_failure.clone().map(lost);
            let leaderless =
                || Trouble { code: ErrorCode::LEADER_NOT_AVAILABLE, why: "the partition has no leader".into() };
            return Some(trouble.unwrap_or_else(leaderless));
        };
        if let Some(trouble) = node.trouble.clone() {
            return Some(lost(trouble));
        }
        if self.producer_id.current().is_none() && self.producer_id.trouble().is_some() {
            return self.producer_id.trouble().cloned();
        }
        let until = node.muted_until.filter(|until| *until > now)?;
        let (broker, ms) = (node.id, until.saturating_duration_since(now).as_millis());
        let why = format!("broker {broker} throttles this client for another {ms} ms: see its quotas").into();
        Some(Trouble { code: ErrorCode::THROTTLING_QUOTA_EXCEEDED, why })
    }

    /// Nobody gives a producer id as things are: what waits for one is refused, as it would be later.
    pub(super) fn refuse_unidentified(&mut self, trouble: &Trouble, now: Instant) {
        for slot in std::mem::take(&mut self.unidentified) {
            let Some(lane) = self.lanes.get_mut(index(slot)) else { continue };
            let end = End { kind: FailureKind::Rejected, why: Some(trouble), now };
            give_up_older(lane, Duration::ZERO, end, self.accumulator.recorder());
            match lane.queue.take() {
                Some(batch) => drop(lane.adopt(batch)),
                None => lane.supplied = false,
            }
            // A batch that came meanwhile asks for a producer id of its own.
            self.list(slot, now);
        }
    }

    /// Fails all that is undelivered.
    pub(super) fn fail_all(&mut self, kind: FailureKind) {
        let now = self.now;
        let fatal = self.fatal.clone();
        for (partition, batch) in self.accumulator.abandon() {
            if let Some(lane) = self.lane(partition.slot) {
                lane.adopt(batch);
            }
        }
        for lane in &mut self.lanes {
            let origin = lane.queue.origin.clone();
            for mut entry in lane.take_all() {
                entry.maybe_written |= entry.is_in_flight();
                // Nobody keeps it for what is in flight any more; the socket has its own share of the bytes.
                entry.state = State::Waiting;
                let mut failure = failure_of(&entry, &origin, kind, now);
                if let Some(Fatal { code, reason }) = &fatal {
                    (failure.kind, failure.code, failure.retriable) = (FailureKind::Fatal, *code, false);
                    failure.cause = Some(reason.to_string());
                }
                let outcome = Outcome::Failed(DeliveryError::new(failure));
                entry.settle(outcome, &origin.topic, self.accumulator.recorder(), now);
            }
        }
    }
}

/// How batches end that are given up.
#[derive(Clone, Copy)]
struct End<'a> {
    kind: FailureKind,
    /// What kept them waiting, for those that say nothing of their own.
    why: Option<&'a Trouble>,
    now: Instant,
}

/// Gives up what was opened at least `age` ago, of a lane and of its queue.
fn give_up_older(lane: &mut Lane, age: Duration, end: End<'_>, recorder: &Recorder) {
    for batch in lane.queue.take_older(end.now, age) {
        lane.adopt(batch);
    }
    while let Some(position) = lane.expired(end.now, age) {
        give_up(lane, position, end, recorder);
    }
}

/// Answers those who wait for a batch. It leaves the lane unless it is in flight.
fn give_up(lane: &mut Lane, position: usize, end: End<'_>, recorder: &Recorder) {
    let origin = lane.queue.origin.clone();
    let Some(entry) = lane.entry(position) else { return };
    let in_flight = entry.is_in_flight();
    let mut failure = failure_of(entry, &origin, end.kind, end.now);
    if let Some(Trouble { code, why }) = end.why.filter(|_| entry.last_error.is_none() && !in_flight) {
        (failure.code, failure.cause) = (*code, Some(why.to_string()));
    }
    failure.retriable = end.kind == FailureKind::Expired || failure.code.retriable();
    if in_flight {
        failure.persisted = Persisted::Unknown;
        entry.settle(Outcome::Failed(DeliveryError::new(failure)), &origin.topic, recorder, end.now);
    } else if let Some(mut entry) = lane.failed(position, failure.persisted) {
        entry.settle(Outcome::Failed(DeliveryError::new(failure)), &origin.topic, recorder, end.now);
    }
}

/// What is known of a batch that failed.
pub(super) fn failure_of(entry: &Entry, origin: &Origin, kind: FailureKind, now: Instant) -> DeliveryFailure {
    let last = entry.last_error.as_ref();
    let unanswered = if kind == FailureKind::Expired { ErrorCode::REQUEST_TIMED_OUT } else { ErrorCode::NONE };
    let said = |code: ErrorCode| format!("last attempt ended with {code}");
    DeliveryFailure {
        kind,
        code: last.map_or(unanswered, |last| last.code),
        persisted: if entry.maybe_written { Persisted::Unknown } else { Persisted::No },
        retriable: true,
        topic: Arc::clone(&origin.topic),
        partition: origin.partition,
        broker: last.map(|last| last.broker),
        attempts: entry.attempts,
        elapsed: now.saturating_duration_since(entry.created),
        cause: last.map(|last| last.message.as_ref().map_or_else(|| said(last.code), ToString::to_string)),
    }
}
