//! Where reading begins, partition by partition, and how it is told so that it can go on there.
//!
//! In: text, the ends of the logs. Out: positions, and text that leads back to them. Pure.

use std::{collections::BTreeMap, str::FromStr};

/// Where to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Start {
    /// At the first letter of each partition.
    #[default]
    Beginning,
    /// At this offset of the one partition that is read.
    One(i64),
    /// At these offsets; other partitions at their first letter.
    Each(BTreeMap<i32, i64>),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected an offset, or partition:offset for each, as in 0:42,1:7, got {text:?}");
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
        if let Some(offset) = number(text) {
            return Ok(Self::One(offset));
        }
        let pair = |pair: &str| {
            let (partition, offset) = pair.split_once(':')?;
            Some((i32::try_from(number(partition)?).ok()?, number(offset)?))
        };
        let pairs: Option<Vec<_>> = text.split(',').map(pair).collect();
        let pairs = pairs.ok_or_else(expected)?;
        let each: BTreeMap<_, _> = pairs.iter().copied().collect();
        if each.len() == pairs.len() { Ok(Self::Each(each)) } else { Err("a partition is named twice".into()) }
    }
}

/// A partition, and how much of it is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) partition: i32,
    /// The next offset to read.
    pub(super) next: i64,
    /// The partition's end when the command began.
    pub(super) end: i64,
}

/// Positions in partitions whose logs hold these offsets (partition, first, end).
pub(super) fn positions(start: &Start, topic: &str, logs: &[(i32, i64, i64)]) -> Result<Vec<Position>, String> {
    match start {
        Start::One(_) if logs.len() != 1 => {
            let hint = "name one with --partition, or give partition:offset for each";
            return Err(format!("--from-offset: {topic} has {} partitions to read; {hint}", logs.len()));
        }
        Start::Each(each) => {
            let strange = each.keys().find(|partition| !logs.iter().any(|(known, ..)| known == *partition));
            if let Some(partition) = strange {
                return Err(format!("--from-offset: partition {partition} of {topic} is not read"));
            }
        }
        _ => {}
    }
    logs.iter().map(|log| position(start, topic, *log)).collect()
}

fn position(start: &Start, topic: &str, (partition, first, end): (i32, i64, i64)) -> Result<Position, String> {
    let wanted = match start {
        Start::Beginning => None,
        Start::One(offset) => Some(*offset),
        Start::Each(each) => each.get(&partition).copied(),
    };
    let next = wanted.unwrap_or(first);
    if !(first..=end).contains(&next) {
        return Err(format!("--from-offset: {topic}-{partition} holds offsets {first} to {end} (its end), got {next}"));
    }
    Ok(Position { partition, next, end })
}

/// The text that leads back to positions.
pub(super) fn text(positions: &[Position]) -> String {
    let pair = |position: &Position| format!("{}:{}", position.partition, position.next);
    Vec::from_iter(positions.iter().map(pair)).join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, next: i64, end: i64) -> Position {
        Position { partition, next, end }
    }

    #[test]
    fn a_start_is_one_offset_or_one_for_each_partition() {
        assert_eq!("42".parse(), Ok(Start::One(42)));
        assert_eq!("0:42".parse(), Ok(Start::Each([(0, 42)].into())));
        assert_eq!("0:42,3:7".parse(), Ok(Start::Each([(0, 42), (3, 7)].into())));
        for text in ["", "-1", "x", "0:", ":1", "0:1,", "0:-1", "3000000000:1", "0:1:2", "0:1 1:2", "0:1,0:2"] {
            assert!(text.parse::<Start>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn each_partition_begins_at_its_offset_or_at_its_first_letter() {
        let logs = [(0, 5, 9), (1, 0, 3)];
        for (start, expected) in [
            (Start::Beginning, [at(0, 5, 9), at(1, 0, 3)]),
            (Start::Each([(0, 9)].into()), [at(0, 9, 9), at(1, 0, 3)]),
            (Start::Each([(0, 6), (1, 2)].into()), [at(0, 6, 9), at(1, 2, 3)]),
        ] {
            assert_eq!(positions(&start, "t", &logs).unwrap(), expected, "{start:?}");
        }
        assert_eq!(positions(&Start::One(7), "t", &logs[..1]).unwrap(), [at(0, 7, 9)]);
        for (start, part) in [
            (Start::One(7), "t has 2 partitions to read"),
            (Start::Each([(2, 0)].into()), "partition 2 of t is not read"),
            (Start::Each([(0, 4)].into()), "t-0 holds offsets 5 to 9 (its end), got 4"),
            (Start::Each([(1, 4)].into()), "t-1 holds offsets 0 to 3 (its end), got 4"),
        ] {
            let error = positions(&start, "t", &logs).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_text_of_positions_leads_back_to_them() {
        let positions_now = [at(0, 6, 9), at(1, 3, 3)];
        assert_eq!(text(&positions_now), "0:6,1:3");
        let start: Start = text(&positions_now).parse().unwrap();
        assert_eq!(positions(&start, "t", &[(0, 0, 9), (1, 0, 3)]).unwrap(), positions_now);
    }
}
