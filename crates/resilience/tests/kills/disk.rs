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

use milena_resilience::{
    publisher::ResilientPublisher,
    store::{Store, sqlite::SqliteStore},
};

use serde::{Deserialize, Serialize};

use crate::{
    child::{Order, await_empty, call, numbered, publisher},
    diary::Diary,
};

/// More free pages than the events of a step need.
const PAGES: u64 = 24;
const PAGE: usize = 4_096;
const RESERVE: u64 = 256 << 10;
/// The events of a step, and their size in bytes.
const EVENTS: u64 = 3;
const SIZE: usize = 9_000;

/// How a process fills its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fill {
    /// What the store keeps to settle events with.
    reserve: u64,
    /// Whether the publisher is closed when there is room again, or before.
    closes_with_room: bool,
    /// The first number of free pages. Each second one is the process's.
    first: u64,
}

impl Fill {
    pub(crate) const ALL: [Self; 4] = [
        Self { reserve: 0, closes_with_room: true, first: 0 },
        Self { reserve: 0, closes_with_room: false, first: 1 },
        Self { reserve: RESERVE, closes_with_room: false, first: 0 },
        Self { reserve: RESERVE, closes_with_room: true, first: 1 },
    ];
}

pub(crate) async fn run(order: &Order, fill: Fill) {
    let (diary, mut events) = (Diary::create(&order.diary), 0..);
    for pages in (fill.first..PAGES).step_by(2) {
        step(order, fill, &diary, &mut events, pages).await;
        empty(order).await;
    }
}

/// Publishes some events with so many free pages, with a new store.
async fn step(order: &Order, fill: Fill, diary: &Diary, events: &mut impl Iterator<Item = u64>, pages: u64) {
    let store = Arc::new(SqliteStore::builder(&order.store).reserve(fill.reserve).open().await.unwrap());
    let publisher = publisher(order, Arc::clone(&store)).await;
    if !order.writes_ahead {
        // As if Kafka were away: each event is stored.
        publisher.breaker().force_open(Instant::now());
    }
    if fill.reserve > 0 {
        // The reserve is written with the first event, while there is room.
        publish(order, diary, &publisher, events.next()).await;
    }
    let ballast = Ballast::leave(order.store.with_file_name("ballast"), pages);
    for _ in 0..EVENTS {
        publish(order, diary, &publisher, events.next()).await;
    }
    let ballast = (!fill.closes_with_room).then_some(ballast);
    publisher.close().await;
    store.close().await.unwrap();
    drop(ballast);
}

async fn publish(order: &Order, diary: &Diary, publisher: &ResilientPublisher, count: Option<u64>) {
    let (number, event) = numbered(order, count.unwrap(), &format!("life-{}", order.life), SIZE);
    call(publisher, diary, number, event).await;
}

/// Opens the store again now that there is room, publishes what is in it, and removes it.
async fn empty(order: &Order) {
    let store = Arc::new(SqliteStore::builder(&order.store).reserve(0).open().await.unwrap());
    let publisher = publisher(order, Arc::clone(&store)).await;
    await_empty(&store).await;
    publisher.close().await;
    store.close().await.unwrap();
    drop((publisher, store));
    for file in fs::read_dir(order.store.parent().unwrap()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
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
