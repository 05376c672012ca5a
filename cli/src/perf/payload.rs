//! What is sent.
//!
//! In: a size, a file or nothing, and a seed. Out: a key and a value for each record, made without an allocation but for keys.
//! Pure but for reading the file.

use std::path::Path;

use super::args::KeyDistribution;
use crate::exit::CliError;

/// No file of payloads is larger; what is larger was named by mistake.
const MAX_BYTES: u64 = 1 << 30;

/// Values.
#[derive(Debug)]
pub(super) enum Payload {
    /// The same for every record.
    One(Vec<u8>),
    /// One of these by chance.
    Some(Vec<Vec<u8>>, Chance),
    /// The record's number.
    Counted(String),
}

impl Payload {
    /// Random capital letters.
    pub(super) fn random(size: usize, seed: u64) -> Self {
        let mut chance = Chance(seed);
        Self::One((0..size).map(|_| b'A' + chance.below(26) as u8).collect())
    }

    /// The parts of a file between delimiters, those that are empty left out.
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
            Self::One(value) => value,
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

/// Keys.
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

/// Random numbers that follow from a seed (splitmix64).
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % count.max(1)
    }
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
        assert!(draw(7).0.iter().all(u8::is_ascii_uppercase));
    }

    #[test]
    fn keys_of_a_range_begin_again_at_its_end() {
        let mut keys = Keys::new(KeyDistribution::Range, Some(3), 0);
        assert_eq!((0..5).filter_map(|number| keys.next(number)).collect::<Vec<_>>(), ["0", "1", "2", "0", "1"]);
        assert_eq!(Keys::new(KeyDistribution::None, None, 0).next(0), None);
    }

    #[test]
    fn a_file_is_parted_at_the_delimiter_and_empty_parts_are_left_out() {
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
