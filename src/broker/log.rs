//! A partition's log: batches in memory, by rising offset.
//!
//! In: validated batches. Out: their bytes from an offset on, offsets by timestamp, records for assertions.
//! Pure. Of segments it knows where they begin, because the active one is not compacted, and whole ones expire. Deliberately absent: when to compact or
//! to expire, which are commands.

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
    /// The first of them may begin before the log does.
    batches: Vec<Batch>,
    start: i64,
    end: i64,
    active: Segment,
    /// Where each segment begins, the active one last.
    segments: Vec<i64>,
    /// Where the active segment began when the log was compacted last.
    compacted: Option<i64>,
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

/// What decides whether a segment expires.
struct Extent {
    base_offset: i64,
    bytes: usize,
    max_timestamp: i64,
}

impl Extent {
    /// As `UnifiedLog.deleteRetentionMsBreachedSegments`. A segment without timestamps is as old as its file, which this log has not.
    fn is_too_old(&self, config: &TopicConfig, now_ms: i64) -> bool {
        let age = now_ms.saturating_sub(self.max_timestamp);
        config.retention_ms >= 0 && self.max_timestamp >= 0 && age > config.retention_ms
    }
}

/// How many segments can go until a log is no larger than `retention.bytes`, as `UnifiedLog.deleteRetentionSizeBreachedSegments`.
fn too_many(segments: &[Extent], config: &TopicConfig) -> usize {
    let Ok(most) = usize::try_from(config.retention_bytes) else { return 0 };
    let mut over = segments.iter().map(|segment| segment.bytes).sum::<usize>().saturating_sub(most);
    let fits = |segment: &&Extent| match over.checked_sub(segment.bytes) {
        Some(rest) => {
            over = rest;
            true
        }
        None => false,
    };
    segments.iter().take_while(fits).count()
}

