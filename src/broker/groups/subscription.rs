//! Which topics a consumer says that it subscribes to.
//!
//! In: what a member says of itself for a protocol of type `consumer`. Out: topics. Pure. Only the beginning is read, which all versions of
//! `ConsumerProtocolSubscription` have in common.

use std::collections::BTreeSet;

use bytes::Buf;

/// The topics, or `None` if these are no bytes of a consumer.
pub(super) fn topics(metadata: &[u8]) -> Option<BTreeSet<String>> {
    let mut left = metadata;
    let _version = left.try_get_i16().ok()?;
    let count = left.try_get_i32().ok()?;
    let topics: Option<BTreeSet<String>> = (0..count).map(|_| topic(&mut left)).collect();
    let data = left.try_get_i32().ok()?;
    let has_data = usize::try_from(data).map_or(true, |data| data <= left.len());
    topics.filter(|_| has_data)
}

fn topic(left: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(left.try_get_i16().ok()?).ok()?;
    let (name, rest) = left.split_at_checked(length)?;
    *left = rest;
    String::from_utf8(name.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_from_every_version_and_nothing_from_other_bytes() {
        let table: [(&[u8], Option<&[&str]>); 7] = [
            (b"\0\0\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff", Some(&["a", "bc"])),
            (b"\0\x03\0\0\0\x01\0\x01a\0\0\0\x01x\0\0\0\0more", Some(&["a"])),
            (b"\0\0\0\0\0\0\xff\xff\xff\xff", Some(&[])),
            (b"", None),
            (b"\0\0\x7f\xff\xff\xff\0\x01a", None),
            (b"\0\0\0\0\0\x01\0\x05a\xff\xff\xff\xff", None),
            (b"\0\0\0\0\0\0\0\0\0\x05x", None),
        ];
        for (bytes, expected) in table {
            let expected = expected.map(|topics| topics.iter().map(|topic| (*topic).to_owned()).collect());
            assert_eq!(topics(bytes), expected, "{bytes:?}");
        }
    }
}
