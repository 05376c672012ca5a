//! The batches that wait for compression.
//!
//! In: the slot and the serial number of each sealed batch. Out: the same, oldest first. Pure but for being awaited. Deliberately
//! absent: the compression itself (see [`super::compress`]) and the batches, which keep their places in their partitions' queues.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    config::{Compression, Config},
    wire::compression::{Codec, Method},
};

/// The batches that wait for compression. The accumulator and its partitions share it.
#[derive(Debug)]
pub(crate) struct CompressionQueue {
    pub(super) method: Method,
    /// Each by its partition's slot and its serial number there.
    jobs: Mutex<VecDeque<(u32, u64)>>,
    /// Told of each batch that is added.
    pub(super) added: Notify,
}

/// The state of a sealed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The sender can take it.
    Ready,
    /// It waits for compression.
    Uncompressed,
    /// Its bytes are being compressed.
    Compressing,
}

/// How a producer's batches are compressed.
pub(crate) fn method(config: &Config) -> Method {
    match config.compression {
        Compression::None => Method::NONE,
        Compression::Gzip => Method { codec: Codec::Gzip, level: config.compression_gzip_level },
        Compression::Snappy => Method { codec: Codec::Snappy, level: 0 },
        Compression::Lz4 => Method { codec: Codec::Lz4, level: config.compression_lz4_level },
        Compression::Zstd => Method { codec: Codec::Zstd, level: config.compression_zstd_level },
    }
}

impl CompressionQueue {
    pub(crate) fn new(method: Method) -> Arc<Self> {
        Arc::new(Self { method, jobs: Mutex::default(), added: Notify::new() })
    }

    /// The stage of a batch that has just been sealed.
    pub(super) fn first_stage(&self) -> Stage {
        if self.method == Method::NONE { Stage::Ready } else { Stage::Uncompressed }
    }

    /// Whether any batch waits for compression.
    pub(super) fn is_busy(&self) -> bool {
        !self.jobs().is_empty()
    }

    pub(super) fn add(&self, slot: u32, serial: u64) {
        self.jobs().push_back((slot, serial));
        self.added.notify_one();
    }

    pub(super) fn jobs(&self) -> MutexGuard<'_, VecDeque<(u32, u64)>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(method(&[("compression.type", "lz4")]), of(Codec::Lz4, 9));
        assert_eq!(method(&[("compression.type", "lz4"), ("compression.lz4.level", "12")]), of(Codec::Lz4, 12));
        if Codec::Zstd.is_built_in() {
            assert_eq!(method(&[("compression.type", "zstd")]), of(Codec::Zstd, 3));
        }
    }
}
