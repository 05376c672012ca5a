//! What the publishing process has told.
//!
//! In: its lines. Out: which events it said are published or stored, and the state of its breaker and store. Shows that state on the
//! terminal.

use std::{
    collections::BTreeSet,
    io::{IsTerminal, Write},
    time::Instant,
};

use super::{PATIENCE, child::Child};
use crate::{console::to_stdout, exit::CliError};

/// What is known of the events.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) published: BTreeSet<u64>,
    pub(super) stored: BTreeSet<u64>,
    pub(super) handed_back: u64,
    pub(super) poison: Option<u64>,
    pub(super) is_done: bool,
    state: String,
    shown: String,
}

impl Report {
    /// Whether the breaker is open.
    pub(super) fn is_open(&self) -> bool {
        self.state.starts_with("OPEN")
    }

    /// Whether the breaker is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.state.starts_with("CLOSED")
    }

    /// Whether the poison event was published, and is stored.
    pub(super) fn is_poison_stored(&self) -> bool {
        self.poison.is_some_and(|number| self.stored.contains(&number))
    }

    /// Reads lines until a state is reached.
    pub(super) async fn follow(
        &mut self,
        child: &mut Child,
        is_reached: impl Fn(&Self) -> bool,
        what: &str,
    ) -> Result<(), CliError> {
        let limit = Instant::now() + PATIENCE;
        // The state of another step says nothing.
        self.state.clear();
        while !is_reached(self) {
            let line = tokio::time::timeout_at(limit.into(), child.lines.recv()).await;
            match line {
                Ok(Some(line)) => self.take(&line)?,
                Ok(None) => return Err(CliError::Failed(format!("the publishing process ended before {what}"))),
                Err(_) => {
                    let seconds = PATIENCE.as_secs();
                    return Err(CliError::Failed(format!(
                        "expected within {seconds} s: {what}; last state: {}",
                        self.shown
                    )));
                }
            }
        }
        self.show_whole();
        Ok(())
    }

    /// Reads what a process that has ended still said.
    pub(super) fn drain(&mut self, child: &mut Child) {
        while let Some(line) = child.lines.blocking_next() {
            // The last line may be cut.
            let _ = self.take(&line);
        }
    }

    fn take(&mut self, line: &str) -> Result<(), CliError> {
        let strange = || CliError::Failed(format!("the publishing process said {line:?}"));
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || rest.parse::<u64>().map_err(|_| strange());
        match word {
            "published" => drop(self.published.insert(number()?)),
            "stored" => drop(self.stored.insert(number()?)),
            "returned" => self.handed_back += 1,
            "poison" => self.poison = Some(number()?),
            "done" => self.is_done = true,
            "state" => self.show(rest),
            _ => return Err(strange()),
        }
        Ok(())
    }

    /// Shows the state: on a terminal in one line that changes, else whenever the breaker has changed.
    fn show(&mut self, state: &str) {
        let breaker = |state: &str| state.split(' ').next().unwrap_or_default().to_owned();
        let has_changed = breaker(state) != breaker(&self.shown);
        (self.state, self.shown) = (state.to_owned(), state.to_owned());
        if std::io::stdout().is_terminal() {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\r\x1b[K{state}").and_then(|()| out.flush());
        } else if has_changed {
            to_stdout(state);
        }
    }

    /// Ends the line that changes.
    fn show_whole(&self) {
        if std::io::stdout().is_terminal() && !self.shown.is_empty() {
            to_stdout("");
        }
    }
}
