//! A record's headers. They are ordered, their names may repeat, and their values may be null.
//!
//! In: names and bytes. Out: [`Header`]. Pure. Source: KIP-82. Deliberately absent: a map, which would keep neither repeated names nor
//! the order.

use std::borrow::Cow;

/// One header of a record. Keys and values count towards the record's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name, in UTF-8 on the wire. It may be empty, and other headers may have the same name.
    pub key: Cow<'a, str>,
    /// Its value; `None` is null, which is not the same as empty.
    pub value: Option<Cow<'a, [u8]>>,
}

impl<'a> Header<'a> {
    /// A borrowed header with a value.
    #[must_use]
    pub fn new(key: &'a str, value: &'a [u8]) -> Self {
        Self { key: Cow::Borrowed(key), value: Some(Cow::Borrowed(value)) }
    }

    /// A borrowed header whose value is null.
    #[must_use]
    pub fn null(key: &'a str) -> Self {
        Self { key: Cow::Borrowed(key), value: None }
    }

    /// A header that owns its parts, for code that creates them, such as an interceptor.
    #[must_use]
    pub fn owned(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Header<'static> {
        Header { key: Cow::Owned(key.into()), value: Some(Cow::Owned(value.into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_header_is_not_an_empty_one() {
        assert_ne!(Header::null("a"), Header::new("a", b""));
        assert_eq!(Header::owned("a", "x"), Header::new("a", b"x"));
    }
}
