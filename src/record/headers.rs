//! A record's headers: ordered, keys may repeat, values may be null.
//!
//! In: names and bytes. Out: [`Header`]. Pure. Deliberately absent: a map, which could not hold repeated keys.

use std::borrow::Cow;

/// One header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name, UTF-8 on the wire.
    pub key: Cow<'a, str>,
    /// Its value; `None` is null.
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

    /// A header that owns its parts.
    #[must_use]
    pub fn owned(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Header<'static> {
        Header { key: Cow::Owned(key.into()), value: Some(Cow::Owned(value.into())) }
    }
}
