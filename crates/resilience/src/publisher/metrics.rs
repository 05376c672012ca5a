//! The metrics of a publisher, as a struct and as Prometheus text.
//!
//! In: what publisher, relay and store count. Out: values and text. Pure.

use std::{fmt::Write, time::Duration};

use super::PublisherStats;
use crate::{breaker::BreakerState, relay::RelayStats, store::StoreStats};

/// The upper bounds of the histogram's buckets, in microseconds.
const BOUNDS: [u64; 12] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

/// How long publishing took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    buckets: [u64; BOUNDS.len()],
    pub(super) count: u64,
    pub(super) total: Duration,
}

impl Histogram {
    pub(super) fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let buckets = BOUNDS.iter().zip(&mut self.buckets);
        if let Some((_, bucket)) = buckets.into_iter().find(|(bound, _)| micros <= **bound) {
            *bucket += 1;
        }
        self.count += 1;
        self.total = self.total.saturating_add(took);
    }
}

/// What a publisher and its relay have done, in one struct.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProducerMetrics {
    /// Events that were published, directly or from the store.
    pub messages_published: u64,
    /// Attempts that failed, of either.
    pub messages_failed: u64,
    /// Attempts from the store.
    pub messages_retried: u64,
    /// How long publishing directly took, all together, in milliseconds.
    pub total_publish_time_ms: f64,
    /// The last failure.
    pub last_error: Option<String>,
    /// The circuit breaker's state.
    pub circuit_breaker_state: BreakerState,
}

impl ProducerMetrics {
    pub(super) fn new(publisher: &PublisherStats, relay: &RelayStats) -> Self {
        Self {
            messages_published: publisher.messages_published + relay.resolved,
            messages_failed: publisher.messages_failed + relay.failures,
            messages_retried: relay.resolved + relay.failures,
            total_publish_time_ms: publisher.total_publish_time.as_secs_f64() * 1_000.0,
            last_error: publisher.last_error.clone(),
            circuit_breaker_state: publisher.breaker.state,
        }
    }
}

/// All metrics in the text format of Prometheus.
pub(super) fn text(
    publisher: &PublisherStats,
    latency: &Histogram,
    relay: &RelayStats,
    store: Option<&StoreStats>,
) -> String {
    let mut out = String::new();
    head(&mut out, "kafka_events_published_total", "counter", "Events published directly, and attempts that failed.");
    row(&mut out, "kafka_events_published_total{status=\"success\"}", publisher.messages_published);
    row(&mut out, "kafka_events_published_total{status=\"error\"}", publisher.messages_failed);
    histogram(&mut out, latency);
    for (name, value, help) in [
        ("kafka_circuit_breaker_open_total", publisher.breaker.opened, "How often the circuit breaker opened."),
        ("kafka_events_stored_for_retry_total", publisher.stored, "Events stored."),
        ("kafka_events_given_up_total", publisher.given_up, "Events handed back to the caller."),
        ("kafka_retry_success_total", relay.resolved, "Stored events that were published."),
        ("kafka_dlq_sent_total", relay.dead_lettered, "Dead letters."),
    ] {
        head(&mut out, name, "counter", help);
        row(&mut out, name, value);
    }
    if let Some(store) = store {
        outbox(&mut out, store);
    }
    out
}

fn outbox(out: &mut String, store: &StoreStats) {
    head(out, "kafka_outbox_events", "gauge", "Events in the store.");
    for (status, value) in [("pending", store.pending), ("retrying", store.retrying), ("dlq_failed", store.dlq_failed)]
    {
        row(out, &format!("kafka_outbox_events{{status=\"{status}\"}}"), value);
    }
    head(out, "kafka_outbox_oldest_seconds", "gauge", "Age of the oldest event in the store.");
    row(out, "kafka_outbox_oldest_seconds", store.oldest.unwrap_or_default().as_secs_f64());
}

fn histogram(out: &mut String, latency: &Histogram) {
    const NAME: &str = "kafka_publish_latency_seconds";
    head(out, NAME, "histogram", "How long publishing directly took.");
    // Read first: a value that is added meanwhile is in no bucket above it.
    let mut below = 0;
    for (bound, bucket) in BOUNDS.iter().zip(&latency.buckets) {
        below += bucket;
        row(out, &format!("{NAME}_bucket{{le=\"{}\"}}", Duration::from_micros(*bound).as_secs_f64()), below);
    }
    row(out, &format!("{NAME}_bucket{{le=\"+Inf\"}}"), latency.count);
    row(out, &format!("{NAME}_sum"), latency.total.as_secs_f64());
    row(out, &format!("{NAME}_count"), latency.count);
}

// Writing to a string does not fail.
fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn row(out: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_counted_by_bucket_and_all_together() {
        let mut latency = Histogram::default();
        for millis in [0, 1, 2, 40, 60_000] {
            latency.add(Duration::from_millis(millis));
        }
        let mut out = String::new();
        histogram(&mut out, &latency);
        let value =
            |name: &str| out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap().to_owned();
        let bucket = |le: &str| value(&format!("kafka_publish_latency_seconds_bucket{{le=\"{le}\"}}"));
        assert_eq!(["0.0005", "0.001", "0.0025", "0.05", "30", "+Inf"].map(bucket), ["1", "2", "3", "4", "4", "5"]);
        assert_eq!(value("kafka_publish_latency_seconds_sum"), "60.043");
        assert_eq!(value("kafka_publish_latency_seconds_count"), "5");
    }
}
