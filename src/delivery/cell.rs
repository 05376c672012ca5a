//! The cell that all records of one batch share.

use std::{
    fmt,
    num::NonZeroU64,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::Waker,
    time::Duration,
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

impl Origin {
    /// The error of records that nobody will answer any more; `sent` if a request with them may have gone out.
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

    /// One whose outcome is known from the start: nobody has to be told.
    pub(super) fn filled(origin: Origin, base_timestamp: i64, outcome: Outcome) -> Self {
        Self { outcome: OnceLock::from(outcome), ..Self::new(origin, base_timestamp) }
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

    /// The time of the record at `place`, as its producer gave it.
    #[inline]
    pub(super) fn timestamp(&self, place: Place) -> i64 {
        self.base_timestamp.wrapping_add(place.later().into())
    }

    /// What became of the batch, once that is known.
    #[inline]
    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    /// An empty one for the batch's records, of which it is told what became of them apart.
    pub(super) fn of_a_part(&self) -> Self {
        Self::new(self.origin.clone(), self.base_timestamp)
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

    /// Gives it its outcome, unless it has one, and wakes whoever waits for it.
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
