//! Compares the outcomes of a producer's records with the log.
//!
//! In: every record that was sent, with its outcome, and the log. Out: counts, and each violation by name. Pure. The
//! longest time without an acknowledgement is measured here, too, but not judged.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// The id of a record: the client that sent it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) client: u32,
    pub(crate) number: u32,
}

/// A partition and an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// The outcome of a record that the producer reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    /// It is in the log, at this place if the response had an offset.
    Acked(Option<Place>),
    /// It is certainly not in the log.
    No,
    /// It may be in the log.
    Unknown,
}

/// One entry of the log; `None` is a record that no client sent with these bytes.
pub(crate) type Entry = (Place, Option<Id>);

/// A violation in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Acknowledged, but not in the log.
    Lost(Id),
    /// Acknowledged at a place with another record, or none.
    Wrong { id: Id, reported: Place },
    /// In the log a second time.
    Duplicate { id: Id, again: Place },
    /// After a record of its client and partition that was sent later.
    Reordered { id: Id, behind: Id },
    /// In the log, but reported as not written.
    Written(Id),
    /// In the log, but never sent.
    Phantom(Place),
}

/// The result for a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) records: usize,
    pub(crate) acked: usize,
    pub(crate) no: usize,
    pub(crate) unknown_in_log: usize,
    pub(crate) unknown_not_in_log: usize,
    pub(crate) violations: Vec<Violation>,
}

impl Judgement {
    /// The number of violations of a kind.
    pub(crate) fn count(&self, kind: impl Fn(&Violation) -> bool) -> usize {
        self.violations.iter().filter(|violation| kind(violation)).count()
    }
}

/// Compares the reported outcomes with a topic's log, which is sorted by place.
pub(crate) fn judge(reported: &BTreeMap<Id, Reported>, log: &[Entry]) -> Judgement {
    let mut judgement = Judgement { records: reported.len(), ..Judgement::default() };
    let places = check_log(reported, log, &mut judgement.violations);
    let at: HashMap<Place, Id> = log.iter().filter_map(|(place, id)| Some((*place, (*id)?))).collect();
    for (&id, &reported) in reported {
        let in_log = places.contains_key(&id);
        match reported {
            Reported::Acked(place) => {
                judgement.acked += 1;
                if !in_log {
                    judgement.violations.push(Violation::Lost(id));
                } else if let Some(reported) = place.filter(|place| at.get(place) != Some(&id)) {
                    judgement.violations.push(Violation::Wrong { id, reported });
                }
            }
            Reported::No => {
                judgement.no += 1;
                judgement.violations.extend(in_log.then_some(Violation::Written(id)));
            }
            Reported::Unknown if in_log => judgement.unknown_in_log += 1,
            Reported::Unknown => judgement.unknown_not_in_log += 1,
        }
    }
    judgement
}

/// Finds violations in the log alone. Returns the first place of each record.
fn check_log(reported: &BTreeMap<Id, Reported>, log: &[Entry], violations: &mut Vec<Violation>) -> HashMap<Id, Place> {
    let mut places = HashMap::new();
    let mut latest: HashMap<(i32, u32), Id> = HashMap::new();
    for &(place, id) in log {
        let Some(id) = id.filter(|id| reported.contains_key(id)) else {
            violations.push(Violation::Phantom(place));
            continue;
        };
        if places.contains_key(&id) {
            violations.push(Violation::Duplicate { id, again: place });
            continue;
        }
        places.insert(id, place);
        let latest = latest.entry((place.partition, id.client)).or_insert(id);
        if *latest > id {
            violations.push(Violation::Reordered { id, behind: *latest });
        }
        *latest = id.max(*latest);
    }
    places
}

