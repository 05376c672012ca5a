//! A JSON object, written field by field.
//!
//! In: names and values. Out: the bytes that serde_json would write for a struct of them. Pure. For the answers that are given most often: serde_json
//! looks whether each character of each name and text has to be escaped, which took a sixth of the instructions of a request.

use serde::Serialize;

/// What JSON starts with, so that the answer to one record is written into one piece of memory.
pub(crate) const USUAL_SIZE: usize = 256;

/// An object that is being written.
pub(crate) struct Object(Vec<u8>);

impl Object {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(USUAL_SIZE))
    }

    /// Adds text. What has nothing to escape is copied. Neither has the name.
    pub(crate) fn text(self, name: &'static str, value: &str) -> Self {
        if !value.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            return self.value(name, value);
        }
        let Self(mut written) = self.name(name);
        written.push(b'"');
        written.extend_from_slice(value.as_bytes());
        written.push(b'"');
        Self(written)
    }

    /// Adds a value that cannot fail to be JSON, such as a number.
    pub(crate) fn value<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Self {
        let Self(mut written) = self.name(name);
        let _ = serde_json::to_writer(&mut written, value);
        Self(written)
    }

    /// The object.
    pub(crate) fn end(self) -> Vec<u8> {
        let Self(mut written) = self;
        written.extend_from_slice(if written.is_empty() { b"{}" } else { b"}" });
        written
    }

    fn name(self, name: &'static str) -> Self {
        let Self(mut written) = self;
        written.extend_from_slice(if written.is_empty() { b"{\"" } else { b",\"" });
        written.extend_from_slice(name.as_bytes());
        written.extend_from_slice(b"\":");
        Self(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_what_serde_json_writes() {
        #[derive(Serialize)]
        struct Expected<'a> {
            first: &'a str,
            number: Option<i64>,
            last: &'a str,
        }

        let texts = ["", "plain", "\u{e9}\u{1f600}", "\"", "\\", "a\nb", "\u{0}", "\u{1f}", "\u{7f}", " ", "a\"\u{e9}"];
        for (first, last) in texts.iter().zip(texts.iter().rev()) {
            for number in [None, Some(0), Some(i64::MIN)] {
                let written = Object::new().text("first", first).value("number", &number).text("last", last).end();
                let expected = serde_json::to_string(&Expected { first, number, last }).unwrap();
                assert_eq!(String::from_utf8(written).unwrap(), expected);
            }
        }
        assert_eq!(Object::new().end(), b"{}");
    }
}
