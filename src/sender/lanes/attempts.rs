//! Attempts that are over: verdicts carried out.
//!
//! In: what a broker replied to each batch of a request, or the news that no response will come. Out: batches that are done, that go
//! again, that go in parts. Pure. Success only ever comes from here: from a reply to a batch of that very request, or, with `acks=0`,
//! from a request that went out whole.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    LANE, Lanes, Wishes,
    entry::{Entry, LastError},
    expiry::failure_of,
    index,
    lane::Lane,
    verdict::{Facts, Verdict, verdict},
};
use crate::{
    config::Acks,
    delivery::{Origin, Outcome},
    error::{DeliveryError, DeliveryFailure, ErrorCode, FailureKind, Persisted},
    sender::{
        backoff::{Backoff, Chance},
        common::{Common, Fatal},
        request::{Seen, SentBatches, SentPart},
        warnings::FailedAttempt,
    },
    wire::{
        apis::produce::{PartitionResult, TOPIC_IDS_FROM, TopicRef},
        compression::Compressor,
        errors::Written,
        record_batch::split::split,
    },
};

const ENTRY: &str = "the batch of an attempt";

/// One attempt to have a batch written that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) slot: u32,
    pub(crate) request: u64,
    pub(crate) broker: i32,
    /// Whether its connection ended with it.
    pub(crate) lost: bool,
}

impl Attempt {
    fn failed<'a>(self, origin: &'a Origin, number: u32, error: ErrorCode, cause: &'a str) -> FailedAttempt<'a> {
        FailedAttempt { slot: self.slot, origin, broker: self.broker, number, error, cause }
    }
}

/// What a broker replied to it, or what stands for a reply where there is none.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) error: ErrorCode,
    message: Option<Arc<str>>,
    base_offset: Option<i64>,
    append_time: Option<i64>,
    record_errors: Vec<(u32, Option<String>)>,
    /// Whether a broker said so.
    confirmed: bool,
}

impl Reply {
    fn error(error: ErrorCode, message: Option<Arc<str>>) -> Self {
        Self { error, message, base_offset: None, append_time: None, record_errors: Vec::new(), confirmed: true }
    }

    fn unconfirmed(self) -> Self {
        Self { confirmed: false, ..self }
    }

    /// The broker left the topic-partition out of its response.
    pub(crate) fn left_out(broker: i32) -> Self {
        let why = format!("broker {broker} left the partition out of its response");
        Self::error(ErrorCode::NETWORK_EXCEPTION, Some(why.into()))
    }
}

impl From<PartitionResult> for Reply {
    fn from(response: PartitionResult) -> Self {
        Self {
            error: response.error,
            message: response.message.map(Arc::from),
            base_offset: response.base_offset,
            append_time: response.append_time,
            record_errors: response.record_errors,
            confirmed: true,
        }
    }
}

impl Lanes {
    /// The entries of a response in the order of the request's parts; or why it cannot be a response, if it names what was not asked.
    pub(crate) fn by_part(
        &self,
        parts: &[SentPart],
        version: i16,
        responses: Vec<PartitionResult>,
    ) -> Result<Vec<Option<PartitionResult>>, String> {
        let keys: Vec<_> = parts.iter().map(|part| self.key(part, version)).collect();
        let mut entries: Vec<Option<PartitionResult>> = vec![None; parts.len()];
        // Brokers answer in the order they were asked, by topic: most of the time no look-up is needed.
        let mut places: Option<HashMap<_, usize>> = None;
        for (expected, response) in responses.into_iter().enumerate() {
            let is = |place: usize| {
                keys.get(place).is_some_and(|(topic, p)| *p == response.partition && *topic == response.topic)
            };
            let place = if is(expected) {
                Some(expected)
            } else {
                let places = places.get_or_insert_with(|| keys.iter().cloned().zip(0..).collect());
                places.get(&(response.topic.clone(), response.partition)).copied()
            };
            let Some(entry) = place.and_then(|place| entries.get_mut(place)) else {
                return Err(format!("response for a partition that was not asked: {}", response.partition));
            };
            if entry.is_some() {
                return Err(format!("two responses for partition {}", response.partition));
            }
            *entry = Some(response);
        }
        Ok(entries)
    }

    /// How a response of this version names a topic-partition.
    fn key(&self, part: &SentPart, version: i16) -> (TopicRef, i32) {
        let origin = self.origin(part.slot);
        let name = || origin.map_or_else(|| Arc::from(""), |origin| Arc::clone(&origin.topic));
        let topic = if version >= TOPIC_IDS_FROM { TopicRef::Id(part.topic_id) } else { TopicRef::Name(name()) };
        (topic, origin.map_or(-1, |origin| origin.partition))
    }

