//! Request ids: text that nobody can guess, and that tells its place in a table.
//!
//! In: numbers in order. Out: ids, and the numbers of ids that came from the same [`Ids`]. Pure but for the key, which is random in each
//! process. An id is a number and a tag, the number's keyed hash; so that an id was given is known without a list of all that were.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
};

use serde::{Serialize, Serializer};
use uuid::Uuid;

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const PART: usize = 16;
const LEN: usize = 2 * PART + 1;

/// The id of a request: the hexadecimal digits of a number and of a tag, as in `000000000000002a-9f0c6a1be47d3358`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId([u8; LEN]);

impl RequestId {
    fn new(number: u64, tag: u64) -> Self {
        let mut text = [b'-'; LEN];
        let halves = text[..PART].iter_mut().zip(text_of(number));
        halves.for_each(|(to, from)| *to = from);
        text[PART + 1..].iter_mut().zip(text_of(tag)).for_each(|(to, from)| *to = from);
        Self(text)
    }

    /// The id of these bits, whoever gave it.
    #[must_use]
    pub(crate) fn of(uuid: Uuid) -> Self {
        let (number, tag) = uuid.as_u64_pair();
        Self::new(number, tag)
    }

    /// The same bits, as the id of an event in the store.
    #[must_use]
    pub(crate) fn uuid(&self) -> Uuid {
        uuid_of(self.as_str()).unwrap_or_default()
    }

    /// The id as text.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        // They are digits and a hyphen.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The bits of text that looks like an id, whoever made it.
pub(crate) fn uuid_of(text: &str) -> Option<Uuid> {
    let (number, tag) = text.split_once('-')?;
    let half = |digits: &str| {
        let is_hex = digits.len() == PART && digits.bytes().all(|digit| DIGITS.contains(&digit));
        is_hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
    };
    Some(Uuid::from_u64_pair(half(number)?, half(tag)?))
}

fn text_of(number: u64) -> impl Iterator<Item = u8> {
    (0..PART).rev().map(move |at| DIGITS[(number >> (4 * at)) as usize & 15])
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Makes ids, and knows its own.
#[derive(Debug, Default)]
pub(crate) struct Ids(RandomState);

impl Ids {
    /// The id of a number.
    pub(crate) fn id(&self, number: u64) -> RequestId {
        RequestId::new(number, self.0.hash_one(number))
    }

    /// The number of an id, if it was made here.
    pub(crate) fn number(&self, id: &str) -> Option<u64> {
        let digits = id.get(..PART)?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        (self.id(number).as_str() == id).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_number_to_those_who_made_it() {
        let (ours, others) = (Ids::default(), Ids::default());
        for number in [0, 1, 42, u64::MAX] {
            let id = ours.id(number);
            assert_eq!(ours.number(id.as_str()), Some(number));
            assert_eq!(others.number(id.as_str()), None, "of another process");
            assert_eq!(uuid_of(id.as_str()).unwrap().as_u64_pair().0, number);
            assert_eq!(uuid_of(id.as_str()).unwrap(), id.uuid());
        }
        assert!(ours.id(42).as_str().starts_with("000000000000002a-"));
    }

    #[test]
    fn text_that_is_no_id_has_no_number() {
        let ids = Ids::default();
        let upper = ids.id(0xabc).to_string().to_uppercase();
        for text in ["", "a", "-", "000000000000002a", "000000000000002a-0000000000000000", "é00000000000000", &upper]
        {
            assert_eq!(ids.number(text), None, "{text}");
            assert_eq!(uuid_of(text).is_some(), text == "000000000000002a-0000000000000000", "{text}");
        }
    }
}
