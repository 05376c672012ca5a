//! Publishes events so that none is lost while Kafka is away: a producer, a circuit breaker, a store and a relay as one.
//!
//! In: records with an event id. Out: for each, [`Publication::Published`] (it is in Kafka), [`Publication::Stored`] (it is on disk, and the
//! relay will publish it), or a [`PublishError`] that hands it back. Nothing else can happen to an event.
//!
//! ```text
//!  publish ─► order gate ─► breaker ─closed─► producer ─► Published
//!                 │             │ open            │ failed
//!                 └─────► store ◄─────────────────┘──► Stored
//!                           │
//!                         relay ─► producer ─► {topic}, or {topic}.dlq
//! ```
//!
//! # Modes
//!
//! [`Mode::OnFailure`] publishes first, and stores what could not be published. An event of a call that has not returned is lost if the process
//! is killed; the caller has not been told otherwise. [`Mode::WriteAhead`] stores first and removes the row when the event is published: once the
//! event is in the store, a crash cannot lose it. It costs a commit for each event. [`publish_kept`](ResilientPublisher::publish_kept) does so for one event, in both.
//!
//! # Order
//!
//! With [`Order::PerKey`], events of one topic and key are published in the order of the calls to `publish`. An event waits for the older one that is on
//! its way. After [`order_wait`](ResilientPublisherBuilder::order_wait) the older one is stored as well, and the newer one behind it. While an event of
//! a key is stored, newer ones go behind it into the store. A repetition may come later than newer events; it is flagged.
//!
//! If several publishers share a store, an event is published directly only if no publisher has stored an older one of its key. While the store is
//! empty, each knows that without asking. Otherwise it asks the store, for all events that wait at once. [`Order::PerKeyOfInstance`] never
//! asks, and keeps the order of one publisher's own events only.
//!
//! # Permanent errors
//!
//! An event that no attempt can publish (too large, not authorized) is handed back at once, in the mode `OnFailure`. In the store it becomes a dead
//! letter.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use milena::{Record, mock::MockProducer};
//! use milena_resilience::{event::EventId, publisher::{Publication, ResilientPublisher}, store::MemoryStore};
//!
//! let publisher = ResilientPublisher::builder(Arc::new(MockProducer::new()), Arc::new(MemoryStore::new())).start().await?;
//! match publisher.publish_record(EventId::new(), Record::to("orders").key("user-1").value("nine")).await {
//!     Ok(Publication::Published { ack }) => println!("at {:?}", ack.offset()),
//!     Ok(Publication::Stored { event_id, why, .. }) => println!("{event_id} is stored: {why}"),
//!     Err(error) => eprintln!("{error}; still ours: {:?}", error.event()),
//! }
//! publisher.close().await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod attempt;
mod builder;
mod keys;
mod metrics;
mod outcome;
mod probe;
mod recount;
mod stats;

use std::{
    borrow::Cow,
    fmt, panic,
    sync::{Arc, Mutex, PoisonError},
};

use milena::{Header, Produce, Record};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use self::{attempt::Attempt, keys::Keys, probe::LastFailed, stats::Counters};
pub use self::{
    builder::{Mode, Order, ResilientPublisherBuilder, StartError},
    metrics::ProducerMetrics,
    outcome::{Kept, Publication, PublishError, Why},
    stats::{Health, PublisherStats},
};
use crate::{
    breaker::Breaker,
    event::{CE_ID, EVENT_ID, Envelope, Event, EventId, Format},
    gate::Gate,
    peers::Peers,
    relay::{Observer, RelayStats, Wake, record},
    store::{NewEvent, Store, StoreError, StoreStats},
};

/// Publishes events, and stores those that cannot be published. A clone is the same publisher.
///
/// Dropping all clones stops the relay as if the process had ended: what it was sending is flagged as a possible duplicate. To end
/// orderly, [`close`](Self::close) it.
#[derive(Clone)]
pub struct ResilientPublisher(Arc<Shared>);

/// What calls and the relay share.
pub(crate) struct Shared {
    producer: Arc<dyn Produce>,
    store: Arc<dyn Store>,
    breaker: Breaker,
    gate: Gate,
    /// `None` if the order is not that of all publishers of the store.
    peers: Option<Peers>,
    observer: Arc<Observer>,
    counters: Counters,
    failed: Arc<LastFailed>,
    keys: Arc<Keys>,
    wake: Arc<Wake>,
    settings: Settings,
    stop: watch::Sender<bool>,
    relay: Mutex<Option<JoinHandle<()>>>,
}

impl Shared {
    /// Whether an event has a place among others.
    fn is_ordered(&self, has_key: bool) -> bool {
        has_key && self.settings.order != Order::None
    }