impl Log {
    /// The first offset.
    pub(super) fn start_offset(&self) -> i64 {
        self.start
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
            self.segments.push(base_offset);
        }
        self.active.bytes = self.active.bytes.saturating_add(batch.bytes().len());
        self.end = batch.header().last_offset().saturating_add(1);
        self.batches.push(batch);
    }

    /// Whole batches of one segment, from the one that holds `offset` on: as many as fit into `max_bytes`, and at least one if `one_at_least`.
    pub(super) fn read(&self, offset: i64, max_bytes: usize, one_at_least: bool) -> Result<Bytes, OutOfRange> {
        if offset < self.start_offset() || offset > self.end {
            return Err(OutOfRange);
        }
        let mut out = BytesMut::new();
        let batches = self.from(offset);
        let next_segment = batches.first().and_then(|first| self.segment_behind(first)).unwrap_or(i64::MAX);
        for batch in batches.iter().take_while(|batch| batch.header().base_offset < next_segment) {
            let size = out.len().saturating_add(batch.bytes().len());
            if size > max_bytes && !(one_at_least && out.is_empty()) {
                break;
            }
            out.extend_from_slice(batch.bytes());
        }
        Ok(out.freeze())
    }

    /// Whether an offset is before the active segment, so that more than was read is there already.
    pub(super) fn is_before_active(&self, offset: i64) -> bool {
        self.segments.last().is_some_and(|active| offset < *active)
    }

    /// Where the segment behind that of a batch begins.
    fn segment_behind(&self, batch: &Batch) -> Option<i64> {
        let behind = self.segments.partition_point(|base| *base <= batch.header().base_offset);
        self.segments.get(behind).copied()
    }

    fn from(&self, offset: i64) -> &[Batch] {
        let first = self.batches.partition_point(|batch| batch.header().last_offset() < offset);
        self.batches.get(first..).unwrap_or_default()
    }

    /// The first record whose timestamp is at least `timestamp`.
    pub(super) fn at_or_after(&self, timestamp: i64) -> Option<Found> {
        let may_hold = self.batches.iter().filter(|batch| batch.header().max_timestamp >= timestamp);
        may_hold.flat_map(places).find(|found| found.timestamp >= timestamp && found.offset >= self.start)
    }

    /// The first record with the largest timestamp.
    pub(super) fn at_max_timestamp(&self) -> Option<Found> {
        let visible = self.batches.iter().filter_map(|batch| match batch.header() {
            header if header.base_offset >= self.start => Some(header.max_timestamp),
            _ => places(batch).filter(|found| found.offset >= self.start).map(|found| found.timestamp).max(),
        });
        self.at_or_after(visible.max()?)
    }

    /// Removes the records that a later one of the same key supersedes. Returns how many; `None` if the log is what it was.
    pub(super) fn compact(&mut self, config: &TopicConfig, now_ms: i64) -> Option<u64> {
        // What was compacted stays as it is until a segment is closed or a tombstone has had its time. It is all read for nothing then.
        let is_over = |header: &BatchHeader| header.delete_horizon().is_some_and(|horizon| horizon <= now_ms);
        let closed = self.active.base_offset;
        if self.compacted.replace(closed) == Some(closed) && !self.headers().any(is_over) {
            return None;
        }
        let before = self.count();
        let compacted = compact(&self.batches, self.active.base_offset, config, now_ms);
        let is_same = compacted.iter().map(Batch::header).eq(self.batches.iter().map(Batch::header));
        self.batches = compacted;
        (!is_same).then(|| before.saturating_sub(self.count()))
    }

    /// Removes the segments that are too old, or too many, also the active one. Returns how many records are gone.
    pub(super) fn expire(&mut self, config: &TopicConfig, now_ms: i64) -> u64 {
        if !config.delete {
            return 0;
        }
        let segments = self.extents();
        let too_many = too_many(&segments, config);
        let too_old = segments.iter().skip(too_many).take_while(|segment| segment.is_too_old(config, now_ms)).count();
        let gone = too_many.saturating_add(too_old);
        if gone == 0 {
            return 0;
        }
        let before = self.visible();
        self.start_at(segments.get(gone).map_or(self.end, |first| first.base_offset));
        if gone == segments.len() {
            (self.active, self.segments) = (Segment::default(), Vec::new());
        }
        before.saturating_sub(self.visible())
    }

    /// The segments that have batches.
    fn extents(&self) -> Vec<Extent> {
        let mut extents: Vec<Extent> = Vec::new();
        for batch in &self.batches {
            let BatchHeader { base_offset, max_timestamp, .. } = *batch.header();
            let begun = self.segments.partition_point(|base| *base <= base_offset);
            let base_offset = begun.checked_sub(1).and_then(|place| self.segments.get(place)).copied().unwrap_or(0);
            match extents.last_mut().filter(|last| last.base_offset == base_offset) {
                Some(last) => {
                    last.bytes = last.bytes.saturating_add(batch.bytes().len());
                    last.max_timestamp = last.max_timestamp.max(max_timestamp);
                }
                None => extents.push(Extent { base_offset, bytes: batch.bytes().len(), max_timestamp }),
            }
        }
        extents
    }

    /// How many records can be read.
    fn visible(&self) -> u64 {
        let hidden =
            self.batches.first().map_or(0, |batch| places(batch).filter(|found| found.offset < self.start).count());
        self.count().saturating_sub(u64::try_from(hidden).unwrap_or(0))
    }

    fn count(&self) -> u64 {
        self.headers().map(|header| u64::try_from(header.count).unwrap_or(0)).sum()
    }

    /// Removes what is before `offset`, which is not behind the end. Of a batch that holds it, the records before it are read no more.
    pub(super) fn start_at(&mut self, offset: i64) {
        self.start = self.start.max(offset.min(self.end));
        self.batches.drain(..self.batches.partition_point(|batch| batch.header().last_offset() < self.start));
        let begun = self.segments.partition_point(|base| *base <= self.start);
        self.segments.drain(..begun.saturating_sub(1));
    }

    /// The segment that is appended to, as its batches tell.
    fn last_segment(&self) -> Segment {
        let base_offset = self.segments.last().copied().unwrap_or(0);
        let batches = self.from(base_offset);
        let bytes = batches.iter().map(|batch| batch.bytes().len()).fold(0, usize::saturating_add);
        Segment { base_offset, bytes, since: batches.first().map_or(0, |batch| batch.header().max_timestamp) }
    }

    /// A log as it was: where it begins and ends, where its segments begin, and its batches. `None` if these contradict each other.
    pub(super) fn restored((start, end): (i64, i64), segments: Vec<i64>, batches: Vec<Batch>) -> Option<Self> {
        let follows = |one: &Batch, next: &Batch| one.header().last_offset() < next.header().base_offset;
        let ends = batches.last().is_none_or(|last| last.header().last_offset() < end);
        let is_right = 0 <= start && start <= end && ends && segments.is_sorted() && batches.is_sorted_by(follows);
        let begins = batches.first().is_none_or(|first| first.header().base_offset >= 0);
        let mut log = Self { batches, start, end, active: Segment::default(), segments, compacted: None };
        log.active = log.last_segment();
        (is_right && begins).then_some(log)
    }

    /// Its batches. The first of them may begin before the log does.
    pub(super) fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// Where its segments begin.
    pub(super) fn segments(&self) -> &[i64] {
        &self.segments
    }

    /// Removes every batch that holds `offset` or a later one, as an unclean leader election may.
    pub(super) fn truncate(&mut self, offset: i64) {
        self.batches.retain(|batch| batch.header().last_offset() < offset);
        self.start = self.start.min(offset.max(0));
        self.end = self.batches.last().map_or(self.start, |batch| batch.header().last_offset().saturating_add(1));
        self.segments.retain(|base| *base < self.end);
        (self.active, self.compacted) = (self.last_segment(), None);
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
        let all = batches.flat_map(|batch| readable(batch).map(|record| stored(batch.header(), record)));
        all.filter(|record| record.offset >= self.start).collect()
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
    fn reading_stops_at_the_end_of_a_segment() {
        let log = log(&[(1, 0), (1, 1), (1, 700_000_000), (1, 700_000_001)]);
        assert_eq!(offsets(log.read(0, 10_000, true).unwrap()), [0, 1]);
        assert_eq!(offsets(log.read(1, 10_000, true).unwrap()), [1]);
        assert_eq!(offsets(log.read(2, 10_000, true).unwrap()), [2, 3]);
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
    fn a_log_that_begins_later_hides_the_records_before_also_inside_of_a_batch() {
        let mut log = log(&[(3, 100), (3, 50)]);
        log.start_at(2);
        assert_eq!(log.read(1, 10_000, true), Err(OutOfRange));
        assert_eq!(offsets(log.read(2, 10_000, true).unwrap()), [0, 3]);
        let seen = |log: &Log| log.records().iter().map(|record| record.offset).collect::<Vec<_>>();
        assert_eq!(seen(&log), [2, 3, 4, 5]);
        assert_eq!(log.at_or_after(0).map(|found| found.offset), Some(2));
        assert_eq!(log.at_max_timestamp().map(|found| found.offset), Some(2));
        log.start_at(3);
        assert_eq!(log.at_max_timestamp().map(|found| (found.offset, found.timestamp)), Some((5, 52)));
        log.start_at(1);
        assert_eq!((log.start_offset(), offsets(log.read(3, 10_000, true).unwrap())), (3, vec![3]));
        log.start_at(99);
        assert_eq!((log.start_offset(), log.end_offset(), log.records().len()), (6, 6, 0));
        log.truncate(4);
        assert_eq!((log.start_offset(), log.end_offset()), (4, 4));
    }

    /// What is left of three batches, each a segment of its own and a second later than the last, and how many records are gone.
    fn expired(settings: &[(&str, &str)], now_ms: i64) -> (u64, Vec<i64>, i64) {
        let config = TopicConfig::default().for_topic_with([("segment.ms", "1")]).unwrap();
        let mut log = Log::default();
        for at in [1_000, 2_000, 3_000] {
            let bytes = BatchOf { base_timestamp: at, ..BatchOf::values(&["a", "b"]) }.encode();
            let batch = Batch::parse(bytes).unwrap();
            let header = BatchHeader { base_offset: log.end_offset(), ..*batch.header() };
            log.append(batch.with_header(header), &config);
        }
        let gone = log.expire(&TopicConfig::default().for_topic_with(settings.iter().copied()).unwrap(), now_ms);
        (gone, log.records().iter().map(|record| record.offset).collect(), log.start_offset())
    }

    #[test]
    fn whole_segments_expire_by_age_from_the_oldest_on_also_the_active_one() {
        let hour = ("retention.ms", "500");
        for (settings, now, expected) in [
            (&[hour][..], 1_500, (0, vec![0, 1, 2, 3, 4, 5], 0)),
            (&[hour], 1_501, (2, vec![2, 3, 4, 5], 2)),
            (&[hour], 3_500, (4, vec![4, 5], 4)),
            (&[hour], 3_501, (6, vec![], 6)),
            (&[("retention.ms", "-1")], i64::MAX, (0, vec![0, 1, 2, 3, 4, 5], 0)),
            (&[hour, ("cleanup.policy", "compact")], i64::MAX, (0, vec![0, 1, 2, 3, 4, 5], 0)),
            (&[hour, ("cleanup.policy", "compact,delete")], 1_501, (2, vec![2, 3, 4, 5], 2)),
        ] {
            assert_eq!(expired(settings, now), expected, "{settings:?} {now}");
        }
    }

    #[test]
    fn whole_segments_expire_until_the_log_is_no_larger_than_it_may_be_and_no_further() {
        let size = BatchOf::values(&["a", "b"]).encode().len();
        for (bytes, expected) in [
            (3 * size, (0, 0)),
            (2 * size + 1, (0, 0)),
            (2 * size, (2, 2)),
            (size + 1, (2, 2)),
            (size, (4, 4)),
            (1, (4, 4)),
            (0, (6, 6)),
        ] {
            let (gone, _, start) = expired(&[("retention.bytes", &bytes.to_string())], 3_000);
            assert_eq!((gone, start), expected, "{bytes}");
        }
    }

    #[test]
    fn a_log_whose_records_have_all_expired_goes_on_at_its_end() {
        let config = TopicConfig::default().for_topic_with([("retention.ms", "1")]).unwrap();
        let mut log = log(&[(2, 100), (2, 100)]);
        log.start_at(1);
        assert_eq!(log.expire(&config, 200), 3, "one was not to be seen any more");
        assert_eq!((log.start_offset(), log.end_offset(), log.expire(&config, 200)), (4, 4, 0));
        let batch = Batch::parse(BatchOf::values(&["x"]).encode()).unwrap();
        log.append(batch.with_header(BatchHeader { base_offset: 4, ..*batch.header() }), &config);
        assert_eq!((log.records().len(), log.expire(&config, i64::MAX), log.start_offset()), (1, 1, 5));
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
