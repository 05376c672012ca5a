//! Inserts events.
//!
//! In: events of many callers. Out: rows, by COPY, which writes many rows at once. They get their numbers while nobody else inserts.

use std::pin::{Pin, pin};

use tokio_postgres::{
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::{
    lane::{Stop, Work},
    rows::text,
};
use crate::store::{
    EventError, NewEvent, Seq, StoreError, bucket_of,
    counters::{Counters, Rows},
    headers::headers_text,
    lease::after,
};

/// The time, what the quota and the next number depend on, and the passes that there are.
pub(super) const TOTALS: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
     COALESCE(max(last_seq), 0), COALESCE(sum(rows), 0)::bigint, COALESCE(sum(bytes), 0)::bigint, \
     ARRAY(SELECT number FROM outbox_passes ORDER BY number) FROM outbox_counters";
const COPY: &str = "COPY failed_kafka_events (seq, bucket, slot, bytes, next_retry_at, maybe_sent, created_at, updated_at, \
     event_id, topic, event_key, headers, first_error_class, first_error, payload) FROM STDIN BINARY";
const TYPES: [Type; 15] = [
    Type::INT8,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::INT8,
    Type::BOOL,
    Type::INT8,
    Type::INT8,
    Type::UUID,
    Type::TEXT,
    Type::BYTEA,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::BYTEA,
];

/// Inserts the events of each caller, all or none, and says what became of each.
pub(super) async fn copy(
    work: &mut Work<'_>,
    inserts: &[&[NewEvent]],
) -> Result<Vec<Result<Vec<Seq>, StoreError>>, Stop> {
    let mut totals = Counters {
        last_seq: work.first.try_get(1)?,
        rows: work.first.try_get(2)?,
        bytes: work.first.try_get(3)?,
        ..Counters::default()
    };
    let (mut answers, mut taken) = (Vec::with_capacity(inserts.len()), Vec::new());
    for events in inserts {
        let bytes: u64 = events.iter().map(NewEvent::cost).sum();
        let added = Rows { rows: signed(events.len() as u64), bytes: signed(bytes) };
        answers.push(totals.admit(work.options.quota, added).map(|()| {
            totals.add(added);
            work.counters.add(added);
            let first = totals.last_seq + 1;
            totals.last_seq += added.rows;
            taken.extend((first..).zip(*events));
            (first..=totals.last_seq).map(Seq).collect()
        }));
    }
    work.counters.last_seq = totals.last_seq;
    if !taken.is_empty() {
        let mut writer = pin!(work.session.copy(COPY, &TYPES).await?);
        for (seq, event) in taken {
            write(writer.as_mut(), seq, event, (work.options.buckets, work.now)).await?;
        }
        writer.finish().await?;
    }
    Ok(answers)
}

/// Writes a row, column by column in the order of [`COPY`].
async fn write(
    writer: Pin<&mut BinaryCopyInWriter>,
    seq: i64,
    event: &NewEvent,
    (buckets, now): (u16, i64),
) -> Result<(), Stop> {
    let bucket = i16::try_from(bucket_of(event.slot(), buckets)).unwrap_or(i16::MAX);
    let shown = |part: fn(&EventError) -> &str| event.error.as_ref().map(|error| text(part(error)));
    let values: [&(dyn ToSql + Sync); 15] = [
        &seq,
        &bucket,
        &i32::from(event.slot()),
        &signed(event.cost()),
        &event.hold.map(|hold| after(now, hold)),
        &event.maybe_sent,
        &now,
        &now,
        &event.event_id,
        &event.topic,
        &event.key,
        &headers_text(&event.headers),
        &shown(EventError::class),
        &shown(EventError::text),
        &event.payload,
    ];
    Ok(writer.write(&values).await?)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
