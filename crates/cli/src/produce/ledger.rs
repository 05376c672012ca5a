//! Counts and prints the outcome of every line.
//!
//! In: outcomes, in the order of their completion, from callbacks and from the reading side. Out: a line printed for each, failed
//! lines kept, counts for the report. Does I/O: it prints. One value behind one lock.

use std::{collections::BTreeMap, fmt, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use milena::{Ack, ErrorCode, Persisted};

use super::{failed::FailedLines, outcomes::Outcomes};
use crate::{
    console::to_stderr,
    output::{self, Failure, Format},
};

/// How many failures are printed one by one on stderr; further ones are only counted.
const MAX_REPORTED: u64 = 10;
const TICK: Duration = Duration::from_millis(250);
/// Redraws a second.
const REDRAWS: u8 = 10;

/// The outcomes of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Prints outcomes on stdout; `None` prints none.
    outcomes: Option<Outcomes>,
    /// The progress line; `None` if it is not shown.
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
    /// Lines that are not in the log, or may not be.
    pub(crate) failed: u64,
    /// Failed lines that may be in the log.
    pub(crate) unknown: u64,
    /// Failed lines that were not printed one by one, by reason.
    pub(crate) unreported: BTreeMap<String, u64>,
}

impl Ledger {
    /// An empty ledger. With `progress`, it shows a progress line on stderr if that is a terminal.
    pub(crate) fn new(format: Option<Format>, failed: FailedLines, progress: bool) -> Self {
        let progress = progress.then(progress_line).flatten();
        Self { outcomes: format.map(Outcomes::new), progress, failed, unsent: Vec::new(), counts: Counts::default() }
    }

    /// Counts and prints a delivered line.
    pub(crate) fn delivered(&mut self, line: u64, ack: &Ack) {
        self.counts.delivered += 1;
        if let Some(progress) = &self.progress {
            progress.inc(1);
        }
        if let Some(outcomes) = &mut self.outcomes {
            outcomes.add(line, Ok(ack));
        }
    }

    /// Counts lines that were delivered, without a word about each.
    pub(crate) fn delivered_silently(&mut self, lines: u64) {
        self.counts.delivered += lines;
        if let Some(progress) = &self.progress {
            progress.inc(lines);
        }
    }

    /// Whether each line that is delivered is told.
    pub(crate) fn tells(&self) -> bool {
        self.outcomes.is_some()
    }

    /// Keeps a failed line, counts it and prints why it failed.
    pub(crate) fn failed(&mut self, line: u64, bytes: &[u8], failure: &Failure) {
        self.failed.keep(bytes);
        self.count_failure(line, failure);
    }

    /// Counts and prints a failed line whose bytes have been kept already.
    pub(crate) fn count_failure(&mut self, line: u64, failure: &Failure) {
        self.counts.failed += 1;
        self.counts.unknown += u64::from(failure.persisted == Persisted::Unknown);
        if let Some(progress) = &self.progress {
            progress.set_message(format!(", {} failed", self.counts.failed));
        }
        if self.counts.failed <= MAX_REPORTED {
            let text = output::printable(output::failure(line, failure).as_bytes());
            self.above_progress(|| to_stderr(&text));
        } else {
            *self.counts.unreported.entry(reason(failure)).or_default() += 1;
        }
        // As text, failures go to stderr only.
        if let Some(outcomes) = self.outcomes.as_mut().filter(|outcomes| outcomes.format() == Format::Json) {
            outcomes.add(line, Err(failure));
        }
    }

    /// Keeps a part of a line that is too long for a record.
    pub(crate) fn keep_part(&mut self, part: &[u8]) {
        self.failed.append(part);
    }

    /// Stores lines that were read and not sent. They are written after the failed lines that were sent before them.
    pub(crate) fn keep_unsent(&mut self, lines: &[u8]) {
        self.unsent.extend_from_slice(lines);
    }

    /// Writes the lines that were not sent. Must be called after every sent line has its outcome, so that the file has these lines
    /// at its end.
    pub(crate) fn write_unsent(&mut self) {
        self.failed.keep(&std::mem::take(&mut self.unsent));
        self.failed.finish();
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The file of failed lines.
    pub(crate) fn failed_lines(&self) -> &FailedLines {
        &self.failed
    }

    /// Writes the remaining outcomes and removes the progress line. No outcome may follow.
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

/// A progress line, redrawn four times a second, and at most ten times a second while lines fail. `None` if stderr is no terminal.
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
    use super::{super::ends::Ends, *};

    fn failure(code: ErrorCode, persisted: Persisted) -> Failure {
        Failure { code, persisted, ..Failure::refused("no".into()) }
    }

    #[test]
    fn failures_are_counted_and_those_beyond_the_first_ten_by_reason() {
        let mut ledger = Ledger::new(None, FailedLines::at("/nowhere/at/all".into(), Ends::Line), false);
        for line in 0..12 {
            ledger.count_failure(line, &failure(ErrorCode::REQUEST_TIMED_OUT, Persisted::Unknown));
        }
        ledger.count_failure(12, &failure(ErrorCode::NONE, Persisted::No));
        let unreported = [("not accepted, REQUEST_TIMED_OUT (7)".to_owned(), 2), ("not accepted".to_owned(), 1)];
        let expected = Counts { delivered: 0, failed: 13, unknown: 12, unreported: unreported.into() };
        assert_eq!(ledger.counts(), &expected);
    }

    #[test]
    fn a_failed_line_that_cannot_be_kept_is_counted() {
        let mut ledger = Ledger::new(None, FailedLines::at("/nowhere/at/all".into(), Ends::Line), false);
        ledger.failed(1, b"line\n", &failure(ErrorCode::NONE, Persisted::No));
        assert_eq!(ledger.counts().failed, 1);
        assert!(ledger.failed_lines().lost().is_some());
    }
}
