//! What is wrong with an act.
//!
//! In: what was called and answered, what a reader saw in the store, and what the topics have. Out: counts, and violations. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What a publishing process was told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Published,
    Stored,
    /// Handed back: it is certainly not written.
    NotWritten,
    /// Handed back: it may be written.
    Unknown,
}

/// A call of `publish`. Numbers are in the order of the calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) key: String,
    /// `None` if the process was killed before.
    pub(crate) answer: Option<Answer>,
}

/// A record of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    /// Whether it says that it may be a repetition.
    pub(crate) is_flagged: bool,
    /// When it was given to a producer, by a clock that all processes share.
    pub(crate) sent: u64,
}

/// What an act has left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remains {
    pub(crate) calls: Vec<Call>,
    /// Events that a reader found in the store after a kill.
    pub(crate) seen: BTreeSet<u64>,
    /// The records of the topic, in the order of each partition.
    pub(crate) topic: Vec<Entry>,
    /// Those of the dead-letter topic.
    pub(crate) letters: Vec<Entry>,
    /// Events that are in the store at the end.
    pub(crate) rows: BTreeSet<u64>,
}

/// A promise that was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// Answered `Published` and not in the topic, or `Stored` and nowhere.
    Lost(u64),
    /// In the store after a kill, and nowhere at the end.
    LostRow(u64),
    /// Handed back as not written, and in a topic or the store.
    Written(u64),
    /// The first record of an event stands before that of an older one of its key.
    Disorder { older: u64, newer: u64 },
    /// A repetition without a mark.
    Unflagged(u64),
    /// A record of an event that nobody published.
    Phantom(u64),
    /// Still in the store although all is well.
    Undrained(u64),
}

impl Violation {
    /// The events that it is about.
    pub(crate) fn events(self) -> Vec<u64> {
        match self {
            Self::Disorder { older, newer } => vec![older, newer],
            Self::Lost(number)
            | Self::LostRow(number)
            | Self::Written(number)
            | Self::Unflagged(number)
            | Self::Phantom(number)
            | Self::Undrained(number) => vec![number],
        }
    }
}

/// The result of one act or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) calls: usize,
    pub(crate) published: usize,
    pub(crate) stored: usize,
    pub(crate) not_written: usize,
    pub(crate) unknown: usize,
    /// Calls without an answer, and how many of those are in the topic or are dead letters.
    pub(crate) interrupted: usize,
    pub(crate) interrupted_written: usize,
    /// Events that a reader found in the store after a kill.
    pub(crate) seen: usize,
    /// Records beyond the first of an event.
    pub(crate) repetitions: usize,
    pub(crate) letters: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.published += other.published;
        self.stored += other.stored;
        self.not_written += other.not_written;
        self.unknown += other.unknown;
        self.interrupted += other.interrupted;
        self.interrupted_written += other.interrupted_written;
        self.seen += other.seen;
        self.repetitions += other.repetitions;
        self.letters += other.letters;
    }
}

/// Compares the answers with what is there.
pub(crate) fn judge(remains: &Remains) -> (Counts, Vec<Violation>) {
    let numbers = |log: &[Entry]| log.iter().map(|entry| entry.number).collect::<BTreeSet<_>>();
    let (written, letters) = (numbers(&remains.topic), numbers(&remains.letters));
    let is_somewhere =
        |number: &u64| written.contains(number) || letters.contains(number) || remains.rows.contains(number);
    let wrong = remains.calls.iter().filter_map(|Call { number, answer, .. }| match answer {
        Some(Answer::Published) if !written.contains(number) => Some(Violation::Lost(*number)),
        Some(Answer::Stored) if !is_somewhere(number) => Some(Violation::Lost(*number)),
        Some(Answer::NotWritten) if is_somewhere(number) => Some(Violation::Written(*number)),
        _ => None,
    });
    let mut violations: Vec<_> = wrong.collect();
    violations.extend(remains.seen.iter().filter(|number| !is_somewhere(number)).map(|n| Violation::LostRow(*n)));
    violations.extend(disorder(remains));
    violations.extend(unflagged(&remains.topic));
    violations.extend(unflagged(&remains.letters));
    let called: BTreeSet<u64> = remains.calls.iter().map(|call| call.number).collect();
    violations
        .extend(written.union(&letters).filter(|number| !called.contains(number)).map(|n| Violation::Phantom(*n)));
    violations.extend(remains.rows.iter().map(|number| Violation::Undrained(*number)));
    (count(remains, &written, &letters), violations)
}

fn count(remains: &Remains, written: &BTreeSet<u64>, letters: &BTreeSet<u64>) -> Counts {
    let calls = |answer| remains.calls.iter().filter(move |call| call.answer == answer);
    Counts {
        calls: remains.calls.len(),
        published: calls(Some(Answer::Published)).count(),
        stored: calls(Some(Answer::Stored)).count(),
        not_written: calls(Some(Answer::NotWritten)).count(),
        unknown: calls(Some(Answer::Unknown)).count(),
        interrupted: calls(None).count(),
        interrupted_written: calls(None).filter(|c| written.contains(&c.number) || letters.contains(&c.number)).count(),
        seen: remains.seen.len(),
        repetitions: remains.topic.len() - written.len() + remains.letters.len() - letters.len(),
        letters: letters.len(),
    }
}

