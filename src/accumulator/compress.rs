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

use super::{Accumulator, partition::PartitionQueue};
use crate::wire::compression::{Compressor, Method};

/// The bytes of a batch, out of their queue to be compressed.
#[derive(Debug)]
pub(crate) struct Work {
    partition: Arc<PartitionQueue>,
    serial: u64,
    bytes: Vec<u8>,
}

impl Accumulator {
    /// How batches are compressed.
    pub(crate) fn method(&self) -> Method {
        self.compressing.method
    }

    /// Waits until a batch is added to those that wait for compression. The caller then compresses until none is left.
    ///
    /// Cancel safe.
    pub(crate) async fn to_compress(&self) {
        self.compressing.added.notified().await;
    }

    /// Compresses the batch that has waited longest. Returns whether there was one.
    pub(crate) fn compress_one(&self, compressor: &mut Compressor) -> bool {
        let Some(work) = self.begin_compressing() else { return false };
        self.end_compressing(work, compressor);
        true
    }

    /// Takes the bytes of the batch that has waited longest.
    pub(crate) fn begin_compressing(&self) -> Option<Work> {
        loop {
            let (slot, serial) = self.compressing.jobs().pop_front()?;
            let partition = self.topics.partition(slot)?;
            let lent = partition.lock().take_bytes(serial);
            if let Some(bytes) = lent {
                return Some(Work { partition, serial, bytes });
            }
        }
    }

    /// Compresses the bytes and puts them back into their batch. Memory that the batch no longer needs is free at once.
    pub(crate) fn end_compressing(&self, work: Work, compressor: &mut Compressor) {
        let Work { partition, serial, bytes } = work;
        // If the codec panics, the batch is sent uncompressed.
        let compressed = catch_unwind(AssertUnwindSafe(|| compressor.compress(&bytes))).unwrap_or_else(|_| {
            tracing::error!(topic = &*partition.origin.topic, "compression panicked; the batch goes uncompressed");
            *compressor = Compressor::new(self.method());
            None
        });
        let (bytes, spare) = match compressed {
            Some(compressed) => (compressed, bytes),
            None => (bytes, Vec::new()),
        };
        let mut queue = partition.lock();
        let unneeded = queue.put_back(serial, bytes, spare.capacity());
        if queue.has_next() {
            self.list(&partition, &mut queue);
        }
        drop(queue);
        self.memory.recycle(spare);
        drop(unneeded);
        if self.memory.waiting() > 0 {
            // Open batches may be due now, see `must_not_linger`.
            self.wake();
        }
    }

    /// How many batches wait to be compressed.
    #[cfg(test)]
    pub(crate) fn uncompressed(&self) -> usize {
        self.compressing.jobs().len()
    }
}
