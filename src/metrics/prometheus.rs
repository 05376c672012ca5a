//! Prometheus' text format.
//!
//! In: a snapshot. Out: text. Pure. Names of counters end in `_total`, times are in seconds, sizes in bytes. Deliberately absent:
//! averages. In their place are histograms, whose buckets can be added up over producers. A topic is a label; an id never is.

use std::fmt::Write;

use super::{
    recorder::{Counts, Distribution},
    snapshot::{ERRORS, Metric, Metrics, PRODUCER, TOPIC},
};

/// Group, Java's name, Prometheus' name, and the divisor that gives the base unit. Java's other metrics are rates, or come from a
/// histogram.
const NAMES: &[(&str, &str, &str, f64)] = &[
    (TOPIC, "record-send-total", "sent_records_total", 1.0),
    (TOPIC, "byte-total", "sent_bytes_total", 1.0),
    (TOPIC, "record-retry-total", "retried_records_total", 1.0),
    (TOPIC, "record-acked-total", "acked_records_total", 1.0),
    (TOPIC, "record-not-written-total", "not_written_records_total", 1.0),
    (TOPIC, "record-unknown-total", "unknown_records_total", 1.0),
    (ERRORS, "attempt-error-total", "attempt_errors_total", 1.0),
    (PRODUCER, "batch-split-total", "batch_splits_total", 1.0),
    (PRODUCER, "request-total", "requests_total", 1.0),
    (PRODUCER, "response-total", "responses_total", 1.0),
    (PRODUCER, "requests-in-flight", "requests_in_flight", 1.0),
    (PRODUCER, "outgoing-byte-total", "outgoing_bytes_total", 1.0),
    (PRODUCER, "incoming-byte-total", "incoming_bytes_total", 1.0),
    (PRODUCER, "connection-count", "connections", 1.0),
    (PRODUCER, "connection-creation-total", "connections_made_total", 1.0),
    (PRODUCER, "connection-close-total", "connections_ended_total", 1.0),
    (PRODUCER, "record-unconfirmed-total", "records_unconfirmed_total", 1.0),
    (PRODUCER, "epoch-bump-total", "epoch_bumps_total", 1.0),
    (PRODUCER, "metadata-age", "metadata_age_seconds", 1.0),
    (PRODUCER, "buffer-total-bytes", "buffer_bytes", 1.0),
    (PRODUCER, "buffer-available-bytes", "buffer_available_bytes", 1.0),
    (PRODUCER, "buffer-exhausted-total", "buffer_exhausted_total", 1.0),
    (PRODUCER, "bufferpool-wait-time-ns-total", "buffer_wait_seconds_total", 1e9),
    (PRODUCER, "waiting-threads", "waiting_callers", 1.0),
    (PRODUCER, "undelivered-batches", "undelivered_batches", 1.0),
    (PRODUCER, "metadata-wait-time-ns-total", "metadata_wait_seconds_total", 1e9),
    (PRODUCER, "flush-time-ns-total", "flush_seconds_total", 1e9),
];

const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
const BYTES: &[f64] = &[1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0];
const RECORDS: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0];
const PARTS: &[f64] = &[0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

impl Metrics {
    /// Prometheus' text format (0.0.4): base units, `_total` on counters, histograms of latencies and sizes.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut out = String::new();
        for (group, java, ours, divisor) in NAMES {
            let mut rows = self.list.iter().filter(|row| row.group == *group && row.name == *java).peekable();
            if let Some(first) = rows.peek() {
                let kind = if ours.ends_with("_total") { "counter" } else { "gauge" };
                head(&mut out, ours, kind, first.description);
            }
            rows.for_each(|row| line(&mut out, ours, &labels(row, None), row.value / divisor));
        }
        if let Some(client) = self.list.first() {
            histograms(&mut out, client, &self.counts);
        }
        out
    }
}

fn histograms(out: &mut String, client: &Metric, counts: &Counts) {
    let delivery = "From a batch's opening to the outcome of its records; each record counts.";
    let queue = "From a batch's opening until it was put into a request.";
    let throttle = "For how long brokers asked to be left alone; each answer that carries it.";
    let compression = "A batch's bytes as sent by its bytes before compression.";
    for (name, of, buckets, what) in [
        ("delivery_seconds", &counts.delivery_latency, SECONDS, delivery),
        ("queue_seconds", &counts.queue_time, SECONDS, queue),
        ("request_seconds", &counts.request_latency, SECONDS, "From a request to its answer."),
        ("throttle_seconds", &counts.throttle, SECONDS, throttle),
        ("batch_bytes", &counts.batch_size, BYTES, "Batches as they were sent."),
        ("records_per_request", &counts.records_per_request, RECORDS, "Records in each Produce request."),
        ("compression_ratio", &counts.compression, PARTS, compression),
    ] {
        head(out, name, "histogram", what);
        histogram(out, name, client, of, buckets);
    }
}

fn histogram(out: &mut String, name: &str, client: &Metric, of: &Distribution, buckets: &[f64]) {
    for bucket in buckets {
        line(out, &format!("{name}_bucket"), &labels(client, Some(&bucket.to_string())), of.count_to(*bucket) as f64);
    }
    line(out, &format!("{name}_bucket"), &labels(client, Some("+Inf")), of.count() as f64);
    line(out, &format!("{name}_sum"), &labels(client, None), of.mean() * of.count() as f64);
    line(out, &format!("{name}_count"), &labels(client, None), of.count() as f64);
}

fn head(out: &mut String, name: &str, kind: &str, what: &str) {
    let what = what.replace('\\', r"\\").replace('\n', r"\n");
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP kafka_producer_{name} {what}\n# TYPE kafka_producer_{name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: f64) {
    let _ = writeln!(out, "kafka_producer_{name}{{{labels}}} {value}");
}

fn labels(metric: &Metric, le: Option<&str>) -> String {
    let escaped = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let tags = metric.tags.iter().map(|(name, value)| format!("{}=\"{}\"", name.replace('-', "_"), escaped(value)));
    tags.chain(le.map(|le| format!("le=\"{le}\""))).collect::<Vec<_>>().join(",")
}
