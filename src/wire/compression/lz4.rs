//! lz4 frames, as Java's producer writes them: independent blocks of 64 KiB, no checksums, no content length.
//!
//! At level 9, which is Java's default, the encoder uses lz4's fast compressor, as Java does, and at others the high one. The decoder reads every frame that Java reads: block
//! sizes from 64 KiB to 4 MiB. It refuses blocks that depend on each other. It skips checksums, because the batch has
//! one over everything.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into};

use super::{
    bounded::{Encode, LONGEST, Problem, put},
    lz4_high::High,
};

/// Magic, flags (version 1, independent blocks), the block size (64 KiB), and the checksum of those two.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const END: [u8; 4] = [0; 4];
const BLOCK: usize = 64 << 10;
/// A flag in a block's length: the block is not compressed, because it did not become shorter.
const UNCOMPRESSED: u32 = 1 << 31;
/// The most bytes that one compressed byte can stand for.
const MAX_EXPANSION: usize = 255;

/// The level that is lz4's fast compressor (Java's `Lz4BlockOutputStream`).
const FAST: i32 = 9;

/// What compresses a block.
pub(super) enum Encoder {
    /// Two tables. The smaller one is for shorter blocks, because a table is cleared for each block.
    Fast {
        small: CompressTable,
        large: CompressTable,
    },
    High(High),
}

impl Encoder {
    pub(super) fn new(level: i32) -> Self {
        match level {
            FAST => Self::Fast { small: CompressTable::small(), large: CompressTable::large() },
            level => Self::High(High::new(level)),
        }
    }

    /// The length of `block` in `out`, if it fits.
    fn block(&mut self, block: &[u8], out: &mut [u8]) -> Option<usize> {
        let (small, large) = match self {
            Self::High(high) => return high.compress(block, out),
            Self::Fast { small, large } => (small, large),
        };
        let table = if block.len() < usize::from(u16::MAX) { small } else { large };
        compress_into_with_table(block, out, table).ok()
    }
}

impl Encode for Encoder {
    fn encode(&mut self, records: &[u8], out: &mut [u8]) -> Option<usize> {
        let mut len = put(out, 0, &HEADER)?;
        for block in records.chunks(BLOCK) {
            let (size, room) = out.get_mut(len..)?.split_first_chunk_mut::<4>()?;
            let compressed = self.block(block, room).filter(|took| *took < block.len());
            let (took, flag) = match compressed {
                Some(took) => (took, 0),
                None => (put(room, 0, block)?, UNCOMPRESSED),
            };
            *size = (u32::try_from(took).ok()? | flag).to_le_bytes();
            len += size.len() + took;
        }
        put(out, len, &END)
    }
}

/// The fields of a frame's header.
struct Frame {
    block: usize,
    has_block_checksums: bool,
}

pub(super) fn decode(compressed: &[u8]) -> Result<Vec<u8>, Problem> {
    let (frame, mut rest) = header(compressed)?;
    let mut opened = Vec::new();
    loop {
        let word = u32::from_le_bytes(*take(&mut rest)?);
        if word == 0 {
            return Ok(opened);
        }
        let len = usize::try_from(word & !UNCOMPRESSED).map_err(Problem::malformed)?;
        let (block, behind) = rest.split_at_checked(len).ok_or_else(Problem::cut_short)?;
        rest = behind;
        append_block(&mut opened, block, word & UNCOMPRESSED != 0, frame.block)?;
        if frame.has_block_checksums {
            take::<4>(&mut rest)?;
        }
    }
}

fn header(compressed: &[u8]) -> Result<(Frame, &[u8]), Problem> {
    let mut rest = compressed;
    if *take(&mut rest)? != MAGIC {
        return Err(Problem::malformed("it does not begin as a frame does"));
    }
    let [flags, block] = *take(&mut rest)?;
    let bit = |number: u8| flags >> number & 1 == 1;
    if flags >> 6 != 1 || bit(0) || bit(1) {
        return Err(Problem::malformed(format!("the flags of its header are {flags:#04x}")));
    }
    if !bit(5) {
        return Err(Problem::malformed("its blocks depend on each other"));
    }
    if bit(3) {
        take::<8>(&mut rest)?;
    }
    take::<1>(&mut rest)?;
    let block = match block >> 4 {
        size @ 4..=7 => 1 << (8 + 2 * size),
        size => return Err(Problem::malformed(format!("expected a size of blocks from 4 to 7, got {size}"))),
    };
    Ok((Frame { block, has_block_checksums: bit(4) }, rest))
}

fn append_block(opened: &mut Vec<u8>, block: &[u8], uncompressed: bool, largest: usize) -> Result<(), Problem> {
    let start = opened.len();
    if uncompressed {
        opened.extend_from_slice(block);
    } else {
        let most = block.len().saturating_mul(MAX_EXPANSION).min(largest);
        opened.resize(start.saturating_add(most), 0);
        let out = opened.get_mut(start..).unwrap_or_default();
        let len = decompress_into(block, out).map_err(Problem::malformed)?;
        opened.truncate(start.saturating_add(len));
    }
    if opened.len() > LONGEST { Err(Problem::TooLong) } else { Ok(()) }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], Problem> {
    let (taken, behind) = rest.split_first_chunk().ok_or_else(Problem::cut_short)?;
    *rest = behind;
    Ok(taken)
}
