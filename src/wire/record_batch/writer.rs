//! Writes record batches, one record at a time.
//!
//! In: borrowed records. Out: the bytes of a batch, complete but for its stamp. Pure. Each record is encoded once and
//! never touched again; the one checksum pass happens in [`stamp`].

use super::{CRC_FROM, HEADER_LEN};
use crate::{
    record::Header,
    wire::varint::{signed_len, unsigned_len},
};

/// What a batch says about its origin. The default is that of a producer without idempotence.
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

/// The parts of a record that are encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [Header<'a>],
}

impl Payload<'_> {
    /// Bytes of the record after its two deltas.
    fn body_len(&self) -> usize {
        bytes_len(self.key) + bytes_len(self.value) + self.headers_len()
    }

    fn headers_len(&self) -> usize {
        let each = self.headers.iter().map(|h| bytes_len(Some(h.key.as_bytes())) + bytes_len(h.value.as_deref()));
        signed_len(len_i64(self.headers.len())) + each.sum::<usize>()
    }

    /// The most bytes that the record can take, wherever in a batch it comes to stand.
    pub(crate) fn max_len(&self) -> usize {
        let longest = 1 + 10 + 5 + self.body_len();
        longest + signed_len(len_i64(longest))
    }
}

/// A batch that is still open: records can be appended.
#[derive(Debug)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    base_timestamp: i64,
    max_timestamp: i64,
    count: u32,
}

impl Writer {
    /// Starts a batch in `buffer`, whose capacity is used and whose content is not.
    pub(crate) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(HEADER_LEN, 0);
        Self { bytes: buffer, base_timestamp: 0, max_timestamp: i64::MIN, count: 0 }
    }

    /// Bytes so far, header included.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Grows the buffer to hold `capacity` bytes.
    pub(crate) fn grow(&mut self, capacity: usize) {
        self.bytes.reserve_exact(capacity.saturating_sub(self.bytes.len()));
    }

    /// Records so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Appends a record with its timestamp in milliseconds and returns its index in the batch.
    pub(crate) fn append(&mut self, timestamp: i64, payload: &Payload<'_>) -> u32 {
        let index = self.count;
        if index == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
        let (time_delta, offset_delta) = (timestamp.wrapping_sub(self.base_timestamp), i64::from(index));
        let len = 1 + signed_len(time_delta) + signed_len(offset_delta) + payload.body_len();
        let mut head = Scratch::new();
        head.put_signed(len_i64(len));
        head.put_byte(0);
        head.put_signed(time_delta);
        head.put_signed(offset_delta);
        head.put_len(payload.key);
        self.bytes.extend_from_slice(head.bytes());
        self.bytes.extend_from_slice(payload.key.unwrap_or_default());
        self.put_bytes(payload.value);
        self.put_headers(payload.headers);
        index
    }

    fn put_bytes(&mut self, bytes: Option<&[u8]>) {
        let mut len = Scratch::new();
        len.put_len(bytes);
        self.bytes.extend_from_slice(len.bytes());
        self.bytes.extend_from_slice(bytes.unwrap_or_default());
    }

    fn put_headers(&mut self, headers: &[Header<'_>]) {
        let mut count = Scratch::new();
        count.put_signed(len_i64(headers.len()));
        self.bytes.extend_from_slice(count.bytes());
        for header in headers {
            self.put_bytes(Some(header.key.as_bytes()));
            self.put_bytes(header.value.as_deref());
        }
    }

    /// Closes the batch. What is missing is its [`stamp`]. `None` for a batch without records, which no broker accepts.
    pub(crate) fn finish(mut self) -> Option<Vec<u8>> {
        let last_offset_delta = self.count.checked_sub(1)?;
        let length = i32::try_from(self.bytes.len() - 12).ok()?;
        let mut put = |at: usize, field: &[u8]| self.bytes[at..at + field.len()].copy_from_slice(field);
        put(8, &length.to_be_bytes());
        put(12, &(-1_i32).to_be_bytes());
        put(16, &[2]);
        put(23, &last_offset_delta.to_be_bytes());
        put(27, &self.base_timestamp.to_be_bytes());
        put(35, &self.max_timestamp.to_be_bytes());
        put(57, &self.count.to_be_bytes());
        Some(self.bytes)
    }
}

/// Writes origin and checksum into a finished batch. From then on its bytes do not change.
pub(crate) fn stamp(batch: &mut [u8], stamp: Stamp) {
    batch[43..51].copy_from_slice(&stamp.producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&stamp.epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&stamp.base_sequence.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
}

fn bytes_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| signed_len(len_i64(bytes.len())) + bytes.len())
}

/// A length as it is zigzagged. Lengths of things in memory are below `isize::MAX`, so nothing is lost.
#[expect(clippy::cast_possible_wrap, reason = "no allocation is longer than isize::MAX")]
const fn len_i64(len: usize) -> i64 {
    len as i64
}

/// A few bytes on the stack, so that a record's small fields are appended at once.
struct Scratch {
    bytes: [u8; 32],
    len: usize,
}

impl Scratch {
    fn new() -> Self {
        Self { bytes: [0; 32], len: 0 }
    }

    fn put_byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "zigzag, seven bits at a time")]
    fn put_signed(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        for _ in 1..unsigned_len(rest) {
            self.put_byte(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.put_byte(rest as u8);
    }

    /// The length of a nullable field; null is -1.
    fn put_len(&mut self, field: Option<&[u8]>) {
        self.put_signed(field.map_or(-1, |field| len_i64(field.len())));
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::records::RecordBatchDecoder;

    use super::*;

    fn payload<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: &'a [Header<'a>]) -> Payload<'a> {
        Payload { key, value, headers }
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
