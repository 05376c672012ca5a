//! The compression of sealed batches.
//!
//! In: sealed batches, which keep their places in their partitions' queues. Out: the same batches, shorter, in the same order. The
//! caller provides the threads: [`Accumulator::to_compress`] waits for work, and [`Accumulator::compress_one`] compresses one batch
//! on the thread that calls it. Pure but for being awaited. Only the bytes leave the queue meanwhile: a batch can complete at any
//! time, and bytes that come back after that are dropped.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{Accumulator, compressing::Job, memory::Charge, partition::Partition};
use crate::wire::compression::{Compressor, Method};

/// A batch's bytes, away from their place.
#[derive(Debug)]
pub(crate) struct Work {
    partition: Arc<Partition>,
    serial: u64,
    bytes: Vec<u8>,
}

impl Accumulator {
    /// How batches are to be compressed.
    pub(crate) fn method(&self) -> Method {
        self.compressing.method
    }

    /// Waits until there is more to compress than before. Whoever is woken works until nothing is left.
    ///
    /// Cancel safe.
    pub(crate) async fn to_compress(&self) {
        self.compressing.added().await;
    }

    /// Compresses the batch that has waited for longest; false if none waits.
    pub(crate) fn compress_one(&self, compressor: &mut Compressor) -> bool {
        let Some(work) = self.begin_compressing() else { return false };
        self.end_compressing(work, compressor);
        true
    }

    /// Takes the bytes of the batch that has waited for longest.
    pub(crate) fn begin_compressing(&self) -> Option<Work> {
        loop {
            let Job { slot, serial } = self.compressing.jobs().pop_front()?;
            let partition = self.topics.partition(slot)?;
            let lent = partition.lock().lend(serial);
            if let Some(bytes) = lent {
                return Some(Work { partition, serial, bytes });
            }
        }
    }

    /// Compresses what was taken and puts it back where it was. What is not needed any more of its memory is free again.
    pub(crate) fn end_compressing(&self, work: Work, compressor: &mut Compressor) {
        let Work { partition, serial, bytes } = work;
        // A codec that panics must not take the batch with it: it goes as it is.
        let compressed = catch_unwind(AssertUnwindSafe(|| compressor.compress(&bytes))).unwrap_or_else(|_| {
            tracing::error!(topic = &*partition.origin.topic, "compression panicked; the batch goes uncompressed");
            *compressor = Compressor::new(self.method());
            None
        });
        let (bytes, spare) = match compressed {
            Some(compressed) => (compressed, bytes),
            None => (bytes, Vec::new()),
        };
        let unneeded: Option<Charge>;
        {
            let mut queue = partition.lock();
            unneeded = queue.take_back(serial, bytes, spare.capacity());
            if queue.has_next() {
                self.list(&partition, &mut queue);
            }
        }
        self.memory.recycle(spare);
        drop(unneeded);
        if self.memory.waiting() > 0 {
            // What is open may have to go now; see `in_a_hurry`.
            self.wake();
        }
    }

    /// How many batches wait to be compressed.
    #[cfg(test)]
    pub(crate) fn uncompressed(&self) -> usize {
        self.compressing.jobs().len()
    }
}
