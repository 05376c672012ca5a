//! What is wrong with a run.
//!
//! In: the calls, the logs, and the store at the end. Out: violations. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    home::TOPIC,
    kafka::Entry,
    plan::Plan,
    world::{Call, Fate},
};
use crate::{
    publisher::Order,
    relay::Poison,
    store::{Status, StoreStats, StoredEvent},
};

/// A promise that was not kept: which, and the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// An accepted event is nowhere.
    Lost,
    /// `Published`, and not in the topic.
    NotPublished,
    /// An error that does not have the event.
    NotHandedBack,
    /// Handed back as not written, and in the topic.
    FalseError,
    /// Events of a key are in another order than their calls.
    Disorder,
    /// A repetition without a mark.
    Unflagged,
    /// A topic that nobody should write to.
    Letter,
    /// The counters of the store do not agree with its rows.
    Miscounted,
    /// A call that does not return.
    Hangs,
    /// Something panics, or spins.
    Panics,
    /// Events stay in the store though all is well.
    Undrained,
    /// Events are stored though nothing is in their way.
    Indirect,
}

/// What a run has left.
pub(super) struct Remains {
    pub(super) calls: Vec<Call>,
    pub(super) logs: BTreeMap<String, Vec<Entry>>,
    pub(super) rows: Vec<StoredEvent>,
    pub(super) stats: StoreStats,
}

/// All violations.
pub(super) fn judge(plan: &Plan, remains: &Remains) -> Vec<(Kind, String)> {
    let mut found = fates(remains);
    if plan.poison == Poison::Block {
        found.extend(order(plan, remains));
    }
    for log in remains.logs.values() {
        found.extend(repetitions(log, plan.clock_jumps()));
    }
    let letters = format!("{TOPIC}.dlq");
    let foreign = remains.logs.keys().filter(|topic| *topic != TOPIC && **topic != letters);
    found.extend(foreign.map(|topic| (Kind::Letter, topic.clone())));
    found.extend(counters(remains));
    found
}

fn of<'a>(remains: &'a Remains, topic: &str) -> &'a [Entry] {
    remains.logs.get(topic).map_or(&[], Vec::as_slice)
}

/// The events, by their numbers.
fn calls(remains: &Remains) -> impl Iterator<Item = (u64, &Call)> {
    (1..).zip(&remains.calls)
}

fn fates(remains: &Remains) -> Vec<(Kind, String)> {
    let ids = |log: &[Entry]| log.iter().map(|entry| entry.id).collect::<BTreeSet<_>>();
    let (written, letters) = (ids(of(remains, TOPIC)), ids(of(remains, &format!("{TOPIC}.dlq"))));
    let kept: BTreeSet<u128> = remains.rows.iter().map(|row| row.event_id.as_u128()).collect();
    let wrong = calls(remains).filter_map(|(id, call)| {
        let is_written = written.contains(&id);
        let is_somewhere = is_written || letters.contains(&id) || kept.contains(&u128::from(id));
        let kind = match call.fate {
            Fate::Published if !is_written => Kind::NotPublished,
            Fate::Stored if !is_somewhere => Kind::Lost,
            Fate::Robbed => Kind::NotHandedBack,
            Fate::Back { maybe: false } if is_written => Kind::FalseError,
            Fate::Open if !call.is_killed => Kind::Hangs,
            Fate::Open if call.is_kept && !is_somewhere => Kind::Lost,
            _ => return None,
        };
        Some((kind, format!("e{id}")))
    });
    wrong.collect()
}

/// Whether events of a key keep their order.
fn is_ordered(plan: &Plan, key: u64) -> bool {
    match plan.order {
        Order::PerKey => true,
        Order::PerKeyOfInstance => plan.common(key).is_none(),
        Order::None => false,
    }
}

/// The first records of accepted events are in the order of the calls, whichever instance was called. What was written after its producer had an
/// outcome or had died, or after a replay, is not of it.
fn order(plan: &Plan, remains: &Remains) -> Vec<(Kind, String)> {
    let mut first = BTreeMap::new();
    let is_of_it = |entry: &Entry| !entry.is_late && !entry.is_replayed;
    for (place, entry) in of(remains, TOPIC).iter().enumerate().filter(|(_, entry)| is_of_it(entry)) {
        first.entry(entry.id).or_insert(place);
    }
    let mut last: BTreeMap<u64, (usize, u64)> = BTreeMap::new();
    let mut found = Vec::new();
    for (id, call) in calls(remains).filter(|(_, call)| call.is_accepted()) {
        let (Some(key), Some(place)) = (call.key.filter(|key| is_ordered(plan, *key)), first.get(&id)) else {
            continue;
        };
        if let Some((before, newer)) = last.get(&key).filter(|(before, _)| before > place) {
            found.push((
                Kind::Disorder,
                format!("key {key}: e{newer} was called before e{id}, and is at {before} behind {place}"),
            ));
        }
        last.insert(key, (*place, id));
    }
    found
}

/// At most one record of an event has no mark, and it was sent before all that are before it in the log. (If the clock of the store jumps, a
/// lease can end before its time, so that only the first holds.)
fn repetitions(log: &[Entry], clock_jumps: bool) -> Vec<(Kind, String)> {
    let mut by_id: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
    log.iter().for_each(|entry| by_id.entry(entry.id).or_default().push(*entry));
    let is_wrong = |entries: &Vec<Entry>| {
        let unmarked = entries.iter().filter(|entry| !entry.is_flagged).count();
        let late = entries
            .iter()
            .enumerate()
            .any(|(place, entry)| !entry.is_flagged && entries[..place].iter().any(|before| before.sent < entry.sent));
        unmarked > 1 || (late && !clock_jumps)
    };
    by_id.retain(|_, entries| is_wrong(entries));
    by_id.keys().map(|id| (Kind::Unflagged, format!("e{id}"))).collect()
}

fn counters(remains: &Remains) -> Option<(Kind, String)> {
    let Remains { rows, stats, .. } = remains;
    let count = |status| rows.iter().filter(|row| row.status == status).count() as u64;
    let counted = [
        count(Status::Pending),
        count(Status::Retrying),
        count(Status::DeadLetterFailed),
        rows.len() as u64,
        rows.iter().map(|row| row.bytes).sum(),
    ];
    let told = [stats.pending, stats.retrying, stats.dlq_failed, stats.rows, stats.bytes];
    (counted != told).then(|| (Kind::Miscounted, format!("{counted:?} and not {told:?}")))
}
