//! Answers to Produce requests: verdicts carried out.
//!
//! In: an answer, or the news that none will come. Out: batches that are done, that go again, that go in parts. Pure.
//! Success only ever comes from here: from an entry of an answer that belongs to a batch of that very request, or, with
//! `acks=0`, from a request that went out whole.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Backoff, Chance, Fatal, Sender,
    entry::{Entry, LastError},
    expiry::failure_of,
    index,
    nodes::{ConnectionId, InFlight, Seen, SentPart},
    verdict::{Facts, Verdict, verdict},
    warnings,
};
use crate::{
    config::Acks,
    delivery::{Origin, Outcome},
    error::{DeliveryError, DeliveryFailure, ErrorCode, FailureKind, Persisted},
    wire::{
        apis::produce::{PartitionAnswer, ProduceAnswer, TopicRef},
        compression::Compressor,
        errors::Written,
        record_batch::split::split,
    },
};

/// The most that is believed of how long a broker leaves requests unread. Quotas lead to minutes where requests are large and what is
/// allowed is little (KIP-219 knows no limit).
const LONGEST_THROTTLE: Duration = Duration::from_secs(3_600);

/// One attempt that is over.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    slot: u32,
    request: u64,
    broker: i32,
    /// Whether its connection ended with it.
    lost: bool,
}

impl Attempt {
    fn failed<'a>(self, origin: &'a Origin, number: u32, error: ErrorCode, cause: &'a str) -> warnings::Attempt<'a> {
        warnings::Attempt { slot: self.slot, origin, broker: self.broker, number, error, cause }
    }
}

/// What a broker, or the lack of one, said to it.
#[derive(Debug)]
struct Said {
    error: ErrorCode,
    message: Option<Arc<str>>,
    base_offset: Option<i64>,
    append_time: Option<i64>,
    record_errors: Vec<(u32, Option<String>)>,
    /// Whether a broker said so.
    confirmed: bool,
}

impl Said {
    fn error(error: ErrorCode, message: Option<Arc<str>>) -> Self {
        Self { error, message, base_offset: None, append_time: None, record_errors: Vec::new(), confirmed: true }
    }

    fn unconfirmed(self) -> Self {
        Self { confirmed: false, ..self }
    }
}

impl From<PartitionAnswer> for Said {
    fn from(answer: PartitionAnswer) -> Self {
        Self {
            error: answer.error,
            message: answer.message.map(Arc::from),
            base_offset: answer.base_offset,
            append_time: answer.append_time,
            record_errors: answer.record_errors,
            confirmed: true,
        }
    }
}

impl Sender {
    /// An answer came. Returns why it cannot be one, if it names what was not asked.
    pub(super) fn produced(
        &mut self,
        now: Instant,
        broker: i32,
        request: InFlight,
        answer: ProduceAnswer,
    ) -> Result<(), String> {
        let mut entries = match self.by_part(&request, answer.partitions) {
            Ok(entries) => entries,
            Err(why) => {
                self.unanswered(now, broker, &request, ErrorCode::NETWORK_EXCEPTION, &why.as_str().into(), Seen::Whole);
                return Err(why);
            }
        };
        for (part, entry) in request.parts.iter().zip(&mut entries) {
            let leader = entry.as_ref().and_then(|entry| entry.leader);
            let said = entry.take().map_or_else(|| left_out(broker), Said::from);
            let error = said.error;
            self.conclude(now, Attempt { slot: part.slot, request: request.request, broker, lost: false }, said);
            if let Some(leader) = leader.filter(|_| hints(error)) {
                self.hint(part.slot, leader, &answer.brokers, now);
            }
        }
        self.list_all(&request.parts, now);
        Ok(())
    }

    /// The entries of an answer in the order of the request's parts.
    fn by_part(
        &self,
        request: &InFlight,
        answers: Vec<PartitionAnswer>,
    ) -> Result<Vec<Option<PartitionAnswer>>, String> {
        let keys: Vec<_> = request.parts.iter().map(|part| self.key(part, request.version)).collect();
        let mut entries: Vec<Option<PartitionAnswer>> = vec![None; request.parts.len()];
        // Brokers answer in the order they were asked, by topic: most of the time no look-up is needed.
        let mut places: Option<HashMap<_, usize>> = None;
        for (expected, answer) in answers.into_iter().enumerate() {
            let is = |place: usize| {
                keys.get(place).is_some_and(|(topic, p)| *p == answer.partition && *topic == answer.topic)
            };
            let place = if is(expected) {
                Some(expected)
            } else {
                let places = places.get_or_insert_with(|| keys.iter().cloned().zip(0..).collect());
                places.get(&(answer.topic.clone(), answer.partition)).copied()
            };
            let Some(entry) = place.and_then(|place| entries.get_mut(place)) else {
                return Err(format!("answer for a partition that was not asked: {}", answer.partition));
            };
            if entry.is_some() {
                return Err(format!("two answers for partition {}", answer.partition));
            }
            *entry = Some(answer);
        }
        Ok(entries)
    }

