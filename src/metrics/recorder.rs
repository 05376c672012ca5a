//! The counters. The sender changes them once for each batch, request or response, and callers after they have waited.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::error::{ErrorCode, Persisted};

/// How many error codes are counted apart, which is more than Kafka has. Codes beyond that, which a broker invents, count as unknown.
const MOST_CODES: usize = 200;
/// How many decimal digits a histogram keeps of a value, which is then exact within 1 %.
const DIGITS: u8 = 2;
/// The units in which distributions count: bytes and records, microseconds, thousandths of a ratio.
const ONES: f64 = 1.0;
const MICROS: f64 = 1e-6;
const THOUSANDTHS: f64 = 1e-3;

/// Counts events. The sender and the callers who take snapshots share it.
#[derive(Debug)]
pub(crate) struct Recorder(Mutex<Counts>);

/// A moment, and the shortest time that a rate covers then. If events are frequent enough, it covers twice as long at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) now: Instant,
    window: Duration,
}

/// A total and its rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rated {
    pub(super) total: u64,
    /// The totals at the last two marks, which are a window apart.
    marks: Option<[(Instant, u64); 2]>,
}

impl Rated {
    fn add(&mut self, more: u64, at: At) {
        self.mark(at);
        self.total = self.total.saturating_add(more);
    }

    fn mark(&mut self, At { now, window }: At) {
        let [_, last] = *self.marks.get_or_insert([(now, self.total); 2]);
        if now.saturating_duration_since(last.0) >= window {
            self.marks = Some([last, (now, self.total)]);
        }
    }

    /// The rate per second since the mark before the last.
    pub(super) fn rate(mut self, at: At) -> f64 {
        self.mark(at);
        let Some([(since, before), _]) = self.marks else { return 0.0 };
        let elapsed = at.now.saturating_duration_since(since).as_secs_f64();
        if elapsed > 0.0 { (self.total - before) as f64 / elapsed } else { 0.0 }
    }
}

/// A distribution of values. It takes 20 to 40 KiB once it is used.
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    histogram: Option<Histogram<u64>>,
    /// The value of one unit in the histogram, once it is used.
    unit: f64,
}

impl Distribution {
    /// Adds a value, which is counted in `unit`.
    fn add(&mut self, value: u64, unit: f64, times: u64) {
        self.unit = unit;
        if self.histogram.is_none() {
            self.histogram = Histogram::new_with_max(1 << 40, DIGITS).ok();
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record_n(value, times);
        }
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// The least value, or 0 if there is none.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.value(|histogram| histogram.min() as f64)
    }

    /// The mean, or 0 if there is no value.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.value(Histogram::mean)
    }

    /// The greatest value, or 0 if there is none.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.value(|histogram| histogram.max() as f64)
    }

    /// A quantile: 0.99 is the 99th percentile. Exact within 1 %.
    #[must_use]
    pub fn quantile(&self, part: f64) -> f64 {
        self.value(|histogram| histogram.value_at_quantile(part.clamp(0.0, 1.0)) as f64)
    }

    /// How many values are at most this one. Exact within 1 % of the value.
    #[must_use]
    pub fn count_to(&self, value: f64) -> u64 {
        let value = (value / self.unit).round().clamp(0.0, u64::MAX as f64) as u64;
        self.histogram.as_ref().map_or(0, |histogram| histogram.count_between(0, value))
    }

    fn value(&self, of: impl Fn(&Histogram<u64>) -> f64) -> f64 {
        self.histogram.as_ref().filter(|histogram| !histogram.is_empty()).map_or(0.0, of) * self.unit
    }
}

/// Counts of records, kept for all topics together and for each topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) records: Rated,
    pub(super) bytes: Rated,
    pub(super) uncompressed: u64,
    pub(super) retries: Rated,
    pub(super) errors: Rated,
    pub(super) acked: u64,
    pub(super) not_written: u64,
    pub(super) unknown: u64,
}

/// All counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// The shortest time that a rate covers.
    window: Duration,
    /// The sum over all topics, including those that were forgotten.
    pub(super) all: Tally,
    pub(super) topics: BTreeMap<Arc<str>, Tally>,
    pub(super) splits: Rated,
    pub(super) requests: Rated,
    pub(super) responses: Rated,
    pub(super) outgoing: Rated,
    pub(super) incoming: Rated,
    pub(super) unanswered: u64,
    pub(super) connections: Rated,
    pub(super) disconnections: Rated,
    pub(super) epoch_bumps: u64,
    pub(super) unconfirmed: u64,
    pub(super) by_code: BTreeMap<ErrorCode, u64>,
    pub(super) metadata_at: Option<Instant>,
    /// The time that callers waited, in nanoseconds, and how often they did not get memory.
    pub(super) memory_wait: Rated,
    pub(super) metadata_wait: u64,
    pub(super) flush: u64,
    pub(super) exhausted: Rated,
    pub(super) queue_time: Distribution,
    pub(super) request_latency: Distribution,
    pub(super) delivery_latency: Distribution,
    pub(super) throttle: Distribution,
    pub(super) batch_size: Distribution,
    pub(super) request_size: Distribution,
    pub(super) records_per_request: Distribution,
    pub(super) compression: Distribution,
}

/// A batch that was put into a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentBatch {
    pub(crate) records: u32,
    /// Its size in bytes, as sent.
    pub(crate) bytes: usize,
    /// Its size in bytes, before compression.
    pub(crate) uncompressed: usize,
    /// Its age.
    pub(crate) queued: Duration,
}

/// The outcome of a batch, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Acked,
    Failed(Persisted),
}

