//! A scripted Kafka behind the mock producer: a log for each topic, and outcomes that are true, late or unknown.
//!
//! In: records of all processes. Out: replies, and the log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use milena::{
    DeliveryError, ErrorCode, FailureKind, Persisted, Record, SendError, WaitedFor,
    mock::{MockProducer, Reply},
};
use tokio::time::sleep;

use super::{
    plan::{Chance, Plan, Rates, Weather},
    process::Process,
    world::World,
};
use crate::retry::POSSIBLE_DUPLICATE;

/// A record in a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The number of its event.
    pub(super) id: u64,
    pub(super) is_flagged: bool,
    /// When it was handed to the producer, in the order of all that happens.
    pub(super) sent: u64,
    /// It was written after its producer had an outcome, or had died.
    pub(super) is_late: bool,
    /// It was written after an operator's replay, which keeps no order with what was sent before.
    pub(super) is_replayed: bool,
}

/// A Kafka cluster.
pub(super) struct Kafka {
    world: Arc<World>,
    weather: Vec<(u64, Weather)>,
    rates: Rates,
    state: Mutex<State>,
}

struct State {
    chance: Chance,
    logs: BTreeMap<String, Vec<Entry>>,
    /// The last event before all was well.
    healed_after: Option<u64>,
    is_repaired: bool,
}

/// What becomes of a record.
struct Course {
    /// When it is written, if it is.
    written: Option<u64>,
    /// When the producer has an outcome.
    answered: u64,
    reply: Reply,
}

impl Kafka {
    pub(super) fn new(plan: &Plan, world: &Arc<World>) -> Arc<Self> {
        let (chance, logs, healed_after) = (Chance::new(plan.seed), BTreeMap::new(), None);
        let state = Mutex::new(State { chance, logs, healed_after, is_repaired: false });
        Arc::new(Self { world: Arc::clone(world), weather: plan.weather.clone(), rates: plan.rates, state })
    }

    /// A producer of a process.
    pub(super) fn producer(self: &Arc<Self>, process: &Process) -> MockProducer {
        let (kafka, process, mock) = (Arc::clone(self), process.clone(), MockProducer::new());
        mock.reply_with(move |record| Some(kafka.reply(record, &process)));
        mock
    }

    /// From now on nothing fails by chance, and no new event is poison.
    pub(super) fn heal(&self) {
        self.state.lock().unwrap().healed_after = Some(self.world.calls().len() as u64);
    }

    /// From now on no event is poison.
    pub(super) fn repair(&self) {
        self.state.lock().unwrap().is_repaired = true;
    }

    pub(super) fn logs(&self) -> BTreeMap<String, Vec<Entry>> {
        self.state.lock().unwrap().logs.clone()
    }

    fn reply(self: &Arc<Self>, record: &Record<'_>, process: &Process) -> Reply {
        let value = String::from_utf8_lossy(record.value_bytes().unwrap_or_default()).into_owned();
        let id = value.trim_start_matches('e').parse().unwrap_or(0);
        let is_flagged = record.headers().iter().any(|header| header.key == POSSIBLE_DUPLICATE);
        let (topic, sent) = (record.topic().to_owned(), self.world.tick());
        let Course { written, answered, reply } = self.course(id, topic.ends_with(".dlq"));
        let flag = if is_flagged { "?" } else { "" };
        self.world.note(|| {
            format!("{value}{flag} sent to {topic}: written {written:?}, outcome after {answered} ms, {reply:?}")
        });
        let entry = Entry {
            id,
            is_flagged,
            sent,
            is_late: written.is_some_and(|written| written > answered),
            is_replayed: false,
        };
        match written {
            Some(0) => self.append(topic, entry),
            Some(after) => self.append_later(topic, entry, after, process),
            None => {}
        }
        if answered == 0 { reply } else { reply.after(Duration::from_millis(answered)) }
    }

    fn append(&self, topic: String, mut entry: Entry) {
        let (id, flag) = (entry.id, if entry.is_flagged { "?" } else { "" });
        self.world.note(|| format!("e{id}{flag} written to {topic}, late: {}", entry.is_late));
        let mut state = self.state.lock().unwrap();
        entry.is_replayed = state.is_repaired;
        state.logs.entry(topic).or_default().push(entry);
    }

