//! Prints records until the limit is reached, or stdout accepts no more.
//!
//! In: records. Out: a line for each. Does I/O.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    ops::ControlFlow,
};

use milena::admin::ConsumedRecord;

use super::follow::Sink;
use crate::{
    console::Stdout,
    output::{self, Format},
};

/// Prints records.
pub(super) struct Printer<W: Write = Stdout> {
    pub(super) format: Format,
    /// Whether control characters are escaped.
    pub(super) safe: bool,
    /// How many records may still be printed; `None` is no limit.
    pub(super) left: Option<u64>,
    pub(super) out: BufWriter<W>,
}

impl Printer {
    /// Prints at most `left` records to standard output.
    pub(super) fn new(format: Format, left: Option<u64>) -> Self {
        let (safe, out) = (io::stdout().is_terminal(), BufWriter::new(Stdout));
        Self { format, safe, left, out }
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
        let mut line = output::record(self.format, topic, record, self.safe);
        line.push(b'\n');
        let written = self.out.write_all(&line);
        self.left = if written.is_ok() { self.left.map(|left| left - 1) } else { Some(0) };
        if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn flush(&mut self) {
        if self.out.flush().is_err() {
            self.left = Some(0);
        }
    }
}
