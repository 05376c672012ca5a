//! `milena dlq`: the letters of a dead-letter topic, and replaying them.
//!
//! In: a dead-letter topic of a cluster. Out: its letters with their reasons; records in their original topics. Does I/O. Deliberately
//! absent: groups and committed offsets; deleting letters, which Kafka cannot.

mod args;
mod judge;
mod letter;
mod print;
mod reading;
mod replay;
mod report;
mod start;

use std::io::{BufWriter, Write};

pub(crate) use self::args::Args;
use self::{
    args::{Action, ListArgs},
    judge::matches,
    letter::Letter,
    reading::Reading,
};
use crate::{
    console::{Stdout, to_stderr},
    exit::{CliError, Exit},
    interrupt::Interrupt,
    output::count,
};

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let mut interrupt = Interrupt::listen()?;
    match args.action {
        Action::Replay(args) => replay::run(args, &mut interrupt).await,
        Action::List(args) => tokio::select! {
            biased;
            () = interrupt.next() => Ok(Exit::Interrupted),
            listed = list(args) => listed.map(|()| Exit::Good),
        },
    }
}

async fn list(ListArgs { letters }: ListArgs) -> Result<(), CliError> {
    let (mut reading, mut out, mut listed) = (Reading::start(&letters).await?, BufWriter::new(Stdout), 0);
    'all: while let Some(batch) = reading.batch().await? {
        for record in &batch {
            let letter = Letter::of(record);
            if matches(&letter, &letters.errors) {
                if writeln!(out, "{}", print::listed(&letters.topic, &letter, letters.json)).is_err() {
                    break 'all;
                }
                listed += 1;
            }
            reading.handled(record);
            if letters.limit == Some(listed) {
                break 'all;
            }
        }
    }
    // The console keeps the error.
    let _ = out.flush();
    to_stderr(&format!("{}; to go on: {}", count(listed, "letter"), reading.goes_on()));
    Ok(())
}
