//! The one truthful answer of every record.
//!
//! In: the outcome of a batch, given once by the sender. Out: for each of its records a [`Delivery`] that resolves, and
//! for those that have one a callback that runs, in record order, on the callback thread. Pure but for that thread.
//!
//! All records of a batch share one [`cell::Cell`]; a handle is a reference to it and an index, so a record costs no allocation.
//! [`Completer`] is the only way to fill a cell and cannot be cloned; dropping it unfilled answers "abandoned", so no
//! delivery can hang, whatever ends the task that owned the batch. Deliberately absent: any way to cancel a record.

mod ack;
mod callbacks;
mod cell;
mod completer;

pub use ack::Ack;
pub(crate) use callbacks::{Answer, Callback, Callbacks, Listener, Notices, listener, nothing};
pub(crate) use cell::{Origin, Outcome};
pub(crate) use completer::Completer;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::error::DeliveryError;

/// A record that was accepted; await it for its outcome.
///
/// # Cancel safety
/// Dropping a delivery, or a future that awaits it, changes nothing for the record: it is sent all the same.
///
/// # Panics
/// As other futures do when they are polled again after they have resolved, which `.await` never does.
#[derive(Clone, Debug)]
#[must_use = "a delivery tells whether the record was written; drop it explicitly if you do not want to know"]
pub struct Delivery {
    /// `None` once it has resolved: the reference went into the [`Ack`], so that resolving counts none up or down.
    cell: Option<Arc<cell::Cell>>,
    /// Where in its batch the record is, and when; once it has resolved, its partition in the place of when.
    place: cell::Place,
}

/// A record's place in a batch, of which its [`Delivery`] is made. Two words, and there always is a cell: also a result with
/// one is handed on in registers.
#[derive(Debug)]
pub(crate) struct Accepted {
    cell: Arc<cell::Cell>,
    place: cell::Place,
}

impl Accepted {
    /// The record at `index`.
    #[inline]
    pub(crate) fn new(cell: Arc<cell::Cell>, index: u32, timestamp: i64) -> Self {
        let place = cell.place(index, timestamp);
        Self { cell, place }
    }
}

impl From<Accepted> for Delivery {
    #[inline]
    fn from(Accepted { cell, place }: Accepted) -> Self {
        Self { cell: Some(cell), place }
    }
}

impl Delivery {
    #[cfg(test)]
    pub(crate) fn new(cell: Arc<cell::Cell>, index: u32, timestamp: i64) -> Self {
        Accepted::new(cell, index, timestamp).into()
    }

    /// One whose outcome is known: for a [`Produce`](crate::Produce) of your own.
    pub fn resolved(outcome: Result<Ack, DeliveryError>) -> Self {
        let (origin, timestamp, outcome) = match outcome {
            Ok(ack) => {
                let confirmed = ack.is_confirmed();
                let outcome = Outcome::Acked { base_offset: ack.offset(), append_time: None, confirmed };
                (ack.origin().clone(), ack.timestamp(), outcome)
            }
            Err(error) => {
                let origin = Origin { topic: Arc::from(error.topic()), partition: error.partition() };
                (origin, 0, Outcome::Failed(error))
            }
        };
        Accepted::new(Arc::new(cell::Cell::filled(origin, timestamp, outcome)), 0, timestamp).into()
    }

    /// The outcome, if it is known already. `None` also after the delivery was polled until it resolved.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<Ack, DeliveryError>> {
        ack::answer(self.cell.clone()?, self.place).ok()
    }

    /// The partition that was chosen for the record.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.cell.as_ref().map_or_else(|| self.place.later(), |cell| cell.origin().partition)
    }
}

impl Future for Delivery {
    type Output = Result<Ack, DeliveryError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut cell = this.cell.take().expect("a future is not polled again after it has resolved");
        let partition = cell.origin().partition;
        loop {
            match ack::answer(cell, this.place) {
                Ok(outcome) => {
                    this.place = cell::Place::new(0, partition);
                    return Poll::Ready(outcome);
                }
                Err((unfilled, place)) => {
                    this.place = place;
                    if unfilled.wake_later(cx.waker()) {
                        this.cell = Some(unfilled);
                        return Poll::Pending;
                    }
                    cell = unfilled;
                }
            }
        }
    }
}
