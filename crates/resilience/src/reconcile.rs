//! Reads the log back, so that an event with an unknown outcome is not published twice.
//!
//! In: events that may have been written. Out: for each, whether it [was](Found). The trait [`Lookup`]; with feature `reconcile`, [`LogLookup`]
//! asks the cluster. By choice: [`ResilientPublisherBuilder::reconcile`](crate::publisher::ResilientPublisherBuilder::reconcile).
//!
//! Without it, an event that [may have been sent](crate::store::StoredEvent::maybe_sent) is sent again with the header `possibleDuplicate`. With it, the
//! relay first looks for its id in the log, from a time before the first attempt on. If it is there, the event is settled.
//!
//! # What it cannot know
//!
//! That an event is not in the log says that it has not been written *yet*. A request that a broker has received can wait there, as in a process that
//! was stopped, and be written when nobody expects it. So by default an event that was not found stays unknown, and is flagged.
//! [`LogLookup::absent_after`] sets a time after which it counts as not written. Then it is not flagged.

#[cfg(feature = "reconcile")]
mod index;
#[cfg(feature = "reconcile")]
mod log;

use std::{future::Future, pin::Pin};

#[cfg(feature = "reconcile")]
pub use self::log::LogLookup;
use crate::store::StoredEvent;

/// What the log says of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    Written,
    /// It is not there, and will not be.
    NotWritten,
    /// Nobody knows.
    Unknown,
}

/// Finds out whether an event was written.
pub trait Lookup: Send + Sync {
    /// Looks for an event by its id. If it cannot be looked for, it is [`Found::Unknown`].
    fn find<'a>(&'a self, event: &'a StoredEvent) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>>;
}
