//! A database, a broker that comes and goes, and the processes that publish.
//!
//! In: what happens to them. Out: what is wrong in the end.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader},
    process::{self, ChildStdin, Command, Stdio},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use milena::broker::{Api, EmbeddedBroker, Fault};
use milena_resilience::{
    retry::POSSIBLE_DUPLICATE,
    store::{Filter, Seq, Status, Store, StoredEvent, postgres::PostgresStore},
};
use milena_test_support::postgres::Postgres;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_postgres::{Client, NoTls};

use crate::{
    child::{Order, TOPIC},
    judge::{Arrival, Told, Wrong, judge},
};

/// The server of all tests that do not kill it.
pub(crate) static SERVER: LazyLock<Postgres> = LazyLock::new(Postgres::start);

/// Waits until something is so. A test that would wait for ever fails.
pub(crate) async fn until(is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_mins(4), waiting).await.expect("it becomes so");
}

/// What the broker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// It comes and goes.
    Changing,
    /// It stays away.
    Away,
    /// It stays.
    Fair,
}

/// What a test has.
pub(crate) struct World<'a> {
    pub(crate) server: &'a Postgres,
    broker: Arc<EmbeddedBroker>,
    weather: watch::Sender<Weather>,
    schema: String,
    pub(crate) told: Arc<Mutex<Told>>,
    processes: AtomicU64,
}

impl<'a> World<'a> {
    /// With the tables, and a broker that comes and goes, and whose responses take a while.
    pub(crate) async fn start(server: &'a Postgres) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let schema = format!("processes_{}", COUNT.fetch_add(1, Ordering::SeqCst));
        let broker = Arc::new(EmbeddedBroker::builder().topic(TOPIC, 1).start().await.unwrap());
        broker.inject(Fault::delay_response(Duration::from_millis(20)).on(Api::Produce).forever());
        let (weather, its_broker) = (watch::Sender::new(Weather::Changing), Arc::clone(&broker));
        let mut wanted = weather.subscribe();
        tokio::spawn(async move {
            loop {
                let _ = wanted.wait_for(|weather| *weather != Weather::Fair).await;
                its_broker.pause(1).unwrap();
                // Longer than a delivery may take, so that events are stored.
                sleep(Duration::from_millis(700)).await;
                let _ = wanted.wait_for(|weather| *weather != Weather::Away).await;
                its_broker.resume(1).unwrap();
                sleep(Duration::from_millis(500)).await;
            }
        });
        let (told, processes) = (Arc::default(), AtomicU64::new(0));
        let world = Self { server, broker, weather, schema, told, processes };
        world.store().await.close().await.unwrap();
        world
    }

    /// Has the broker come and go, or not.
    pub(crate) fn set_weather(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    pub(crate) fn told<T>(&self, what: impl FnOnce(&Told) -> T) -> T {
        what(&self.told.lock().unwrap())
    }

    async fn store(&self) -> PostgresStore {
        PostgresStore::builder(self.server.url()).schema(&self.schema).open().await.unwrap()
    }

    /// Carries out statements in the schema, as anybody can.
    pub(crate) async fn sql(&self, sql: &str) {
        self.connect().await.batch_execute(sql).await.unwrap();
    }

    async fn connect(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.server.url(), NoTls).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        client.batch_execute(&format!("SET search_path = {}", self.schema)).await.unwrap();
        client
    }

    /// How many buckets a process has.
    pub(crate) async fn buckets(&self, process: &Process) -> i64 {
        let sql = "SELECT count(*) FROM outbox_leases WHERE token <> 0 AND owner = $1";
        self.connect().await.query_one(sql, &[&process.name]).await.unwrap().get(0)
    }

    fn order(&self) -> Order {
        let number = self.processes.fetch_add(1, Ordering::SeqCst);
        Order {
            database: self.server.url(),
            schema: self.schema.clone(),
            bootstrap: self.broker.bootstrap_servers(),
            owner: format!("process {number}"),
            from: number * 1_000_000,
            writes_ahead: number % 3 == 1,
        }
    }

    /// Starts this binary again as a process that publishes.
    pub(crate) fn publish(&self) -> Process {
        let order = self.order();
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .envs(order.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let (told, name) = (Arc::clone(&self.told), order.owner.clone());
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                told.lock().unwrap().take(&name, &line);
            }
        });
        Process { name: order.owner, child, input, reading: Some(reading) }
    }

    /// Waits until the store has nothing to publish, and says what is wrong then.
    pub(crate) async fn judge(&self) -> Vec<Wrong> {
        self.set_weather(Weather::Fair);
        let order = Order { writes_ahead: false, ..self.order() };
        let (publisher, store) = order.publisher().await;
        let waiting = Filter::new().status(Status::Pending).status(Status::Retrying);
        until(async || store.list(waiting.clone(), Seq::START, 1).await.is_ok_and(|rows| rows.is_empty())).await;
        publisher.close().await;
        let rows = store.list(Filter::new(), Seq::START, usize::MAX).await.unwrap();
        let rows: BTreeSet<u64> = rows.iter().filter_map(number_of).collect();
        let arrivals: Vec<Arrival> = self.arrivals();
        self.told(|told| {
            let flagged = arrivals.iter().filter(|arrival| arrival.is_flagged).count();
            let (calls, stored, left) = (told.called.len(), told.stored.len(), told.interrupted());
            println!("{calls} calls, {stored} stored, {left} without an answer; {flagged} records with a flag");
            judge(told, &arrivals, &rows)
        })
    }

    fn arrivals(&self) -> Vec<Arrival> {
        let logs = [TOPIC.to_owned(), format!("{TOPIC}.dlq")].map(|topic| self.broker.log(&topic, 0)).concat();
        let number = |value: &[u8]| str::from_utf8(value).ok()?.parse().ok();
        let arrival = |record: &milena::broker::StoredRecord| {
            let is_flagged = record.headers.iter().any(|(name, _)| name == POSSIBLE_DUPLICATE);
            Some(Arrival { number: number(record.value.as_deref()?)?, is_flagged })
        };
        logs.iter().filter_map(arrival).collect()
    }
}

fn number_of(event: &StoredEvent) -> Option<u64> {
    str::from_utf8(event.payload.as_deref()?).ok()?.parse().ok()
}

/// A process that publishes. Dropping it kills it.
pub(crate) struct Process {
    pub(crate) name: String,
    child: process::Child,
    input: Option<ChildStdin>,
    reading: Option<JoinHandle<()>>,
}

impl Process {
    /// How many stored events its relay has published.
    pub(crate) fn drained(&self, world: &World<'_>) -> u64 {
        world.told(|told| told.drained.get(&self.name).copied().unwrap_or(0))
    }

    /// Stops it, or lets it go on.
    pub(crate) fn freeze(&self, freeze: bool) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, if freeze { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    /// Has it publish nothing new, and end.
    pub(crate) async fn end(mut self) {
        drop(self.input.take());
        until(async || self.reading.as_ref().is_none_or(JoinHandle::is_finished)).await;
        assert!(self.child.wait().unwrap().success(), "{} has failed", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What it said before it died counts.
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
    }
}
