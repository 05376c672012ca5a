//! Checks a topic against the acknowledgements of its producer.
//!
//! In: the records that were sent, acknowledged and read back. Out: a verdict for each claim, in the order in which the claims
//! build on one another. Pure. The topic may hold older records, and other producers may write to it at the same time, so the
//! records read back need not be of this run.

use std::collections::{BTreeMap, BTreeSet};

/// A record as it was passed to the producer. Its number is its index in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acked {
    /// The record's number.
    pub(crate) number: usize,
    pub(crate) partition: i32,
    /// `None` if the response had no offset.
    pub(crate) offset: Option<i64>,
}

/// A record read back from the topic. Offsets ascend within a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// The record's number; `None` if it is not of this run.
    pub(crate) number: Option<usize>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

/// One run of a producer: what it sent and received, and what the topic holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) sent: Vec<Sent>,
    pub(crate) acked: Vec<Acked>,
    pub(crate) found: Vec<Found>,
}

/// A claim, and the reason if it does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) claim: String,
    pub(crate) result: Result<(), String>,
}

/// A claim that holds if `holds`, and otherwise the reason why it does not.
pub(crate) fn claim(claim: impl Into<String>, holds: bool, got: impl std::fmt::Display) -> Verdict {
    Verdict { claim: claim.into(), result: if holds { Ok(()) } else { Err(format!("got {got}")) } }
}

/// Checks every claim.
pub(crate) fn check(history: &History) -> Vec<Verdict> {
    let count = history.sent.len();
    let verdict = |claim: String, check: fn(&History) -> Result<(), String>| Verdict { claim, result: check(history) };
    vec![
        verdict(format!("each of the {count} records is acknowledged once"), acknowledged_once),
        verdict(format!("the topic holds exactly {count} records of this run"), exact_count),
        verdict("nothing stands there twice".into(), nothing_twice),
        verdict("every record stands where it was acknowledged, unchanged".into(), at_its_offset),
        verdict("the same key always goes to the same partition".into(), one_partition_per_key),
        verdict("the records of a key stand in the order of sending".into(), order_per_key),
        verdict("the offsets of a partition have no gaps".into(), no_gaps),
    ]
}

/// Checks the claims without idempotence: no record is lost, and a retry appends the records again.
pub(crate) fn check_plain(history: &History) -> Vec<Verdict> {
    let count = history.sent.len();
    let verdict = |claim: String, check: fn(&History) -> Result<(), String>| Verdict { claim, result: check(history) };
    vec![
        verdict(format!("each of the {count} records is acknowledged once"), acknowledged_once),
        verdict(format!("each of the {count} records is in the topic"), exact_count),
        verdict("a record stands there twice: without idempotence a retry is a new record".into(), something_twice),
        verdict("every record stands where it was acknowledged, unchanged".into(), at_its_offset),
        verdict("the offsets of a partition have no gaps".into(), no_gaps),
    ]
}

/// The first claim that does not hold.
pub(crate) fn first_failure(verdicts: &[Verdict]) -> Option<&Verdict> {
    verdicts.iter().find(|verdict| verdict.result.is_err())
}

/// A table of the records of this run by partition.
pub(crate) fn summary(history: &History, partitions: i32) -> String {
    let mut table = format!("{:>9}  {:>7}  {:<11}  keys\n", "partition", "records", "offsets");
    let mut total = 0;
    for partition in 0..partitions {
        let here: Vec<_> = of_this_run(history).filter(|(.., found)| found.partition == partition).collect();
        let keys: BTreeSet<_> = here.iter().map(|(sent, ..)| sent.key.as_str()).collect();
        let offsets = match (here.first(), here.last()) {
            (Some((.., first)), Some((.., last))) => format!("{}-{}", first.offset, last.offset),
            _ => "-".into(),
        };
        let keys = Vec::from_iter(keys).join(", ");
        let row = format!("{partition:>9}  {:>7}  {offsets:<11}  {keys}", here.len());
        table.push_str(row.trim_end());
        table.push('\n');
        total += here.len();
    }
    table + &format!("{:>9}  {total:>7}", "total")
}

