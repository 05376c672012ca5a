//! Converts a line to a record.
//!
//! In: the content of a line. Out: its record, which borrows from the line. Pure.

use milena::Record;

/// The topic, partition and headers of all records, and the separator of key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) topic: String,
    pub(crate) partition: Option<i32>,
    pub(crate) headers: Vec<(String, String)>,
    /// The separator of key and value; `None` if lines have no key.
    pub(crate) separator: Option<Vec<u8>>,
}

impl Template {
    /// The record of a line. Fails if the line has no separator.
    pub(crate) fn record<'a>(&'a self, line: &'a [u8]) -> Result<Record<'a>, String> {
        let record = Record::to(&self.topic);
        let record = match &self.separator {
            None => record.value(line),
            Some(separator) => {
                let (key, value) = split_at_first(line, separator).ok_or_else(|| missing(separator))?;
                record.key(key).value(value)
            }
        };
        let record = self.partition.into_iter().fold(record, Record::partition);
        Ok(self.headers.iter().fold(record, |record, (name, value)| record.header(name, value)))
    }
}

fn missing(separator: &[u8]) -> String {
    format!("no key: expected the separator {:?} in the line", String::from_utf8_lossy(separator))
}

fn split_at_first<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let position = line.windows(separator.len()).position(|window| window == separator)?;
    Some((&line[..position], &line[position + separator.len()..]))
}

/// Parses a separator. `\t` is a tab, which is hard to type in a shell, and `\\` is a backslash.
pub(crate) fn separator(text: &str) -> Result<Vec<u8>, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('\\')) => out.push('\\'),
            ('\\', _) => return Err("expected \\t or \\\\ where a backslash stands".into()),
            ('\n', _) => return Err("a line cannot hold a line end".into()),
            _ => out.push(c),
        }
    }
    if out.is_empty() { Err("expected at least one character".into()) } else { Ok(out.into_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(separator: Option<&str>) -> Template {
        let headers = vec![("source".into(), "shop".into()), ("source".into(), String::new())];
        let separator = separator.map(|text| text.as_bytes().to_vec());
        Template { topic: "orders".into(), partition: Some(2), headers, separator }
    }

    #[test]
    fn every_line_gets_topic_partition_and_headers() {
        let template = template(None);
        let record = template.record(b"v").unwrap();
        assert_eq!((record.topic(), record.explicit_partition()), ("orders", Some(2)));
        let headers: Vec<_> = record.headers().iter().map(|h| (h.key.as_ref(), h.value.as_deref())).collect();
        assert_eq!(headers, [("source", Some(&b"shop"[..])), ("source", Some(&b""[..]))]);
    }

    #[test]
    fn without_a_separator_the_whole_line_is_the_value() {
        for line in [&b"a\tb"[..], b"", b"\xff"] {
            let template = template(None);
            let record = template.record(line).unwrap();
            assert_eq!((record.key_bytes(), record.value_bytes()), (None, Some(line)));
        }
    }

    #[test]
    fn a_line_is_split_at_the_first_separator() {
        for (separator, line, key, value) in [
            ("\t", &b"k\tv"[..], &b"k"[..], &b"v"[..]),
            (":", b"k:v:w", b"k", b"v:w"),
            ("::", b"a:b::c", b"a:b", b"c"),
            (":", b":", b"", b""),
            ("é", "kév".as_bytes(), b"k", b"v"),
        ] {
            let template = template(Some(separator));
            let record = template.record(line).unwrap();
            assert_eq!((record.key_bytes(), record.value_bytes()), (Some(key), Some(value)), "{line:?}");
        }
    }

    #[test]
    fn a_line_without_the_separator_is_no_record() {
        for line in [&b""[..], b"k v", b":"] {
            let error = template(Some("::")).record(line).unwrap_err();
            assert_eq!(error, "no key: expected the separator \"::\" in the line");
        }
    }

    #[test]
    fn separators_may_have_escapes() {
        for (text, expected) in [(":", ":"), ("\t", "\t"), ("\\t", "\t"), ("\\\\", "\\"), ("a\\tb", "a\tb")] {
            assert_eq!(separator(text), Ok(expected.as_bytes().to_vec()));
        }
        for text in ["", "\\", "\\n", "a\n"] {
            assert!(separator(text).is_err(), "{text:?}");
        }
    }
}
