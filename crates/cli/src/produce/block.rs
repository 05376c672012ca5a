//! Lines that were read together, until each has its outcome.
//!
//! In: lines, and the handles of their records. Out: each line's outcome, told or counted; those that failed go to the ledger, in the order
//! of the input. A task for some thousand handles waits for them in order. Deliberately absent: reading and sending.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use milena::{Ack, Deliveries, Delivery, DeliveryError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{ends::Ends, ledger::Ledger};
use crate::output::Failure;

/// Lines that were read together. They are kept until each has its outcome.
pub(super) struct Block {
    pub(super) bytes: Bytes,
    /// What ends a line.
    pub(super) ends: Ends,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    /// Whether each line that was delivered is told. Otherwise they are only counted.
    pub(super) tells: bool,
    /// The file that this is, which is kept nowhere else.
    pub(super) file: Option<String>,
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

/// The handle of a line, or of several that were accepted together.
pub(super) enum Sent {
    Line(Delivery),
    Lines(Deliveries),
}

/// Lines that were accepted, in order. When it is dropped, a task waits for their outcomes.
pub(super) struct Accepted {
    pub(super) block: Arc<Block>,
    pub(super) lines: Vec<(Sent, Place)>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    pub(super) turn: Turn,
}

/// The turn of lines among others, by which those that fail are kept in the order of the input.
#[derive(Default)]
pub(super) struct Turn {
    /// Resolves when all lines before have their outcomes.
    pub(super) before: Option<oneshot::Receiver<()>>,
    /// Dropped when these have theirs, too.
    pub(super) settled: Option<oneshot::Sender<()>>,
}

impl Turn {
    async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            // It is dropped, and never sent.
            let _ = before.await;
        }
    }
}

/// Where a line is in its block, and which one it is in the input. Of several lines, where all are, and which one is the first.
#[derive(Clone, Copy)]
pub(super) struct Place {
    start: u32,
    end: u32,
    number: u64,
}

impl Place {
    pub(super) fn new(start: usize, len: usize, number: u64) -> Self {
        // A block is at most as long as the longest line that is allowed, or a buffer.
        let short = |place| u32::try_from(place).unwrap_or(u32::MAX);
        Self { start: short(start), end: short(start + len), number }
    }
}

impl Block {
    fn line(&self, place: Place) -> &[u8] {
        &self.bytes[place.start as usize..place.end as usize]
    }

    /// The first line of `rest`, and its content.
    #[inline]
    pub(super) fn first<'a>(&self, rest: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let line = &rest[..self.ends.first(rest, 0).unwrap_or(rest.len())];
        (line, self.ends.content(line))
    }

    /// Where each of several lines is.
    fn each(&self, Place { start, end, number }: Place) -> impl Iterator<Item = Place> {
        let mut at = start as usize;
        (number..).map_while(move |number| {
            let (line, _) = self.first(&self.bytes[at..end as usize]);
            let place = Place::new(at, line.len(), number);
            at += line.len();
            (!line.is_empty()).then_some(place)
        })
    }

    /// Waits for the outcomes of lines, and tells or counts them.
    async fn complete(&self, lines: Vec<(Sent, Place)>, turn: &mut Turn) {
        let mut delivered = 0;
        for (sent, place) in lines {
            match sent {
                Sent::Line(delivery) => delivered += self.outcome(place, delivery.await, turn).await,
                Sent::Lines(lines) if !self.tells && lines.acknowledged().await.is_some() => {
                    delivered += lines.len() as u64;
                }
                Sent::Lines(lines) => {
                    for (delivery, place) in lines.each().zip(self.each(place)) {
                        delivered += self.outcome(place, delivery.await, turn).await;
                    }
                }
            }
        }
        locked(&self.ledger).delivered_silently(delivered);
    }

    /// Tells the outcome of a line. Returns how many lines remain to be counted.
    async fn outcome(&self, place: Place, outcome: Result<Ack, DeliveryError>, turn: &mut Turn) -> u64 {
        match outcome {
            Ok(_) if !self.tells => return 1,
            Ok(ack) => locked(&self.ledger).delivered(place.number, &ack),
            Err(error) => {
                turn.come().await;
                self.failed(place, &Failure::from(&error));
            }
        }
        0
    }

    pub(super) fn failed(&self, place: Place, why: &Failure) {
        match &self.file {
            None => locked(&self.ledger).failed(place.number, self.line(place), why),
            Some(path) => {
                let why = Failure { message: format!("{path}: {}", why.message), ..why.clone() };
                locked(&self.ledger).count_failure(place.number, &why);
            }
        }
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        let (block, lines, permit) = (Arc::clone(&self.block), mem::take(&mut self.lines), self.permit.take());
        let mut turn = mem::take(&mut self.turn);
        tokio::spawn(async move {
            block.complete(lines, &mut turn).await;
            drop((block, permit));
            turn.come().await;
            drop(turn.settled);
        });
    }
}

/// Locks what the tasks of a run share. A poisoned lock is used as well: no panic leaves it inconsistent.
pub(super) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
