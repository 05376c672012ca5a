//! What the publishing processes said, and whether it is true.
//!
//! In: their lines, and the records and rows in the end. Out: what is wrong. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What was said of the events, by their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// Calls that were made.
    pub(crate) called: BTreeSet<u64>,
    pub(crate) published: BTreeSet<u64>,
    pub(crate) stored: BTreeSet<u64>,
    /// Handed back, and certainly neither in Kafka nor in the store.
    pub(crate) refused: BTreeSet<u64>,
    /// Handed back, and perhaps there all the same.
    pub(crate) doubtful: BTreeSet<u64>,
    /// How many stored events the process's relay has published, by process.
    pub(crate) drained: BTreeMap<String, u64>,
}

impl Told {
    /// Takes a line of a process. The last one of a process that was killed may be cut.
    pub(crate) fn take(&mut self, process: &str, line: &str) {
        let Some((word, Ok(number))) = line.split_once(' ').map(|(word, number)| (word, number.parse())) else {
            return;
        };
        let numbers = match word {
            "called" => &mut self.called,
            "published" => &mut self.published,
            "stored" => &mut self.stored,
            "refused" => &mut self.refused,
            "doubtful" => &mut self.doubtful,
            "drained" => {
                self.drained.insert(process.to_owned(), number);
                return;
            }
            _ => return,
        };
        numbers.insert(number);
    }

    /// How many calls have returned.
    pub(crate) fn answers(&self) -> usize {
        self.published.len() + self.stored.len() + self.refused.len() + self.doubtful.len()
    }

    /// How many calls had not returned when their process was killed.
    pub(crate) fn interrupted(&self) -> usize {
        self.called.len() - self.answers()
    }
}

/// A record of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) number: u64,
    /// As a possible duplicate.
    pub(crate) is_flagged: bool,
}

/// What is wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It was accepted, and is neither in Kafka nor in the store.
    Lost(u64),
    /// It is in Kafka twice without a flag.
    Unflagged(u64),
    /// It was handed back as written nowhere, and is somewhere.
    Denied(u64),
}

/// Checks what was said against the records in Kafka, in their order, and the events that the store still has.
pub(crate) fn judge(told: &Told, arrivals: &[Arrival], rows: &BTreeSet<u64>) -> Vec<Wrong> {
    let there: BTreeSet<u64> = arrivals.iter().map(|arrival| arrival.number).chain(rows.iter().copied()).collect();
    let accepted = told.published.union(&told.stored);
    let mut wrong: Vec<Wrong> = accepted.filter(|number| !there.contains(number)).map(|n| Wrong::Lost(*n)).collect();
    // The first copy has no flag if nothing was in doubt; of what was in doubt, a late one may come behind its repetition.
    let mut unflagged = BTreeSet::new();
    let again = arrivals.iter().filter(|arrival| !arrival.is_flagged && !unflagged.insert(arrival.number));
    wrong.extend(again.map(|arrival| Wrong::Unflagged(arrival.number)));
    wrong.extend(told.refused.intersection(&there).map(|number| Wrong::Denied(*number)));
    wrong
}

#[test]
fn each_fault_is_found() {
    let mut told = Told::default();
    for line in
        ["called 1", "called 2", "called 3", "called 4", "published 1", "stored 2", "refused 3", "stored", "drai"]
    {
        told.take("one", line);
    }
    let arrival = |number, is_flagged| Arrival { number, is_flagged };
    let judge = |arrivals: &[Arrival], rows: &[u64]| judge(&told, arrivals, &rows.iter().copied().collect());
    assert_eq!((told.answers(), told.interrupted()), (3, 1));
    assert_eq!(judge(&[arrival(1, false)], &[2]), []);
    assert_eq!(judge(&[arrival(1, false), arrival(2, true), arrival(2, false), arrival(4, false)], &[]), []);
    assert_eq!(judge(&[arrival(1, false)], &[]), [Wrong::Lost(2)]);
    let twice = [arrival(1, false), arrival(1, false), arrival(1, true)];
    assert_eq!(judge(&twice, &[2]), [Wrong::Unflagged(1)]);
    assert_eq!(judge(&[arrival(1, false)], &[2, 3]), [Wrong::Denied(3)]);
}
