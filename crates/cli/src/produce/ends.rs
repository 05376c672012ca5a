//! Where the records of an input end.
//!
//! In: bytes. Out: how long records are, and what of them is content. Pure.

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::{csv::row_len, layout::find};

/// What ends a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ends {
    /// `\n` or `\r\n`, as for Java's console producer. A `\r` without a `\n` after it is a part of the line, as in kcat; Java's console
    /// producer would end the line there.
    #[default]
    Line,
    /// This text.
    Text(Vec<u8>),
    /// The end of a row of CSV with this between its fields.
    Row(u8),
}

impl Ends {
    /// The length of the first record, its end included, if its end is there. It does not begin before `searched`.
    pub(crate) fn first(&self, bytes: &[u8], searched: usize) -> Option<usize> {
        match self {
            Self::Line => memchr(b'\n', &bytes[searched..]).map(|at| searched + at + 1),
            Self::Text(text) => {
                let from = (searched + 1).saturating_sub(text.len()).min(searched);
                find(&bytes[from..], text).map(|at| from + at + text.len())
            }
            Self::Row(delimiter) => row_len(*delimiter, bytes),
        }
    }

    /// The length of all records whose end is there, if there is one. None ends before `searched`.
    pub(crate) fn last(&self, bytes: &[u8], searched: usize) -> Option<usize> {
        match self {
            Self::Line => memrchr(b'\n', &bytes[searched..]).map(|at| searched + at + 1),
            // From the front, because of two ends that overlap the first counts.
            _ => {
                let (mut len, mut from) = (0, searched);
                while let Some(next) = self.first(&bytes[len..], from) {
                    (len, from) = (len + next, 0);
                }
                (len > 0).then_some(len)
            }
        }
    }

    /// A record without its end.
    pub(crate) fn content<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Line => match record.strip_suffix(b"\n") {
                Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
                None => record,
            },
            Self::Text(text) => record.strip_suffix(&text[..]).unwrap_or(record),
            // The parser of rows knows their ends.
            Self::Row(_) => record,
        }
    }

    /// What ends a record in a file that is written.
    pub(crate) fn text(&self) -> &[u8] {
        match self {
            Self::Line | Self::Row(_) => b"\n",
            Self::Text(text) => text,
        }
    }

    /// How many ends there are.
    pub(crate) fn count(&self, bytes: &[u8]) -> u64 {
        match self.text() {
            [byte] => memchr_iter(*byte, bytes).count() as u64,
            text => memmem::find_iter(bytes, text).count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Ends {
        Ends::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn the_first_end_and_the_last_one_are_found() {
        for (ends, bytes, first, last) in [
            (Ends::Line, &b"a\nb\nc"[..], Some(2), Some(4)),
            (Ends::Line, b"abc", None, None),
            (text("--"), b"a--b--c", Some(3), Some(6)),
            (text("--"), b"a---b", Some(3), Some(3)),
            (text("\0"), b"\0\0", Some(1), Some(2)),
            (text("--"), b"a-", None, None),
            (Ends::Row(b','), b"\"a\n\",b\nc,d\ne", Some(7), Some(11)),
        ] {
            assert_eq!((ends.first(bytes, 0), ends.last(bytes, 0)), (first, last), "{ends:?} {}", bytes.escape_ascii());
        }
    }

    #[test]
    fn an_end_is_found_also_where_it_arrives_in_parts() {
        for (ends, bytes, end) in
            [(Ends::Line, &b"abc\nd"[..], 4), (text("--"), b"ab--d", 4), (text("\r\n\r\n"), b"\r\n\r\n", 4)]
        {
            for searched in 0..end {
                if ends.first(&bytes[..searched], 0).is_none() {
                    assert_eq!(ends.first(bytes, searched), Some(end), "{ends:?} {searched}");
                    assert_eq!(ends.last(bytes, searched), Some(end), "{ends:?} {searched}");
                }
            }
        }
    }

    #[test]
    fn the_end_of_a_record_is_no_part_of_its_content() {
        for (ends, record, expected) in [
            (Ends::Line, &b"a\n"[..], &b"a"[..]),
            (Ends::Line, b"a\r\n", b"a"),
            (Ends::Line, b"a", b"a"),
            (Ends::Line, b"\n", b""),
            (Ends::Line, b"a\r\r\n", b"a\r"),
            (Ends::Line, b"", b""),
            (Ends::Line, b"a\r", b"a\r"),
            (Ends::Line, b"\r", b"\r"),
            (text("\n"), b"a\r\n", b"a\r"),
            (text("::"), b"a::", b"a"),
            (text("::"), b"a", b"a"),
            (Ends::Row(b','), b"a\n", b"a\n"),
        ] {
            assert_eq!(ends.content(record), expected, "{ends:?} {}", record.escape_ascii());
        }
    }

    #[test]
    fn ends_are_counted() {
        assert_eq!(Ends::Line.count(b"a\nb\nc"), 2);
        assert_eq!(text("--").count(b"a--b---c"), 2);
        assert_eq!(Ends::Row(b',').count(b"a,b\n"), 1);
    }
}
