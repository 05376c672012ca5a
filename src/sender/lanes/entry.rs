//! One batch in its lane.
//!
//! In: a sealed batch. Out: its bytes, each time it is sent, and its outcome. Pure. Between a send
//! and the broker's definite no its bytes and its stamp do not change; they are reference counted, so what a socket still
//! holds stays as it is, whatever becomes of the batch.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    accumulator::{Held, SealedBatch},
    delivery::{Completer, Outcome},
    error::{ErrorCode, Persisted},
    metrics::{Ended, Recorder, SentBatch},
    wire::record_batch::{
        split::SplitBatch,
        writer::{Stamp, stamp},
    },
};

/// Whether a batch is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is to be sent, for the first time or again.
    Waiting,
    /// It went out in this request, whose response has not come.
    InFlight(u64),
}

/// A hole in the row of sequence numbers. It is stepped over with the next epoch, once nothing is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// What is missing is certainly not in the log.
    Certain,
    /// What is missing may be in the log, or may yet come to be.
    Unknown,
}

/// An attempt to send a batch that was not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct FailedAttempt {
    /// How often the batch had been sent, with this attempt.
    pub(crate) number: u32,
    pub(crate) broker: i32,
    pub(crate) code: ErrorCode,
    /// The broker's words, or how the connection ended.
    pub(crate) message: Option<Arc<str>>,
}

impl FailedAttempt {
    /// The message, or else what the error code means.
    pub(crate) fn cause(&self) -> &str {
        self.message.as_deref().unwrap_or_else(|| self.code.advice())
    }
}

/// One batch in its lane.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) state: State,
    pub(crate) records: u32,
    /// Bytes before compression.
    uncompressed: usize,
    pub(crate) created: Instant,
    /// How often it was sent whole, or may have been.
    pub(crate) attempts: u32,
    /// How often it was sent again because an attempt had failed: what `retries` counts.
    pub(crate) retries: u32,
    /// Attempts in a row, up to the last one, whose connection was lost.
    pub(crate) losses: u32,
    /// Whether an attempt went out whole and had no definite response.
    pub(crate) maybe_written: bool,
    pub(crate) last_failure: Option<FailedAttempt>,
    /// What is missing between the batch before it and this one, as they were stamped.
    pub(crate) gap_before: Option<Gap>,
    bytes: Encoded,
    stamp: Option<Stamp>,
    completer: Option<Completer>,
    held: Option<Held>,
}

#[derive(Debug)]
enum Encoded {
    /// Not sent since it was encoded.
    Fresh(Vec<u8>),
    /// Perhaps still held by a socket.
    Frozen(Bytes),
}

impl Entry {
    pub(crate) fn new(batch: SealedBatch) -> Self {
        let SealedBatch { bytes, uncompressed, records, created, completer, held } = batch;
        Self {
            state: State::Waiting,
            records,
            uncompressed,
            created,
            attempts: 0,
            retries: 0,
            losses: 0,
            maybe_written: false,
            last_failure: None,
            gap_before: None,
            bytes: Encoded::Fresh(bytes),
            stamp: None,
            completer: Some(completer),
            held: Some(held),
        }
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        matches!(self.state, State::InFlight(_))
    }

    /// Whether it has its outcome, and is kept only for what is in flight.
    pub(crate) fn has_outcome(&self) -> bool {
        self.completer.is_none()
    }

    /// Its last attempt failed, and its connection may have been lost.
    pub(crate) fn failed(&mut self, attempt: &FailedAttempt, lost: bool) {
        self.losses = if lost { self.losses + 1 } else { 0 };
        self.last_failure = Some(attempt.clone());
    }

    /// Whether it is in the log, if it is given up now.
    pub(crate) fn persisted(&self) -> Persisted {
        if self.maybe_written { Persisted::Unknown } else { Persisted::No }
    }

    /// A limit for bytes on the wire, as one for bytes before compression.
    pub(crate) fn before_compression(&self, limit: usize) -> usize {
        limit.saturating_mul(self.uncompressed) / self.len().max(1)
    }

    /// Bytes on the wire.
    pub(crate) fn len(&self) -> usize {
        match &self.bytes {
            Encoded::Fresh(bytes) => bytes.len(),
            Encoded::Frozen(bytes) => bytes.len(),
        }
    }

    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// Gives it a stamp. Bytes that a socket may still hold are left as they are: they are copied.
    pub(crate) fn put_stamp(&mut self, origin: Stamp) {
        let bytes = std::mem::replace(&mut self.bytes, Encoded::Fresh(Vec::new()));
        let mut bytes = match bytes {
            Encoded::Fresh(bytes) => bytes,
            Encoded::Frozen(bytes) => bytes.into(),
        };
        stamp(&mut bytes, origin);
        (self.bytes, self.stamp) = (Encoded::Fresh(bytes), Some(origin));
    }

