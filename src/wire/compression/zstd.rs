//! zstd (RFC 8878), by the library in C, which has all levels.

use zstd::{bulk::Compressor, stream::read::Decoder};

use super::bounded::{Encode, Problem, read_all};

pub(super) struct Encoder(Compressor<'static>);

impl Encoder {
    /// `level` from -131072 (fastest) to 22 (smallest).
    pub(super) fn new(level: i32) -> Option<Self> {
        Compressor::new(level).ok().map(Self)
    }
}

impl Encode for Encoder {
    fn encode(&mut self, records: &[u8], out: &mut [u8]) -> Option<usize> {
        self.0.compress_to_buffer(records, out).ok()
    }
}

/// The largest window that a frame may ask for, as a power of two: 128 MiB. Level 22 asks for it however little it
/// compresses, and it is zstd's own limit. The system does not provide memory for the unused part of a window.
const WINDOW_LOG: u32 = 27;

/// Decompresses one or more frames.
pub(super) fn decode(compressed: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut decoder = Decoder::with_buffer(compressed).map_err(Problem::malformed)?;
    decoder.window_log_max(WINDOW_LOG).map_err(Problem::malformed)?;
    read_all(decoder)
}
