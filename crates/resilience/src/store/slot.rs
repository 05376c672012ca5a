//! Slots: a number for all events that must keep their order.
//!
//! In: topic, key, event id. Out: a slot from 0 to 65,535, and the bucket that it belongs to. Pure. The numbers are in
//! databases, so they must never change.

use uuid::Uuid;

/// How many slots there are.
pub const SLOTS: usize = 1 << 16;

/// The slot of an event: the same for all events of one topic and key, on every machine and in every version. Two keys
/// may share a slot by chance. An event without a key has a slot by its id, because it has no order.
#[must_use]
pub fn slot_of(topic: &str, key: Option<&[u8]>, event_id: &Uuid) -> u16 {
    let start = hash(0xcbf2_9ce4_8422_2325, topic.as_bytes());
    // Neither a topic nor UTF-8 has this byte, so that "a" + "bc" is not "ab" + "c".
    let parted = hash(start, &[0xff]);
    let hash = hash(parted, key.unwrap_or(event_id.as_bytes()));
    let folded = hash ^ (hash >> 32);
    ((folded ^ (folded >> 16)) & 0xffff) as u16
}

/// FNV-1a with 64 bits.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Which of `buckets` a slot belongs to. A bucket is a range of slots.
#[must_use]
pub fn bucket_of(slot: u16, buckets: u16) -> u16 {
    ((u32::from(slot) * u32::from(buckets)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_that_stand_in_databases() {
        let id = Uuid::from_u128(7);
        let slots = [("orders", "user-1"), ("orders", "user-2"), ("payments", "user-1"), ("a", "bc"), ("ab", "c")]
            .map(|(topic, key)| slot_of(topic, Some(key.as_bytes()), &id));
        assert_eq!(slots, [15522, 11419, 59728, 27772, 29391]);
        assert_eq!([slot_of("orders", None, &id), slot_of("orders", None, &Uuid::from_u128(8))], [20006, 23867]);
    }

    #[test]
    fn a_key_has_one_slot_whatever_the_event() {
        let slot = |id| slot_of("orders", Some(b"user-1"), &Uuid::from_u128(id));
        assert_eq!(slot(1), slot(2));
    }

    #[test]
    fn keys_spread_over_all_slots() {
        let mut used = vec![0_u32; SLOTS];
        for key in 0..SLOTS * 8 {
            used[usize::from(slot_of("orders", Some(format!("user-{key}").as_bytes()), &Uuid::nil()))] += 1;
        }
        let (empty, most) = (used.iter().filter(|count| **count == 0).count(), used.iter().max());
        assert!(empty < 100 && *most.unwrap() < 40, "{empty} empty slots, {most:?} keys in one");
    }

    #[test]
    fn a_bucket_is_a_range_of_slots_and_all_have_the_same_size() {
        assert_eq!([0, 1, 65_535].map(|slot| bucket_of(slot, 1)), [0, 0, 0]);
        assert_eq!([0, 4095, 4096, 61_439, 61_440, 65_535].map(|slot| bucket_of(slot, 16)), [0, 0, 1, 14, 15, 15]);
    }
}
