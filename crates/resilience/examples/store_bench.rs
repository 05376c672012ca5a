//! Measures the store in a SQLite file against a plain loop on SQLite: `store_bench [ROWS] [PUBLISHERS] [ROUNDS] [FOLDER]`.
//!
//! In: how many events of 100 bytes (default 100,000), how many tasks store them (default 1,000), how often (default 5), where the files are. Out: events per
//! second that were stored, read and settled, beside the floor: one thread that only inserts, or only deletes, in transactions of
//! the size that the store had. 10,000,000 events show that memory stays as it is.

use std::{env, error::Error, fs, path::Path, sync::Arc, time::Instant};

use milena_resilience::store::{Change, NewEvent, Outcome, PageLimits, Quota, Seq, Store, sqlite::SqliteStore};
use rusqlite::{Connection, params};
use uuid::Uuid;

const LEASE: std::time::Duration = std::time::Duration::from_mins(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let rows = args.next().map_or(Ok(100_000), |rows| rows.parse())?;
    let publishers = args.next().map_or(Ok(1_000), |publishers| publishers.parse())?;
    let rounds = args.next().map_or(Ok(5), |rounds| rounds.parse())?;
    let folder = args.next().map_or_else(env::temp_dir, Into::into).join(format!("store-bench-{}", std::process::id()));
    println!("{rows} events of 100 bytes, {publishers} publishers");
    let mut measured = Vec::new();
    for _ in 0..rounds {
        fs::create_dir(&folder)?;
        let round = measure(&folder, rows, publishers).await;
        fs::remove_dir_all(&folder)?;
        measured.push(round?);
    }
    for (what, rate, floor) in [("stored", 0, 1), ("read and settled", 2, 3)] {
        let median = |value: &dyn Fn(&[f64; 4]) -> f64| median(measured.iter().map(value).collect());
        let (stored, bound) = (median(&|round| round[rate]), median(&|round| round[floor]));
        let share = median(&|round| round[rate] / round[floor] * 100.0);
        println!("median {what:>16}: {stored:>7.0}/s, floor {bound:>7.0}/s, {share:.0} % of the same round's");
    }
    println!("{}", memory());
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Stored and its floor, settled and its floor, in events per second.
async fn measure(folder: &Path, rows: usize, publishers: usize) -> Result<[f64; 4], Box<dyn Error>> {
    let path = folder.join("store.db");
    let quota = Quota { max_rows: u64::MAX, max_bytes: u64::MAX };
    let store = Arc::new(SqliteStore::builder(&path).quota(quota).open().await?);
    let stored = timed(rows, store_all(&store, rows, publishers)).await?;
    let group = rows / usize::try_from(commits(&path)?)?.max(1);
    let counting = async {
        store.slots().await?;
        Ok(())
    };
    let slots = timed(rows, counting).await?;
    let drained = timed(rows, drain(&store)).await?;
    store.close().await?;
    let floor = Floor::open(&path)?;
    let (inserted, deleted) = (floor.insert(rows, group)?, floor.delete(rows, PageLimits::default().rows)?);
    print!("{group:>5} events a commit: stored {stored:>7.0}/s, floor {inserted:>7.0}/s; ");
    println!("read and settled {drained:>7.0}/s, floor {deleted:>7.0}/s; slots counted {slots:.0}/s");
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

async fn store_all(store: &Arc<SqliteStore>, rows: usize, publishers: usize) -> Result<(), Box<dyn Error>> {
    let publish = |publisher| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for number in (publisher..rows).step_by(publishers) {
                store.insert(vec![event(number)]).await?;
            }
            Ok::<(), milena_resilience::store::StoreError>(())
        })
    };
    let tasks: Vec<_> = (0..publishers).map(publish).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// As the relay does it: reads a page, says that it is sent, settles it; the next page is read in the meantime.
async fn drain(store: &SqliteStore) -> Result<(), Box<dyn Error>> {
    let lease = store.acquire("bench", LEASE, 1).await?.ok_or("the lease is taken")?;
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

fn commits(path: &Path) -> Result<i64, Box<dyn Error>> {
    Ok(Connection::open(path)?.query_row("SELECT commits FROM outbox_counters", [], |row| row.get(0))?)
}

/// The plain loop.
struct Floor(Connection);

impl Floor {
    fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        let connection = Connection::open(path)?;
        connection
            .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000; PRAGMA cache_size = -16384")?;
        Ok(Self(connection))
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn insert(&self, rows: usize, group: usize) -> Result<f64, Box<dyn Error>> {
        let start = Instant::now();
        for from in (0..rows).step_by(group.max(1)) {
            let transaction = self.0.unchecked_transaction()?;
            let mut statement = transaction.prepare_cached(
                "INSERT INTO failed_kafka_events (seq, slot, bytes, created_at, updated_at, event_id, topic, event_key, payload) \
                 VALUES (?1, ?2, 310, ?3, ?3, ?4, 'orders', ?5, ?6)",
            )?;
            for number in from..rows.min(from + group.max(1)) {
                let (seq, id) = (i64::try_from(number)?, Uuid::now_v7().to_string());
                let key = format!("user-{}", number % 10_000).into_bytes();
                statement.execute(params![seq + 1, seq % 65_536, 1_800_000_000_000_i64, id, key, vec![b'x'; 100]])?;
            }
            drop(statement);
            transaction.commit()?;
        }
        Ok(rows as f64 / start.elapsed().as_secs_f64())
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn delete(&self, rows: usize, group: usize) -> Result<f64, Box<dyn Error>> {
        let start = Instant::now();
        for from in (0..rows).step_by(group) {
            let transaction = self.0.unchecked_transaction()?;
            let mut statement = transaction.prepare_cached("DELETE FROM failed_kafka_events WHERE seq = ?1")?;
            for number in from..rows.min(from + group) {
                statement.execute([i64::try_from(number)? + 1])?;
            }
            drop(statement);
            transaction.commit()?;
        }
        Ok(rows as f64 / start.elapsed().as_secs_f64())
    }
}

/// The most memory that the process had, where the system tells it.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    format!("peak of memory {}", peak.map_or("unknown", str::trim))
}
