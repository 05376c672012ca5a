//! Attempts that are over: verdicts carried out.
//!
//! In: the result of each batch of a request, with a response or without. Out: batches that are done, that are sent again, that are
//! sent in parts. Pure. Success only ever comes from here: from a response to a batch of that very request, or, with `acks=0`, from a
//! request that went out whole.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    LANE, Lanes,
    entry::FailedAttempt,
    expiry::{advice, failure_of},
    index,
    lane::Lane,
    verdict::{Facts, Verdict, verdict},
};
use crate::{
    config::Acks,
    delivery::{Origin, Outcome},
    error::{DeliveryError, DeliveryFailure, ErrorCode, FailureKind, Persisted},
    sender::{Common, Seen, SentBatches, SentPart},
    wire::{
        apis::produce::{PartitionResult, TopicRef},
        compression::Compressor,
        errors::{Class, Written},
        record_batch::split::split,
    },
};

const ENTRY: &str = "the batch of an attempt";

/// The result of one attempt to have a batch written.
#[derive(Clone, Debug)]
pub(crate) struct AttemptResult {
    broker: i32,
    error: ErrorCode,
    message: Option<Arc<str>>,
    base_offset: Option<i64>,
    append_time: Option<i64>,
    record_errors: Vec<(u32, Option<String>)>,
    /// Whether it comes from a broker's response.
    confirmed: bool,
}

impl AttemptResult {
    /// That of a batch without a response.
    pub(crate) fn unconfirmed(broker: i32, error: ErrorCode, message: Option<Arc<str>>) -> Self {
        let record_errors = Vec::new();
        Self { broker, error, message, base_offset: None, append_time: None, record_errors, confirmed: false }
    }

    /// That of a batch in a response, which may leave it out.
    pub(crate) fn confirmed(broker: i32, result: Option<PartitionResult>) -> Self {
        let Some(result) = result else {
            let why = format!("broker {broker} left the partition out of its response");
            let unknown = Self::unconfirmed(broker, ErrorCode::NETWORK_EXCEPTION, Some(why.into()));
            return Self { confirmed: true, ..unknown };
        };
        Self {
            broker,
            error: result.error,
            message: result.message.map(Arc::from),
            base_offset: result.base_offset,
            append_time: result.append_time,
            record_errors: result.record_errors,
            confirmed: true,
        }
    }

    /// Whether the connection was lost before a response. A connection that the sender ended had a broker that was too slow, and to
    /// send again at once would not let it breathe.
    fn is_lost(&self) -> bool {
        !self.confirmed && self.error != ErrorCode::REQUEST_TIMED_OUT
    }

    fn failed(&self, number: u32) -> FailedAttempt {
        FailedAttempt { number, broker: self.broker, code: self.error, message: self.message.clone() }
    }
}

impl Lanes {
    /// The results of a response in the order of the request's parts; or why it cannot be the response, if it names what was not
    /// requested.
    pub(crate) fn by_part(
        &self,
        parts: &[SentPart],
        results: Vec<PartitionResult>,
    ) -> Result<Vec<Option<PartitionResult>>, String> {
        let mut by_part: Vec<Option<PartitionResult>> = vec![None; parts.len()];
        // Brokers respond in the order of the request, by topic: most of the time no look-up is needed.
        let mut places: Option<HashMap<_, usize>> = None;
        for (expected, result) in results.into_iter().enumerate() {
            let place = if parts.get(expected).is_some_and(|part| self.is_of(part, &result)) {
                Some(expected)
            } else {
                let by_id = matches!(result.topic, TopicRef::Id(_));
                let places =
                    places.get_or_insert_with(|| parts.iter().map(|part| self.key(part, by_id)).zip(0..).collect());
                places.get(&(result.topic.clone(), result.partition)).copied()
            };
            let Some(entry) = place.and_then(|place| by_part.get_mut(place)) else {
                return Err(format!("response for a partition that was not asked: {}", result.partition));
            };
            if entry.is_some() {
                return Err(format!("two responses for partition {}", result.partition));
            }
            *entry = Some(result);
        }
        Ok(by_part)
    }

    fn is_of(&self, part: &SentPart, result: &PartitionResult) -> bool {
        self.origin(part.slot).is_some_and(|origin| {
            let is_topic = match &result.topic {
                TopicRef::Id(id) => *id == part.topic_id,
                TopicRef::Name(name) => *name == origin.topic,
            };
            is_topic && origin.partition == result.partition
        })
    }

    /// How a response names a topic-partition.
    fn key(&self, part: &SentPart, by_id: bool) -> (TopicRef, i32) {
        let origin = self.origin(part.slot);
        let name = || origin.map_or_else(|| Arc::from(""), |origin| Arc::clone(&origin.topic));
        let topic = if by_id { TopicRef::Id(part.topic_id) } else { TopicRef::Name(name()) };
        (topic, origin.map_or(-1, |origin| origin.partition))
    }

