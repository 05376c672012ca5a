//! Keys and values of the records.
//!
//! In: a size, a file or nothing, and a seed. Out: a key and a value for each record. Only keys allocate. Pure but for reading the
//! file.

use std::{array, path::Path};

use clap::ValueEnum;

use crate::exit::CliError;

/// The largest file of payloads; a larger one was named by mistake.
const MAX_BYTES: u64 = 1 << 30;

/// Which key each record gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyDistribution {
    /// None
    None,
    /// 0, 1, 2, … up to the range, and again from 0
    Range,
    /// One of the range by chance
    Random,
}

/// Generates values.
#[derive(Debug)]
pub(super) enum Payload {
    /// Random capital letters, others for each record, in the same buffer.
    Letters(Vec<u8>, Letters),
    /// A random one of these.
    Some(Vec<Vec<u8>>, Chance),
    /// The record's number.
    Counted(String),
}

impl Payload {
    /// Random capital letters, new ones for each record: the same value in all records would compress too well (KAFKA-12611).
    pub(super) fn random(size: usize, seed: u64) -> Self {
        Self::Letters(vec![0; size], Letters::new(seed))
    }

    /// The parts of a file between delimiters, without empty parts.
    pub(super) fn from_file(path: &Path, delimiter: &str, seed: u64) -> Result<Self, CliError> {
        let wrong = |why: &dyn std::fmt::Display| CliError::Usage(format!("--payload-file {}: {why}", path.display()));
        let size = std::fs::metadata(path).map_err(|error| wrong(&error))?.len();
        if size > MAX_BYTES {
            return Err(wrong(&format!("expected at most {MAX_BYTES} bytes, got {size}")));
        }
        let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
        let delimiter = delimiter.replace("\\n", "\n").replace("\\t", "\t");
        if delimiter.is_empty() {
            return Err(CliError::Usage("--payload-delimiter: expected at least one character, got none".to_owned()));
        }
        let values = parts(&bytes, delimiter.as_bytes());
        if values.is_empty() {
            return Err(wrong(&"expected at least one value, got none"));
        }
        Ok(Self::Some(values, Chance(seed)))
    }

    /// 0, 1, 2, …
    pub(super) fn counted() -> Self {
        Self::Counted(String::new())
    }

    /// The value of the next record.
    pub(super) fn next(&mut self, number: u64) -> &[u8] {
        match self {
            Self::Letters(value, letters) => {
                letters.fill(value);
                value
            }
            Self::Some(values, chance) => &values[chance.below(values.len() as u64) as usize],
            Self::Counted(text) => {
                use std::fmt::Write;
                text.clear();
                // Writing to a string does not fail.
                let _ = write!(text, "{number}");
                text.as_bytes()
            }
        }
    }
}

fn parts(bytes: &[u8], delimiter: &[u8]) -> Vec<Vec<u8>> {
    let (mut parts, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(delimiter.len()).position(|window| window == delimiter) {
        parts.push(rest[..at].to_vec());
        rest = &rest[at + delimiter.len()..];
    }
    parts.push(rest.to_vec());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Generates keys.
#[derive(Debug)]
pub(super) struct Keys {
    distribution: KeyDistribution,
    count: u64,
    chance: Chance,
}

impl Keys {
    pub(super) fn new(distribution: KeyDistribution, range: Option<u64>, seed: u64) -> Self {
        Self { distribution, count: range.unwrap_or(1).max(1), chance: Chance(seed ^ 0x6b65_7973) }
    }

    /// The key of the next record.
    pub(super) fn next(&mut self, number: u64) -> Option<String> {
        match self.distribution {
            KeyDistribution::None => None,
            KeyDistribution::Range => Some((number % self.count).to_string()),
            KeyDistribution::Random => Some(self.chance.below(self.count).to_string()),
        }
    }
}

/// Random numbers from a seed (splitmix64).
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, count: u64) -> u64 {
        self.next() % count.max(1)
    }
}

