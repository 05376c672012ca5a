//! Records read back from the log.
//!
//! In: the bytes of a Fetch response. Out: [`ConsumedRecord`]s and the next offset. Pure. Keys, values and headers are
//! slices of the response, so one record that is kept keeps the whole response in memory (about 4 MiB). Records of transactions
//! are left out if the response says that they were aborted.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::wire::{
    apis::fetch::FetchedBytes,
    compression::LONGEST,
    record_batch::reader::{Batch, BatchError, BatchHeader, BatchRecord, Batches},
};

/// Who set a record's timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer (`message.timestamp.type=CreateTime`, the default).
    CreateTime,
    /// The broker (`message.timestamp.type=LogAppendTime`).
    LogAppendTime,
}

/// One record of a partition's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// The record's partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// Milliseconds since the Unix epoch; -1 if the producer set none.
    pub timestamp: i64,
    /// Who set the timestamp.
    pub timestamp_type: TimestampType,
    /// The key; `None` is null.
    pub key: Option<Bytes>,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
    /// The headers in order. Names may repeat, and a value may be null. Bytes of a name that are not UTF-8 become
    /// `U+FFFD`.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// The result of one fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The records from the requested offset on. May be empty before the end of the log, if there are only transaction
    /// markers, or if compaction removed all records.
    pub records: Vec<ConsumedRecord>,
    /// The offset to fetch next.
    pub next_offset: i64,
    /// The offset after the last record that every replica in sync has.
    pub high_watermark: i64,
}

/// Decodes the records at or after `from_offset`.
pub(super) fn fetched(response: &FetchedBytes, partition: i32, from_offset: i64) -> Result<Fetched, String> {
    let mut fetched =
        Fetched { records: Vec::new(), next_offset: from_offset, high_watermark: response.high_watermark };
    let (mut opened, mut aborted) = (0, Aborted::of(response));
    for batch in Batches::new(response.records.clone()) {
        let read = batch.and_then(|batch| append(&batch, partition, from_offset, &mut fetched, &mut aborted));
        opened += read.map_err(|error| error.to_string())?;
        // A small response may have many batches that decompress to much. The rest is left for the next fetch.
        if opened >= LONGEST && fetched.next_offset > from_offset {
            break;
        }
    }
    Ok(fetched)
}

/// Appends a batch's records. Returns how many bytes they take.
fn append(
    batch: &Batch,
    partition: i32,
    from_offset: i64,
    fetched: &mut Fetched,
    aborted: &mut Aborted,
) -> Result<usize, BatchError> {
    let header = batch.header();
    batch.check_crc()?;
    let is_hidden = aborted.hides(batch)?;
    // The broker sends whole batches, so the first may begin before the requested offset.
    if header.last_offset() < fetched.next_offset {
        return Ok(0);
    }
    let mut opened = 0;
    if !header.is_control() && !is_hidden {
        let records = batch.records()?;
        opened = records.bytes_left();
        for record in records {
            let record = record?;
            if header.offset_of(&record) >= from_offset {
                fetched.records.push(consumed(header, record, partition));
            }
        }
    }
    fetched.next_offset = header.last_offset().saturating_add(1);
    Ok(opened)
}

/// The aborted transactions of a response, while its batches are read in order.
struct Aborted {
    /// The first offset and the producer of those that begin later, the next one last.
    later: Vec<(i64, i64)>,
    /// The producers of those that have begun and not ended.
    open: BTreeSet<i64>,
}

impl Aborted {
    fn of(response: &FetchedBytes) -> Self {
        let mut later: Vec<_> = response.aborted.iter().map(|&(producer, first)| (first, producer)).collect();
        later.sort_unstable_by(|a, b| b.cmp(a));
        Self { later, open: BTreeSet::new() }
    }

    /// Whether the next batch belongs to an aborted transaction.
    fn hides(&mut self, batch: &Batch) -> Result<bool, BatchError> {
        let header = batch.header();
        while let Some((_, producer)) = self.later.pop_if(|(first, _)| *first <= header.last_offset()) {
            self.open.insert(producer);
        }
        if header.is_control() && self.open.contains(&header.producer_id) && is_abort(batch)? {
            self.open.remove(&header.producer_id);
        }
        Ok(header.is_transactional() && self.open.contains(&header.producer_id))
    }
}

