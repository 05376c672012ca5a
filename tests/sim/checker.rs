//! Judges a history: compares the reported outcomes of records with the logs.
//!
//! In: every record that was sent, with its outcome, and the logs. Out: violations. A pure function, modelled on
//! Jepsen's checker for Kafka: lost, duplicated, reordered, phantom, inconsistent offsets, failed records that were
//! written. A partition whose topic was deleted and created again has several logs. Each has to keep the same rules,
//! and a record may be acknowledged in any of them.

use std::{collections::BTreeMap, fmt};

use super::plan::TOPICS;

/// The id of a record: the task that sent it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) task: u32,
    pub(crate) number: u32,
}

/// The id of a record in a log whose value has no id.
pub(crate) const UNKNOWN_ID: Id = Id { task: u32::MAX, number: u32::MAX };

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}.{}", self.task, self.number)
    }
}

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The index in [`TOPICS`].
    pub(crate) topic: usize,
    pub(crate) partition: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", TOPICS[self.topic], self.partition)
    }
}

/// The outcome of a record that the producer reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    /// It is in the log, at this offset if there was one.
    Acked(Option<i64>),
    /// It is certainly not in the log.
    NotWritten,
    /// It may be in the log.
    Unknown,
    /// No outcome.
    Nothing,
}

/// One record that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) id: Id,
    pub(crate) place: Place,
    pub(crate) reported: Reported,
}

/// What the brokers did to a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Harm {
    /// They lost batches from the end of the log, including acknowledged ones.
    pub(crate) truncated: bool,
    /// They forgot their producer state, so they do not recognise duplicates.
    pub(crate) forgot: bool,
}

/// What the producer promises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// Each record at most once, in the order of sending.
    pub(crate) idempotent: bool,
    /// `acks=0`: an acknowledgement says nothing about the log.
    pub(crate) acks_0: bool,
}

/// The records of a partition's log by offset.
pub(crate) type Log = Vec<(i64, Id)>;

/// A violation in a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A record has no outcome.
    Unanswered(Id),
    /// A record was acknowledged and is not in the log.
    Lost(Id),
    /// A record was acknowledged at an offset that has another record.
    WrongOffset { id: Id, reported: i64, there: Option<Id> },
    /// Two records were acknowledged at one offset.
    SameOffset { first: Id, second: Id, offset: i64 },
    /// A record is in the log more than once.
    Duplicated { id: Id, times: usize },
    /// Two records of one task are in the log in the wrong order.
    Reordered { before: Id, after: Id },
    /// A record is in the log although it was reported as not written.
    Written(Id),
    /// A record is in the log that was not sent to this partition.
    Phantom { place: Place, id: Id },
    /// A record's callback did not run once, or received another outcome than its delivery.
    CalledBack { id: Id, times: usize },
    /// A flush ended before this record had its outcome.
    FlushedEarly(Id),
    /// A flush never ends. This many records were sent before it.
    FlushHangs { records: usize },
    /// A partition had more batches in flight than the limit.
    Window { batches: usize },
    /// A record expired later than `delivery.timeout.ms` allows.
    Late { id: Id, ms: u128 },
    /// `send` refused a record for an impossible reason.
    Refused { id: Id, error: String },
    /// A call is pending although the producer has ended.
    CallHangs(Id),
    /// The run does not end.
    Restless,
    /// Memory is still charged when no record is left.
    MemoryKept { bytes: usize },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// All violations of a history.
pub(crate) fn check(
    sent: &[Sent],
    logs: &BTreeMap<Place, Vec<Log>>,
    harm: &BTreeMap<Place, Harm>,
    promise: Promise,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (place, logs) in logs {
        let here: Vec<&Sent> = sent.iter().filter(|sent| sent.place == *place).collect();
        let harm = harm.get(place).copied().unwrap_or_default();
        violations.extend(here.iter().filter_map(|sent| check_outcome(sent, logs, harm, promise)));
        for log in logs {
            violations.extend(check_log(*place, &here, log, harm, promise));
        }
        if let [log] = logs.as_slice() {
            violations.extend(check_offsets(&here, log, harm, promise));
        }
    }
    violations
}

