//! One run: the real producer, the embedded broker's pure state, and between them a network and a clock that only exist here.
//!
//! In: a plan. Out: a history, the logs, counts of what went wrong, and a hash of everything that happened. Pure and
//! single-threaded: the same plan does the same on every machine. Here are the clock, the agenda, and what the producer's driver does elsewhere; what happens is in
//! `network`, `tasks` and `strikes`, what is noted for the judges in `notes`, the judgement in `judge`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    availability::{Fate, Neglect, Objections, Weather},
    checker::{Harm, Id, Log, Place, Violation},
    judge::Trace,
    network::Connection,
    plan::{Ending, Fault, Kind, Network, Plan, TOPICS},
    tasks::{Flush, Heard, Task, Waiting},
};
use crate::{
    Producer, ProducerBuilder,
    accumulator::{Accumulator, Limits, Work},
    broker::{EmbeddedBroker, State},
    config::Config,
    delivery::Callbacks,
    net::Shutdown,
    producer::{Reins, WorldClock},
    sender::{Action, Chance, ConnectionId, Event, Sender},
    wire::{compression::Compressor, testing::Lie},
};

/// Events after which a run counts as one that never comes to rest.
const PATIENCE: usize = 400_000;
/// When everything heals at the latest, whatever still waits to be sent.
const LONGEST_ILLNESS: Duration = Duration::from_secs(30);

/// The name in `bootstrap.servers`.
pub(super) const BOOTSTRAP: &str = "bootstrap";

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Happening {
    Connected(ConnectionId),
    Refused(ConnectionId),
    Arrives(ConnectionId, Bytes),
    Answers(ConnectionId, Bytes),
    Poll(ConnectionId),
    Broken(ConnectionId),
    Written(ConnectionId, i32),
    Sends(u32),
    /// A task that waits goes on.
    GoesOn(u32),
    /// A task gives up waiting, if it still waits in the call of this number.
    GivesUp(u32, u32),
    /// Somebody's time is up.
    Rings(Waker),
    Flushes,
    Compresses,
    Compressed(Work),
    Strikes(Fault),
    Recovers(Recovery),
    Ends,
    /// The process goes on that was stopped.
    Resumes,
}

impl Happening {
    /// Whether it takes place in the producer's process.
    fn is_inside(&self) -> bool {
        !matches!(self, Self::Arrives(..) | Self::Poll(_) | Self::Strikes(_) | Self::Recovers(_) | Self::Resumes)
    }

    /// Whether it is what a connection has to tell the producer.
    pub(super) fn is_heard_on(&self, connection: ConnectionId) -> bool {
        match self {
            Self::Connected(id)
            | Self::Refused(id)
            | Self::Broken(id)
            | Self::Written(id, _)
            | Self::Answers(id, _) => *id == connection,
            _ => false,
        }
    }
}

/// The end of a fault that lasts.
#[derive(Debug)]
pub(super) enum Recovery {
    /// A node that was stopped starts.
    Start(i32),
    /// A node that was paused goes on.
    Resume(i32),
    /// A topic that was deleted is created with so many partitions.
    Create(usize, usize),
}

