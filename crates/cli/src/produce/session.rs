//! One run: from lines to records to outcomes.
//!
//! In: a producer and lines. Out: every line in the log, in the file of failed lines, or in both if its record may have been
//! written. Does I/O. A future that is dropped early keeps what it has not sent. Nothing is allocated for a line. Where lines are values and
//! nothing else, those that go into one batch are sent together, and have one handle; others have a handle each.

use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use milena::{Producer, SendError, WaitedFor};
use tokio::{sync::oneshot, time::timeout};

use super::{
    ahead::Ahead,
    block::{Accepted, Block, Place, Sent, Turn, locked},
    ends::Ends,
    ledger::Ledger,
    lines::Input,
    parser::Parser,
    room::{self, Room},
};
use crate::{interrupt::Interrupt, output::Failure};

/// How many handles are waited for together.
const LINES: usize = 4 * 1024;
/// How many lines are split before they are sent together.
const TOGETHER: usize = 1024;
/// How many KiB the handles take.
const HANDLES: u32 = (LINES * size_of::<(Sent, Place)>() / 1024) as u32;
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
    parser: Parser,
    ledger: Arc<Mutex<Ledger>>,
    /// For lines in flight, and for their handles beyond the first of a block. `buffer.memory` bounds their records; this bounds what is kept for
    /// them.
    room: Room,
    /// For the next lines: resolves when all those before have their outcomes.
    settled: Mutex<Option<oneshot::Receiver<()>>>,
    /// Whether lines that were read and not sent would be lost.
    keeps_rest: bool,
}

/// How far the lines of a block have come, for whoever goes on when their future is dropped.
struct Cursor<'a> {
    /// How many bytes need not be kept as unsent.
    sent: &'a mut usize,
    /// How many lines of the input there were.
    number: &'a mut u64,
}

impl Cursor<'_> {
    fn advance(&mut self, len: usize, lines: u64) {
        *self.sent += len;
        *self.number += lines;
    }
}

impl Session {
    /// A run without lines yet.
    pub(crate) fn new(producer: Producer, parser: Parser, ledger: Ledger, keeps_rest: bool) -> Self {
        let ledger = Arc::new(Mutex::new(ledger));
        Self { producer, parser, ledger, room: Room::default(), settled: Mutex::default(), keeps_rest }
    }

    /// Sends line after line until the input ends, a signal arrives or sending fails. `number` counts the lines.
    pub(crate) async fn pump(&self, lines: &mut Ahead, number: &mut u64, interrupt: &mut Interrupt) -> Stop {
        loop {
            let read = tokio::select! {
                biased;
                () = interrupt.next() => return Stop::Interrupted,
                read = self.read(lines, number) => read,
            };
            let stop = match read {
                Err(stop) => Some(stop),
                Ok(None) => self.cannot_keep(),
                Ok(Some(bytes)) => self.send_lines(&bytes, lines, number, interrupt).await,
            };
            if let Some(stop) = stop {
                return stop;
            }
        }
    }

    /// Reads the next lines. Those that are too long are kept at once, and nothing is returned for them.
    async fn read(&self, lines: &mut Ahead, number: &mut u64) -> Result<Option<Bytes>, Stop> {
        match lines.next().await {
            Err(error) => return Err(Stop::GivenUp(format!("cannot read the input: {error}"))),
            Ok(None) => return Err(Stop::End),
            Ok(Some(Input::Line(bytes))) => return Ok(Some(bytes)),
            // A line that fails meanwhile would be written into the middle of this one, so none may be in flight.
            Ok(Some(Input::LongLine)) => {
                *number += 1;
                self.room.empty().await;
            }
            Ok(Some(Input::Piece { bytes, ends })) => {
                let mut ledger = self.ledger();
                ledger.keep_part(&bytes);
                if ends {
                    ledger.count_failure(*number, &too_long(lines.max_len()));
                }
            }
        }
        Ok(None)
    }

