//! Variable-length integers: LEB128, and zigzag on top of it for values that may be negative.
//!
//! In: integers, or bytes from a peer. Out: bytes, or an integer and the remaining bytes. Pure. The bytes are
//! untrusted, so there is no slicing and no unchecked arithmetic.

use bytes::{Buf, BufMut};

/// The length of `value` in bytes, unsigned.
#[inline]
pub(crate) const fn unsigned_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// The length of `value` in bytes, zigzagged.
#[inline]
pub(crate) const fn signed_len(value: i64) -> usize {
    unsigned_len(zigzag(value))
}

/// Writes `value` unsigned, seven bits at a time.
pub(crate) fn put_unsigned(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8((value & 0x7f) as u8);
}

/// Writes `value` zigzagged (`varint` and `varlong` of the record format are the same on the wire).
pub(crate) fn put_signed(out: &mut impl BufMut, value: i64) {
    put_unsigned(out, zigzag(value));
}

/// Reads an unsigned integer of at most 32 bits from the front of `bytes`; `None` when it is cut short or too long.
#[inline]
pub(crate) fn take_u32(bytes: &mut impl Buf) -> Option<u32> {
    u32::try_from(take(bytes, 5 * 7)?).ok()
}

/// Reads a zigzagged integer of at most 32 bits.
#[inline]
pub(crate) fn take_i32(bytes: &mut impl Buf) -> Option<i32> {
    i32::try_from(unzigzag(take(bytes, 5 * 7)?)).ok()
}

/// Reads a zigzagged integer of at most 64 bits.
#[inline]
pub(crate) fn take_i64(bytes: &mut impl Buf) -> Option<i64> {
    take(bytes, 10 * 7).map(unzigzag)
}

/// Most integers of a record take one byte.
#[inline]
fn take(bytes: &mut impl Buf, max_bits: u32) -> Option<u64> {
    match bytes.chunk().first() {
        Some(byte @ ..0x80) => {
            let value = u64::from(*byte);
            bytes.advance(1);
            Some(value)
        }
        _ => take_long(bytes, max_bits),
    }
}

fn take_long(bytes: &mut impl Buf, max_bits: u32) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..max_bits).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        let bits = u64::from(byte & 0x7f);
        let placed = bits.checked_shl(shift)?;
        if placed >> shift != bits {
            return None;
        }
        value |= placed;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[expect(clippy::cast_sign_loss, reason = "zigzag maps the sign to the lowest bit")]
#[inline]
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[expect(clippy::cast_possible_wrap, reason = "the lowest bit is the sign")]
const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_boundary_survives_a_round_trip_and_announces_its_length() {
        let edges =
            (0..64).flat_map(|bit| [(1_i64 << bit).wrapping_sub(1), 1_i64 << bit]).flat_map(|v| [v, v.wrapping_neg()]);
        for value in edges {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            assert_eq!(out.len(), signed_len(value), "{value}");
            let mut bytes = &out[..];
            assert_eq!(take_i64(&mut bytes), Some(value));
            assert!(bytes.is_empty());
            assert_eq!(take_i32(&mut &out[..]), i32::try_from(value).ok());
        }
    }

    #[test]
    fn integers_cut_short_or_longer_than_their_type_are_refused() {
        assert_eq!(take_u32(&mut &[][..]), None);
        assert_eq!(take_u32(&mut &[0x80][..]), None);
        assert_eq!(take_u32(&mut &[0xff, 0xff, 0xff, 0xff, 0x0f][..]), Some(u32::MAX));
        assert_eq!(take_u32(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None);
        assert_eq!(take_u32(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..]), None);
        assert_eq!(take_i64(&mut &[0x80; 11][..]), None);
        assert_eq!(take_i64(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02][..]), None);
    }
}
