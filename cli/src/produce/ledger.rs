//! What became of every line.
//!
//! In: outcomes, in the order in which they are known, from callbacks and from the reading side. Out: a line printed for
//! each, failed lines kept, counts for the report. Does I/O: it prints. One value behind one lock.

use std::{collections::BTreeMap, fmt, io::Write, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use milena::{Ack, ErrorCode, Persisted};

use super::failed::FailedLines;
use crate::{
    console::{Stdout, tell},
    output::{self, Failure, Format},
};

/// How many failures are told one by one on stderr; after that they are counted.
const TOLD: u64 = 10;
const TICK: Duration = Duration::from_millis(250);

/// The account of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// How outcomes are printed on stdout; `None` is not at all.
    format: Option<Format>,
    progress: ProgressBar,
    failed: FailedLines,
    /// Lines that were read and not sent.
    unsent: Vec<u8>,
    counts: Counts,
}

/// The numbers of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Lines that are in the log.
    pub(crate) delivered: u64,
    /// Lines that are not, or may not be.
    pub(crate) failed: u64,
    /// Those of the failed lines that may be in the log all the same.
    pub(crate) unknown: u64,
    /// Failed lines that were not told one by one, by what failed.
    pub(crate) untold: BTreeMap<String, u64>,
}

impl Ledger {
    /// An empty account. With `progress`, a line on stderr shows how it grows if that is a terminal.
    pub(crate) fn new(format: Option<Format>, failed: FailedLines, progress: bool) -> Self {
        let progress = if progress { progress_line() } else { ProgressBar::hidden() };
        Self { format, progress, failed, unsent: Vec::new(), counts: Counts::default() }
    }

    /// A line is in the log.
    pub(crate) fn delivered(&mut self, line: u64, ack: &Ack) {
        self.counts.delivered += 1;
        self.progress.inc(1);
        self.print(line, Ok(ack));
    }

    /// A line failed: keeps it and tells why.
    pub(crate) fn failed(&mut self, line: u64, bytes: &[u8], failure: &Failure) {
        self.failed.keep(bytes);
        self.told(line, failure);
    }

    /// A line failed whose bytes have been kept already.
    pub(crate) fn told(&mut self, line: u64, failure: &Failure) {
        self.counts.failed += 1;
        self.counts.unknown += u64::from(failure.persisted == Persisted::Unknown);
        self.progress.set_message(format!(", {} failed", self.counts.failed));
        if self.counts.failed <= TOLD {
            let text = output::printable(output::outcome(Format::Text, line, Err(failure)).as_bytes());
            self.above_progress(|| tell(&text));
        } else {
            *self.counts.untold.entry(reason(failure)).or_default() += 1;
        }
        if self.format == Some(Format::Json) {
            self.print(line, Err(failure));
        }
    }

    /// Keeps a part of the input that no record was made of.
    pub(crate) fn keep_part(&mut self, part: &[u8]) {
        self.failed.append(part);
    }

    /// Keeps lines that were read and not sent, to be written behind those that were sent before them.
    pub(crate) fn keep_unsent(&mut self, lines: &[u8]) {
        self.unsent.extend_from_slice(lines);
    }

    /// Writes the lines that were not sent. To be called when every line that was has its outcome, so that the file has
    /// all lines in the order of the input.
    pub(crate) fn write_unsent(&mut self) {
        self.failed.keep(&std::mem::take(&mut self.unsent));
        self.failed.finish();
    }

    /// The numbers so far.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The file of failed lines.
    pub(crate) fn failed_lines(&self) -> &FailedLines {
        &self.failed
    }

    /// Takes the progress line away.
    pub(crate) fn finish_progress(&self) {
        self.progress.finish_and_clear();
    }

    fn print(&mut self, line: u64, outcome: output::Outcome<'_>) {
        let Some(format) = self.format else { return };
        let text = output::outcome(format, line, outcome);
        if self.above_progress(|| writeln!(Stdout, "{text}")).is_err() {
            // What was sent is sent, and that nobody reads any more (`| head`) is no reason to stop.
            self.format = None;
        }
    }

    fn above_progress<T>(&self, print: impl FnOnce() -> T) -> T {
        if self.progress.is_hidden() { print() } else { self.progress.suspend(print) }
    }
}

fn reason(failure: &Failure) -> String {
    match failure.code {
        ErrorCode::NONE => failure.kind.clone(),
        code => format!("{}, {code}", failure.kind),
    }
}

fn progress_line() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {human_pos} delivered{msg}, {rate}, {elapsed}");
    if let (false, Ok(style)) = (bar.is_hidden(), style) {
        let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        };
        bar.set_style(style.with_key("rate", rate));
        bar.enable_steady_tick(TICK);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: ErrorCode, persisted: Persisted) -> Failure {
        Failure { code, persisted, ..Failure::refused("no".into()) }
    }

    #[test]
    fn failures_are_counted_and_those_beyond_the_first_ten_by_what_failed() {
        let mut ledger = Ledger::new(None, FailedLines::at("/nowhere/at/all".into()), false);
        for line in 0..12 {
            ledger.told(line, &failure(ErrorCode::REQUEST_TIMED_OUT, Persisted::Unknown));
        }
        ledger.told(12, &failure(ErrorCode::NONE, Persisted::No));
        let untold = [("not accepted, REQUEST_TIMED_OUT (7)".to_owned(), 2), ("not accepted".to_owned(), 1)];
        let expected = Counts { delivered: 0, failed: 13, unknown: 12, untold: untold.into() };
        assert_eq!(ledger.counts(), &expected);
    }

    #[test]
    fn a_failed_line_that_cannot_be_kept_is_not_forgotten() {
        let mut ledger = Ledger::new(None, FailedLines::at("/nowhere/at/all".into()), false);
        ledger.failed(1, b"line\n", &failure(ErrorCode::NONE, Persisted::No));
        assert_eq!(ledger.counts().failed, 1);
        assert!(ledger.failed_lines().lost().is_some());
    }
}
