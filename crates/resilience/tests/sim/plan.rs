//! The plan of one run, drawn from its seed.
//!
//! In: a seed. Out: settings, what each instance publishes and how its lives end, and faults of Kafka and of the store with their times.
//! Pure. How likely each kind of fault is, is drawn for each seed, so that some runs have one kind only and some have all.

use std::ops::Range;

use crate::{
    publisher::{Mode, Order},
    relay::Poison,
    store::StoreErrorKind,
};

/// Random numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    /// Whether something happens that happens so often in a thousand.
    pub(super) fn permille(&mut self, often: u64) -> bool {
        self.below(1_000) < often
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap_or(0)].clone()
    }
}

/// How an event is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// In a task of its own.
    Async,
    /// The same, once it is in the store.
    Kept,
    /// By a call that is waited for.
    Call,
    /// By a call that is dropped if it takes so long, in milliseconds.
    Drop(u64),
}

/// An event to publish.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) pause_ms: u64,
    pub(super) key: Option<u64>,
    pub(super) how: How,
}

/// How the life of an instance ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its process is killed at this time of its life, in milliseconds.
    Crash(u64),
    /// Its process is killed when its tasks have been polled so often.
    CrashAtPoll(u64),
    /// It is closed when its calls have been made.
    Close,
    /// Its publisher is dropped when its calls have been made.
    Abandon,
}

/// A life of an instance.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
    /// How long until the next life begins.
    pub(super) pause_ms: u64,
}

/// What Kafka is like for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// Records are acknowledged, but for faults by chance.
    Fair,
    /// Nothing is answered.
    Away,
    /// Everything is refused, temporarily.
    FewReplicas,
}

/// A fault of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    /// An insert fails so.
    Insert(StoreErrorKind),
    /// An insert has an unknown result; it was carried out, or not.
    InsertUnknown(bool),
    /// The same for a settlement.
    Settle(StoreErrorKind),
    SettleUnknown(bool),
    /// All calls fail for so long, in milliseconds.
    Away(u64),
    /// All calls take so long, for so long.
    Slow(u64, u64),
    /// Syncs take so long.
    LongSync(u64),
    /// What is not synced is lost after so long.
    PowerLoss(u64),
    /// The clock jumps by so many seconds.
    ClockJump(i64),
}

/// The plan of a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) mode: Mode,
    pub(super) order: Order,
    /// The publishers know that they share the store.
    pub(super) is_shared: bool,
    pub(super) poison: Poison,
    pub(super) count_outages: bool,
    pub(super) in_memory: usize,
    pub(super) max_in_flight: usize,
    pub(super) interval_ms: u64,
    pub(super) lease_ms: u64,
    pub(super) hold_ms: u64,
    pub(super) retention: bool,
    pub(super) quota_rows: u64,
    /// An operator replays at the end what could not be made a dead letter.
    pub(super) replays: bool,
    pub(super) homes: Vec<Vec<Life>>,
    /// Kafka's weather, by its end in milliseconds.
    pub(super) weather: Vec<(u64, Weather)>,
    pub(super) rates: Rates,
    pub(super) strikes: Vec<(u64, Strike)>,
    /// How many of a thousand calls of the store are slow.
    pub(super) slow_calls: u64,
    /// Those of the store, which instances share.
    pub(super) buckets: u16,
}

/// Of a thousand records, how many meet what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// The outcome takes up to some seconds.
    pub(super) slow: u64,
    /// The outcome is unknown; of these a half is written, and some of those later.
    pub(super) unknown: u64,
    /// They fail, once.
    pub(super) failed: u64,
    /// They fail always.
    pub(super) poison: u64,
    /// They can never be written.
    pub(super) permanent: u64,
    /// Their letters cannot be written.
    pub(super) no_letter: u64,
}

/// Keys of one instance.
pub(super) const KEYS: u64 = 3;
/// Keys that all instances publish, in turn.
const COMMON_KEYS: u64 = 2;

impl Plan {
    pub(super) fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x7265_7373_696d);
        let chance = &mut chance;
        let hold_ms = chance.within(20_000..60_000);
        let homes = 1 + chance.below(3);
        let (common, is_busy) = (chance.of(&[0, 300, 900]), chance.one_in(4));
        let span = 5_000 + chance.below(30_000);
        let is_rough = chance.permille(700);
        let weather = weather(chance, span);
        Self {
            seed,
            mode: chance.of(&[Mode::OnFailure, Mode::OnFailure, Mode::WriteAhead]),
            order: chance.of(&[
                Order::PerKey,
                Order::PerKey,
                Order::PerKey,
                Order::PerKey,
                Order::PerKeyOfInstance,
                Order::None,
            ]),
            is_shared: homes > 1 || chance.one_in(2),
            poison: chance.of(&[Poison::Block, Poison::Block, Poison::Skip]),
            count_outages: chance.one_in(4),
            in_memory: chance.of(&[4, 8, 1_000]),
            max_in_flight: chance.of(&[1, 4, 1_000]),
            interval_ms: chance.of(&[5_000, 60_000]),
            lease_ms: chance.of(&[3_000, 9_000]),
            hold_ms,
            retention: chance.one_in(4),
            quota_rows: chance.of(&[10, 1_000, 1_000, 1_000]),
            replays: chance.one_in(2),
            homes: keeping_some(seed, (0..homes).map(|home| lives(chance, (home, homes), common, is_busy)).collect()),
            weather,
            rates: rates(chance),
            strikes: if is_rough { strikes(chance, span) } else { Vec::new() },
            slow_calls: chance.of(&[0, 100, 500]),
            buckets: chance.of(&[1, 1, 4]),
        }
    }

    /// The number of the first key that all instances publish. Such a key is published by one at a time: a call begins when the last one has
    /// returned or its process has died.
    fn first_common(&self) -> u64 {
        self.homes.len() as u64 * KEYS
    }

    /// Which of the keys that all instances publish this is.
    pub(super) fn common(&self, key: u64) -> Option<usize> {
        key.checked_sub(self.first_common()).and_then(|common| usize::try_from(common).ok())
    }

    pub(super) fn common_keys(&self) -> Range<u64> {
        self.first_common()..self.first_common() + COMMON_KEYS
    }

    /// Whether the store's clock jumps, so that a lease can end without its owner knowing.
    pub(super) fn clock_jumps(&self) -> bool {
        self.strikes.iter().any(|(_, strike)| matches!(strike, Strike::ClockJump(_)))
    }
}