/// Whether a control batch ends a transaction as aborted: its key is a version and a kind, of which 0 is that.
fn is_abort(batch: &Batch) -> Result<bool, BatchError> {
    let marker = batch.records()?.next().transpose()?;
    Ok(marker.and_then(|marker| marker.key).is_some_and(|key| key.get(2..4) == Some(&[0, 0])))
}

fn consumed(header: &BatchHeader, record: BatchRecord, partition: i32) -> ConsumedRecord {
    let (offset, timestamp) = (header.offset_of(&record), header.timestamp_of(&record));
    let set_by_broker = header.is_log_append_time();
    let timestamp_type = if set_by_broker { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
    let name = |name: Bytes| String::from_utf8_lossy(&name).into_owned();
    let headers = record.headers.into_iter().map(|(key, value)| (name(key), value)).collect();
    ConsumedRecord { partition, offset, timestamp, timestamp_type, key: record.key, value: record.value, headers }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};

    use super::*;
    use crate::wire::{
        compression::{Codec, Compressor, Method},
        record_batch::writer::{Payload, Stamp, Writer, stamp},
    };

    const CONTROL: i16 = 0b10_0000;
    const TRANSACTIONAL: i16 = 0b1_0000;
    const GZIP: i16 = 1;

    #[test]
    fn one_response_decompresses_to_a_limit_and_the_next_fetch_continues() {
        let large = |base_offset: i64| {
            let mut writer = Writer::new(Vec::new());
            writer.append(1, &Payload::new(None, Some(&vec![0; LONGEST / 2]), &[]));
            let mut bytes =
                Compressor::new(Method { codec: Codec::Lz4, level: 9 }).compress(&writer.finish().unwrap()).unwrap();
            bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
            stamp(&mut bytes, Stamp::NONE);
            bytes
        };
        let batches = [large(5), large(6), large(7), large(8)];
        assert_eq!(read(&batches, 5).unwrap(), (vec![5, 6], 7));
        assert_eq!(read(&batches, 7).unwrap(), (vec![7, 8], 9));
    }

    /// A batch whose records have the values 0, 1, 2 and so on, no key, no headers.
    fn batch(base_offset: i64, count: u8, attributes: i16) -> Vec<u8> {
        // length, attributes, timestamp delta, offset delta, null key, value of one byte, no headers
        let records: Vec<u8> = (0..count).flat_map(|i| [14, 0, 0, i * 2, 1, 2, i, 0]).collect();
        written(base_offset, count, attributes, -1, &records)
    }

    /// A batch of a transaction of this producer, with one record.
    fn sent(base_offset: i64, producer: i64) -> Vec<u8> {
        written(base_offset, 1, TRANSACTIONAL, producer, &[14, 0, 0, 0, 1, 2, 0, 0])
    }

    /// The end of a transaction: 0 for aborted, 1 for committed.
    fn marker(base_offset: i64, producer: i64, kind: u8) -> Vec<u8> {
        // length, attributes, timestamp delta, offset delta, a key of four bytes, null value, no headers
        written(base_offset, 1, TRANSACTIONAL | CONTROL, producer, &[20, 0, 0, 0, 8, 0, 0, 0, kind, 1, 0])
    }

    fn written(base_offset: i64, count: u8, attributes: i16, producer: i64, records: &[u8]) -> Vec<u8> {
        let mut covered = BytesMut::new();
        covered.put_i16(attributes);
        covered.put_i32(i32::from(count) - 1);
        covered.put_i64(1_000);
        covered.put_i64(2_000);
        covered.put_i64(producer);
        covered.put_i16(-1);
        covered.put_i32(-1);
        covered.put_i32(i32::from(count));
        covered.put_slice(records);
        let mut out = BytesMut::new();
        out.put_i64(base_offset);
        out.put_i32(i32::try_from(covered.len() + 9).unwrap());
        out.put_i32(0);
        out.put_i8(2);
        out.put_u32(crc32c::crc32c(&covered));
        out.put_slice(&covered);
        out.to_vec()
    }

    fn read(batches: &[Vec<u8>], from_offset: i64) -> Result<(Vec<i64>, i64), String> {
        let response = FetchedBytes { records: batches.concat().into(), high_watermark: 99, aborted: Vec::new() };
        let fetched = fetched(&response, 7, from_offset)?;
        Ok((fetched.records.iter().map(|record| record.offset).collect(), fetched.next_offset))
    }

    #[test]
    fn records_have_all_fields_of_the_log() {
        let response = FetchedBytes { records: batch(5, 2, 0).into(), high_watermark: 99, aborted: Vec::new() };
        let fetched = fetched(&response, 7, 5).unwrap();
        let expected = ConsumedRecord {
            partition: 7,
            offset: 6,
            timestamp: 1_000,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            value: Some(Bytes::from_static(&[1])),
            headers: Vec::new(),
        };
        assert_eq!(fetched.records[1], expected);
        assert_eq!(fetched.high_watermark, 99);
    }

    #[test]
    fn timestamps_of_brokers_and_producers_are_told_apart() {
        let response = FetchedBytes { records: batch(0, 1, 0b1000).into(), high_watermark: 1, aborted: Vec::new() };
        let record = &fetched(&response, 0, 0).unwrap().records[0];
        assert_eq!((record.timestamp, record.timestamp_type), (2_000, TimestampType::LogAppendTime));
    }

    #[test]
    fn records_before_the_requested_offset_are_left_out() {
        assert_eq!(read(&[batch(10, 5, 0), batch(15, 2, 0)], 13), Ok((vec![13, 14, 15, 16], 17)));
        assert_eq!(read(&[batch(10, 5, 0)], 15), Ok((vec![], 15)));
    }

    #[test]
    fn control_batches_have_no_records_but_advance_the_offset() {
        assert_eq!(read(&[batch(0, 1, CONTROL)], 0), Ok((vec![], 1)));
        assert_eq!(read(&[batch(0, 2, 0), batch(2, 1, CONTROL), batch(3, 1, 0)], 0), Ok((vec![0, 1, 3], 4)));
    }

    #[test]
    fn records_of_aborted_transactions_are_left_out() {
        let (abort, commit) = (0, 1);
        for (batches, aborted, expected) in [
            // Without such transactions all is read.
            (vec![sent(0, 1), marker(1, 1, abort)], vec![], vec![0]),
            (vec![sent(0, 1), marker(1, 1, abort), sent(2, 1), marker(3, 1, commit)], vec![(1, 0)], vec![2]),
            // Others are not concerned, neither in a transaction nor without.
            (vec![sent(0, 1), sent(1, 2), batch(2, 1, 0), marker(3, 1, abort)], vec![(1, 0)], vec![1, 2]),
            // Two in a row, of one producer.
            (vec![sent(0, 1), marker(1, 1, abort), sent(2, 1), marker(3, 1, abort)], vec![(1, 2), (1, 0)], vec![]),
            (vec![sent(0, 1), marker(1, 1, commit), sent(2, 1)], vec![(1, 2)], vec![0]),
        ] {
            let response = FetchedBytes { records: batches.concat().into(), high_watermark: 99, aborted };
            let fetched = fetched(&response, 0, 0).unwrap();
            let offsets: Vec<_> = fetched.records.iter().map(|record| record.offset).collect();
            assert_eq!(offsets, expected, "{:?}", response.aborted);
            assert!(fetched.next_offset >= 2);
        }
    }

    #[test]
    fn a_last_batch_that_is_cut_short_waits_for_the_next_fetch() {
        let mut cut = batch(2, 2, 0);
        cut.truncate(cut.len() - 1);
        assert_eq!(read(&[batch(0, 2, 0), cut], 0), Ok((vec![0, 1], 2)));
        assert_eq!(read(&[], 4), Ok((vec![], 4)));
    }

    #[test]
    fn damaged_and_badly_compressed_batches_are_errors() {
        let mut damaged = batch(0, 1, 0);
        *damaged.last_mut().unwrap() ^= 1;
        assert!(read(&[damaged], 0).unwrap_err().contains("crc"));
        assert!(read(&[batch(0, 1, GZIP)], 0).unwrap_err().contains("gzip"));
    }
}
