//! The trait of everything that publishes events, and a recorder of it for tests.
//!
//! In: events. Out: as a [`ResilientPublisher`]. Services take a `&dyn EventPublisher`, so that their tests need neither Kafka nor a store.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use milena_resilience::{
//!     event::{Envelope, Event, InvalidEnvelope, TopicName},
//!     events::{EventPublisher, RecordingPublisher, publish},
//! };
//! use serde::Serialize;
//!
//! #[derive(Serialize)]
//! struct PlayerRegistered {
//!     country: String,
//! }
//!
//! impl Event for PlayerRegistered {
//!     const TOPIC: TopicName<'static> = TopicName::new("casino.player.registered.v1");
//! }
//!
//! async fn register(events: &dyn EventPublisher, player: &str) -> Result<(), Box<dyn std::error::Error>> {
//!     let payload = PlayerRegistered { country: "DE".into() };
//!     let event = Envelope::builder(payload).brand_id("brand-1").user_id(player).build()?;
//!     let _ = publish(events, player, &event).await?;
//!     Ok(())
//! }
//!
//! let events = RecordingPublisher::new();
//! register(&events, "player-7").await.unwrap();
//! let recorded = events.recorded();
//! assert_eq!((&*recorded[0].topic, recorded[0].key.as_deref()), ("casino.player.registered.v1", Some(&b"player-7"[..])));
//! # });
//! ```

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use milena::{Ack, Persisted, Record};

use crate::{
    Failure,
    event::{Envelope, Event, EventId, Format},
    publisher::{Publication, PublishError, ResilientPublisher, Why, new_event},
    store::{NewEvent, StoreError},
};

/// What became of an event, once it is known.
pub type Publishing<'a> = Pin<Box<dyn Future<Output = Result<Publication, PublishError>> + Send + 'a>>;

/// Publishes events. A [`ResilientPublisher`] does, and a [`RecordingPublisher`] in tests.
pub trait EventPublisher: Send + Sync {
    /// As [`ResilientPublisher::publish_record`].
    fn publish_record<'a>(&'a self, id: EventId, record: Record<'a>) -> Publishing<'a>;

    /// How events become records.
    fn format(&self) -> &Format;
}

/// Publishes an event under this key, as [`ResilientPublisher::publish`], with any publisher.
///
/// # Errors
/// As [`ResilientPublisher::publish`].
pub async fn publish<P: Event>(
    to: &(impl EventPublisher + ?Sized),
    key: &str,
    event: &Envelope<P>,
) -> Result<Publication, PublishError> {
    match event.record(to.format()) {
        Ok(record) => to.publish_record(event.event_id, record.key(key)).await,
        Err(error) => {
            let empty = NewEvent { payload: None, ..NewEvent::new(event.event_id, P::TOPIC.as_str(), "").key(key) };
            Err(PublishError::new(empty, Some(Why::Failed(error.into())), None))
        }
    }
}

impl EventPublisher for ResilientPublisher {
    fn publish_record<'a>(&'a self, id: EventId, record: Record<'a>) -> Publishing<'a> {
        Box::pin(Self::publish_record(self, id, record))
    }

    fn format(&self) -> &Format {
        Self::format(self)
    }
}

/// Records events instead of publishing them, for tests. It publishes all, unless it is told to store or fail the next ones. A clone is the same
/// recorder.
#[derive(Clone, Debug, Default)]
pub struct RecordingPublisher(Arc<Mutex<Recorder>>, Format);

#[derive(Debug, Default)]
struct Recorder {
    recorded: Vec<NewEvent>,
    script: VecDeque<Scripted>,
    published: i64,
}

#[derive(Debug)]
enum Scripted {
    Store(Why),
    Fail(Option<Failure>, Option<StoreError>),
}

impl RecordingPublisher {
    /// A recorder of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how events become records. Defaults to [`Format::Json`].
    #[must_use]
    pub fn with_format(self, format: Format) -> Self {
        Self(self.0, format)
    }

    /// Stores the next event that has no fate yet, for this reason.
    pub fn store_next(&self, why: Why) {
        self.recorder().script.push_back(Scripted::Store(why));
    }

    /// Hands the next event that has no fate yet back to the caller, with these errors.
    pub fn fail_next(&self, failure: Option<Failure>, store: Option<StoreError>) {
        self.recorder().script.push_back(Scripted::Fail(failure, store));
    }

    /// Every event that was published or stored, in order. Those that were handed back are not among them.
    #[must_use]
    pub fn recorded(&self) -> Vec<NewEvent> {
        self.recorder().recorded.clone()
    }

    /// Forgets what was recorded.
    pub fn clear(&self) {
        self.recorder().recorded.clear();
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, id: EventId, record: &Record<'_>) -> Result<Publication, PublishError> {
        let mut recorder = self.recorder();
        let event = new_event(id.into(), record);
        match recorder.script.pop_front() {
            Some(Scripted::Fail(failure, store)) => Err(PublishError::new(event, failure.map(Why::Failed), store)),
            Some(Scripted::Store(why)) => {
                recorder.recorded.push(event);
                let maybe_sent = match &why {
                    Why::Failed(failure) => failure.persisted() == Persisted::Unknown,
                    Why::Overdue => true,
                    Why::Behind | Why::NotPermitted(_) | Why::Unasked(_) => false,
                };
                Ok(Publication::Stored { event_id: id.into(), why, maybe_sent })
            }
            None => {
                recorder.recorded.push(event);
                recorder.published += 1;
                Ok(Publication::Published { ack: Ack::new(record.topic(), 0).with_offset(recorder.published - 1) })
            }
        }
    }
}

impl EventPublisher for RecordingPublisher {
    fn publish_record<'a>(&'a self, id: EventId, record: Record<'a>) -> Publishing<'a> {
        let result = self.record(id, &record);
        Box::pin(async move { result })
    }

    fn format(&self) -> &Format {
        &self.1
    }
}

#[cfg(test)]
mod tests {
    use milena::SendError;

    use super::*;

    #[tokio::test]
    async fn a_recorder_publishes_stores_and_fails_as_it_was_told() {
        let recorder = RecordingPublisher::new();
        recorder.store_next(Why::Behind);
        recorder.fail_next(Some(SendError::NotReady { topic: "orders".into() }.into()), None);
        let events: &dyn EventPublisher = &recorder;
        let record = |value: &'static str| Record::to("orders").key("k").value(value).header("eventType", "placed");
        let stored = events.publish_record(EventId::new(), record("1")).await;
        assert!(matches!(stored, Ok(Publication::Stored { why: Why::Behind, maybe_sent: false, .. })), "{stored:?}");
        let error = events.publish_record(EventId::new(), record("2")).await.unwrap_err();
        assert_eq!(error.event().payload.as_deref(), Some(&b"2"[..]));
        let published = events.publish_record(EventId::new(), record("3")).await;
        assert!(matches!(&published, Ok(Publication::Published { ack }) if ack.offset() == Some(0)), "{published:?}");
        let recorded = recorder.recorded();
        let values: Vec<_> = recorded.iter().map(|event| event.payload.as_deref().unwrap()).collect();
        assert_eq!((values, recorded[0].headers.len()), (vec![&b"1"[..], b"3"], 1));
        recorder.clear();
        assert!(recorder.recorded().is_empty());
    }
}