fn acknowledged_once(history: &History) -> Result<(), String> {
    let mut times = vec![0; history.sent.len()];
    for acked in &history.acked {
        match times.get_mut(acked.number) {
            Some(times) => *times += 1,
            None => return Err(format!("record {} was acknowledged, but never sent", acked.number)),
        }
    }
    none_or(times.iter().enumerate().find(|(_, times)| **times != 1), |(number, times)| {
        format!("record {number} was acknowledged {times} times")
    })
}

fn exact_count(history: &History) -> Result<(), String> {
    let found: BTreeSet<_> = history.found.iter().filter_map(|found| found.number).collect();
    let missing = (0..history.sent.len()).find(|number| !found.contains(number));
    none_or(missing, |number| format!("record {number} is not there"))?;
    let foreign = found.iter().find(|&&number| number >= history.sent.len());
    none_or(foreign, |number| format!("record {number} is there, but was never sent"))
}

fn nothing_twice(history: &History) -> Result<(), String> {
    let mut places = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for Found { partition, offset, number, .. } in &history.found {
        if !taken.insert((partition, offset)) {
            return Err(format!("partition {partition} has offset {offset} twice"));
        }
        let Some(number) = number else { continue };
        if let Some((p, o)) = places.insert(number, (partition, offset)) {
            return Err(format!("record {number} stands at {p}@{o} and at {partition}@{offset}"));
        }
    }
    Ok(())
}

fn something_twice(history: &History) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let twice = of_this_run(history).any(|(_, number, _)| !seen.insert(number));
    if twice { Ok(()) } else { Err("every record stands there once: no retry met a request that was written".into()) }
}

fn at_its_offset(history: &History) -> Result<(), String> {
    for Acked { number, partition, offset } in &history.acked {
        let place = offset.map_or_else(|| format!("{partition}@unknown"), |offset| format!("{partition}@{offset}"));
        let found = history.found.iter().find(|found| match offset {
            Some(offset) => (found.partition, found.offset) == (*partition, *offset),
            None => found.partition == *partition && found.number == Some(*number),
        });
        let Some(found) = found else {
            return Err(format!("record {number} was acknowledged at {place}, where nothing stands"));
        };
        if found.number != Some(*number) {
            return Err(format!("record {number} was acknowledged at {place}, where another record stands"));
        }
        if !history.sent.get(*number).is_some_and(|sent| unchanged(sent, found)) {
            return Err(format!("record {number} at {place} has another key or value than was sent"));
        }
    }
    Ok(())
}

fn unchanged(sent: &Sent, found: &Found) -> bool {
    found.key.as_deref() == Some(sent.key.as_bytes()) && found.value.as_deref() == Some(sent.value.as_bytes())
}

fn one_partition_per_key(history: &History) -> Result<(), String> {
    let mut partitions = BTreeMap::new();
    for (sent, _, found) in of_this_run(history) {
        let first = *partitions.entry(&sent.key).or_insert(found.partition);
        if first != found.partition {
            return Err(format!("key {} stands in partitions {first} and {}", sent.key, found.partition));
        }
    }
    Ok(())
}

fn order_per_key(history: &History) -> Result<(), String> {
    let mut last = BTreeMap::new();
    for (sent, number, found) in of_this_run(history) {
        match last.insert((found.partition, &sent.key), (number, found.offset)) {
            Some((before, _)) if before > number => {
                return Err(format!("key {}: record {before} stands before record {number}", sent.key));
            }
            Some((before, offset)) if offset >= found.offset => {
                return Err(format!("key {}: record {number} does not stand behind record {before}", sent.key));
            }
            _ => {}
        }
    }
    Ok(())
}

