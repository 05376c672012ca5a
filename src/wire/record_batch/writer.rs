//! Writes record batches, one record at a time.
//!
//! In: borrowed records. Out: the bytes of a batch, complete except for its stamp. Pure. Each record is encoded once
//! and not changed after that. The checksum is computed once, in [`stamp`].

use bytes::BufMut;

use super::{CRC_AT, CRC_FROM, HEADER_LEN};
use crate::{
    record::Header,
    wire::varint::{put_signed, put_unsigned, signed_len, zigzag},
};

/// The producer's identity in a batch. The default is that of a producer without idempotence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) base_sequence: i32,
}

impl Stamp {
    /// No producer id, no sequence.
    pub(crate) const NONE: Self = Self { producer_id: -1, epoch: -1, base_sequence: -1 };
}

/// The encoded fields of a record, measured once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [Header<'a>],
    /// Bytes of the record after its two deltas.
    body_len: usize,
}

impl<'a> Payload<'a> {
    #[inline]
    pub(crate) fn new(key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: &'a [Header<'a>]) -> Self {
        Self { key, value, headers, body_len: bytes_len(key) + bytes_len(value) + headers_len(headers) }
    }

    /// The most bytes that the record can take, at any place in a batch.
    #[inline]
    pub(crate) fn max_len(&self) -> usize {
        let longest = 1 + 10 + 5 + self.body_len;
        longest + signed_len(len_i64(longest))
    }
}

/// An open batch, to which records can be added.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The batch, followed by spare bytes of any content, so that a record is written with one check of bounds.
    bytes: Vec<u8>,
    /// Where the next record begins.
    end: usize,
    base_timestamp: i64,
    max_timestamp: i64,
    count: u32,
}

impl Writer {
    /// Starts a batch in `buffer`. Uses its length, and ignores its content.
    pub(crate) fn new(mut buffer: Vec<u8>) -> Self {
        if buffer.len() < HEADER_LEN {
            buffer.resize(HEADER_LEN, 0);
        }
        Self { bytes: buffer, end: HEADER_LEN, base_timestamp: 0, max_timestamp: i64::MIN, count: 0 }
    }

    /// The length in bytes, including the header.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end
    }

    /// Grows the buffer to hold `capacity` bytes.
    pub(crate) fn grow(&mut self, capacity: usize) {
        self.bytes.reserve_exact(capacity.saturating_sub(self.bytes.len()));
        self.bytes.resize(capacity.max(self.end), 0);
    }

    /// The number of records.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Adds a record with its timestamp in milliseconds, and returns its index in the batch.
    #[inline]
    pub(crate) fn append(&mut self, timestamp: i64, payload: &Payload<'_>) -> u32 {
        let index = self.count;
        if index == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
        let later = timestamp.wrapping_sub(self.base_timestamp);
        if !self.append_usual(later, index, payload) {
            self.append_any(later, index, payload);
        }
        index
    }

    /// Adds a record whose numbers are small, as nearly all are, if there is spare room behind it. The numbers are
    /// assembled in one word and written at once. The bytes behind them are overwritten next.
    #[inline]
    fn append_usual(&mut self, later: i64, index: u32, payload: &Payload<'_>) -> bool {
        let (key, value) = (payload.key.unwrap_or_default(), payload.value.unwrap_or_default());
        let (later, index) = (zigzag(later), u64::from(index) << 1);
        let (key_len, value_len) = (nullable_len(payload.key), nullable_len(payload.value));
        let len = 1 + two_len(later) + two_len(index) + payload.body_len;
        let zigzag_len = zigzag(len_i64(len));
        let largest = later | index | key_len << 7 | value_len | zigzag_len;
        let Some(out) = self.bytes.get_mut(self.end..self.end + 2 + len + size_of::<u64>()) else { return false };
        if largest >= TWO_BYTES || !payload.headers.is_empty() {
            return false;
        }
        let (mut word, mut at) = (0, 0);
        for (number, bytes) in [two(zigzag_len), (0, 1), two(later), two(index), (key_len, 1)] {
            word |= number << (8 * at);
            at += bytes;
        }
        out[..8].copy_from_slice(&word.to_le_bytes());
        out[at..at + key.len()].copy_from_slice(key);
        at += key.len();
        let (number, bytes) = two(value_len);
        out[at..at + 8].copy_from_slice(&number.to_le_bytes());
        at += bytes;
        out[at..at + value.len()].copy_from_slice(value);
        at += value.len();
        out[at] = 0;
        self.end += at + 1;
        true
    }

    /// Adds any record.
    fn append_any(&mut self, later: i64, index: u32, payload: &Payload<'_>) {
        let index = i64::from(index);
        let len = 1 + signed_len(later) + signed_len(index) + payload.body_len;
        let (start, end) = (self.end, self.end + signed_len(len_i64(len)) + len);
        if end > self.bytes.len() {
            self.grow(end);
        }
        self.end = end;
        let out = &mut &mut self.bytes[start..end];
        put_signed(out, len_i64(len));
        out.put_u8(0);
        put_signed(out, later);
        put_signed(out, index);
        put_nullable(out, payload.key);
        put_nullable(out, payload.value);
        put_signed(out, len_i64(payload.headers.len()));
        for header in payload.headers {
            put_nullable(out, Some(header.key.as_bytes()));
            put_nullable(out, header.value.as_deref());
        }
    }

    /// Ends the batch. Only its [`stamp`] is missing. `None` if it has no records, because no broker accepts such a
    /// batch.
    pub(crate) fn finish(mut self) -> Option<Vec<u8>> {
        let last_offset_delta = self.count.checked_sub(1)?;
        self.bytes.truncate(self.end);
        let length = i32::try_from(self.bytes.len() - 12).ok()?;
        let mut put = |at: usize, field: &[u8]| self.bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &0_i64.to_be_bytes());
        put(8, &length.to_be_bytes());
        put(12, &(-1_i32).to_be_bytes());
        put(16, &[2]);
        put(21, &0_i16.to_be_bytes());
        put(23, &last_offset_delta.to_be_bytes());
        put(27, &self.base_timestamp.to_be_bytes());
        put(35, &self.max_timestamp.to_be_bytes());
        put(57, &self.count.to_be_bytes());
        Some(self.bytes)
    }
}

