//! The outcome of every accepted record.
//!
//! In: the outcome of a batch, set once by the sender. Out: a [`Delivery`] of each record, which resolves, and the records' callbacks,
//! which run in record order on the callback thread. Pure but for that thread. Deliberately absent: any way to cancel a record.
//!
//! All records of a batch share one [`cell::Cell`]. A handle is a reference to the cell and an index, so a record costs no allocation.
//! Only a [`Completer`] can fill the cell of a batch, and it cannot be cloned. A completer that is dropped fills its cell with
//! "abandoned", so no delivery can hang, whatever ends the task that owned the batch.

mod ack;
mod callbacks;
mod cell;
mod completer;
mod several;

pub use ack::Ack;
pub(crate) use callbacks::{Callback, Callbacks, Completion, Listener, Notices, listener, nothing};
pub(crate) use cell::{Origin, Outcome};
pub(crate) use completer::Completer;
pub use several::Deliveries;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::error::DeliveryError;

/// An accepted record. It is a future that resolves to the record's outcome.
///
/// # Cancel safety
/// Dropping a delivery, or a future that awaits it, changes nothing for the record: it is sent all the same.
///
/// # Panics
/// As other futures do when they are polled again after they have resolved, which `.await` never does.
#[derive(Clone, Debug)]
#[must_use = "a delivery tells whether the record was written; drop it explicitly if you do not want to know"]
pub struct Delivery {
    /// `None` once it has resolved. The reference moves into the [`Ack`], so that resolving touches no reference count.
    cell: Option<Arc<cell::Cell>>,
    /// The record's place in its batch. Once the delivery has resolved, the place's time holds the partition instead.
    place: cell::Place,
}

/// The place of a record that was accepted, which becomes its [`Delivery`]. It has two words, and the cell is never absent, so
/// that a `Result` with it is returned in registers.
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

/// What a caller gets for a record that was accepted. Who has a callback needs nothing, and no reference is counted for him.
pub(crate) trait Receipt {
    /// For the record at `index`.
    fn of(cell: &Arc<cell::Cell>, index: u32, timestamp: i64) -> Self;
}

impl Receipt for Accepted {
    #[inline]
    fn of(cell: &Arc<cell::Cell>, index: u32, timestamp: i64) -> Self {
        Self::new(Arc::clone(cell), index, timestamp)
    }
}

impl Receipt for () {
    #[inline]
    fn of(_: &Arc<cell::Cell>, _: u32, _: i64) -> Self {}
}

impl From<Accepted> for Delivery {
    #[inline]
    fn from(Accepted { cell, place }: Accepted) -> Self {
        Self { cell: Some(cell), place }
    }
}

impl Delivery {
    /// A delivery that has its outcome already, for a [`Produce`](crate::Produce) of your own.
    pub fn resolved(outcome: Result<Ack, DeliveryError>) -> Self {
        let (origin, timestamp, outcome) = match outcome {
            Ok(ack) => {
                let (base_offset, confirmed) = (ack.offset(), ack.is_confirmed());
                (ack.origin().clone(), ack.timestamp(), Outcome::Acked { base_offset, append_time: None, confirmed })
            }
            Err(error) => {
                let origin = Origin { topic: Arc::from(error.topic()), partition: error.partition() };
                (origin, 0, Outcome::Failed(error))
            }
        };
        Accepted::new(Arc::new(cell::Cell::filled(origin, timestamp, outcome)), 0, timestamp).into()
    }

    /// The outcome, if the record has one. `None` also after the delivery was polled until it resolved.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<Ack, DeliveryError>> {
        ack::resolve(self.cell.clone()?, self.place).ok()
    }

    /// The record's partition.
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
            match ack::resolve(cell, this.place) {
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