    /// A process that dies has written the record, or takes it along.
    fn append_later(self: &Arc<Self>, topic: String, mut entry: Entry, after: u64, process: &Process) {
        let survives = self.state.lock().unwrap().chance.permille(500);
        let (kafka, process) = (Arc::clone(self), process.clone());
        tokio::spawn(async move {
            sleep(Duration::from_millis(after)).await;
            entry.is_late |= process.is_dead();
            if survives || !process.is_dead() {
                kafka.append(topic, entry);
            }
        });
    }

    fn course(&self, id: u64, is_letter: bool) -> Course {
        let mut state = self.state.lock().unwrap();
        let (is_healed, is_new) =
            (state.healed_after.is_some(), state.is_repaired || state.healed_after.is_some_and(|last| id > last));
        let chance = &mut state.chance;
        let now = self.world.now_ms();
        let weather =
            self.weather.iter().find(|(until, _)| now < *until).map_or(Weather::Fair, |(_, weather)| *weather);
        if let Some(reply) = self.poison(id, is_letter).filter(|_| !is_new) {
            return Course { written: None, answered: chance.below(5), reply };
        }
        match weather {
            _ if is_healed => fair(chance, 0),
            Weather::Away => away(chance),
            Weather::FewReplicas => {
                let reply = Reply::fail(rejected(ErrorCode::NOT_ENOUGH_REPLICAS, true));
                Course { written: None, answered: chance.below(100), reply }
            }
            Weather::Fair if chance.permille(self.rates.unknown) => unknown(chance),
            Weather::Fair if chance.permille(self.rates.failed) => {
                let reply = Reply::fail(rejected(ErrorCode::INVALID_RECORD, true));
                Course { written: None, answered: chance.below(20), reply }
            }
            Weather::Fair => fair(chance, self.rates.slow),
        }
    }

    /// Events that fail whenever they are sent.
    fn poison(&self, id: u64, is_letter: bool) -> Option<Reply> {
        let mut chance = Chance::new(id.wrapping_mul(0x9e37_79b9) ^ u64::from(is_letter));
        if is_letter {
            let refused = || Reply::fail(rejected(ErrorCode::TOPIC_AUTHORIZATION_FAILED, false));
            return chance.permille(self.rates.no_letter).then(refused);
        }
        if chance.permille(self.rates.permanent) {
            return Some(Reply::fail(rejected(ErrorCode::MESSAGE_TOO_LARGE, false)));
        }
        chance.permille(self.rates.poison).then(|| Reply::fail(rejected(ErrorCode::INVALID_RECORD, true)))
    }
}

fn fair(chance: &mut Chance, slow: u64) -> Course {
    let took = if chance.permille(slow) { chance.below(4_000) } else { chance.below(4) };
    let written = if took == 0 { 0 } else { chance.below(took) };
    Course { written: Some(written), answered: took, reply: Reply::ack() }
}

fn unknown(chance: &mut Chance) -> Course {
    let answered = chance.within(1..3_000);
    let written = match chance.below(4) {
        0 | 1 => None,
        2 => Some(chance.below(answered)),
        _ => Some(answered + 1 + chance.below(2_000)),
    };
    Course { written, answered, reply: Reply::fail(expired(Persisted::Unknown)) }
}

fn away(chance: &mut Chance) -> Course {
    match chance.below(3) {
        0 => {
            let (topic, code, elapsed) = ("orders".into(), ErrorCode::REQUEST_TIMED_OUT, Duration::from_secs(1));
            let timeout = SendError::Timeout { topic, waited_for: WaitedFor::Metadata, elapsed, code, cause: None };
            Course { written: None, answered: chance.below(2_000), reply: Reply::refuse(timeout) }
        }
        1 => Course { written: None, answered: chance.below(5_000), reply: Reply::fail(expired(Persisted::No)) },
        _ => unknown(chance),
    }
}

fn expired(persisted: Persisted) -> DeliveryError {
    let error = DeliveryError::of(FailureKind::Expired, "orders", 0).with_code(ErrorCode::REQUEST_TIMED_OUT);
    error.with_retriable(true).with_persisted(persisted)
}

fn rejected(code: ErrorCode, retriable: bool) -> DeliveryError {
    DeliveryError::of(FailureKind::Rejected, "orders", 0).with_code(code).with_retriable(retriable)
}
