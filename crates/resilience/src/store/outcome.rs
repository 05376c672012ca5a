//! What became of an event that the relay sent.
//!
//! In and out: plain values. Pure.

use std::time::Duration;

use super::{EventError, Position, Seq, Status, StoredEvent};

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which event.
    pub seq: Seq,
    /// Its slot, which tells the lease that it belongs to.
    pub slot: u16,
    /// What became of it.
    pub change: Change,
    /// Where it was written, if it was published and that is known.
    pub position: Option<Position>,
}

impl Outcome {
    /// What became of an event that was read.
    #[must_use]
    pub fn of(event: &StoredEvent, change: Change) -> Self {
        Self { seq: event.seq, slot: event.slot, change, position: None }
    }

    /// An event that was published, there if that is known.
    #[must_use]
    pub fn published(event: &StoredEvent, position: Option<Position>) -> Self {
        Self { position, ..Self::of(event, Change::Resolved) }
    }
}

/// An event that a publisher stored and then published itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Which event.
    pub seq: Seq,
    /// Where it was written, if that is known.
    pub position: Option<Position>,
}

impl From<Seq> for Published {
    fn from(seq: Seq) -> Self {
        Self { seq, position: None }
    }
}

/// How an event's row changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was published.
    Resolved,
    /// It was put into the dead-letter topic.
    DeadLettered,
    /// An attempt failed.
    Failed {
        /// How many attempts have failed by now. An outage costs none.
        attempts: u32,
        /// How long the event waits for the next one.
        retry_in: Duration,
        /// Whether the attempt may have been written. `false` takes no earlier mark away.
        maybe_sent: bool,
        /// Why.
        error: EventError,
    },
    /// It could not be put into the dead-letter topic either. It is not tried again until an operator replays it.
    DeadLetterFailed {
        /// How many attempts have failed.
        attempts: u32,
        /// Whether an attempt may have been written. `false` takes no earlier mark away.
        maybe_sent: bool,
        /// Why.
        error: EventError,
    },
}

impl Change {
    /// The status that the row gets.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Resolved => Status::Resolved,
            Self::DeadLettered => Status::DeadLettered,
            Self::Failed { .. } => Status::Retrying,
            Self::DeadLetterFailed { .. } => Status::DeadLetterFailed,
        }
    }
}
