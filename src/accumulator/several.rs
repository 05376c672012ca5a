//! Appends several records to a batch under one lock.
//!
//! In: records without timestamps and callbacks. Out: one receipt for those that were appended. Pure.

use super::{Accumulator, AppendMode, Appended, Clock, PartitionQueue, Refused, batch::OpenBatch};
use crate::{
    delivery::{Accepted, Deliveries},
    wire::record_batch::writer::Payload,
};

impl Accumulator {
    /// Appends a record, as [`append`](Self::append) does with [`AppendMode::Yielding`], and as many of the others as its batch has room for.
    /// Whether the batch is full is told by the size of the first.
    pub(crate) fn append_several<'a>(
        &self,
        partition: &PartitionQueue,
        first: &Payload<'_>,
        others: impl Iterator<Item = Payload<'a>>,
        clock: &impl Clock,
    ) -> Result<Appended<Deliveries>, Refused> {
        let mut queue = partition.lock();
        if queue.closed {
            return Err(Refused::Closed);
        }
        let (limit, timestamp, needed) = (queue.limit(self.limits.batch_size), queue.unix_ms(clock), first.max_len());
        let has_room = |open: &mut OpenBatch| open.reaches(timestamp) && open.make_room(needed, 0, limit);
        if !queue.open.as_mut().is_some_and(has_room) {
            self.reopen(partition, &mut queue, (needed, 0), timestamp, AppendMode::Yielding, clock)?;
        }
        let Some(open) = &mut queue.open else { return Err(Refused::Closed) };
        let before = open.len();
        let accepted: Accepted = open.append(timestamp, first, None, 0);
        let usual = open.len() - before;
        let mut more = 0;
        for other in others {
            if !open.make_room(other.max_len(), 0, limit) {
                break;
            }
            open.append::<()>(timestamp, &other, None, 0);
            more += 1;
        }
        let (receipt, bytes) = (Deliveries::from(accepted).with(more), open.len() - before);
        Ok(Appended { receipt, bytes, filled: open.len() + usual > limit })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{
        accumulator::Limits, cluster::PartitionMetadata, delivery::Callbacks, sender::Chance, wire::compression::Method,
    };

    fn payload(value: &[u8]) -> Payload<'_> {
        Payload::new(None, Some(value), &[])
    }

    /// Appends all values by `next`, which returns how many were appended. Returns the batches.
    fn filled(
        limits: Limits,
        values: &[&[u8]],
        next: impl Fn(&Accumulator, &PartitionQueue, &[&[u8]]) -> Result<usize, Refused>,
    ) -> Vec<Vec<u8>> {
        let accumulator = Accumulator::new(limits, Callbacks::inline(Vec::new()));
        let leaders = [PartitionMetadata { leader: Some(1), leader_epoch: 0 }];
        let partition = Arc::clone(&accumulator.publish(&"orders".into(), &leaders, 1).partitions[0]);
        let (mut done, mut batches) = (0, Vec::new());
        while done < values.len() {
            match next(&accumulator, &partition, &values[done..]) {
                Ok(appended) => done += appended,
                // Then the sender takes them, and their memory is free.
                Err(Refused::Behind) => {
                    batches.extend(std::iter::from_fn(|| partition.take()).map(|batch| batch.bytes))
                }
                Err(refused) => panic!("{refused:?}"),
            }
        }
        batches.extend(accumulator.abandon().into_iter().map(|(_, batch)| batch.bytes));
        batches
    }

    #[test]
    fn several_records_fill_the_same_batches_as_one_after_the_other() {
        let now = Instant::now();
        let mut chance = Chance::new(1);
        for batch_size in [1, 100, 512, 4_000, 16_384] {
            let values: Vec<_> =
                (0..2_000).map(|number| vec![number as u8; [0, 1, 63, 64, 200, 3_000][chance.below(6)]]).collect();
            let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            let limits = Limits {
                batch_size,
                linger: Duration::from_secs(9),
                buffer_memory: 64 << 20,
                method: Method::NONE,
                rate_window: Duration::from_secs(30),
            };
            let singly = filled(limits, &values, |accumulator, partition, values| {
                let mode = AppendMode::Yielding;
                accumulator.append::<Accepted>(partition, None, &payload(values[0]), None, mode, &now).map(|_| 1)
            });
            let together = filled(limits, &values, |accumulator, partition, values| {
                let others = values[1..].iter().map(|value| payload(value));
                let appended = accumulator.append_several(partition, &payload(values[0]), others, &now)?;
                assert!(appended.receipt.len() == 1 || appended.bytes <= batch_size);
                Ok(appended.receipt.len())
            });
            assert!(together == singly, "batch.size {batch_size}");
        }
    }
}