    async fn send_lines(
        &self,
        bytes: &Bytes,
        lines: &Ahead,
        number: &mut u64,
        interrupt: &mut Interrupt,
    ) -> Option<Stop> {
        let mut sent = 0;
        let stop = tokio::select! {
            biased;
            () = interrupt.next() => Some(Stop::Interrupted),
            stop = self.send_block(bytes, lines, Cursor { sent: &mut sent, number }) => stop,
        };
        if self.keeps_rest {
            self.ledger().keep_unsent(&bytes[sent..]);
        }
        stop.or_else(|| self.cannot_keep())
    }

    /// Sends lines that were read together.
    async fn send_block(&self, bytes: &Bytes, lines: &Ahead, mut at: Cursor<'_>) -> Option<Stop> {
        let mut accepted = self.block(bytes.clone(), lines.ends().clone(), None).await;
        let block = Arc::clone(&accepted.block);
        while *at.sent < bytes.len() {
            if accepted.lines.len() == LINES {
                // What these take is free once they have their outcomes.
                drop(accepted);
                accepted = self.others_of(Arc::clone(&block)).await;
            }
            let stop = match self.parser.topic_of_values() {
                Some(topic) => self.send_values(topic, &block, &mut accepted, lines.max_len(), &mut at).await,
                None => self.send_line(&block, &mut accepted, lines.max_len(), &mut at).await,
            };
            if stop.is_some() {
                return stop;
            }
        }
        None
    }

    /// Sends the next line of a block.
    async fn send_line(
        &self,
        block: &Block,
        accepted: &mut Accepted,
        max_len: usize,
        at: &mut Cursor<'_>,
    ) -> Option<Stop> {
        let (line, content) = block.first(&block.bytes[*at.sent..]);
        let place = Place::new(*at.sent, line.len(), *at.number + 1);
        let stop = if line.len() > max_len {
            self.refused(accepted, place, &too_long(max_len))
        } else if self.parser.skips(content) {
            None
        } else {
            self.send(accepted, place, content).await
        };
        at.advance(line.len(), self.parser.lines(line));
        stop
    }

    /// Sends the next lines, which are values of `topic`, up to one that is not accepted. Those that go into one batch are sent together. Memory is
    /// waited for as in [`send`](Self::send).
    async fn send_values(
        &self,
        topic: &str,
        block: &Block,
        accepted: &mut Accepted,
        max_len: usize,
        at: &mut Cursor<'_>,
    ) -> Option<Stop> {
        let (mut ends, mut values, mut end) = (Vec::with_capacity(TOGETHER), Vec::with_capacity(TOGETHER), *at.sent);
        while end < block.bytes.len() && values.len() < TOGETHER.min(LINES - accepted.lines.len()) {
            let (line, content) = block.first(&block.bytes[end..]);
            if line.len() > max_len {
                break;
            }
            end += line.len();
            ends.push(end);
            values.push(content);
        }
        if values.is_empty() {
            return self.send_line(block, accepted, max_len, at).await;
        }
        let mut done = 0;
        while done < values.len() {
            let accepting = self.producer.send_values(topic, &values[done..]).await;
            let count = match &accepting {
                Ok(lines) => lines.len(),
                Err(SendError::Timeout { waited_for: WaitedFor::Memory, .. }) => continue,
                Err(_) => 1,
            };
            done += count;
            let len = ends[done - 1] - *at.sent;
            let place = Place::new(*at.sent, len, *at.number + 1);
            at.advance(len, count as u64);
            match accepting {
                Ok(lines) => accepted.lines.push((Sent::Lines(lines), place)),
                Err(error) => return self.not_accepted(accepted, place, &error),
            }
        }
        None
    }

    /// Sends files, each as a record. One that cannot be read fails, and the others are sent.
    pub(crate) async fn send_files(
        &self,
        files: &[impl AsRef<Path>],
        max_len: usize,
        number: &mut u64,
        interrupt: &mut Interrupt,
    ) -> Stop {
        for path in files.iter().map(AsRef::as_ref) {
            let stop = tokio::select! {
                biased;
                () = interrupt.next() => Some(Stop::Interrupted),
                stop = self.send_file(path, max_len, *number + 1) => stop,
            };
            *number += 1;
            if let Some(stop) = stop {
                return stop;
            }
        }
        Stop::End
    }

