//! `milena console-producer`: what `kafka-console-producer.sh` does, with its options.
//!
//! In: lines on stdin. Out: a record for each. Does I/O. [`args`] has the options, [`reader`] makes records of lines, and the loop that
//! sends is here. Deliberately absent: a file of failed lines, and a report, which `milena produce` has.

mod args;
mod reader;

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use milena::{Ack, DeliveryError, Producer, SendError, WaitedFor};
use tokio::{io::Stdin, sync::mpsc, time::timeout};

pub(crate) use self::args::Args;
use self::reader::{Reader, java_lines};
use crate::{
    apache::text,
    console::{self, Stdout, to_stderr},
    exit::{CliError, Exit},
    interrupt::Interrupt,
    output::{self, Failure, failure},
    produce::{Ends, Input, LAST_CALLBACKS, Lines, close},
};

/// The longest line in bytes. A longer one is no text.
const MAX_LINE: usize = 1 << 30;

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    args.warn();
    let reader = args.reader()?;
    let settings = args.settings()?;
    let mut interrupt = Interrupt::listen()?;
    let run = Run::new(Producer::from_properties(settings).await?, reader, args.sync);
    let mut lines = Lines::new(tokio::io::stdin(), Ends::Line, MAX_LINE);
    let stopped = tokio::select! {
        biased;
        () = interrupt.next() => Ok(Exit::Interrupted),
        done = run.pump(&mut lines) => done.map(|()| Exit::Good).map_err(CliError::Failed),
    };
    let failed = run.close(&mut interrupt).await;
    match stopped {
        Ok(Exit::Good) if failed > 0 => Ok(Exit::Failed),
        stopped => stopped,
    }
}

/// A run of the command.
struct Run {
    producer: Producer,
    reader: Reader,
    sync: bool,
    /// Shows that a line may be typed.
    prompts: bool,
    /// How many records were not delivered.
    failed: Arc<AtomicU64>,
    /// Closed when no callback has its sender any more.
    outcomes: mpsc::Receiver<()>,
    pending: mpsc::Sender<()>,
}

impl Run {
    fn new(producer: Producer, reader: Reader, sync: bool) -> Self {
        let prompts = io::stdin().is_terminal() && io::stdout().is_terminal();
        let (pending, outcomes) = mpsc::channel(1);
        Self { producer, reader, sync, prompts, failed: Arc::default(), outcomes, pending }
    }

    /// Sends line after line until the input ends, or until one cannot be sent.
    async fn pump(&self, lines: &mut Lines<Stdin>) -> Result<(), String> {
        let mut number = 0;
        loop {
            self.prompt();
            let line = match lines.next().await.map_err(|error| format!("cannot read the input: {error}"))? {
                None => return Ok(()),
                Some(Input::Line(line)) => line,
                Some(Input::LongLine | Input::Piece { .. }) => {
                    return Err(format!("line number {} is longer than {MAX_LINE} bytes", number + 1));
                }
            };
            for line in java_lines(&line) {
                number += 1;
                self.send(&text(line), number).await?;
            }
        }
    }

    fn prompt(&self) {
        if self.prompts {
            let _ = console::attempt(|| Stdout.write_all(b">").and_then(|()| Stdout.flush()));
        }
    }

    async fn send(&self, line: &str, number: u64) -> Result<(), String> {
        loop {
            let record = self.reader.record(line, number)?;
            let accepted = if self.sync {
                match self.producer.send(record).await {
                    Ok(delivery) => return delivery.await.map(drop).map_err(|e| failure(number, &Failure::from(&e))),
                    Err(error) => Err(error),
                }
            } else {
                self.producer.send_with(record, self.callback(number)).await
            };
            match accepted {
                Ok(()) => return Ok(()),
                // Records in `buffer.memory` are delivered or expire within delivery.timeout.ms, so memory becomes free: retry.
                Err(SendError::Timeout { waited_for: WaitedFor::Memory, .. }) => {}
                Err(error) if self.sync || matches!(error, SendError::Closed { .. } | SendError::Fatal { .. }) => {
                    return Err(failure(number, &Failure::from(&error)));
                }
                Err(error) => {
                    report(&self.failed, number, &Failure::from(&error));
                    return Ok(());
                }
            }
        }
    }

    fn callback(&self, number: u64) -> impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static {
        let (failed, pending) = (Arc::clone(&self.failed), self.pending.clone());
        move |outcome| {
            if let Err(error) = outcome {
                report(&failed, number, &Failure::from(&error));
            }
            drop(pending);
        }
    }

    /// Closes the producer and waits until every record has its outcome. Returns how many were not delivered.
    async fn close(self, interrupt: &mut Interrupt) -> u64 {
        let Self { producer, failed, mut outcomes, pending, .. } = self;
        close(&producer, interrupt).await;
        drop(pending);
        if timeout(LAST_CALLBACKS, outcomes.recv()).await.is_err() {
            tracing::error!("some lines have no outcome {} s after closing", LAST_CALLBACKS.as_secs());
        }
        failed.load(Relaxed)
    }
}

/// Counts a record that was not delivered, and prints why.
fn report(failed: &AtomicU64, number: u64, why: &Failure) {
    failed.fetch_add(1, Relaxed);
    to_stderr(&output::printable(failure(number, why).as_bytes()));
}