/// The first records of the accepted events of a key are in the order of the calls. An event whose call was not answered has no place
/// in it.
fn disorder(remains: &Remains) -> Vec<Violation> {
    let mut first = BTreeMap::new();
    remains.topic.iter().enumerate().for_each(|(place, entry)| {
        first.entry(entry.number).or_insert(place);
    });
    let mut last: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    let mut violations = Vec::new();
    let accepted = |call: &&Call| matches!(call.answer, Some(Answer::Published | Answer::Stored));
    for Call { number, key, .. } in remains.calls.iter().filter(accepted) {
        let Some(&place) = first.get(number) else { continue };
        let before = last.entry(key).or_insert((place, *number));
        if before.0 > place {
            violations.push(Violation::Disorder { older: before.1, newer: *number });
        } else {
            *before = (place, *number);
        }
    }
    violations
}

/// At most one record of an event has no mark, and it was sent before those that stand before it. (It can stand behind them: a broker
/// that was stopped reads late what a producer sent that is dead by then.)
fn unflagged(log: &[Entry]) -> Vec<Violation> {
    let mut by_number: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
    log.iter().for_each(|entry| by_number.entry(entry.number).or_default().push(*entry));
    by_number.retain(|_, entries| {
        let late = |(place, entry): (usize, &Entry)| {
            !entry.is_flagged && entries[..place].iter().any(|before| before.sent < entry.sent)
        };
        entries.iter().filter(|entry| !entry.is_flagged).count() > 1 || entries.iter().enumerate().any(late)
    });
    by_number.into_keys().map(Violation::Unflagged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: u64, answer: impl Into<Option<Answer>>) -> Call {
        Call { number, key: "k".into(), answer: answer.into() }
    }

    fn entry(number: u64, is_flagged: bool, sent: u64) -> Entry {
        Entry { number, is_flagged, sent }
    }

    fn violations(calls: &[Call], topic: &[Entry]) -> Vec<Violation> {
        judge(&Remains { calls: calls.to_vec(), topic: topic.to_vec(), ..Remains::default() }).1
    }

    #[test]
    fn a_correct_act_is_counted_and_has_no_violation() {
        use Answer::{NotWritten, Published, Stored, Unknown};
        let answers = [Some(Published), Some(Stored), Some(Stored), Some(NotWritten), Some(Unknown), None, None];
        let remains = Remains {
            calls: (1..).zip(answers).map(|(number, answer)| call(number, answer)).collect(),
            seen: [2, 3].into(),
            topic: vec![entry(1, false, 1), entry(2, true, 3), entry(6, false, 4), entry(2, false, 2)],
            letters: vec![entry(3, false, 5)],
            rows: BTreeSet::new(),
        };
        let counts = Counts {
            calls: 7,
            published: 1,
            stored: 2,
            not_written: 1,
            unknown: 1,
            interrupted: 2,
            interrupted_written: 1,
            seen: 2,
            repetitions: 1,
            letters: 1,
        };
        assert_eq!(judge(&remains), (counts, Vec::new()));
    }

    #[test]
    fn every_kind_of_violation_is_found_once() {
        use Answer::{NotWritten, Published, Stored};
        let table = [
            (vec![call(1, Published)], vec![], Violation::Lost(1)),
            (vec![call(1, Stored)], vec![], Violation::Lost(1)),
            (vec![call(1, NotWritten)], vec![entry(1, false, 1)], Violation::Written(1)),
            (vec![], vec![entry(1, false, 1)], Violation::Phantom(1)),
            (
                vec![call(1, Published), call(2, Stored)],
                vec![entry(2, false, 1), entry(1, false, 2)],
                Violation::Disorder { older: 1, newer: 2 },
            ),
            (vec![call(1, None)], vec![entry(1, false, 1), entry(1, false, 2)], Violation::Unflagged(1)),
            (vec![call(1, None)], vec![entry(1, true, 1), entry(1, false, 2)], Violation::Unflagged(1)),
        ];
        for (calls, topic, expected) in table {
            assert_eq!(violations(&calls, &topic), [expected], "{calls:?} {topic:?}");
        }
        let kept = Remains { calls: vec![call(1, Stored)], rows: [1].into(), ..Remains::default() };
        assert_eq!(judge(&kept).1, [Violation::Undrained(1)]);
        let gone = Remains { calls: vec![call(1, None)], seen: [1].into(), ..Remains::default() };
        assert_eq!(judge(&gone).1, [Violation::LostRow(1)]);
    }

    #[test]
    fn an_interrupted_call_may_be_written_or_not_and_has_no_place_in_the_order() {
        let calls = [call(1, None), call(2, Answer::Published), call(3, None)];
        assert_eq!(violations(&calls, &[entry(3, false, 3), entry(2, false, 2), entry(1, false, 1)]), []);
        assert_eq!(violations(&calls, &[entry(2, false, 2)]), []);
    }
}