pub(crate) struct World {
    pub(super) plan: Plan,
    /// Delays of the network.
    pub(super) delays: Chance,
    /// Which requests meet a fault.
    pub(super) luck: Chance,
    pub(super) start: Instant,
    pub(super) now: Duration,
    pub(super) wall_ms: i64,
    clock: Arc<WorldClock>,
    /// What users hold; `None` once they have dropped it.
    pub(super) producer: Option<Producer>,
    /// What its driver holds; `None` once that has ended.
    reins: Option<Reins>,
    /// `None` once its driver has ended.
    pub(super) sender: Option<Sender>,
    pub(super) config: Arc<Config>,
    pub(super) accumulator: Arc<Accumulator>,
    compressor: Compressor,
    /// How many batches will be looked for that wait to be compressed.
    compressing: usize,
    pub(super) cluster: State,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) agenda: BinaryHeap<Reverse<(Duration, u64)>>,
    pub(super) happenings: BTreeMap<u64, Happening>,
    next: u64,
    pub(super) tasks: Vec<Task>,
    /// Tasks that go on.
    woken: Arc<Mutex<Vec<u32>>>,
    pub(super) history: Vec<Waiting>,
    /// Where in the history a record is.
    pub(super) sent: BTreeMap<Id, usize>,
    /// What callbacks were told since the last look.
    pub(super) heard: Arc<Mutex<Vec<Heard>>>,
    pub(super) flushes: Vec<Flush>,
    pub(super) harm: BTreeMap<Place, Harm>,
    /// The logs of partitions whose topic was deleted.
    pub(super) graves: BTreeMap<Place, Vec<Log>>,
    pub(super) struck: BTreeMap<Kind, u64>,
    pub(super) requests: u64,
    /// The requests that met a fault of the network.
    pub(super) met: BTreeMap<u64, Kind>,
    pub(super) healed: bool,
    pub(super) widest_window: usize,
    pub(super) violations: Vec<Violation>,
    /// Where each node listens.
    pub(super) ports: BTreeMap<u16, i32>,
    /// Whether addresses that nobody has any more swallow what is sent there, or refuse.
    pub(super) swallows: bool,
    /// What is to be said that is not true, the next one last.
    pub(super) lies: Vec<(&'static str, Lie)>,
    /// Until when the producer's process is stopped.
    pub(super) stopped: Option<Duration>,
    /// Records without an outcome, by their place in the history.
    pub(super) open: Vec<usize>,
    pub(super) weather: Weather,
    /// Since when partitions are out.
    pub(super) out: BTreeMap<Place, Duration>,
    pub(super) objections: Objections,
    pub(super) fates: Vec<Fate>,
    pub(super) neglects: Vec<Neglect>,
    pub(super) trace: Trace,
}

impl World {
    pub(crate) fn new(plan: Plan, traced: bool) -> Self {
        let mut chance = Chance::new(plan.seed);
        let start = Instant::now();
        let builder = ProducerBuilder::new("bootstrap:9000").properties(plan.properties.iter().map(|(n, v)| (*n, v)));
        let config = Arc::new(builder.validate().expect("plans are valid"));
        let limits = Limits::of(&config);
        let compressor = Compressor::new(limits.method);
        let accumulator = Accumulator::new(limits, Callbacks::inline(Vec::new()));
        let sender = Sender::new(Arc::clone(&config), Arc::clone(&accumulator), start, chance.next());
        let (clock, woken) = (Arc::new(WorldClock::new(start)), Arc::default());
        let (producer, reins) = Producer::simulated(Arc::clone(&config), Arc::clone(&accumulator), &clock);
        let (delays, luck) = (Chance::new(chance.next()), Chance::new(chance.next()));
        let mut world = Self {
            tasks: (0..plan.tasks).map(|number| Task::new(number, chance.next(), &woken)).collect(),
            cluster: cluster(&plan),
            trace: Trace::new(traced),
            ports: (9_001..).zip(1..).take(plan.nodes).collect(),
            swallows: false,
            lies: Vec::new(),
            stopped: None,
            open: Vec::new(),
            weather: Weather::default(),
            out: BTreeMap::new(),
            objections: Objections { max_message_bytes: plan.max_message_bytes, ..Objections::default() },
            fates: Vec::new(),
            neglects: Vec::new(),
            config,
            plan,
            delays,
            luck,
            start,
            now: Duration::ZERO,
            wall_ms: 1_700_000_000_000,
            clock,
            producer: Some(producer),
            reins: Some(reins),
            sender: Some(sender),
            accumulator,
            compressor,
            compressing: 0,
            connections: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            next: 0,
            woken,
            history: Vec::new(),
            sent: BTreeMap::new(),
            heard: Arc::default(),
            flushes: Vec::new(),
            harm: BTreeMap::new(),
            graves: BTreeMap::new(),
            struck: BTreeMap::new(),
            requests: 0,
            met: BTreeMap::new(),
            healed: false,
            widest_window: 0,
            violations: Vec::new(),
        };
        world.pass(Duration::ZERO);
        world.schedule();
        world.survey();
        world
    }

