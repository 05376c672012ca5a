//! Snappy in the framing of xerial's `snappy-java`, which Kafka adopted.
//!
//! A header of 16 bytes, then blocks: a length (4 bytes, big endian) and raw Snappy of at most 32 KiB. The decoder also
//! reads raw Snappy without framing, which other clients write.

use snap::raw::{Decoder, Encoder as Raw, decompress_len, max_compress_len};

use super::bounded::{Encode, LONGEST, Problem, put};

/// Magic, then version and lowest compatible version, both 1.
const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const MAGIC: &[u8] = HEADER.split_at(8).0;
const BLOCK: usize = 32 << 10;
/// The most bytes that one compressed byte can stand for: a copy of three bytes stands for 64 at most.
const MAX_EXPANSION: usize = 22;

pub(super) struct Encoder {
    raw: Raw,
    block: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { raw: Raw::new(), block: Vec::new() }
    }
}

impl Encode for Encoder {
    fn encode(&mut self, records: &[u8], out: &mut [u8]) -> Option<usize> {
        self.block.resize(max_compress_len(BLOCK), 0);
        let mut len = put(out, 0, &HEADER)?;
        for part in records.chunks(BLOCK) {
            let compressed = self.raw.compress(part, &mut self.block).ok()?;
            len = put(out, len, &u32::try_from(compressed).ok()?.to_be_bytes())?;
            len = put(out, len, self.block.get(..compressed)?)?;
        }
        Some(len)
    }
}

pub(super) fn decode(compressed: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut opened = Vec::new();
    if !compressed.starts_with(MAGIC) {
        append_block(&mut opened, compressed)?;
        return Ok(opened);
    }
    let mut rest = compressed.get(HEADER.len()..).ok_or_else(Problem::cut_short)?;
    while let Some((len, behind)) = rest.split_first_chunk() {
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(Problem::malformed)?;
        let (block, behind) = behind.split_at_checked(len).ok_or_else(Problem::cut_short)?;
        append_block(&mut opened, block)?;
        rest = behind;
    }
    if rest.is_empty() { Ok(opened) } else { Err(Problem::cut_short()) }
}

fn append_block(opened: &mut Vec<u8>, block: &[u8]) -> Result<(), Problem> {
    let len = decompress_len(block).map_err(Problem::malformed)?;
    if len > block.len().saturating_mul(MAX_EXPANSION) {
        return Err(Problem::malformed(format!("a block of {} bytes cannot come to {len}", block.len())));
    }
    let (start, end) = (opened.len(), opened.len().saturating_add(len));
    if end > LONGEST {
        return Err(Problem::TooLong);
    }
    opened.resize(end, 0);
    let out = opened.get_mut(start..).unwrap_or_default();
    Decoder::new().decompress(block, out).map_err(Problem::malformed).map(drop)
}
