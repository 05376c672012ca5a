//! A partition's log: batches in memory, by rising offset.
//!
//! In: validated batches. Out: their bytes from an offset on, offsets by timestamp, records for assertions.
//! Pure. Of segments it knows only where the active one begins, because that one is not compacted. Deliberately absent: retention; a log
//! grows until the broker is dropped.

use bytes::{Bytes, BytesMut};

use super::{compact::compact, config::TopicConfig};
use crate::wire::record_batch::reader::{Batch, BatchHeader, BatchRecord};

/// A record of a partition's log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The epoch of the leader that appended it.
    pub leader_epoch: i32,
    /// The producer's id, -1 without idempotence.
    pub producer_id: i64,
    /// The producer's epoch, -1 without idempotence.
    pub producer_epoch: i16,
    /// The record's sequence number, -1 without idempotence.
    pub sequence: i32,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// A record that was looked up by timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) leader_epoch: i32,
}

/// Why an offset cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfRange;

/// The log of one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    batches: Vec<Batch>,
    end: i64,
    active: Segment,
}

/// The segment that batches are appended to.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    base_offset: i64,
    bytes: usize,
    /// The largest timestamp of its first batch.
    since: i64,
}

impl Segment {
    /// Whether this batch begins another segment, as in Apache Kafka's `LogSegment.shouldRoll`.
    fn is_over(&self, batch: &Batch, config: &TopicConfig) -> bool {
        let is_late = batch.header().max_timestamp.saturating_sub(self.since) > config.segment_ms;
        let bytes = self.bytes.saturating_add(batch.bytes().len());
        self.bytes == 0 || is_late || bytes > usize::try_from(config.segment_bytes).unwrap_or(0)
    }
}

impl Log {
    /// The first offset. Records are never deleted from the start.
    pub(super) fn start_offset(&self) -> i64 {
        0
    }

    /// The offset that the next record gets. It is also the high watermark, because replicas are always up to date.
    pub(super) fn end_offset(&self) -> i64 {
        self.end
    }

    /// The headers of its batches, in order.
    pub(super) fn headers(&self) -> impl Iterator<Item = &BatchHeader> {
        self.batches.iter().map(Batch::header)
    }

    /// Appends a batch whose base offset is [`Self::end_offset`].
    pub(super) fn append(&mut self, batch: Batch, config: &TopicConfig) {
        if self.active.is_over(&batch, config) {
            let BatchHeader { base_offset, max_timestamp, .. } = *batch.header();
            self.active = Segment { base_offset, bytes: 0, since: max_timestamp };
        }
        self.active.bytes = self.active.bytes.saturating_add(batch.bytes().len());
        self.end = batch.header().last_offset().saturating_add(1);
        self.batches.push(batch);
    }

    /// Whole batches, from the one that holds `offset` on: as many as fit into `max_bytes`, and at least one if `one_at_least`.
    pub(super) fn read(&self, offset: i64, max_bytes: usize, one_at_least: bool) -> Result<Bytes, OutOfRange> {
        if offset < self.start_offset() || offset > self.end {
            return Err(OutOfRange);
        }
        let mut out = BytesMut::new();
        for batch in self.from(offset) {
            let size = out.len().saturating_add(batch.bytes().len());
            if size > max_bytes && !(one_at_least && out.is_empty()) {
                break;
            }
            out.extend_from_slice(batch.bytes());
        }
        Ok(out.freeze())
    }

    fn from(&self, offset: i64) -> &[Batch] {
        let first = self.batches.partition_point(|batch| batch.header().last_offset() < offset);
        self.batches.get(first..).unwrap_or_default()
    }

    /// The first record whose timestamp is at least `timestamp`.
    pub(super) fn at_or_after(&self, timestamp: i64) -> Option<Found> {
        let batch = self.batches.iter().find(|batch| batch.header().max_timestamp >= timestamp)?;
        places(batch).find(|found| found.timestamp >= timestamp)
    }

    /// The first record with the largest timestamp.
    pub(super) fn at_max_timestamp(&self) -> Option<Found> {
        let max = self.headers().map(|header| header.max_timestamp).max()?;
        self.at_or_after(max)
    }

    /// Removes the records that a later one of the same key supersedes. Returns how many.
    pub(super) fn compact(&mut self, config: &TopicConfig, now_ms: i64) -> u64 {
        let before = self.count();
        self.batches = compact(&self.batches, self.active.base_offset, config, now_ms);
        before.saturating_sub(self.count())
    }

    fn count(&self) -> u64 {
        self.headers().map(|header| u64::try_from(header.count).unwrap_or(0)).sum()
    }

    /// Removes every batch that holds `offset` or a later one, as an unclean leader election may.
    pub(super) fn truncate(&mut self, offset: i64) {
        if offset < self.active.base_offset {
            self.active = Segment::default();
        }
        self.batches.retain(|batch| batch.header().last_offset() < offset);
        self.end = self.batches.last().map_or(0, |batch| batch.header().last_offset().saturating_add(1));
    }

    /// The record at an offset.
    #[cfg(test)]
    pub(super) fn record(&self, offset: i64) -> Option<StoredRecord> {
        let batch = self.from(offset).first()?;
        readable(batch).map(|record| stored(batch.header(), record)).find(|record| record.offset == offset)
    }

