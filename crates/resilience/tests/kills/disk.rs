//! Publishing while the disk is full, from inside the process: after so many pages, for each number of pages.
//!
//! In: a store on a small disk. Out: events as in every other life. The whole disk is taken by a file but for a few pages, so each write that
//! needs a new page is once the one that fails.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use milena_resilience::store::{Store, sqlite::SqliteStore};

use crate::{
    child::{Order, await_empty, call, numbered, publisher},
    diary::Diary,
};

/// More free pages than the events of a step need.
const PAGES: u64 = 48;
const PAGE: usize = 4_096;
/// The events of a step, and their size in bytes.
const EVENTS: u64 = 6;
const SIZE: usize = 3_000;

pub(crate) async fn fill(order: &Order) {
    let diary = Diary::create(&order.diary);
    let mut count = 0;
    for writes_ahead in [false, true] {
        let order = Order { writes_ahead, ..order.clone() };
        for reserve in [0, 256 << 10] {
            for pages in 0..PAGES {
                step(&order, &diary, &mut count, reserve, pages).await;
            }
        }
        let store = Arc::new(SqliteStore::builder(&order.store).reserve(0).open().await.unwrap());
        let publisher = publisher(&order, Arc::clone(&store)).await;
        await_empty(&store).await;
        publisher.close().await;
        store.close().await.unwrap();
    }
}

/// Publishes some events with so many free pages, by a publisher of its own: each opens the store again.
async fn step(order: &Order, diary: &Diary, count: &mut u64, reserve: u64, pages: u64) {
    let store = Arc::new(SqliteStore::builder(&order.store).reserve(reserve).open().await.unwrap());
    let publisher = publisher(order, Arc::clone(&store)).await;
    if !order.writes_ahead {
        // As if Kafka were away: each event is stored.
        publisher.breaker().force_open(Instant::now());
    }
    let mut events = (0..=EVENTS).map(|event| {
        *count += 1;
        numbered(order, *count, &format!("disk-{event}"), SIZE)
    });
    // There is room for the first event, and for the store's reserve.
    let (number, event) = events.next().unwrap();
    call(&publisher, diary, number, event).await;
    let ballast = Ballast::leave(order.store.with_file_name("ballast"), pages);
    for (number, event) in events {
        call(&publisher, diary, number, event).await;
    }
    // The publisher is closed when there is room again, or before.
    let ballast = (!pages.is_multiple_of(2)).then_some(ballast);
    publisher.close().await;
    store.close().await.unwrap();
    drop(ballast);
}

/// A file that takes the room.
struct Ballast(PathBuf);

impl Ballast {
    /// Takes all of the disk but for so many pages.
    fn leave(path: PathBuf, pages: u64) -> Self {
        let mut file = File::create(&path).unwrap();
        while file.write(&[0; PAGE]).is_ok_and(|written| written == PAGE) {}
        let taken = file.metadata().unwrap().len();
        file.set_len(taken.saturating_sub(pages * PAGE as u64)).unwrap();
        Self(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}
