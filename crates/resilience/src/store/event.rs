//! Events on their way into a store and out of it.
//!
//! In: what a publisher could not send. Out: rows. Pure.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use milena::Ack;
use uuid::Uuid;

use super::slot::slot_of;

/// An event's place in the order in which a store accepted events: the first is 1. It is never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(
    /// The number, 0 for the place before all events.
    pub i64,
);

impl Seq {
    /// The place before all events.
    pub const START: Self = Self(0);
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where an event stands. The names are those of the column `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// `PENDING`: it has not been tried from the store, or only an outage was in the way.
    Pending,
    /// `RETRYING`: it failed, and waits for its next attempt.
    Retrying,
    /// `RESOLVED`: it was published. Such a row is there only with a retention.
    Resolved,
    /// `DLQ`: it is in the dead-letter topic. Such a row is there only with a retention.
    DeadLettered,
    /// `DLQ_FAILED`: it could not be published, and not be put into the dead-letter topic. It waits for an operator.
    DeadLetterFailed,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Retrying, Self::Resolved, Self::DeadLettered, Self::DeadLetterFailed];

    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Retrying => "RETRYING",
            Self::Resolved => "RESOLVED",
            Self::DeadLettered => "DLQ",
            Self::DeadLetterFailed => "DLQ_FAILED",
        }
    }

    /// Whether the relay still has to do something for the event.
    #[must_use]
    pub fn is_unsettled(self) -> bool {
        matches!(self, Self::Pending | Self::Retrying)
    }

    /// Whether the event has reached a topic. Such a row stays only for the retention.
    #[must_use]
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Resolved | Self::DeadLettered)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no status: {0:?}; expected PENDING, RETRYING, RESOLVED, DLQ or DLQ_FAILED")]
pub struct InvalidStatus(String);

impl FromStr for Status {
    type Err = InvalidStatus;

    fn from_str(text: &str) -> Result<Self, InvalidStatus> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| InvalidStatus(text.chars().take(40).collect()))
    }
}

/// Why an event could not be published: a class for programs, a text for people. Both are cut where they are too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventError {
    class: String,
    text: String,
}

impl EventError {
    /// `class` is the error's type, such as [`Failure::type_name`](crate::Failure::type_name), at most 100 bytes of it;
    /// `text` is the error, at most 1,000 bytes of it.
    #[must_use]
    pub fn new(class: impl Into<String>, text: impl Into<String>) -> Self {
        Self { class: cut(class.into(), 100), text: cut(text.into(), 1000) }
    }

    /// The error's type.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.class
    }

    /// The error.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

/// An event that a store is to keep.
///
/// ```
/// use milena_resilience::store::NewEvent;
///
/// let event = NewEvent::new(uuid::Uuid::now_v7(), "orders", "nine").key("user-1").header("eventType", "placed");
/// assert_eq!(event.topic, "orders");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The event's id. Two events with the same id are two rows.
    pub event_id: Uuid,
    /// The topic.
    pub topic: String,
    /// The key. Events of one topic and key are published in the order in which they were stored. Events without a key
    /// have no order among each other.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Whether an attempt to publish it may have been written, so that the relay has to mark it as a possible
    /// duplicate.
    pub maybe_sent: bool,
    /// How long the relay shall leave it alone. `None` by default. A publisher that writes ahead sends the event itself
    /// meanwhile.
    pub hold: Option<Duration>,
    /// Why it could not be published.
    pub error: Option<EventError>,
}

impl NewEvent {
    /// An event without a key, headers and an error.
    #[must_use]
    pub fn new(event_id: impl Into<Uuid>, topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            event_id: event_id.into(),
            topic: topic.into(),
            key: None,
            payload: Some(payload.into()),
            headers: Vec::new(),
            maybe_sent: false,
            hold: None,
            error: None,
        }
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// Says that an attempt may have been written.
    #[must_use]
    pub fn maybe_sent(mut self) -> Self {
        self.maybe_sent = true;
        self
    }

    /// Has the relay leave the event alone for this time.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = Some(hold);
        self
    }

    /// Says why it could not be published.
    #[must_use]
    pub fn error(mut self, error: EventError) -> Self {
        self.error = Some(error);
        self
    }

    /// Where its key's events queue up; see [`slot_of`].
    #[must_use]
    pub fn slot(&self) -> u16 {
        slot_of(&self.topic, self.key.as_deref(), &self.event_id)
    }

    /// What it counts against the quota, in bytes: its own, and 200 for the rest of its row.
    #[must_use]
    pub fn cost(&self) -> u64 {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len) + 8);
        let error = self.error.as_ref().map_or(0, |error| error.class.len() + error.text.len());
        let parts = [&self.key, &self.payload].map(|part| part.as_ref().map_or(0, Vec::len));
        (200 + self.topic.len() + parts[0] + parts[1] + headers.sum::<usize>() + error) as u64
    }
}

/// Where a record is in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

impl Position {
    /// Where a record was written; `None` with `acks=0`.
    #[must_use]
    pub fn of(ack: &Ack) -> Option<Self> {
        ack.offset().map(|offset| Self { partition: ack.partition(), offset })
    }
}

/// An event as a store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the order of acceptance.
    pub seq: Seq,
    /// Where its key's events queue up.
    pub slot: u16,
    /// The event's id.
    pub event_id: Uuid,
    /// The topic.
    pub topic: String,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Where it stands.
    pub status: Status,
    /// How many attempts failed that count. An outage costs none.
    pub attempts: u32,
    /// How long it has to wait for its next attempt; zero if it is due. From the clock of the store.
    pub due_in: Duration,
    /// Whether an attempt may have been written: by [`NewEvent::maybe_sent`], by a [`Change`](super::Change), or
    /// because a lease ended before the attempt's outcome was known.
    pub maybe_sent: bool,
    /// Why it was stored.
    pub first_error: Option<EventError>,
    /// Why the last attempt failed.
    pub last_error: Option<EventError>,
    /// When it was stored.
    pub created_at: SystemTime,
    /// When its row was last changed.
    pub updated_at: SystemTime,
    /// Where it was written, if it was published and that is known.
    pub position: Option<Position>,
    /// What it counts against the quota, in bytes.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_is_written() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert!(!(status.is_settled() && status.is_unsettled()), "{status}");
        }
        let error = "pending".parse::<Status>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "no status: \"pending\"; expected PENDING, RETRYING, RESOLVED, DLQ or DLQ_FAILED"
        );
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let error = EventError::new("é".repeat(80), "é".repeat(800));
        assert_eq!((error.class().len(), error.text().len()), (100, 1000));
        assert_eq!(EventError::new("é".repeat(50) + "éé", format!("x{}", "é".repeat(800))).text().len(), 999);
    }

    #[test]
    fn an_event_costs_its_bytes_and_those_of_a_row() {
        let event = NewEvent::new(Uuid::nil(), "orders", "nine");
        assert_eq!(event.cost(), 200 + 6 + 4);
        let event = event.key("user-1").header("a", "bc").error(EventError::new("x", "yz"));
        assert_eq!(event.cost(), 200 + 6 + 4 + 6 + (1 + 2 + 8) + 3);
    }
}
