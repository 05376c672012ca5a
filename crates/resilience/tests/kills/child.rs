//! The process that publishes, from inside.
//!
//! In: an [`Order`]. Out: events in a topic, in a store, and in a diary. It ends by being killed, or when the store is empty if it is told to
//! empty it.

use std::{io::Read, panic, path::PathBuf, process, sync::Arc, thread, time::Duration};

use milena::Persisted;
use milena::{Header, Interceptor, Producer, Record};
use milena_resilience::{
    breaker::BreakerConfig,
    publisher::{Mode, Order as KeyOrder, Publication, PublishError, ResilientPublisher},
    relay::{RelayConfig, Schedule},
    retry::POSSIBLE_DUPLICATE,
    store::{NewEvent, Store, sqlite::SqliteStore},
};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, time::sleep};
use uuid::Uuid;

use crate::{
    diary::Diary,
    disk::{self, Fill},
    judge::Answer,
};

/// The header that tells when a record was given to a producer.
pub(crate) const SENT: &str = "sentAt";
/// The largest batch of the topic. Some events are larger.
pub(crate) const MAX_BATCH: &str = "10000";
/// The numbers of a life begin with that of the life times this.
const NUMBERS: u64 = 1_000_000;
/// After so many calls a life, which then waits for something that takes long, makes fewer.
const CALLS: u64 = 2_000;
/// How many calls are open at a time.
const OPEN_CALLS: usize = 64;

/// What a process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) task: Task,
    pub(crate) bootstrap: String,
    pub(crate) topic: String,
    pub(crate) store: PathBuf,
    pub(crate) diary: PathBuf,
    /// Which life it is, from 1.
    pub(crate) life: u64,
    pub(crate) writes_ahead: bool,
    /// Whether another process publishes at the same time. Then no key is shared: only calls of one process have an order.
    pub(crate) is_second: bool,
    pub(crate) pause_ms: u64,
    pub(crate) sabotage: Option<Sabotage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Publish until it is killed.
    Publish,
    /// Publish a little, and wait until the store is empty.
    Drain,
    /// Publish while the disk is full.
    FullDisk(Fill),
}

/// What is done wrong on purpose, to see that the judge finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sabotage {
    /// The rows of the store are removed.
    Rows,
    /// Repetitions are not marked.
    Flags,
    /// Events have no order.
    Order,
}

/// Carries out an order.
pub(crate) fn run(order: &Order) {
    // A task that panics would look like one that was interrupted.
    panic::set_hook(Box::new(|info| {
        eprintln!("{info}");
        process::abort();
    }));
    end_with_the_test();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match order.task {
            Task::Publish => publish(order).await,
            Task::Drain => drain(order).await,
            Task::FullDisk(fill) => disk::run(order, fill).await,
        }
    });
}

/// Stdin is closed when the test ends, however it does.
fn end_with_the_test() {
    thread::spawn(|| {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        process::abort();
    });
}

async fn publish(order: &Order) {
    let store = Arc::new(SqliteStore::builder(&order.store).reserve(1 << 20).open().await.unwrap());
    let publisher = publisher(order, store).await;
    let diary = Arc::new(Diary::create(&order.diary));
    let open_calls = Arc::new(Semaphore::new(OPEN_CALLS));
    for count in 0.. {
        let open = Arc::clone(&open_calls).acquire_owned().await.unwrap();
        let (number, event) = event(order, count);
        diary.called(number, &String::from_utf8_lossy(event.key.as_ref().unwrap()));
        let (answer, diary) = (publisher.publish_async(event), Arc::clone(&diary));
        tokio::spawn(async move {
            diary.told(number, answer_of(&answer.await.unwrap()));
            drop(open);
        });
        let pause_ms = if count < CALLS { order.pause_ms } else { 10 };
        if pause_ms > 0 {
            sleep(Duration::from_millis(pause_ms)).await;
        }
    }
}

