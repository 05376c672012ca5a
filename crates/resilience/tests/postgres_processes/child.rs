//! The process that publishes.
//!
//! In: its orders, by the environment. Out: a line for each call and each answer, and how much its relay has published. When its input
//! ends, it publishes nothing new, gives its lease back, and ends.

use std::{
    env,
    io::{Read, Write},
    sync::Arc,
    time::Duration,
};

use milena::{Persisted, Producer};
use milena_resilience::{
    breaker::BreakerConfig,
    event::EventId,
    publisher::{Mode, Publication, PublishError, ResilientPublisher},
    relay::{RelayConfig, Schedule},
    store::{NewEvent, Store, StoreErrorKind, postgres::PostgresStore},
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

pub(crate) const TOPIC: &str = "orders";
/// How long a lease lasts: after that, another process takes over. It is longer than a call of the store takes on a busy machine.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// How often the store is opened, if the server does not answer in time.
const OPENINGS: usize = 20;
/// How many keys there are.
const KEYS: u64 = 200;

/// What the process is told.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) database: String,
    pub(crate) schema: String,
    pub(crate) bootstrap: String,
    /// Its name.
    pub(crate) owner: String,
    /// The first event's number.
    pub(crate) from: u64,
    pub(crate) writes_ahead: bool,
}

const NAMES: [&str; 6] = ["PG_DATABASE", "PG_SCHEMA", "PG_BOOTSTRAP", "PG_OWNER", "PG_FROM", "PG_WRITES_AHEAD"];

impl Order {
    /// As names and values of the environment.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        let Self { database, schema, bootstrap, owner, from, writes_ahead } = self.clone();
        NAMES.into_iter().zip([database, schema, bootstrap, owner, from.to_string(), writes_ahead.to_string()])
    }

    /// The order of this process, if it has one.
    pub(crate) fn given() -> Option<Self> {
        let [database, schema, bootstrap, owner, from, ahead] = NAMES.map(|name| env::var(name).ok());
        let (from, writes_ahead) = (from?.parse().ok()?, ahead?.parse().ok()?);
        Some(Self { database: database?, schema: schema?, bootstrap: bootstrap?, owner: owner?, from, writes_ahead })
    }

    /// The store, also on a machine that is so busy that the server does not answer in time.
    async fn store(&self) -> PostgresStore {
        let opening = PostgresStore::builder(&self.database).schema(&self.schema).timeout(Duration::from_secs(5));
        for _ in 0..OPENINGS {
            match opening.clone().open().await {
                Err(error) if error.kind() == StoreErrorKind::Unavailable => eprintln!("trying again: {error}"),
                opened => return opened.unwrap(),
            }
        }
        panic!("the store cannot be opened {OPENINGS} times in a row");
    }

    /// A publisher that does as ordered, and its store.
    pub(crate) async fn publisher(&self) -> (ResilientPublisher, Arc<PostgresStore>) {
        let ms = Duration::from_millis;
        let producer = Producer::builder(&self.bootstrap).linger(ms(0)).max_block(ms(400)).request_timeout(ms(200));
        let producer = producer.delivery_timeout(ms(400)).build().await.unwrap();
        let store = Arc::new(self.store().await);
        let breaker = BreakerConfig::consecutive_failures(3).wait_duration_in_open_state(ms(100));
        // The broker comes and goes all the time, and the relay has to use what there is of it.
        let breaker = breaker.max_wait_duration_in_open_state(ms(100));
        let relay = RelayConfig::default().lease(LEASE).interval(ms(100)).schedule(Schedule::default().faster(600));
        let publisher = ResilientPublisher::builder(Arc::new(producer), Arc::clone(&store) as Arc<dyn Store>)
            .mode(if self.writes_ahead { Mode::WriteAhead } else { Mode::OnFailure })
            .hold(ms(1_000))
            .breaker(breaker)
            .relay(relay.shutdown(ms(2_000)))
            .owner(&self.owner);
        (publisher.start().await.unwrap(), store)
    }
}

/// The process.
pub(crate) async fn publish(order: &Order) {
    let (publisher, _) = order.publisher().await;
    let (mut ticks, mut states) = (interval(Duration::from_millis(4)), interval(Duration::from_millis(20)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut number, mut calls, mut stopped) = (order.from, JoinSet::new(), stdin_is_closed());
    loop {
        tokio::select! {
            _ = ticks.tick(), if calls.len() < 1_000 => {
                say("called", number);
                let handle = publisher.publish_async(event(number));
                calls.spawn(async move { (number, handle.await.unwrap()) });
                number += 1;
            }
            Some(ended) = calls.join_next() => tell(ended.unwrap()),
            _ = states.tick() => say("drained", publisher.relay_stats().resolved),
            _ = &mut stopped => break,
        }
    }
    while let Some(ended) = calls.join_next().await {
        tell(ended.unwrap());
    }
    publisher.close().await;
    say("drained", publisher.relay_stats().resolved);
}

fn event(number: u64) -> NewEvent {
    NewEvent::new(EventId::new(), TOPIC, number.to_string()).key(format!("user-{}", number % KEYS))
}

fn tell((number, result): (u64, Result<Publication, PublishError>)) {
    let word = match &result {
        Ok(Publication::Published { .. }) => "published",
        Ok(Publication::Stored { .. }) => "stored",
        Err(error) if error.persisted() == Persisted::No => "refused",
        Err(_) => "doubtful",
    };
    say(word, number);
}

/// A line, at once and whole.
fn say(word: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    // Whoever has started this process may have gone.
    let _ = out.write_all(format!("\n{word} {number}\n").as_bytes()).and_then(|()| out.flush());
}

fn stdin_is_closed() -> tokio::sync::oneshot::Receiver<()> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Whatever is said, its end counts.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = sender.send(());
    });
    receiver
}
