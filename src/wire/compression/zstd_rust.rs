//! zstd (RFC 8878) in Rust, by a crate that forbids unsafe code. It has the quick levels only; its ratio there is that of the library in C
//! (`benches/zstd`).

use zrip::{CompressContext, DecompressError, decompress_with_limit};

use super::bounded::{Encode, LONGEST, Problem};

pub(super) struct Encoder(CompressContext);

impl Encoder {
    /// `level` from -7 (fastest) to 4 (smallest).
    pub(super) fn new(level: i32) -> Option<Self> {
        let mut context = CompressContext::new(level).ok()?;
        // The batch has a checksum over everything.
        context.set_content_checksum(false);
        Some(Self(context))
    }
}

impl Encode for Encoder {
    fn encode(&mut self, records: &[u8], out: &mut [u8]) -> Option<usize> {
        self.0.compress_into(records, out).ok()
    }
}

/// Decompresses one or more frames.
pub(super) fn decode(compressed: &[u8]) -> Result<Vec<u8>, Problem> {
    decompress_with_limit(compressed, LONGEST).map_err(|error| match error {
        DecompressError::OutputTooSmall => Problem::TooLong,
        other => Problem::malformed(other),
    })
}
