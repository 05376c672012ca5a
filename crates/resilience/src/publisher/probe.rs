//! Finds out that Kafka is back when nobody publishes: asks for metadata when the breaker's wait in OPEN is over.
//!
//! In: a breaker, a producer, the topic that failed last. Out: HALF_OPEN, or OPEN for longer. Awaits. Deliberately absent: what closes the
//! breaker, which are the next calls. While events are stored, the relay's sending is the question, so nothing is asked here.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use milena::Produce;
use tokio::{sync::watch, time::sleep};

use crate::{
    breaker::{Breaker, Counts},
    clock::now,
    gate::Gate,
    task::until_dropped,
};

/// How often to look whether a question is due.
const LOOK: Duration = Duration::from_secs(1);

/// The topic whose event failed last: what is known of the cluster is asked for by a topic.
#[derive(Debug, Default)]
pub(super) struct LastFailed(Mutex<Option<Box<str>>>);

impl LastFailed {
    pub(super) fn set(&self, topic: &str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() != Some(topic) {
            *last = Some(topic.into());
        }
    }

    fn get(&self) -> Option<Box<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What asks.
pub(super) struct Prober {
    pub(super) breaker: Breaker,
    pub(super) producer: Arc<dyn Produce>,
    pub(super) gate: Gate,
    pub(super) failed: Arc<LastFailed>,
}

impl Prober {
    /// Asks whenever it is due, until the publisher is dropped.
    pub(super) async fn run(self, stop: watch::Receiver<bool>) {
        let asking = async {
            loop {
                sleep(LOOK).await;
                self.ask().await;
            }
        };
        until_dropped(stop, asking).await;
    }

    async fn ask(&self) {
        let Some(topic) = self.failed.get() else { return };
        if self.gate.has_stored() {
            return;
        }
        let Some(probe) = self.breaker.due(now()) else { return };
        match self.producer.refresh_metadata(&topic).await {
            Err(error) if Counts::of(&error.clone().into()) == Counts::Failure => {
                self.breaker.probe_failed(probe, now())
            }
            _ => self.breaker.probe_succeeded(probe, now()),
        }
    }
}
