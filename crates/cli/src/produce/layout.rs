//! Makes a record of a line: timestamp, headers, key and value, each before its separator.
//!
//! In: the content of a line. Out: its record, which borrows from the line, or where the line is wrong. Pure.

use std::{borrow::Cow, ops::Range};

use memchr::{memchr, memmem};
use milena::{Header, Record};

use super::template::{Template, Texts, time};
use crate::encoding::Wrong;

/// What stands in a line before the value. Each part ends with its separator; `None` if lines do not have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) timestamp: Option<Vec<u8>>,
    pub(crate) headers: Option<HeaderLayout>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) texts: Texts,
}

/// How headers stand in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderLayout {
    /// Behind all of them.
    pub(crate) delimiter: Vec<u8>,
    /// Between two of them.
    pub(crate) separator: Vec<u8>,
    /// Between name and value.
    pub(crate) name_separator: Vec<u8>,
}

impl Layout {
    /// All separators.
    pub(crate) fn separators(&self) -> Vec<&[u8]> {
        let headers = self.headers.iter().flat_map(|h| [&h.delimiter, &h.separator, &h.name_separator]);
        self.timestamp.iter().chain(headers).chain(&self.key).map(Vec::as_slice).collect()
    }

    /// The record of a line.
    pub(crate) fn record<'a>(&self, template: &'a Template, line: &'a [u8]) -> Result<Record<'a>, Wrong> {
        let (mut record, mut rest) = (template.record(), line);
        let at = |rest: &[u8]| line.len() - rest.len();
        if let Some(separator) = &self.timestamp {
            let (text, behind) = cut(rest, separator, "timestamp")?;
            record = record.timestamp(
                str::from_utf8(text).map_err(|e| e.to_string()).and_then(time).map_err(|why| Wrong::new(0, why))?,
            );
            rest = behind;
        }
        if let Some(headers) = &self.headers {
            let (text, behind) = cut(rest, &headers.delimiter, "headers").map_err(|wrong| wrong.behind(at(rest)))?;
            record = self.with_headers(record, headers, text).map_err(|wrong| wrong.behind(at(rest)))?;
            rest = behind;
        }
        let mut key = None;
        if let Some(separator) = &self.key {
            let (text, behind) = cut(rest, separator, "key").map_err(|wrong| wrong.behind(at(rest)))?;
            key = Some(self.texts.key(text).map_err(|wrong| wrong.behind(at(rest)))?);
            rest = behind;
        }
        let value = self.texts.value(rest).map_err(|wrong| wrong.behind(at(rest)))?;
        Ok(match key {
            Some(key) => record.with_payload(key, value),
            None => with_value(record, template, value),
        })
    }

    fn with_headers<'a>(&self, record: Record<'a>, rules: &HeaderLayout, text: &'a [u8]) -> Result<Record<'a>, Wrong> {
        if text.is_empty() || self.texts.is_null(text) {
            return Ok(record);
        }
        parts(text, &rules.separator).into_iter().try_fold(record, |record, part| {
            let header = self.header(rules, &text[part.clone()]);
            header.map(|header| record.with_header(header)).map_err(|wrong| wrong.behind(part.start))
        })
    }

    fn header<'a>(&self, rules: &HeaderLayout, text: &'a [u8]) -> Result<Header<'a>, Wrong> {
        let (name, value) = cut(text, &rules.name_separator, "name of a header")?;
        let name = str::from_utf8(name);
        let name = name.map_err(|error| Wrong::new(error.valid_up_to(), "expected the name of a header in UTF-8"))?;
        Ok(self.texts.header(name, value))
    }
}

/// The record with a value and the key that all records have.
pub(crate) fn with_value<'a>(record: Record<'a>, template: &'a Template, value: Option<Cow<'a, [u8]>>) -> Record<'a> {
    record.with_payload(template.key.as_deref().map(Cow::Borrowed), value)
}

/// Splits at the first separator.
fn cut<'a>(text: &'a [u8], separator: &[u8], what: &str) -> Result<(&'a [u8], &'a [u8]), Wrong> {
    let found = find(text, separator);
    let at = found.ok_or_else(|| {
        let separator = String::from_utf8_lossy(separator);
        Wrong::new(0, format!("no {what}: expected the separator {separator:?} in the line"))
    })?;
    Ok((&text[..at], &text[at + separator.len()..]))
}

/// Where the first separator is.
pub(crate) fn find(text: &[u8], separator: &[u8]) -> Option<usize> {
    match separator {
        [byte] => memchr(*byte, text),
        _ => memmem::find(text, separator),
    }
}

