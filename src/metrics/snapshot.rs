//! A snapshot of all metrics, each with its name, unit and description.
//!
//! In: counts and gauges. Out: [`Metrics`]. Pure. Source: the names and groups of Java's `SenderMetricsRegistry`.

use std::{sync::Arc, time::Instant};

use super::recorder::{At, Counts, Distribution, Rated, Recorder, Tally};

/// Java's group of metrics of the whole producer.
pub(super) const PRODUCER: &str = "producer-metrics";
/// Java's group of metrics of one topic.
pub(super) const TOPIC: &str = "producer-topic-metrics";
/// The group of metrics by error code, which Java does not have.
pub(super) const ERRORS: &str = "producer-error-metrics";

/// The milliseconds of a second.
const MS: f64 = 1e3;

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
/// Averages and maxima cover the producer's life. A rate is per second and covers `metrics.num.samples` times `metrics.sample.window.ms`, a
/// minute, or half of it; more if events are rare, or less if the producer is younger. Times are in milliseconds if Java's are. In Prometheus' text they are in seconds.
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
        let mut rows = Rows { group: PRODUCER, tags: vec![client.clone()], at: counts.at(now), list: Vec::new() };
        rows.records(&counts.all);
        rows.batches(&counts);
        rows.requests(&counts);
        rows.links(&counts);
        rows.waits(&counts, gauges);
        for (topic, of) in &counts.topics {
            (rows.group, rows.tags) = (TOPIC, vec![client.clone(), ("topic", Arc::clone(topic))]);
            rows.records(of);
            rows.rated(["byte-total", "byte-rate"], of.bytes, "Bytes of the batches that were sent.");
            let compression = ratio(of.bytes.total, of.uncompressed);
            rows.add("compression-rate", compression, "Bytes as sent by bytes before compression.");
        }
        for (code, times) in &counts.by_code {
            (rows.group, rows.tags) = (ERRORS, vec![client.clone(), ("error", code.to_string().into())]);
            rows.add("attempt-error-total", *times as f64, "Attempts to write a batch that came to this error.");
        }
        Self { list: rows.list, counts }
    }
}

/// The list of metrics while it is made. What is added gets the group and the tags.
struct Rows {
    group: &'static str,
    tags: Vec<(&'static str, Arc<str>)>,
    at: At,
    list: Vec<Metric>,
}

impl Rows {
    fn add(&mut self, name: &'static str, value: f64, description: &'static str) {
        self.list.push(Metric { group: self.group, name, tags: self.tags.clone(), value, description });
    }

