//! Judges a history: what was sent and answered, against what stands in the log.
//!
//! In: every record that was sent, with its outcome, and the log. Out: violations. A pure function, after the checker that
//! Jepsen has for Kafka: lost, duplicated, reordered, phantom, inconsistent offsets, failed writes that are there.

use std::{collections::BTreeMap, fmt};

/// A record's name: which task sent it, and as the how-manieth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) task: u32,
    pub(crate) number: u32,
}

/// What a record's sender was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is in the log, at this offset if one was told.
    Acked(Option<i64>),
    /// It is certainly not in the log.
    NotWritten,
    /// It may be in the log.
    Unknown,
    /// Nothing.
    Nothing,
}

/// One record that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) id: Id,
    pub(crate) partition: usize,
    pub(crate) told: Told,
}

/// What the brokers are known to have done to a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Harm {
    /// They lost batches from the end of the log, acknowledged ones among them.
    pub(crate) truncated: bool,
    /// They forgot what they knew of producers, so that they recognise no repetition.
    pub(crate) forgot: bool,
}

/// What the producer promises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// Each record at most once, in the order of sending.
    pub(crate) idempotent: bool,
    /// `acks=0`: an acknowledgement says nothing of the log.
    pub(crate) acks_0: bool,
}

/// One partition's log: what stands at each offset.
pub(crate) type Log = Vec<(i64, Id)>;

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A record has no outcome.
    Unanswered(Id),
    /// A record was acknowledged and is not in the log.
    Lost(Id),
    /// A record was acknowledged at an offset where something else stands.
    WrongOffset { id: Id, told: i64, there: Option<Id> },
    /// Two records were acknowledged at one offset.
    SameOffset { first: Id, second: Id, offset: i64 },
    /// A record is in the log more than once.
    Duplicated { id: Id, times: usize },
    /// Two records of one task stand in the log in the other order.
    Reordered { before: Id, after: Id },
    /// A record is in the log though its sender was told that it certainly is not.
    Written(Id),
    /// A record is in the log that was not sent to this partition.
    Phantom { partition: usize, id: Id },
    /// A partition had more batches in flight than the window allows.
    Window { batches: usize },
    /// A record was given up later than `delivery.timeout.ms` says.
    Late { id: Id, ms: u128 },
    /// The run does not come to rest.
    Restless,
    /// Memory is still charged when nothing is left.
    MemoryKept { bytes: usize },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Everything that is wrong with a history.
pub(crate) fn check(sent: &[Sent], logs: &[Log], harm: &[Harm], promise: Promise) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (partition, log) in logs.iter().enumerate() {
        let here: Vec<&Sent> = sent.iter().filter(|sent| sent.partition == partition).collect();
        let harm = harm.get(partition).copied().unwrap_or_default();
        check_partition(partition, &here, log, harm, promise, &mut violations);
    }
    violations
}

fn check_partition(
    partition: usize,
    sent: &[&Sent],
    log: &Log,
    harm: Harm,
    promise: Promise,
    violations: &mut Vec<Violation>,
) {
    let mut places: BTreeMap<Id, Vec<i64>> = BTreeMap::new();
    log.iter().for_each(|(offset, id)| places.entry(*id).or_default().push(*offset));
    let at: BTreeMap<i64, Id> = log.iter().copied().collect();
    let mut told: BTreeMap<i64, Id> = BTreeMap::new();
    for sent in sent {
        let there = places.remove(&sent.id).unwrap_or_default();
        match sent.told {
            Told::Nothing => violations.push(Violation::Unanswered(sent.id)),
            Told::NotWritten if !there.is_empty() => violations.push(Violation::Written(sent.id)),
            Told::Acked(offset) if !promise.acks_0 && !harm.truncated => {
                violations.extend(check_ack(sent.id, offset, &there, &at));
                let other = offset.and_then(|offset| told.insert(offset, sent.id).map(|first| (first, offset)));
                violations.extend(other.map(|(first, offset)| Violation::SameOffset {
                    first,
                    second: sent.id,
                    offset,
                }));
            }
            _ => {}
        }
        if promise.idempotent && !harm.forgot && there.len() > 1 {
            violations.push(Violation::Duplicated { id: sent.id, times: there.len() });
        }
    }
    violations.extend(places.into_keys().map(|id| Violation::Phantom { partition, id }));
    if promise.idempotent && !harm.forgot {
        violations.extend(check_order(log));
    }
}

fn check_ack(id: Id, offset: Option<i64>, there: &[i64], at: &BTreeMap<i64, Id>) -> Option<Violation> {
    match offset {
        _ if there.is_empty() => Some(Violation::Lost(id)),
        Some(told) if !there.contains(&told) => {
            Some(Violation::WrongOffset { id, told, there: at.get(&told).copied() })
        }
        _ => None,
    }
}

