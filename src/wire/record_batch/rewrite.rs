//! Writes a batch's records anew, as a broker does when it compacts a log, or when a topic has a codec of its own.
//!
//! In: a batch, and the records that remain or a codec. Out: a batch of them, at the same offsets and with the same timestamps. Pure. What remains of a
//! compacted batch is not compressed.

use bytes::Bytes;

use super::{
    DELETE_HORIZON, HEADER_LEN,
    reader::{Batch, BatchError, BatchHeader, BatchRecord},
};
use crate::wire::{
    compression::{Compressor, Method},
    varint::put_signed,
};

/// The bits of the attributes that name a codec.
const CODEC: i16 = 0b111;

/// The batch with only these of its records, in their order. `horizon` is the time until which its tombstones remain, if it has to be set.
pub(crate) fn rewrite(batch: &Batch, records: &[BatchRecord], horizon: Option<i64>) -> Batch {
    let old = *batch.header();
    let base_timestamp = horizon.unwrap_or(old.base_timestamp);
    let bit = horizon.map_or(0, |_| DELETE_HORIZON);
    let latest = records.iter().map(|record| old.timestamp_of(record)).max();
    let mut body = Vec::new();
    for record in records {
        put(&mut body, record, old.timestamp_of(record).wrapping_sub(base_timestamp));
    }
    let header = BatchHeader {
        attributes: old.attributes & !CODEC | bit,
        base_timestamp,
        max_timestamp: latest.unwrap_or(old.max_timestamp),
        count: i32::try_from(records.len()).unwrap_or(i32::MAX),
        ..old
    };
    Batch::of(header, &body)
}

/// The batch compressed so, or not at all if that would not make it shorter, or this build does not have the codec.
pub(crate) fn recompress(batch: &Batch, method: Method) -> Result<Batch, BatchError> {
    if batch.header().codec()? == method.codec {
        return Ok(batch.clone());
    }
    let records: Vec<_> = batch.records()?.collect::<Result<_, _>>()?;
    let plain = rewrite(batch, &records, None);
    let Some(compressed) = Compressor::new(method).compress(plain.bytes()) else { return Ok(plain) };
    let header = BatchHeader { attributes: plain.header().attributes | method.codec as i16, ..*plain.header() };
    Ok(Batch::of(header, compressed.get(HEADER_LEN..).unwrap_or_default()))
}

fn put(out: &mut Vec<u8>, record: &BatchRecord, timestamp_delta: i64) {
    let mut one = vec![0];
    put_signed(&mut one, timestamp_delta);
    put_signed(&mut one, i64::from(record.offset_delta));
    put_nullable(&mut one, record.key.as_ref());
    put_nullable(&mut one, record.value.as_ref());
    put_signed(&mut one, len(record.headers.len()));
    for (key, value) in &record.headers {
        put_nullable(&mut one, Some(key));
        put_nullable(&mut one, value.as_ref());
    }
    put_signed(out, len(one.len()));
    out.extend_from_slice(&one);
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&Bytes>) {
    put_signed(out, bytes.map_or(-1, |bytes| len(bytes.len())));
    out.extend_from_slice(bytes.map_or(&[], |bytes| bytes));
}

fn len(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        compression::Codec,
        record_batch::writer::{Payload, Stamp, Writer, stamp},
    };

    fn batch(value: &[u8]) -> Batch {
        let mut writer = Writer::new(Vec::new());
        for timestamp in [500, 400] {
            writer.append(timestamp, &Payload::new(Some(b"k"), Some(value), &[]));
        }
        let mut bytes = writer.finish().unwrap();
        stamp(&mut bytes, Stamp { producer_id: 7, epoch: 1, base_sequence: 9 });
        Batch::parse(bytes.into()).unwrap()
    }

    fn content(batch: &Batch) -> Vec<(i64, i64, Option<Bytes>)> {
        let header = batch.header();
        let records = batch.records().unwrap().map(Result::unwrap);
        records.map(|one| (header.offset_of(&one), header.timestamp_of(&one), one.value)).collect()
    }

    #[test]
    fn a_batch_keeps_its_records_and_its_stamp_whatever_it_is_compressed_with() {
        let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
        let plain = batch(&[b'x'; 1000]);
        for from in codecs.into_iter().filter(|codec| codec.is_built_in()) {
            let from = recompress(&plain, Method { codec: from, level: 3 }).unwrap();
            for to in codecs.into_iter().filter(|codec| codec.is_built_in()) {
                let again = recompress(&from, Method { codec: to, level: 3 }).unwrap();
                assert_eq!((again.header().codec(), again.check_crc()), (Ok(to), Ok(())));
                assert_eq!(content(&again), content(&plain));
                let stamp = |batch: &Batch| {
                    let BatchHeader { producer_id, producer_epoch, base_sequence, count, max_timestamp, .. } =
                        *batch.header();
                    (producer_id, producer_epoch, base_sequence, count, max_timestamp)
                };
                assert_eq!(stamp(&again), stamp(&plain));
            }
        }
    }

    #[test]
    fn a_batch_that_would_not_become_shorter_stays_as_it_is() {
        let short = recompress(&batch(b"v"), Method { codec: Codec::Gzip, level: 9 }).unwrap();
        assert_eq!((short.header().codec(), content(&short)), (Ok(Codec::None), content(&batch(b"v"))));
    }
}