/// Of a thousand events, `common` have a key that all `homes` publish. Busy instances publish many events in a short time.
fn lives(chance: &mut Chance, (home, homes): (u64, u64), common: u64, is_busy: bool) -> Vec<Life> {
    let pace = if is_busy { chance.of(&[5, 30]) } else { chance.of(&[5, 100, 1_000]) };
    let events = if is_busy { 40..200 } else { 2..25 };
    let keyless = chance.of(&[0, 0, 200]);
    let drops = chance.of(&[0, 0, 150]);
    let mut life = |_| {
        let steps = (0..chance.within(events.clone())).map(|_| Step {
            pause_ms: if chance.one_in(3) { 0 } else { chance.below(pace) },
            key: match () {
                () if chance.permille(keyless) => None,
                () if chance.permille(common) => Some(homes * KEYS + chance.below(COMMON_KEYS)),
                () => Some(home * KEYS + chance.below(KEYS)),
            },
            how: match chance.below(1_000) {
                roll if roll < drops => How::Drop(chance.below(400)),
                roll if roll < 650 => How::Async,
                _ => How::Call,
            },
        });
        let steps = steps.collect();
        let end = match chance.below(6) {
            0 | 1 => End::Crash(chance.below(4_000)),
            2 | 3 => End::CrashAtPoll(chance.below(400)),
            4 => End::Close,
            _ => End::Abandon,
        };
        Life { steps, end, pause_ms: chance.below(15_000) }
    };
    let first = life(0);
    let more = 1 + first.steps.len() as u64 % 3;
    std::iter::once(first).chain((0..more).map(life)).collect()
}

/// Has some events stored first that are published in tasks. It draws from numbers of its own, so that all else of a seed stays as it was.
fn keeping_some(seed: u64, mut homes: Vec<Vec<Life>>) -> Vec<Vec<Life>> {
    let mut chance = Chance::new(seed ^ 0x6b65_7074);
    let share = chance.of(&[0, 0, 300]);
    for step in homes.iter_mut().flatten().flat_map(|life| &mut life.steps).filter(|step| step.how == How::Async) {
        if chance.permille(share) {
            step.how = How::Kept;
        }
    }
    homes
}

fn weather(chance: &mut Chance, span: u64) -> Vec<(u64, Weather)> {
    let mut at = 0;
    let mut all = Vec::new();
    while at < span {
        at += chance.within(500..8_000);
        all.push((at, Weather::Fair));
        let is_long = chance.one_in(12);
        at += if is_long { chance.below(3_600_000) } else { chance.within(100..9_000) };
        all.push((at, chance.of(&[Weather::Away, Weather::FewReplicas, Weather::Fair])));
    }
    all
}

fn rates(chance: &mut Chance) -> Rates {
    let mut rate = |most: u64| if chance.one_in(2) { chance.below(most) } else { 0 };
    Rates {
        slow: rate(400),
        unknown: rate(300),
        failed: rate(200),
        poison: rate(100),
        permanent: rate(60),
        no_letter: rate(400),
    }
}

fn strikes(chance: &mut Chance, span: u64) -> Vec<(u64, Strike)> {
    let jumps = chance.one_in(4);
    let kinds = [StoreErrorKind::Full, StoreErrorKind::Busy, StoreErrorKind::Unavailable];
    let mut strikes: Vec<_> = (0..chance.within(1..12))
        .map(|_| {
            let strike = match chance.below(if jumps { 12 } else { 10 }) {
                0 => Strike::Insert(chance.of(&kinds)),
                1 | 2 => Strike::InsertUnknown(chance.one_in(2)),
                3 => Strike::Settle(chance.of(&kinds)),
                4 | 5 => Strike::SettleUnknown(chance.one_in(2)),
                6 => Strike::Away(chance.below(20_000)),
                7 => Strike::Slow(chance.below(3_000), chance.below(6_000)),
                8 => Strike::LongSync(chance.below(3_000)),
                9 => Strike::PowerLoss(chance.below(1_000)),
                _ => Strike::ClockJump(chance.of(&[-7_200, -30, -2, 5, 20, 3_600])),
            };
            (chance.below(span), strike)
        })
        .collect();
    strikes.sort_by_key(|(at, _)| *at);
    strikes
}
