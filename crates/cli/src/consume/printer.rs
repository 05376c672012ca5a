//! Prints records until the limit is reached, or stdout accepts no more.
//!
//! In: records. Out: a line for each. Does I/O.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    ops::ControlFlow,
};

use milena::admin::ConsumedRecord;

use crate::{
    console::Stdout,
    output::{self, Format},
};

/// Prints the records of a topic.
pub(super) struct Printer<'a, W: Write = Stdout> {
    pub(super) topic: &'a str,
    pub(super) format: Format,
    /// Whether control characters are escaped.
    pub(super) safe: bool,
    /// How many records may still be printed; `None` is no limit.
    pub(super) left: Option<u64>,
    pub(super) out: BufWriter<W>,
}

impl<'a> Printer<'a> {
    /// Prints at most `left` records of a topic to standard output.
    pub(super) fn new(topic: &'a str, format: Format, left: Option<u64>) -> Self {
        let (safe, out) = (io::stdout().is_terminal(), BufWriter::new(Stdout));
        Self { topic, format, safe, left, out }
    }
}

impl<W: Write> Printer<'_, W> {
    pub(super) fn full(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints a record. Breaks after the last one within the limit, and after a write error.
    pub(super) fn print(&mut self, record: &ConsumedRecord) -> ControlFlow<()> {
        if self.full() {
            return ControlFlow::Break(());
        }
        let mut line = output::record(self.format, self.topic, record, self.safe);
        line.push(b'\n');
        let written = self.out.write_all(&line);
        self.left = if written.is_ok() { self.left.map(|left| left - 1) } else { Some(0) };
        if self.full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    pub(super) fn flush(&mut self) {
        if self.out.flush().is_err() {
            self.left = Some(0);
        }
    }
}
