//! What became of an event that was published.
//!
//! In and out: plain values. Pure.

use std::fmt;

use milena::{Ack, Persisted};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    Failure,
    breaker::CallNotPermitted,
    store::{NewEvent, StoreError},
};

/// What became of an event.
#[derive(Clone, Debug)]
#[must_use]
pub enum Publication {
    /// It is in Kafka.
    Published {
        /// Where.
        ack: Ack,
    },
    /// It is in the store, synced, and the relay will publish it.
    Stored {
        /// Its id, by which [`Filter::event_id`](crate::store::Filter::event_id) finds it.
        event_id: Uuid,
        /// Why it was not published.
        why: Why,
        /// Whether it may be in Kafka as well. Its repetition will be flagged.
        maybe_sent: bool,
    },
}

/// An event that was [published so that it is kept](super::ResilientPublisher::publish_kept).
#[derive(Debug)]
#[must_use]
pub enum Kept {
    /// It is in the store, synced, and on its way. The task has the outcome; it need not be waited for.
    Pending(JoinHandle<Result<Publication, PublishError>>),
    /// It has its outcome already: it was stored to be published later.
    Outcome(Publication),
}

/// Why an event was stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Why {
    /// Older events of its key are stored or on their way.
    Behind,
    /// The circuit breaker is open.
    NotPermitted(CallNotPermitted),
    /// The store could not be asked whether older events of its key are stored, for this reason.
    Unasked(StoreError),
    /// It could not be published.
    Failed(Failure),
    /// It was written ahead, and then not sent within its [hold](super::ResilientPublisherBuilder::hold): the process was stopped, and another one
    /// that shares the store may have published it by then.
    Overdue,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind => f.write_str("older events of its key are stored"),
            Self::NotPermitted(refused) => refused.fmt(f),
            Self::Unasked(error) => write!(f, "it is unknown whether older events of its key are stored: {error}"),
            Self::Failed(failure) => failure.fmt(f),
            Self::Overdue => f.write_str("it was not sent before its hold was over"),
        }
    }
}

/// An event that was neither published nor stored. It is the caller's again.
#[derive(Debug)]
#[must_use = "it holds the only copy of the event"]
pub struct PublishError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    event: NewEvent,
    why: Option<Why>,
    store: Option<StoreError>,
}

impl PublishError {
    pub(crate) fn new(event: NewEvent, why: Option<Why>, store: Option<StoreError>) -> Self {
        Self(Box::new(Parts { event, why, store }))
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &NewEvent {
        &self.0.event
    }

    /// Takes the event out of the error.
    #[must_use]
    pub fn into_event(self) -> NewEvent {
        self.0.event
    }

    /// Why it was not published. `None` if it was not tried, as [`why`](Self::why) tells.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match &self.0.why {
            Some(Why::Failed(failure)) => Some(failure),
            _ => None,
        }
    }

    /// Why it was to be stored: the failure, or why it was not tried. `None` if it was to be stored before it is published.
    #[must_use]
    pub fn why(&self) -> Option<&Why> {
        self.0.why.as_ref()
    }

    /// Why it was not stored. `None` if it was not tried: no attempt could publish it, or `store_failures` is off.
    #[must_use]
    pub fn store_error(&self) -> Option<&StoreError> {
        self.0.store.as_ref()
    }

    /// Whether the event may be in Kafka all the same, or may get there because the store may have it.
    #[must_use]
    pub fn persisted(&self) -> Persisted {
        if self.0.store.as_ref().is_some_and(StoreError::is_indeterminate) {
            return Persisted::Unknown;
        }
        self.failure().map_or(Persisted::No, Failure::persisted)
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { event, why, store } = &*self.0;
        let topic = event.topic.escape_debug().take(256).collect::<String>();
        write!(f, "event {} for {topic} was neither published nor stored", event.event_id)?;
        match why {
            Some(Why::Failed(failure)) => write!(f, "; publishing: {failure}")?,
            Some(why) => write!(f, "; not sent: {why}")?,
            None => {}
        }
        if let Some(store) = store {
            write!(f, "; storing: {store}")?;
        }
        f.write_str("; it is still the caller's: keep it, or stop")
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let store = self.0.store.as_ref().map(|error| error as _);
        store.or_else(|| self.failure().map(|failure| failure as _))
    }
}
