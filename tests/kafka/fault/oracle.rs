//! Compares the outcomes of a producer's records with the log.
//!
//! In: every record that was sent, with its outcome, and the log. Out: counts, and each violation by name. Pure. The
//! longest time without an acknowledgement is measured here, too, but not judged.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// A record's name: which client sent it, and as the how-manieth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) client: u32,
    pub(crate) number: u32,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// What became of a record, as its sender was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is in the log: here, if a broker told the offset.
    Acked(Option<Place>),
    /// It is certainly not in the log.
    No,
    /// It may be in the log.
    Unknown,
}

/// One entry of the log; `None` is a record that nobody sent, byte for byte.
pub(crate) type Entry = (Place, Option<Id>);

/// What is wrong with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Acknowledged, and nowhere in the log.
    Lost(Id),
    /// Acknowledged at a place that holds something else, or nothing.
    Wrong { id: Id, told: Place },
    /// Once more in the log than once.
    Duplicate { id: Id, again: Place },
    /// Stands behind a record of its client and partition that was sent later.
    Reordered { id: Id, behind: Id },
    /// In the log, though its sender was told that it certainly is not.
    Written(Id),
    /// In the log, though nobody sent it.
    Phantom(Place),
}

/// A history, judged.
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
    /// How many violations are of a kind.
    pub(crate) fn count(&self, kind: impl Fn(&Violation) -> bool) -> usize {
        self.violations.iter().filter(|violation| kind(violation)).count()
    }
}

/// Holds what was told against a topic's log, which is in the order of places.
pub(crate) fn judge(told: &BTreeMap<Id, Told>, log: &[Entry]) -> Judgement {
    let mut judgement = Judgement { records: told.len(), ..Judgement::default() };
    let places = check_log(told, log, &mut judgement.violations);
    let at: HashMap<Place, Id> = log.iter().filter_map(|(place, id)| Some((*place, (*id)?))).collect();
    for (&id, &told) in told {
        let there = places.contains_key(&id);
        match told {
            Told::Acked(place) => {
                judgement.acked += 1;
                if !there {
                    judgement.violations.push(Violation::Lost(id));
                } else if let Some(told) = place.filter(|place| at.get(place) != Some(&id)) {
                    judgement.violations.push(Violation::Wrong { id, told });
                }
            }
            Told::No => {
                judgement.no += 1;
                judgement.violations.extend(there.then_some(Violation::Written(id)));
            }
            Told::Unknown if there => judgement.unknown_in_log += 1,
            Told::Unknown => judgement.unknown_not_in_log += 1,
        }
    }
    judgement
}

/// What can be seen in the log alone. Returns where each record stands first.
fn check_log(told: &BTreeMap<Id, Told>, log: &[Entry], violations: &mut Vec<Violation>) -> HashMap<Id, Place> {
    let mut places = HashMap::new();
    let mut latest: HashMap<(i32, u32), Id> = HashMap::new();
    for &(place, id) in log {
        let Some(id) = id.filter(|id| told.contains_key(id)) else {
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

    fn acked(number: u32, offset: i64) -> (Id, Told) {
        (id(number), Told::Acked(Some(place(offset))))
    }

    /// The numbers of the records at offsets 0, 1, 2 …
    fn log(numbers: &[u32]) -> Vec<Entry> {
        (0..).zip(numbers).map(|(offset, number)| (place(offset), Some(id(*number)))).collect()
    }

    fn violations(told: impl IntoIterator<Item = (Id, Told)>, log: &[Entry]) -> Vec<Violation> {
        judge(&told.into_iter().collect(), log).violations
    }

    #[test]
    fn a_good_history_is_counted_and_has_no_violation() {
        let told = [acked(0, 0), (id(1), Told::Unknown), (id(2), Told::No), acked(3, 2), (id(4), Told::Unknown)].into();
        let expected =
            Judgement { records: 5, acked: 2, no: 1, unknown_in_log: 1, unknown_not_in_log: 1, violations: Vec::new() };
        assert_eq!(judge(&told, &log(&[0, 1, 3])), expected);
    }

    #[test]
    fn every_kind_of_bad_history_is_found_once() {
        use Violation as V;
        let unsent = vec![(place(0), None)];
        let table = [
            ("lost", vec![acked(0, 0)], log(&[]), V::Lost(id(0))),
            ("lost, without an offset", vec![(id(0), Told::Acked(None))], log(&[]), V::Lost(id(0))),
            ("at a place past the end", vec![acked(0, 7)], log(&[0]), V::Wrong { id: id(0), told: place(7) }),
            ("twice", vec![acked(0, 0)], log(&[0, 0]), V::Duplicate { id: id(0), again: place(1) }),
            ("unknown, twice", vec![(id(0), Told::Unknown)], log(&[0, 0]), V::Duplicate { id: id(0), again: place(1) }),
            (
                "in the wrong order",
                vec![acked(0, 1), acked(1, 0)],
                log(&[1, 0]),
                V::Reordered { id: id(0), behind: id(1) },
            ),
            ("No, and there", vec![(id(0), Told::No)], log(&[0]), V::Written(id(0))),
            ("never sent", vec![], log(&[9]), V::Phantom(place(0))),
            ("with other bytes", vec![], unsent, V::Phantom(place(0))),
        ];
        for (what, told, log, expected) in table {
            assert_eq!(violations(told, &log), [expected], "{what}");
        }
    }

    #[test]
    fn two_records_acknowledged_at_one_place_cannot_both_be_right() {
        let told = [acked(0, 0), acked(1, 0)];
        assert_eq!(violations(told, &log(&[0, 1])), [Violation::Wrong { id: id(1), told: place(0) }]);
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
        assert_eq!(found, [Violation::Wrong { id: id(0), told: place(0) }]);
    }

    #[test]
    fn a_repetition_counts_as_such_and_not_as_disorder() {
        let told = [acked(0, 0), acked(1, 1)];
        assert_eq!(violations(told, &log(&[0, 1, 0])), [Violation::Duplicate { id: id(0), again: place(2) }]);
    }

    #[test]
    fn the_order_of_different_clients_and_partitions_is_free() {
        let other = Id { client: 1, number: 0 };
        let elsewhere = Place { partition: 1, offset: 0 };
        let told = [acked(0, 1), (other, Told::Unknown), acked(5, 0), (id(1), Told::Acked(Some(elsewhere)))];
        let log = [(place(0), Some(other)), (place(1), Some(id(0))), (place(2), Some(id(5))), (elsewhere, Some(id(1)))];
        let wrong = Violation::Wrong { id: id(5), told: place(0) };
        assert_eq!(violations(told, &log), [wrong], "its place was made wrong on purpose, and nothing else");
    }

    #[test]
    fn the_longest_silence_lies_between_two_acknowledgements() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(longest_silence(vec![at(900), at(0), at(100), at(950)]), Duration::from_millis(800));
        assert_eq!(longest_silence(vec![at(5)]), Duration::ZERO);
    }
}
