//! Stored events as rows of the backlog and as records, and what a failure says of an event.
//!
//! In and out: plain values. Pure.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Instant,
};

use milena::{Header, Record};

use super::{Blame, backlog::Row};
use crate::{
    Failure,
    breaker::Counts,
    reconcile::Found,
    retry::POSSIBLE_DUPLICATE,
    store::{EventError, StoredEvent},
};

/// What a failure says of the event.
pub(crate) fn blame(failure: &Failure) -> Blame {
    if Counts::of(failure) == Counts::Failure || failure.producer_is_gone() {
        Blame::Outage
    } else if failure.is_fatal() {
        Blame::Permanent
    } else {
        Blame::Event
    }
}

pub(crate) fn error_of(failure: &Failure) -> EventError {
    EventError::new(failure.type_name(), failure.to_string())
}

pub(super) fn row_of(event: StoredEvent, in_order: bool) -> Row<Arc<StoredEvent>> {
    Row {
        seq: event.seq.0,
        lane: event.key.as_ref().filter(|_| in_order).map(|key| lane_of(&event.topic, key)),
        bytes: usize::try_from(event.bytes).unwrap_or(usize::MAX),
        due_in: event.due_in,
        event: Arc::new(event),
    }
}

/// The events of one topic and key. The number is for this process alone.
fn lane_of(topic: &str, key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (topic, key).hash(&mut hasher);
    hasher.finish()
}

/// A stored event as a record. One that may have been sent before says so, unless the log says that it was not written.
pub(super) fn record_of(event: &StoredEvent, found: Found) -> Record<'_> {
    let record = record(&event.topic, event.key.as_deref(), event.payload.as_deref(), &event.headers);
    let is_repeated = event.maybe_sent && found != Found::NotWritten;
    if is_repeated { record.without_header(POSSIBLE_DUPLICATE).header(POSSIBLE_DUPLICATE, "1") } else { record }
}

/// The parts of an event as a record.
pub(crate) fn record<'a>(
    topic: &'a str,
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    headers: &'a [(String, Option<Vec<u8>>)],
) -> Record<'a> {
    let headers = headers.iter().map(|(name, value)| match value {
        Some(value) => Header::new(name, value),
        None => Header::null(name),
    });
    let record = Record::to(topic).with_payload(key.map(Cow::Borrowed), payload.map(Cow::Borrowed));
    headers.fold(record, Record::with_header)
}

/// The event as it may be sent now. If the process was stopped until others can have the lease, they may have sent it.
pub(super) fn flagged_after(lease_end: Instant, now: Instant, event: Arc<StoredEvent>) -> Arc<StoredEvent> {
    if now < lease_end { event } else { Arc::new(StoredEvent { maybe_sent: true, ..(*event).clone() }) }
}