    /// Has the relay look for events of a slot, if there are any: what they waited for is gone from the store.
    fn wake_behind(&self, slot: u16) {
        if self.gate.has_stored_in(slot) {
            self.wake.rescan();
        }
    }
}

/// How events are published.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    mode: Mode,
    order: Order,
    format: Format,
    store_failures: bool,
    order_wait: std::time::Duration,
    hold: std::time::Duration,
}

impl fmt::Debug for ResilientPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResilientPublisher").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl ResilientPublisher {
    /// A publisher with this producer and this store.
    #[must_use]
    pub fn builder(producer: Arc<dyn Produce>, store: Arc<dyn Store>) -> ResilientPublisherBuilder {
        ResilientPublisherBuilder::new(producer, store)
    }

    /// Publishes an event under this key, to the topic of its type.
    ///
    /// # Errors
    /// As [`publish_record`](Self::publish_record). An event that cannot be serialized is handed back without a payload.
    ///
    /// # Cancel safety
    /// As [`publish_record`](Self::publish_record).
    pub async fn publish<P: Event>(&self, key: &str, event: &Envelope<P>) -> Result<Publication, PublishError> {
        crate::events::publish(self, key, event).await
    }

    /// How events become records.
    #[must_use]
    pub fn format(&self) -> &Format {
        &self.0.settings.format
    }

    /// Publishes a record that carries an event. Its partition and timestamp are not kept if it is stored. If it has no header `eventId` or `ce_id`, it
    /// gets `eventId`, so that consumers recognise a repetition.
    ///
    /// # Errors
    /// The event was neither published nor stored. The error has the event, and says why; if it may be in the log all the same,
    /// the error says so too.
    ///
    /// # Cancel safety
    /// If the future is dropped, the event may be published or stored, or neither.
    pub async fn publish_record(&self, id: EventId, record: Record<'_>) -> Result<Publication, PublishError> {
        let record = identified(id, record);
        self.0.keys.observe(record.topic(), record.key_bytes());
        let slot = crate::store::slot_of(record.topic(), record.key_bytes(), &id.into());
        let turn = self.0.is_ordered(record.key_bytes().is_some()).then(|| self.0.gate.turn(slot));
        Attempt::new(&self.0, id.into(), slot, turn).run(&record).await
    }

    /// Publishes an event in a task of its own, and returns at once. The order is that of the calls, as with
    /// [`publish_record`](Self::publish_record). If the handle is dropped, the event is published all the same.
    ///
    /// # Panics
    /// If it is called outside of a tokio runtime.
    pub fn publish_async(&self, event: NewEvent) -> JoinHandle<Result<Publication, PublishError>> {
        self.begin(event, None)
    }

    /// As [`publish_async`](Self::publish_async), but stores the event first, whatever the [`Mode`], and returns when it is in the store, synced: from
    /// then on it is published, now or after a restart.
    ///
    /// # Errors
    /// As [`publish_record`](Self::publish_record): the event is not in the store.
    ///
    /// # Panics
    /// If it is called outside of a tokio runtime, or when the runtime shuts down.
    ///
    /// # Cancel safety
    /// If the future is dropped, the event is published or stored all the same.
    pub async fn publish_kept(&self, event: NewEvent) -> Result<Kept, PublishError> {
        let (kept, is_kept) = oneshot::channel();
        let outcome = self.begin(event, Some(kept));
        match is_kept.await {
            Ok(()) => Ok(Kept::Pending(outcome)),
            // It was not sent, so that its outcome is there.
            Err(_) => outcome.await.unwrap_or_else(|error| panic::resume_unwind(error.into_panic())).map(Kept::Outcome),
        }
    }

    fn begin(
        &self,
        mut event: NewEvent,
        kept: Option<oneshot::Sender<()>>,
    ) -> JoinHandle<Result<Publication, PublishError>> {
        if !event.headers.iter().any(|(name, _)| is_id(name)) {
            event.headers.push((EVENT_ID.to_owned(), Some(event.event_id.to_string().into_bytes())));
        }
        self.0.keys.observe(&event.topic, event.key.as_deref());
        let (shared, slot) = (Arc::clone(&self.0), event.slot());
        let turn = shared.is_ordered(event.key.is_some()).then(|| shared.gate.turn_to_keep(slot));
        crate::task::spawn(async move {
            let attempt = Attempt::new(&shared, event.event_id, slot, turn);
            let attempt = if let Some(kept) = kept { attempt.telling(kept) } else { attempt };
            attempt.run(&record_of(&event)).await
        })
    }

    /// What the publisher has done, and the breaker's state.
    #[must_use]
    pub fn publisher_stats(&self) -> PublisherStats {
        self.0.counters.stats(&self.0.settings, &self.0.breaker)
    }

    /// What the store has: pending, resolved, dlq, dlq_failed, and the age of the oldest.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn retry_stats(&self) -> Result<StoreStats, StoreError> {
        self.0.store.stats().await
    }

    /// What the relay has done.
    #[must_use]
    pub fn relay_stats(&self) -> RelayStats {
        self.0.observer.stats()
    }

    /// The publisher's own counts in one struct, as monitoring code often wants them.
    #[must_use]
    pub fn producer_metrics(&self) -> ProducerMetrics {
        ProducerMetrics::new(&self.publisher_stats(), &self.relay_stats())
    }

    /// All metrics as Prometheus text.
    ///
    /// | metric | as Micrometer names it | what |
    /// |---|---|---|
    /// | `kafka_events_published_total{status="success"}` | `kafka.events.published` | events published directly |
    /// | `kafka_events_published_total{status="error"}` | the same | attempts to publish directly that failed |
    /// | `kafka_publish_latency_seconds` | `kafka.publish.latency` | a histogram of the successful ones |
    /// | `kafka_circuit_breaker_open_total` | `kafka.circuit_breaker.open` | how often the breaker opened |
    /// | `kafka_events_stored_for_retry_total` | `kafka.events.stored_for_retry` | events stored |
    /// | `kafka_retry_success_total` | `kafka.retry.success` | stored events that were published |
    /// | `kafka_dlq_sent_total` | `kafka.dlq.sent` | dead letters |
    /// | `kafka_events_given_up_total` | | events handed back to the caller |
    /// | `kafka_outbox_events{status}` | | events in the store; left out if the store cannot be asked |
    /// | `kafka_outbox_oldest_seconds` | | the age of the oldest of them |
    pub async fn prometheus(&self) -> String {
        let store = self.retry_stats().await.ok();
        metrics::text(&self.publisher_stats(), &self.0.counters.latency(), &self.relay_stats(), store.as_ref())
    }

    /// Whether events are published: fewer than one in ten failed lately, and the breaker is not open.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.counters.health(&self.0.breaker)
    }

    /// The breaker, for an operator.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    /// Has the relay look for stored events now, such as after a replay.
    pub fn wake(&self) {
        self.0.wake.rescan();
    }

    /// Stops the relay: waits for what it is sending, records it and gives its lease back. The producer and the store stay
    /// open, and events can still be published.
    pub async fn close(&self) {
        self.0.stop.send_replace(true);
        let relay = self.0.relay.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(relay) = relay
            && let Err(error) = relay.await
        {
            tracing::error!(%error, "the relay ended by a panic");
        }
    }
}

