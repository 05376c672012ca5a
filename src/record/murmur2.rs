//! Kafka's key hash: 32-bit murmur2 with the seed of Java's `org.apache.kafka.common.utils.Utils`.
//!
//! In: a key's bytes. Out: the hash by which Kafka clients that follow Java choose the key's partition. Pure. Deliberately absent: any
//! other seed, and the step from a hash to a partition, which is in [`super::partition`].

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// The hash of `bytes`.
pub(crate) fn murmur2(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut hash = SEED ^ (bytes.len() & 0xffff_ffff) as u32;
    for word in words {
        hash = hash.wrapping_mul(MULTIPLIER) ^ scrambled(u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, &byte| tail << 8 | u32::from(byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(MULTIPLIER);
    hash ^ hash >> 15
}

fn scrambled(word: u32) -> u32 {
    let word = word.wrapping_mul(MULTIPLIER);
    (word ^ word >> 24).wrapping_mul(MULTIPLIER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_have_the_hashes_that_java_gives_them() {
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn every_byte_of_every_tail_counts() {
        for len in 1..=9 {
            let key = vec![7; len];
            for position in 0..len {
                let mut other = key.clone();
                other[position] ^= 0x80;
                assert_ne!(murmur2(&key), murmur2(&other), "byte {position} of {len}");
            }
        }
    }
}
