//! What became of every line.
//!
//! In: outcomes, in the order in which they are known, from callbacks and from the reading side. Out: a line printed for
//! each, failed lines kept, counts for the report. Does I/O: it prints. One value behind one lock.

use std::{collections::BTreeMap, fmt, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use milena::{Ack, ErrorCode, Persisted};

use super::{failed::FailedLines, outcomes::Outcomes};
use crate::{
    console::tell,
    output::{self, Failure, Format},
};

/// How many failures are told one by one on stderr; after that they are counted.
const TOLD: u64 = 10;
const TICK: Duration = Duration::from_millis(250);
/// Redraws a second.
const REDRAWS: u8 = 10;

/// The account of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Prints outcomes on stdout; `None` is not at all.
    outcomes: Option<Outcomes>,
    /// A line that moves, if somebody sees it.
    progress: Option<ProgressBar>,
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
        let progress = progress.then(progress_line).flatten();
        Self { outcomes: format.map(Outcomes::new), progress, failed, unsent: Vec::new(), counts: Counts::default() }
    }

    /// A line is in the log.
    pub(crate) fn delivered(&mut self, line: u64, ack: &Ack) {
        self.counts.delivered += 1;
        if let Some(progress) = &self.progress {
            progress.inc(1);
        }
        if let Some(outcomes) = &mut self.outcomes {
            outcomes.add(line, Ok(ack));
        }
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
        if let Some(progress) = &self.progress {
            progress.set_message(format!(", {} failed", self.counts.failed));
        }
        if self.counts.failed <= TOLD {
            let text = output::printable(output::failure(line, failure).as_bytes());
            self.above_progress(|| tell(&text));
        } else {
            *self.counts.untold.entry(reason(failure)).or_default() += 1;
        }
        // A person has been told on stderr, or will be.
        if let Some(outcomes) = self.outcomes.as_mut().filter(|outcomes| outcomes.format() == Format::Json) {
            outcomes.add(line, Err(failure));
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

    /// Nothing more comes: writes the outcomes that are not written yet, and takes the progress line away.
    pub(crate) fn finish(&mut self) {
        self.outcomes = None;
        if let Some(progress) = &self.progress {
            progress.finish_and_clear();
        }
    }

    fn above_progress(&self, print: impl FnOnce()) {
        match &self.progress {
            Some(progress) => progress.suspend(print),
            None => print(),
        }
    }
}

fn reason(failure: &Failure) -> String {
    match failure.code {
        ErrorCode::NONE => failure.kind.clone(),
        code => format!("{}, {code}", failure.kind),
    }
}

/// A line that is drawn anew four times a second, and at most ten times where lines fail; `None` if stderr is no terminal.
fn progress_line() -> Option<ProgressBar> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(REDRAWS));
    let style = ProgressStyle::with_template("{spinner} {human_pos} delivered{msg}, {rate}, {elapsed}").ok()?;
    if bar.is_hidden() {
        return None;
    }
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = write!(out, "{:.0}/s", state.per_sec());
    };
    bar.set_style(style.with_key("rate", rate));
    bar.enable_steady_tick(TICK);
    Some(bar)
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