/// Compares the outcome of a record with all present and deleted logs of the partition.
fn check_outcome(sent: &Sent, logs: &[Log], harm: Harm, promise: Promise) -> Option<Violation> {
    let id = sent.id;
    let there = || logs.iter().flatten().filter(move |(_, there)| *there == id).map(|(offset, _)| *offset);
    match sent.reported {
        Reported::Nothing => Some(Violation::Unanswered(id)),
        Reported::NotWritten => there().next().map(|_| Violation::Written(id)),
        Reported::Acked(_) if promise.acks_0 || harm.truncated => None,
        Reported::Acked(_) if there().next().is_none() => Some(Violation::Lost(id)),
        Reported::Acked(Some(reported)) if there().all(|offset| offset != reported) => {
            let mut others = logs.iter().flatten().filter(|(offset, _)| *offset == reported);
            Some(Violation::WrongOffset { id, reported, there: others.next().map(|(_, id)| *id) })
        }
        _ => None,
    }
}

/// Compares a log with the records that were sent to it.
fn check_log(place: Place, sent: &[&Sent], log: &Log, harm: Harm, promise: Promise) -> Vec<Violation> {
    let mut times: BTreeMap<Id, usize> = BTreeMap::new();
    log.iter().for_each(|(_, id)| *times.entry(*id).or_default() += 1);
    let exactly = promise.idempotent && !harm.forgot;
    let sent: std::collections::BTreeSet<Id> = sent.iter().map(|sent| sent.id).collect();
    let judged = times.into_iter().filter_map(|(id, times)| match times {
        _ if !sent.contains(&id) => Some(Violation::Phantom { place, id }),
        2.. if exactly => Some(Violation::Duplicated { id, times }),
        _ => None,
    });
    judged.chain(check_order(log).into_iter().filter(|_| exactly)).collect()
}

/// No two records are acknowledged at one offset.
fn check_offsets(sent: &[&Sent], log: &Log, harm: Harm, promise: Promise) -> Vec<Violation> {
    let mut reported: BTreeMap<i64, Id> = BTreeMap::new();
    let mut violations = Vec::new();
    for sent in sent {
        let Reported::Acked(Some(offset)) = sent.reported else { continue };
        let first = reported.insert(offset, sent.id).filter(|_| !promise.acks_0 && !harm.truncated && !log.is_empty());
        violations.extend(first.map(|first| Violation::SameOffset { first, second: sent.id, offset }));
    }
    violations
}

