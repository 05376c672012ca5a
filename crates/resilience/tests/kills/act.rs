//! One act: a topic and a store of its own, processes that publish and are killed, and what is there in the end.
//!
//! In: real Kafka, a plan. Out: counts and violations. Kafka is healthy before and afterwards.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use milena::admin::{Admin, ConsumedRecord};
use milena_resilience::{
    retry::POSSIBLE_DUPLICATE,
    store::{Filter, Seq, Store, sqlite::SqliteStore},
};
use milena_test_support::kafka::RealKafka;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    child::{MAX_BATCH, Order, SENT, Sabotage, Task},
    diary,
    disk::Fill,
    judge::{Call, Counts, Entry, Remains, Violation, judge},
    plan::{End, Life, Plan, Weather},
    process::Process,
};

/// How long a lease may take to come to another process.
const TAKEOVER: Duration = Duration::from_secs(20);
/// How long a process is stopped at least: longer than its lease lasts, and longer than the relay leaves alone what it wrote ahead.
const STOPPED: Duration = Duration::from_millis(1_500);

/// What all acts share, one after the other.
pub(crate) struct Stage {
    kafka: RealKafka,
    runtime: Runtime,
    weather: Weather,
    acts: usize,
}

/// How an act ended.
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    pub(crate) kills: usize,
    /// How often a process was stopped until another one had its lease.
    pub(crate) overtaken: usize,
    pub(crate) violations: Vec<Violation>,
    remains: Remains,
    folder: TempDir,
}

impl Stage {
    pub(crate) fn prepare() -> Self {
        let kafka = RealKafka::start(1, &[("auto.create.topics.enable", "false")]);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { kafka, runtime, weather: Weather::Heal, acts: 0 }
    }

    /// Changes Kafka's weather.
    fn change(&mut self, weather: Weather) {
        match (self.weather, weather) {
            (_, Weather::Freeze) => self.kafka.freeze_node(0),
            (_, Weather::Kill) => self.kafka.kill_node(0),
            (Weather::Freeze, Weather::Heal) => self.kafka.thaw_node(0),
            (Weather::Kill, Weather::Heal) => self.kafka.start_node(0),
            (Weather::Heal, Weather::Heal) => {}
        }
        self.weather = weather;
    }

    /// Creates the topics of an act. An act that failed may have left Kafka ill.
    fn topic(&mut self) -> String {
        self.change(Weather::Heal);
        self.acts += 1;
        let topic = format!("kills-{}", self.acts);
        self.runtime.block_on(async {
            let mut admin = Admin::connect(&self.kafka.bootstrap_servers()).await.unwrap();
            admin.create_topic(&topic, 2, 1, &[("max.message.bytes", MAX_BATCH)]).await.unwrap();
            admin.create_topic(&format!("{topic}.dlq"), 2, 1, &[]).await.unwrap();
        });
        topic
    }

    /// The records of a topic, in the order of each partition.
    fn log(&self, topic: &str) -> Vec<Entry> {
        let mut records = self.runtime.block_on(async {
            let mut admin = Admin::connect(&self.kafka.bootstrap_servers()).await.unwrap();
            admin.read_all(topic).await.unwrap()
        });
        records.sort_by_key(|record| (record.partition, record.offset));
        records.iter().map(entry).collect()
    }

    /// The events that a reader finds in a store.
    fn rows(&self, store: &Path) -> BTreeSet<u64> {
        self.runtime.block_on(async {
            let store = SqliteStore::builder(store).must_exist().open().await.unwrap();
            let rows = store.list(Filter::new(), Seq::START, usize::MAX).await.unwrap();
            store.close().await.unwrap();
            rows.iter().map(|row| u64::try_from(row.event_id.as_u128()).unwrap()).collect()
        })
    }
}