    fn key(&self, part: &SentPart, version: i16) -> (TopicRef, i32) {
        let origin = self.lanes.get(index(part.slot)).map(|lane| &lane.queue.origin);
        let by_id = version >= crate::wire::apis::produce::TOPIC_IDS_FROM;
        let name = || origin.map_or_else(|| Arc::from(""), |origin| Arc::clone(&origin.topic));
        let topic = if by_id { TopicRef::Id(part.topic_id) } else { TopicRef::Name(name()) };
        (topic, origin.map_or(-1, |origin| origin.partition))
    }

    /// No answer will come. Without one, `acks=0` is content with a request that went out whole.
    pub(super) fn unanswered(
        &mut self,
        now: Instant,
        broker: i32,
        request: &InFlight,
        error: ErrorCode,
        why: &Arc<str>,
        seen: Seen,
    ) {
        for part in &request.parts {
            let attempt = Attempt { slot: part.slot, request: request.request, broker, lost: is_lost(error) };
            match seen {
                Seen::Whole if self.config.acks == Acks::None => {
                    self.conclude(now, attempt, Said::error(ErrorCode::NONE, None).unconfirmed());
                }
                Seen::Whole | Seen::Perhaps => self.conclude(now, attempt, Said::error(error, Some(Arc::clone(why)))),
                Seen::InPart => self.unsent(now, attempt, error, why),
            }
        }
        self.list_all(&request.parts, now);
    }

    /// A request without an answer (`acks=0`) went out whole.
    pub(super) fn written(&mut self, now: Instant, connection: ConnectionId, correlation: i32) {
        let Some((&id, node)) = self.connections.get(&connection).and_then(|id| Some((id, self.nodes.get_mut(id)?)))
        else {
            return;
        };
        let Some(request) = node.take_written(correlation) else { return };
        self.accumulator.recorder().unanswered(1);
        self.unanswered(now, id, &request, ErrorCode::NONE, &"".into(), Seen::Whole);
    }

    fn list_all(&mut self, parts: &[SentPart], now: Instant) {
        parts.iter().for_each(|part| self.list(part.slot, now));
    }

    /// The broker cannot have seen all of the request: the attempt certainly wrote nothing.
    fn unsent(&mut self, now: Instant, attempt: Attempt, error: ErrorCode, why: &Arc<str>) {
        let Some(lane) = self.lanes.get_mut(index(attempt.slot)) else { return };
        let origin = lane.queue.origin.clone();
        let Some(position) = lane.position(attempt.request) else { return };
        let Some(entry) = lane.entry(position) else { return };
        self.accumulator.recorder().error(error);
        entry.last_error = Some(LastError { code: error, broker: attempt.broker, message: Some(Arc::clone(why)) });
        // What never went out whole is no attempt.
        entry.attempts -= 1;
        let number = entry.attempts + 1;
        entry.losses = if is_lost(error) { entry.losses + 1 } else { 0 };
        if entry.is_given_up() {
            let persisted = if entry.maybe_written { Persisted::Unknown } else { Persisted::No };
            drop(lane.failed(position, persisted));
        } else {
            let wait = wait(entry, 1, self.retry, &mut self.chance);
            self.accumulator.recorder().retried(&origin.topic, entry.records, now);
            lane.retry(position, now + wait);
            let failed = attempt.failed(&origin, number, error, why);
            self.warnings.attempt_failed(failed, Verdict::Retry { refresh: true }, now);
        }
        self.metadata.refresh(now);
    }

