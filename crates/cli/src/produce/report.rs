//! The report at the end of a run.
//!
//! In: the ledger of a run. Out: a few lines for stderr, and the exit code. Pure.

use std::{fmt::Write as _, path::Path, time::Duration};

use super::{
    ledger::{Counts, Ledger},
    session::Stop,
};
use crate::{
    exit::Exit,
    output::{count, elapsed},
};

/// How a run ended.
pub(crate) struct End<'a> {
    pub(crate) stop: &'a Stop,
    /// Lines taken from the input.
    pub(crate) lines: u64,
    /// The input, unless it was stdin.
    pub(crate) file: Option<&'a Path>,
    pub(crate) took: Duration,
}

/// The report as text.
pub(crate) fn text(end: &End<'_>, ledger: &Ledger) -> String {
    let (kept, counts) = (ledger.failed_lines(), ledger.counts());
    let mut out = unreported(counts) + &stopped(end) + &total(end.took, counts);
    if kept.lines() > 0 && kept.lost().is_none() {
        let _ = write!(out, "{} kept in {}", count(kept.lines(), "line"), kept.path().display());
        out.push_str(&never_sent(kept.lines(), counts));
    }
    out + warning(counts)
}

/// The result of the command.
pub(crate) fn exit(stop: &Stop, counts: &Counts) -> Exit {
    match stop {
        Stop::Interrupted => Exit::Interrupted,
        Stop::End if counts.failed == 0 => Exit::Good,
        Stop::End | Stop::GivenUp(_) => Exit::Failed,
    }
}

fn unreported(counts: &Counts) -> String {
    let line = |(reason, number): (&String, &u64)| format!("{} more failed: {reason}\n", count(*number, "line"));
    counts.unreported.iter().map(line).collect()
}

fn stopped(end: &End<'_>) -> String {
    let mut out = match end.stop {
        Stop::End => return String::new(),
        Stop::Interrupted => format!("stopped after {}", count(end.lines, "line")),
        Stop::GivenUp(why) => format!("stopped after {}: {why}", count(end.lines, "line")),
    };
    if let Some(file) = end.file {
        let _ = write!(out, "; what follows in {} was not sent", file.display());
    }
    out + "\n"
}

fn total(took: Duration, counts: &Counts) -> String {
    let Counts { delivered, failed, unknown, .. } = counts;
    let mut out = format!("{}: {delivered} delivered, {failed} failed", count(delivered + failed, "line"));
    if *unknown > 0 {
        let _ = write!(out, " ({unknown} of them may be in the log)");
    }
    let rate = |microseconds| u128::from(*delivered) * 1_000_000 / microseconds;
    let per_second = Some(took.as_micros()).filter(|&us| us > 0).map_or(0, rate);
    let _ = writeln!(out, " in {} ({per_second} lines/s)", elapsed(took));
    out
}

/// The file keeps failed lines, and lines that had been read but not sent when the run stopped.
fn never_sent(kept: u64, counts: &Counts) -> String {
    match kept.saturating_sub(counts.failed) {
        0 => "\n".into(),
        unsent => format!(", {unsent} of them read but never sent\n"),
    }
}

fn warning(counts: &Counts) -> &'static str {
    match counts.unknown {
        0 => "",
        _ => "a line that may be in the log already would stand there twice if it is sent again\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(delivered: u64, failed: u64, unknown: u64) -> Counts {
        Counts { delivered, failed, unknown, ..Counts::default() }
    }

    #[test]
    fn the_total_has_lines_that_may_be_in_the_log_only_if_there_are_any() {
        let took = Duration::from_millis(500);
        assert_eq!(total(took, &counts(1, 0, 0)), "1 line: 1 delivered, 0 failed in 500 ms (2 lines/s)\n");
        let mixed = "5 lines: 3 delivered, 2 failed (1 of them may be in the log) in 500 ms (6 lines/s)\n";
        assert_eq!(total(took, &counts(3, 2, 1)), mixed);
        assert_eq!(total(Duration::ZERO, &counts(0, 0, 0)), "0 lines: 0 delivered, 0 failed in 0 µs (0 lines/s)\n");
    }

    #[test]
    fn a_run_that_stopped_early_says_where_and_why() {
        let stopped = |stop, file| stopped(&End { stop: &stop, lines: 7, file, took: Duration::ZERO });
        assert_eq!(stopped(Stop::End, None), "");
        assert_eq!(stopped(Stop::Interrupted, None), "stopped after 7 lines\n");
        assert_eq!(stopped(Stop::GivenUp("no".into()), None), "stopped after 7 lines: no\n");
        let file = Some(Path::new("in.txt"));
        let expected = "stopped after 7 lines; what follows in in.txt was not sent\n";
        assert_eq!(stopped(Stop::Interrupted, file), expected);
    }

    #[test]
    fn lines_that_were_read_but_never_sent_are_counted_apart_from_those_that_failed() {
        assert_eq!(never_sent(2, &counts(0, 2, 0)), "\n");
        assert_eq!(never_sent(5, &counts(0, 2, 0)), ", 3 of them read but never sent\n");
    }

    #[test]
    fn failures_that_were_not_printed_one_by_one_are_summed_up() {
        let unreported_reasons = [("expired".to_owned(), 1), ("rejected".to_owned(), 3)].into();
        let counts = Counts { unreported: unreported_reasons, ..Counts::default() };
        assert_eq!(unreported(&counts), "1 line more failed: expired\n3 lines more failed: rejected\n");
    }

    #[test]
    fn the_warning_about_sending_again_needs_a_line_that_may_be_in_the_log() {
        assert_eq!(warning(&counts(1, 1, 0)), "");
        assert!(warning(&counts(1, 1, 1)).contains("twice"));
    }

    #[test]
    fn the_exit_code_follows_from_the_stop_and_the_failures() {
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