/// The longest time between one acknowledgement and the next.
pub(crate) fn longest_silence(mut acknowledged: Vec<Instant>) -> Duration {
    acknowledged.sort_unstable();
    acknowledged.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> Id {
        Id { client: 0, number }
    }

    fn place(offset: i64) -> Place {
        Place { partition: 0, offset }
    }

    fn acked(number: u32, offset: i64) -> (Id, Reported) {
        (id(number), Reported::Acked(Some(place(offset))))
    }

    /// The numbers of the records at offsets 0, 1, 2 …
    fn log(numbers: &[u32]) -> Vec<Entry> {
        (0..).zip(numbers).map(|(offset, number)| (place(offset), Some(id(*number)))).collect()
    }

    fn violations(reported: impl IntoIterator<Item = (Id, Reported)>, log: &[Entry]) -> Vec<Violation> {
        judge(&reported.into_iter().collect(), log).violations
    }

    #[test]
    fn a_correct_history_is_counted_and_has_no_violation() {
        let reported =
            [acked(0, 0), (id(1), Reported::Unknown), (id(2), Reported::No), acked(3, 2), (id(4), Reported::Unknown)]
                .into();
        let expected =
            Judgement { records: 5, acked: 2, no: 1, unknown_in_log: 1, unknown_not_in_log: 1, violations: Vec::new() };
        assert_eq!(judge(&reported, &log(&[0, 1, 3])), expected);
    }

    #[test]
    fn every_kind_of_violation_is_found_once() {
        use Violation as V;
        let unsent = vec![(place(0), None)];
        let table = [
            ("lost", vec![acked(0, 0)], log(&[]), V::Lost(id(0))),
            ("lost, without an offset", vec![(id(0), Reported::Acked(None))], log(&[]), V::Lost(id(0))),
            ("at a place past the end", vec![acked(0, 7)], log(&[0]), V::Wrong { id: id(0), reported: place(7) }),
            ("twice", vec![acked(0, 0)], log(&[0, 0]), V::Duplicate { id: id(0), again: place(1) }),
            (
                "unknown, twice",
                vec![(id(0), Reported::Unknown)],
                log(&[0, 0]),
                V::Duplicate { id: id(0), again: place(1) },
            ),
            (
                "in the wrong order",
                vec![acked(0, 1), acked(1, 0)],
                log(&[1, 0]),
                V::Reordered { id: id(0), behind: id(1) },
            ),
            ("No, and in the log", vec![(id(0), Reported::No)], log(&[0]), V::Written(id(0))),
            ("never sent", vec![], log(&[9]), V::Phantom(place(0))),
            ("with other bytes", vec![], unsent, V::Phantom(place(0))),
        ];
        for (what, reported, log, expected) in table {
            assert_eq!(violations(reported, &log), [expected], "{what}");
        }
    }

    #[test]
    fn two_records_acknowledged_at_one_offset_are_a_violation() {
        let reported = [acked(0, 0), acked(1, 0)];
        assert_eq!(violations(reported, &log(&[0, 1])), [Violation::Wrong { id: id(1), reported: place(0) }]);
    }

    #[test]
    fn a_record_with_other_bytes_is_a_loss_as_well() {
        let found = violations([acked(0, 0)], &[(place(0), None)]);
        assert_eq!(found, [Violation::Phantom(place(0)), Violation::Lost(id(0))]);
    }

    #[test]
    fn a_record_in_another_partition_than_it_was_acknowledged_for_is_wrong() {
        let elsewhere = Place { partition: 1, offset: 0 };
        let found = violations([acked(0, 0)], &[(elsewhere, Some(id(0)))]);
        assert_eq!(found, [Violation::Wrong { id: id(0), reported: place(0) }]);
    }

    #[test]
    fn a_duplicate_is_not_counted_as_reordered() {
        let reported = [acked(0, 0), acked(1, 1)];
        assert_eq!(violations(reported, &log(&[0, 1, 0])), [Violation::Duplicate { id: id(0), again: place(2) }]);
    }

    #[test]
    fn the_order_of_different_clients_and_partitions_is_free() {
        let other = Id { client: 1, number: 0 };
        let elsewhere = Place { partition: 1, offset: 0 };
        let reported =
            [acked(0, 1), (other, Reported::Unknown), acked(5, 0), (id(1), Reported::Acked(Some(elsewhere)))];
        let log = [(place(0), Some(other)), (place(1), Some(id(0))), (place(2), Some(id(5))), (elsewhere, Some(id(1)))];
        let wrong = Violation::Wrong { id: id(5), reported: place(0) };
        assert_eq!(violations(reported, &log), [wrong], "the wrong place of record 5 is the only violation");
    }

    #[test]
    fn the_longest_silence_lies_between_two_acknowledgements() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(longest_silence(vec![at(900), at(0), at(100), at(950)]), Duration::from_millis(800));
        assert_eq!(longest_silence(vec![at(5)]), Duration::ZERO);
    }
}