    /// What the plan has in store.
    fn schedule(&mut self) {
        for task in 0..self.plan.tasks {
            self.later(Duration::ZERO, Happening::Sends(task));
        }
        for fault in self.plan.faults.clone() {
            self.later(Duration::from_millis(fault.at_ms), Happening::Strikes(fault));
        }
        for at in self.plan.flushes.clone() {
            self.later(Duration::from_millis(at), Happening::Flushes);
        }
        if self.plan.ending != Ending::Heal {
            self.later(Duration::from_millis(self.plan.ends_ms), Happening::Ends);
        }
    }

    pub(super) fn later(&mut self, delay: Duration, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    /// In up to 3 ms.
    fn later_by_chance(&mut self, happening: Happening) {
        let delay = Duration::from_micros(self.delays.below(3_000) as u64);
        self.later(delay, happening);
    }

    pub(super) fn at(&mut self, at: Duration, happening: Happening) {
        self.next += 1;
        self.agenda.push(Reverse((at, self.next)));
        self.happenings.insert(self.next, happening);
    }

    pub(super) fn instant(&self) -> Instant {
        self.start + self.now
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.wall_ms + self.now.as_millis() as i64
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        self.trace.note(self.now, &what());
    }

    /// Runs until all is said; false if that never comes.
    pub(super) fn run(&mut self) -> bool {
        self.drive();
        for _ in 0..PATIENCE {
            if !self.step() {
                return true;
            }
            self.drive();
            self.look();
            self.rouse();
        }
        false
    }

    /// Lets the next thing happen; false when nothing will.
    fn step(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        let wake = self.sender.as_ref().and_then(Sender::poll_timeout);
        let wake = wake.map(|at| at.saturating_duration_since(self.start).max(self.stopped.unwrap_or_default()));
        let next = self.agenda.peek().map(|Reverse((at, _))| *at);
        match (next, wake) {
            (Some(at), wake) if wake.is_none_or(|wake| at <= wake) => {
                let Some(Reverse((at, number))) = self.agenda.pop() else { return false };
                self.pass(at);
                match (self.happenings.remove(&number), self.stopped) {
                    (Some(happening), Some(until)) if happening.is_inside() => self.at(until, happening),
                    (Some(happening), _) => self.happen(happening),
                    (None, _) => {}
                }
                true
            }
            (_, Some(wake)) => {
                self.pass(wake);
                let now = self.instant();
                self.sender.iter_mut().for_each(|sender| sender.handle_timeout(now));
                true
            }
            _ => false,
        }
    }

    /// Time passes.
    fn pass(&mut self, until: Duration) {
        self.now = self.now.max(until);
        self.clock.set(self.now, self.now_ms());
    }

    /// The producer's driver ends, if it is to.
    pub(super) fn ends(&mut self) -> bool {
        let how = self.reins.as_ref().map_or(Shutdown::No, |reins| *reins.shutdown.borrow());
        if how == Shutdown::No {
            return false;
        }
        self.note(|| format!("the producer ends: {how:?}"));
        if let Some(mut sender) = self.sender.take().filter(|_| how == Shutdown::Close) {
            sender.close(self.instant());
        }
        self.reins = None;
        self.connections.values_mut().for_each(|connection| connection.open = false);
        true
    }

    /// Tasks that are woken go on, those that wait for a time are woken then.
    fn rouse(&mut self) {
        let woken = std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner));
        woken.into_iter().for_each(|number| self.later(Duration::ZERO, Happening::GoesOn(number)));
        for (at, waker) in self.clock.take_alarms() {
            self.at(at, Happening::Rings(waker));
        }
    }

    /// Whether all is said: every task has sent its records, every fault has struck, every record has an outcome.
    fn is_over(&mut self) -> bool {
        let all_sent = self.tasks.iter().all(|task| task.next == self.plan.records_per_task);
        let ill = |h: &Happening| matches!(h, Happening::Strikes(_) | Happening::Recovers(_) | Happening::Resumes);
        let struck = !self.happenings.values().any(ill);
        let ended = self.sender.is_none();
        if !self.healed && struck && (all_sent || ended || self.now >= LONGEST_ILLNESS) {
            self.heal();
        }
        self.healed
            && (all_sent || ended)
            && self.history.iter().all(|waiting| waiting.delivery.outcome().is_some())
            && self.zombies_landed()
    }

    fn heal(&mut self) {
        self.healed = true;
        self.cluster.heal();
        if let Network::ByChance(rates) = &mut self.plan.network {
            rates.clear();
        }
        (1..=self.plan.nodes as i32).for_each(|node| self.cluster.restart(node));
        self.lies.clear();
        self.heal_network();
        // Where nothing was wrong, nothing changes.
        if !self.struck.is_empty() {
            self.gust();
        }
        self.poll_all();
        self.survey();
        self.note(|| "everything heals".to_owned());
    }

    /// Whether nothing that was sent is still on its way to a broker: it may yet be written.
    fn zombies_landed(&self) -> bool {
        let arriving = self.happenings.values().any(|h| matches!(h, Happening::Arrives(..)));
        !arriving && self.connections.values().all(Connection::is_quiet)
    }

    /// Carries out what the sender wants.
    pub(super) fn drive(&mut self) {
        let now = self.instant();
        if let Some(sender) = &mut self.sender {
            sender.handle_event(now, Event::Woken);
        }
        while let Some(action) = self.sender.as_mut().and_then(|sender| sender.poll_action(now)) {
            match action {
                Action::Connect { connection, host, port, failures, within } => {
                    self.connect(connection, (&host, port), failures, within);
                }
                Action::Disconnect { connection } => self.hang_up(connection),
                Action::Read { connection } => self.read(connection),
                Action::Send { connection, correlation, segments, answered } => {
                    self.send(connection, correlation, Bytes::from(segments.concat()), answered);
                }
            }
        }
        while self.compressing < self.accumulator.uncompressed() {
            self.compressing += 1;
            self.later_by_chance(Happening::Compresses);
        }
        let window = self.sender.as_ref().map_or(0, Sender::widest_window);
        self.widest_window = self.widest_window.max(window);
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Connected(id) => self.tell(id, Event::Connected { connection: id }),
            Happening::Refused(id) => self.broken(id, "refused"),
            Happening::Broken(id) => self.broken(id, "broken"),
            Happening::Written(id, correlation) => self.tell(id, Event::Written { connection: id, correlation }),
            Happening::Arrives(id, frame) => self.arrives(id, frame),
            Happening::Poll(id) => self.serve(id),
            Happening::Answers(id, frame) => self.answers(id, frame),
            Happening::Sends(task) => self.task_sends(task),
            Happening::GoesOn(task) => self.task_goes_on(task),
            Happening::GivesUp(task, calls) => self.task_gives_up(task, calls),
            Happening::Rings(waker) => waker.wake(),
            Happening::Flushes => self.begin_flush(),
            Happening::Compresses => {
                self.compressing -= 1;
                // Of several that are compressed at once, any may be done first.
                if let Some(work) = self.accumulator.begin_compressing() {
                    self.later_by_chance(Happening::Compressed(work));
                }
            }
            Happening::Compressed(work) => self.accumulator.end_compressing(work, &mut self.compressor),
            Happening::Strikes(fault) => self.strike(fault),
            Happening::Recovers(recovery) => self.recover(&recovery),
            Happening::Ends => self.end(),
            Happening::Resumes => self.resume(),
        }
    }
}

/// The cluster as it is in the beginning.
fn cluster(plan: &Plan) -> State {
    let ports: Vec<u16> = (9_001..).take(plan.nodes).collect();
    let max_message_bytes = plan.max_message_bytes.to_string();
    let broker = EmbeddedBroker::builder()
        .nodes(plan.nodes)
        .auto_create(false)
        .topic_default("max.message.bytes", max_message_bytes)
        .topic_default("min.insync.replicas", if plan.nodes > 1 { "2" } else { "1" });
    let topics = TOPICS.iter().zip(&plan.topics);
    let broker = topics.fold(broker, |broker, (topic, partitions)| broker.topic(*topic, *partitions));
    broker.state(&ports).expect("plans are valid")
}