    /// The topic-partition of a lane.
    pub(crate) fn origin(&self, slot: u32) -> Option<&Origin> {
        self.lanes.get(index(slot)).map(|lane| &lane.queue.origin)
    }

    /// A request has no response. Without one, `acks=0` is content with a request that went out whole.
    pub(crate) fn unanswered(
        &mut self,
        broker: i32,
        sent: &SentBatches,
        error: ErrorCode,
        why: &Arc<str>,
        seen: Seen,
        common: &mut Common,
    ) {
        for part in &sent.parts {
            let attempt = Attempt { slot: part.slot, request: sent.request, broker, lost: is_lost(error) };
            match seen {
                Seen::Whole if common.config.acks == Acks::None => {
                    self.conclude(attempt, Reply::error(ErrorCode::NONE, None).unconfirmed(), common);
                }
                Seen::Whole | Seen::Perhaps => {
                    self.conclude(attempt, Reply::error(error, Some(Arc::clone(why))), common);
                }
                Seen::InPart => self.unsent(attempt, error, why, common),
            }
        }
        self.list_all(&sent.parts, common);
    }

    /// Lists the lanes that a request was from, once all its batches have had their verdict.
    pub(crate) fn list_all(&mut self, parts: &[SentPart], common: &mut Common) {
        parts.iter().for_each(|part| self.list(part.slot, common));
    }

    /// The broker cannot have seen all of the request: the attempt certainly wrote nothing.
    fn unsent(&mut self, attempt: Attempt, error: ErrorCode, why: &Arc<str>, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(index(attempt.slot)) else { return common.missing(LANE) };
        let origin = lane.queue.origin.clone();
        // After the producer has failed or was closed no batch is left.
        let Some((position, entry)) = lane.sent_in(attempt.request) else { return };
        common.recorder().error(error);
        entry.last_error = Some(LastError { code: error, broker: attempt.broker, message: Some(Arc::clone(why)) });
        // What never went out whole is no attempt.
        entry.attempts -= 1;
        let number = entry.attempts + 1;
        entry.losses = if is_lost(error) { entry.losses + 1 } else { 0 };
        if entry.is_given_up() {
            let persisted = if entry.maybe_written { Persisted::Unknown } else { Persisted::No };
            drop(lane.failed(position, persisted));
        } else {
            let wait = wait(entry, 1, common.retry(), &mut common.chance);
            common.recorder().retried(&origin.topic, entry.records, common.now);
            lane.retry(position, common.now + wait);
            let failed = attempt.failed(&origin, number, error, why);
            common.warnings.attempt_failed(failed, Verdict::Retry { refresh: true }, common.now);
        }
        self.wishes.refresh = true;
    }

    /// Carries out the verdict on one attempt.
    pub(crate) fn conclude(&mut self, attempt: Attempt, reply: Reply, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(index(attempt.slot)) else { return common.missing(LANE) };
        // After the producer has failed or was closed no batch is left.
        let Some((position, entry)) = lane.sent_in(attempt.request) else { return };
        let facts = Facts {
            idempotent: self.window.idempotent,
            records: entry.records,
            waited_for: !entry.is_given_up(),
            may_retry: entry.retries < common.config.retries,
            first: position == 0,
            maybe_written: entry.maybe_written,
        };
        let (verdict, number) = (verdict(reply.error, facts), entry.attempts);
        entry.losses = if attempt.lost { entry.losses + 1 } else { 0 };
        if reply.error != ErrorCode::NONE {
            common.recorder().error(reply.error);
            let message = reply.message.clone();
            entry.last_error = Some(LastError { code: reply.error, broker: attempt.broker, message });
            entry.maybe_written |= reply.error.row().written == Written::Unknown;
        }
        if !matches!(verdict, Verdict::Acked) {
            let cause = reply.message.as_deref().unwrap_or_else(|| reply.error.advice());
            let failed = attempt.failed(&lane.queue.origin, number, reply.error, cause);
            common.warnings.attempt_failed(failed, verdict, common.now);
        }
        carry_out(lane, position, verdict, reply, &mut self.wishes, common);
    }
}

