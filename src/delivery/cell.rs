//! The cell that all records of one batch share.

use std::{
    fmt,
    num::NonZeroU64,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::Waker,
    time::Duration,
};

use super::{
    Ack,
    callbacks::{Callbacks, Listener, Notices},
};
use crate::error::{DeliveryError, DeliveryFailure, ErrorCode, FailureKind, Persisted};

/// What became of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Its records stand in the log, one after the other from `base_offset` if the broker told it, if it is `confirmed`; else
    /// they left this machine, and nobody was asked for more (`acks=0`).
    Acked { base_offset: Option<i64>, append_time: Option<i64>, confirmed: bool },
    /// None of its records was delivered, for one reason.
    Failed(DeliveryError),
    /// Some records were refused by name; `others` is the answer of the rest.
    Refused { records: Arc<[(u32, DeliveryError)]>, others: DeliveryError },
    /// It was too large; each part `(first record, cell)` has its own outcome.
    Split(Arc<[(u32, Arc<Cell>)]>),
}

/// The place where a batch's outcome will stand. Filled once, by its [`Completer`].
pub(crate) struct Cell {
    origin: Origin,
    /// The time of its first record: the others' times are told as differences.
    base_timestamp: i64,
    outcome: OnceLock<Outcome>,
    wakers: Mutex<Vec<Waker>>,
}

/// Where in its batch a record is, and how much later than the first, in one word. It is never 0: so an `Option` of what has
/// a place needs no word more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(NonZeroU64);

impl Place {
    /// Set in every place. No batch has so many records that one's index would reach it.
    const MARK: NonZeroU64 = NonZeroU64::new(1 << 63).expect("it is not 0");

    /// Of the record at `index`, `later` milliseconds after the first.
    #[inline]
    pub(crate) fn new(index: u32, later: i32) -> Self {
        Self(Self::MARK | u64::from(index) << 32 | u64::from(later.cast_unsigned()))
    }

    /// The record's index.
    #[inline]
    pub(crate) fn index(self) -> u32 {
        (self.0.get() >> 32 & u64::from(u32::MAX >> 1)) as u32
    }

    /// How much later it is.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "it is the lower half")]
    pub(crate) fn later(self) -> i32 {
        (self.0.get() as u32).cast_signed()
    }

    /// The same record's place in a batch that begins with the record `first` of this one.
    pub(super) fn counted_from(self, first: u32) -> Self {
        Self::new(self.index().saturating_sub(first), self.later())
    }
}

/// The partition a batch is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}: {:?}", self.origin.topic, self.origin.partition, self.outcome.get())
    }
}

impl Cell {
    pub(super) fn new(origin: Origin, base_timestamp: i64) -> Self {
        Self { origin, base_timestamp, outcome: OnceLock::new(), wakers: Mutex::new(Vec::new()) }
    }

    /// Whom its records are for.
    #[inline]
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether a record of this time can be one of its batch: less than 24 days before or after the first.
    #[inline]
    pub(crate) fn reaches(&self, timestamp: i64) -> bool {
        i32::try_from(timestamp.wrapping_sub(self.base_timestamp)).is_ok()
    }

    /// Where in the batch a record is, and when.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the cell reaches every time of its batch")]
    pub(super) fn place(&self, index: u32, timestamp: i64) -> Place {
        Place::new(index, timestamp.wrapping_sub(self.base_timestamp) as i32)
    }

