//! Writes some of a batch's records anew, as a broker does when it compacts a log.
//!
//! In: a batch and the records that remain. Out: a batch of them, at the same offsets and with the same timestamps. Pure. Deliberately absent:
//! compression; the new batch has none.

use bytes::Bytes;

use super::{
    DELETE_HORIZON,
    reader::{Batch, BatchHeader, BatchRecord},
};
use crate::wire::varint::put_signed;

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
