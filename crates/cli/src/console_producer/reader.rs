//! Makes a record of each line, as Apache's `LineMessageReader` does.
//!
//! In: the reader's properties, and lines. Out: records, or why a line is none. Pure.

use std::borrow::Cow;

use milena::{Header, Record};
use regex::Regex;

use crate::apache::{is_true, pattern, split, value};

/// Makes a record of each line.
#[derive(Debug)]
pub(super) struct Reader {
    topic: String,
    /// The separator of key and value; `None` if lines have no key.
    key_separator: Option<String>,
    /// `None` if lines have no headers.
    headers: Option<Headers>,
    /// Whether what lacks its separator counts as absent. Otherwise the line is an error.
    ignore_error: bool,
    /// What stands for null.
    null_marker: Option<String>,
}

/// How headers stand before key and value.
#[derive(Debug)]
struct Headers {
    /// Between the headers and what follows.
    delimiter: String,
    /// Between headers.
    separator: Regex,
    /// Between name and value.
    key_separator: String,
}

impl Reader {
    /// A reader with these properties. Names that it does not know have no effect, as in Apache's.
    pub(super) fn new(topic: &str, properties: &[(String, String)]) -> Result<Self, String> {
        let or = |name, default| value(properties, name).unwrap_or(default).to_owned();
        let key_separator = or("key.separator", "\t");
        let (delimiter, separator) = (or("headers.delimiter", "\t"), or("headers.separator", ","));
        let header_key_separator = or("headers.key.separator", ":");
        let null_marker = value(properties, "null.marker").map(str::to_owned);
        let pairs = [
            (("headers.delimiter", &delimiter), ("headers.separator", &separator)),
            (("headers.delimiter", &delimiter), ("headers.key.separator", &header_key_separator)),
            (("headers.separator", &separator), ("headers.key.separator", &header_key_separator)),
        ];
        let names = [
            ("key.separator", &key_separator),
            ("headers.separator", &separator),
            ("headers.delimiter", &delimiter),
            ("headers.key.separator", &header_key_separator),
        ];
        let marked = null_marker.iter().flat_map(|marker| names.map(|name| (("null.marker", marker), name)));
        if let Some(((a, text), (b, _))) = pairs.into_iter().chain(marked).find(|((_, a), (_, b))| a == b) {
            return Err(format!("{a} and {b}: expected different texts, got {text:?} for both"));
        }
        let is_set = |name| is_true(properties, name).unwrap_or(false);
        let separator = pattern("headers.separator", &separator)?;
        let headers = Headers { delimiter, separator, key_separator: header_key_separator };
        Ok(Self {
            topic: value(properties, "topic").unwrap_or(topic).to_owned(),
            key_separator: is_set("parse.key").then_some(key_separator),
            headers: is_set("parse.headers").then_some(headers),
            ignore_error: is_set("ignore.error"),
            null_marker,
        })
    }

    /// The record of a line, which is the `number`th. The error is a sentence for the user.
    pub(super) fn record<'a>(&'a self, line: &'a str, number: u64) -> Result<Record<'a>, String> {
        let delimiter = self.headers.as_ref().map(|headers| headers.delimiter.as_str());
        let (headers, rest) = self.cut(line, delimiter, "headers delimiter", (line, number))?;
        let (key, value) = self.cut(rest, self.key_separator.as_deref(), "key separator", (line, number))?;
        let record = Record::to(&self.topic).with_payload(key.and_then(|key| self.bytes(key)), self.bytes(value));
        let (Some(rules), Some(headers)) = (&self.headers, headers.filter(|text| !self.is_null(text))) else {
            return Ok(record);
        };
        let mut pairs = split(&rules.separator, headers).into_iter();
        pairs.try_fold(record, |record, pair| Ok(record.with_header(self.header(rules, pair, number)?)))
    }

    /// Splits at the first separator. Without one there is no first part, which only `ignore.error` allows.
    fn cut<'a>(
        &self,
        text: &'a str,
        separator: Option<&str>,
        what: &str,
        (line, number): (&str, u64),
    ) -> Result<(Option<&'a str>, &'a str), String> {
        let Some(separator) = separator else { return Ok((None, text)) };
        match text.split_once(separator) {
            Some((first, rest)) => Ok((Some(first), rest)),
            None if self.ignore_error => Ok((None, text)),
            None => Err(format!("no {what} found on line number {number}: '{line}'")),
        }
    }

    fn header<'a>(&self, rules: &Headers, pair: &'a str, number: u64) -> Result<Header<'a>, String> {
        match pair.split_once(&rules.key_separator) {
            Some((key, _)) if self.is_null(key) => Err(format!(
                "the key of a header is {key:?} on line number {number}, which stands for null; keys of headers cannot be null"
            )),
            Some((key, value)) => Ok(Header { key: Cow::Borrowed(key), value: self.bytes(value) }),
            None if self.ignore_error => Ok(Header::null(pair)),
            None => Err(format!("no header key separator found in pair '{pair}' on line number {number}")),
        }
    }

    fn bytes<'a>(&self, text: &'a str) -> Option<Cow<'a, [u8]>> {
        (!self.is_null(text)).then_some(Cow::Borrowed(text.as_bytes()))
    }

    fn is_null(&self, text: &str) -> bool {
        self.null_marker.as_deref() == Some(text)
    }
}

