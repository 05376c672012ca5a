//! Outcomes as steps, for stores that can settle a range of rows at once.
//!
//! In: outcomes in any order. Out: ranges, and rows that failed. Pure.

use super::{Outcome, Position, Seq, Status};

/// What a store does for some outcomes, one step after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Rows that follow one another without a gap get this status, which settles them, and those whose position is known that.
    Settle { first: Seq, last: Seq, status: Status, positions: Vec<(Seq, Position)> },
    /// One row has failed.
    Fail(&'a Outcome),
}

/// Puts outcomes that settle their rows together, so that a store can settle a range at once. Two outcomes of one row keep
/// their order.
pub(crate) fn steps(outcomes: &[Outcome]) -> Vec<Step<'_>> {
    let mut ordered: Vec<_> = outcomes.iter().collect();
    ordered.sort_by_key(|outcome| outcome.seq);
    let mut steps = Vec::new();
    for outcome in ordered {
        let (seq, status) = (outcome.seq, outcome.change.status());
        match steps.last_mut() {
            _ if !status.is_settled() => steps.push(Step::Fail(outcome)),
            Some(Step::Settle { last, status: before, .. }) if *before == status && seq == *last => {}
            Some(Step::Settle { last, status: before, positions, .. }) if *before == status && seq.0 - last.0 == 1 => {
                *last = seq;
                positions.extend(outcome.position.map(|position| (seq, position)));
            }
            _ => {
                let positions = outcome.position.map(|position| (seq, position)).into_iter().collect();
                steps.push(Step::Settle { first: seq, last: seq, status, positions });
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, EventError};

    #[test]
    fn neighbours_that_settle_alike_are_one_step() {
        let outcome = |seq, change| Outcome { seq: Seq(seq), slot: 0, change, position: None };
        let failed = Change::DeadLetterFailed { attempts: 1, maybe_sent: false, error: EventError::new("a", "b") };
        let outcomes = [
            outcome(6, Change::Resolved),
            outcome(4, Change::DeadLettered),
            outcome(3, Change::Resolved),
            outcome(2, Change::Resolved),
            outcome(7, failed),
            outcome(2, Change::Resolved),
            outcome(7, Change::Resolved),
            outcome(9, Change::Resolved),
        ];
        let settle =
            |first, last, status| Step::Settle { first: Seq(first), last: Seq(last), status, positions: Vec::new() };
        let expected = [
            settle(2, 3, Status::Resolved),
            settle(4, 4, Status::DeadLettered),
            settle(6, 6, Status::Resolved),
            Step::Fail(&outcomes[4]),
            settle(7, 7, Status::Resolved),
            settle(9, 9, Status::Resolved),
        ];
        assert_eq!(steps(&outcomes), expected);
    }
}
