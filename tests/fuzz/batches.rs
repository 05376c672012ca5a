//! Record batches: untrusted bytes, and milena's batches, read by milena and by another decoder.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::records::{Record, RecordBatchDecoder};

use super::input::Input;
use crate::{
    record::Header,
    wire::{
        compression::{Codec, Compressor, Method},
        record_batch::{
            CRC_AT, CRC_FROM, HEADER_LEN,
            reader::{Batch, BatchError, BatchHeader, BatchRecord, Batches},
            split::split,
            writer::{Payload, Stamp, Writer, stamp},
        },
    },
};

/// More records than this show nothing new.
const MOST_RECORDS: usize = 64;

/// The target: bytes that may be batches, unchanged or with a correct length, format and checksum.
pub fn batch_decode(data: &[u8]) {
    let mut input = Input::new(data);
    let mended = input.yes();
    let mut bytes = input.rest().to_vec();
    if mended && bytes.len() >= HEADER_LEN {
        let length = i32::try_from(bytes.len() - 12).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
        bytes[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    }
    read_all(&bytes.into());
}

/// Reads all batches.
pub(super) fn read_all(bytes: &Bytes) {
    let mut at = 0;
    for batch in Batches::new(bytes.clone()).map_while(Result::ok) {
        let end = at + batch.bytes().len();
        assert_eq!(*batch.bytes(), bytes[at..end]);
        at = end;
        read(&batch);
        let stored = batch.with_header(*batch.header());
        assert_eq!((stored.check_crc(), stored.bytes()), (batch.check_crc(), batch.bytes()));
        let timed = batch.with_header(BatchHeader { max_timestamp: !batch.header().max_timestamp, ..*batch.header() });
        assert!(timed.check_crc().is_ok() && timed.bytes()[HEADER_LEN..] == batch.bytes()[HEADER_LEN..]);
    }
    if let Ok(batch) = Batch::parse(bytes.clone()) {
        assert_eq!(batch.bytes(), bytes);
    }
}

/// Checks that the records of a batch are in order, within the batch, and as many as its header says.
fn read(batch: &Batch) {
    let header = batch.header();
    let _ = (batch.check_crc(), header.check_gapless(), header.is_transactional(), header.is_control());
    let Ok(records) = batch.records() else { return };
    let mut viewed = Vec::new();
    let views = records.clone().view_each(|record| {
        viewed.push((record.offset_delta, record.timestamp_delta, record.key.map(Bytes::copy_from_slice)));
        Ok::<_, BatchError>(())
    });
    let read: Vec<_> = records.clone().map_while(Result::ok).collect();
    assert_eq!(views.err(), records.clone().find_map(Result::err));
    assert!(viewed.into_iter().eq(read.iter().map(|it| (it.offset_delta, it.timestamp_delta, it.key.clone()))));
    let (mut count, mut before) = (0, -1);
    for record in records {
        let Ok(record) = record else { return };
        assert!(record.offset_delta > before && record.offset_delta <= header.last_offset_delta);
        assert!(header.offset_of(&record) <= header.last_offset() && header.sequence_of(&record) >= 0);
        let _ = header.timestamp_of(&record);
        let held = record.headers.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len));
        let held =
            held.sum::<usize>() + [&record.key, &record.value].into_iter().flatten().map(Bytes::len).sum::<usize>();
        assert!(held <= batch.bytes().len() - HEADER_LEN);
        (count, before) = (count + 1, record.offset_delta);
    }
    assert_eq!(count, header.count);
}

/// One record, drawn from the input.
struct Written<'a> {
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<Header<'a>>,
}

impl<'a> Written<'a> {
    fn draw(input: &mut Input<'a>) -> Self {
        let timestamp = if input.yes() { input.i64() } else { i64::from(input.byte()) };
        let (key, value) = (input.nullable(), input.nullable());
        let headers = (0..input.below(4)).map(|_| {
            let key = String::from_utf8_lossy(input.bytes());
            Header { key, value: input.nullable().map(Into::into) }
        });
        Self { timestamp, key, value, headers: headers.collect() }
    }