/// Records of one task stand in the order in which it sent them.
fn check_order(log: &Log) -> Vec<Violation> {
    let mut last: BTreeMap<u32, Id> = BTreeMap::new();
    let mut violations = Vec::new();
    for (_, id) in log {
        match last.get(&id.task) {
            Some(before) if before.number > id.number => {
                violations.push(Violation::Reordered { before: *before, after: *id });
            }
            _ => drop(last.insert(id.task, *id)),
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDEMPOTENT: Promise = Promise { idempotent: true, acks_0: false };
    const PLAIN: Promise = Promise { idempotent: false, acks_0: false };

    fn id(number: u32) -> Id {
        Id { task: 1, number }
    }

    fn sent(number: u32, told: Told) -> Sent {
        Sent { id: id(number), partition: 0, told }
    }

    fn judge(sent: &[Sent], log: &[(i64, u32)], harm: Harm, promise: Promise) -> Vec<Violation> {
        check(sent, &[log.iter().map(|(offset, number)| (*offset, id(*number))).collect()], &[harm], promise)
    }

    #[test]
    fn a_good_history_has_no_violation() {
        let sent = [
            sent(0, Told::Acked(Some(0))),
            sent(1, Told::Unknown),
            sent(2, Told::NotWritten),
            sent(3, Told::Acked(None)),
            sent(4, Told::Unknown),
        ];
        assert_eq!(judge(&sent, &[(0, 0), (1, 1), (2, 3)], Harm::default(), IDEMPOTENT), []);
    }

    #[test]
    fn every_kind_of_bad_history_is_found() {
        use Violation as V;
        let acked = |number, offset| sent(number, Told::Acked(Some(offset)));
        let table = vec![
            (vec![sent(0, Told::Nothing)], vec![(0, 0)], V::Unanswered(id(0))),
            (vec![acked(0, 0)], Vec::<(i64, u32)>::new(), V::Lost(id(0))),
            (vec![sent(0, Told::Acked(None))], vec![], V::Lost(id(0))),
            (
                vec![acked(0, 1), acked(1, 0)],
                vec![(0, 0), (1, 1)],
                V::WrongOffset { id: id(0), told: 1, there: Some(id(1)) },
            ),
            (
                vec![acked(0, 0), acked(1, 0)],
                vec![(0, 0), (1, 1)],
                V::SameOffset { first: id(0), second: id(1), offset: 0 },
            ),
            (vec![acked(0, 0)], vec![(0, 0), (1, 0)], V::Duplicated { id: id(0), times: 2 }),
            (vec![sent(0, Told::Unknown)], vec![(0, 0), (1, 0)], V::Duplicated { id: id(0), times: 2 }),
            (vec![acked(0, 1), acked(1, 0)], vec![(0, 1), (1, 0)], V::Reordered { before: id(1), after: id(0) }),
            (vec![sent(0, Told::NotWritten)], vec![(0, 0)], V::Written(id(0))),
            (vec![], vec![(0, 9)], V::Phantom { partition: 0, id: id(9) }),
        ];
        for (sent, log, expected) in table {
            let found = judge(&sent, &log, Harm::default(), IDEMPOTENT);
            assert!(found.contains(&expected), "{expected}: found {found:?}");
        }
    }

    #[test]
    fn a_record_in_another_partition_than_it_was_sent_to_is_a_phantom_there_and_lost_here() {
        let sent = [sent(0, Told::Acked(Some(0)))];
        let violations = check(&sent, &[vec![], vec![(0, id(0))]], &[], IDEMPOTENT);
        assert_eq!(violations, [Violation::Lost(id(0)), Violation::Phantom { partition: 1, id: id(0) }]);
    }

    #[test]
    fn what_the_brokers_did_is_not_held_against_the_producer() {
        let twice = [sent(0, Told::Acked(Some(0))), sent(1, Told::Acked(Some(1)))];
        let log = [(0, 0), (1, 1), (2, 0)];
        let forgot = Harm { forgot: true, ..Harm::default() };
        assert_eq!(judge(&twice, &log, forgot, IDEMPOTENT), []);
        let truncated = Harm { truncated: true, ..Harm::default() };
        assert_eq!(judge(&twice, &log[..1], truncated, IDEMPOTENT), []);
        assert!(!judge(&twice, &log, truncated, IDEMPOTENT).is_empty());
    }

    #[test]
    fn without_idempotence_repetitions_are_allowed_and_losses_are_not() {
        let twice = [sent(0, Told::Acked(Some(1)))];
        assert_eq!(judge(&twice, &[(0, 0), (1, 0)], Harm::default(), PLAIN), []);
        assert_eq!(judge(&twice, &[], Harm::default(), PLAIN), [Violation::Lost(id(0))]);
        let acks_0 = Promise { acks_0: true, ..PLAIN };
        assert_eq!(judge(&twice, &[], Harm::default(), acks_0), []);
    }
}
