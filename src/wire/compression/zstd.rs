//! zstd (RFC 8878), by the library in C: no encoder in Rust has its levels yet.

use zstd::{bulk::Compressor, stream::read::Decoder};

use super::{LONGEST, Problem, read_all};

pub(super) struct Encoder(Compressor<'static>);

impl Encoder {
    /// `level` from -131072, the quickest, to 22, the smallest.
    pub(super) fn new(level: i32) -> Option<Self> {
        Compressor::new(level).ok().map(Self)
    }

    /// How many bytes of `out` it took, if they were enough.
    pub(super) fn encode(&mut self, records: &[u8], out: &mut [u8]) -> Option<usize> {
        self.0.compress_to_buffer(records, out).ok()
    }
}

/// What one or more frames hold. A frame that wants a window larger than all that may be read is refused.
pub(super) fn decode(compressed: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut decoder = Decoder::with_buffer(compressed).map_err(Problem::malformed)?;
    decoder.window_log_max(LONGEST.ilog2()).map_err(Problem::malformed)?;
    read_all(decoder)
}
