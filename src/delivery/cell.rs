//! The cell that all records of one batch share.
//!
//! In: the batch's outcome, once. Out: the outcome, to whoever holds the cell, and wake-ups of tasks that wait for it. Pure.

use std::{
    fmt,
    num::NonZeroU64,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::Waker,
    time::Duration,
};

use crate::error::{DeliveryError, DeliveryFailure, ErrorCode, FailureKind, Persisted};

/// The outcome of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// If `confirmed`, the records are in the log, from `base_offset` on if the broker sent it. Otherwise they were sent with
    /// `acks=0`, and no broker confirmed them.
    Acked { base_offset: Option<i64>, append_time: Option<i64>, confirmed: bool },
    /// All records failed, for one reason.
    Failed(DeliveryError),
    /// The broker named the `records` that it refused (KIP-467). The rest of the batch failed with `others`.
    Refused { records: Arc<[(u32, DeliveryError)]>, others: DeliveryError },
    /// The batch was too large. Each part `(first record, cell)` has an outcome of its own.
    Split(Arc<[(u32, Arc<Cell>)]>),
}

/// Holds a batch's outcome. A [`Completer`](super::Completer) fills it, once.
pub(crate) struct Cell {
    origin: Origin,
    /// The timestamp of the first record. The timestamps of the others are kept as differences to it.
    base_timestamp: i64,
    outcome: OnceLock<Outcome>,
    wakers: Mutex<Vec<Waker>>,
}

/// A record's index in its batch, and the difference of its timestamp to the first record's, in one word. The word is never 0, so
/// an `Option` of a type with a place takes no more space than the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(NonZeroU64);

impl Place {
    /// A bit that is set in every place. No batch has so many records that an index would reach it.
    const MARK: NonZeroU64 = NonZeroU64::new(1 << 63).expect("it is not 0");

    /// The place of the record at `index`, whose timestamp is `later` milliseconds after the first record's.
    #[inline]
    pub(crate) fn new(index: u32, later: i32) -> Self {
        Self(Self::MARK | u64::from(index) << 32 | u64::from(later.cast_unsigned()))
    }

    /// The record's index.
    #[inline]
    pub(crate) fn index(self) -> u32 {
        (self.0.get() >> 32 & u64::from(u32::MAX >> 1)) as u32
    }

    /// How many milliseconds the record's timestamp is after the first record's.
    #[inline]
    pub(crate) fn later(self) -> i32 {
        ((self.0.get() & u64::from(u32::MAX)) as u32).cast_signed()
    }

    /// The place of the record that stands `count` records behind, with the same timestamp.
    #[inline]
    pub(super) fn behind(self, count: u32) -> Self {
        Self::new(self.index().saturating_add(count), self.later())
    }

    /// The record's place in a part of the batch that begins with the record `first`.
    pub(super) fn counted_from(self, first: u32) -> Self {
        Self::new(self.index().saturating_sub(first), self.later())
    }
}

/// The topic-partition of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
}

impl Origin {
    /// The error of records whose completer was dropped. `sent` tells whether a request with them may have gone out.
    pub(super) fn abandoned(&self, sent: bool) -> DeliveryError {
        DeliveryError::new(DeliveryFailure {
            kind: FailureKind::Abandoned,
            code: ErrorCode::NONE,
            persisted: if sent { Persisted::Unknown } else { Persisted::No },
            retriable: true,
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            broker: None,
            attempts: u32::from(sent),
            elapsed: Duration::ZERO,
            cause: None,
            advice: None,
        })
    }
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

    /// A cell that has its outcome from the start, so that no completer is needed.
    pub(super) fn filled(origin: Origin, base_timestamp: i64, outcome: Outcome) -> Self {
        Self { outcome: OnceLock::from(outcome), ..Self::new(origin, base_timestamp) }
    }

    /// The topic-partition of the batch.
    #[inline]
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the batch can take a record with this timestamp, which must be less than 24 days before or after the first.
    #[inline]
    pub(crate) fn reaches(&self, timestamp: i64) -> bool {
        i32::try_from(timestamp.wrapping_sub(self.base_timestamp)).is_ok()
    }

    /// The place of a record of the batch.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the cell reaches every time of its batch")]
    pub(super) fn place(&self, index: u32, timestamp: i64) -> Place {
        Place::new(index, timestamp.wrapping_sub(self.base_timestamp) as i32)
    }

    /// The timestamp of the record at `place`, as its producer set it.
    #[inline]
    pub(super) fn timestamp(&self, place: Place) -> i64 {
        self.base_timestamp.wrapping_add(place.later().into())
    }

    /// The outcome, if the batch has one.
    #[inline]
    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    /// An empty cell for a part of this batch.
    pub(super) fn of_part(&self) -> Self {
        Self::new(self.origin.clone(), self.base_timestamp)
    }

    /// Remembers a waker. Returns false if the batch has an outcome, and the waker will not be woken.
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

    /// Whether a broker confirmed the records, which it does not do with `acks=0`.
    pub(super) fn is_confirmed(&self) -> bool {
        !matches!(self.outcome.get(), Some(Outcome::Acked { confirmed: false, .. }))
    }

    /// Sets the outcome, unless there is one, and wakes the tasks that wait for it.
    pub(super) fn fill(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_ok() {
            let wakers = std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Delivery;

    #[test]
    fn a_place_keeps_index_and_time_and_an_option_of_a_delivery_takes_two_words() {
        for (index, later) in [(0, 0), (1, -1), (i32::MAX as u32, i32::MIN), (77, i32::MAX)] {
            let place = Place::new(index, later);
            assert_eq!((place.index(), place.later()), (index, later));
        }
        assert_eq!(Place::new(9, -5).counted_from(4), Place::new(5, -5));
        assert_eq!(size_of::<Option<Delivery>>(), 2 * size_of::<usize>());
    }
}