    fn payload(&self) -> Payload<'_> {
        Payload::new(self.key, self.value, &self.headers)
    }

    /// Compares the record, except for the order of equal header keys, which the other decoder does not keep.
    fn is_read_as(&self, other: &Record) -> bool {
        let ours: BTreeMap<&str, Option<&[u8]>> =
            self.headers.iter().map(|header| (&*header.key, header.value.as_deref())).collect();
        let theirs = other.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let fields = (other.timestamp, other.key.as_deref(), other.value.as_deref());
        (self.timestamp, self.key, self.value) == fields && ours == theirs
    }

    fn is(&self, timestamp: i64, record: &BatchRecord) -> bool {
        let theirs = record.headers.iter().map(|(key, value)| (&key[..], value.as_deref()));
        (timestamp, record.key.as_deref(), record.value.as_deref()) == (self.timestamp, self.key, self.value)
            && theirs.eq(self.headers.iter().map(|header| (header.key.as_bytes(), header.value.as_deref())))
    }
}

/// The target: records that milena writes, read by milena, by another decoder, and in the parts of a split batch.
pub fn batch_round_trip(data: &[u8]) {
    let mut input = Input::new(data);
    let origin = Stamp { producer_id: input.i64(), epoch: input.i16(), base_sequence: input.i32() };
    let target = usize::from(input.i16().unsigned_abs());
    let (mut writer, mut records) = (Writer::new(Vec::new()), Vec::new());
    while !input.is_empty() && records.len() < MOST_RECORDS {
        let record = Written::draw(&mut input);
        let before = writer.len();
        assert_eq!(writer.append(record.timestamp, &record.payload()), u32::try_from(records.len()).unwrap());
        assert!(writer.len() - before <= record.payload().max_len());
        records.push(record);
    }
    let Some(mut bytes) = writer.finish() else { return assert!(records.is_empty()) };
    stamp(&mut bytes, origin);
    let bytes = Bytes::from(bytes);
    same(&records, &bytes);
    read_by_another(&records, origin, &bytes);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        if let Some(mut compressed) = Compressor::new(Method { codec, level: 1 }).compress(&bytes) {
            assert!(compressed.len() < bytes.len());
            stamp(&mut compressed, origin);
            same(&records, &compressed.into());
        }
    }
    let mut first = 0;
    for part in split(&bytes, target, &mut Compressor::new(Method::NONE)).unwrap() {
        let mut bytes = part.bytes;
        stamp(&mut bytes, origin);
        assert_eq!(part.first as usize, first);
        let end = first + part.records as usize;
        same(&records[first..end], &bytes.into());
        first = end;
    }
    assert_eq!(first, records.len(), "the parts have all records");
}

fn same(records: &[Written<'_>], bytes: &Bytes) {
    let batch = Batch::parse(bytes.clone()).unwrap();
    batch.check_crc().unwrap();
    let header = batch.header();
    header.check_gapless().unwrap();
    assert_eq!(Some(header.max_timestamp), records.iter().map(|record| record.timestamp).max());
    let read: Vec<BatchRecord> = batch.records().unwrap().map(Result::unwrap).collect();
    assert_eq!(read.len(), records.len());
    assert!(read.iter().zip(records).all(|(read, written)| written.is(header.timestamp_of(read), read)));
}

/// Compares with the other decoder. It adds deltas without overflow checks, so batches in which they overflow are skipped.
fn read_by_another(records: &[Written<'_>], origin: Stamp, bytes: &Bytes) {
    let base = records[0].timestamp;
    let far = |record: &Written<'_>| record.timestamp.checked_sub(base).is_none();
    if records.iter().any(far) || origin.base_sequence.checked_add(i32::try_from(records.len()).unwrap()).is_none() {
        return;
    }
    let read = RecordBatchDecoder::decode(&mut bytes.clone()).unwrap().records;
    assert_eq!(read.len(), records.len());
    for ((written, read), index) in records.iter().zip(&read).zip(0_i32..) {
        assert!(written.is_read_as(read), "{read:?}");
        assert_eq!((read.producer_id, read.producer_epoch), (origin.producer_id, origin.epoch));
        assert_eq!((read.offset, read.sequence), (i64::from(index), origin.base_sequence + index));
    }
}