impl Recorder {
    /// A recorder whose rates cover this time, or twice as long.
    pub(crate) fn new(window: Duration) -> Self {
        Self(Mutex::new(Counts { window, ..Counts::default() }))
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch was put into a request.
    pub(crate) fn batch_sent(&self, topic: &Arc<str>, batch: SentBatch, now: Instant) {
        let mut counts = self.counts();
        let at = counts.at(now);
        let (records, bytes, uncompressed) = (u64::from(batch.records), batch.bytes as u64, batch.uncompressed as u64);
        counts.batch_size.add(bytes, ONES, 1);
        counts.queue_time.add(micros(batch.queued), MICROS, 1);
        counts.compression.add(1_000 * bytes / uncompressed.max(1), THOUSANDTHS, 1);
        counts.tally(topic, |tally| {
            tally.records.add(records, at);
            tally.bytes.add(bytes, at);
            tally.uncompressed += uncompressed;
        });
    }

    /// A request was passed to its connection. `records` is how many it carries.
    pub(crate) fn request_sent(&self, bytes: usize, records: Option<u64>, now: Instant) {
        let mut counts = self.counts();
        let at = counts.at(now);
        counts.requests.add(1, at);
        counts.outgoing.add(bytes as u64, at);
        counts.request_size.add(bytes as u64, ONES, 1);
        records.into_iter().for_each(|records| counts.records_per_request.add(records, ONES, 1));
    }

    /// A response arrived, this long after its request.
    pub(crate) fn answered(&self, bytes: usize, latency: Duration, now: Instant) {
        let mut counts = self.counts();
        let at = counts.at(now);
        counts.responses.add(1, at);
        counts.incoming.add(bytes as u64, at);
        counts.request_latency.add(micros(latency), MICROS, 1);
    }

    /// Requests were lost with their connection, and will have no response.
    pub(crate) fn unanswered(&self, requests: usize) {
        self.counts().unanswered += requests as u64;
    }

    /// A broker throttled the producer for this long.
    pub(crate) fn throttled(&self, wait: Duration) {
        self.counts().throttle.add(micros(wait), MICROS, 1);
    }

    /// A batch is sent again.
    pub(crate) fn retried(&self, topic: &Arc<str>, records: u32, now: Instant) {
        let mut counts = self.counts();
        let at = counts.at(now);
        counts.tally(topic, |tally| tally.retries.add(records.into(), at));
    }

    /// A batch was too large and was split.
    pub(crate) fn split(&self, now: Instant) {
        let mut counts = self.counts();
        let at = counts.at(now);
        counts.splits.add(1, at);
    }

    /// An attempt failed with this error.
    pub(crate) fn error(&self, code: ErrorCode) {
        let mut counts = self.counts();
        let known = counts.by_code.contains_key(&code) || counts.by_code.len() < MOST_CODES;
        *counts.by_code.entry(if known { code } else { ErrorCode::UNKNOWN_SERVER_ERROR }).or_default() += 1;
    }

    /// A batch was completed, this long after it was opened.
    pub(crate) fn ended(&self, topic: &Arc<str>, records: u32, ended: Ended, age: Duration, now: Instant) {
        let mut counts = self.counts();
        let at = counts.at(now);
        let records = u64::from(records);
        counts.delivery_latency.add(micros(age), MICROS, records);
        counts.tally(topic, |tally| {
            match ended {
                Ended::Acked => tally.acked += records,
                Ended::Failed(Persisted::No) => tally.not_written += records,
                Ended::Failed(Persisted::Unknown) => tally.unknown += records,
            }
            if ended != Ended::Acked {
                tally.errors.add(records, at);
            }
        });
    }

    /// A partition began a new producer epoch.
    pub(crate) fn epoch_bumped(&self) {
        self.counts().epoch_bumps += 1;
    }

    /// Records were sent with `acks=0` over a connection that ended, and no later response confirms them.
    pub(crate) fn lost_unconfirmed(&self, records: u64) {
        self.counts().unconfirmed += records;
    }

    pub(crate) fn connected(&self, now: Instant) {
        let mut counts = self.counts();
        let at = counts.at(now);
        counts.connections.add(1, at);
    }

    pub(crate) fn disconnected(&self, now: Instant) {
        let mut counts = self.counts();
        let at = counts.at(now);
        counts.disconnections.add(1, at);
    }

    /// Usable metadata arrived.
    pub(crate) fn learned(&self, now: Instant) {
        self.counts().metadata_at = Some(now);
    }

    /// A topic was not used for long. It has no metrics of its own any more, and stays in the sums.
    pub(crate) fn forget(&self, topic: &str) {
        self.counts().topics.remove(topic);
    }

    /// A caller waited for memory. If `exhausted`, it got none.
    pub(crate) fn waited_for_memory(&self, time: Duration, exhausted: bool, now: Instant) {
        let mut counts = self.counts();
        let at = counts.at(now);
        counts.memory_wait.add(nanos(time), at);
        counts.exhausted.add(exhausted.into(), at);
    }

    /// A caller waited for metadata.
    pub(crate) fn waited_for_metadata(&self, time: Duration) {
        self.counts().metadata_wait += nanos(time);
    }

    /// A caller waited in `flush` or `close`.
    pub(crate) fn flushed(&self, time: Duration) {
        self.counts().flush += nanos(time);
    }
}

impl Counts {
    pub(super) const fn at(&self, now: Instant) -> At {
        At { now, window: self.window }
    }

    /// Counts for one topic, and for all together.
    fn tally(&mut self, topic: &Arc<str>, count: impl Fn(&mut Tally)) {
        count(&mut self.all);
        count(self.topics.entry(Arc::clone(topic)).or_default());
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
