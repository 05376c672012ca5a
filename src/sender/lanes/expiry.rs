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
    LANE, Lanes, Trouble,
    entry::{Entry, State},
    index,
    lane::{Lane, Leader},
};
use crate::{
    delivery::{Origin, Outcome},
    error::{DeliveryError, DeliveryFailure, ErrorCode, FailureKind, Persisted},
    sender::common::{Common, Fatal},
};

/// With so many lanes the sender looks at all of them once in a millisecond at most, with twice as many once in two: where batches
/// expire one after the other, it must get to something else. Timers are no finer, so fewer lanes need no pause.
const LANES_A_MS: usize = 1_000;

impl Lanes {
    /// When the next batch may expire.
    pub(crate) fn expires(&self) -> Instant {
        self.expires
    }

    /// Lanes with a batch that is older than `delivery.timeout.ms`.
    pub(crate) fn expired(&self, common: &Common) -> Vec<u32> {
        let timeout = common.config.delivery_timeout;
        let is_expired = |lane: &Lane| lane.oldest().is_some_and(|oldest| oldest + timeout <= common.now);
        (0..).zip(&self.lanes).filter(|(_, lane)| is_expired(lane)).map(|(slot, _)| slot).collect()
    }

    /// Gives up what is older than `delivery.timeout.ms` of one lane. `why` is what kept it.
    pub(crate) fn expire(&mut self, slot: u32, why: Option<&Trouble>, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(index(slot)) else { return common.missing(LANE) };
        give_up_older(lane, common.config.delivery_timeout, FailureKind::Expired, why, common);
        self.list(slot, common);
    }

    /// All that is expired has been given up: sets when to look again.
    pub(crate) fn set_expires(&mut self, common: &Common) {
        let oldest = self.lanes.iter().filter_map(Lane::oldest).min();
        let apart = Duration::from_millis((self.lanes.len() / LANES_A_MS) as u64);
        self.expires = (oldest.unwrap_or(common.now) + common.config.delivery_timeout).max(common.now + apart);
    }

    /// A lane's leader, if it is known.
    pub(crate) fn leader(&self, slot: u32) -> Option<Leader> {
        self.lanes.get(index(slot)).and_then(Lane::leader)
    }

    /// What went wrong with the first batch of a lane that something went wrong with: those behind it wait for it.
    pub(crate) fn last_error(&self, slot: u32) -> Option<Trouble> {
        let last = self.lanes.get(index(slot))?.last_error()?;
        let said = last.message.as_deref().unwrap_or_else(|| last.code.advice());
        let why = format!("the partition's last attempt ended with {}: {said}", last.code).into();
        Some(Trouble { code: last.code, why })
    }

    /// Nobody gives a producer id as things are: what waits for one is refused, as it would be later.
    pub(super) fn refuse_unidentified(&mut self, trouble: &Trouble, common: &mut Common) {
        for slot in std::mem::take(&mut self.unidentified) {
            let Some(lane) = self.lanes.get_mut(index(slot)) else { return common.missing(LANE) };
            lane.unidentified = false;
            give_up_older(lane, Duration::ZERO, FailureKind::Rejected, Some(trouble), common);
            lane.take_next();
            // A batch that came meanwhile asks for a producer id of its own.
            self.list(slot, common);
        }
    }

    /// Fails all that is undelivered, of a producer that has failed for the `fatal` reason as it says.
    pub(crate) fn fail_all(&mut self, kind: FailureKind, fatal: Option<&Fatal>, common: &mut Common) {
        for (partition, batch) in common.accumulator.abandon() {
            if let Some(lane) = self.lane(partition.slot, common) {
                lane.push(batch);
            }
        }
        for lane in &mut self.lanes {
            let origin = lane.queue.origin.clone();
            for mut entry in lane.take_all() {
                entry.maybe_written |= entry.is_in_flight();
                // Nobody keeps it for what is in flight any more; the socket has its own share of the bytes.
                entry.state = State::Waiting;
                let mut failure = failure_of(&entry, &origin, kind, common.now);
                if let Some(Fatal { code, reason }) = fatal {
                    (failure.kind, failure.code, failure.retriable) = (FailureKind::Fatal, *code, false);
                    failure.cause = Some(reason.to_string());
                }
                let outcome = Outcome::Failed(DeliveryError::new(failure));
                entry.settle(outcome, &origin.topic, common.recorder(), common.now);
            }
        }
    }
}

/// Gives up what was opened at least `age` ago, of a lane and of its queue. `why` is what kept those that say nothing of their own.
fn give_up_older(lane: &mut Lane, age: Duration, kind: FailureKind, why: Option<&Trouble>, common: &mut Common) {
    for batch in lane.queue.take_older(common.now, age) {
        lane.push(batch);
    }
    while let Some(position) = lane.expired(common.now, age) {
        give_up(lane, position, kind, why, common);
    }
}

/// Answers those who wait for a batch. It leaves the lane unless it is in flight.
fn give_up(lane: &mut Lane, position: usize, kind: FailureKind, why: Option<&Trouble>, common: &mut Common) {
    let origin = lane.queue.origin.clone();
    let Some(entry) = lane.entry(position) else { return common.missing("a batch that has expired") };
    let mut failure = failure_of(entry, &origin, kind, common.now);
    if let Some(Trouble { code, why }) = why.filter(|_| entry.last_error.is_none() && !entry.is_in_flight()) {
        (failure.code, failure.cause) = (*code, Some(why.to_string()));
    }
    failure.retriable = kind == FailureKind::Expired || failure.code.retriable();
    if entry.is_in_flight() {
        failure.persisted = Persisted::Unknown;
        entry.settle(Outcome::Failed(DeliveryError::new(failure)), &origin.topic, common.recorder(), common.now);
    } else if let Some(mut entry) = lane.failed(position, failure.persisted) {
        entry.settle(Outcome::Failed(DeliveryError::new(failure)), &origin.topic, common.recorder(), common.now);
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
