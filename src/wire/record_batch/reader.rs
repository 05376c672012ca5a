//! Reads record batches v2 (KIP-98) from a peer.
//!
//! In: untrusted [`Bytes`], from a Fetch response or a Produce request. Out: batches, their headers and their records,
//! as slices of one allocation, or a [`BatchError`] with what was expected and what was found. Pure. No memory is
//! reserved for a count until enough bytes for it were seen. Deliberately absent: message formats v0 and v1, and what
//! the records mean.

use bytes::{Buf, Bytes, TryGetError};

#[cfg(feature = "broker")]
use super::{CRC_AT, DELETE_HORIZON};
use super::{CRC_FROM, HEADER_LEN, LENGTH_END};
use crate::wire::{
    compression::{Codec, DecompressError, decompress},
    varint::{take_i32, take_i64},
};

/// The only record batch format that is supported.
const MAGIC: i8 = 2;
/// The length of the smallest record: length, attributes, two deltas, key and value lengths, header count.
const MIN_RECORD_LEN: usize = 7;
/// The length of a record's smallest header: two lengths.
const MIN_HEADER_LEN: usize = 2;

/// Why bytes are not a readable record batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    /// The bytes end before the batch does.
    #[error("batch is cut short: expected {expected} bytes, got {got}")]
    Truncated { expected: usize, got: usize },
    /// More bytes follow the batch.
    #[error("batch of {expected} bytes is followed by more: got {got}")]
    NotAlone { expected: usize, got: usize },
    /// No batch has this length.
    #[error("batch length {got} is impossible, expected at least {}", HEADER_LEN - LENGTH_END)]
    Length { got: i32 },
    /// The format is not v2.
    #[error("record format (magic) {got} is not supported, expected 2")]
    Magic { got: i8 },
    /// The checksum does not match the bytes.
    #[error("batch is corrupt: its header says crc {expected:#010x}, its bytes give {got:#010x}")]
    Crc { expected: u32, got: u32 },
    /// The compressed records cannot be decompressed.
    #[error(transparent)]
    Compressed(#[from] DecompressError),
    /// The attributes name a codec that does not exist.
    #[error("compression codec {got} is unknown, expected 0 to 4")]
    UnknownCodec { got: i16 },
    /// The bytes cannot hold this many records.
    #[error("batch says it has {got} records, its {bytes} bytes can hold 0 to {}", bytes / MIN_RECORD_LEN)]
    Count { got: i32, bytes: usize },
    /// The range of offsets and the record count contradict each other.
    #[error("last offset delta {last_offset_delta} and record count {count} disagree: expected a count of delta + 1")]
    OffsetRange { last_offset_delta: i32, count: i32 },
    /// Bytes follow the last record.
    #[error("{got} bytes are left behind the last record, expected 0")]
    TrailingBytes { got: usize },
    /// A record's offset does not follow from the one before it.
    #[error("record {index} has offset delta {got}, expected {min} to {max}")]
    OffsetDelta { index: i32, got: i32, min: i32, max: i32 },
    /// A record ends in the middle of a field, or is longer than its fields.
    #[error("record {index} is malformed: {reason}")]
    Record { index: i32, reason: &'static str },
}

/// The header of a batch, as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    /// The length of the batch behind this field, in bytes.
    pub(crate) batch_length: i32,
    pub(crate) partition_leader_epoch: i32,
    pub(crate) magic: i8,
    /// CRC-32C of all bytes behind this field.
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) count: i32,
}

impl BatchHeader {
    fn read(mut bytes: &[u8]) -> Result<Self, TryGetError> {
        Ok(Self {
            base_offset: bytes.try_get_i64()?,
            batch_length: bytes.try_get_i32()?,
            partition_leader_epoch: bytes.try_get_i32()?,
            magic: bytes.try_get_i8()?,
            crc: bytes.try_get_u32()?,
            attributes: bytes.try_get_i16()?,
            last_offset_delta: bytes.try_get_i32()?,
            base_timestamp: bytes.try_get_i64()?,
            max_timestamp: bytes.try_get_i64()?,
            producer_id: bytes.try_get_i64()?,
            producer_epoch: bytes.try_get_i16()?,
            base_sequence: bytes.try_get_i32()?,
            count: bytes.try_get_i32()?,
        })
    }

