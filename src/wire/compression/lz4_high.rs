//! lz4's blocks, as small as a search makes them: the levels other than 9.
//!
//! In: the bytes of a block. Out: the block in lz4's format, if it fits. Pure. Three steps: the longest match at each position is searched
//! along a chain of positions with the same four bytes, as far as the level says; from the end to the beginning the cheapest way to write
//! the rest is chosen, which is exact because in lz4 all distances cost the same; then that way is written.

use super::bounded::put;

/// The longest block. Every distance within it fits lz4's two bytes.
pub(super) const LONGEST: usize = 64 << 10;
/// The shortest match.
const SHORTEST: usize = 4;
/// How many bytes at the end of a block are not in a match, and before how many no match begins.
const TAIL: usize = 5;
const NO_MATCH_IN: usize = 12;
/// A match of so many bytes is not searched again from its second byte on, so that repetitions take no more time than other bytes.
const LONG: usize = 256;
/// Shorter ways to use a match are tried up to this length. Cutting a longer one rarely gains a byte.
const TRIED: usize = 64;
/// From this number on a length takes more bytes than its half of a token.
const NIBBLE: usize = 15;
const HASH_BITS: u32 = 15;

/// The bytes from a position on stand `distance` bytes before as well. `len` 0 is no match.
#[derive(Clone, Copy, Default)]
struct Match {
    len: usize,
    distance: usize,
}

/// Searches with tables that are used for one block after the other.
pub(super) struct High {
    /// How many earlier positions are compared at most.
    attempts: usize,
    /// The last position with each hash, plus 1; 0 is none.
    last: Vec<u32>,
    /// How far before each position the previous one with the same hash is; 0 is none.
    back: Vec<u16>,
    matches: Vec<Match>,
    /// The bytes that the rest of the block takes from each position on.
    costs: Vec<u32>,
    /// With how many literals in a row the cheapest way goes on from each position.
    literals: Vec<u32>,
    /// How many bytes are matched at each position of the cheapest way; 0 for a literal.
    steps: Vec<u32>,
}

impl High {
    /// `level` from 1 (quickest) to 17 (smallest), as Java has them. Beyond 10 nothing changes: longer searches find next to nothing.
    pub(super) fn new(level: i32) -> Self {
        Self {
            attempts: 1 << (3 + level.clamp(1, 10)),
            last: vec![0; 1 << HASH_BITS],
            back: vec![0; LONGEST],
            matches: Vec::new(),
            costs: Vec::new(),
            literals: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Writes `block`, of at most [`LONGEST`] bytes, into `out`. Returns the length, if `out` was large enough.
    pub(super) fn compress(&mut self, block: &[u8], out: &mut [u8]) -> Option<usize> {
        self.search(block);
        self.choose(block.len());
        self.write(block, &mut Out { bytes: out, len: 0 })
    }

    /// Finds the longest match at each position.
    fn search(&mut self, block: &[u8]) {
        self.last.fill(0);
        self.matches.clear();
        self.matches.resize(block.len(), Match::default());
        let mut before = Match::default();
        for at in 0..(block.len() + 1).saturating_sub(NO_MATCH_IN) {
            let hash = hash(&block[at..]);
            let previous = self.last[hash] as usize;
            self.last[hash] = at as u32 + 1;
            self.back[at] = if previous == 0 { 0 } else { (at + 1 - previous) as u16 };
            before = if before.len > LONG { Match { len: before.len - 1, ..before } } else { self.longest(block, at) };
            self.matches[at] = before;
        }
    }

    fn longest(&self, block: &[u8], at: usize) -> Match {
        let here = &block[at..block.len() - TAIL];
        let (mut best, mut candidate) = (Match::default(), at);
        for _ in 0..self.attempts {
            let back = usize::from(self.back[candidate]);
            if back == 0 {
                break;
            }
            candidate -= back;
            // Only a candidate that has the next byte as well can be longer.
            if block[candidate + best.len] != here[best.len] {
                continue;
            }
            let len = here.iter().zip(&block[candidate..]).take_while(|(a, b)| a == b).count();
            if len > best.len && len >= SHORTEST {
                best = Match { len, distance: at - candidate };
                if len == here.len() {
                    break;
                }
            }
        }
        best
    }

    /// Chooses the cheapest way from each position to the end.
    fn choose(&mut self, len: usize) {
        for table in [&mut self.costs, &mut self.literals, &mut self.steps] {
            table.clear();
            table.resize(len + 1, 0);
        }
        for at in (0..len).rev() {
            let run = self.literals[at + 1] as usize + 1;
            let mut cost = self.costs[at + 1] + 1 + more(run) - more(run - 1);
            let (mut step, found) = (0, self.matches[at].len);
            let tried = (SHORTEST..=found.min(TRIED)).chain((found > TRIED).then_some(found));
            for matched in tried {
                // A token, two bytes of distance.
                let by_match = self.costs[at + matched] + 3 + more(matched - SHORTEST);
                if by_match <= cost {
                    (cost, step) = (by_match, matched);
                }
            }
            self.costs[at] = cost;
            self.steps[at] = step as u32;
            self.literals[at] = if step == 0 { run as u32 } else { 0 };
        }
    }

    /// Writes the cheapest way.
    fn write(&self, block: &[u8], out: &mut Out<'_>) -> Option<usize> {
        let mut at = 0;
        loop {
            let run = self.literals[at] as usize;
            let behind = at + run;
            if behind == block.len() {
                out.sequence(&block[at..], None)?;
                return Some(out.len);
            }
            let len = self.steps[behind] as usize;
            out.sequence(&block[at..behind], Some(Match { len, ..self.matches[behind] }))?;
            at = behind + len;
        }
    }
}

/// How many bytes a length takes beside its half of a token.
fn more(len: usize) -> u32 {
    len.checked_sub(NIBBLE).map_or(0, |over| over as u32 / 255 + 1)
}

fn hash(bytes: &[u8]) -> usize {
    let four = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    (four.wrapping_mul(2_654_435_761) >> (32 - HASH_BITS)) as usize
}

struct Out<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.len = put(self.bytes, self.len, bytes)?;
        Some(())
    }

