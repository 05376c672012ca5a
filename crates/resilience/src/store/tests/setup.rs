//! Stores, events and clocks for tests.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use uuid::Uuid;

use crate::store::{
    Change, EventError, Lease, MemoryStore, NewEvent, Outcome, Page, PageLimits, Quota, Seq, Store, StoredEvent,
    clock::instant,
};

/// Opens stores of one kind.
pub(crate) trait Factory {
    /// An empty store.
    fn open(&self, setup: &Setup) -> impl Future<Output = Box<dyn Store>>;
}

/// What a store is opened with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) quota: Quota,
    pub(crate) retention: Option<Duration>,
    pub(crate) clock: TestClock,
}

/// Stands still until it is set.
#[derive(Clone, Debug)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000_000)))
    }
}

impl TestClock {
    pub(crate) fn now(&self) -> SystemTime {
        instant(self.0.load(Ordering::SeqCst))
    }

    /// Moves it, backward too.
    pub(crate) fn jump(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

/// Stores in memory.
pub(crate) struct Memory {
    pub(crate) buckets: u16,
}

impl Factory for Memory {
    async fn open(&self, setup: &Setup) -> Box<dyn Store> {
        let clock = setup.clock.clone();
        let store = MemoryStore::with_buckets(self.buckets).shared().quota(setup.quota).clock(move || clock.now());
        Box::new(match setup.retention {
            Some(retention) => store.retention(retention),
            None => store,
        })
    }
}

/// An event whose id is this number.
pub(crate) fn event(number: u128) -> NewEvent {
    NewEvent::new(Uuid::from_u128(number), "orders", format!("value-{number}")).key(format!("key-{number}"))
}

/// Events with the ids from 1 to `count`.
pub(crate) fn events(count: u128) -> Vec<NewEvent> {
    (1..=count).map(event).collect()
}

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// All buckets.
pub(crate) async fn lease(store: &dyn Store) -> Lease {
    store.acquire("relay", LEASE, u16::MAX).await.unwrap().expect("nobody else has a lease")
}

/// Everything that is unsettled.
pub(crate) async fn unsettled(store: &dyn Store, lease: &Lease) -> Vec<StoredEvent> {
    let Page { events, is_end } = store.page(lease, Seq::START, PageLimits::default()).await.unwrap();
    assert!(is_end);
    events
}

/// The same outcome for all.
pub(crate) fn outcomes<'a>(events: impl IntoIterator<Item = &'a StoredEvent>, change: &Change) -> Vec<Outcome> {
    events.into_iter().map(|event| Outcome::of(event, change.clone())).collect()
}

pub(crate) fn error() -> EventError {
    EventError::new("DeliveryError::Rejected", "too few replicas")
}

/// An attempt failed that was not written.
pub(crate) fn failed(attempts: u32, retry_in: Duration) -> Change {
    Change::Failed { attempts, retry_in, maybe_sent: false, error: error() }
}

/// The dead-letter topic was out of reach, and that may be wrong.
pub(crate) fn stuck() -> Change {
    Change::DeadLetterFailed { attempts: 4, maybe_sent: true, error: EventError::new("class", "the last") }
}

/// The ids as small numbers.
pub(crate) fn ids(events: &[StoredEvent]) -> Vec<u128> {
    events.iter().map(|event| event.event_id.as_u128()).collect()
}