/// The lines of a text that ends with `\n`, or that the input ends with. As Java has it, `\r` ends a line, too, and `\r\n` ends one.
pub(super) fn java_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text).split(|&byte| byte == b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apache::property;

    fn reader(properties: &[&str]) -> Result<Reader, String> {
        let properties: Vec<_> = properties.iter().map(|text| property(text).unwrap()).collect();
        Reader::new("t", &properties)
    }

    /// A record as text: `headers|key|value`, each header as `name=value`; `-` is null.
    fn told(properties: &[&str], line: &str) -> Result<String, String> {
        let reader = reader(properties).unwrap();
        let record = reader.record(line, 7)?;
        let text = |bytes: Option<&[u8]>| bytes.map_or("-", |bytes| str::from_utf8(bytes).unwrap()).to_owned();
        let headers =
            record.headers().iter().map(|header| format!("{}={} ", header.key, text(header.value.as_deref())));
        Ok(format!("{}|{}|{}", headers.collect::<String>(), text(record.key_bytes()), text(record.value_bytes())))
    }

    const KEY: &str = "parse.key=true";
    const HEADERS: &str = "parse.headers=true";
    const LENIENT: &str = "ignore.error=true";
    const NULL: &str = "null.marker=NULL";

    #[test]
    fn lines_become_records() {
        for (properties, line, expected) in [
            (&[][..], "a\tb", "|-|a\tb"),
            (&[], "", "|-|"),
            (&[KEY], "k\tv\tw", "|k|v\tw"),
            (&[KEY], "\t", "||"),
            (&["parse.key= TRUE ", "key.separator=::"], "a:b::c", "|a:b|c"),
            (&[KEY, "parse.key=no"], "k\tv", "|-|k\tv"),
            (&[KEY, "key.separator="], "kv", "||kv"),
            (&[HEADERS], "h1:v1,h2:\tv", "h1=v1 h2= |-|v"),
            (&[HEADERS, KEY], "h:v:w\tk\tv\tw", "h=v:w |k|v\tw"),
            (&[HEADERS, KEY, "headers.delimiter=|"], "h:v|k\tv", "h=v |k|v"),
            (&[HEADERS, "headers.separator=;", "headers.key.separator==>"], "a=>1;a=>2\tv", "a=1 a=2 |-|v"),
            (&[HEADERS], "h:v,,\tv", "h=v |-|v"),
            (&[HEADERS], ",\tv", "|-|v"),
            (&["unknown=1"], "v", "|-|v"),
        ] {
            assert_eq!(told(properties, line), Ok(expected.into()), "{properties:?} {line:?}");
        }
    }

    #[test]
    fn the_marker_of_null_stands_for_keys_values_and_headers() {
        for (line, expected) in [
            ("NULL\tNULL\tNULL", "|-|-"),
            ("a:NULL\tk\tv", "a=- |k|v"),
            ("a:1\tk\tNULL", "a=1 |k|-"),
            ("a:1\tNULLs\tv", "a=1 |NULLs|v"),
        ] {
            assert_eq!(told(&[HEADERS, KEY, NULL], line), Ok(expected.into()), "{line:?}");
        }
        let error =
            "the key of a header is \"NULL\" on line number 7, which stands for null; keys of headers cannot be null";
        assert_eq!(told(&[HEADERS, NULL], "NULL:1\tv"), Err(error.into()));
    }

    #[test]
    fn a_line_without_a_separator_is_an_error_unless_errors_are_ignored() {
        for (properties, line, error, ignored) in [
            (&[KEY][..], "abc", "no key separator found on line number 7: 'abc'", "|-|abc"),
            (&[HEADERS], "abc", "no headers delimiter found on line number 7: 'abc'", "|-|abc"),
            (&[HEADERS, KEY], "h:v\tabc", "no key separator found on line number 7: 'h:v\tabc'", "h=v |-|abc"),
            (&[HEADERS], "h\tv", "no header key separator found in pair 'h' on line number 7", "h=- |-|v"),
            (&[HEADERS], "\tv", "no header key separator found in pair '' on line number 7", "=- |-|v"),
        ] {
            assert_eq!(told(properties, line), Err(error.into()), "{properties:?} {line:?}");
            assert_eq!(told(&[properties, &[LENIENT]].concat(), line), Ok(ignored.into()), "{properties:?} {line:?}");
        }
    }

    #[test]
    fn separators_that_cannot_be_told_apart_are_refused() {
        for (properties, names) in [
            (&["headers.separator=\t"][..], "headers.delimiter and headers.separator"),
            (&["headers.delimiter=:"], "headers.delimiter and headers.key.separator"),
            (&["headers.key.separator=,"], "headers.separator and headers.key.separator"),
            (&["null.marker=x", "key.separator=x"], "null.marker and key.separator"),
            (&["null.marker=,"], "null.marker and headers.separator"),
            (&["null.marker=|", "headers.delimiter=|"], "null.marker and headers.delimiter"),
            (&["null.marker=:"], "null.marker and headers.key.separator"),
            (&["headers.separator=("], "headers.separator: expected a regular expression"),
        ] {
            let error = reader(properties).unwrap_err();
            assert!(error.starts_with(names), "{properties:?}: {error}");
        }
        assert!(reader(&["headers.delimiter=\t", "key.separator=\t"]).is_ok());
    }

    #[test]
    fn a_property_may_name_the_topic() {
        let topic = |properties: &[&str]| reader(properties).unwrap().record("v", 1).unwrap().topic().to_owned();
        assert_eq!((topic(&[]), topic(&["topic=other"])), ("t".to_owned(), "other".to_owned()));
    }

    #[test]
    fn lines_end_where_java_ends_them() {
        for (text, expected) in [
            (&b"a\n"[..], &[&b"a"[..]][..]),
            (b"a\r\n", &[b"a"]),
            (b"a", &[b"a"]),
            (b"\n", &[b""]),
            (b"a\rb\n", &[b"a", b"b"]),
            (b"a\r\r\n", &[b"a", b""]),
            (b"a\r", &[b"a"]),
            (b"\r", &[b""]),
        ] {
            assert_eq!(java_lines(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }
}
