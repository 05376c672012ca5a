//! Batches that fail because they are too old, or because nothing can be sent any more.
//!
//! In: time. Out: failures, with what is known of whether the batch was written. Pure. `delivery.timeout.ms` is one
//! constant, so the batches that were opened first expire first, and no batch needs a timer: the next look is due when the
//! oldest one expires. A batch that expires while it is in flight completes at once, but stays in its lane until its
//! request is over: its bytes are the socket's, and what follows it must not be sent before its fate is known.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    LANE, Lanes,
    entry::{Entry, State},
    index,
    lane::Lane,
};
use crate::{
    delivery::{Origin, Outcome},
    error::{DeliveryError, DeliveryFailure, ErrorCode, FailureKind, Persisted, rights},
    sender::{Cause, Common},
};

/// With so many lanes the sender looks at all of them once in a millisecond at most, with twice as many once in two: where batches
/// expire one after the other, it must get to something else. Timers are no finer, so fewer lanes need no pause.
const LANES_A_MS: usize = 1_000;

impl Lanes {
    /// Lanes with a batch that is older than `delivery.timeout.ms`.
    pub(crate) fn expired(&self, common: &Common) -> Vec<u32> {
        let timeout = common.config.delivery_timeout;
        let is_expired = |lane: &Lane| lane.oldest().is_some_and(|oldest| oldest + timeout <= common.now);
        (0..).zip(&self.lanes).filter(|(_, lane)| is_expired(lane)).map(|(slot, _)| slot).collect()
    }

    /// Expires what is older than `delivery.timeout.ms` of one lane. `cause` is what kept it.
    pub(crate) fn expire(&mut self, slot: u32, cause: Option<&Cause>, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(index(slot)) else { return common.missing(LANE) };
        fail_older(lane, common.config.delivery_timeout, FailureKind::Expired, cause, common);
        self.list(slot, common);
    }

    /// All that is expired has failed: sets when to look again.
    pub(crate) fn set_expires(&mut self, common: &Common) {
        let oldest = self.lanes.iter().filter_map(Lane::oldest).min();
        let apart = Duration::from_millis((self.lanes.len() / LANES_A_MS) as u64);
        self.expires = (oldest.unwrap_or(common.now) + common.config.delivery_timeout).max(common.now + apart);
    }

    /// No broker gives a producer id as things are: what waits for one is refused, as it would be later.
    pub(super) fn refuse_unidentified(&mut self, cause: &Cause, common: &mut Common) {
        for slot in std::mem::take(&mut self.unidentified) {
            let Some(lane) = self.lanes.get_mut(index(slot)) else { return common.missing(LANE) };
            lane.unidentified = false;
            fail_older(lane, Duration::ZERO, FailureKind::Rejected, Some(cause), common);
            lane.take_next();
            // A batch that came meanwhile needs a producer id of its own.
            self.list(slot, common);
        }
    }

    /// Fails all that is undelivered. If the producer has failed, that is why. Returns how many records these were, and how many of them may
    /// have been written.
    pub(crate) fn fail_all(&mut self, kind: FailureKind, common: &mut Common) -> GivenUp {
        let mut given_up = GivenUp::default();
        for (partition, batch) in common.accumulator.abandon() {
            if let Some(lane) = self.lane(partition.slot, common) {
                lane.push(batch);
            }
        }
        for lane in &mut self.lanes {
            for mut entry in lane.take_all() {
                entry.maybe_written |= entry.is_in_flight();
                // What is in flight needs it no more; the socket has its own share of the bytes.
                entry.state = State::Waiting;
                let mut failure = failure_of(&entry, &lane.queue.origin, kind, common.now);
                if let Some((code, reason)) = common.accumulator.failure() {
                    (failure.kind, failure.code, failure.retriable) = (FailureKind::Fatal, *code, false);
                    failure.cause = Some(reason.to_string());
                }
                if !entry.has_outcome() {
                    given_up.count(entry.records, failure.persisted);
                }
                let outcome = Outcome::Failed(DeliveryError::new(failure));
                entry.settle(outcome, &lane.queue.origin.topic, common.recorder(), common.now);
            }
        }
        given_up
    }
}

/// Records that failed because the producer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GivenUp {
    pub(crate) records: u64,
    pub(crate) maybe_written: u64,
}

impl GivenUp {
    fn count(&mut self, records: u32, persisted: Persisted) {
        self.records += u64::from(records);
        if persisted == Persisted::Unknown {
            self.maybe_written += u64::from(records);
        }
    }
}

/// Fails what was opened at least `age` ago, of a lane and of its queue. `cause` is what kept the batches that were never sent.
fn fail_older(lane: &mut Lane, age: Duration, kind: FailureKind, cause: Option<&Cause>, common: &mut Common) {
    for batch in lane.queue.take_older(common.now, age) {
        lane.push(batch);
    }
    while let Some(position) = lane.expired(common.now, age) {
        give_up(lane, position, kind, cause, common);
    }
}

/// Completes a batch as failed. It leaves the lane unless it is in flight.
fn give_up(lane: &mut Lane, position: usize, kind: FailureKind, cause: Option<&Cause>, common: &mut Common) {
    let queue = Arc::clone(&lane.queue);
    let Some(entry) = lane.entry(position) else { return common.missing("a batch that has expired") };
    let in_flight = entry.is_in_flight();
    let mut failure = failure_of(entry, &queue.origin, kind, common.now);
    if let Some(Cause { code, why }) = cause.filter(|_| entry.last_failure.is_none() && !in_flight) {
        (failure.code, failure.cause) = (*code, Some(why.to_string()));
    }
    failure.retriable = kind == FailureKind::Expired || failure.code.retriable();
    if in_flight {
        failure.persisted = Persisted::Unknown;
    }
    failure.advice = advice(&failure, common);
    let persisted = failure.persisted;
    let outcome = Outcome::Failed(DeliveryError::new(failure));
    entry.settle(outcome, &queue.origin.topic, common.recorder(), common.now);
    if !in_flight {
        drop(lane.failed(position, persisted));
    }
}

/// What is known of a batch that failed.
pub(super) fn failure_of(entry: &Entry, origin: &Origin, kind: FailureKind, now: Instant) -> DeliveryFailure {
    let last = entry.last_failure.as_ref();
    let unanswered = if kind == FailureKind::Expired { ErrorCode::REQUEST_TIMED_OUT } else { ErrorCode::NONE };
    let ended = |code: ErrorCode| format!("last attempt ended with {code}");
    DeliveryFailure {
        kind,
        code: last.map_or(unanswered, |last| last.code),
        persisted: entry.persisted(),
        retriable: true,
        topic: Arc::clone(&origin.topic),
        partition: origin.partition,
        broker: last.map(|last| last.broker),
        attempts: entry.attempts,
        elapsed: now.saturating_duration_since(entry.created),
        cause: last.map(|last| last.message.as_ref().map_or_else(|| ended(last.code), ToString::to_string)),
        advice: None,
    }
}

/// What helps against a failure, if it is for want of a right.
pub(super) fn advice(failure: &DeliveryFailure, common: &Common) -> Option<String> {
    // Who the client is takes a text, and thousands of batches may fail at once for other reasons.
    let principal = rights::is_lack(failure.code).then(|| common.config.principal())?;
    rights::not_written(failure.code, principal.as_deref(), &failure.topic)
}