    /// These records behind the header.
    #[cfg(feature = "broker")]
    fn before(&self, records: &[u8]) -> bytes::BytesMut {
        let mut bytes = bytes::BytesMut::with_capacity(HEADER_LEN.saturating_add(records.len()));
        self.put(&mut bytes);
        bytes.extend_from_slice(records);
        bytes
    }

    #[cfg(feature = "broker")]
    fn put(&self, out: &mut bytes::BytesMut) {
        use bytes::BufMut;
        out.put_i64(self.base_offset);
        out.put_i32(self.batch_length);
        out.put_i32(self.partition_leader_epoch);
        out.put_i8(self.magic);
        out.put_u32(self.crc);
        out.put_i16(self.attributes);
        out.put_i32(self.last_offset_delta);
        out.put_i64(self.base_timestamp);
        out.put_i64(self.max_timestamp);
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_i32(self.base_sequence);
        out.put_i32(self.count);
    }

    /// The codec that the attributes name.
    pub(crate) fn codec(&self) -> Result<Codec, BatchError> {
        Codec::of(self.attributes).map_err(|got| BatchError::UnknownCodec { got })
    }

    /// Whether the broker set the timestamps (`message.timestamp.type=LogAppendTime`).
    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & 0b1000 != 0
    }

    /// Whether the batch belongs to a transaction.
    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & 0b1_0000 != 0
    }

    /// Whether the batch has control records instead of records.
    pub(crate) fn is_control(&self) -> bool {
        self.attributes & 0b10_0000 != 0
    }

    /// The time until which the tombstones of a compacted batch remain, in milliseconds since the Unix epoch (KIP-534).
    #[cfg(feature = "broker")]
    pub(crate) fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// The offset of the batch's last record.
    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset of one of the batch's records.
    pub(crate) fn offset_of(&self, record: &BatchRecord) -> i64 {
        self.base_offset.saturating_add(i64::from(record.offset_delta))
    }

    /// The sequence number of one of the batch's records. It wraps to 0 after 2^31 - 1.
    #[cfg(feature = "broker")]
    pub(crate) fn sequence_of(&self, record: &BatchRecord) -> i32 {
        self.base_sequence.wrapping_add(record.offset_delta) & i32::MAX
    }

    /// The timestamp of one of the batch's records, in milliseconds since the Unix epoch. The sum wraps, as the
    /// difference did when the record was written, and as Java's sum does.
    pub(crate) fn timestamp_of(&self, record: &BatchRecord) -> i64 {
        self.timestamp_at(record.timestamp_delta)
    }

    /// The timestamp of a record with this timestamp delta.
    pub(crate) fn timestamp_at(&self, timestamp_delta: i64) -> i64 {
        if self.is_log_append_time() { self.max_timestamp } else { self.base_timestamp.wrapping_add(timestamp_delta) }
    }

    /// Checks that the offsets have no gaps. A producer writes no gaps; compaction makes some.
    pub(crate) fn check_gapless(&self) -> Result<(), BatchError> {
        if self.count > 0 && self.last_offset_delta.checked_add(1) == Some(self.count) {
            return Ok(());
        }
        Err(BatchError::OffsetRange { last_offset_delta: self.last_offset_delta, count: self.count })
    }
}

