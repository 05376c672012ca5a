//! Bounded reads and writes, which all codecs share, and what may be wrong with compressed bytes.

/// The most bytes that the records of one batch may come to. A broker takes a batch of 1 MiB by default, and 64 MiB are what
/// one of that size comes to that is compressed as well as text of one letter.
pub(crate) const LONGEST: usize = 64 << 20;

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

/// All that a reader of opened bytes gives, if it is not too much. What it takes grows with what has come.
pub(super) fn read_all(reader: impl std::io::Read) -> Result<Vec<u8>, Problem> {
    use std::io::Read;
    let mut opened = Vec::new();
    reader.take(LONGEST as u64 + 1).read_to_end(&mut opened).map_err(Problem::malformed)?;
    if opened.len() > LONGEST { Err(Problem::TooLong) } else { Ok(opened) }
}

/// Writes `bytes` at a place, if they fit, and says where they end.
pub(super) fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> Option<usize> {
    let end = at + bytes.len();
    out.get_mut(at..end)?.copy_from_slice(bytes);
    Some(end)
}
