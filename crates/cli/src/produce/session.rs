//! One run: from lines to records to outcomes.
//!
//! In: a producer and lines. Out: every line in the log, in the file of failed lines, or in both if its record may have been
//! written. Does I/O. A line's bytes are kept until its record is completed; a future that is dropped early keeps its line.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use milena::{Ack, DeliveryError, Producer, SendError, WaitedFor};
use tokio::{
    io::AsyncRead,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    ledger::Ledger,
    lines::{self, Input, Lines},
    template::Template,
};
use crate::{interrupt::Interrupt, output::Failure};

/// How many lines may be in flight. `buffer.memory` bounds their records; this bounds the lines that are kept for them.
const MAX_IN_FLIGHT: u32 = 65_536;
/// How long callbacks may take to run once the producer is closed.
pub(crate) const LAST_CALLBACKS: Duration = Duration::from_secs(30);

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The input ended.
    End,
    /// A signal interrupted the command.
    Interrupted,
    /// Every further line would fail, for this reason.
    GivenUp(String),
}

/// A run of the command.
pub(crate) struct Session {
    producer: Producer,
    template: Template,
    ledger: Arc<Mutex<Ledger>>,
    /// A permit is taken for each line in flight.
    in_flight: Arc<Semaphore>,
}

impl Session {
    /// A run without lines yet.
    pub(crate) fn new(producer: Producer, template: Template, ledger: Ledger) -> Self {
        let in_flight = Arc::new(Semaphore::new(MAX_IN_FLIGHT as usize));
        Self { producer, template, ledger: Arc::new(Mutex::new(ledger)), in_flight }
    }

    /// Sends line after line until the input ends, a signal arrives or sending fails. `number` counts the lines.
    pub(crate) async fn pump(
        &self,
        lines: &mut Lines<impl AsyncRead + Unpin>,
        number: &mut u64,
        interrupt: &mut Interrupt,
    ) -> Stop {
        loop {
            let stop = tokio::select! {
                biased;
                () = interrupt.next() => Some(Stop::Interrupted),
                stop = self.step(lines, number) => stop,
            };
            if let Some(stop) = stop {
                return stop;
            }
        }
    }

    /// Handles the next part of the input. Dropping the future keeps the line that it was sending.
    async fn step(&self, lines: &mut Lines<impl AsyncRead + Unpin>, number: &mut u64) -> Option<Stop> {
        match lines.next().await {
            Err(error) => return Some(Stop::GivenUp(format!("cannot read the input: {error}"))),
            Ok(None) => return Some(Stop::End),
            Ok(Some(Input::Line(line))) => {
                *number += 1;
                return self.send(*number, line).await;
            }
            // A line that fails meanwhile would be written into the middle of this one, so none may be in flight.
            Ok(Some(Input::LongLine)) => {
                *number += 1;
                self.idle().await;
            }
            Ok(Some(Input::Piece { bytes, ends })) => self.keep_piece(*number, &bytes, ends, lines.max_len()),
        }
        self.cannot_keep()
    }

    fn keep_piece(&self, number: u64, bytes: &[u8], ends: bool, max_len: usize) {
        let mut ledger = self.ledger();
        ledger.keep_part(bytes);
        if ends {
            let message = format!("line is over --max-line-bytes, which is {max_len}; raise it, and max.request.size");
            ledger.count_failure(number, &Failure::refused(message));
        }
    }

    async fn send(&self, number: u64, line: Bytes) -> Option<Stop> {
        let unsent = Unsent { ledger: &self.ledger, line: &line };
        loop {
            let record = match self.template.record(lines::content(&line)) {
                Ok(record) => record,
                Err(reason) => {
                    unsent.release();
                    self.ledger().failed(number, &line, &Failure::refused(reason));
                    return self.cannot_keep();
                }
            };
            let permit = Arc::clone(&self.in_flight).acquire_owned().await;
            match self.producer.send_with(record, self.callback(number, line.clone(), permit.ok())).await {
                Ok(()) => {
                    unsent.release();
                    return self.cannot_keep();
                }
                // Records in `buffer.memory` are delivered or expire within delivery.timeout.ms, so memory becomes free: retry.
                Err(SendError::Timeout { waited_for: WaitedFor::Memory, .. }) => {}
                Err(error) => {
                    unsent.release();
                    self.ledger().failed(number, &line, &Failure::from(&error));
                    return given_up(&error).or_else(|| self.cannot_keep());
                }
            }
        }
    }

    fn callback(
        &self,
        number: u64,
        line: Bytes,
        permit: Option<OwnedSemaphorePermit>,
    ) -> impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static {
        let ledger = Arc::clone(&self.ledger);
        move |outcome| {
            match outcome {
                Ok(ack) => locked(&ledger).delivered(number, &ack),
                Err(error) => locked(&ledger).failed(number, &line, &Failure::from(&error)),
            }
            drop(permit);
        }
    }

    /// Waits until no line is in flight.
    async fn idle(&self) {
        drop(self.in_flight.acquire_many(MAX_IN_FLIGHT).await);
    }

    fn cannot_keep(&self) -> Option<Stop> {
        let ledger = self.ledger();
        let error = ledger.failed_lines().lost()?;
        let path = ledger.failed_lines().path().display();
        Some(Stop::GivenUp(format!("cannot keep failed lines in {path}: {error}; name another with --failed-file")))
    }

    /// The ledger of the run.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        locked(&self.ledger)
    }

    /// Closes the producer and waits for lines in flight. A signal ends the wait.
    pub(crate) async fn close(&self, interrupt: &mut Interrupt) {
        close(&self.producer, interrupt).await;
        if timeout(LAST_CALLBACKS, self.idle()).await.is_err() {
            tracing::error!("some lines have no outcome {} s after closing", LAST_CALLBACKS.as_secs());
        }
    }
}

/// Closes a producer and waits for what is in flight. A signal ends the wait.
pub(crate) async fn close(producer: &Producer, interrupt: &mut Interrupt) {
    let closed = tokio::select! {
        biased;
        () = interrupt.next() => producer.close_timeout(Duration::ZERO).await,
        closed = producer.close() => closed,
    };
    if let Err(error) = closed {
        tracing::debug!(%error, "closing the producer");
    }
}

/// A guard of a line that is being sent. Dropping it before `release` keeps the line as unsent.
struct Unsent<'a> {
    ledger: &'a Mutex<Ledger>,
    line: &'a [u8],
}

impl Unsent<'_> {
    fn release(mut self) {
        self.line = &[];
    }
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            locked(self.ledger).keep_unsent(self.line);
        }
    }
}

/// Locks the ledger. A poisoned lock is used as well: no panic leaves the ledger inconsistent.
fn locked(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reason to stop if the error concerns every line, not only this one.
fn given_up(error: &SendError) -> Option<Stop> {
    match error {
        SendError::TooLarge { .. } | SendError::Serialization { .. } | SendError::InvalidRecord { .. } => None,
        _ => Some(Stop::GivenUp("every line would fail like this one".into())),
    }
}
