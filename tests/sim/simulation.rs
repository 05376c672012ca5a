//! One run: the real producer, the embedded broker's pure state, and a simulated network and clock between them.
//!
//! In: a plan. Out: a history, the logs, counts of faults, and a hash of all events. Pure and single-threaded: the same
//! plan does the same on every machine. This file has the clock, the agenda, and the work of the producer's driver. The
//! events are in `network`, `tasks` and `strikes`, the notes for the judges in `notes`, the judgement in `judge`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;

#[cfg(feature = "oauth")]
use super::source::Keeper;
use super::{
    availability::{Fate, Interruptions, Neglect, Objections},
    checker::{Harm, Id, Log, Place, Violation},
    judge::Trace,
    network::Connection,
    plan::{Ending, Fault, Kind, Network, Plan, TOPICS, USER},
    tasks::{CallbackCall, Flush, Task, Waiting},
};
use crate::{
    Producer, ProducerBuilder, SaslMechanism,
    accumulator::{Accumulator, Limits, Work},
    broker::{EmbeddedBroker, State},
    config::Config,
    delivery::Callbacks,
    net::Shutdown,
    producer::{DriverHandle, WorldClock},
    sender::{Action, Chance, ConnectionId, Event, Sender},
    wire::{compression::Compressor, testing::Lie},
};

/// The number of events after which a run counts as endless.
const PATIENCE: usize = 400_000;
/// The time at which all faults end at the latest, whatever is left to send.
const HEAL_AT: Duration = Duration::from_secs(30);

/// The name in `bootstrap.servers`.
pub(super) const BOOTSTRAP: &str = "bootstrap";

/// A scheduled event.
#[derive(Debug)]
pub(super) enum Scheduled {
    Connected(ConnectionId),
    Refused(ConnectionId),
    Arrives(ConnectionId, Bytes),
    Responses(ConnectionId, Bytes),
    Poll(ConnectionId),
    Broken(ConnectionId),
    Written(ConnectionId, i32),
    Sends(u32),
    /// A waiting task is polled.
    Polls(u32),
    /// A task cancels the call of this number, if it is still pending.
    Cancels(u32, u32),
    /// A time limit is over.
    TimesOut(Waker),
    Flushes,
    Compresses,
    Compressed(Work),
    Strikes(Fault),
    Recovers(Recovery),
    Ends,
    /// The stopped process resumes.
    Resumes,
    /// The source of tokens is asked, unless it was asked otherwise since; and it answers.
    #[cfg(feature = "oauth")]
    Asks(u64),
    #[cfg(feature = "oauth")]
    Answers(u64),
}

impl Scheduled {
    /// Whether the event takes place in the producer's process.
    fn is_inside(&self) -> bool {
        !matches!(self, Self::Arrives(..) | Self::Poll(_) | Self::Strikes(_) | Self::Recovers(_) | Self::Resumes)
    }

    /// Whether the event is one of this connection.
    pub(super) fn is_of_connection(&self, connection: ConnectionId) -> bool {
        match self {
            Self::Connected(id)
            | Self::Refused(id)
            | Self::Broken(id)
            | Self::Written(id, _)
            | Self::Responses(id, _) => *id == connection,
            _ => false,
        }
    }
}

/// The end of a fault that lasts.
#[derive(Debug)]
pub(super) enum Recovery {
    /// A node that was stopped starts.
    Start(i32),
    /// A paused node resumes.
    Resume(i32),
    /// A deleted topic is created with this many partitions.
    Create(usize, usize),
    /// The brokers know the producer's password again.
    LetIn,
}

