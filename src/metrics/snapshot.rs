//! A snapshot of all metrics, each with its name, unit and description.
//!
//! In: counts and gauges. Out: [`Metrics`]. Pure. Source: the names and groups of Java's `SenderMetricsRegistry`.

use std::{sync::Arc, time::Instant};

use super::recorder::{Counts, Distribution, Recorder, Tally};

/// Java's group of metrics of the whole producer.
pub(super) const PRODUCER: &str = "producer-metrics";
/// Java's group of metrics of one topic.
pub(super) const TOPIC: &str = "producer-topic-metrics";
/// The group of metrics by error code, which Java does not have.
pub(super) const ERRORS: &str = "producer-error-metrics";

/// Values that are read when the snapshot is taken, rather than counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauges {
    pub(crate) buffer_total: usize,
    pub(crate) buffer_free: usize,
    pub(crate) waiting: usize,
    pub(crate) undelivered: usize,
}

/// One metric.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// `producer-metrics`, `producer-topic-metrics` or `producer-error-metrics`.
    pub group: &'static str,
    /// Java's name where Java has it.
    pub name: &'static str,
    /// `client-id`, and `topic` or `error` in the group by topic or by error.
    pub tags: Vec<(&'static str, Arc<str>)>,
    /// Its value, in the unit that [`description`](Self::description) names.
    pub value: f64,
    /// Its description and its unit.
    pub description: &'static str,
}

/// A snapshot of a producer's metrics, from [`Producer::metrics`](crate::Producer::metrics).
///
/// Averages and maxima cover the producer's life. A rate is per second and covers the last 30 to 60 seconds, more if events are rare,
/// or less if the producer is younger. Times are in milliseconds if Java's are. In Prometheus' text they are in seconds.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) list: Vec<Metric>,
    pub(super) counts: Counts,
}

impl Metrics {
    /// All metrics: those of the producer, then by topic, then by error.
    pub fn iter(&self) -> impl Iterator<Item = &Metric> {
        self.list.iter()
    }

    /// A metric of the whole producer, or the sum over topics or errors. `None` if there is no metric of this name.
    #[must_use]
    pub fn get(&self, group: &str, name: &str) -> Option<f64> {
        let values = self.list.iter().filter(|metric| metric.group == group && metric.name == name);
        values.map(|metric| metric.value).reduce(|sum, value| sum + value)
    }

    /// A metric of one topic. `None` if the topic has no metrics, or not this one.
    #[must_use]
    pub fn topic(&self, topic: &str, name: &str) -> Option<f64> {
        let of_topic = |metric: &&Metric| metric.group == TOPIC && metric.name == name && &*metric.tags[1].1 == topic;
        self.list.iter().find(of_topic).map(|metric| metric.value)
    }

    /// Time from a batch's opening to the outcome of its records, in seconds. Each record counts.
    #[must_use]
    pub fn delivery_latency(&self) -> &Distribution {
        &self.counts.delivery_latency
    }

    /// Time from a batch's opening until it is put into a request, in seconds.
    #[must_use]
    pub fn queue_time(&self) -> &Distribution {
        &self.counts.queue_time
    }

    /// Time from a request to its response, in seconds.
    #[must_use]
    pub fn request_latency(&self) -> &Distribution {
        &self.counts.request_latency
    }

    /// Sizes of batches as sent, in bytes.
    #[must_use]
    pub fn batch_size(&self) -> &Distribution {
        &self.counts.batch_size
    }

    /// Numbers of records in Produce requests.
    #[must_use]
    pub fn records_per_request(&self) -> &Distribution {
        &self.counts.records_per_request
    }

    /// Bytes of a batch as sent, divided by its bytes before compression.
    #[must_use]
    pub fn compression_ratio(&self) -> &Distribution {
        &self.counts.compression
    }

    pub(crate) fn take(recorder: &Recorder, gauges: Gauges, client_id: &Arc<str>, now: Instant) -> Self {
        let counts = recorder.counts().clone();
        let client = ("client-id", Arc::clone(client_id));
        let mut list: Vec<_> =
            producer(&counts, gauges, now).into_iter().map(|row| row.metric(PRODUCER, vec![client.clone()])).collect();
        for (topic, of) in &counts.topics {
            let tags = vec![client.clone(), ("topic", Arc::clone(topic))];
            list.extend(of_topic(of, now).into_iter().map(|row| row.metric(TOPIC, tags.clone())));
        }
        for (code, times) in &counts.by_code {
            let tags = vec![client.clone(), ("error", code.to_string().into())];
            let row =
                MetricRow("attempt-error-total", *times as f64, "Attempts to write a batch that came to this error.");
            list.push(row.metric(ERRORS, tags));
        }
        Self { list, counts }
    }
}

