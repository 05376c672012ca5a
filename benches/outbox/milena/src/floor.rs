//! The least that a database takes for the same events: one loop that only inserts, then one that only deletes.
//!
//! The tables are the store's own. A transaction inserts as many rows as the store's had, or deletes as many as a page of the relay has. It
//! keeps no counts, has no leases, and nobody waits for an answer of his own.

use std::{path::Path, pin::pin, time::Instant};

use milena_resilience::store::{PageLimits, SLOTS, bucket_of, slot_of};
use rusqlite::{Connection, params};
use tokio_postgres::{Client, binary_copy::BinaryCopyInWriter, types::Type};
use uuid::Uuid;

use crate::{
    Failure,
    events::{Events, TOPIC},
    place::{Place, connect},
    rate,
};

/// What an event of 100 bytes counts against the quota, and when it was stored.
const BYTES: i64 = 315;
const NOW: i64 = 1_800_000_000_000;
const BUCKETS: u16 = 16;

pub async fn run(place: &Place, rows: usize, group: usize) -> Result<(), Failure> {
    // It makes the tables.
    place.open().await?.close().await?;
    let (events, page) = (Events::new(), PageLimits::default().rows);
    let (inserted, deleted) = match place {
        Place::Sqlite(path) => {
            let connection = sqlite(path)?;
            (sqlite_insert(&connection, &events, rows, group)?, sqlite_delete(&connection, rows, page)?)
        }
        Place::Postgres(url) => {
            let client = connect(url).await?;
            client
                .batch_execute(
                    "SET jit = off; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off",
                )
                .await?;
            (copy(&client, &events, rows, group).await?, delete(&client, &events, rows, page).await?)
        }
    };
    println!("inserted={inserted:.0} deleted={deleted:.0}");
    Ok(())
}

fn sqlite(path: &Path) -> Result<Connection, Failure> {
    let connection = Connection::open(path)?;
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000; PRAGMA cache_size = -16384")?;
    Ok(connection)
}

fn sqlite_insert(connection: &Connection, events: &Events, rows: usize, group: usize) -> Result<f64, Failure> {
    let start = Instant::now();
    for from in (0..rows).step_by(group) {
        let transaction = connection.unchecked_transaction()?;
        let mut insert = transaction.prepare_cached(
            "INSERT INTO failed_kafka_events (seq, slot, bytes, created_at, updated_at, event_id, topic, event_key, payload) \
             VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8)",
        )?;
        for number in from..rows.min(from + group) {
            let (seq, id) = (i64::try_from(number)? + 1, Uuid::now_v7().to_string());
            let slot = i64::try_from(number % SLOTS)?;
            insert.execute(params![seq, slot, BYTES, NOW, id, TOPIC, events.key(number), events.value(number)])?;
        }
        drop(insert);
        transaction.commit()?;
    }
    Ok(rate(rows, start))
}

fn sqlite_delete(connection: &Connection, rows: usize, group: usize) -> Result<f64, Failure> {
    let start = Instant::now();
    for from in (0..rows).step_by(group) {
        let transaction = connection.unchecked_transaction()?;
        let mut delete = transaction.prepare_cached("DELETE FROM failed_kafka_events WHERE seq = ?1")?;
        for number in from..rows.min(from + group) {
            delete.execute([i64::try_from(number)? + 1])?;
        }
        drop(delete);
        transaction.commit()?;
    }
    Ok(rate(rows, start))
}

const COPY: &str = "COPY failed_kafka_events (seq, bucket, slot, bytes, created_at, updated_at, event_id, topic, event_key, payload) \
     FROM STDIN BINARY";
const TYPES: [Type; 10] = [
    Type::INT8,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::UUID,
    Type::TEXT,
    Type::BYTEA,
    Type::BYTEA,
];
const DELETE: &str = "DELETE FROM failed_kafka_events e USING unnest($1::smallint[], $2::bigint[]) AS r (bucket, seq) \
     WHERE e.bucket = r.bucket AND e.seq = r.seq";

/// Slot, bucket and number, as the store has them, so that the index is used alike.
fn row(events: &Events, number: usize) -> (i32, i16, i64) {
    let slot = slot_of(TOPIC, Some(events.key(number)), &Uuid::nil());
    let bucket = i16::try_from(bucket_of(slot, BUCKETS)).unwrap_or(0);
    (i32::from(slot), bucket, i64::try_from(number).unwrap_or(0) + 1)
}

async fn copy(client: &Client, events: &Events, rows: usize, group: usize) -> Result<f64, Failure> {
    let statement = client.prepare(COPY).await?;
    let start = Instant::now();
    for from in (0..rows).step_by(group) {
        client.batch_execute("BEGIN").await?;
        let mut writer = pin!(BinaryCopyInWriter::new(client.copy_in(&statement).await?, &TYPES));
        for number in from..rows.min(from + group) {
            let (slot, bucket, seq) = row(events, number);
            let (key, value, id) = (events.key(number), events.value(number), Uuid::now_v7());
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 10] =
                [&seq, &bucket, &slot, &BYTES, &NOW, &NOW, &id, &TOPIC, &key, &value];
            writer.as_mut().write(&values).await?;
        }
        writer.finish().await?;
        client.batch_execute("COMMIT").await?;
    }
    Ok(rate(rows, start))
}

async fn delete(client: &Client, events: &Events, rows: usize, group: usize) -> Result<f64, Failure> {
    let statement = client.prepare(DELETE).await?;
    let start = Instant::now();
    for from in (0..rows).step_by(group) {
        let places = (from..rows.min(from + group)).map(|number| {
            let (_, bucket, seq) = row(events, number);
            (bucket, seq)
        });
        let (buckets, seqs): (Vec<i16>, Vec<i64>) = places.unzip();
        client.execute(&statement, &[&buckets, &seqs]).await?;
    }
    Ok(rate(rows, start))
}
