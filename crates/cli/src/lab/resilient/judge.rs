//! Checks the topics against what the publishing process told.
//!
//! In: the report, and the records read back. Out: a verdict for each claim. Pure.

use std::collections::{BTreeMap, BTreeSet};

use milena::admin::ConsumedRecord;
use milena_resilience::retry::POSSIBLE_DUPLICATE;

use super::{super::checks::Verdict, report::Report};

/// An event in the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) number: u64,
    pub(super) key: Vec<u8>,
    pub(super) is_flagged: bool,
}

impl Arrival {
    /// The event of a record, if it is one of the lab.
    pub(super) fn of(record: &ConsumedRecord) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_slice(record.value.as_ref()?).ok()?;
        let is_flagged = record.headers.iter().any(|(name, _)| name == POSSIBLE_DUPLICATE);
        Some(Self { number: value.get("event")?.as_u64()?, key: record.key.as_ref()?.to_vec(), is_flagged })
    }
}

/// Checks every claim. `letters` are the numbers of dead letters, with their reasons.
pub(super) fn judge(report: &Report, arrivals: &[Arrival], letters: &[(u64, String)]) -> Vec<Verdict> {
    let accepted: BTreeSet<u64> = report.published.union(&report.stored).copied().collect();
    let verdict = |claim: &str, result| Verdict { claim: claim.to_owned(), result };
    vec![
        verdict("events were stored while the broker was away", stored(report)),
        verdict(
            "each event that was published or stored is in the topic or a dead letter",
            all_there(&accepted, arrivals, letters),
        ),
        verdict("the poison event is a dead letter, and the only one", one_letter(report, letters)),
        verdict("repetitions are flagged as possible duplicates", flagged(arrivals)),
        verdict("the events of each user are in their order", in_order(&accepted, arrivals)),
        verdict("no event was handed back", nothing_handed_back(report)),
    ]
}

fn stored(report: &Report) -> Result<(), String> {
    if report.stored.is_empty() { Err("none was".to_owned()) } else { Ok(()) }
}

fn all_there(accepted: &BTreeSet<u64>, arrivals: &[Arrival], letters: &[(u64, String)]) -> Result<(), String> {
    let there: BTreeSet<u64> =
        arrivals.iter().map(|arrival| arrival.number).chain(letters.iter().map(|(number, _)| *number)).collect();
    let lost: Vec<u64> = accepted.difference(&there).copied().collect();
    if lost.is_empty() { Ok(()) } else { Err(format!("{} are lost, the first is {}", lost.len(), lost[0])) }
}

fn one_letter(report: &Report, letters: &[(u64, String)]) -> Result<(), String> {
    let poison = report.poison.ok_or("it was not published")?;
    match letters {
        [(number, reason)] if *number == poison && reason == "MESSAGE_TOO_LARGE" => Ok(()),
        letters => Err(format!("expected event {poison} with MESSAGE_TOO_LARGE, got {letters:?}")),
    }
}

/// The first record of an event need not be flagged; all others must.
fn flagged(arrivals: &[Arrival]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let unflagged = arrivals.iter().find(|arrival| !seen.insert(arrival.number) && !arrival.is_flagged);
    unflagged.map_or(Ok(()), |arrival| Err(format!("event {} is there again, without a flag", arrival.number)))
}

/// What was accepted counts. An event whose process was killed before it told may be there or not.
fn in_order(accepted: &BTreeSet<u64>, arrivals: &[Arrival]) -> Result<(), String> {
    let (mut seen, mut last) = (BTreeSet::new(), BTreeMap::<&[u8], u64>::new());
    for Arrival { number, key, .. } in arrivals.iter().filter(|arrival| accepted.contains(&arrival.number)) {
        if !seen.insert(number) {
            continue;
        }
        if let Some(before) = last.insert(key, *number).filter(|before| before > number) {
            return Err(format!("event {number} came after event {before}"));
        }
    }
    Ok(())
}

fn nothing_handed_back(report: &Report) -> Result<(), String> {
    if report.handed_back == 0 { Ok(()) } else { Err(format!("{} were", report.handed_back)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(number: u64, is_flagged: bool) -> Arrival {
        Arrival { number, key: format!("user-{}", number % 2).into_bytes(), is_flagged }
    }

    fn failed(numbers: &[(u64, bool)], letters: &[(u64, &str)]) -> Vec<String> {
        let (published, stored) = ((0..4).collect(), (4..8).collect());
        let mut report = Report::default();
        (report.published, report.stored, report.poison) = (published, stored, Some(6));
        let arrivals: Vec<_> = numbers.iter().map(|(number, flagged)| arrival(*number, *flagged)).collect();
        let letters: Vec<_> = letters.iter().map(|(number, reason)| (*number, (*reason).to_owned())).collect();
        judge(&report, &arrivals, &letters).into_iter().filter_map(|verdict| verdict.result.err()).collect()
    }

    #[test]
    fn each_claim_is_checked() {
        const LETTER: &[(u64, &str)] = &[(6, "MESSAGE_TOO_LARGE")];
        let all = |more: &[(u64, bool)]| {
            let mut all: Vec<_> = [0, 1, 2, 3, 4, 5, 7].map(|number| (number, false)).to_vec();
            all.extend(more);
            all
        };
        assert_eq!(failed(&all(&[]), LETTER), [""; 0]);
        assert_eq!(failed(&all(&[(2, true)]), LETTER), [""; 0], "flagged repetitions may come late");
        assert_eq!(failed(&all(&[(2, false)]), LETTER), ["event 2 is there again, without a flag"]);
        assert_eq!(failed(&all(&[])[1..], LETTER), ["1 are lost, the first is 0"]);
        let disorder = [(0, false), (1, false), (4, false), (2, false), (3, false), (5, false), (7, false)];
        assert_eq!(failed(&disorder, LETTER), ["event 2 came after event 4"]);
        assert_eq!(failed(&all(&[(9, false)]), LETTER), [""; 0], "it was not accepted, and need not be there");
        let no_letter = failed(&all(&[]), &[]);
        assert_eq!(no_letter, ["1 are lost, the first is 6", "expected event 6 with MESSAGE_TOO_LARGE, got []"]);
    }
}