/// One whole batch of format v2. Only its length and its format have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Parses `bytes` as exactly one batch.
    pub(crate) fn parse(mut bytes: Bytes) -> Result<Self, BatchError> {
        let got = bytes.len();
        let size = peek_size(&bytes)?.unwrap_or(HEADER_LEN);
        let batch = Self::take(&mut bytes, size)?;
        if bytes.is_empty() { Ok(batch) } else { Err(BatchError::NotAlone { expected: size, got }) }
    }

    fn take(bytes: &mut Bytes, size: usize) -> Result<Self, BatchError> {
        let got = bytes.len();
        let truncated = || BatchError::Truncated { expected: size, got };
        let bytes = if size <= got { bytes.split_to(size) } else { return Err(truncated()) };
        let header = BatchHeader::read(&bytes).map_err(|_| truncated())?;
        if header.magic == MAGIC { Ok(Self { header, bytes }) } else { Err(BatchError::Magic { got: header.magic }) }
    }

    /// The same records under another header with a valid checksum, as a broker stores them. The checksum of this batch has to be
    /// valid. Copies the records, so that the memory of the request can be freed.
    #[cfg(feature = "broker")]
    pub(crate) fn with_header(&self, header: BatchHeader) -> Self {
        let records = self.bytes.get(HEADER_LEN..).unwrap_or_default();
        let BatchHeader { base_offset, partition_leader_epoch, .. } = header;
        // The checksum does not cover these two.
        if header == (BatchHeader { base_offset, partition_leader_epoch, ..self.header }) {
            return Self { header, bytes: header.before(records).freeze() };
        }
        Self::of(header, records)
    }

    /// These encoded records under a header, whose length and checksum become theirs.
    #[cfg(feature = "broker")]
    pub(crate) fn of(mut header: BatchHeader, records: &[u8]) -> Self {
        let size = HEADER_LEN.saturating_add(records.len());
        header.batch_length = i32::try_from(size.saturating_sub(LENGTH_END)).unwrap_or(i32::MAX);
        let mut bytes = header.before(records);
        header.crc = crc32c::crc32c(bytes.get(CRC_FROM..).unwrap_or_default());
        if let Some(crc) = bytes.get_mut(CRC_AT..CRC_FROM) {
            crc.copy_from_slice(&header.crc.to_be_bytes());
        }
        Self { header, bytes: bytes.freeze() }
    }

    /// The header's fields.
    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch, header and records.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Compares the checksum. It covers everything but base offset, length, leader epoch and magic.
    pub(crate) fn check_crc(&self) -> Result<(), BatchError> {
        let got = crc32c::crc32c(self.bytes.get(CRC_FROM..).unwrap_or_default());
        if got == self.header.crc { Ok(()) } else { Err(BatchError::Crc { expected: self.header.crc, got }) }
    }

    /// The records, in order.
    pub(crate) fn records(&self) -> Result<Records, BatchError> {
        let mut records = self.bytes.clone();
        records.advance(HEADER_LEN.min(records.len()));
        let bytes = match self.header.codec()? {
            Codec::None => records,
            codec => decompress(codec, &records)?.into(),
        };
        Ok(Records { progress: Progress::new(&self.header, &bytes)?, bytes })
    }
}

/// The batches in `bytes`, one after the other.
///
/// An incomplete last batch is the end, not an error: Kafka cuts a Fetch response off at its size limit.
/// It ends after an error.
#[derive(Clone, Debug)]
pub(crate) struct Batches(Bytes);

impl Batches {
    /// Starts at the front of `bytes`.
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match peek_size(&self.0) {
            Ok(Some(size)) if size <= self.0.len() => Batch::take(&mut self.0, size),
            Ok(_) => return None,
            Err(error) => Err(error),
        };
        if batch.is_err() {
            self.0.clear();
        }
        Some(batch)
    }
}

/// How many bytes the batch at the front takes; `None` when not even its length is there.
fn peek_size(bytes: &[u8]) -> Result<Option<usize>, BatchError> {
    let Some([_, _, _, _, _, _, _, _, length @ ..]) = bytes.first_chunk::<LENGTH_END>() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    match usize::try_from(length).ok().and_then(|length| length.checked_add(LENGTH_END)) {
        Some(size) if size >= HEADER_LEN => Ok(Some(size)),
        _ => Err(BatchError::Length { got: length }),
    }
}

/// One record. Key, value and headers are slices of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchRecord {
    /// Counted from the batch's base offset.
    pub(crate) offset_delta: i32,
    /// Milliseconds from the batch's base timestamp.
    pub(crate) timestamp_delta: i64,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    /// In order. A key may occur more than once.
    pub(crate) headers: Vec<(Bytes, Option<Bytes>)>,
}

/// A record as it lies in the bytes of its batch. Nothing is copied or counted for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordView<'a> {
    pub(crate) offset_delta: i32,
    pub(crate) timestamp_delta: i64,
    pub(crate) key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    /// They have been read once, so they are whole.
    headers: &'a [u8],
    header_count: usize,
}

