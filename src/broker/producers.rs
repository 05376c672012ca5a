//! The producer state of a partition: the last five batches of each producer (KIP-98).
//!
//! In: headers of batches. Out: whether a batch is to be appended, is a duplicate, or is refused. Pure. The rules are those of Apache
//! Kafka's `ProducerStateEntry` and `ProducerAppendInfo`. Deliberately absent: transactions, and the expiry of idle producers
//! (`producer.id.expiration.ms`), which [`Producers::forget`] stands for.

use std::collections::{BTreeMap, VecDeque};

use crate::{error::ErrorCode, wire::record_batch::reader::BatchHeader};

/// How many batches are remembered for each producer.
const WINDOW: usize = 5;

/// Every producer that wrote to one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Producers(BTreeMap<i64, ProducerStateEntry>);

#[derive(Clone, Debug)]
struct ProducerStateEntry {
    epoch: i16,
    /// The last batches, oldest first. Never empty.
    batches: VecDeque<KnownBatch>,
}

/// A batch that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownBatch {
    pub(super) first_sequence: i32,
    pub(super) last_sequence: i32,
    /// The offset of its first record.
    pub(super) base_offset: i64,
    /// Its largest timestamp.
    pub(super) timestamp: i64,
}

/// What the partition does with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SequenceCheck {
    Append,
    /// The batch was appended before, as this one. The response is a success with its offset, and nothing is appended.
    Duplicate(KnownBatch),
}

impl Producers {
    /// Decides on a batch without changing anything.
    pub(super) fn check(&self, batch: &BatchHeader) -> Result<SequenceCheck, (ErrorCode, String)> {
        if batch.producer_id < 0 {
            return Ok(SequenceCheck::Append);
        }
        let Some(entry) = self.0.get(&batch.producer_id) else { return Ok(SequenceCheck::Append) };
        match entry.find(batch) {
            Some(known) => Ok(SequenceCheck::Duplicate(known)),
            None => entry.check_next(batch).map(|()| SequenceCheck::Append),
        }
    }

    /// Remembers a batch that was appended at `batch.base_offset`.
    pub(super) fn remember(&mut self, batch: &BatchHeader) {
        if batch.producer_id < 0 {
            return;
        }
        let epoch = batch.producer_epoch;
        let entry = self
            .0
            .entry(batch.producer_id)
            .or_insert_with(|| ProducerStateEntry { epoch, batches: VecDeque::with_capacity(WINDOW) });
        entry.push(batch);
    }

    /// All producers: id, epoch, and their last batches.
    pub(super) fn all(&self) -> impl Iterator<Item = (i64, i16, &VecDeque<KnownBatch>)> {
        self.0.iter().map(|(id, entry)| (*id, entry.epoch, &entry.batches))
    }

    /// Producers as they were. One without batches is not known.
    pub(super) fn restored(all: Vec<(i64, i16, Vec<KnownBatch>)>) -> Self {
        let known = all.into_iter().filter(|(.., batches)| !batches.is_empty());
        Self(known.map(|(id, epoch, batches)| (id, ProducerStateEntry { epoch, batches: batches.into() })).collect())
    }

    /// Forgets all producers, as after `producer.id.expiration.ms`, or when every batch of a producer has been deleted.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl ProducerStateEntry {
    fn find(&self, batch: &BatchHeader) -> Option<KnownBatch> {
        let range = (batch.base_sequence, last_sequence(batch));
        let same = |known: &&KnownBatch| (known.first_sequence, known.last_sequence) == range;
        if self.epoch == batch.producer_epoch { self.batches.iter().find(same).copied() } else { None }
    }

    fn check_next(&self, batch: &BatchHeader) -> Result<(), (ErrorCode, String)> {
        let (id, epoch, sequence) = (batch.producer_id, batch.producer_epoch, batch.base_sequence);
        if epoch < self.epoch {
            let message = format!("producer {id} has epoch {epoch}, the last one seen is {}", self.epoch);
            return Err((ErrorCode::INVALID_PRODUCER_EPOCH, message));
        }
        let expected =
            if epoch > self.epoch { 0 } else { self.batches.back().map_or(0, |last| follow(last.last_sequence, 1)) };
        if sequence == expected {
            return Ok(());
        }
        let message = format!("producer {id} in epoch {epoch} sent sequence {sequence}, expected {expected}");
        Err((ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, message))
    }

    fn push(&mut self, batch: &BatchHeader) {
        if self.epoch != batch.producer_epoch {
            self.batches.clear();
            self.epoch = batch.producer_epoch;
        }
        if self.batches.len() >= WINDOW {
            self.batches.pop_front();
        }
        self.batches.push_back(KnownBatch {
            first_sequence: batch.base_sequence,
            last_sequence: last_sequence(batch),
            base_offset: batch.base_offset,
            timestamp: batch.max_timestamp,
        });
    }
}

fn last_sequence(batch: &BatchHeader) -> i32 {
    follow(batch.base_sequence, batch.last_offset_delta)
}