/// Name, value, description.
struct MetricRow(&'static str, f64, &'static str);

impl MetricRow {
    fn metric(self, group: &'static str, tags: Vec<(&'static str, Arc<str>)>) -> Metric {
        let Self(name, value, description) = self;
        Metric { group, name, tags, value, description }
    }
}

fn producer(counts: &Counts, gauges: Gauges, now: Instant) -> Vec<MetricRow> {
    let groups = [records(counts, now), batches(counts, now), requests(counts, now), links(counts, now)];
    groups.into_iter().flatten().chain(waits(counts, gauges, now)).collect()
}

fn ms(seconds: f64) -> f64 {
    seconds * 1_000.0
}

fn records(counts: &Counts, now: Instant) -> Vec<MetricRow> {
    let all = &counts.all;
    vec![
        MetricRow("record-send-total", all.records.total as f64, "Records sent, each time that their batch was."),
        MetricRow("record-send-rate", all.records.rate(now), "Records sent, a second."),
        MetricRow("record-acked-total", all.acked as f64, "Records that were acknowledged."),
        MetricRow(
            "record-not-written-total",
            all.not_written as f64,
            "Records that failed and are certainly not written.",
        ),
        MetricRow("record-unknown-total", all.unknown as f64, "Records that failed and may be written."),
        MetricRow("record-error-total", all.errors.total as f64, "Records that failed."),
        MetricRow("record-error-rate", all.errors.rate(now), "Records that failed, a second."),
        MetricRow("record-retry-total", all.retries.total as f64, "Records sent again, each time."),
        MetricRow("record-retry-rate", all.retries.rate(now), "Records sent again, a second."),
        MetricRow(
            "record-size-avg",
            ratio(all.uncompressed, all.records.total),
            "Bytes of a record on average, before compression, with its share of its batch.",
        ),
        MetricRow(
            "record-queue-time-avg",
            ms(counts.queue_time.mean()),
            "Milliseconds from a batch's opening until it was put into a request, on average.",
        ),
        MetricRow("record-queue-time-max", ms(counts.queue_time.max()), "The same, at most."),
        MetricRow(
            "delivery-latency-avg",
            ms(counts.delivery_latency.mean()),
            "Milliseconds from a batch's opening to its records' outcome, on average.",
        ),
        MetricRow("delivery-latency-max", ms(counts.delivery_latency.max()), "The same, at most."),
    ]
}

fn batches(counts: &Counts, now: Instant) -> Vec<MetricRow> {
    vec![
        MetricRow("batch-size-avg", counts.batch_size.mean(), "Bytes of a batch as it was sent, on average."),
        MetricRow("batch-size-max", counts.batch_size.max(), "The same, at most."),
        MetricRow(
            "batch-split-total",
            counts.splits.total as f64,
            "Batches that a broker found too large, and that were split.",
        ),
        MetricRow("batch-split-rate", counts.splits.rate(now), "The same, a second."),
        MetricRow(
            "compression-rate-avg",
            ratio(counts.all.bytes.total, counts.all.uncompressed),
            "Bytes of all batches as sent by their bytes before compression.",
        ),
        MetricRow(
            "records-per-request-avg",
            counts.records_per_request.mean(),
            "Records in a Produce request, on average.",
        ),
        MetricRow(
            "record-unconfirmed-total",
            counts.unconfirmed as f64,
            "Records sent with acks=0 over connections that ended before anything showed that a broker had taken them.",
        ),
        MetricRow(
            "epoch-bump-total",
            counts.epoch_bumps as f64,
            "Epochs that partitions began after a gap in their sequence numbers.",
        ),
    ]
}