impl<'a> RecordView<'a> {
    /// The same record as slices of `bytes`, which it was read from.
    fn of(self, bytes: &Bytes) -> BatchRecord {
        let slice = |part: &'a [u8]| bytes.slice_ref(part);
        let mut rest = self.headers;
        let headers = (0..self.header_count).map_while(|_| take_header(&mut rest));
        BatchRecord {
            offset_delta: self.offset_delta,
            timestamp_delta: self.timestamp_delta,
            key: self.key.map(slice),
            value: self.value.map(slice),
            headers: headers.map(|(key, value)| (slice(key), value.map(slice))).collect(),
        }
    }
}

/// How far the records of one batch have been read.
#[derive(Clone, Debug)]
struct Progress {
    count: i32,
    index: i32,
    next_delta: i32,
    last_delta: i32,
}

impl Progress {
    fn new(header: &BatchHeader, bytes: &[u8]) -> Result<Self, BatchError> {
        if !usize::try_from(header.count).is_ok_and(|count| count <= bytes.len() / MIN_RECORD_LEN) {
            return Err(BatchError::Count { got: header.count, bytes: bytes.len() });
        }
        Ok(Self { count: header.count, index: 0, next_delta: 0, last_delta: header.last_offset_delta })
    }

    /// Reads the next record from the front of `bytes`. After an error there is none.
    #[inline]
    fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Result<RecordView<'a>, BatchError>> {
        let next = match bytes.len() {
            _ if self.index < self.count => self.advance(bytes),
            0 => return None,
            got => Err(BatchError::TrailingBytes { got }),
        };
        if next.is_err() {
            self.index = self.count;
            *bytes = &[];
        }
        Some(next)
    }

    #[inline]
    fn advance<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<RecordView<'a>, BatchError> {
        let record = read_record(bytes).map_err(|reason| BatchError::Record { index: self.index, reason })?;
        let (min, max, got) = (self.next_delta, self.last_delta, record.offset_delta);
        if got < min || got > max {
            return Err(BatchError::OffsetDelta { index: self.index, got, min, max });
        }
        self.next_delta = got.saturating_add(1);
        self.index = self.index.saturating_add(1);
        Ok(record)
    }
}

/// The records of one batch. It ends after an error.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    bytes: Bytes,
    progress: Progress,
}

impl Records {
    /// Bytes of the records that are still to come.
    pub(crate) fn bytes_left(&self) -> usize {
        self.bytes.len()
    }

    /// Calls `each` with the records that are still to come, without a slice of the batch for each of their parts.
    ///
    /// # Errors
    /// The bytes are no records, or the first error of `each`.
    #[cfg(feature = "broker")]
    pub(crate) fn view_each<E: From<BatchError>>(
        mut self,
        mut each: impl FnMut(RecordView<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = &self.bytes[..];
        while let Some(record) = self.progress.next(&mut rest) {
            each(record?)?;
        }
        Ok(())
    }
}

impl Iterator for Records {
    type Item = Result<BatchRecord, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = &self.bytes[..];
        let next = self.progress.next(&mut rest)?.map(|record| record.of(&self.bytes));
        let read = self.bytes.len() - rest.len();
        self.bytes.advance(read);
        Some(next)
    }
}

#[inline]
fn read_record<'a>(bytes: &mut &'a [u8]) -> Result<RecordView<'a>, &'static str> {
    const SHORT: &str = "it ends in the middle of a field";
    let len = take_i32(bytes).and_then(|len| usize::try_from(len).ok()).ok_or("its length is not one")?;
    let mut body = take(bytes, len).ok_or("it is longer than what is left of the batch")?;
    take(&mut body, 1).ok_or(SHORT)?;
    let timestamp_delta = take_i64(&mut body).ok_or(SHORT)?;
    let offset_delta = take_i32(&mut body).ok_or(SHORT)?;
    let key = take_nullable(&mut body).ok_or("its key does not fit")?;
    let value = take_nullable(&mut body).ok_or("its value does not fit")?;
    let header_count = take_header_count(&mut body)?;
    let headers = body;
    for _ in 0..header_count {
        take_header(&mut body).ok_or("a header does not fit")?;
    }
    if !body.is_empty() {
        return Err("it is longer than its fields");
    }
    Ok(RecordView { offset_delta, timestamp_delta, key, value, headers, header_count })
}