    /// Every record, in order. Batches are validated before they are appended, so reading none of them fails.
    pub(super) fn records(&self) -> Vec<StoredRecord> {
        let batches = self.batches.iter();
        batches.flat_map(|batch| readable(batch).map(|record| stored(batch.header(), record))).collect()
    }
}

fn readable(batch: &Batch) -> impl Iterator<Item = BatchRecord> {
    batch.records().into_iter().flatten().map_while(Result::ok)
}

fn stored(header: &BatchHeader, record: BatchRecord) -> StoredRecord {
    StoredRecord {
        offset: header.offset_of(&record),
        timestamp: header.timestamp_of(&record),
        leader_epoch: header.partition_leader_epoch,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        sequence: if header.producer_id < 0 { -1 } else { header.sequence_of(&record) },
        key: record.key,
        value: record.value,
        headers: record.headers,
    }
}

fn places(batch: &Batch) -> impl Iterator<Item = Found> {
    let header = *batch.header();
    readable(batch).map(move |record| Found {
        offset: header.offset_of(&record),
        timestamp: header.timestamp_of(&record),
        leader_epoch: header.partition_leader_epoch,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::testing::BatchOf, *};

    /// A log of batches with so many records each, the first at each of these timestamps, one millisecond apart.
    fn log(batches: &[(usize, i64)]) -> Log {
        let mut log = Log::default();
        for (count, base_timestamp) in batches {
            let records = (0..).zip(vec!["value"; *count]).map(|(delta, value)| (Some("key"), value, delta)).collect();
            let bytes = BatchOf { base_timestamp: *base_timestamp, records, ..BatchOf::values(&[]) }.encode();
            let batch = Batch::parse(bytes).unwrap();
            log.append(
                batch.with_header(BatchHeader { base_offset: log.end_offset(), ..*batch.header() }),
                &TopicConfig::default(),
            );
        }
        log
    }

    fn offsets(bytes: Bytes) -> Vec<i64> {
        use crate::wire::record_batch::reader::Batches;
        Batches::new(bytes).map(|batch| batch.unwrap().header().base_offset).collect()
    }

    #[test]
    fn reading_starts_with_the_batch_that_holds_the_offset() {
        let log = log(&[(3, 0), (2, 0), (4, 0)]);
        for (offset, expected) in [(0, vec![0, 3, 5]), (2, vec![0, 3, 5]), (3, vec![3, 5]), (8, vec![5]), (9, vec![])] {
            assert_eq!(offsets(log.read(offset, 10_000, true).unwrap()), expected, "{offset}");
        }
    }

    #[test]
    fn only_offsets_from_the_start_to_the_end_can_be_read() {
        let log = log(&[(3, 0)]);
        assert_eq!(log.read(-1, 1, true), Err(OutOfRange));
        assert_eq!(log.read(4, 1, true), Err(OutOfRange));
        assert_eq!(log.read(3, 1, true), Ok(Bytes::new()));
    }

    #[test]
    fn reading_stops_before_the_limit_but_gives_one_batch_where_that_is_asked_for() {
        let log = log(&[(1, 0), (1, 0), (1, 0)]);
        let size = log.batches[0].bytes().len();
        assert_eq!(offsets(log.read(0, size * 2, false).unwrap()), [0, 1]);
        assert_eq!(offsets(log.read(0, size * 2 - 1, false).unwrap()), [0]);
        assert!(log.read(0, size - 1, false).unwrap().is_empty());
        assert_eq!(offsets(log.read(0, 0, true).unwrap()), [0]);
    }

    #[test]
    fn a_timestamp_finds_the_first_record_that_is_not_older() {
        let log = log(&[(2, 100), (2, 90), (2, 200)]);
        let at = |timestamp| log.at_or_after(timestamp).map(|found| (found.offset, found.timestamp));
        assert_eq!(at(0), Some((0, 100)));
        assert_eq!(at(101), Some((1, 101)));
        assert_eq!(at(102), Some((4, 200)));
        assert_eq!(at(201), Some((5, 201)));
        assert_eq!(at(202), None);
        assert_eq!(log.at_max_timestamp().map(|found| found.offset), Some(5));
        assert_eq!(Log::default().at_max_timestamp(), None);
    }

    #[test]
    fn truncating_removes_the_batch_that_holds_the_offset_and_all_behind_it() {
        let end = |offset| {
            let mut log = log(&[(3, 0), (3, 0)]);
            log.truncate(offset);
            (log.end_offset(), log.records().len())
        };
        assert_eq!([end(6), end(5), end(3), end(2), end(0)], [(6, 6), (3, 3), (3, 3), (0, 0), (0, 0)]);
    }

    #[test]
    fn records_carry_offsets_timestamps_and_the_sequence_numbers_of_idempotent_producers() {
        let mut log = log(&[(1, 50)]);
        let bytes = BatchOf::values(&["a", "b"]).by_producer(9, 2, i32::MAX).encode();
        let batch = Batch::parse(bytes).unwrap();
        log.append(
            batch.with_header(BatchHeader { base_offset: 1, partition_leader_epoch: 4, ..*batch.header() }),
            &TopicConfig::default(),
        );
        let seen: Vec<_> =
            log.records().into_iter().map(|r| (r.offset, r.producer_id, r.sequence, r.leader_epoch)).collect();
        assert_eq!(seen, [(0, -1, -1, -1), (1, 9, i32::MAX, 4), (2, 9, 0, 4)]);
        assert_eq!((log.records()[0].timestamp, log.records()[0].key.as_deref()), (50, Some(&b"key"[..])));
    }
}