/// Writes identity and checksum into a finished batch. Its bytes do not change after that.
pub(crate) fn stamp(batch: &mut [u8], stamp: Stamp) {
    batch[43..51].copy_from_slice(&stamp.producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&stamp.epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&stamp.base_sequence.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
}

#[inline]
fn bytes_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| signed_len(len_i64(bytes.len())) + bytes.len())
}

#[inline]
fn headers_len(headers: &[Header<'_>]) -> usize {
    let each = headers.iter().map(|h| bytes_len(Some(h.key.as_bytes())) + bytes_len(h.value.as_deref()));
    signed_len(len_i64(headers.len())) + each.sum::<usize>()
}

/// The first number that takes three bytes.
const TWO_BYTES: u64 = 1 << 14;

/// The length of a zigzagged number that takes at most two bytes.
#[inline]
const fn two_len(number: u64) -> usize {
    1 + (number > 0x7f) as usize
}

/// A zigzagged number of at most two bytes as it is written, and its length.
#[inline]
const fn two(number: u64) -> (u64, usize) {
    let more = (number > 0x7f) as u64;
    (number & 0x7f | more << 7 | number >> 7 << 8, two_len(number))
}

/// The zigzagged length of a field.
#[inline]
fn nullable_len(field: Option<&[u8]>) -> u64 {
    zigzag(field.map_or(-1, |field| len_i64(field.len())))
}

/// A zigzagged length. Lengths in memory are below `isize::MAX`, so nothing is lost.
#[expect(clippy::cast_possible_wrap, reason = "no allocation is longer than isize::MAX")]
const fn len_i64(len: usize) -> i64 {
    len as i64
}

/// Writes a field with its length in front. Null has the length -1.
fn put_nullable(out: &mut impl BufMut, field: Option<&[u8]>) {
    put_unsigned(out, nullable_len(field));
    out.put_slice(field.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::records::RecordBatchDecoder;

    use super::*;

    fn payload<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: &'a [Header<'a>]) -> Payload<'a> {
        Payload::new(key, value, headers)
    }

    fn finished(writer: Writer, origin: Stamp) -> Bytes {
        let mut bytes = writer.finish().unwrap();
        stamp(&mut bytes, origin);
        bytes.into()
    }

    #[test]
    fn another_decoder_reads_back_what_was_written() {
        let headers = [Header::new("a", b"1"), Header::new("b", b""), Header::null("c")];
        let mut writer = Writer::new(Vec::new());
        writer.append(1_000, &payload(Some(b"k"), Some(b"v"), &headers));
        writer.append(400, &payload(None, Some(&[7; 300]), &[]));
        writer.append(5_000_000_000, &payload(Some(&[]), None, &[]));
        let origin = Stamp { producer_id: 9, epoch: 3, base_sequence: 100 };
        let mut bytes = finished(writer, origin);
        let set = RecordBatchDecoder::decode(&mut bytes).unwrap();
        let seen: Vec<_> = set
            .records
            .iter()
            .map(|r| {
                (r.offset, r.timestamp, r.sequence, r.key.as_deref(), r.value.as_ref().map(Bytes::len), r.headers.len())
            })
            .collect();
        assert_eq!(
            seen,
            [
                (0, 1_000, 100, Some(&b"k"[..]), Some(1), 3),
                (1, 400, 101, None, Some(300), 0),
                (2, 5_000_000_000, 102, Some(&b""[..]), None, 0),
            ]
        );
        assert_eq!((set.records[0].producer_id, set.records[0].producer_epoch), (9, 3));
    }

    #[test]
    fn the_header_has_every_field_at_its_place() {
        let mut writer = Writer::new(vec![0xff; 500]);
        writer.append(10, &payload(None, None, &[]));
        writer.append(30, &payload(None, None, &[]));
        writer.append(20, &payload(None, None, &[]));
        let bytes = finished(writer, Stamp { producer_id: 5, epoch: 6, base_sequence: 7 });
        let i32_at = |at: usize| i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let i64_at = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(i64_at(0), 0, "base offset");
        assert_eq!(i32_at(8) as usize, bytes.len() - 12, "length");
        assert_eq!((i32_at(12), bytes[16]), (-1, 2), "leader epoch and magic");
        assert_eq!(i32_at(17) as u32, crc32c::crc32c(&bytes[21..]), "checksum");
        assert_eq!((&bytes[21..23], i32_at(23)), (&[0, 0][..], 2), "attributes and last offset delta");
        assert_eq!((i64_at(27), i64_at(35)), (10, 30), "base and max timestamp");
        assert_eq!((i64_at(43), &bytes[51..53], i32_at(53)), (5, &[0, 6][..], 7), "origin");
        assert_eq!(i32_at(57), 3, "count");
    }

    /// Records whose numbers are small are written in another way, if there is room.
    #[test]
    fn another_decoder_reads_back_numbers_of_every_length() {
        let lens = [0, 1, 62, 63, 64, 65, 127, 128, 8_191, 8_192];
        let bytes = vec![7; 8_192];
        let sizes: Vec<_> = lens.iter().flat_map(|key| lens.map(|value| (*key, value))).collect();
        for (base, step) in [(0, 0), (0, 1), (5, -1), (0, 8_192), (0, 1 << 40)] {
            let mut writer = Writer::new(vec![0xff; 1 << 20]);
            for (number, (key, value)) in (0..).zip(&sizes) {
                writer.append(base + step * number, &payload(Some(&bytes[..*key]), Some(&bytes[..*value]), &[]));
            }
            let set = RecordBatchDecoder::decode(&mut finished(writer, Stamp::NONE)).unwrap();
            let seen = set.records.iter().map(|record| {
                (record.timestamp, record.key.as_ref().map(Bytes::len), record.value.as_ref().map(Bytes::len))
            });
            let written =
                (0..).zip(&sizes).map(|(number, (key, value))| (base + step * number, Some(*key), Some(*value)));
            assert!(seen.eq(written), "from {base} by {step}");
        }
    }

    #[test]
    fn another_decoder_reads_back_a_record_each_millisecond() {
        let mut writer = Writer::new(vec![0xff; 1 << 20]);
        for number in 0..20_000 {
            writer.append(number, &payload(None, Some(b"v"), &[]));
        }
        let set = RecordBatchDecoder::decode(&mut finished(writer, Stamp::NONE)).unwrap();
        assert!(set.records.iter().map(|record| record.timestamp).eq(0..20_000));
    }

    #[test]
    fn a_batch_without_records_is_refused() {
        assert_eq!(Writer::new(Vec::new()).finish(), None);
    }

    #[test]
    fn no_record_takes_more_than_its_upper_bound() {
        let many: Vec<_> = (0..70).map(|_| Header::new("key", b"value")).collect();
        let value = vec![1; 20_000];
        let cases = [
            payload(None, None, &[]),
            payload(Some(b"key"), Some(&value[..63]), &[]),
            payload(Some(&value[..64]), Some(&value), &many),
        ];
        for case in cases {
            let mut writer = Writer::new(Vec::new());
            writer.append(i64::MIN / 4, &case);
            let before = writer.len();
            writer.append(i64::MAX / 4, &case);
            let taken = writer.len() - before;
            assert!(taken <= case.max_len() && taken + 20 > case.max_len(), "{taken} of {}", case.max_len());
        }
    }

    #[test]
    fn restamping_changes_the_origin_and_nothing_else() {
        let mut writer = Writer::new(Vec::new());
        writer.append(1, &payload(Some(b"k"), Some(b"v"), &[]));
        let mut bytes = writer.finish().unwrap();
        stamp(&mut bytes, Stamp { producer_id: 1, epoch: 0, base_sequence: 44 });
        let first = bytes.clone();
        stamp(&mut bytes, Stamp { producer_id: 1, epoch: 1, base_sequence: 0 });
        assert_ne!(first, bytes);
        stamp(&mut bytes, Stamp { producer_id: 1, epoch: 0, base_sequence: 44 });
        assert_eq!(first, bytes);
    }
}