    /// Carries out the verdict on one attempt.
    fn conclude(&mut self, now: Instant, attempt: Attempt, said: Said) {
        let idempotent = self.window.idempotent;
        let retries = self.config.retries;
        let Some(lane) = self.lanes.get_mut(index(attempt.slot)) else { return };
        let Some(position) = lane.position(attempt.request) else { return };
        let Some(entry) = lane.entry(position) else { return };
        let facts = Facts {
            idempotent,
            records: entry.records,
            waited_for: !entry.is_given_up(),
            may_retry: entry.retries < retries,
            first: position == 0,
            maybe_written: entry.maybe_written,
        };
        let (verdict, number) = (verdict(said.error, facts), entry.attempts);
        entry.losses = if attempt.lost { entry.losses + 1 } else { 0 };
        if said.error != ErrorCode::NONE {
            self.accumulator.recorder().error(said.error);
            let message = said.message.clone();
            entry.last_error = Some(LastError { code: said.error, broker: attempt.broker, message });
            entry.maybe_written |= said.error.row().written == Written::Unknown;
        }
        if !matches!(verdict, Verdict::Acked) {
            let cause = said.message.as_deref().unwrap_or_else(|| said.error.advice());
            let failed = attempt.failed(&lane.queue.origin, number, said.error, cause);
            self.warnings.attempt_failed(failed, verdict, now);
        }
        self.carry_out(now, attempt, position, verdict, said);
    }

    fn carry_out(&mut self, now: Instant, attempt: Attempt, position: usize, verdict: Verdict, said: Said) {
        let Some(lane) = self.lanes.get_mut(index(attempt.slot)) else { return };
        match verdict {
            Verdict::Acked | Verdict::Duplicate => {
                let told = verdict == Verdict::Acked && said.confirmed;
                if let Some(mut entry) = lane.acked(position, said.confirmed) {
                    let base_offset = said.base_offset.filter(|base| told && entry.fits_at(*base));
                    let append_time = said.append_time.filter(|time| told && entry.is_append_time(*time));
                    let (topic, recorder) = (&lane.queue.origin.topic, self.accumulator.recorder());
                    let confirmed = said.confirmed;
                    entry.settle(Outcome::Acked { base_offset, append_time, confirmed }, topic, recorder, now);
                }
            }
            Verdict::Retry { refresh } => {
                // Where no broker answered, the leader may well be where it was.
                if refresh && said.error != ErrorCode::NETWORK_EXCEPTION {
                    lane.doubt_leader();
                }
                if refresh {
                    self.metadata.refresh(now);
                }
                self.retry(now, attempt, position);
            }
            Verdict::BumpEpoch | Verdict::NewProducerId => {
                lane.restart_later(verdict == Verdict::NewProducerId);
                self.retry(now, attempt, position);
            }
            Verdict::Again => lane.retry(position, now),
            Verdict::Split => self.split(now, attempt, position),
            Verdict::Fail { persisted } => self.fail(now, attempt, position, FailureKind::Rejected, persisted, &said),
            Verdict::Fatal { persisted } => {
                self.fail(now, attempt, position, FailureKind::Fatal, persisted, &said);
                let reason = said.message.unwrap_or_else(|| said.error.advice().into());
                self.die(Fatal { code: said.error, reason });
            }
        }
    }

    /// The batch goes again, as it is. Its wait is drawn once, now.
    fn retry(&mut self, now: Instant, attempt: Attempt, position: usize) {
        let Some(lane) = self.lanes.get_mut(index(attempt.slot)) else { return };
        let Some(entry) = lane.entry(position) else { return };
        entry.retries = entry.retries.saturating_add(1);
        let (wait, records) = (wait(entry, entry.attempts, self.retry, &mut self.chance), entry.records);
        self.accumulator.recorder().retried(&lane.queue.origin.topic, records, now);
        lane.retry(position, now + wait);
    }

    /// The batch goes again in parts, of a size that the topic may take.
    fn split(&mut self, now: Instant, attempt: Attempt, position: usize) {
        let memory = self.config.metadata_max_age;
        let size = self.lanes.get_mut(index(attempt.slot)).and_then(|lane| lane.too_large(position, now, memory));
        if !size.is_some_and(|size| self.split_entry(attempt.slot, position, size, now)) {
            // Our own bytes can be read, and somebody waits: neither happens. If it did, it would be told as it is.
            let said = Said::error(ErrorCode::MESSAGE_TOO_LARGE, None);
            self.fail(now, attempt, position, FailureKind::Rejected, Persisted::Unknown, &said);
        }
    }

    /// Puts parts of at most `size` bytes before compression in the place of a batch, if it can be split.
    pub(super) fn split_entry(&mut self, slot: u32, position: usize, size: usize, now: Instant) -> bool {
        let Some(lane) = self.lanes.get_mut(index(slot)) else { return false };
        let Some(entry) = lane.entry(position) else { return false };
        let mut compressor = Compressor::new(self.accumulator.method());
        let parts = split(&entry.bytes(), size, &mut compressor).ok().and_then(|parts| entry.split(parts));
        let Some(parts) = parts else { return false };
        lane.replace(position, parts);
        self.accumulator.recorder().split(now);
        true
    }