    /// The topic-partition of a lane.
    pub(crate) fn origin(&self, slot: u32) -> Option<&Origin> {
        self.get(slot).map(|lane| &lane.queue.origin)
    }

    /// A request has no response. Without one, `acks=0` is content with a request that went out whole.
    pub(crate) fn unanswered(&mut self, sent: &SentBatches, result: &AttemptResult, seen: Seen, common: &mut Common) {
        for part in &sent.parts {
            match seen {
                Seen::Whole if common.config.acks == Acks::None => {
                    let written = AttemptResult::unconfirmed(result.broker, ErrorCode::NONE, None);
                    self.conclude(part.slot, sent.request, written, common);
                }
                Seen::Whole | Seen::Perhaps => self.conclude(part.slot, sent.request, result.clone(), common),
                Seen::InPart => self.unsent(part.slot, sent.request, result, common),
            }
        }
        self.list_all(&sent.parts, common);
    }

    /// Lists the lanes that a request was from, once all its batches have had their verdict.
    pub(crate) fn list_all(&mut self, parts: &[SentPart], common: &mut Common) {
        parts.iter().for_each(|part| self.list(part.slot, common));
    }

    /// The broker cannot have seen all of the request: the attempt certainly wrote nothing.
    fn unsent(&mut self, slot: u32, request: u64, result: &AttemptResult, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(index(slot)) else { return common.missing(LANE) };
        // After the producer has failed or was closed no batch is left.
        let Some((position, entry)) = lane.sent_in(request) else { return };
        let failed = result.failed(entry.attempts);
        entry.failed(&failed, result.is_lost());
        // What never went out whole is no attempt.
        entry.attempts -= 1;
        let (has_outcome, persisted) = (entry.has_outcome(), entry.persisted());
        common.recorder().error(result.error);
        self.wants_refresh = true;
        if has_outcome {
            drop(lane.failed(position, persisted));
        } else {
            common.warnings.attempt_failed(&lane.queue, &failed, Verdict::Retry { refresh: true }, common.now);
            send_again(lane, position, 1, common);
        }
    }

    /// Carries out the verdict on one attempt.
    pub(crate) fn conclude(&mut self, slot: u32, request: u64, result: AttemptResult, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(index(slot)) else { return common.missing(LANE) };
        // After the producer has failed or was closed no batch is left.
        let Some((position, entry)) = lane.sent_in(request) else { return };
        let facts = Facts {
            idempotent: self.window.idempotent,
            records: entry.records,
            waited_for: !entry.has_outcome(),
            may_retry: entry.retries < common.config.retries,
            first: position == 0,
            maybe_written: entry.maybe_written,
        };
        let verdict = verdict(result.error, facts);
        if result.error != ErrorCode::NONE {
            let failed = result.failed(entry.attempts);
            entry.failed(&failed, result.is_lost());
            entry.maybe_written |= result.error.row().written == Written::Unknown;
            common.recorder().error(result.error);
            common.warnings.attempt_failed(&lane.queue, &failed, verdict, common.now);
        }
        self.wants_refresh |= verdict == Verdict::Retry { refresh: true };
        carry_out(lane, position, verdict, &result, common);
        if matches!(verdict, Verdict::Fatal { .. }) {
            self.fail_producer(&result, common);
        }
    }

    /// Nothing of this producer will succeed any more.
    fn fail_producer(&mut self, result: &AttemptResult, common: &mut Common) {
        if common.accumulator.failure().is_none() {
            let reason = result.message.clone().unwrap_or_else(|| result.error.advice().into());
            tracing::error!(error = %result.error, %reason, "the producer cannot go on");
            common.accumulator.fail(result.error, &reason);
            let _ = self.fail_all(FailureKind::Fatal, common);
        }
    }
}

/// Carries out a verdict on the batch at `position` of a lane.
fn carry_out(lane: &mut Lane, position: usize, verdict: Verdict, result: &AttemptResult, common: &mut Common) {
    match verdict {
        Verdict::Acked | Verdict::Duplicate => acked(lane, position, verdict, result, common),
        Verdict::Retry { refresh } => {
            // Without a response, the leader may well be where it was.
            if refresh && result.error != ErrorCode::NETWORK_EXCEPTION {
                lane.doubt_leader();
            }
            retry(lane, position, common);
        }
        Verdict::BumpEpoch | Verdict::NewProducerId => {
            lane.restart_later(verdict == Verdict::NewProducerId);
            retry(lane, position, common);
        }
        Verdict::Again => lane.retry(position, common.now),
        Verdict::Split => split_smaller(lane, position, result, common),
        Verdict::Fail { persisted } | Verdict::Fatal { persisted } => fail(lane, position, persisted, result, common),
    }
}