/// Carries out a verdict on the batch at `position` of a lane.
fn carry_out(
    lane: &mut Lane,
    position: usize,
    verdict: Verdict,
    reply: Reply,
    wishes: &mut Wishes,
    common: &mut Common,
) {
    match verdict {
        Verdict::Acked | Verdict::Duplicate => acked(lane, position, verdict, &reply, common),
        Verdict::Retry { refresh } => {
            // Where no broker answered, the leader may well be where it was.
            if refresh && reply.error != ErrorCode::NETWORK_EXCEPTION {
                lane.doubt_leader();
            }
            wishes.refresh |= refresh;
            retry(lane, position, common);
        }
        Verdict::BumpEpoch | Verdict::NewProducerId => {
            lane.restart_later(verdict == Verdict::NewProducerId);
            retry(lane, position, common);
        }
        Verdict::Again => lane.retry(position, common.now),
        Verdict::Split => split_smaller(lane, position, common),
        Verdict::Fail { persisted } => fail(lane, position, FailureKind::Rejected, persisted, &reply, common),
        Verdict::Fatal { persisted } => {
            fail(lane, position, FailureKind::Fatal, persisted, &reply, common);
            let reason = reply.message.unwrap_or_else(|| reply.error.advice().into());
            wishes.fatal.get_or_insert(Fatal { code: reply.error, reason });
        }
    }
}

/// The batch is in the log; where is told by the reply to an attempt that wrote it, if it can be believed.
fn acked(lane: &mut Lane, position: usize, verdict: Verdict, reply: &Reply, common: &mut Common) {
    let confirmed = reply.confirmed;
    let Some(mut entry) = lane.acked(position, confirmed) else { return common.missing(ENTRY) };
    let told = verdict == Verdict::Acked && confirmed;
    let base_offset = reply.base_offset.filter(|base| told && entry.fits_at(*base));
    let append_time = reply.append_time.filter(|time| told && entry.is_append_time(*time));
    let outcome = Outcome::Acked { base_offset, append_time, confirmed };
    entry.settle(outcome, &lane.queue.origin.topic, common.recorder(), common.now);
}

/// The batch goes again, as it is. Its wait is drawn once, now.
fn retry(lane: &mut Lane, position: usize, common: &mut Common) {
    let Some(entry) = lane.entry(position) else { return common.missing(ENTRY) };
    entry.retries = entry.retries.saturating_add(1);
    let (backoff, records) = (common.retry(), entry.records);
    let wait = wait(entry, entry.attempts, backoff, &mut common.chance);
    common.recorder().retried(&lane.queue.origin.topic, records, common.now);
    lane.retry(position, common.now + wait);
}

/// The batch goes again in parts, of a size that the topic may take.
fn split_smaller(lane: &mut Lane, position: usize, common: &mut Common) {
    let size = lane.too_large(position, common.now, common.config.metadata_max_age);
    if !size.is_some_and(|size| split_entry(lane, position, size, common)) {
        // Our own bytes can be read, and somebody waits: neither happens. If it did, it would be told as it is.
        let reply = Reply::error(ErrorCode::MESSAGE_TOO_LARGE, None);
        fail(lane, position, FailureKind::Rejected, Persisted::Unknown, &reply, common);
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
fn fail(lane: &mut Lane, position: usize, kind: FailureKind, persisted: Persisted, reply: &Reply, common: &mut Common) {
    let origin = lane.queue.origin.clone();
    let Some(mut entry) = lane.failed(position, persisted) else { return common.missing(ENTRY) };
    let failure = DeliveryFailure {
        persisted,
        code: reply.error,
        retriable: reply.error.retriable(),
        cause: reply.message.as_ref().map(ToString::to_string),
        ..failure_of(&entry, &origin, kind, common.now)
    };
    entry.settle(refused(failure, reply), &origin.topic, common.recorder(), common.now);
}

/// How long a batch waits before it goes again, after so many `failures`. The first time that its connection is lost it goes
/// with the next one, whose own backoff is wait enough.
fn wait(entry: &Entry, failures: u32, retry: Backoff, chance: &mut Chance) -> Duration {
    if entry.losses == 1 { Duration::ZERO } else { retry.delay(failures, chance) }
}

/// Whether a connection without a response was lost. One that we gave up had a broker that was too slow, and sending again at
/// once would not let it breathe.
fn is_lost(error: ErrorCode) -> bool {
    error != ErrorCode::REQUEST_TIMED_OUT
}

/// The outcome of a refused batch. Where the broker names the records (KIP-467), the others were only in bad company: they
/// were not written, and may be sent again.
fn refused(failure: DeliveryFailure, reply: &Reply) -> Outcome {
    if reply.record_errors.is_empty() {
        return Outcome::Failed(DeliveryError::new(failure));
    }
    let guilty = reply.record_errors.iter().map(|(record, message)| {
        let cause = message.clone().or_else(|| failure.cause.clone());
        (*record, DeliveryError::new(DeliveryFailure { cause, ..failure.clone() }))
    });
    let records = guilty.collect();
    let cause = Some("the broker refused other records of its batch".into());
    Outcome::Refused { records, others: DeliveryError::new(DeliveryFailure { retriable: true, cause, ..failure }) }
}
