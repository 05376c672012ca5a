//! A partition's log: batches in memory, by rising offset.
//!
//! In: batches that were validated. Out: their bytes from an offset on, offsets by timestamp, records for assertions.
//! Pure. Deliberately absent: segments, retention and compaction; a log grows until the broker is dropped.

use bytes::{Bytes, BytesMut};

use crate::wire::record_batch::reader::{Batch, BatchHeader, BatchRecord};

/// A record as it stands in a partition's log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970.
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

/// A place that was looked up by timestamp.
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
}

impl Log {
    /// The first offset: nothing is ever deleted from the front.
    pub(super) fn start_offset(&self) -> i64 {
        0
    }

    /// The offset that the next record gets. It is the high watermark, too: replicas are always up to date.
    pub(super) fn end_offset(&self) -> i64 {
        self.end
    }

    /// The headers of its batches, in order.
    pub(super) fn headers(&self) -> impl Iterator<Item = &BatchHeader> {
        self.batches.iter().map(Batch::header)
    }

    /// Appends a batch whose base offset is [`Self::end_offset`].
    pub(super) fn append(&mut self, batch: Batch) {
        self.end = batch.header().last_offset().saturating_add(1);
        self.batches.push(batch);
    }

    /// Whole batches from the one with `offset` on: as many as fit into `max_bytes`, but at least one if `one_at_least`.
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

    /// Removes every batch that holds `offset` or a later one, as an unclean leader election may.
    pub(super) fn truncate(&mut self, offset: i64) {
        self.batches.retain(|batch| batch.header().last_offset() < offset);
        self.end = self.batches.last().map_or(0, |batch| batch.header().last_offset().saturating_add(1));
    }

    /// Every record, in order. Batches were validated before they came here, so none of them fails to read.
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