fn no_gaps(history: &History) -> Result<(), String> {
    let mut ranges: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for (_, _, found) in of_this_run(history) {
        let (first, last) = ranges.entry(found.partition).or_insert((found.offset, found.offset));
        (*first, *last) = ((*first).min(found.offset), (*last).max(found.offset));
    }
    let present: BTreeSet<_> = history.found.iter().map(|found| (found.partition, found.offset)).collect();
    for (partition, (first, last)) in ranges {
        let gap = (first..=last).find(|&offset| !present.contains(&(partition, offset)));
        none_or(gap, |offset| {
            format!("partition {partition} has records at {first} and {last}, but none at {offset}")
        })?;
    }
    Ok(())
}

/// The records of this run as they were sent and as they were read back, in the order of the topic.
fn of_this_run(history: &History) -> impl Iterator<Item = (&Sent, usize, &Found)> {
    history.found.iter().filter_map(|found| {
        let number = found.number?;
        Some((history.sent.get(number)?, number, found))
    })
}

fn none_or<T>(contradiction: Option<T>, describe: impl Fn(T) -> String) -> Result<(), String> {
    contradiction.map_or(Ok(()), |contradiction| Err(describe(contradiction)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(number: usize) -> Sent {
        Sent { key: format!("user-{}", number % 2), value: format!("order {number}") }
    }

    fn acked(number: usize, partition: i32, offset: i64) -> Acked {
        Acked { number, partition, offset: Some(offset) }
    }

    fn found(number: usize, partition: i32, offset: i64) -> Found {
        let Sent { key, value } = sent(number);
        Found { partition, offset, number: Some(number), key: Some(key.into()), value: Some(value.into()) }
    }

    fn foreign(partition: i32, offset: i64) -> Found {
        Found { partition, offset, number: None, key: None, value: None }
    }

    /// Four records with two keys: 0 and 2 in partition 0, 1 and 3 in partition 1. Partition 0 holds older records.
    fn good() -> History {
        let places = [(0, 0, 10), (2, 0, 11), (1, 1, 0), (3, 1, 1)];
        History {
            sent: (0..4).map(sent).collect(),
            acked: places.iter().map(|&(number, partition, offset)| acked(number, partition, offset)).collect(),
            found: places.iter().map(|&(number, partition, offset)| found(number, partition, offset)).collect(),
        }
    }

    /// The first claim that does not hold after `spoil`, and the reason.
    fn first_after(spoil: impl Fn(&mut History)) -> (usize, String) {
        let mut history = good();
        spoil(&mut history);
        let verdicts = check(&history);
        let position = verdicts.iter().position(|verdict| verdict.result.is_err()).expect("no claim failed");
        assert_eq!(first_failure(&verdicts), Some(&verdicts[position]));
        (position, verdicts[position].result.clone().unwrap_err())
    }

    #[test]
    fn a_correct_history_passes_every_check() {
        assert_eq!(first_failure(&check(&good())), None);
        assert_eq!(first_failure(&check(&History::default())), None);
    }

    #[test]
    fn the_summary_has_a_row_for_each_partition() {
        let mut history = good();
        history.found.push(foreign(2, 0));
        let expected = [
            "partition  records  offsets      keys",
            "        0        2  10-11        user-0",
            "        1        2  0-1          user-1",
            "        2        0  -",
            "    total        4",
        ];
        assert_eq!(summary(&history, 3).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn without_idempotence_a_duplicate_is_expected() {
        let failed = |history: &History| first_failure(&check_plain(history)).map(|verdict| verdict.claim.clone());
        assert!(failed(&good()).unwrap().starts_with("a record stands there twice"));
        let mut history = good();
        history.found.push(found(3, 1, 2));
        assert_eq!(failed(&history), None);
        history.found.remove(0);
        assert!(failed(&history).unwrap().ends_with("is in the topic"));
    }

    #[test]
    fn records_of_other_producers_are_ignored() {
        let mut history = good();
        history.found.insert(0, foreign(0, 9));
        history.found[2] = foreign(0, 11);
        history.found.insert(3, found(2, 0, 12));
        history.acked[1] = acked(2, 0, 12);
        assert_eq!(first_failure(&check(&history)), None);
    }

    #[test]
    fn an_acknowledgement_without_an_offset_only_needs_the_record_in_its_partition() {
        let mut history = good();
        history.acked[0].offset = None;
        assert_eq!(first_failure(&check(&history)), None);
        history.acked[0].partition = 1;
        let verdicts = check(&history);
        assert!(first_failure(&verdicts).unwrap().result.as_ref().unwrap_err().contains("where nothing stands"));
    }

    #[test]
    fn acknowledgements_that_are_missing_repeated_or_invented_are_found() {
        let missing = first_after(|h| h.acked.truncate(3));
        assert_eq!(missing, (0, "record 3 was acknowledged 0 times".into()));
        let repeated = first_after(|h| h.acked.push(acked(3, 1, 1)));
        assert_eq!(repeated, (0, "record 3 was acknowledged 2 times".into()));
        let invented = first_after(|h| h.acked.push(acked(4, 1, 2)));
        assert_eq!(invented, (0, "record 4 was acknowledged, but never sent".into()));
    }

    #[test]
    fn a_lost_record_is_found() {
        assert_eq!(first_after(|h| h.found.truncate(3)), (1, "record 3 is not there".into()));
    }

    #[test]
    fn a_record_that_was_never_sent_is_found() {
        let strange = |h: &mut History| {
            h.found.push(Found { number: Some(9), ..foreign(1, 2) });
        };
        assert_eq!(first_after(strange), (1, "record 9 is there, but was never sent".into()));
    }

    #[test]
    fn a_duplicate_is_found() {
        let duplicate = first_after(|h| h.found.push(found(3, 1, 2)));
        assert_eq!(duplicate, (2, "record 3 stands at 1@1 and at 1@2".into()));
        let same_offset = first_after(|h| h.found.push(foreign(1, 1)));
        assert_eq!(same_offset, (2, "partition 1 has offset 1 twice".into()));
    }

    #[test]
    fn a_record_elsewhere_than_acknowledged_or_changed_is_found() {
        let nothing = first_after(|h| h.acked[0].offset = Some(99));
        assert_eq!(nothing, (3, "record 0 was acknowledged at 0@99, where nothing stands".into()));
        let another = first_after(|h| h.acked[0].offset = Some(11));
        assert_eq!(another, (3, "record 0 was acknowledged at 0@11, where another record stands".into()));
        let unlike = (3, "record 2 at 0@11 has another key or value than was sent".to_owned());
        assert_eq!(first_after(|h| h.found[1].value = Some(b"order 3".to_vec())), unlike);
        assert_eq!(first_after(|h| h.found[1].key = None), unlike);
    }

    #[test]
    fn a_key_in_two_partitions_is_found() {
        let split = first_after(|h| {
            h.found[1] = found(2, 1, 2);
            h.acked[1] = acked(2, 1, 2);
        });
        assert_eq!(split, (4, "key user-0 stands in partitions 0 and 1".into()));
    }

    #[test]
    fn records_of_a_key_in_another_order_are_found() {
        let swapped = first_after(|h| {
            (h.found[0], h.found[1]) = (found(2, 0, 10), found(0, 0, 11));
            (h.acked[0], h.acked[1]) = (acked(2, 0, 10), acked(0, 0, 11));
        });
        assert_eq!(swapped, (5, "key user-0: record 2 stands before record 0".into()));
        let offsets_go_back = first_after(|h| {
            (h.found[2].offset, h.found[3].offset) = (1, 0);
            (h.acked[2].offset, h.acked[3].offset) = (Some(1), Some(0));
        });
        assert_eq!(offsets_go_back, (5, "key user-1: record 3 does not stand behind record 1".into()));
    }

    #[test]
    fn a_gap_is_found() {
        let gap = first_after(|h| {
            h.found[3].offset = 2;
            h.acked[3].offset = Some(2);
        });
        assert_eq!(gap, (6, "partition 1 has records at 0 and 2, but none at 1".into()));
    }
}
