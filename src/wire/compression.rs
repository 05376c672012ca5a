//! Compresses and decompresses the records of a batch.
//!
//! In: a sealed batch, or untrusted compressed records. Out: the batch with its records compressed, or the records.
//! Pure. The decompressed length is never believed: it is found by decompressing, up to [`LONGEST`]. Deliberately
//! absent: the checksums of the codecs (the batch has one over everything), and when and where to compress, which the
//! accumulator decides.

mod bounded;
mod gzip;
mod lz4;
mod lz4_high;
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;
#[cfg(all(feature = "zstd-rust", any(test, not(feature = "zstd"))))]
mod zstd_rust;

pub(crate) use self::bounded::LONGEST;
use self::bounded::{Encode, Problem};
use super::record_batch::{ATTRIBUTES_AT, HEADER_LEN, LENGTH_END};

/// The codec of a batch's records. The number of each is that in a batch's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub(crate) enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Codec {
    /// The name in `compression.type`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec that a batch's attributes name, or its unknown number.
    pub(crate) const fn of(attributes: i16) -> Result<Self, i16> {
        match attributes & 0b111 {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            unknown => Err(unknown),
        }
    }

    /// Whether this build has the codec.
    #[cfg(test)]
    pub(crate) const fn is_built_in(self) -> bool {
        cfg!(any(feature = "zstd", feature = "zstd-rust")) || !matches!(self, Self::Zstd)
    }
}

/// The codec and the level that the configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    pub(crate) codec: Codec,
    /// The level, for codecs that have levels.
    pub(crate) level: i32,
}

impl Method {
    /// No compression.
    pub(crate) const NONE: Self = Self { codec: Codec::None, level: 0 };
}

/// Compresses batches one after the other with the same tables.
pub(crate) struct Compressor {
    codec: Codec,
    /// `None` without a codec.
    encoder: Option<Box<dyn Encode>>,
    /// The buffer that a batch is compressed into.
    scratch: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new(method: Method) -> Self {
        let encoder: Option<Box<dyn Encode>> = match method.codec {
            Codec::Gzip => Some(Box::new(gzip::Encoder::new(method.level))),
            Codec::Snappy => Some(Box::<snappy::Encoder>::default()),
            Codec::Lz4 => Some(Box::new(lz4::Encoder::new(method.level))),
            #[cfg(feature = "zstd")]
            Codec::Zstd => zstd::Encoder::new(method.level).map(|encoder| Box::new(encoder) as _),
            #[cfg(all(feature = "zstd-rust", not(feature = "zstd")))]
            Codec::Zstd => zstd_rust::Encoder::new(method.level).map(|encoder| Box::new(encoder) as _),
            // No codec, or one that this build does not have.
            _ => None,
        };
        Self { codec: method.codec, encoder, scratch: Vec::new() }
    }

    /// Compresses the records of a sealed batch that was not stamped yet. The result has no spare capacity. `None` if
    /// it would not be shorter. Such a batch is sent uncompressed, which every consumer can read, so compression never
    /// makes a batch larger.
    pub(crate) fn compress(&mut self, batch: &[u8]) -> Option<Vec<u8>> {
        let encoder = self.encoder.as_mut()?;
        let (header, records) = batch.split_at_checked(HEADER_LEN)?;
        // Enough for records that do not compress. lz4 needs most.
        let room = batch.len() + batch.len() / 4 + 512;
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        let len = encoder.encode(records, &mut self.scratch)?;
        let compressed = self.scratch.get(..len).filter(|compressed| compressed.len() < records.len())?;
        let mut whole = [header, compressed].concat();
        let batch_length = i32::try_from(whole.len() - LENGTH_END).ok()?;
        whole[LENGTH_END - 4..LENGTH_END].copy_from_slice(&batch_length.to_be_bytes());
        whole[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&(self.codec as i16).to_be_bytes());
        Some(whole)
    }
}

/// Why compressed records cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecompressError {
    /// This build does not have the codec.
    #[cfg_attr(any(feature = "zstd", feature = "zstd-rust"), expect(dead_code, reason = "it has all"))]
    #[error("records are compressed with {}, which this build does not read: build with the feature `zstd-rust` or `zstd`", .0.name())]
    NotBuiltIn(Codec),
    /// The bytes are not in the codec's format.
    #[error("records are not in the format of {}: {reason}", codec.name())]
    Malformed { codec: Codec, reason: String },
    /// The records have more than [`LONGEST`] bytes.
    #[error("records compressed with {} come to more than {LONGEST} bytes", .0.name())]
    TooLong(Codec),
}

/// Decompresses the records of a batch.
pub(crate) fn decompress(codec: Codec, compressed: &[u8]) -> Result<Vec<u8>, DecompressError> {
    let opened = match codec {
        Codec::None => Ok(compressed.to_vec()),
        Codec::Gzip => gzip::decode(compressed),
        Codec::Snappy => snappy::decode(compressed),
        Codec::Lz4 => lz4::decode(compressed),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::decode(compressed),
        #[cfg(all(feature = "zstd-rust", not(feature = "zstd")))]
        Codec::Zstd => zstd_rust::decode(compressed),
        #[cfg(not(any(feature = "zstd", feature = "zstd-rust")))]
        Codec::Zstd => return Err(DecompressError::NotBuiltIn(codec)),
    };
    opened.map_err(|problem| match problem {
        Problem::TooLong => DecompressError::TooLong(codec),
        Problem::Malformed(reason) => DecompressError::Malformed { codec, reason },
    })
}

#[cfg(test)]
mod tests;