/// The batch is in the log. The response to an attempt that wrote it says where, if it can be believed.
fn acked(lane: &mut Lane, position: usize, verdict: Verdict, result: &AttemptResult, common: &mut Common) {
    let confirmed = result.confirmed;
    let Some(mut entry) = lane.acked(position, confirmed) else { return common.missing(ENTRY) };
    let is_located = verdict == Verdict::Acked && confirmed;
    let base_offset = result.base_offset.filter(|base| is_located && entry.fits_at(*base));
    let append_time = result.append_time.filter(|time| is_located && entry.is_append_time(*time));
    let outcome = Outcome::Acked { base_offset, append_time, confirmed };
    entry.settle(outcome, &lane.queue.origin.topic, common.recorder(), common.now);
}

/// The batch is sent again, as it is, and that counts as one of its `retries`.
fn retry(lane: &mut Lane, position: usize, common: &mut Common) {
    let Some(entry) = lane.entry(position) else { return common.missing(ENTRY) };
    entry.retries = entry.retries.saturating_add(1);
    let failures = entry.attempts;
    send_again(lane, position, failures, common);
}

/// The batch is sent again after so many `failures`. Its wait is drawn once, now. The first time that its connection is lost it is
/// sent with the next one, whose own backoff is wait enough.
fn send_again(lane: &mut Lane, position: usize, failures: u32, common: &mut Common) {
    let Some(entry) = lane.entry(position) else { return common.missing(ENTRY) };
    let is_first_loss = entry.losses == 1;
    let wait = if is_first_loss { Duration::ZERO } else { common.retry.delay(failures, &mut common.chance) };
    let records = entry.records;
    common.recorder().retried(&lane.queue.origin.topic, records, common.now);
    lane.retry(position, common.now + wait);
}

/// The batch is sent again in parts, of a size that the topic may take.
fn split_smaller(lane: &mut Lane, position: usize, result: &AttemptResult, common: &mut Common) {
    let size = lane.too_large(position, common.now, common.config.metadata_max_age);
    if !size.is_some_and(|size| split_entry(lane, position, size, common)) {
        // The sender can read its own bytes, and the batch has no outcome yet, so this does not happen.
        fail(lane, position, Persisted::Unknown, result, common);
    }
}

/// Puts parts of at most `size` bytes before compression in the place of a batch, if it can be split.
pub(super) fn split_entry(lane: &mut Lane, position: usize, size: usize, common: &mut Common) -> bool {
    let Some(entry) = lane.entry(position) else { return common.missing(ENTRY) };
    let mut compressor = Compressor::new(common.accumulator.method());
    let parts = split(&entry.bytes(), size, &mut compressor).ok().and_then(|parts| entry.split(parts));
    let Some(parts) = parts else { return common.missing("the records of a batch that is to be split") };
    lane.replace(position, parts);
    common.recorder().split(common.now);
    true
}

/// The batch has failed for good.
fn fail(lane: &mut Lane, position: usize, persisted: Persisted, result: &AttemptResult, common: &mut Common) {
    let is_fatal = result.error.row().class == Class::Fatal;
    let kind = if is_fatal { FailureKind::Fatal } else { FailureKind::Rejected };
    let Some(mut entry) = lane.failed(position, persisted) else { return common.missing(ENTRY) };
    let origin = &lane.queue.origin;
    let mut failure = DeliveryFailure {
        code: result.error,
        retriable: result.error.retriable(),
        cause: result.message.as_ref().map(ToString::to_string),
        ..failure_of(&entry, origin, kind, common.now)
    };
    failure.advice = advice(&failure, common);
    entry.settle(refused(failure, result), &origin.topic, common.recorder(), common.now);
}

/// The outcome of a refused batch. Where the broker names the records (KIP-467), the others were only in bad company: they
/// were not written, and may be sent again.
fn refused(failure: DeliveryFailure, result: &AttemptResult) -> Outcome {
    if result.record_errors.is_empty() {
        return Outcome::Failed(DeliveryError::new(failure));
    }
    let guilty = result.record_errors.iter().map(|(record, message)| {
        let cause = message.clone().or_else(|| failure.cause.clone());
        (*record, DeliveryError::new(DeliveryFailure { cause, ..failure.clone() }))
    });
    let records = guilty.collect();
    let cause = Some("the broker refused other records of its batch".into());
    Outcome::Refused { records, others: DeliveryError::new(DeliveryFailure { retriable: true, cause, ..failure }) }
}