/// The parts between separators.
fn parts(text: &[u8], separator: &[u8]) -> Vec<Range<usize>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    while let Some(at) = find(&text[start..], separator) {
        parts.push(start..start + at);
        start += at + separator.len();
    }
    parts.push(start..text.len());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::Encoding;

    fn bytes(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    fn keyed(separator: &str) -> Layout {
        Layout { key: Some(bytes(separator)), ..Layout::default() }
    }

    fn full() -> Layout {
        let headers = HeaderLayout { delimiter: bytes("\t"), separator: bytes(","), name_separator: bytes(":") };
        let texts = Texts { null_marker: Some(bytes("NULL")), ..Texts::default() };
        Layout { timestamp: Some(bytes("\t")), headers: Some(headers), key: Some(bytes("\t")), texts }
    }

    /// A record as text: `timestamp|headers|key|value`; `-` is null.
    fn told(layout: &Layout, line: &[u8]) -> Result<String, String> {
        let template = Template { topic: "t".into(), ..Template::default() };
        let record = layout.record(&template, line).map_err(|wrong| wrong.to_string())?;
        let text = |bytes: Option<&[u8]>| bytes.map_or_else(|| "-".into(), |bytes| bytes.escape_ascii().to_string());
        let headers = record.headers().iter().map(|h| format!("{}={} ", h.key, text(h.value.as_deref())));
        let timestamp = record.explicit_timestamp().map_or_else(|| "-".into(), |ms| ms.to_string());
        Ok(format!(
            "{timestamp}|{}|{}|{}",
            headers.collect::<String>(),
            text(record.key_bytes()),
            text(record.value_bytes())
        ))
    }

    #[test]
    fn lines_become_records() {
        let nulls = Layout { texts: Texts { empty_is_null: true, ..Texts::default() }, ..keyed(":") };
        let encoded =
            Layout { texts: Texts { key: Encoding::Hex, value: Encoding::Base64, ..Texts::default() }, ..keyed(":") };
        for (layout, line, expected) in [
            (&Layout::default(), &b"a\tb"[..], "-||-|a\\tb"),
            (&Layout::default(), b"", "-||-|"),
            (&Layout::default(), b"\xff", "-||-|\\xff"),
            (&keyed("\t"), b"k\tv", "-||k|v"),
            (&keyed(":"), b"k:v:w", "-||k|v:w"),
            (&keyed("::"), b"a:b::c", "-||a:b|c"),
            (&keyed(":"), b":", "-|||"),
            (&keyed("é"), "kév".as_bytes(), "-||k|v"),
            (&nulls, b":", "-||-|-"),
            (&encoded, b"6b:AP8=", "-||k|\\x00\\xff"),
            (&full(), b"17\ta:1,a:,b:NULL\tk\tv", "17|a=1 a= b=- |k|v"),
            (&full(), b"1970-01-01T00:00:01Z\t\tNULL\tNULL", "1000||-|-"),
            (&full(), b"17\tNULL\tk\tv\tw", "17||k|v\\tw"),
        ] {
            assert_eq!(told(layout, line), Ok(expected.into()), "{line:?}");
        }
    }

    #[test]
    fn an_error_names_the_column_where_the_part_begins_that_is_wrong() {
        let encoded =
            Layout { texts: Texts { key: Encoding::Hex, value: Encoding::Hex, ..Texts::default() }, ..keyed(":") };
        for (layout, line, expected) in [
            (&keyed("::"), &b"k v"[..], "column 1: no key: expected the separator \"::\" in the line"),
            (&full(), b"17", "column 1: no timestamp: expected the separator \"\\t\" in the line"),
            (&full(), b"17\tv", "column 4: no headers: expected the separator \"\\t\" in the line"),
            (&full(), b"17\ta:1,b\tk\tv", "column 8: no name of a header: expected the separator \":\" in the line"),
            (&full(), b"17\ta:1\tv", "column 8: no key: expected the separator \"\\t\" in the line"),
            (&full(), b"17\ta\xff:1\tk\tv", "column 5: expected the name of a header in UTF-8"),
            (&encoded, b"0x:00", "column 2: expected a hexadecimal digit, got 'x'"),
            (&encoded, b"00:0g", "column 5: expected a hexadecimal digit, got 'g'"),
        ] {
            assert_eq!(told(layout, line), Err(expected.into()), "{line:?}");
        }
        assert!(told(&full(), b"now\t\tk\tv").unwrap_err().starts_with("column 1: expected milliseconds"));
    }

    #[test]
    fn a_key_in_the_line_counts_before_the_one_of_all_records() {
        let template = Template { topic: "t".into(), key: Some(bytes("all")), ..Template::default() };
        let key = |layout: &Layout, line| layout.record(&template, line).unwrap().key_bytes().map(<[u8]>::to_vec);
        assert_eq!(key(&Layout::default(), b"k:v"), Some(bytes("all")));
        assert_eq!(key(&keyed(":"), b"k:v"), Some(bytes("k")));
    }
}
