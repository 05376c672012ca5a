//! A record's headers: ordered, keys may repeat, values may be null.
//!
//! In: names and bytes. Out: [`Header`]. Pure. Source: KIP-82. Deliberately absent: a map, which could hold neither
//! repeated keys nor their order.

use std::borrow::Cow;

use super::Record;

/// One header of a record. Keys and values count towards the record's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name, UTF-8 on the wire. It may be empty, and other headers may have the same one.
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

    /// A header that owns its parts, for code that makes them up, such as an interceptor.
    #[must_use]
    pub fn owned(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Header<'static> {
        Header { key: Cow::Owned(key.into()), value: Some(Cow::Owned(value.into())) }
    }
}

impl<'a> Record<'a> {
    /// The last header of this name, which is the one that counts where a name stands for one thing.
    #[must_use]
    pub fn last_header(&self, key: &str) -> Option<&Header<'a>> {
        self.headers().iter().rfind(|header| header.key == key)
    }

    /// Removes every header of this name.
    #[must_use]
    pub fn without_header(mut self, key: &str) -> Self {
        self.headers.retain(|header| header.key != key);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order_and_repeated_names() {
        let record = Record::to("t").header("a", "1").header("b", "2").header("a", "3");
        let keys: Vec<_> = record.headers().iter().map(|header| header.key.as_ref()).collect();
        assert_eq!(keys, ["a", "b", "a"]);
        assert_eq!(record.last_header("a"), Some(&Header::new("a", b"3")));
        assert_eq!(record.last_header("c"), None);
    }

    #[test]
    fn a_null_header_is_not_an_empty_one() {
        assert_ne!(Header::null("a"), Header::new("a", b""));
        assert_eq!(Header::owned("a", "x"), Header::new("a", b"x"));
    }

    #[test]
    fn removing_a_header_removes_all_of_its_name() {
        let record = Record::to("t").header("a", "1").header("b", "2").header("a", "3").without_header("a");
        assert_eq!(record.headers(), [Header::new("b", b"2")]);
    }
}