    async fn send_file(&self, path: &Path, max_len: usize, number: u64) -> Option<Stop> {
        let name = path.display().to_string();
        match whole(path, max_len) {
            Err(why) => {
                self.ledger().count_failure(number, &Failure::refused(format!("{name}: {why}")));
                None
            }
            Ok(bytes) => {
                let bytes = Bytes::from(bytes);
                let mut accepted = self.block(bytes.clone(), Ends::default(), Some(name)).await;
                self.send(&mut accepted, Place::new(0, bytes.len(), number), &bytes).await
            }
        }
    }

    async fn block(&self, bytes: Bytes, ends: Ends, file: Option<String>) -> Accepted {
        // Even the largest block leaves room for handles.
        let kib = u32::try_from(bytes.len() / 1024 + 1).unwrap_or(u32::MAX).min(room::FIRST - HANDLES);
        let permit = self.room.of(kib).await;
        let (ledger, tells) = (Arc::clone(&self.ledger), self.ledger().tells());
        let block = Block { bytes, ends, ledger, tells, file, _permit: permit };
        Accepted { block: Arc::new(block), lines: Vec::new(), permit: None, turn: self.turn() }
    }

    /// A place for more lines of a block. What its first lines take besides their bytes is part of what is read at once.
    async fn others_of(&self, block: Arc<Block>) -> Accepted {
        let permit = self.room.of(HANDLES).await;
        Accepted { block, lines: Vec::with_capacity(LINES), permit, turn: self.turn() }
    }

    fn turn(&self) -> Turn {
        let (sender, receiver) = oneshot::channel();
        Turn { before: locked(&self.settled).replace(receiver), settled: Some(sender) }
    }

    /// Sends a line. Records in `buffer.memory` are delivered or expire within `delivery.timeout.ms`, so memory becomes free: a line
    /// that has waited for it in vain waits again.
    #[inline]
    async fn send(&self, accepted: &mut Accepted, place: Place, content: &[u8]) -> Option<Stop> {
        loop {
            let record = match self.parser.record(content) {
                Ok(record) => record,
                Err(wrong) => return self.refused(accepted, place, &Failure::refused(wrong.to_string())),
            };
            match self.producer.send(record).await {
                Ok(delivery) => {
                    accepted.lines.push((Sent::Line(delivery), place));
                    return None;
                }
                Err(SendError::Timeout { waited_for: WaitedFor::Memory, .. }) => {}
                Err(error) => return self.not_accepted(accepted, place, &error),
            }
        }
    }

    #[cold]
    fn not_accepted(&self, accepted: &Accepted, place: Place, error: &SendError) -> Option<Stop> {
        let refused = self.refused(accepted, place, &Failure::from(error));
        given_up(error, self.parser.places_each()).or(refused)
    }

    /// Keeps a line that was not accepted.
    #[cold]
    fn refused(&self, accepted: &Accepted, place: Place, why: &Failure) -> Option<Stop> {
        accepted.block.failed(place, why);
        self.cannot_keep()
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
        if timeout(LAST_CALLBACKS, self.room.empty()).await.is_err() {
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

/// The bytes of a file.
pub(super) fn whole(path: &Path, max_len: usize) -> Result<Vec<u8>, String> {
    let (mut bytes, limit) = (Vec::new(), max_len as u64 + 1);
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    if bytes.len() > max_len { Err(too_long(max_len).message) } else { Ok(bytes) }
}

/// Why a line is not sent that is over the limit.
pub(super) fn too_long(max_len: usize) -> Failure {
    Failure::refused(format!("line is over --max-line-bytes, which is {max_len}; raise it, and max.request.size"))
}

/// The reason to stop if the error concerns every line, not only this one.
fn given_up(error: &SendError, places_each: bool) -> Option<Stop> {
    match error {
        SendError::TooLarge { .. } | SendError::Serialization { .. } | SendError::InvalidRecord { .. } => None,
        SendError::InvalidTopic { .. } | SendError::InvalidPartition { .. } | SendError::TopicRefused { .. }
            if places_each =>
        {
            None
        }
        _ => Some(Stop::GivenUp("every line would fail like this one".into())),
    }
}
