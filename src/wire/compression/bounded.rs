//! Bounded reads and writes for all codecs, and what can be wrong with compressed bytes.
//!
//! In: a codec's output, or a reader of it. Out: bytes within the bounds, or a [`Problem`]. Pure.

/// The most bytes that the records of one batch may decompress to. A broker accepts batches of 1 MiB by default, and 64
/// MiB of one repeated letter compress to about that.
pub(crate) const LONGEST: usize = 64 << 20;

/// Compresses the records of batches, one batch after the other.
pub(super) trait Encode: Send {
    /// Compresses `records` into `out`. Returns the compressed length, if `out` was large enough.
    fn encode(&mut self, records: &[u8], out: &mut [u8]) -> Option<usize>;
}

/// What is wrong with compressed bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    TooLong,
    Malformed(String),
}

impl Problem {
    pub(super) fn malformed(reason: impl ToString) -> Self {
        Self::Malformed(reason.to_string())
    }

    pub(super) fn cut_short() -> Self {
        Self::malformed("it is cut short")
    }
}

/// Reads all of `reader`, up to [`LONGEST`] bytes. Memory grows with the bytes that were read.
pub(super) fn read_all(reader: impl std::io::Read) -> Result<Vec<u8>, Problem> {
    use std::io::Read;
    let mut opened = Vec::new();
    reader.take(LONGEST as u64 + 1).read_to_end(&mut opened).map_err(Problem::malformed)?;
    if opened.len() > LONGEST { Err(Problem::TooLong) } else { Ok(opened) }
}

/// Writes `bytes` at `at` if they fit, and returns where they end.
pub(super) fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> Option<usize> {
    let end = at + bytes.len();
    out.get_mut(at..end)?.copy_from_slice(bytes);
    Some(end)
}