    /// Remembers whom to wake; false when the outcome came meanwhile.
    pub(super) fn wake_later(&self, waker: &Waker) -> bool {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.outcome.get().is_some() {
            return false;
        }
        if !wakers.last().is_some_and(|last| last.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        true
    }

    /// Whether its records are in the log because a broker said so, and not because none was asked.
    pub(super) fn is_confirmed(&self) -> bool {
        !matches!(self.outcome.get(), Some(Outcome::Acked { confirmed: false, .. }))
    }

    fn fill(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_ok() {
            let wakers = std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// The outcome of the record at `place`, or the cell (perhaps a part of a split batch) that will hold it.
#[inline]
pub(super) fn answer(mut cell: Arc<Cell>, mut place: Place) -> Result<Result<Ack, DeliveryError>, (Arc<Cell>, Place)> {
    loop {
        let index = place.index();
        let part = match cell.outcome.get() {
            None => return Err((cell, place)),
            Some(Outcome::Acked { base_offset, append_time, .. }) => {
                let offset = base_offset.and_then(|base| base.checked_add(i64::from(index)));
                let timestamp = append_time.unwrap_or_else(|| cell.base_timestamp.wrapping_add(place.later().into()));
                return Ok(Ok(Ack { cell, offset, timestamp }));
            }
            Some(Outcome::Failed(error)) => return Ok(Err(error.clone())),
            Some(Outcome::Refused { records, others }) => {
                let own = records.iter().find(|(refused, _)| *refused == index).map(|(_, error)| error);
                return Ok(Err(own.unwrap_or(others).clone()));
            }
            Some(Outcome::Split(parts)) => {
                let (first, part) = &parts[parts.partition_point(|(first, _)| *first <= index).saturating_sub(1)];
                place = place.counted_from(*first);
                Arc::clone(part)
            }
        };
        cell = part;
    }
}

/// The outcome of a record whose batch has one. A split batch has no outcome of its own, and nobody asks it for one; if
/// somebody did, the record's fate would be unknown, and that is what is answered.
#[inline]
pub(super) fn outcome_of(cell: &Arc<Cell>, place: Place) -> Result<Ack, DeliveryError> {
    answer(Arc::clone(cell), place).unwrap_or_else(|(cell, _)| Err(abandoned(&cell.origin, true)))
}

fn abandoned(origin: &Origin, sent: bool) -> DeliveryError {
    DeliveryError::new(DeliveryFailure {
        kind: FailureKind::Abandoned,
        code: ErrorCode::NONE,
        persisted: if sent { Persisted::Unknown } else { Persisted::No },
        retriable: true,
        topic: Arc::clone(&origin.topic),
        partition: origin.partition,
        broker: None,
        attempts: u32::from(sent),
        elapsed: Duration::ZERO,
        cause: None,
    })
}

/// The one right to answer a batch's records.
#[derive(Debug)]
pub(crate) struct Completer {
    cell: Arc<Cell>,
    notices: Notices,
    callbacks: Callbacks,
    sent: bool,
}

impl Completer {
    /// For a batch whose first record has this time.
    pub(crate) fn new(origin: Origin, base_timestamp: i64, callbacks: Callbacks) -> Self {
        Self { cell: Arc::new(Cell::new(origin, base_timestamp)), notices: Notices::default(), callbacks, sent: false }
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// Those who are told so far.
    pub(crate) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Has a record's callback told of its outcome. Records come in rising order.
    pub(crate) fn notify(&mut self, index: u32, timestamp: i64, callback: &mut dyn Listener) {
        callback.join(&mut self.notices, self.cell.place(index, timestamp));
    }

    /// Notes that a request with the batch went to a socket, so that dropping it from now on answers "unknown".
    pub(crate) fn mark_sent(&mut self) {
        self.sent = true;
    }

    /// Answers every record. `kept` is dropped when the last callback has run: it holds the batch's share of
    /// `buffer.memory` and what `flush` waits for.
    pub(crate) fn complete(mut self, outcome: Outcome, kept: Box<dyn Send>) {
        self.answer(outcome, Some(kept));
    }

    /// Hands the records over to smaller batches: part `i` gets the records from `firsts[i]` on.
    pub(crate) fn split(mut self, firsts: &[u32]) -> Vec<Self> {
        let mut notices = std::mem::take(&mut self.notices);
        let mut parts: Vec<Self> = Vec::with_capacity(firsts.len());
        for &first in firsts.iter().rev() {
            let mut part = Self::new(self.cell.origin.clone(), self.cell.base_timestamp, self.callbacks.clone());
            part.sent = self.sent;
            part.notices = notices.split_off(first);
            parts.push(part);
        }
        parts.reverse();
        let cells = firsts.iter().zip(&parts).map(|(first, part)| (*first, Arc::clone(&part.cell))).collect();
        self.cell.fill(Outcome::Split(cells));
        parts
    }

    fn answer(&mut self, outcome: Outcome, kept: Option<Box<dyn Send>>) {
        self.cell.fill(outcome);
        let notices = std::mem::take(&mut self.notices);
        if !notices.is_empty() {
            self.callbacks.run(Arc::clone(&self.cell), notices, kept);
        }
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        if self.cell.outcome.get().is_none() {
            let error = abandoned(&self.cell.origin, self.sent);
            self.answer(Outcome::Failed(error), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::delivery::{Answer, Delivery};

    fn origin() -> Origin {
        Origin { topic: "orders".into(), partition: 2 }
    }

    fn acked(base: i64) -> Outcome {
        Outcome::Acked { base_offset: Some(base), append_time: None, confirmed: true }
    }

    #[test]
    fn every_record_of_an_acked_batch_learns_its_own_offset() {
        let completer = Completer::new(origin(), 7, Callbacks::inline(Vec::new()));
        let deliveries: Vec<_> = (0..3).map(|i| Delivery::new(Arc::clone(completer.cell()), i, 7)).collect();
        assert!(deliveries[0].outcome().is_none());
        completer.complete(acked(40), Box::new(()));
        let offsets: Vec<_> = deliveries.iter().map(|d| d.outcome().unwrap().unwrap().offset()).collect();
        assert_eq!(offsets, [Some(40), Some(41), Some(42)]);
    }

    #[test]
    fn an_offset_beyond_the_last_one_there_is_is_not_told_and_nothing_overflows() {
        let completer = Completer::new(origin(), 7, Callbacks::inline(Vec::new()));
        let deliveries: Vec<_> = (0..2).map(|i| Delivery::new(Arc::clone(completer.cell()), i, 7)).collect();
        completer.complete(acked(i64::MAX), Box::new(()));
        let offsets: Vec<_> = deliveries.iter().map(|d| d.outcome().unwrap().unwrap().offset()).collect();
        assert_eq!(offsets, [Some(i64::MAX), None]);
    }

    #[test]
    fn a_dropped_completer_answers_abandoned_and_says_whether_it_was_sent() {
        for (sent, persisted) in [(false, Persisted::No), (true, Persisted::Unknown)] {
            let mut completer = Completer::new(origin(), 7, Callbacks::inline(Vec::new()));
            let delivery = Delivery::new(Arc::clone(completer.cell()), 0, 7);
            if sent {
                completer.mark_sent();
            }
            drop(completer);
            let error = delivery.outcome().unwrap().unwrap_err();
            assert_eq!((error.kind(), error.persisted()), (FailureKind::Abandoned, persisted));
        }
    }

    #[test]
    fn the_parts_of_a_split_batch_answer_for_its_records_and_callbacks_move_with_them() {
        let (told, heard) = mpsc::channel();
        let mut completer = Completer::new(origin(), 7, Callbacks::inline(Vec::new()));
        let deliveries: Vec<_> = (0..4).map(|i| Delivery::new(Arc::clone(completer.cell()), i, 7)).collect();
        for index in 0..4 {
            let told = told.clone();
            let callback = move |outcome: Answer| told.send(outcome.unwrap().offset()).unwrap();
            completer.notify(index, 7, &mut Some(callback));
        }
        let mut parts = completer.split(&[0, 1]).into_iter();
        parts.next().unwrap().complete(acked(10), Box::new(()));
        assert_eq!(deliveries[0].outcome().unwrap().unwrap().offset(), Some(10));
        assert!(deliveries[1].outcome().is_none());
        parts.next().unwrap().complete(acked(50), Box::new(()));
        let offsets: Vec<_> = deliveries.iter().map(|d| d.outcome().unwrap().unwrap().offset()).collect();
        assert_eq!(offsets, [Some(10), Some(50), Some(51), Some(52)]);
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), offsets);
    }

    #[test]
    fn a_place_keeps_index_and_time_and_an_option_of_a_delivery_takes_two_words() {
        for (index, later) in [(0, 0), (1, -1), (i32::MAX as u32, i32::MIN), (77, i32::MAX)] {
            let place = Place::new(index, later);
            assert_eq!((place.index(), place.later()), (index, later));
        }
        assert_eq!(Place::new(9, -5).counted_from(4), Place::new(5, -5));
        assert_eq!(size_of::<Option<Delivery>>(), 2 * size_of::<usize>());
    }

    #[test]
    fn a_refused_record_gets_its_own_error_and_its_batch_mates_another() {
        let completer = Completer::new(origin(), 7, Callbacks::inline(Vec::new()));
        let deliveries: Vec<_> = (0..2).map(|i| Delivery::new(Arc::clone(completer.cell()), i, 7)).collect();
        let error = |cause: &str| {
            DeliveryError::new(DeliveryFailure {
                cause: Some(cause.into()),
                ..abandoned(&origin(), false).failure().clone()
            })
        };
        completer
            .complete(Outcome::Refused { records: [(1, error("guilty"))].into(), others: error("mate") }, Box::new(()));
        let causes: Vec<_> =
            deliveries.iter().map(|d| d.outcome().unwrap().unwrap_err().cause().unwrap().to_owned()).collect();
        assert_eq!(causes, ["mate", "guilty"]);
    }
}
