//! The stage between a batch whose records are fixed and one that can be sent: its compression.
//!
//! In: sealed batches, which keep their place in their partition's queue. Out: the same ones, shorter, in the same order. What
//! runs the work is elsewhere: [`Accumulator::compress_one`] does it for one batch, on whatever thread calls it, and
//! [`Accumulator::to_compress`] says when there is something to do. Pure but for being awaited. Only the bytes are away
//! meanwhile: whoever waits for the batch can be answered at any time, and bytes that come back too late are nobody's.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Accumulator, Charge, Partition};
use crate::{
    config::{Compression, Config},
    wire::compression::{Codec, Compressor, Method},
};

/// Batches that wait to be compressed. Shared by the accumulator and its partitions.
#[derive(Debug)]
pub(crate) struct Compressing {
    method: Method,
    jobs: Mutex<VecDeque<Job>>,
    added: Notify,
}

/// Which batch: the partition's slot, and the batch's number in it.
#[derive(Clone, Copy, Debug)]
struct Job {
    slot: u32,
    serial: u64,
}

/// A batch's bytes, away from their place.
#[derive(Debug)]
pub(crate) struct Work {
    partition: Arc<Partition>,
    serial: u64,
    bytes: Vec<u8>,
}

/// How far a sealed batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It can be sent.
    Done,
    /// It waits to be compressed.
    Raw,
    /// Its bytes are being compressed.
    Away,
}

/// How a producer's batches are to be compressed.
pub(crate) fn method(config: &Config) -> Method {
    match config.compression {
        Compression::None => Method::NONE,
        Compression::Gzip => Method { codec: Codec::Gzip, level: config.compression_gzip_level },
        Compression::Snappy => Method { codec: Codec::Snappy, level: 0 },
        Compression::Lz4 => Method { codec: Codec::Lz4, level: 0 },
        Compression::Zstd => Method { codec: Codec::Zstd, level: config.compression_zstd_level },
    }
}

impl Compressing {
    pub(crate) fn new(method: Method) -> Arc<Self> {
        Arc::new(Self { method, jobs: Mutex::default(), added: Notify::new() })
    }

    /// What a batch is to go through first.
    pub(super) fn first_stage(&self) -> Stage {
        if self.method == Method::NONE { Stage::Done } else { Stage::Raw }
    }

    /// Whether a batch waits to be compressed.
    pub(super) fn is_busy(&self) -> bool {
        !self.jobs().is_empty()
    }

    pub(super) fn add(&self, slot: u32, serial: u64) {
        self.jobs().push_back(Job { slot, serial });
        self.added.notify_one();
    }

    fn jobs(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        self.compressing.added.notified().await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProducerBuilder;

    #[test]
    fn each_codec_is_chosen_by_its_name_and_has_its_level() {
        let method = |properties: &[(&str, &str)]| {
            let builder = ProducerBuilder::new("localhost:9092").properties(properties.iter().copied());
            method(&builder.validate().unwrap())
        };
        let of = |codec, level| Method { codec, level };
        assert_eq!(method(&[]), Method::NONE);
        assert_eq!(method(&[("compression.type", "gzip")]), of(Codec::Gzip, -1));
        assert_eq!(method(&[("compression.type", "GZIP"), ("compression.gzip.level", "9")]), of(Codec::Gzip, 9));
        assert_eq!(method(&[("compression.type", "snappy")]), of(Codec::Snappy, 0));
        assert_eq!(method(&[("compression.type", "lz4"), ("compression.lz4.level", "9")]), of(Codec::Lz4, 0));
        if Codec::Zstd.is_built_in() {
            assert_eq!(method(&[("compression.type", "zstd")]), of(Codec::Zstd, 3));
        }
    }
}