    /// Writes literals and the match behind them; a block ends without one.
    fn sequence(&mut self, literals: &[u8], matched: Option<Match>) -> Option<()> {
        let over = matched.map_or(0, |matched| matched.len - SHORTEST);
        self.put(&[((literals.len().min(NIBBLE) << 4) | over.min(NIBBLE)) as u8])?;
        self.rest(literals.len())?;
        self.put(literals)?;
        if let Some(matched) = matched {
            self.put(&(matched.distance as u16).to_le_bytes())?;
            self.rest(over)?;
        }
        Some(())
    }

    /// Writes what a length has beyond its half of a token.
    fn rest(&mut self, len: usize) -> Option<()> {
        let Some(mut over) = len.checked_sub(NIBBLE) else { return Some(()) };
        while over >= 255 {
            self.put(&[255])?;
            over -= 255;
        }
        self.put(&[over as u8])
    }
}

#[cfg(test)]
mod tests {
    use lz4_flex::block::{compress, decompress};

    use super::*;

    fn high(level: i32, block: &[u8]) -> Vec<u8> {
        let mut out = vec![0; block.len() + block.len() / 200 + 20];
        let len = High::new(level).compress(block, &mut out).unwrap();
        out.truncate(len);
        assert_eq!(decompress(&out, block.len()).unwrap(), block, "level {level}");
        out
    }

    fn words(len: usize) -> Vec<u8> {
        let word = |i: usize| format!("{{\"id\":{},\"state\":\"{}\"}}", i * i % 977, ["new", "paid", "sent"][i % 3]);
        (0..).flat_map(|i| word(i).into_bytes()).take(len).collect()
    }

    fn noise(len: usize, letters: u64) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % letters) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn blocks_of_every_length_and_kind_come_back() {
        let lens = (0..40).chain([255, 256, 270, 271, 1_000, 4_113, LONGEST - 1, LONGEST]);
        for len in lens {
            for block in [
                vec![7; len],
                words(len),
                noise(len, 2),
                noise(len, 256),
                [noise(len / 2, 4), vec![1; len / 2]].concat(),
            ] {
                high(1, &block);
                if len < 2_000 {
                    high(12, &block);
                }
            }
        }
    }

    #[test]
    fn lengths_around_the_limits_of_their_bytes_come_back() {
        for literals in [14, 15, 16, 269, 270, 271, 524, 525] {
            for matched in [18, 19, 20, 273, 274, 275] {
                let start = noise(literals, 256);
                let block = [&start[..], &vec![start[literals - 1]; matched], &noise(40, 256)].concat();
                high(8, &block);
            }
        }
    }

    #[test]
    fn a_higher_level_is_no_larger_and_all_are_smaller_than_the_fast_one() {
        let block = words(20_000);
        let fast = compress(&block).len();
        let lens: Vec<_> = [1, 4, 8, 12, 17].map(|level| high(level, &block).len()).into();
        assert!(lens.is_sorted_by(|a, b| a >= b) && lens[0] < fast, "{lens:?}, fast {fast}");
        assert_eq!(lens[3], lens[4]);
    }

    #[test]
    fn the_cheapest_way_costs_what_is_written() {
        for block in [words(9_000), noise(9_000, 3), vec![0; 9_000]] {
            let mut high = High::new(6);
            let mut out = vec![0; 2 * block.len()];
            let len = high.compress(&block, &mut out).unwrap();
            // The last token has no match, and is not in the sum.
            assert_eq!(len, high.costs[0] as usize + 1);
        }
    }

    #[test]
    fn a_block_that_does_not_fit_is_not_written() {
        let block = noise(1_000, 256);
        assert_eq!(High::new(3).compress(&block, &mut [0; 1_000]), None);
        assert_eq!(High::new(3).compress(&[], &mut []), None);
    }
}