async fn drain(order: &Order) {
    let store = Arc::new(SqliteStore::builder(&order.store).reserve(1 << 20).open().await.unwrap());
    let publisher = publisher(order, store.clone()).await;
    let diary = Diary::create(&order.diary);
    for count in 0..20 {
        let (number, event) = event(order, count);
        call(&publisher, &diary, number, event).await;
    }
    await_empty(&store).await;
    publisher.close().await;
    store.close().await.unwrap();
}

/// Publishes an event, and writes down that it does, and what it is told.
pub(crate) async fn call(publisher: &ResilientPublisher, diary: &Diary, number: u64, event: NewEvent) {
    diary.called(number, &String::from_utf8_lossy(event.key.as_ref().unwrap()));
    diary.told(number, answer_of(&publisher.publish_async(event).await.unwrap()));
}

/// Waits until the relay has nothing more to publish.
pub(crate) async fn await_empty(store: &SqliteStore) {
    while store.stats().await.unwrap().unsettled() > 0 {
        sleep(Duration::from_millis(20)).await;
    }
}

/// A publisher that gives up soon, so that much happens in a second.
pub(crate) async fn publisher(order: &Order, store: Arc<SqliteStore>) -> ResilientPublisher {
    let ms = Duration::from_millis;
    let stamp = Stamp { without_flags: order.sabotage == Some(Sabotage::Flags) };
    let producer = Producer::builder(&order.bootstrap).linger(ms(0)).max_block(ms(500)).interceptor(stamp);
    let producer = producer.request_timeout(ms(400)).delivery_timeout(ms(500)).build().await.unwrap();
    let breaker = BreakerConfig::consecutive_failures(5)
        .wait_duration_in_open_state(ms(200))
        .max_wait_duration_in_open_state(ms(400));
    let schedule = Schedule::default().waits([10, 50, 100].map(ms)).outage_wait(ms(50));
    let relay = RelayConfig::default().lease(ms(100)).interval(ms(200)).schedule(schedule);
    let publisher = ResilientPublisher::builder(Arc::new(producer), store)
        .breaker(breaker)
        .relay(relay)
        .order_wait(ms(50))
        // Longer than the producer takes.
        .hold(ms(1_200))
        .mode(if order.writes_ahead { Mode::WriteAhead } else { Mode::OnFailure })
        .order(if order.sabotage == Some(Sabotage::Order) { KeyOrder::None } else { KeyOrder::PerKey });
    publisher.start().await.unwrap()
}

/// The event of a life's call, and its number, by which it is found again.
fn event(order: &Order, count: u64) -> (u64, NewEvent) {
    // Keys that all lives share have stored events most of the time. Those of one life are mostly published directly.
    let is_shared = !order.is_second && count % 8 < 4;
    let key = if is_shared { format!("shared-{}", count % 4) } else { format!("life-{}-{}", order.life, count % 128) };
    let padding = if count % 50 == 29 { 20_000 } else { 20 };
    numbered(order, count, &key, padding)
}

/// An event of this size.
pub(crate) fn numbered(order: &Order, count: u64, key: &str, padding: usize) -> (u64, NewEvent) {
    let number = order.life * NUMBERS + count;
    let value = format!("{number} {}", "x".repeat(padding));
    (number, NewEvent::new(Uuid::from_u128(number.into()), &order.topic, value).key(key))
}

fn answer_of(result: &Result<Publication, PublishError>) -> Answer {
    match result {
        Ok(Publication::Published { .. }) => Answer::Published,
        Ok(Publication::Stored { .. }) => Answer::Stored,
        Err(error) if error.persisted() == Persisted::No => Answer::NotWritten,
        Err(_) => Answer::Unknown,
    }
}

/// Puts the time into each record that is sent.
struct Stamp {
    without_flags: bool,
}

impl Interceptor for Stamp {
    fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
        let record = if self.without_flags { record.without_header(POSSIBLE_DUPLICATE) } else { record };
        let now = clock_gettime(ClockId::Monotonic);
        let nanos = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap()).as_nanos();
        record.with_header(Header::owned(SENT, nanos.to_string()))
    }
}
