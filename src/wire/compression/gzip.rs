//! gzip (RFC 1952), by a zlib in Rust.

use flate2::{Compress, Compression, FlushCompress, Status, bufread::MultiGzDecoder};

use super::bounded::{Encode, Problem, read_all};

/// The level for -1, as in zlib.
const USUAL_LEVEL: u32 = 6;
const WINDOW_BITS: u8 = 15;

pub(super) struct Encoder(Compress);

impl Encoder {
    /// `level` from 1 (fastest) to 9 (smallest). Anything else is the default level.
    pub(super) fn new(level: i32) -> Self {
        let level = u32::try_from(level).ok().filter(|level| (1..=9).contains(level)).unwrap_or(USUAL_LEVEL);
        Self(Compress::new_gzip(Compression::new(level), WINDOW_BITS))
    }
}

impl Encode for Encoder {
    fn encode(&mut self, records: &[u8], out: &mut [u8]) -> Option<usize> {
        self.0.reset();
        let status = self.0.compress(records, out, FlushCompress::Finish).ok()?;
        (status == Status::StreamEnd).then(|| usize::try_from(self.0.total_out()).ok()).flatten()
    }
}

/// Decompresses one or more gzip members.
pub(super) fn decode(compressed: &[u8]) -> Result<Vec<u8>, Problem> {
    read_all(MultiGzDecoder::new(compressed))
}