/// Random capital letters from a seed, 64 at a time from 16 generators (xorshift32) that the compiler vectorizes. One at a time
/// they would cost more than everything else for a record.
#[derive(Debug)]
pub(super) struct Letters([u32; 16]);

impl Letters {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        // No generator may be 0: xorshift of 0 is 0.
        Self(array::from_fn(|_| chance.next() as u32 | 1))
    }

    fn fill(&mut self, out: &mut [u8]) {
        let (parts, rest) = out.as_chunks_mut();
        for part in parts {
            *part = self.next();
        }
        rest.copy_from_slice(&self.next()[..rest.len()]);
    }

    fn next(&mut self) -> [u8; 64] {
        for x in &mut self.0 {
            *x ^= *x << 13;
            *x ^= *x >> 17;
            *x ^= *x << 5;
        }
        letters(&self.0)
    }
}

/// Maps each byte to a letter: `byte * 26 / 256`. A letter has 9 or 10 of the 256 values, which no compressor can use.
fn letters(random: &[u32; 16]) -> [u8; 64] {
    let pairs: [u16; 32] = array::from_fn(|nth| (random[nth / 2] >> (nth % 2 * 16)) as u16);
    let mut letters = [0; 64];
    for (two, pair) in letters.as_chunks_mut().0.iter_mut().zip(pairs) {
        let (low, high) = (((pair & 0xff) * 26) >> 8, ((pair >> 8) * 26) & 0xff00);
        *two = ((low | high) + u16::from_le_bytes(*b"AA")).to_le_bytes();
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_values_and_keys() {
        let draw = |seed| {
            let mut keys = Keys::new(KeyDistribution::Random, Some(1_000), seed);
            let value = Payload::random(50, seed).next(0).to_vec();
            (value, (0..9).map(|number| keys.next(number)).collect::<Vec<_>>())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn each_record_gets_different_letters_and_all_letters_are_about_equally_frequent() {
        for size in [1, 7, 8, 9, 1_000] {
            let mut payload = Payload::random(size, 7);
            let values: Vec<_> = (0..260).map(|number| payload.next(number).to_vec()).collect();
            assert!(values.iter().all(|value| value.len() == size && value.iter().all(u8::is_ascii_uppercase)));
            assert!(size < 7 || (1..values.len()).all(|at| !values[..at].contains(&values[at])), "{size}");
        }
        let mut payload = Payload::random(260_000, 7);
        for letter in b'A'..=b'Z' {
            let times = payload.next(0).iter().filter(|other| **other == letter).count();
            assert!((8_500..=11_000).contains(&times), "{}: {times}", char::from(letter));
        }
    }

    #[test]
    fn a_byte_is_mapped_to_one_of_26_letters() {
        let random = |bytes| letters(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, u32::from_le_bytes(bytes)]);
        for (bytes, expected) in
            [([0, 9, 10, 19], b"AABB"), ([20, 245, 246, 255], b"CYYZ"), ([255, 246, 245, 20], b"ZYYC")]
        {
            assert!(random(bytes).ends_with(expected));
        }
    }

    #[test]
    fn keys_of_a_range_wrap_around() {
        let mut keys = Keys::new(KeyDistribution::Range, Some(3), 0);
        assert_eq!((0..5).filter_map(|number| keys.next(number)).collect::<Vec<_>>(), ["0", "1", "2", "0", "1"]);
        assert_eq!(Keys::new(KeyDistribution::None, None, 0).next(0), None);
    }

    #[test]
    fn a_file_is_split_at_the_delimiter_and_empty_parts_are_left_out() {
        assert_eq!(parts(b"a\n\nbc\n", b"\n"), [&b"a"[..], b"bc"]);
        assert_eq!(parts(b"a--bc--", b"--"), [&b"a"[..], b"bc"]);
        assert!(parts(b"\n\n", b"\n").is_empty());
    }

    #[test]
    fn counted_values_are_the_numbers() {
        let mut payload = Payload::counted();
        assert_eq!((0..3).map(|number| payload.next(number).to_vec()).collect::<Vec<_>>(), [b"0", b"1", b"2"]);
    }
}
