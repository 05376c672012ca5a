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

pub(crate) use callbacks::{Answer, Callback, Callbacks, Listener, Notices, listener, nothing};
pub(crate) use cell::{Completer, Origin, Outcome};

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::error::DeliveryError;

/// Where a record stands in the log.
///
/// It refers to what its whole batch shares, so neither making nor cloning one copies the topic's name.
#[derive(Clone)]
pub struct Ack {
    cell: Arc<cell::Cell>,
    offset: Option<i64>,
    timestamp: i64,
}

impl Ack {
    /// An acknowledgement of your own making, for tests of what a program does with it: without an offset, at the Unix epoch.
    ///
    /// ```
    /// let ack = milena::Ack::new("orders", 2).with_offset(5).with_timestamp(1_700_000_000_000);
    /// assert_eq!((ack.topic(), ack.partition(), ack.offset()), ("orders", 2, Some(5)));
    /// ```
    #[must_use]
    pub fn new(topic: &str, partition: i32) -> Self {
        let origin = Origin { topic: Arc::from(topic), partition };
        Self { cell: Arc::new(cell::Cell::new(origin, 0)), offset: None, timestamp: 0 }
    }

    /// The same at this offset.
    #[must_use]
    pub fn with_offset(mut self, offset: i64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The same of a record that no broker confirmed, as with `acks=0`: see [`is_confirmed`](Self::is_confirmed).
    #[must_use]
    pub fn unconfirmed(self) -> Self {
        let completer = Completer::new(self.cell.origin().clone(), 0, Callbacks::threaded(Vec::new()));
        let cell = Arc::clone(completer.cell());
        completer.complete(Outcome::Acked { base_offset: None, append_time: None, confirmed: false }, Box::new(()));
        Self { cell, offset: None, ..self }
    }

    /// The same at this time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn with_timestamp(mut self, unix_ms: i64) -> Self {
        self.timestamp = unix_ms;
        self
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.cell.origin().topic
    }

    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.cell.origin().partition
    }

    /// Its offset. `None` where no broker told it: with `acks=0`, and when the broker only said that it has the record
    /// already (`DUPLICATE_SEQUENCE_NUMBER`). It is never invented.
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        self.offset
    }

    /// Whether a broker said that the record is in the log. With `acks=0` none is asked, but for the first records to a
    /// partition's leader: `false` means that the record was handed to the operating system and may have been lost since. Where a
    /// broker ends a connection, as it does with a request of `acks=0` that it refuses, a warning and the metric
    /// `record-unconfirmed-total` tell how many such records went out over it.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.cell.is_confirmed()
    }

    /// Its timestamp in milliseconds since the Unix epoch: the broker's when the topic is configured with
    /// `message.timestamp.type=LogAppendTime`, else the record's own.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Ack");
        fields.field("topic", &self.topic()).field("partition", &self.partition());
        fields.field("offset", &self.offset).field("timestamp", &self.timestamp).finish()
    }
}

impl PartialEq for Ack {
    fn eq(&self, other: &Self) -> bool {
        let parts = |ack: &Self| (ack.partition(), ack.offset, ack.timestamp);
        parts(self) == parts(other) && self.topic() == other.topic()
    }
}

impl Eq for Ack {}

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
            Ok(Ack { cell, offset, timestamp }) => {
                let confirmed = cell.is_confirmed();
                let outcome = Outcome::Acked { base_offset: offset, append_time: None, confirmed };
                (cell.origin().clone(), timestamp, outcome)
            }
            Err(error) => {
                let origin = Origin { topic: Arc::from(error.topic()), partition: error.partition() };
                (origin, 0, Outcome::Failed(error))
            }
        };
        let completer = Completer::new(origin, timestamp, Callbacks::threaded(Vec::new()));
        let delivery = Accepted::new(Arc::clone(completer.cell()), 0, timestamp).into();
        completer.complete(outcome, Box::new(()));
        delivery
    }

    /// The outcome, if it is known already. `None` also after the delivery was polled until it resolved.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<Ack, DeliveryError>> {
        cell::answer(self.cell.clone()?, self.place).ok()
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
            match cell::answer(cell, this.place) {
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
