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

/// Rows that follow one another without a gap and settle alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) status: Status,
}

/// Puts outcomes that settle their rows together, so that a store can settle a range at once.
pub(crate) fn runs(outcomes: &[Outcome]) -> Vec<Run> {
    let settled = outcomes.iter().map(|outcome| (outcome.change.status(), outcome.seq));
    let mut settled: Vec<_> = settled.filter(|(status, _)| status.is_settled()).collect();
    settled.sort_unstable_by_key(|(status, seq)| (*status == Status::DeadLettered, *seq));
    let mut runs: Vec<Run> = Vec::new();
    for (status, seq) in settled {
        match runs.last_mut() {
            Some(run) if run.status == status && seq.0 - run.last.0 <= 1 => run.last = seq,
            _ => runs.push(Run { first: seq, last: seq, status }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_settle_alike_are_one_run() {
        let outcome = |seq, change| Outcome { seq: Seq(seq), slot: 0, change };
        let failed = Change::DeadLetterFailed { attempts: 1, maybe_sent: false, error: EventError::new("a", "b") };
        let outcomes = [
            outcome(5, Change::Resolved),
            outcome(4, Change::DeadLettered),
            outcome(3, Change::Resolved),
            outcome(2, Change::Resolved),
            outcome(2, Change::Resolved),
            outcome(6, failed),
            outcome(7, Change::Resolved),
            outcome(8, Change::DeadLettered),
        ];
        let found: Vec<_> = runs(&outcomes).iter().map(|run| (run.first.0, run.last.0, run.status.as_str())).collect();
        let expected = [(2, 3, "RESOLVED"), (5, 5, "RESOLVED"), (7, 7, "RESOLVED"), (4, 4, "DLQ"), (8, 8, "DLQ")];
        assert_eq!(found, expected);
    }
}