fn requests(counts: &Counts, now: Instant) -> Vec<MetricRow> {
    let in_flight = counts.requests.total.saturating_sub(counts.responses.total + counts.unanswered);
    vec![
        MetricRow("request-total", counts.requests.total as f64, "Requests of all kinds."),
        MetricRow("request-rate", counts.requests.rate(now), "The same, a second."),
        MetricRow("request-size-avg", counts.request_size.mean(), "Bytes of a request, on average."),
        MetricRow("request-size-max", counts.request_size.max(), "The same, at most."),
        MetricRow(
            "request-latency-avg",
            ms(counts.request_latency.mean()),
            "Milliseconds from a request to its answer, on average.",
        ),
        MetricRow("request-latency-max", ms(counts.request_latency.max()), "The same, at most."),
        MetricRow("requests-in-flight", in_flight as f64, "Requests without an answer at the moment."),
        MetricRow("response-total", counts.responses.total as f64, "Answers of all kinds."),
        MetricRow("response-rate", counts.responses.rate(now), "The same, a second."),
        MetricRow("outgoing-byte-total", counts.outgoing.total as f64, "Bytes of all requests."),
        MetricRow("outgoing-byte-rate", counts.outgoing.rate(now), "The same, a second."),
        MetricRow("incoming-byte-total", counts.incoming.total as f64, "Bytes of all answers."),
        MetricRow("incoming-byte-rate", counts.incoming.rate(now), "The same, a second."),
        MetricRow(
            "produce-throttle-time-avg",
            ms(counts.throttle.mean()),
            "Milliseconds for which brokers asked to be left alone, on average over all answers that carry it.",
        ),
        MetricRow("produce-throttle-time-max", ms(counts.throttle.max()), "The same, at most."),
    ]
}

fn links(counts: &Counts, now: Instant) -> Vec<MetricRow> {
    let open = counts.connections.total.saturating_sub(counts.disconnections.total);
    let age = counts.metadata_at.map_or(f64::NAN, |at| now.saturating_duration_since(at).as_secs_f64());
    vec![
        MetricRow("connection-count", open as f64, "Connections at the moment."),
        MetricRow("connection-creation-total", counts.connections.total as f64, "Connections that were made."),
        MetricRow("connection-creation-rate", counts.connections.rate(now), "The same, a second."),
        MetricRow("connection-close-total", counts.disconnections.total as f64, "Connections that ended."),
        MetricRow("connection-close-rate", counts.disconnections.rate(now), "The same, a second."),
        MetricRow("metadata-age", age, "Seconds since metadata came that were of use; not a number before the first."),
    ]
}

fn waits(counts: &Counts, gauges: Gauges, now: Instant) -> Vec<MetricRow> {
    vec![
        MetricRow("buffer-total-bytes", gauges.buffer_total as f64, "buffer.memory, in bytes."),
        MetricRow("buffer-available-bytes", gauges.buffer_free as f64, "Bytes of it that are free."),
        MetricRow(
            "buffer-exhausted-total",
            counts.exhausted.total as f64,
            "Records that waited max.block.ms for memory in vain.",
        ),
        MetricRow("buffer-exhausted-rate", counts.exhausted.rate(now), "The same, a second."),
        MetricRow(
            "bufferpool-wait-time-ns-total",
            counts.memory_wait.total as f64,
            "Nanoseconds that callers waited for memory.",
        ),
        MetricRow(
            "bufferpool-wait-ratio",
            counts.memory_wait.rate(now) / 1e9,
            "The part of the time that callers waited for memory; more than 1 where several did at once.",
        ),
        MetricRow("waiting-threads", gauges.waiting as f64, "Callers that wait for memory at the moment."),
        MetricRow("undelivered-batches", gauges.undelivered as f64, "Batches whose callbacks have not all run."),
        MetricRow(
            "metadata-wait-time-ns-total",
            counts.metadata_wait as f64,
            "Nanoseconds that callers waited for metadata.",
        ),
        MetricRow("flush-time-ns-total", counts.flush as f64, "Nanoseconds that callers waited in flush and close."),
    ]
}

fn of_topic(of: &Tally, now: Instant) -> Vec<MetricRow> {
    vec![
        MetricRow("record-send-total", of.records.total as f64, "Records sent, each time that their batch was."),
        MetricRow("record-send-rate", of.records.rate(now), "The same, a second."),
        MetricRow("byte-total", of.bytes.total as f64, "Bytes of the batches that were sent."),
        MetricRow("byte-rate", of.bytes.rate(now), "The same, a second."),
        MetricRow(
            "compression-rate",
            ratio(of.bytes.total, of.uncompressed),
            "Bytes as sent by bytes before compression.",
        ),
        MetricRow("record-retry-total", of.retries.total as f64, "Records sent again, each time."),
        MetricRow("record-retry-rate", of.retries.rate(now), "The same, a second."),
        MetricRow("record-error-total", of.errors.total as f64, "Records that failed."),
        MetricRow("record-error-rate", of.errors.rate(now), "The same, a second."),
        MetricRow("record-acked-total", of.acked as f64, "Records that were acknowledged."),
        MetricRow(
            "record-not-written-total",
            of.not_written as f64,
            "Records that failed and are certainly not written.",
        ),
        MetricRow("record-unknown-total", of.unknown as f64, "Records that failed and may be written."),
    ]
}

/// The ratio, or 0 if `whole` is 0.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