fn take_header_count(body: &mut &[u8]) -> Result<usize, &'static str> {
    let count = take_i32(body).and_then(|count| usize::try_from(count).ok()).ok_or("its header count is not one")?;
    if count > body.len() / MIN_HEADER_LEN { Err("it has more headers than bytes for them") } else { Ok(count) }
}

fn take_header<'a>(body: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let key = take_nullable(body)??;
    Some((key, take_nullable(body)?))
}

/// The outer `None` is a malformed field, the inner one a null.
#[inline]
fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_i32(bytes)? {
        -1 => Some(None),
        len => take(bytes, usize::try_from(len).ok()?).map(Some),
    }
}

#[inline]
fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::{
        indexmap::IndexMap,
        protocol::StrBytes,
        records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType},
    };

    use super::*;

    /// Builds one batch by hand. `count` is the count in the header, and `records` are the bytes behind it.
    fn batch(attributes: i16, last_offset_delta: i32, count: i32, records: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i64(1000);
        out.put_i32(i32::try_from(records.len() + HEADER_LEN - LENGTH_END).unwrap());
        out.put_i32(4);
        out.put_i8(2);
        out.put_u32(0);
        out.put_i16(attributes);
        out.put_i32(last_offset_delta);
        out.put_i64(5000);
        out.put_i64(5009);
        out.put_i64(77);
        out.put_i16(3);
        out.put_i32(42);
        out.put_i32(count);
        out.put_slice(records);
        let crc = crc32c::crc32c(&out[CRC_FROM..]);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        out.freeze()
    }

    /// length 8, attributes, timestamp delta 1, offset delta, key `k`, null value, no headers
    fn record(offset_delta: u8) -> [u8; 8] {
        [14, 0, 2, offset_delta * 2, 2, b'k', 1, 0]
    }

    /// All checks of the reader, in their order.
    fn read(bytes: &Bytes) -> Result<Vec<BatchRecord>, BatchError> {
        let batch = Batch::parse(bytes.clone())?;
        batch.check_crc()?;
        batch.header().check_gapless()?;
        batch.records()?.collect()
    }

    fn two_records() -> Bytes {
        batch(0, 1, 2, &[record(0), record(1)].concat())
    }

    #[test]
    fn every_header_field_is_read_from_its_place() {
        let header = *Batch::parse(two_records()).unwrap().header();
        let expected = BatchHeader {
            base_offset: 1000,
            batch_length: 65,
            partition_leader_epoch: 4,
            magic: 2,
            crc: header.crc,
            attributes: 0,
            last_offset_delta: 1,
            base_timestamp: 5000,
            max_timestamp: 5009,
            producer_id: 77,
            producer_epoch: 3,
            base_sequence: 42,
            count: 2,
        };
        assert_eq!(header, expected);
        assert_eq!(header.last_offset(), 1001);
    }

    #[test]
    fn each_attribute_bit_has_its_own_meaning() {
        let header = |attributes| *Batch::parse(batch(attributes, 0, 1, &record(0))).unwrap().header();
        for (id, codec) in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd].into_iter().enumerate() {
            assert_eq!(header(i16::try_from(id).unwrap()).codec(), Ok(codec));
        }
        for got in 5..8 {
            assert_eq!(header(got).codec(), Err(BatchError::UnknownCodec { got }));
        }
        let flags = |attributes| {
            let header = header(attributes);
            (header.is_log_append_time(), header.is_transactional(), header.is_control())
        };
        assert_eq!(flags(0b111), (false, false, false));
        assert_eq!(flags(0b1000), (true, false, false));
        assert_eq!(flags(0b1_0000), (false, true, false));
        assert_eq!(flags(0b10_0000), (false, false, true));
    }

    #[test]
    fn records_carry_offset_and_timestamp_unless_the_broker_set_the_time() {
        for (attributes, timestamp) in [(0, 5001), (0b1000, 5009)] {
            let batch = Batch::parse(batch(attributes, 1, 2, &[record(0), record(1)].concat())).unwrap();
            let second = batch.records().unwrap().last().unwrap().unwrap();
            assert_eq!(batch.header().offset_of(&second), 1001);
            assert_eq!(batch.header().timestamp_of(&second), timestamp);
            assert_eq!(second.key.as_deref(), Some(&b"k"[..]));
            assert_eq!(second.value, None);
        }
    }

    /// Found by the fuzz target `batch_round_trip`: reading clamped what writing had wrapped, and a split gave the record
    /// another time.
    #[test]
    fn timestamps_further_apart_than_64_bits_come_back_as_they_were() {
        use crate::wire::record_batch::writer::{Payload, Stamp, Writer, stamp};
        let mut writer = Writer::new(Vec::new());
        let times = [i64::MIN, i64::MAX, 0, -1];
        for at in times {
            writer.append(at, &Payload::new(None, None, &[]));
        }
        let mut bytes = writer.finish().unwrap();
        stamp(&mut bytes, Stamp::NONE);
        let batch = Batch::parse(bytes.into()).unwrap();
        let read: Vec<_> =
            batch.records().unwrap().map(|record| batch.header().timestamp_of(&record.unwrap())).collect();
        assert_eq!(read, times);
    }

    #[test]
    fn null_and_empty_keys_values_and_header_values_are_told_apart_and_headers_may_repeat() {
        let body = [0, 0, 0, 1, 0, 6, 2, b'h', 1, 2, b'h', 0, 0, 2, b'x'];
        let mut bytes = vec![u8::try_from(body.len() * 2).unwrap()];
        bytes.extend_from_slice(&body);
        let records = read(&batch(0, 0, 1, &bytes)).unwrap();
        let h = Bytes::from_static(b"h");
        let headers = vec![(h.clone(), None), (h, Some(Bytes::new())), (Bytes::new(), Some(Bytes::from_static(b"x")))];
        let value = Some(Bytes::new());
        assert_eq!(records, [BatchRecord { offset_delta: 0, timestamp_delta: 0, key: None, value, headers }]);
    }

    #[test]
    fn batches_of_another_encoder_are_read() {
        let records: Vec<Record> = (0..300_i32).map(|i| foreign_record(i, 300 - i)).collect();
        let mut out = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut out, &records, &options).unwrap();
        let batch = Batch::parse(out.freeze()).unwrap();
        assert_eq!(batch.check_crc(), Ok(()));
        assert_eq!(batch.header().check_gapless(), Ok(()));
        assert_eq!((batch.header().base_sequence, batch.header().producer_id), (9, 1234));
        let read: Vec<BatchRecord> = batch.records().unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(read.len(), records.len());
        for (ours, theirs) in read.iter().zip(&records) {
            assert_eq!(batch.header().offset_of(ours), theirs.offset);
            assert_eq!(batch.header().timestamp_of(ours), theirs.timestamp);
            assert_eq!((&ours.key, &ours.value), (&theirs.key, &theirs.value));
            let headers: Vec<_> = theirs.headers.iter().map(|(k, v)| (k.clone().into_bytes(), v.clone())).collect();
            assert_eq!(ours.headers, headers);
        }
    }

    fn foreign_record(i: i32, size: i32) -> Record {
        let size = usize::try_from(size).unwrap();
        Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: 1234,
            producer_epoch: 2,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(i),
            sequence: 9 + i,
            timestamp: 1_700_000_000_000 - i64::from(i) * 1_000_000,
            key: (i % 3 != 0).then(|| Bytes::from(vec![b'k'; size])),
            value: (i % 5 != 0).then(|| Bytes::from(vec![b'v'; size])),
            headers: IndexMap::from_iter([
                (StrBytes::from_string(format!("header-{i}")), Some(Bytes::from(vec![1; size]))),
                (StrBytes::from_static_str("null"), None),
            ]),
        }
    }

    #[test]
    fn every_truncation_of_a_valid_batch_is_an_error() {
        let whole = two_records();
        for len in 0..whole.len() {
            assert!(read(&whole.slice(..len)).is_err(), "{len}");
        }
        assert!(read(&whole).is_ok());
    }

    #[test]
    fn every_changed_bit_is_an_error_but_in_the_offset_and_epoch_that_brokers_write_themselves() {
        let whole = two_records();
        for position in (0..whole.len()).filter(|position| !matches!(position, 0..8 | 12..16)) {
            for bit in 0..8 {
                let mut bytes = BytesMut::from(&whole[..]);
                bytes[position] ^= 1 << bit;
                assert!(read(&bytes.freeze()).is_err(), "bit {bit} of byte {position}");
            }
        }
    }

    #[test]
    fn no_bytes_behind_a_right_checksum_make_the_reader_panic_or_count_wrong() {
        let records = [record(0), record(1)].concat();
        for position in 0..records.len() {
            for byte in 0..=u8::MAX {
                let mut changed = records.clone();
                changed[position] = byte;
                if let Ok(read) = read(&batch(0, 1, 2, &changed)) {
                    assert_eq!(read.len(), 2);
                }
            }
        }
    }

    #[test]
    fn a_checksum_that_does_not_match_names_both_sums() {
        let mut bytes = BytesMut::from(&two_records()[..]);
        bytes[17..21].copy_from_slice(&[0; 4]);
        let batch = Batch::parse(bytes.freeze()).unwrap();
        let got = crc32c::crc32c(&batch.bytes()[CRC_FROM..]);
        assert_eq!(batch.check_crc(), Err(BatchError::Crc { expected: 0, got }));
    }

    #[test]
    fn records_that_are_not_compressed_as_the_attributes_say_are_refused_with_the_codec_s_name() {
        for (attributes, name) in [(1, "gzip"), (2, "snappy"), (3, "lz4"), (4, "zstd")] {
            let error = Batch::parse(batch(attributes, 0, 1, &[1, 2, 3])).unwrap().records().unwrap_err();
            assert!(matches!(error, BatchError::Compressed(_)) && error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn counts_that_the_bytes_cannot_hold_are_refused_before_any_record_is_read() {
        for got in [i32::MIN, -1, 3, i32::MAX] {
            let batch = Batch::parse(batch(0, 1, got, &[record(0), record(1)].concat())).unwrap();
            assert_eq!(batch.records().unwrap_err(), BatchError::Count { got, bytes: 16 });
        }
    }

    #[test]
    fn a_count_that_is_not_the_range_of_offsets_is_refused_for_what_a_producer_writes() {
        for (last_offset_delta, count) in [(0, 2), (2, 2), (-1, 0), (i32::MAX, i32::MIN)] {
            let header = *Batch::parse(batch(0, last_offset_delta, count, &[])).unwrap().header();
            assert_eq!(header.check_gapless(), Err(BatchError::OffsetRange { last_offset_delta, count }));
        }
    }

    #[test]
    fn bytes_behind_the_last_record_are_an_error_after_the_records() {
        let batch = Batch::parse(batch(0, 0, 1, &[record(0), record(1)].concat())).unwrap();
        let items: Vec<_> = batch.records().unwrap().collect();
        assert_eq!(items.len(), 2);
        assert_eq!(items[1], Err(BatchError::TrailingBytes { got: 8 }));
    }

    #[test]
    fn offsets_that_go_back_or_beyond_the_last_end_the_records() {
        let deltas = |second| read(&batch(0, 1, 2, &[record(0), record(second)].concat())).map(|records| records.len());
        assert_eq!(deltas(1), Ok(2));
        assert_eq!(deltas(0), Err(BatchError::OffsetDelta { index: 1, got: 0, min: 1, max: 1 }));
        assert_eq!(deltas(2), Err(BatchError::OffsetDelta { index: 1, got: 2, min: 1, max: 1 }));
    }

    #[test]
    fn offsets_may_have_gaps_where_compaction_took_records_out() {
        let batch = Batch::parse(batch(0, 9, 2, &[record(3), record(7)].concat())).unwrap();
        let deltas: Vec<_> = batch.records().unwrap().map(|record| record.unwrap().offset_delta).collect();
        assert_eq!(deltas, [3, 7]);
    }

    #[test]
    fn each_malformed_record_says_what_is_wrong_with_it() {
        let reason = |bytes: &[u8]| match Batch::parse(batch(0, 0, 1, bytes)).unwrap().records().unwrap().next() {
            Some(Err(BatchError::Record { index: 0, reason })) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(&[1, 0, 0, 0, 1, 1, 0]), "its length is not one");
        assert_eq!(reason(&[14, 0, 0, 0, 1, 1, 0]), "it is longer than what is left of the batch");
        assert_eq!(reason(&[0, 0, 0, 0, 1, 1, 0]), "it ends in the middle of a field");
        assert_eq!(reason(&[12, 0, 0, 0, 3, 1, 0]), "its key does not fit");
        assert_eq!(reason(&[12, 0, 0, 0, 1, 9, 0]), "its value does not fit");
        assert_eq!(reason(&[12, 0, 0, 0, 1, 1, 1]), "its header count is not one");
        assert_eq!(reason(&[12, 0, 0, 0, 1, 1, 2]), "it has more headers than bytes for them");
        assert_eq!(reason(&[16, 0, 0, 0, 1, 1, 4, 0, 1]), "it has more headers than bytes for them");
        assert_eq!(reason(&[16, 0, 0, 0, 1, 1, 2, 1, 0]), "a header does not fit");
        assert_eq!(reason(&[14, 0, 0, 0, 1, 1, 0, 0]), "it is longer than its fields");
    }

    #[test]
    fn batches_follow_one_another_and_an_unfinished_last_one_is_the_end() {
        let whole = two_records();
        let three = [&whole[..], &whole[..], &whole[..]].concat();
        for cut in 0..whole.len() {
            let bytes = Bytes::copy_from_slice(&three[..whole.len() * 2 + cut]);
            let batches: Vec<_> = Batches::new(bytes).collect::<Result<_, _>>().unwrap();
            assert_eq!(batches.len(), 2, "{cut}");
            assert_eq!(batches[1].bytes(), &whole);
        }
    }

    #[test]
    fn a_batch_in_an_old_format_or_of_impossible_length_ends_the_batches_with_an_error() {
        for (position, byte, error) in [
            (16, 1, BatchError::Magic { got: 1 }),
            (8, 0x80, BatchError::Length { got: i32::MIN + 65 }),
            (11, 48, BatchError::Length { got: 48 }),
        ] {
            let mut bytes = BytesMut::from(&[two_records(), two_records()].concat()[..]);
            bytes[position] = byte;
            let items: Vec<_> = Batches::new(bytes.freeze()).collect();
            assert_eq!(items, [Err(error)]);
        }
    }

    #[cfg(feature = "broker")]
    #[test]
    fn the_same_records_under_another_header_are_a_valid_batch() {
        let original = Batch::parse(two_records()).unwrap();
        let header = BatchHeader { base_offset: 7, max_timestamp: 9, attributes: 0b1000, ..*original.header() };
        let stored = original.with_header(header);
        assert_eq!(Batch::parse(stored.bytes().clone()), Ok(stored.clone()));
        assert_eq!(stored.check_crc(), Ok(()));
        assert_eq!(*stored.header(), BatchHeader { crc: stored.header().crc, ..header });
        let records = |batch: &Batch| batch.records().unwrap().collect::<Result<Vec<_>, _>>();
        assert_eq!(records(&stored), records(&original));
    }

    #[cfg(feature = "broker")]
    #[test]
    fn a_batch_at_another_offset_and_epoch_keeps_its_checksum() {
        let original = Batch::parse(two_records()).unwrap();
        let header = BatchHeader { base_offset: 7, partition_leader_epoch: 3, ..*original.header() };
        let stored = original.with_header(header);
        assert_eq!(*stored.header(), header);
        assert_eq!(Batch::parse(stored.bytes().clone()), Ok(stored.clone()));
        assert_eq!(stored.check_crc(), Ok(()));
    }

    #[test]
    fn two_batches_are_not_parsed_as_one() {
        let bytes = Bytes::from([&two_records()[..], b"x"].concat());
        assert_eq!(Batch::parse(bytes), Err(BatchError::NotAlone { expected: 77, got: 78 }));
    }
}
