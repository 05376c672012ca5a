//! What is told at the end.
//!
//! In: the account of a run. Out: a few lines for stderr, and how the process ends. Pure.

use std::{fmt::Write as _, time::Duration};

use super::{
    ledger::{Counts, Ledger},
    session::Stop,
};
use crate::{
    exit::Exit,
    output::{count, elapsed},
};

/// The end of a run, for a person.
pub(crate) fn text(stop: &Stop, lines: u64, took: Duration, ledger: &Ledger) -> String {
    let kept = ledger.failed_lines();
    let mut out = untold(ledger.counts());
    if let Stop::GivenUp(why) = stop {
        let _ = writeln!(out, "stopped after {}: {why}", count(lines, "line"));
    }
    out.push_str(&total(lines, took, ledger.counts()));
    if kept.lines() > 0 && kept.lost().is_none() {
        let _ = writeln!(out, "{} kept in {}", count(kept.lines(), "line"), kept.path().display());
    }
    out.push_str(&warning(ledger.counts()));
    out
}

/// How the process ends.
pub(crate) fn exit(stop: &Stop, counts: &Counts) -> Exit {
    match stop {
        Stop::Interrupted => Exit::Interrupted,
        Stop::End if counts.failed == 0 => Exit::Good,
        Stop::End | Stop::GivenUp(_) => Exit::Failed,
    }
}

fn untold(counts: &Counts) -> String {
    let line = |(reason, number): (&String, &u64)| format!("{} more failed: {reason}\n", count(*number, "line"));
    counts.untold.iter().map(line).collect()
}

fn total(lines: u64, took: Duration, counts: &Counts) -> String {
    let Counts { delivered, failed, unknown, .. } = counts;
    let mut out = format!("{}: {delivered} delivered, {failed} failed", count(lines, "line"));
    if *unknown > 0 {
        let _ = write!(out, " ({unknown} of them may be in the log)");
    }
    if let Some(unsent) = lines.checked_sub(delivered + failed).filter(|&unsent| unsent > 0) {
        let _ = write!(out, ", {unsent} not sent");
    }
    let rate = |seconds: u128| u128::from(*delivered) * 1_000_000 / seconds;
    let per_second = Some(took.as_micros()).filter(|&us| us > 0).map_or(0, rate);
    let _ = writeln!(out, " in {} ({per_second} lines/s)", elapsed(took));
    out
}

fn warning(counts: &Counts) -> String {
    if counts.unknown == 0 {
        return String::new();
    }
    "a line that may be in the log already would stand there twice if it is sent again\n".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(delivered: u64, failed: u64, unknown: u64) -> Counts {
        Counts { delivered, failed, unknown, ..Counts::default() }
    }

    #[test]
    fn the_total_names_what_there_was_and_leaves_out_what_there_was_not() {
        let took = Duration::from_millis(500);
        assert_eq!(total(1, took, &counts(1, 0, 0)), "1 line: 1 delivered, 0 failed in 500 ms (2 lines/s)\n");
        let mixed = "7 lines: 3 delivered, 2 failed (1 of them may be in the log), 2 not sent in 500 ms (6 lines/s)\n";
        assert_eq!(total(7, took, &counts(3, 2, 1)), mixed);
        assert_eq!(total(0, Duration::ZERO, &counts(0, 0, 0)), "0 lines: 0 delivered, 0 failed in 0 µs (0 lines/s)\n");
    }

    #[test]
    fn failures_beyond_those_told_one_by_one_are_summed_up() {
        let untold_reasons = [("expired".to_owned(), 1), ("rejected".to_owned(), 3)].into();
        let counts = Counts { untold: untold_reasons, ..Counts::default() };
        assert_eq!(untold(&counts), "1 line more failed: expired\n3 lines more failed: rejected\n");
    }

    #[test]
    fn sending_again_is_warned_of_only_where_it_can_do_harm() {
        assert_eq!(warning(&counts(1, 1, 0)), "");
        assert!(warning(&counts(1, 1, 1)).contains("twice"));
    }

    #[test]
    fn the_exit_tells_how_it_went() {
        let given_up = || Stop::GivenUp("no".into());
        for (stop, failed, expected) in [
            (Stop::End, 0, Exit::Good),
            (Stop::End, 1, Exit::Failed),
            (given_up(), 0, Exit::Failed),
            (Stop::Interrupted, 0, Exit::Interrupted),
            (Stop::Interrupted, 1, Exit::Interrupted),
        ] {
            assert_eq!(exit(&stop, &counts(5, failed, 0)), expected, "{stop:?}");
        }
    }
}
