//! zstd (RFC 8878), by the library in C: no encoder in Rust has its levels yet.

use zstd::{bulk::Compressor, stream::read::Decoder};

use super::bounded::{Problem, read_all};

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

/// The largest window that a frame may ask for, as a power of two: 128 MiB, which is what level 22 asks for however little
/// it compresses, and where zstd itself draws the line. Memory of it that is not written to is not used.
const WINDOW_LOG: u32 = 27;

/// What one or more frames hold.
pub(super) fn decode(compressed: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut decoder = Decoder::with_buffer(compressed).map_err(Problem::malformed)?;
    decoder.window_log_max(WINDOW_LOG).map_err(Problem::malformed)?;
    read_all(decoder)
}