pub(crate) struct Simulation {
    pub(super) plan: Plan,
    /// Delays of the network.
    pub(super) delays: Chance,
    /// Which requests meet a fault.
    pub(super) luck: Chance,
    pub(super) start: Instant,
    pub(super) now: Duration,
    pub(super) wall_ms: i64,
    clock: Arc<WorldClock>,
    /// The producer; `None` once its users have dropped it.
    pub(super) producer: Option<Producer>,
    /// The driver's half of the producer; `None` once the driver has ended.
    driver: Option<DriverHandle>,
    /// The sender; `None` once the driver has ended.
    pub(super) sender: Option<Sender>,
    pub(super) config: Arc<Config>,
    pub(super) accumulator: Arc<Accumulator>,
    compressor: Compressor,
    /// How many batches are to be compressed.
    compressing: usize,
    pub(super) cluster: State,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) agenda: BinaryHeap<Reverse<(Duration, u64)>>,
    pub(super) scheduled: BTreeMap<u64, Scheduled>,
    next: u64,
    pub(super) tasks: Vec<Task>,
    /// Tasks that were woken.
    woken: Arc<Mutex<Vec<u32>>>,
    pub(super) history: Vec<Waiting>,
    /// The position of each record in the history.
    pub(super) sent: BTreeMap<Id, usize>,
    /// The calls of callbacks that have not been checked yet.
    pub(super) callback_calls: Arc<Mutex<Vec<CallbackCall>>>,
    pub(super) flushes: Vec<Flush>,
    pub(super) harm: BTreeMap<Place, Harm>,
    /// The logs of partitions whose topic was deleted.
    pub(super) deleted_logs: BTreeMap<Place, Vec<Log>>,
    pub(super) struck: BTreeMap<Kind, u64>,
    pub(super) requests: u64,
    /// The requests that met a fault of the network.
    pub(super) met: BTreeMap<u64, Kind>,
    pub(super) healed: bool,
    pub(super) widest_window: usize,
    pub(super) violations: Vec<Violation>,
    /// The node at each port.
    pub(super) ports: BTreeMap<u16, i32>,
    /// Whether unused addresses swallow connections or refuse them.
    pub(super) swallows: bool,
    /// The false Metadata responses to send, the next one last.
    pub(super) lies: Vec<(&'static str, Lie)>,
    /// Until when the producer's process is stopped.
    pub(super) stopped: Option<Duration>,
    /// Positions in the history of the records without an outcome.
    pub(super) open: Vec<usize>,
    pub(super) interruptions: Interruptions,
    /// Since when each partition has an outage.
    pub(super) out: BTreeMap<Place, Duration>,
    /// Nodes that throttle the producer, and for how long.
    pub(super) mutes: Vec<(i32, (Duration, Duration))>,
    pub(super) objections: Objections,
    pub(super) fates: Vec<Fate>,
    pub(super) neglects: Vec<Neglect>,
    pub(super) trace: Trace,
    /// Who keeps the producer's token, if it has one.
    #[cfg(feature = "oauth")]
    pub(super) keeper: Option<Keeper>,
}

