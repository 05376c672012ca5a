//! What became of an event that the relay sent.
//!
//! In: an outcome. Out: how its row changes, for all stores. Pure.

use std::time::Duration;

use super::{EventError, Seq, Status, StoredEvent};

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which event.
    pub seq: Seq,
    /// Its slot, which tells the lease that it belongs to.
    pub slot: u16,
    /// What became of it.
    pub change: Change,
}

impl Outcome {
    /// What became of an event that was read.
    #[must_use]
    pub fn of(event: &StoredEvent, change: Change) -> Self {
        Self { seq: event.seq, slot: event.slot, change }
    }
}

/// How an event's row changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was published.
    Resolved,
    /// It was put into the dead-letter topic.
    DeadLettered,
    /// An attempt failed.
    Failed {
        /// How many attempts have failed by now. An outage costs none.
        attempts: u32,
        /// How long the event waits for the next one.
        retry_in: Duration,
        /// Whether the attempt may have been written. `false` takes no earlier mark away.
        maybe_sent: bool,
        /// Why.
        error: EventError,
    },
    /// It could not be put into the dead-letter topic either. It is not tried again until an operator replays it.
    DeadLetterFailed {
        /// How many attempts have failed.
        attempts: u32,
        /// Whether an attempt may have been written. `false` takes no earlier mark away.
        maybe_sent: bool,
        /// Why.
        error: EventError,
    },
}

impl Change {
    /// The status that the row gets.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Resolved => Status::Resolved,
            Self::DeadLettered => Status::DeadLettered,
            Self::Failed { .. } => Status::Retrying,
            Self::DeadLetterFailed { .. } => Status::DeadLetterFailed,
        }
    }
}

/// What a store does for some outcomes, one step after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Rows that follow one another without a gap get this status, which settles them.
    Settle { first: Seq, last: Seq, status: Status },
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
            Some(Step::Settle { last, status: before, .. }) if *before == status && seq.0 - last.0 <= 1 => *last = seq,
            _ => steps.push(Step::Settle { first: seq, last: seq, status }),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_settle_alike_are_one_step() {
        let outcome = |seq, change| Outcome { seq: Seq(seq), slot: 0, change };
        let failed = Change::DeadLetterFailed { attempts: 1, maybe_sent: false, error: EventError::new("a", "b") };
        let outcomes = [
            outcome(6, Change::Resolved),
            outcome(4, Change::DeadLettered),
            outcome(3, Change::Resolved),
            outcome(2, Change::Resolved),
            outcome(7, failed.clone()),
            outcome(2, Change::Resolved),
            outcome(7, Change::Resolved),
            outcome(9, Change::Resolved),
        ];
        let settle = |first, last, status| Step::Settle { first: Seq(first), last: Seq(last), status };
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