/// The sequence number `by` records further on. After 2^31 - 1 comes 0.
fn follow(sequence: i32, by: i32) -> i32 {
    sequence.wrapping_add(by) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, base_sequence: i32, count: i32) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: 7,
            producer_epoch: epoch,
            base_sequence,
            count,
        }
    }

    /// A partition to which batches were appended, each at ten times the number it has.
    fn after(batches: &[BatchHeader]) -> Producers {
        let mut producers = Producers::default();
        for (base_offset, batch) in (0..).step_by(10).zip(batches) {
            assert_eq!(producers.check(batch), Ok(SequenceCheck::Append));
            producers.remember(&BatchHeader { base_offset, max_timestamp: base_offset + 1, ..*batch });
        }
        producers
    }

    fn refused(producers: &Producers, batch: BatchHeader) -> ErrorCode {
        producers.check(&batch).unwrap_err().0
    }

    fn offset_of_duplicate(producers: &Producers, batch: BatchHeader) -> (i64, i64) {
        match producers.check(&batch) {
            Ok(SequenceCheck::Duplicate(known)) => (known.base_offset, known.timestamp),
            other => panic!("{other:?}"),
        }
    }

    const OUT_OF_ORDER: ErrorCode = ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER;

    #[test]
    fn batches_without_producer_id_are_never_compared() {
        let anonymous = BatchHeader { producer_id: -1, producer_epoch: -1, base_sequence: -1, ..batch(0, 0, 1) };
        let mut producers = Producers::default();
        producers.remember(&anonymous);
        assert_eq!(producers.check(&anonymous), Ok(SequenceCheck::Append));
    }

    #[test]
    fn a_producer_that_is_not_known_may_start_at_any_sequence_and_epoch() {
        assert_eq!(Producers::default().check(&batch(5, 1234, 3)), Ok(SequenceCheck::Append));
    }

    #[test]
    fn the_next_batch_must_start_where_the_last_one_ended() {
        let producers = after(&[batch(0, 0, 3), batch(0, 3, 2)]);
        assert_eq!(producers.check(&batch(0, 5, 1)), Ok(SequenceCheck::Append));
        for sequence in [1, 2, 4, 6, 100] {
            assert_eq!(refused(&producers, batch(0, sequence, 1)), OUT_OF_ORDER, "{sequence}");
        }
    }

    #[test]
    fn each_of_the_last_five_batches_is_recognised_with_its_own_offset_and_timestamp() {
        let batches: Vec<_> = (0..6).map(|i| batch(0, i * 3, 3)).collect();
        let producers = after(&batches);
        for (i, batch) in (0..).zip(&batches).skip(1) {
            assert_eq!(offset_of_duplicate(&producers, *batch), (i * 10, i * 10 + 1));
        }
    }

    #[test]
    fn a_repetition_older_than_five_batches_is_out_of_order() {
        let batches: Vec<_> = (0..6).map(|i| batch(0, i, 1)).collect();
        assert_eq!(refused(&after(&batches), batches[0]), OUT_OF_ORDER);
    }

    #[test]
    fn a_batch_that_overlaps_a_known_one_only_in_part_is_out_of_order() {
        let producers = after(&[batch(0, 0, 3), batch(0, 3, 3)]);
        for (sequence, count) in [(0, 2), (0, 6), (3, 2), (3, 4), (4, 2)] {
            assert_eq!(refused(&producers, batch(0, sequence, count)), OUT_OF_ORDER, "{sequence} {count}");
        }
    }

    #[test]
    fn an_older_epoch_is_refused_even_for_a_batch_that_was_appended_in_it() {
        let producers = after(&[batch(3, 0, 1), batch(4, 0, 1)]);
        assert_eq!(refused(&producers, batch(3, 0, 1)), ErrorCode::INVALID_PRODUCER_EPOCH);
        assert_eq!(refused(&producers, batch(3, 1, 1)), ErrorCode::INVALID_PRODUCER_EPOCH);
    }

    #[test]
    fn a_newer_epoch_must_start_at_sequence_zero_and_then_owns_the_window() {
        let producers = after(&[batch(0, 0, 1), batch(0, 1, 1)]);
        assert_eq!(refused(&producers, batch(1, 2, 1)), OUT_OF_ORDER);
        assert_eq!(producers.check(&batch(1, 0, 1)), Ok(SequenceCheck::Append));
        let producers = after(&[batch(0, 0, 1), batch(0, 1, 1), batch(1, 0, 1)]);
        assert_eq!(offset_of_duplicate(&producers, batch(1, 0, 1)), (20, 21));
        assert_eq!(refused(&producers, batch(1, 2, 1)), OUT_OF_ORDER);
        assert_eq!(producers.check(&batch(1, 1, 1)), Ok(SequenceCheck::Append));
    }

    #[test]
    fn after_the_largest_sequence_comes_zero() {
        let producers = after(&[batch(0, i32::MAX, 1)]);
        assert_eq!(producers.check(&batch(0, 0, 1)), Ok(SequenceCheck::Append));
        assert_eq!(refused(&producers, batch(0, 1, 1)), OUT_OF_ORDER);
    }

    #[test]
    fn a_batch_across_the_largest_sequence_is_recognised_and_followed() {
        let across = batch(0, i32::MAX - 1, 5);
        let producers = after(&[across]);
        assert_eq!(offset_of_duplicate(&producers, across), (0, 1));
        assert_eq!(producers.check(&batch(0, 3, 1)), Ok(SequenceCheck::Append));
        assert_eq!(refused(&producers, batch(0, 2, 1)), OUT_OF_ORDER);
    }

    #[test]
    fn producers_do_not_disturb_one_another() {
        let producers = after(&[batch(0, 0, 3)]);
        let other = BatchHeader { producer_id: 8, ..batch(0, 0, 3) };
        assert_eq!(producers.check(&other), Ok(SequenceCheck::Append));
    }

    #[test]
    fn a_forgotten_producer_may_go_on_with_any_sequence_and_repeat_itself() {
        let mut producers = after(&[batch(2, 0, 1), batch(2, 1, 1)]);
        producers.forget();
        assert_eq!(producers.check(&batch(2, 1, 1)), Ok(SequenceCheck::Append));
        assert_eq!(producers.check(&batch(0, 77, 1)), Ok(SequenceCheck::Append));
    }
}
