//! The one truthful answer of every record.
//!
//! In: the outcome of a batch, given once by the sender. Out: for each of its records a [`Delivery`] that resolves, and
//! for those that have one a callback that runs, in record order, on the callback thread. Pure but for that thread.
//!
//! All records of a batch share one [`cell::Cell`]; a handle is a reference to it and an index, so a record costs no allocation.
//! [`Completer`] is the only way to fill a cell and cannot be cloned; dropping it unfilled answers "abandoned", so no
//! delivery can hang, whatever ends the task that owned the batch. Deliberately absent: any way to cancel a record.

mod callbacks;
mod cell;

pub(crate) use callbacks::{Callback, Callbacks, Notice};
pub(crate) use cell::{Completer, Origin, Outcome};

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::error::DeliveryError;

/// Where a record stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    topic: Arc<str>,
    partition: i32,
    offset: Option<i64>,
    timestamp: i64,
}

impl Ack {
    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Its offset. `None` where no broker told it: with `acks=0`, and when the broker only said that it has the record
    /// already (`DUPLICATE_SEQUENCE_NUMBER`). It is never invented.
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        self.offset
    }

    /// Its timestamp in milliseconds since the Unix epoch: the broker's when the topic is configured with
    /// `message.timestamp.type=LogAppendTime`, else the record's own.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }
}

/// A record that was accepted; await it for its outcome.
///
/// # Cancel safety
/// Dropping a delivery, or a future that awaits it, changes nothing for the record: it is sent all the same.
#[derive(Clone, Debug)]
#[must_use = "a delivery tells whether the record was written; drop it explicitly if you do not want to know"]
pub struct Delivery {
    cell: Arc<cell::Cell>,
    index: u32,
    timestamp: i64,
}

impl Delivery {
    pub(crate) fn new(cell: Arc<cell::Cell>, index: u32, timestamp: i64) -> Self {
        Self { cell, index, timestamp }
    }

    /// The outcome, if it is known already.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<Ack, DeliveryError>> {
        cell::answer(&self.cell, self.index, self.timestamp).ok()
    }

    /// The partition that was chosen for the record.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.cell.partition()
    }
}

impl Future for Delivery {
    type Output = Result<Ack, DeliveryError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match cell::answer(&this.cell, this.index, this.timestamp) {
                Ok(outcome) => return Poll::Ready(outcome),
                Err((cell, index)) => {
                    if Arc::ptr_eq(&cell, &this.cell) {
                        if this.cell.wake_later(cx.waker()) {
                            return Poll::Pending;
                        }
                    } else {
                        (this.cell, this.index) = (cell, index);
                    }
                }
            }
        }
    }
}