fn entry(record: &ConsumedRecord) -> Entry {
    let number = |bytes: &[u8]| str::from_utf8(bytes).ok()?.split(' ').next()?.parse().ok();
    let header = |name: &str| record.headers.iter().rfind(|(key, _)| key == name);
    Entry {
        number: record.value.as_deref().and_then(number).expect("a value with a number"),
        is_flagged: header(POSSIBLE_DUPLICATE).is_some(),
        sent: header(SENT).and_then(|(_, sent)| number(sent.as_deref()?)).expect("a time"),
    }
}

impl Outcome {
    /// Fails, with all that is known, if a promise was not kept.
    pub(crate) fn assert_good(self, plan: &Plan) {
        if self.violations.is_empty() {
            return;
        }
        for violation in &self.violations {
            println!("{violation:?}");
        }
        let of = |entry: &&Entry, number: u64| entry.number == number;
        for number in self.violations.iter().take(20).flat_map(|violation| violation.events()) {
            let call = self.remains.calls.iter().find(|call| call.number == number);
            let copies: Vec<_> = self.remains.topic.iter().filter(|entry| of(entry, number)).collect();
            let letters: Vec<_> = self.remains.letters.iter().filter(|entry| of(entry, number)).collect();
            println!("{call:?}\n  in the topic: {copies:?}\n  dead letters: {letters:?}");
        }
        println!("{plan:#?}");
        panic!(
            "{} violations with seed {}; diaries are in {}",
            self.violations.len(),
            plan.seed,
            self.folder.keep().display()
        );
    }
}

/// Plays an act.
pub(crate) fn perform(stage: &mut Stage, plan: &Plan, sabotage: Option<Sabotage>) -> Outcome {
    let mut scene = Scene::prepare(stage, plan.writes_ahead, sabotage);
    for life in &plan.lives {
        scene.live(life);
    }
    scene.stage.change(Weather::Heal);
    if sabotage == Some(Sabotage::Rows) {
        scene.purge();
    }
    scene.start(Task::Drain, 0, false).finish();
    scene.judge()
}

/// Plays the act with the full disk. `None` if no small disk can be mounted here.
pub(crate) fn fill(stage: &mut Stage) -> Option<Outcome> {
    let mut scene = Scene::prepare(stage, false, None);
    let disk = scene.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let command = || {
        let script = r#"mount -t tmpfs -o size=8m none "$MILENA_KILLS_DISK" && exec "$0" "$@""#;
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--map-root-user", "sh", "-c", script]).env("MILENA_KILLS_DISK", &disk);
        unshare
    };
    if !command().arg("true").output().is_ok_and(|output| output.status.success()) {
        return None;
    }
    scene.order.store = disk.join("store.db");
    let mut processes = Vec::new();
    for (writes_ahead, fill) in [false, true].into_iter().flat_map(|ahead| Fill::ALL.map(|fill| (ahead, fill))) {
        scene.order.writes_ahead = writes_ahead;
        processes.push(Process::start_by(command(), &scene.next(Task::FullDisk(fill), 0, false)));
    }
    processes.into_iter().for_each(Process::finish);
    // Each process had a disk of its own, which is gone with it, and saw that its store is empty.
    scene.order.store = scene.folder.path().join("none");
    Some(scene.judge())
}

/// The state of an act.
struct Scene<'a> {
    stage: &'a mut Stage,
    folder: TempDir,
    /// What the next process is told, but for what is of one life.
    order: Order,
    seen: BTreeSet<u64>,
    kills: usize,
    overtaken: usize,
}

