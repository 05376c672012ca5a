//! Where rows of CSV end, and what their fields are.
//!
//! In: bytes. Out: lengths and fields. Pure. The grammar is that of the csv crate's parser: RFC 4180, any end of a line, and any bytes.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// The length of the first row, its end included. `None` if its end is not there.
pub(crate) fn row_len(delimiter: u8, bytes: &[u8]) -> Option<usize> {
    let (mut fields, mut ends) = ([0; 1024], [0; 64]);
    let (mut reader, mut len) = (reader(delimiter), 0);
    loop {
        let (result, read, ..) = reader.read_record(&bytes[len..], &mut fields, &mut ends);
        len += read;
        match result {
            // What was parsed so far is not wanted.
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
            ReadRecordResult::Record => {
                return Some(len + usize::from(bytes[..len].ends_with(b"\r") && bytes[len..].starts_with(b"\n")));
            }
            ReadRecordResult::InputEmpty | ReadRecordResult::End => return None,
        }
    }
}

/// The fields of a row.
pub(crate) fn fields(delimiter: u8, row: &[u8]) -> Vec<Vec<u8>> {
    // A field is never longer than its text.
    let (mut bytes, mut ends) = (vec![0; row.len()], vec![0; 16]);
    let (mut reader, mut rest) = (reader(delimiter), row);
    let (mut len, mut count) = (0, 0);
    loop {
        let (result, read, written, ended) = reader.read_record(rest, &mut bytes[len..], &mut ends[count..]);
        rest = &rest[read..];
        len += written;
        count += ended;
        match result {
            // Without further input a row without an end is complete.
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull => bytes.resize(bytes.len() * 2 + 1, 0),
            ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
            ReadRecordResult::Record | ReadRecordResult::End => break,
        }
    }
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(&ends[..count]).map(|(start, &end)| bytes[start..end].to_vec()).collect()
}

fn reader(delimiter: u8) -> Reader {
    ReaderBuilder::new().delimiter(delimiter).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_ends_at_the_first_end_of_a_line_outside_of_quotation_marks() {
        for (bytes, expected) in [
            (&b"a,b\nc,d\n"[..], Some(4)),
            (b"a,b\r\nc,d\n", Some(5)),
            (b"a,b\r", Some(4)),
            (b"\n\na,b\nc", Some(6)),
            (b"\"a\nb\",c\nd", Some(8)),
            (b"\"a\"\"\n\"\n", Some(7)),
            (b"a,b", None),
            (b"\"a\n", None),
            (b"", None),
            (b"\n", None),
        ] {
            assert_eq!(row_len(b',', bytes), expected, "{}", bytes.escape_ascii());
        }
        let wide = [b"x,".repeat(3_000), b"\nnext\n".to_vec()].concat();
        assert_eq!(row_len(b',', &wide), Some(6_001));
    }

    #[test]
    fn fields_are_without_their_quotation_marks() {
        for (delimiter, row, expected) in [
            (b',', &b"a,b\n"[..], &[&b"a"[..], b"b"][..]),
            (b',', b"a,b", &[b"a", b"b"]),
            (b',', b"a,\r\n", &[b"a", b""]),
            (b',', b"\"a,\"\"b\nc\",\xff\n", &[b"a,\"b\nc", b"\xff"]),
            (b'\t', b"a,b\tc\n", &[b"a,b", b"c"]),
            (b',', b"x", &[b"x"]),
            (b',', b"\n", &[]),
        ] {
            assert_eq!(fields(delimiter, row), expected, "{}", row.escape_ascii());
        }
        assert_eq!(fields(b',', &b"ab,".repeat(1_000)).len(), 1_001);
    }
}
