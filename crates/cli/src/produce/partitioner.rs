//! `--partitioner`: which partition a record goes to.
//!
//! In: a key, the number of partitions, and a random number. Out: a partition. Pure but for [`Chosen`], which counts. The rules are those
//! of Java's producer and of librdkafka, so that milena can write beside either and keys stay together.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use clap::ValueEnum;
use milena::{Partitioner, Partitions, Record};

/// A rule for partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rule {
    /// Java's: keys by murmur2; records without a key go in batches to one partition after the other
    #[default]
    Default,
    /// Keys by murmur2, a random partition without a key
    Murmur2Random,
    /// librdkafka's and kcat's: keys by CRC-32, a random partition for none and for an empty one
    ConsistentRandom,
    /// Keys by CRC-32; all records without a key go to partition 0
    Consistent,
    /// Sarama's: keys by FNV-1a, a random partition without a key
    Fnv1aRandom,
    /// A random partition for each record
    Random,
    /// One partition after the other, record by record
    RoundRobin,
}

impl Rule {
    /// The partitioner of the library's that follows this rule; `None` if that is the library's own.
    pub(crate) fn partitioner(self) -> Option<Chosen> {
        (self != Self::Default).then(|| Chosen {
            rule: self,
            seed: RandomState::new().hash_one(0),
            drawn: AtomicU64::new(0),
        })
    }

    /// Whether the key decides, not chance or turn.
    pub(crate) fn decides(self, key: Option<&[u8]>) -> bool {
        match self {
            Self::Default | Self::Murmur2Random | Self::Fnv1aRandom => key.is_some(),
            Self::ConsistentRandom => key.is_some_and(|key| !key.is_empty()),
            Self::Consistent => true,
            Self::Random | Self::RoundRobin => false,
        }
    }

    /// The partition that a key has. `None` if the key does not decide.
    fn of_key(self, key: Option<&[u8]>, partitions: &Partitions<'_>) -> Option<i32> {
        let bytes = key.unwrap_or_default();
        self.decides(key).then(|| match self {
            Self::ConsistentRandom | Self::Consistent => place(crc32(bytes), partitions.count()),
            Self::Fnv1aRandom => place(fnv1a(bytes), partitions.count()),
            _ => partitions.for_key(bytes),
        })
    }
}

/// A rule with what it has drawn so far.
#[derive(Debug)]
pub(crate) struct Chosen {
    rule: Rule,
    seed: u64,
    drawn: AtomicU64,
}

impl Partitioner for Chosen {
    fn partition(&self, record: &Record<'_>, partitions: &Partitions<'_>) -> i32 {
        if let Some(fixed) = self.rule.of_key(record.key_bytes(), partitions) {
            return fixed;
        }
        let turn = self.drawn.fetch_add(1, Relaxed);
        let number = if self.rule == Rule::RoundRobin { turn } else { mixed(self.seed.wrapping_add(turn)) };
        among(number, partitions.available(), partitions.count())
    }
}

/// The partition of a number: one that has a leader, if there is any.
fn among(number: u64, mut available: impl Iterator<Item = i32> + Clone, count: usize) -> i32 {
    let candidates = available.clone().count();
    match candidates {
        0 => i32::try_from(number % count.max(1) as u64).unwrap_or(0),
        _ => available.nth((number % candidates as u64) as usize).unwrap_or(0),
    }
}

fn place(hash: u32, count: usize) -> i32 {
    i32::try_from(hash as usize % count.max(1)).unwrap_or(0)
}

/// The CRC-32 of zlib.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// FNV-1a of 32 bits, made positive as Sarama makes it.
fn fnv1a(bytes: &[u8]) -> u32 {
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed().unsigned_abs()
}

/// Spreads a count over all numbers (splitmix64).
fn mixed(count: u64) -> u64 {
    let z = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use milena::{Produce, mock::MockProducer};

    use super::*;

    #[test]
    fn hashes_are_those_of_the_clients_whose_rules_these_are() {
        // The check value of CRC-32, and values that Go's hash/fnv has for Sarama.
        assert_eq!((crc32(b"123456789"), crc32(b"")), (0xcbf4_3926, 0));
        for (key, expected) in [("kafka", 0x0d33_c4e1), ("giberish123456789", 0x77a5_8295), ("1234", 0x023b_dd03)] {
            assert_eq!(fnv1a(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(fnv1a(b""), 0x7ee3_623b);
    }

    /// The partitions of records with these keys, of 5.
    fn partitions(rule: Rule, keys: &[Option<&str>]) -> Vec<i32> {
        let mock = MockProducer::new().with_partitions(5);
        let mock = rule.partitioner().into_iter().fold(mock, MockProducer::with_partitioner);
        for key in keys {
            let record = Record::to("t").value("v");
            drop(mock.try_send(key.iter().fold(record, |record, key| record.key(*key))).unwrap());
        }
        mock.history().iter().map(|sent| sent.partition).collect()
    }

    #[test]
    fn keys_go_where_their_rule_sends_them() {
        for (rule, key, expected) in [
            (Rule::Murmur2Random, "k", partitions(Rule::Default, &[Some("k")])[0]),
            (Rule::ConsistentRandom, "123456789", place(0xcbf4_3926, 5)),
            (Rule::Consistent, "", 0),
            (Rule::Fnv1aRandom, "kafka", place(0x0d33_c4e1, 5)),
        ] {
            assert_eq!(partitions(rule, &[Some(key); 20]), [expected; 20], "{rule:?} {key:?}");
        }
    }

    #[test]
    fn without_a_key_a_rule_is_random_or_goes_round() {
        let spread = |rule, key: Option<&str>| {
            let mut seen = partitions(rule, &[key; 200]);
            seen.sort_unstable();
            seen.dedup();
            seen.len()
        };
        for (rule, key, expected) in [
            (Rule::Murmur2Random, None, 5),
            (Rule::ConsistentRandom, None, 5),
            (Rule::ConsistentRandom, Some(""), 5),
            (Rule::Fnv1aRandom, None, 5),
            (Rule::Random, Some("k"), 5),
            (Rule::Consistent, None, 1),
        ] {
            assert_eq!(spread(rule, key), expected, "{rule:?} {key:?}");
        }
        assert_eq!(partitions(Rule::RoundRobin, &[Some("k"); 7]), [0, 1, 2, 3, 4, 0, 1]);
    }

    #[test]
    fn partitions_without_a_leader_are_passed_over() {
        let places =
            |available: &[i32]| (0..4).map(|number| among(number, available.iter().copied(), 3)).collect::<Vec<_>>();
        assert_eq!(places(&[0, 2]), [0, 2, 0, 2]);
        assert_eq!(places(&[]), [0, 1, 2, 0]);
    }
}
