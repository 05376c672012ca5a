//! The outcomes of records that were accepted together.
//!
//! In: the cell of their batch, and where they stand in it. Out: one answer for all, or a [`Delivery`] of each. Pure.

use std::sync::Arc;

use super::{
    Accepted, Ack, Delivery,
    cell::{Cell, Outcome, Place},
};

/// Records that were accepted together, by [`Producer::send_values`](crate::Producer::send_values). They stand one behind the other in one batch,
/// so one handle is enough for them.
///
/// Dropping it changes nothing for the records: they are sent all the same.
#[derive(Clone, Debug, Default)]
#[must_use = "it tells whether the records were written; drop it explicitly if you do not want to know"]
pub struct Deliveries {
    /// The batch, and the place of the first record. `None` if there are no records.
    first: Option<(Arc<Cell>, Place)>,
    len: u32,
}

impl Deliveries {
    /// How many records these are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether these are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A handle for each record, in the order in which they were given.
    pub fn each(&self) -> impl Iterator<Item = Delivery> {
        let behind = |index| self.first.iter().map(move |(cell, first)| delivery(cell, first.behind(index)));
        (0..self.len).flat_map(behind)
    }

    /// Waits for the outcome of the first record, and tells whether it holds for all: then all are acknowledged, at consecutive offsets
    /// with the same timestamp, and this is the first one's acknowledgement. `None` where a record failed, and where the batch was too large
    /// for the broker and was split; then [`each`](Self::each) tells of every record.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn acknowledged(&self) -> Option<Ack> {
        let (cell, first) = self.first.as_ref()?;
        let ack = delivery(cell, *first).await.ok()?;
        matches!(cell.outcome(), Some(Outcome::Acked { .. })).then_some(ack)
    }

    /// As many more records behind these.
    pub(crate) fn with(self, more: u32) -> Self {
        Self { len: self.len + more, ..self }
    }
}

fn delivery(cell: &Arc<Cell>, place: Place) -> Delivery {
    Accepted { cell: Arc::clone(cell), place }.into()
}

impl From<Accepted> for Deliveries {
    fn from(Accepted { cell, place }: Accepted) -> Self {
        Self { first: Some((cell, place)), len: 1 }
    }
}

impl From<Delivery> for Deliveries {
    /// None if it has resolved.
    fn from(Delivery { cell, place }: Delivery) -> Self {
        let first = cell.map(|cell| (cell, place));
        Self { len: u32::from(first.is_some()), first }
    }
}
