//! Measures the store in PostgreSQL against plain loops on one connection: `postgres_bench CONNECTION [ROWS] [PUBLISHERS] [ROUNDS]`.
//!
//! In: how to connect, how many events of 100 bytes (default 100,000), how many tasks store them (default 1,000), how often (default
//! 5). It makes the schema `milena_bench`, and drops it. Out: events per second that were stored, read and settled, beside the floor: one
//! connection that only copies rows, or only deletes them, in transactions of the size that the store had, into the same table.

use std::{env, error::Error, pin::pin, sync::Arc, time::Instant};

use milena_resilience::store::{
    Change, NewEvent, Outcome, PageLimits, Quota, Seq, Store, StoreError, bucket_of, postgres::PostgresStore,
};
use tokio_postgres::{Client, NoTls, binary_copy::BinaryCopyInWriter, types::Type};
use uuid::Uuid;

const LEASE: std::time::Duration = std::time::Duration::from_mins(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let connection = args.next().ok_or("expected a connection string, such as \"host=localhost user=app\"")?;
    let rows = args.next().map_or(Ok(100_000), |rows| rows.parse())?;
    let publishers = args.next().map_or(Ok(1_000), |publishers| publishers.parse())?;
    let rounds = args.next().map_or(Ok(5), |rounds| rounds.parse())?;
    println!("{rows} events of 100 bytes, {publishers} publishers");
    let mut measured = Vec::new();
    for _ in 0..rounds {
        measured.push(measure(&connection, rows, publishers).await?);
    }
    for (what, rate, floor) in [("stored", 0, 1), ("settled", 2, 3)] {
        let median = |value: &dyn Fn(&[f64; 4]) -> f64| median(measured.iter().map(value).collect());
        let (stored, bound) = (median(&|round| round[rate]), median(&|round| round[floor]));
        let share = median(&|round| round[rate] / round[floor] * 100.0);
        println!("median {what:>8}: {stored:>7.0}/s, floor {bound:>7.0}/s, {share:.0} % of the same round's");
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Stored and its floor, settled and its floor, in events per second.
async fn measure(connection: &str, rows: usize, publishers: usize) -> Result<[f64; 4], Box<dyn Error>> {
    let floor = Floor::open(connection).await?;
    let quota = Quota { max_rows: u64::MAX, max_bytes: u64::MAX };
    let store = Arc::new(PostgresStore::builder(connection).schema("milena_bench").quota(quota).open().await?);
    let stored = timed(rows, store_all(&store, rows, publishers)).await?;
    let group = rows / usize::try_from(floor.commits().await?)?.max(1);
    let drained = timed(rows, drain(&store)).await?;
    store.close().await?;
    let inserted = timed(rows, floor.insert(rows, group.max(1))).await?;
    let deleted = timed(rows, floor.delete(rows, PageLimits::default().rows)).await?;
    floor.0.batch_execute("DROP SCHEMA milena_bench CASCADE").await?;
    print!("{group:>5} events a commit: stored {stored:>7.0}/s, floor {inserted:>7.0}/s; ");
    println!("read and settled {drained:>7.0}/s, floor {deleted:>7.0}/s");
    Ok([stored, inserted, drained, deleted])
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
async fn timed(rows: usize, work: impl Future<Output = Result<(), Box<dyn Error>>>) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    work.await?;
    Ok(rows as f64 / start.elapsed().as_secs_f64())
}

fn event(number: usize) -> NewEvent {
    NewEvent::new(Uuid::now_v7(), "orders", vec![b'x'; 100]).key(format!("user-{}", number % 10_000))
}

async fn store_all(store: &Arc<PostgresStore>, rows: usize, publishers: usize) -> Result<(), Box<dyn Error>> {
    let publish = |publisher| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for number in (publisher..rows).step_by(publishers) {
                store.insert(vec![event(number)]).await?;
            }
            Ok::<(), StoreError>(())
        })
    };
    let tasks: Vec<_> = (0..publishers).map(publish).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// As the relay does it: reads a page, says that it is sent, settles it; the next page is read in the meantime.
async fn drain(store: &PostgresStore) -> Result<(), Box<dyn Error>> {
    let lease = store.acquire("bench", LEASE, u16::MAX).await?.ok_or("the leases are taken")?;
    let mut page = store.page(&lease, Seq::START, PageLimits::default()).await?;
    while !page.events.is_empty() {
        let outcomes = page.events.iter().map(|event| Outcome::of(event, Change::Resolved)).collect();
        let settle = store.settle(&lease, outcomes);
        let next = store.page(&lease, page.last(), PageLimits::default());
        let (settled, read) = tokio::join!(settle, next);
        settled?;
        page = read?;
    }
    store.release(&lease).await?;
    Ok(())
}

/// The plain loops.
struct Floor(Client);

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

impl Floor {
    async fn open(connection: &str) -> Result<Self, Box<dyn Error>> {
        let (client, task) = tokio_postgres::connect(connection, NoTls).await?;
        tokio::spawn(async move { drop(task.await) });
        let settings = "DROP SCHEMA IF EXISTS milena_bench CASCADE; SET search_path = milena_bench; SET jit = off; \
            SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";
        client.batch_execute(settings).await?;
        Ok(Self(client))
    }

    async fn commits(&self) -> Result<i64, Box<dyn Error>> {
        let sql = "SELECT sum(commits)::bigint FROM outbox_counters";
        Ok(self.0.query_one(sql, &[]).await?.try_get(0)?)
    }

    /// In the buckets that the store has as well, so that the index is used alike.
    fn place(number: usize) -> (i16, i64) {
        let event = event(number);
        (i16::try_from(bucket_of(event.slot(), 16)).unwrap_or(0), i64::try_from(number).unwrap_or(0) + 1)
    }

    async fn insert(&self, rows: usize, group: usize) -> Result<(), Box<dyn Error>> {
        let copy = self.0.prepare(COPY).await?;
        for from in (0..rows).step_by(group) {
            self.0.batch_execute("BEGIN").await?;
            let mut writer = pin!(BinaryCopyInWriter::new(self.0.copy_in(&copy).await?, &TYPES));
            for number in from..rows.min(from + group) {
                let ((bucket, seq), now) = (Self::place(number), 1_800_000_000_000_i64);
                let (key, payload) = (format!("user-{}", number % 10_000).into_bytes(), vec![b'x'; 100]);
                let slot = i32::from(bucket) << 12;
                let id = Uuid::now_v7();
                writer
                    .as_mut()
                    .write(&[&seq, &bucket, &slot, &310_i64, &now, &now, &id, &"orders", &key, &payload])
                    .await?;
            }
            writer.finish().await?;
            self.0.batch_execute("COMMIT").await?;
        }
        Ok(())
    }

    async fn delete(&self, rows: usize, group: usize) -> Result<(), Box<dyn Error>> {
        let delete = self.0.prepare(DELETE).await?;
        for from in (0..rows).step_by(group) {
            let places = (from..rows.min(from + group)).map(Self::place);
            let (buckets, seqs): (Vec<i16>, Vec<i64>) = places.unzip();
            self.0.execute(&delete, &[&buckets, &seqs]).await?;
        }
        Ok(())
    }
}