/// Records of one task are in the order in which it sent them.
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

    const HERE: Place = Place { topic: 0, partition: 0 };
    const THERE: Place = Place { topic: 0, partition: 1 };

    fn sent(number: u32, reported: Reported) -> Sent {
        Sent { id: id(number), place: HERE, reported }
    }

    fn log(records: &[(i64, u32)]) -> Log {
        records.iter().map(|(offset, number)| (*offset, id(*number))).collect()
    }

    fn judge(sent: &[Sent], records: &[(i64, u32)], harm: Harm, promise: Promise) -> Vec<Violation> {
        check(sent, &[(HERE, vec![log(records)])].into(), &[(HERE, harm)].into(), promise)
    }

    #[test]
    fn a_correct_history_has_no_violation() {
        let sent = [
            sent(0, Reported::Acked(Some(0))),
            sent(1, Reported::Unknown),
            sent(2, Reported::NotWritten),
            sent(3, Reported::Acked(None)),
            sent(4, Reported::Unknown),
        ];
        assert_eq!(judge(&sent, &[(0, 0), (1, 1), (2, 3)], Harm::default(), IDEMPOTENT), []);
    }

    #[test]
    fn every_kind_of_violation_is_found() {
        use Violation as V;
        let acked = |number, offset| sent(number, Reported::Acked(Some(offset)));
        let table = vec![
            (vec![sent(0, Reported::Nothing)], vec![(0, 0)], V::Unanswered(id(0))),
            (vec![acked(0, 0)], Vec::<(i64, u32)>::new(), V::Lost(id(0))),
            (vec![sent(0, Reported::Acked(None))], vec![], V::Lost(id(0))),
            (
                vec![acked(0, 1), acked(1, 0)],
                vec![(0, 0), (1, 1)],
                V::WrongOffset { id: id(0), reported: 1, there: Some(id(1)) },
            ),
            (
                vec![acked(0, 0), acked(1, 0)],
                vec![(0, 0), (1, 1)],
                V::SameOffset { first: id(0), second: id(1), offset: 0 },
            ),
            (vec![acked(0, 0)], vec![(0, 0), (1, 0)], V::Duplicated { id: id(0), times: 2 }),
            (vec![sent(0, Reported::Unknown)], vec![(0, 0), (1, 0)], V::Duplicated { id: id(0), times: 2 }),
            (vec![acked(0, 1), acked(1, 0)], vec![(0, 1), (1, 0)], V::Reordered { before: id(1), after: id(0) }),
            (vec![sent(0, Reported::NotWritten)], vec![(0, 0)], V::Written(id(0))),
            (vec![], vec![(0, 9)], V::Phantom { place: HERE, id: id(9) }),
        ];
        for (sent, log, expected) in table {
            let found = judge(&sent, &log, Harm::default(), IDEMPOTENT);
            assert!(found.contains(&expected), "{expected}: found {found:?}");
        }
    }

    #[test]
    fn a_record_in_another_partition_than_it_was_sent_to_is_a_phantom_there_and_lost_here() {
        let sent = [sent(0, Reported::Acked(Some(0)))];
        let logs = [(HERE, vec![log(&[])]), (THERE, vec![log(&[(0, 0)])])].into();
        let violations = check(&sent, &logs, &BTreeMap::new(), IDEMPOTENT);
        assert_eq!(violations, [Violation::Lost(id(0)), Violation::Phantom { place: THERE, id: id(0) }]);
    }

    #[test]
    fn damage_by_the_brokers_is_no_violation_of_the_producer() {
        let twice = [sent(0, Reported::Acked(Some(0))), sent(1, Reported::Acked(Some(1)))];
        let log = [(0, 0), (1, 1), (2, 0)];
        let forgot = Harm { forgot: true, ..Harm::default() };
        assert_eq!(judge(&twice, &log, forgot, IDEMPOTENT), []);
        let truncated = Harm { truncated: true, ..Harm::default() };
        assert_eq!(judge(&twice, &log[..1], truncated, IDEMPOTENT), []);
        assert!(!judge(&twice, &log, truncated, IDEMPOTENT).is_empty());
    }

    #[test]
    fn without_idempotence_repetitions_are_allowed_and_losses_are_not() {
        let twice = [sent(0, Reported::Acked(Some(1)))];
        assert_eq!(judge(&twice, &[(0, 0), (1, 0)], Harm::default(), PLAIN), []);
        assert_eq!(judge(&twice, &[], Harm::default(), PLAIN), [Violation::Lost(id(0))]);
        let acks_0 = Promise { acks_0: true, ..PLAIN };
        assert_eq!(judge(&twice, &[], Harm::default(), acks_0), []);
    }

    #[test]
    fn each_log_of_a_recreated_topic_is_checked_and_any_may_have_the_record() {
        let judge = |sent: &[Sent], logs: Vec<Log>| check(sent, &[(HERE, logs)].into(), &BTreeMap::new(), IDEMPOTENT);
        let acked = |number, offset| sent(number, Reported::Acked(Some(offset)));
        let both = [acked(0, 0), acked(1, 1), acked(2, 0)];
        assert_eq!(judge(&both, vec![log(&[(0, 0), (1, 1)]), log(&[(0, 2)])]), []);
        assert_eq!(
            judge(&both, vec![log(&[(0, 0), (1, 1)]), log(&[(0, 1), (1, 2)])]),
            [Violation::WrongOffset { id: id(2), reported: 0, there: Some(id(0)) }]
        );
        assert_eq!(judge(&both, vec![log(&[(0, 0), (1, 1)]), log(&[])]), [Violation::Lost(id(2))]);
        let twice = Violation::Duplicated { id: id(2), times: 2 };
        assert_eq!(judge(&both, vec![log(&[(0, 0), (1, 1)]), log(&[(0, 2), (1, 2)])]), [twice]);
        let denied = [sent(0, Reported::NotWritten)];
        assert_eq!(judge(&denied, vec![log(&[(0, 0)]), log(&[])]), [Violation::Written(id(0))]);
    }
}
