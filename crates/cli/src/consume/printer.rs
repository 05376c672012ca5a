//! Prints records until the limit is reached, or stdout accepts no more.
//!
//! In: records. Out: a line for each. Does I/O.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    ops::ControlFlow,
};

use milena::admin::ConsumedRecord;

use super::{follow::Sink, pattern::Pattern};
use crate::{
    console::Stdout,
    output::{self, Dates, Format},
};

/// The size of a write.
const CHUNK: usize = 64 * 1024;

/// How records are printed.
#[derive(Clone, Debug)]
pub(super) enum Style {
    /// A line for each.
    Lines(Format),
    /// As a format string says.
    Pattern(Pattern),
    /// Not at all.
    Silent,
}

/// Prints records.
pub(super) struct Printer<W: Write = Stdout> {
    style: Style,
    /// Whether control characters are escaped.
    safe: bool,
    /// How many records may still be printed; `None` is no limit.
    left: Option<u64>,
    printed: u64,
    dates: Dates,
    /// The record that is printed.
    text: Vec<u8>,
    out: BufWriter<W>,
}

impl Printer {
    /// Prints at most `left` records to standard output.
    pub(super) fn new(style: Style, left: Option<u64>) -> Self {
        Self::to(Stdout, style, left, io::stdout().is_terminal())
    }
}

impl<W: Write> Printer<W> {
    /// Prints at most `left` records.
    pub(super) fn to(out: W, style: Style, left: Option<u64>, safe: bool) -> Self {
        let (dates, text, out) = (Dates::default(), Vec::new(), BufWriter::with_capacity(CHUNK, out));
        Self { style, safe, left, printed: 0, dates, text, out }
    }
}

impl<W: Write> Sink for Printer<W> {
    fn is_over(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints a record. Breaks after the last one within the limit, and after a write error.
    fn take(&mut self, topic: &str, record: &ConsumedRecord) -> ControlFlow<()> {
        if self.is_over() {
            return ControlFlow::Break(());
        }
        self.text.clear();
        match &self.style {
            Style::Lines(format) => {
                output::put_record(&mut self.text, &mut self.dates, *format, topic, record, self.safe);
                self.text.push(b'\n');
            }
            Style::Pattern(pattern) => pattern.put(&mut self.text, &mut self.dates, topic, record, self.printed),
            Style::Silent => {}
        }
        self.printed += 1;
        let written = self.out.write_all(&self.text);
        self.left = if written.is_ok() { self.left.map(|left| left - 1) } else { Some(0) };
        if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn flush(&mut self) {
        if self.out.flush().is_err() {
            self.left = Some(0);
        }
    }
}