    /// Adds a total and its rate.
    fn rated(&mut self, [total, rate]: [&'static str; 2], of: Rated, description: &'static str) {
        self.add(total, of.total as f64, description);
        self.add(rate, of.rate(self.at), "The same, a second.");
    }

    /// Adds the mean of a distribution and its greatest value, both times `factor`.
    fn spread(&mut self, [avg, max]: [&'static str; 2], of: &Distribution, factor: f64, description: &'static str) {
        self.add(avg, of.mean() * factor, description);
        self.add(max, of.max() * factor, "The same, at most.");
    }

    /// Adds what the producer and a topic have.
    fn records(&mut self, of: &Tally) {
        let sent = "Records sent, each time that their batch was.";
        self.rated(["record-send-total", "record-send-rate"], of.records, sent);
        self.add("record-acked-total", of.acked as f64, "Records that were acknowledged.");
        let not_written = "Records that failed and are certainly not written.";
        self.add("record-not-written-total", of.not_written as f64, not_written);
        self.add("record-unknown-total", of.unknown as f64, "Records that failed and may be written.");
        self.rated(["record-error-total", "record-error-rate"], of.errors, "Records that failed.");
        self.rated(["record-retry-total", "record-retry-rate"], of.retries, "Records sent again, each time.");
    }

    fn batches(&mut self, counts: &Counts) {
        let size = "Bytes of a record on average, before compression, with its share of its batch.";
        self.add("record-size-avg", ratio(counts.all.uncompressed, counts.all.records.total), size);
        let queued = "Milliseconds from a batch's opening until it was put into a request, on average.";
        self.spread(["record-queue-time-avg", "record-queue-time-max"], &counts.queue_time, MS, queued);
        let delivered = "Milliseconds from a batch's opening to its records' outcome, on average.";
        self.spread(["delivery-latency-avg", "delivery-latency-max"], &counts.delivery_latency, MS, delivered);
        let bytes = "Bytes of a batch as it was sent, on average.";
        self.spread(["batch-size-avg", "batch-size-max"], &counts.batch_size, 1.0, bytes);
        let split = "Batches that a broker found too large, and that were split.";
        self.rated(["batch-split-total", "batch-split-rate"], counts.splits, split);
        let compression = "Bytes of all batches as sent by their bytes before compression.";
        self.add("compression-rate-avg", ratio(counts.all.bytes.total, counts.all.uncompressed), compression);
        let records = counts.records_per_request.mean();
        self.add("records-per-request-avg", records, "Records in a Produce request, on average.");
        let unconfirmed =
            "Records sent with acks=0 over connections that ended before anything showed that a broker had taken them.";
        self.add("record-unconfirmed-total", counts.unconfirmed as f64, unconfirmed);
        let bumps = "Epochs that partitions began after a gap in their sequence numbers.";
        self.add("epoch-bump-total", counts.epoch_bumps as f64, bumps);
    }

    fn requests(&mut self, counts: &Counts) {
        let in_flight = counts.requests.total.saturating_sub(counts.responses.total + counts.unanswered);
        self.rated(["request-total", "request-rate"], counts.requests, "Requests of all kinds.");
        let bytes = "Bytes of a request, on average.";
        self.spread(["request-size-avg", "request-size-max"], &counts.request_size, 1.0, bytes);
        let latency = "Milliseconds from a request to its answer, on average.";
        self.spread(["request-latency-avg", "request-latency-max"], &counts.request_latency, MS, latency);
        self.add("requests-in-flight", in_flight as f64, "Requests without an answer at the moment.");
        self.rated(["response-total", "response-rate"], counts.responses, "Answers of all kinds.");
        self.rated(["outgoing-byte-total", "outgoing-byte-rate"], counts.outgoing, "Bytes of all requests.");
        self.rated(["incoming-byte-total", "incoming-byte-rate"], counts.incoming, "Bytes of all answers.");
        let throttle =
            "Milliseconds for which brokers asked to be left alone, on average over all answers that carry it.";
        self.spread(["produce-throttle-time-avg", "produce-throttle-time-max"], &counts.throttle, MS, throttle);
    }

    fn links(&mut self, counts: &Counts) {
        let open = counts.connections.total.saturating_sub(counts.disconnections.total);
        self.add("connection-count", open as f64, "Connections at the moment.");
        let made = ["connection-creation-total", "connection-creation-rate"];
        self.rated(made, counts.connections, "Connections that were made.");
        let ended = ["connection-close-total", "connection-close-rate"];
        self.rated(ended, counts.disconnections, "Connections that ended.");
        let age = counts.metadata_at.map_or(f64::NAN, |at| self.at.now.saturating_duration_since(at).as_secs_f64());
        self.add("metadata-age", age, "Seconds since metadata came that were of use; not a number before the first.");
    }

    fn waits(&mut self, counts: &Counts, gauges: Gauges) {
        self.add("buffer-total-bytes", gauges.buffer_total as f64, "buffer.memory, in bytes.");
        self.add("buffer-available-bytes", gauges.buffer_free as f64, "Bytes of it that are free.");
        let exhausted = "Records that waited max.block.ms for memory in vain.";
        self.rated(["buffer-exhausted-total", "buffer-exhausted-rate"], counts.exhausted, exhausted);
        let memory = counts.memory_wait;
        self.add("bufferpool-wait-time-ns-total", memory.total as f64, "Nanoseconds that callers waited for memory.");
        let part = "The part of the time that callers waited for memory; more than 1 where several did at once.";
        self.add("bufferpool-wait-ratio", memory.rate(self.at) / 1e9, part);
        self.add("waiting-threads", gauges.waiting as f64, "Callers that wait for memory at the moment.");
        self.add("undelivered-batches", gauges.undelivered as f64, "Batches whose callbacks have not all run.");
        let (metadata, flush) = (counts.metadata_wait as f64, counts.flush as f64);
        self.add("metadata-wait-time-ns-total", metadata, "Nanoseconds that callers waited for metadata.");
        self.add("flush-time-ns-total", flush, "Nanoseconds that callers waited in flush and close.");
    }
}

/// The ratio, or 0 if `whole` is 0.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