    /// The batch has failed for good.
    fn fail(
        &mut self,
        now: Instant,
        attempt: Attempt,
        position: usize,
        kind: FailureKind,
        persisted: Persisted,
        said: &Said,
    ) {
        let Some(lane) = self.lanes.get_mut(index(attempt.slot)) else { return };
        let origin = lane.queue.origin.clone();
        let Some(mut entry) = lane.failed(position, persisted) else { return };
        let failure = DeliveryFailure {
            persisted,
            code: said.error,
            retriable: said.error.retriable(),
            cause: said.message.as_ref().map(ToString::to_string),
            ..failure_of(&entry, &origin, kind, now)
        };
        entry.settle(refused(failure, said), &origin.topic, self.accumulator.recorder(), now);
    }

    /// Nothing of this producer will succeed any more.
    pub(super) fn die(&mut self, fatal: Fatal) {
        if self.fatal.is_none() {
            tracing::error!(error = %fatal.code, reason = %fatal.reason, "the producer cannot go on");
            self.accumulator.fail(fatal.code, &fatal.reason);
            self.fatal = Some(fatal);
            self.fail_all(FailureKind::Fatal);
        }
    }

    fn hint(&mut self, slot: u32, leader: (i32, i32), brokers: &[crate::cluster::Broker], now: Instant) {
        let Some(origin) = self.lanes.get(index(slot)).map(|lane| lane.queue.origin.clone()) else { return };
        if self.metadata.hint(&origin.topic, origin.partition, leader, brokers) {
            self.sync_nodes(now);
            self.lead(slot, Some(super::lane::Leader { node: leader.0, epoch: leader.1 }), false, now);
        }
    }

    /// Mutes a broker that asked for it, no longer than a record may wait. What is on its way to it may take as much longer.
    pub(super) fn throttle(&mut self, id: i32, throttle_ms: i32, now: Instant) {
        let asked = Duration::from_millis(u64::try_from(throttle_ms).unwrap_or(0));
        self.accumulator.recorder().throttled(asked);
        if let Some(node) = self.nodes.get_mut(&id).filter(|_| !asked.is_zero()) {
            let until = now + asked.min(LONGEST_THROTTLE);
            node.throttled_until = node.throttled_until.max(Some(until));
            node.muted_until = node.muted_until.max(Some(until.min(now + self.config.delivery_timeout)));
        }
    }
}

/// How long a batch waits before it goes again, after so many `failures`. The first time that its connection is lost it goes
/// with the next one, whose own backoff is wait enough.
fn wait(entry: &Entry, failures: u32, retry: Backoff, chance: &mut Chance) -> Duration {
    if entry.losses == 1 { Duration::ZERO } else { retry.delay(failures, chance) }
}

/// Whether a connection without an answer was lost. One that we gave up had a broker that was too slow, and sending again at
/// once would not let it breathe.
fn is_lost(error: ErrorCode) -> bool {
    error != ErrorCode::REQUEST_TIMED_OUT
}

/// Only these two errors mean that the leader is elsewhere (KIP-951).
fn hints(error: ErrorCode) -> bool {
    error == ErrorCode::NOT_LEADER_OR_FOLLOWER || error == ErrorCode::FENCED_LEADER_EPOCH
}

fn left_out(broker: i32) -> Said {
    Said::error(
        ErrorCode::NETWORK_EXCEPTION,
        Some(format!("broker {broker} left the partition out of its answer").into()),
    )
}

/// The outcome of a refused batch. Where the broker names the records (KIP-467), the others were only in bad company: they
/// were not written, and may be sent again.
fn refused(failure: DeliveryFailure, said: &Said) -> Outcome {
    if said.record_errors.is_empty() {
        return Outcome::Failed(DeliveryError::new(failure));
    }
    let guilty = said.record_errors.iter().map(|(record, message)| {
        let cause = message.clone().or_else(|| failure.cause.clone());
        (*record, DeliveryError::new(DeliveryFailure { cause, ..failure.clone() }))
    });
    let records = guilty.collect();
    let cause = Some("the broker refused other records of its batch".into());
    Outcome::Refused { records, others: DeliveryError::new(DeliveryFailure { retriable: true, cause, ..failure }) }
}
