//! What a gateway tells of itself: whether it is ready, its metrics, and what its page shows.
//!
//! In: the gateway. Out: plain values. Asks the brokers and the store.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::timeout;

use super::{Gateway, MAX_WAITING};
use crate::{
    live::{self, Buffer, Fault, InStore, Lab, Live},
    metrics::{merge, single},
    outbox::Outbox,
    problem::{Kind, Problem},
    request::Mode,
};

/// How long a broker's answer counts as a sign of life.
const FRESH: Duration = Duration::from_secs(5);
/// How long it may take to get one.
const PATIENCE: Duration = Duration::from_secs(1);
/// Metrics of the producer that have a group.
const PRODUCER: &str = "producer-metrics";

impl Gateway {
    /// The state of the breaker, if there is one.
    pub(crate) fn breaker(&self) -> Option<&'static str> {
        self.outbox.as_ref().map(Outbox::breaker)
    }

    /// Whether requests should come here: it is not ending, has room, and a broker answered not long ago.
    pub(crate) async fn ready(&self) -> Result<(), Problem> {
        if self.is_draining() {
            return Err(Problem::new(Kind::Unavailable, "the gateway is ending"));
        }
        for mode in [Mode::Plain, Mode::Idempotent] {
            let metrics = self.producer(mode).current().metrics();
            let bytes = |name| metrics.get(PRODUCER, name).unwrap_or_default();
            if is_nearly_full(bytes("buffer-available-bytes"), bytes("buffer-total-bytes")) {
                return Err(Problem::new(Kind::Unavailable, "buffer.memory is more than nine tenths full"));
            }
        }
        if self.was_seen_lately() { Ok(()) } else { self.ask_for_metadata().await }
    }

    fn was_seen_lately(&self) -> bool {
        let seen = Duration::from_millis(self.seen.load(Ordering::Relaxed));
        !seen.is_zero() && self.started.elapsed().saturating_sub(seen) < FRESH
    }

    async fn ask_for_metadata(&self) -> Result<(), Problem> {
        let producer = self.idempotent.current();
        match timeout(PATIENCE, producer.refresh_metadata(&self.config.default_topic)).await {
            Ok(Ok(())) => {
                let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.seen.store(now.max(1), Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(error)) => Err(Problem::new(Kind::Unavailable, Problem::from(&error).detail())),
            Err(_) => {
                let why = format!("no broker answered within {} ms", PATIENCE.as_millis());
                Err(Problem::new(Kind::Unavailable, why))
            }
        }
    }

    /// What the page shows.
    pub(crate) async fn live(&self) -> Live {
        let metrics = [Mode::Plain, Mode::Idempotent].map(|mode| self.producer(mode).current().metrics());
        let bytes = |name| metrics.iter().map(|metrics| metrics.get(PRODUCER, name).unwrap_or_default()).sum();
        let (bounds, buckets) = self.http.buckets();
        let counts = match &self.outbox {
            Some(outbox) => outbox.counts().await,
            None => None,
        };
        let faults = self.lab().map(Lab::faults).unwrap_or_default();
        Live {
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            answered: [2, 4, 5].map(|class| self.http.of_class(class)),
            bounds,
            buckets,
            pending: self.statuses.pending(),
            buffer: Buffer { free: bytes("buffer-available-bytes"), total: bytes("buffer-total-bytes") },
            breaker: self.breaker(),
            store: counts.map(|(waiting, dead_letters_failed)| InStore { waiting, dead_letters_failed }),
            last: live::last(&self.statuses),
            faults: faults.iter().map(|(name, what)| Fault { name, what }).collect(),
        }
    }

    /// All metrics, as Prometheus' text.
    pub(crate) async fn metrics(&self) -> String {
        let outbox = match &self.outbox {
            Some(outbox) => outbox.metrics().await,
            None => String::new(),
        };
        let replaced = self.plain.replaced() + self.idempotent.replaced();
        let pending = self.statuses.pending() as u64;
        let waiting = MAX_WAITING.saturating_sub(self.waiting.available_permits()) as u64;
        merge(&[
            self.http.text(),
            single("milena_gateway_pending_requests", "gauge", "Requests without an outcome.", pending),
            single("milena_gateway_waiting_bytes", "gauge", "Bytes of records that wait for metadata.", waiting),
            single("milena_gateway_producers_replaced_total", "counter", "Producers that were fenced.", replaced),
            self.plain.current().metrics().to_prometheus(),
            self.idempotent.current().metrics().to_prometheus(),
            outbox,
        ])
    }
}

fn is_nearly_full(free: f64, total: f64) -> bool {
    free < total / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_nearly_full_when_less_than_a_tenth_is_free() {
        for (free, full) in [(0.0, true), (9.9, true), (10.0, false), (100.0, false)] {
            assert_eq!(is_nearly_full(free, 100.0), full, "{free}");
        }
    }
}