impl<'a> Scene<'a> {
    fn prepare(stage: &'a mut Stage, writes_ahead: bool, sabotage: Option<Sabotage>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let order = Order {
            task: Task::Publish,
            bootstrap: stage.kafka.bootstrap_servers(),
            topic: stage.topic(),
            store: folder.path().join("store.db"),
            diary: PathBuf::new(),
            life: 0,
            writes_ahead,
            is_second: false,
            pause_ms: 0,
            sabotage,
        };
        Self { stage, folder, order, seen: BTreeSet::new(), kills: 0, overtaken: 0 }
    }

    fn next(&mut self, task: Task, pause_ms: u64, is_second: bool) -> Order {
        self.order.life += 1;
        let diary = self.diary(self.order.life);
        Order { task, diary, is_second, pause_ms, ..self.order.clone() }
    }

    fn start(&mut self, task: Task, pause_ms: u64, is_second: bool) -> Process {
        Process::start(&self.next(task, pause_ms, is_second))
    }

    fn diary(&self, life: u64) -> PathBuf {
        self.folder.path().join(format!("diary-{life}"))
    }

    fn live(&mut self, life: &Life) {
        let mut process = self.start(Task::Publish, life.pause_ms, false);
        process.await_told(life.before);
        if let Some(weather) = life.weather {
            self.stage.change(weather);
        }
        process.await_told(life.before + life.after);
        thread::sleep(Duration::from_micros(life.lag_us));
        match life.end {
            End::Overtaken if self.freeze_between_writes(&process) => self.overtake(process, life),
            _ => self.kill(process),
        }
        if life.look && self.has_store() {
            self.seen.extend(self.stage.rows(&self.order.store));
        }
        thread::sleep(Duration::from_millis(life.rest_ms));
    }

    fn kill(&mut self, process: Process) {
        process.kill();
        self.kills += 1;
    }

    /// Stops a process while it does not have the store's file locked, so that another one can use it. Says whether that succeeded.
    fn freeze_between_writes(&self, process: &Process) -> bool {
        (0..200).any(|_| {
            process.freeze();
            let is_free = self.has_store() && !is_locked(&self.order.store);
            if !is_free {
                process.thaw();
                thread::sleep(Duration::from_millis(1));
            }
            is_free
        })
    }

    /// While a process is stopped, another one takes its lease. Then it goes on.
    fn overtake(&mut self, mut first: Process, life: &Life) {
        let (mut second, start) = (self.start(Task::Publish, life.pause_ms, true), Instant::now());
        let name = format!("process {} ", second.id());
        while !owner(&self.order.store).is_some_and(|owner| owner.starts_with(&name)) {
            second.await_told(0);
            assert!(start.elapsed() < TAKEOVER, "the second process does not get the lease");
            thread::sleep(Duration::from_millis(5));
        }
        second.await_told(life.after);
        thread::sleep(STOPPED.saturating_sub(start.elapsed()));
        first.thaw();
        self.overtaken += 1;
        first.await_told(first.told() + 1_000);
        thread::sleep(Duration::from_micros(life.lag_us));
        let (next, last) = if life.lag_us.is_multiple_of(2) { (first, second) } else { (second, first) };
        self.kill(next);
        self.kill(last);
    }

    /// Whether the store was created before the process was killed.
    fn has_store(&self) -> bool {
        fs::metadata(&self.order.store).is_ok_and(|file| file.len() > 0)
    }

    fn purge(&self) {
        self.stage.runtime.block_on(async {
            let store = SqliteStore::builder(&self.order.store).open().await.unwrap();
            store.purge(Filter::new()).await.unwrap();
            store.close().await.unwrap();
        });
    }

    fn judge(self) -> Outcome {
        let rows = if self.has_store() { self.stage.rows(&self.order.store) } else { BTreeSet::new() };
        let calls: Vec<Call> = (1..=self.order.life).flat_map(|life| diary::read(&self.diary(life))).collect();
        let topic = self.stage.log(&self.order.topic);
        let letters = self.stage.log(&format!("{}.dlq", self.order.topic));
        let Self { kills, overtaken, folder, seen, .. } = self;
        let remains = Remains { calls, seen, topic, letters, rows };
        let (counts, violations) = judge(&remains);
        Outcome { counts, kills, overtaken, violations, remains, folder }
    }
}

/// Whether somebody is changing the store.
fn is_locked(store: &Path) -> bool {
    let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
}

/// Who has the store's lease.
fn owner(store: &Path) -> Option<String> {
    let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection.query_row("SELECT owner FROM outbox_leases", [], |row| row.get(0)).unwrap()
}
