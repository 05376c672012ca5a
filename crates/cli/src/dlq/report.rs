//! The report at the end of a run.
//!
//! In: counts, why it stopped, and where. Out: a few lines for stderr, and the exit code. Pure.

use super::print::Fate;
use crate::{exit::Exit, output::count};

/// What became of the letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Replayed, or they would be.
    pub(super) replayed: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    /// Letters that no `--match` names.
    pub(super) others: u64,
}

impl Counts {
    /// Counts a letter.
    pub(super) fn add(&mut self, fate: &Fate) {
        let number = match fate {
            Fate::Would { .. } | Fate::Replayed { .. } => &mut self.replayed,
            Fate::Refused(_) => &mut self.refused,
            Fate::Failed { .. } => &mut self.failed,
        };
        *number += 1;
    }

    /// Letters that were named.
    pub(super) fn total(&self) -> u64 {
        self.replayed + self.refused + self.failed
    }
}

/// Why it stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    End,
    Limit,
    Interrupted,
    GivenUp(String),
}

/// A run.
#[derive(Debug)]
pub(super) struct End<'a> {
    pub(super) topic: &'a str,
    pub(super) dry_run: bool,
    pub(super) counts: Counts,
    pub(super) stop: Stop,
    /// Whether the record of the next letter may be written already.
    pub(super) next_may_be_written: bool,
    /// The argument that leads back to where it stopped.
    pub(super) goes_on: String,
}

/// The report as text.
pub(super) fn text(end: &End<'_>) -> String {
    let End { topic, dry_run, counts, stop, .. } = end;
    let replayed = if *dry_run { "would be replayed" } else { "replayed" };
    let Counts { refused, failed, others, .. } = counts;
    let total = count(counts.total(), "letter");
    let mut lines = vec![format!("{total}: {} {replayed}, {refused} refused, {failed} failed", counts.replayed)];
    if *others > 0 {
        lines.push(format!("{others} more did not match"));
    }
    match stop {
        Stop::End => lines.push(format!("the end of {topic} was reached")),
        Stop::Limit => lines.push("the limit was reached".to_owned()),
        Stop::Interrupted => lines.push("interrupted".to_owned()),
        Stop::GivenUp(why) => lines.push(format!("stopped: {why}")),
    }
    if end.next_may_be_written {
        let text =
            "the record under way may be written already; going on sends it again, and --possible-duplicates marks it";
        lines.push(text.to_owned());
    }
    if counts.replayed > 0 && !dry_run {
        lines.push(format!("the letters stay in {topic}: Kafka cannot delete single records"));
    }
    lines.push(format!("to go on: {}", end.goes_on));
    lines.join("\n")
}

/// The result of the command.
pub(super) fn exit(stop: &Stop, counts: Counts) -> Exit {
    match stop {
        Stop::Interrupted => Exit::Interrupted,
        Stop::GivenUp(_) => Exit::Failed,
        Stop::End | Stop::Limit if counts.refused + counts.failed > 0 => Exit::Failed,
        Stop::End | Stop::Limit => Exit::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Counts = Counts { replayed: 2, refused: 0, failed: 0, others: 0 };

    #[test]
    fn the_exit_code_says_whether_all_letters_were_replayed() {
        let refused = Counts { refused: 1, ..ALL };
        let failed = Counts { failed: 1, ..ALL };
        for (stop, counts, expected) in [
            (Stop::End, ALL, Exit::Good),
            (Stop::Limit, Counts { others: 9, ..ALL }, Exit::Good),
            (Stop::End, refused, Exit::Failed),
            (Stop::Limit, failed, Exit::Failed),
            (Stop::GivenUp("x".into()), ALL, Exit::Failed),
            (Stop::Interrupted, refused, Exit::Interrupted),
        ] {
            assert_eq!(exit(&stop, counts), expected, "{stop:?} {counts:?}");
        }
    }

    #[test]
    fn the_report_says_what_was_done_and_how_to_go_on() {
        let counts = Counts { refused: 1, others: 3, ..ALL };
        let goes_on = "--from-offset 0:6".to_owned();
        let stop = Stop::GivenUp("late".into());
        let end = End { topic: "t.dlq", dry_run: false, counts, stop, next_may_be_written: true, goes_on };
        let expected = "3 letters: 2 replayed, 1 refused, 0 failed\n3 more did not match\nstopped: late\n\
            the record under way may be written already; going on sends it again, and --possible-duplicates marks it\n\
            the letters stay in t.dlq: Kafka cannot delete single records\nto go on: --from-offset 0:6";
        assert_eq!(text(&end), expected);
        let dry = End { dry_run: true, counts: ALL, stop: Stop::End, next_may_be_written: false, ..end };
        let expected = "2 letters: 2 would be replayed, 0 refused, 0 failed\nthe end of t.dlq was reached\n\
            to go on: --from-offset 0:6";
        assert_eq!(text(&dry), expected);
    }
}
