//! Acknowledgements, and how a record's outcome is read from its batch's cell.
//!
//! In: a [`Cell`] and a [`Place`] in it. Out: the record's own [`Ack`] or error, once the cell is filled. Pure.

use std::{fmt, sync::Arc};

use super::cell::{Cell, Origin, Outcome, Place};
use crate::error::DeliveryError;

/// An acknowledgement: the record's place in the log.
///
/// It refers to data that the whole batch shares, so neither making nor cloning one copies the topic's name.
#[derive(Clone)]
pub struct Ack {
    cell: Arc<Cell>,
    offset: Option<i64>,
    timestamp: i64,
}

impl Ack {
    /// An acknowledgement without an offset, whose timestamp is the Unix epoch. For tests of code that receives one.
    ///
    /// ```
    /// let ack = milena::Ack::new("orders", 2).with_offset(5).with_timestamp(1_700_000_000_000);
    /// assert_eq!((ack.topic(), ack.partition(), ack.offset()), ("orders", 2, Some(5)));
    /// ```
    #[must_use]
    pub fn new(topic: &str, partition: i32) -> Self {
        let origin = Origin { topic: Arc::from(topic), partition };
        Self { cell: Arc::new(Cell::new(origin, 0)), offset: None, timestamp: 0 }
    }

    /// The same acknowledgement with this offset.
    #[must_use]
    pub fn with_offset(self, offset: i64) -> Self {
        Self { offset: Some(offset), ..self }
    }

    /// The same acknowledgement as `acks=0` gives it: no broker confirmed the record. See [`is_confirmed`](Self::is_confirmed).
    #[must_use]
    pub fn unconfirmed(self) -> Self {
        let unasked = Outcome::Acked { base_offset: None, append_time: None, confirmed: false };
        Self { cell: Arc::new(Cell::filled(self.cell.origin().clone(), 0, unasked)), offset: None, ..self }
    }

    /// The same acknowledgement with this timestamp, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn with_timestamp(self, unix_ms: i64) -> Self {
        Self { timestamp: unix_ms, ..self }
    }

    /// The record's topic-partition.
    pub(super) fn origin(&self) -> &Origin {
        self.cell.origin()
    }

    /// The record's topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.cell.origin().topic
    }

    /// The record's partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.cell.origin().partition
    }

    /// The record's offset. It is `None` if no broker sent one: with `acks=0`, and after `DUPLICATE_SEQUENCE_NUMBER`, by which a
    /// broker says that it has the record without saying where.
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        self.offset
    }

    /// Whether a broker confirmed that the record is in the log. It is `false` with `acks=0`, except for the first records to a
    /// partition's leader: the operating system took the record, which may have been lost since. A broker that refuses a request of
    /// `acks=0` closes the connection. A warning and the metric `record-unconfirmed-total` then tell how many records may be lost.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.cell.is_confirmed()
    }

    /// The record's timestamp in milliseconds since the Unix epoch. It is the broker's if the topic is configured with
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
        let parts = |ack: &Self| (ack.offset, ack.timestamp);
        parts(self) == parts(other) && self.origin() == other.origin()
    }
}

impl Eq for Ack {}

/// The outcome of the record at `place`. If there is none yet, the cell that will hold it, which may be that of a part of a split
/// batch, and the record's place there.
#[inline]
pub(super) fn resolve(mut cell: Arc<Cell>, mut place: Place) -> Result<Result<Ack, DeliveryError>, (Arc<Cell>, Place)> {
    loop {
        let index = place.index();
        let part = match cell.outcome() {
            None => return Err((cell, place)),
            Some(Outcome::Acked { base_offset, append_time, .. }) => {
                let offset = base_offset.and_then(|base| base.checked_add(i64::from(index)));
                let timestamp = append_time.unwrap_or_else(|| cell.timestamp(place));
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

/// The outcome of a record whose batch has one. The parts of a split batch have outcomes, and the batch itself has none; it is
/// never asked for one. Should it happen, the outcome is the safe one: the record may have been written.
#[inline]
pub(super) fn outcome_of(cell: &Arc<Cell>, place: Place) -> Result<Ack, DeliveryError> {
    resolve(Arc::clone(cell), place).unwrap_or_else(|(cell, _)| Err(cell.origin().abandoned(true)))
}