    /// Has it stamped anew before it is sent again.
    pub(crate) fn clear_stamp(&mut self) {
        (self.stamp, self.gap_before) = (None, None);
    }

    /// Its bytes, from now on immutable.
    pub(crate) fn send(&mut self, request: u64) -> Bytes {
        let bytes = match std::mem::replace(&mut self.bytes, Encoded::Fresh(Vec::new())) {
            Encoded::Fresh(bytes) => Bytes::from(bytes),
            Encoded::Frozen(bytes) => bytes,
        };
        self.bytes = Encoded::Frozen(bytes.clone());
        self.state = State::InFlight(request);
        self.attempts += 1;
        if let Some(completer) = &mut self.completer {
            completer.mark_sent();
        }
        bytes
    }

    /// Whether the time in an acknowledgement is when the broker appended the batch. A broker that has the batch already
    /// returns the batch's latest timestamp in its place, whatever the topic's timestamps mean.
    pub(crate) fn is_append_time(&self, time: i64) -> bool {
        let latest = self.bytes().get(35..43).and_then(|field| field.first_chunk().copied()).map(i64::from_be_bytes);
        self.attempts == 1 || latest != Some(time)
    }

    /// Whether its records can stand one after the other from this offset on: an offset that they would go beyond the end of
    /// all offsets with is none that a broker can have given them.
    pub(crate) fn fits_at(&self, base_offset: i64) -> bool {
        base_offset.checked_add(i64::from(self.records)).is_some()
    }

    /// Its bytes, to be split.
    pub(crate) fn bytes(&self) -> Bytes {
        match &self.bytes {
            Encoded::Fresh(bytes) => Bytes::copy_from_slice(bytes),
            Encoded::Frozen(bytes) => bytes.clone(),
        }
    }

    /// What is counted of it when it is sent.
    pub(crate) fn measured(&self, now: Instant) -> SentBatch {
        let queued = now.saturating_duration_since(self.created);
        SentBatch { records: self.records, bytes: self.len(), uncompressed: self.uncompressed, queued }
    }

    /// Completes the batch with this outcome, if it has none yet, and counts it.
    pub(crate) fn settle(&mut self, outcome: Outcome, topic: &Arc<str>, recorder: &Recorder, now: Instant) {
        if !self.has_outcome() {
            let ended = match &outcome {
                Outcome::Failed(error) | Outcome::Refused { others: error, .. } => Ended::Failed(error.persisted()),
                Outcome::Acked { .. } | Outcome::Split(_) => Ended::Acked,
            };
            recorder.ended(topic, self.records, ended, now.saturating_duration_since(self.created), now);
        }
        self.complete(outcome);
    }

    /// Completes the records. A batch that is in flight keeps its bytes and their memory.
    fn complete(&mut self, outcome: Outcome) {
        let Some(completer) = self.completer.take() else { return };
        if self.is_in_flight() {
            let token = self.held.as_mut().and_then(|held| held.token.take());
            completer.complete(outcome, Box::new(token));
        } else {
            self.recycle();
            completer.complete(outcome, Box::new(self.held.take()));
        }
    }

    /// Gives its buffer back, if no socket holds it.
    fn recycle(&mut self) {
        let Some(held) = &self.held else { return };
        match std::mem::replace(&mut self.bytes, Encoded::Fresh(Vec::new())) {
            Encoded::Frozen(bytes) if bytes.is_unique() => held.charge.memory().recycle(bytes.into()),
            Encoded::Fresh(bytes) => held.charge.memory().recycle(bytes),
            Encoded::Frozen(_) => {}
        }
    }

    /// Becomes its parts, which take its place, its age and its records' deliveries.
    pub(crate) fn split(&mut self, parts: Vec<SplitBatch>) -> Option<Vec<Self>> {
        let (completer, held) = (self.completer.take()?, self.held.take()?);
        let firsts: Vec<_> = parts.iter().map(|part| part.first).collect();
        let Held { mut charge, token } = held;
        // The parts' bytes, and their callbacks, are charged to the whole batch's share; its own buffer goes.
        self.bytes = Encoded::Fresh(Vec::new());
        let parts = parts.into_iter().zip(completer.split(&firsts)).map(|(part, completer)| {
            let share = charge.split_off(part.bytes.len() + completer.notices().bytes());
            let held = Held { charge: share, token: token.clone() };
            let sealed = SealedBatch {
                bytes: part.bytes,
                uncompressed: part.uncompressed,
                records: part.records,
                created: self.created,
                completer,
                held,
            };
            Self { maybe_written: self.maybe_written, last_failure: self.last_failure.clone(), ..Self::new(sealed) }
        });
        Some(parts.collect())
    }
}
