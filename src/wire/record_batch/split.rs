//! Splits a batch that a broker refused as too large.
//!
//! In: the bytes of one of the producer's batches. Out: smaller batches with the same records in the same order. Pure.

use bytes::Bytes;

use super::{
    HEADER_LEN,
    reader::{Batch, BatchError, BatchRecord},
    writer::{Payload, Writer},
};
use crate::{record::Header, wire::compression::Compressor};

/// A part of a split batch.
#[derive(Debug)]
pub(crate) struct SplitBatch {
    /// The index of its first record in the whole batch.
    pub(crate) first: u32,
    pub(crate) records: u32,
    /// The encoded batch, without a stamp.
    pub(crate) bytes: Vec<u8>,
    /// Its length before compression.
    pub(crate) uncompressed: usize,
}

/// Splits `batch` into parts of at most `target` bytes and at most half of its own length, so that repeated splits come
/// to an end. Each part has at least one record. Lengths are those before compression. `compressor` compresses each
/// part again, in the sender's task, because splits are rare.
pub(crate) fn split(batch: &Bytes, target: usize, compressor: &mut Compressor) -> Result<Vec<SplitBatch>, BatchError> {
    let batch = Batch::parse(batch.clone())?;
    let records = batch.records()?;
    let target = target.min((HEADER_LEN + records.bytes_left()) / 2).max(HEADER_LEN);
    let (mut parts, mut first, mut writer) = (Vec::new(), 0, Writer::new(Vec::new()));
    for record in records {
        let record = record?;
        let timestamp = batch.header().timestamp_of(&record);
        let headers = headers(&record);
        let payload = Payload::new(record.key.as_deref(), record.value.as_deref(), &headers);
        if writer.count() > 0 && writer.len() + payload.max_len() > target {
            first = close(&mut parts, first, std::mem::replace(&mut writer, Writer::new(Vec::new())));
        }
        writer.append(timestamp, &payload);
    }
    close(&mut parts, first, writer);
    for part in &mut parts {
        part.bytes = compressor.compress(&part.bytes).unwrap_or_else(|| std::mem::take(&mut part.bytes));
    }
    Ok(parts)
}

fn close(parts: &mut Vec<SplitBatch>, first: u32, writer: Writer) -> u32 {
    let records = writer.count();
    parts.extend(writer.finish().map(|bytes| SplitBatch { first, records, uncompressed: bytes.len(), bytes }));
    first + records
}

fn headers(record: &BatchRecord) -> Vec<Header<'_>> {
    let headers = record.headers.iter();
    headers
        .map(|(key, value)| Header { key: String::from_utf8_lossy(key), value: value.as_deref().map(Into::into) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        compression::{Codec, Method},
        record_batch::writer::{Stamp, stamp},
    };

    fn split(batch: &Bytes, target: usize) -> Result<Vec<SplitBatch>, BatchError> {
        super::split(batch, target, &mut Compressor::new(Method::NONE))
    }

    fn batch(values: &[&[u8]]) -> Bytes {
        let mut writer = Writer::new(Vec::new());
        for (i, value) in values.iter().enumerate() {
            let headers = [Header::new("n", value), Header::null("null")];
            writer.append(1_000 - i as i64, &Payload::new(None, Some(value), &headers));
        }
        stamped(writer.finish().unwrap())
    }

    fn stamped(mut bytes: Vec<u8>) -> Bytes {
        stamp(&mut bytes, Stamp::NONE);
        bytes.into()
    }

    fn records(batch: &Bytes) -> Vec<(i64, Option<Bytes>, usize)> {
        let batch = Batch::parse(batch.clone()).unwrap();
        let records = batch.records().unwrap().map(Result::unwrap);
        records.map(|r| (batch.header().timestamp_of(&r), r.value.clone(), r.headers.len())).collect()
    }

    #[test]
    fn the_parts_hold_the_same_records_in_the_same_order() {
        let whole = batch(&[&[1; 90], &[2; 90], &[3; 90], &[4; 90], &[5; 90]]);
        let parts = split(&whole, 16_384).unwrap();
        assert_eq!(parts.iter().map(|p| (p.first, p.records)).collect::<Vec<_>>(), [(0, 2), (2, 2), (4, 1)]);
        let together: Vec<_> = parts.into_iter().flat_map(|part| records(&stamped(part.bytes))).collect();
        assert_eq!(together, records(&whole));
    }

    #[test]
    fn a_batch_of_two_ends_as_two_batches_of_one() {
        let parts = split(&batch(&[&[1; 500], b"x"]), 16_384).unwrap();
        assert_eq!(parts.iter().map(|p| (p.first, p.records)).collect::<Vec<_>>(), [(0, 1), (1, 1)]);
    }

    #[test]
    fn a_part_may_be_as_long_as_the_target_and_no_longer() {
        let value = &[7; 40][..];
        let headers = [Header::new("n", value), Header::null("null")];
        let one_more = Payload::new(None, Some(value), &headers).max_len();
        let (whole, target) = (batch(&[value; 20]), batch(&[value]).len() + one_more);
        let first = |target| split(&whole, target).unwrap()[0].records;
        assert_eq!((first(target), first(target - 1)), (2, 1));
    }

    #[test]
    fn a_compressed_batch_is_split_by_the_length_of_its_records_and_its_parts_are_compressed_again() {
        let value = [7; 400];
        let whole = batch(&[&value[..]; 40]);
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4] {
            let mut compressor = Compressor::new(Method { codec, level: -1 });
            let compressed = stamped(compressor.compress(&whole).unwrap());
            assert!(compressed.len() < whole.len() / 4, "{codec:?}: {} of {}", compressed.len(), whole.len());
            let parts = super::split(&compressed, 16_384, &mut compressor).unwrap();
            assert_eq!(parts.iter().map(|p| p.records).collect::<Vec<_>>().len(), 3, "{codec:?}");
            let codec_of =
                |part: &SplitBatch| Batch::parse(part.bytes.clone().into()).unwrap().header().codec().unwrap();
            assert!(parts.iter().all(|part| codec_of(part) == codec));
            let together: Vec<_> = parts.into_iter().flat_map(|part| records(&stamped(part.bytes))).collect();
            assert_eq!(together, records(&whole), "{codec:?}");
        }
    }

    #[test]
    fn parts_keep_to_the_target_where_records_allow() {
        let value = [7; 40];
        let whole = batch(&[&value[..]; 100]);
        let parts = split(&whole, 1_000).unwrap();
        assert!(parts.iter().all(|part| part.bytes.len() <= 1_000));
        assert!(parts.len() < 15, "{} parts", parts.len());
        assert_eq!(parts.iter().map(|part| part.records).sum::<u32>(), 100);
    }
}
