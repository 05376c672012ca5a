//! Completes a batch.
//!
//! In: a batch's outcome, from the sender. Out: a filled [`Cell`], and callbacks that run. Pure but for the thread of [`Callbacks`].
//! A completer that is dropped fills its cell with "abandoned".

use std::sync::Arc;

use super::{
    callbacks::{Callbacks, Listener, Notices},
    cell::{Cell, Origin, Outcome},
};

/// Owns the right to set a batch's outcome.
#[derive(Debug)]
pub(crate) struct Completer {
    cell: Arc<Cell>,
    notices: Notices,
    callbacks: Callbacks,
    sent: bool,
}

impl Completer {
    /// A completer for a batch whose first record has this timestamp.
    pub(crate) fn new(origin: Origin, base_timestamp: i64, callbacks: Callbacks) -> Self {
        let cell = Arc::new(Cell::new(origin, base_timestamp));
        Self { cell, notices: Notices::default(), callbacks, sent: false }
    }

    /// The cell that the batch's records share.
    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// The callbacks so far.
    pub(crate) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Adds the callback of a record. Records must be added in rising order.
    pub(crate) fn notify(&mut self, index: u32, timestamp: i64, callback: &mut dyn Listener) {
        callback.join(&mut self.notices, self.cell.place(index, timestamp));
    }

    /// Notes that a request with the batch went to a socket. If the completer is dropped from now on, the records may have been
    /// written.
    pub(crate) fn mark_sent(&mut self) {
        self.sent = true;
    }

    /// Sets the outcome of the batch. `kept` is dropped when the last callback has run. It holds the batch's share of
    /// `buffer.memory`, and `flush` waits for it.
    pub(crate) fn complete(mut self, outcome: Outcome, kept: Box<dyn Send>) {
        self.finish(outcome, Some(kept));
    }

    /// Moves the records to smaller batches. Part `i` has the records from `firsts[i]` on.
    pub(crate) fn split(mut self, firsts: &[u32]) -> Vec<Self> {
        let mut notices = std::mem::take(&mut self.notices);
        let mut parts: Vec<Self> = Vec::with_capacity(firsts.len());
        for &first in firsts.iter().rev() {
            let (cell, notices) = (Arc::new(self.cell.of_part()), notices.split_off(first));
            parts.push(Self { cell, notices, callbacks: self.callbacks.clone(), sent: self.sent });
        }
        parts.reverse();
        let cells = firsts.iter().zip(&parts).map(|(first, part)| (*first, Arc::clone(&part.cell))).collect();
        self.cell.fill(Outcome::Split(cells));
        parts
    }

    fn finish(&mut self, outcome: Outcome, kept: Option<Box<dyn Send>>) {
        self.cell.fill(outcome);
        let notices = std::mem::take(&mut self.notices);
        if !notices.is_empty() {
            self.callbacks.run(Arc::clone(&self.cell), notices, kept);
        }
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        if self.cell.outcome().is_none() {
            let error = self.cell.origin().abandoned(self.sent);
            self.finish(Outcome::Failed(error), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{
        delivery::{Accepted, Completion, Delivery},
        error::{FailureKind, Persisted},
    };

    fn origin() -> Origin {
        Origin { topic: "orders".into(), partition: 2 }
    }

    fn delivery(completer: &Completer, index: u32) -> Delivery {
        Accepted::new(Arc::clone(completer.cell()), index, 7).into()
    }

    fn acked(base: i64) -> Outcome {
        Outcome::Acked { base_offset: Some(base), append_time: None, confirmed: true }
    }

    #[test]
    fn every_record_of_an_acked_batch_learns_its_own_offset() {
        let completer = Completer::new(origin(), 7, Callbacks::inline(Vec::new()));
        let deliveries: Vec<_> = (0..3).map(|i| delivery(&completer, i)).collect();
        assert!(deliveries[0].outcome().is_none());
        completer.complete(acked(40), Box::new(()));
        let offsets: Vec<_> = deliveries.iter().map(|d| d.outcome().unwrap().unwrap().offset()).collect();
        assert_eq!(offsets, [Some(40), Some(41), Some(42)]);
    }

    #[test]
    fn an_offset_beyond_the_last_one_there_is_is_not_told_and_nothing_overflows() {
        let completer = Completer::new(origin(), 7, Callbacks::inline(Vec::new()));
        let deliveries: Vec<_> = (0..2).map(|i| delivery(&completer, i)).collect();
        completer.complete(acked(i64::MAX), Box::new(()));
        let offsets: Vec<_> = deliveries.iter().map(|d| d.outcome().unwrap().unwrap().offset()).collect();
        assert_eq!(offsets, [Some(i64::MAX), None]);
    }

    #[test]
    fn a_dropped_completer_answers_abandoned_and_says_whether_it_was_sent() {
        for (sent, persisted) in [(false, Persisted::No), (true, Persisted::Unknown)] {
            let mut completer = Completer::new(origin(), 7, Callbacks::inline(Vec::new()));
            let delivery = delivery(&completer, 0);
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
        let deliveries: Vec<_> = (0..4).map(|i| delivery(&completer, i)).collect();
        for index in 0..4 {
            let told = told.clone();
            let callback = move |outcome: Completion| told.send(outcome.unwrap().offset()).unwrap();
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
    fn a_refused_record_gets_its_own_error_and_its_batch_mates_another() {
        let completer = Completer::new(origin(), 7, Callbacks::inline(Vec::new()));
        let deliveries: Vec<_> = (0..2).map(|i| delivery(&completer, i)).collect();
        let error = |cause: &str| origin().abandoned(false).with_cause(cause);
        completer
            .complete(Outcome::Refused { records: [(1, error("guilty"))].into(), others: error("mate") }, Box::new(()));
        let causes: Vec<_> =
            deliveries.iter().map(|d| d.outcome().unwrap().unwrap_err().cause().unwrap().to_owned()).collect();
        assert_eq!(causes, ["mate", "guilty"]);
    }
}