/// Whether a header has the event's id.
fn is_id(header: &str) -> bool {
    header == EVENT_ID || header == CE_ID
}

/// A record with its event's id.
fn identified(id: EventId, record: Record<'_>) -> Record<'_> {
    if record.headers().iter().any(|header| is_id(&header.key)) {
        return record;
    }
    record.with_header(Header { key: Cow::Borrowed(EVENT_ID), value: Some(Cow::Owned(id.to_string().into_bytes())) })
}

/// The same record, as another one that borrows from it: a clone would copy what it owns.
fn borrowed<'a>(record: &'a Record<'_>) -> Record<'a> {
    let (key, value) = (record.key_bytes().map(Cow::Borrowed), record.value_bytes().map(Cow::Borrowed));
    let headers = record.headers().iter().map(|header| match &header.value {
        Some(value) => Header::new(&header.key, value),
        None => Header::null(&header.key),
    });
    let mut copy = headers.fold(Record::to(record.topic()).with_payload(key, value), Record::with_header);
    if let Some(partition) = record.explicit_partition() {
        copy = copy.partition(partition);
    }
    match record.explicit_timestamp() {
        Some(timestamp) => copy.timestamp(timestamp),
        None => copy,
    }
}

/// A record as an event that a store can keep.
pub(crate) fn new_event(event_id: uuid::Uuid, record: &Record<'_>) -> NewEvent {
    let headers = record
        .headers()
        .iter()
        .map(|header| (header.key.clone().into_owned(), header.value.as_ref().map(|value| value.clone().into_owned())));
    NewEvent {
        event_id,
        topic: record.topic().to_owned(),
        key: record.key_bytes().map(<[u8]>::to_vec),
        payload: record.value_bytes().map(<[u8]>::to_vec),
        headers: headers.collect(),
        maybe_sent: false,
        hold: None,
        error: None,
    }
}

/// A new event as a record.
fn record_of(event: &NewEvent) -> Record<'_> {
    record(&event.topic, event.key.as_deref(), event.payload.as_deref(), &event.headers)
}

#[cfg(test)]
mod tests;