impl Simulation {
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
        let (producer, driver) = Producer::simulated(Arc::clone(&config), Arc::clone(&accumulator), &clock);
        let (delays, luck) = (Chance::new(chance.next()), Chance::new(chance.next()));
        let mut simulation = Self {
            tasks: (0..plan.tasks).map(|number| Task::new(number, chance.next(), &woken)).collect(),
            cluster: cluster(&plan),
            trace: Trace::new(traced),
            #[cfg(feature = "oauth")]
            keeper: config.tokens.clone().map(|settings| Keeper::new(settings, plan.seed)),
            ports: (9_001..).zip(1..).take(plan.nodes).collect(),
            swallows: false,
            lies: Vec::new(),
            stopped: None,
            open: Vec::new(),
            interruptions: Interruptions::default(),
            out: BTreeMap::new(),
            mutes: Vec::new(),
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
            driver: Some(driver),
            sender: Some(sender),
            accumulator,
            compressor,
            compressing: 0,
            connections: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            scheduled: BTreeMap::new(),
            next: 0,
            woken,
            history: Vec::new(),
            sent: BTreeMap::new(),
            callback_calls: Arc::default(),
            flushes: Vec::new(),
            harm: BTreeMap::new(),
            deleted_logs: BTreeMap::new(),
            struck: BTreeMap::new(),
            requests: 0,
            met: BTreeMap::new(),
            healed: false,
            widest_window: 0,
            violations: Vec::new(),
        };
        simulation.pass(Duration::ZERO);
        simulation.schedule();
        simulation.note_outages();
        simulation
    }

    /// Schedules the plan's events.
    fn schedule(&mut self) {
        #[cfg(feature = "oauth")]
        self.ask_source(Duration::ZERO);
        for task in 0..self.plan.tasks {
            self.later(Duration::ZERO, Scheduled::Sends(task));
        }
        for fault in self.plan.faults.clone() {
            self.later(Duration::from_millis(fault.at_ms), Scheduled::Strikes(fault));
        }
        for at in self.plan.flushes.clone() {
            self.later(Duration::from_millis(at), Scheduled::Flushes);
        }
        if self.plan.ending != Ending::Heal {
            self.later(Duration::from_millis(self.plan.ends_ms), Scheduled::Ends);
        }
    }

    pub(super) fn later(&mut self, delay: Duration, event: Scheduled) {
        self.at(self.now + delay, event);
    }

    /// Schedules an event within 3 ms.
    fn later_by_chance(&mut self, event: Scheduled) {
        let delay = Duration::from_micros(self.delays.below(3_000) as u64);
        self.later(delay, event);
    }

    pub(super) fn at(&mut self, at: Duration, event: Scheduled) {
        self.next += 1;
        self.agenda.push(Reverse((at, self.next)));
        self.scheduled.insert(self.next, event);
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

    /// Runs until everything is done. Returns false if that never happens.
    pub(super) fn run(&mut self) -> bool {
        self.drive();
        for _ in 0..PATIENCE {
            if !self.step() {
                return true;
            }
            self.drive();
            self.look();
            self.wake_tasks();
        }
        false
    }

    /// Performs the next event. Returns false if there is none.
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
                match (self.scheduled.remove(&number), self.stopped) {
                    (Some(event), Some(until)) if event.is_inside() => self.at(until, event),
                    (Some(event), _) => self.perform(event),
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

    /// Advances the time.
    fn pass(&mut self, until: Duration) {
        self.now = self.now.max(until);
        self.clock.set(self.now, self.now_ms());
    }

    /// Ends the producer's driver, if it has to end.
    pub(super) fn ends(&mut self) -> bool {
        let how = self.driver.as_ref().map_or(Shutdown::No, |driver| *driver.shutdown.borrow());
        if how == Shutdown::No {
            return false;
        }
        self.note(|| format!("the producer ends: {how:?}"));
        if let Some(mut sender) = self.sender.take().filter(|_| how == Shutdown::Close) {
            sender.close(self.instant());
        }
        self.driver = None;
        self.connections.values_mut().for_each(|connection| connection.open = false);
        true
    }

    /// Schedules a poll of each task that was woken, and the expired time limits.
    fn wake_tasks(&mut self) {
        let woken = std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner));
        woken.into_iter().for_each(|number| self.later(Duration::ZERO, Scheduled::Polls(number)));
        for (at, waker) in self.clock.take_alarms() {
            self.at(at, Scheduled::TimesOut(waker));
        }
    }

    /// Whether everything is done: every task has sent its records, every fault has struck, every record has an
    /// outcome.
    fn is_over(&mut self) -> bool {
        let all_sent = self.tasks.iter().all(|task| task.next == self.plan.records_per_task);
        let is_fault = |h: &Scheduled| matches!(h, Scheduled::Strikes(_) | Scheduled::Recovers(_) | Scheduled::Resumes);
        let struck = !self.scheduled.values().any(is_fault);
        let ended = self.sender.is_none();
        if !self.healed && struck && (all_sent || ended || self.now >= HEAL_AT) {
            self.heal();
        }
        self.healed
            && (all_sent || ended)
            && self.history.iter().all(|waiting| waiting.delivery.outcome().is_some())
            && self.no_request_in_transit()
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
        // A run without faults has no disturbance here.
        if !self.struck.is_empty() {
            self.disturb();
        }
        self.poll_all();
        self.note_outages();
        self.note(|| "everything heals".to_owned());
    }

    /// Whether no request is still in transit to a broker, which could append it later.
    fn no_request_in_transit(&self) -> bool {
        let arriving = self.scheduled.values().any(|h| matches!(h, Scheduled::Arrives(..)));
        !arriving && self.connections.values().all(Connection::is_quiet)
    }

    /// Performs the sender's actions.
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
                Action::Disconnect { connection } => self.close(connection),
                Action::Read { connection } => self.read(connection),
                #[cfg(feature = "oauth")]
                Action::RenewToken => self.renew_token(),
                #[cfg(not(feature = "oauth"))]
                Action::RenewToken => {}
                Action::Send { connection, correlation, segments, answered } => {
                    self.send(connection, correlation, Bytes::from(segments.concat()), answered);
                }
            }
        }
        while self.compressing < self.accumulator.uncompressed() {
            self.compressing += 1;
            self.later_by_chance(Scheduled::Compresses);
        }
        let window = self.sender.as_ref().map_or(0, Sender::widest_window);
        self.widest_window = self.widest_window.max(window);
    }

    pub(super) fn perform(&mut self, event: Scheduled) {
        match event {
            Scheduled::Connected(id) => self.notify_sender(id, Event::Connected { connection: id }),
            Scheduled::Refused(id) => self.broken(id, "refused"),
            Scheduled::Broken(id) => self.broken(id, "broken"),
            Scheduled::Written(id, correlation) => {
                self.notify_sender(id, Event::Written { connection: id, correlation })
            }
            Scheduled::Arrives(id, frame) => self.arrives(id, frame),
            Scheduled::Poll(id) => self.serve(id),
            Scheduled::Responses(id, frame) => self.responses(id, frame),
            Scheduled::Sends(task) => self.task_sends(task),
            Scheduled::Polls(task) => self.poll_call(task),
            Scheduled::Cancels(task, calls) => self.cancel_call(task, calls),
            Scheduled::TimesOut(waker) => waker.wake(),
            Scheduled::Flushes => self.begin_flush(),
            Scheduled::Compresses => {
                self.compressing -= 1;
                // Of several batches that are compressed at once, any may be done first.
                if let Some(work) = self.accumulator.begin_compressing() {
                    self.later_by_chance(Scheduled::Compressed(work));
                }
            }
            Scheduled::Compressed(work) => self.accumulator.end_compressing(work, &mut self.compressor),
            Scheduled::Strikes(fault) => self.strike(fault),
            Scheduled::Recovers(recovery) => self.recover(&recovery),
            Scheduled::Ends => self.end(),
            Scheduled::Resumes => self.resume(),
            #[cfg(feature = "oauth")]
            Scheduled::Asks(attempt) => self.asks(attempt),
            #[cfg(feature = "oauth")]
            Scheduled::Answers(attempt) => self.answers(attempt),
        }
    }
}

/// The cluster at the start.
fn cluster(plan: &Plan) -> State {
    let ports: Vec<u16> = (9_001..).take(plan.nodes).collect();
    let max_message_bytes = plan.max_message_bytes.to_string();
    let broker = EmbeddedBroker::builder()
        .nodes(plan.nodes)
        .auto_create(false)
        .topic_default("max.message.bytes", max_message_bytes)
        .topic_default("min.insync.replicas", if plan.nodes > 1 { "2" } else { "1" });
    let broker = match plan.session_ms {
        None => broker,
        Some(ms) => {
            let mechanism = if plan.token_life_s.is_some() { SaslMechanism::OauthBearer } else { SaslMechanism::Plain };
            broker.sasl([mechanism]).user(USER.0, USER.1).session_lifetime(Duration::from_millis(ms))
        }
    };
    let topics = TOPICS.iter().zip(&plan.topics);
    let broker = topics.fold(broker, |broker, (topic, partitions)| broker.topic(*topic, *partitions));
    broker.state(&ports).expect("plans are valid")
}
