//! What the relay counts, and when it alerts somebody.
//!
//! In: outcomes. Out: [`RelayStats`], and an [`Alert`] once for each cause. Deliberately absent: what the store has, which the store counts.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{Failure, clock::now, reconcile::Found, store::StoredEvent, strategy::LONG};

/// What an operator has to know at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Alert {
    /// Kafka has taken nothing for so long. Told once for each outage.
    LongOutage {
        /// How long.
        lasts: Duration,
        /// The last failure.
        failure: String,
    },
    /// An event is neither in its topic nor in the dead-letter topic. It is kept as `DLQ_FAILED`.
    DeadLetterFailed {
        /// The event's id.
        event_id: uuid::Uuid,
        /// The topic.
        topic: String,
        /// Why there is no dead letter.
        failure: String,
    },
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LongOutage { lasts, failure } => {
                write!(f, "kafka has taken no event for {} s; events are stored: {failure}", lasts.as_secs())
            }
            Self::DeadLetterFailed { event_id, topic, failure } => {
                write!(f, "event {event_id} for {topic} has no dead letter and is kept as DLQ_FAILED: {failure}")
            }
        }
    }
}

/// What the relay has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStats {
    /// Stored events that were published.
    pub resolved: u64,
    /// Events that were put into a dead-letter topic.
    pub dead_lettered: u64,
    /// Events that could not be put there either.
    pub dead_letter_failed: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Events with an unknown outcome that were found in the log, and so not sent again; see [`reconcile`](crate::reconcile). They are among
    /// `resolved`.
    pub found_written: u64,
    /// Events with an unknown outcome that were not in the log, and so sent without a mark.
    pub found_not_written: u64,
    /// Alerts.
    pub alerts: u64,
}

/// Counts, and alerts.
pub(crate) struct Observer {
    resolved: AtomicU64,
    dead_lettered: AtomicU64,
    dead_letter_failed: AtomicU64,
    failures: AtomicU64,
    found_written: AtomicU64,
    found_not_written: AtomicU64,
    alerts: AtomicU64,
    /// Since when nothing succeeded, and whether that was told.
    outage: Mutex<Option<(Instant, bool)>>,
    /// Whether there is one. Events that succeed look here first.
    is_out: AtomicBool,
    long: Duration,
    alert: Box<dyn Fn(&Alert) + Send + Sync>,
}

impl Observer {
    pub(crate) fn new(alert: Box<dyn Fn(&Alert) + Send + Sync>) -> Self {
        let [resolved, dead_lettered, dead_letter_failed, failures, alerts] = Default::default();
        let [found_written, found_not_written] = Default::default();
        Self {
            resolved,
            dead_lettered,
            dead_letter_failed,
            failures,
            found_written,
            found_not_written,
            alerts,
            outage: Mutex::default(),
            is_out: AtomicBool::new(false),
            long: LONG,
            alert,
        }
    }

    pub(crate) fn stats(&self) -> RelayStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        RelayStats {
            resolved: read(&self.resolved),
            dead_lettered: read(&self.dead_lettered),
            dead_letter_failed: read(&self.dead_letter_failed),
            failures: read(&self.failures),
            found_written: read(&self.found_written),
            found_not_written: read(&self.found_not_written),
            alerts: read(&self.alerts),
        }
    }

    pub(super) fn resolved(&self) {
        self.resolved.fetch_add(1, Ordering::Relaxed);
        self.succeeded();
    }

    /// What the log says of an event.
    pub(super) fn found(&self, found: Found) {
        match found {
            Found::Written => drop(self.found_written.fetch_add(1, Ordering::Relaxed)),
            Found::NotWritten => drop(self.found_not_written.fetch_add(1, Ordering::Relaxed)),
            Found::Unknown => {}
        }
    }

    pub(super) fn dead_lettered(&self) {
        self.dead_lettered.fetch_add(1, Ordering::Relaxed);
        self.succeeded();
    }

    pub(super) fn dead_letter_failed(&self, event: &StoredEvent, failure: &Failure) {
        self.dead_letter_failed.fetch_add(1, Ordering::Relaxed);
        let (event_id, topic, failure) = (event.event_id, event.topic.clone(), failure.to_string());
        self.tell(&Alert::DeadLetterFailed { event_id, topic, failure });
    }

    /// An event reached Kafka: an outage is over.
    pub(crate) fn succeeded(&self) {
        if self.is_out.load(Ordering::Relaxed) {
            let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
            *outage = None;
            self.is_out.store(false, Ordering::Relaxed);
        }
    }

    /// An attempt of the relay failed.
    pub(super) fn failed(&self, failure: &Failure) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.watch(failure);
    }

    /// An attempt of anybody failed: if nothing has succeeded for long, that is an alert.
    pub(crate) fn watch(&self, failure: &Failure) {
        if super::blame(failure) != super::Blame::Outage {
            return;
        }
        let now = now();
        let lasts = {
            let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
            self.is_out.store(true, Ordering::Relaxed);
            let (since, is_told) = outage.get_or_insert((now, false));
            let lasts = now.saturating_duration_since(*since);
            if *is_told || lasts < self.long {
                return;
            }
            *is_told = true;
            lasts
        };
        self.tell(&Alert::LongOutage { lasts, failure: failure.to_string() });
    }

    fn tell(&self, alert: &Alert) {
        self.alerts.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%alert, "alert");
        (self.alert)(alert);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
