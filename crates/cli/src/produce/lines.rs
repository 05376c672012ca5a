//! Splits an input into records of bytes.
//!
//! In: a reader. Out: lines, or other records, with the bytes that ended them; one at a time or as many as are there. Awaits only. The
//! buffer is bounded by the limit for a line: a longer line is returned in pieces. Deliberately absent: any check for UTF-8.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use super::ends::Ends;

/// The size of a buffer. Large, so that many lines share one, and a file is read in few steps.
const CHUNK: usize = 256 * 1024;
/// A buffer with less room than this is not read into any more.
const ROOM: usize = 16 * 1024;
/// How long the thread that reads stdin may take to pass on what it has read.
const HANDING_OVER: Duration = Duration::from_millis(20);

/// A part of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A line with its end, unless the input ended without one; or several lines, if several were asked for.
    Line(Bytes),
    /// The beginning of a line over the limit; its pieces follow.
    LongLine,
    /// A piece of a long line; `ends` marks the last one.
    Piece { bytes: Bytes, ends: bool },
}

/// How many lines are wanted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    One,
    /// All that have arrived. One that is over the limit, and has arrived whole, is among them.
    All,
}

/// Reads lines from an input.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    ends: Ends,
    buffer: BytesMut,
    /// How many bytes at the front of the buffer are known to hold no end.
    searched: usize,
    max_len: usize,
    in_long_line: bool,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most `max_len` bytes, their end included.
    pub(crate) fn new(reader: R, ends: Ends, max_len: usize) -> Self {
        Self { reader, ends, buffer: BytesMut::new(), searched: 0, max_len, in_long_line: false, ended: false }
    }

    /// The next line; `None` at the end of the input. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Input>> {
        self.next_of(Wanted::One).await
    }

    /// The next lines, as many as are there, at least one; `None` at the end of the input. Dropping the future loses nothing.
    pub(crate) async fn next_block(&mut self) -> io::Result<Option<Input>> {
        self.next_of(Wanted::All).await
    }

    async fn next_of(&mut self, wanted: Wanted) -> io::Result<Option<Input>> {
        loop {
            if let Some(input) = self.take(wanted) {
                return Ok(Some(input));
            }
            if self.ended {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        if self.buffer.capacity() - self.buffer.len() < ROOM {
            self.buffer.reserve(CHUNK);
        }
        self.ended = self.reader.read_buf(&mut self.buffer).await? == 0;
        Ok(())
    }

    /// What ends a line.
    pub(crate) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The limit for a line, in bytes.
    pub(crate) fn max_len(&self) -> usize {
        self.max_len
    }

    /// Returns the bytes that were read and not returned yet, for a caller that stops before the end. Stdin is read on a separate
    /// thread, so a read that has just completed there is waited for, but no further input.
    pub(crate) async fn into_rest(mut self) -> Bytes {
        if !self.ended {
            let _ = timeout(HANDING_OVER, self.read()).await;
        }
        self.buffer.freeze()
    }

    fn take(&mut self, wanted: Wanted) -> Option<Input> {
        let many = wanted == Wanted::All && !self.in_long_line;
        let window = if many { self.buffer.len() } else { self.buffer.len().min(self.max_len) };
        let bytes = &self.buffer[..window];
        let found = if many { self.ends.last(bytes, self.searched) } else { self.ends.first(bytes, self.searched) };
        let len = match found {
            Some(len) => len,
            None if self.buffer.len() > self.max_len => return Some(self.long_line()),
            None if self.ended && (window > 0 || self.in_long_line) => window,
            None => {
                self.searched = window;
                return None;
            }
        };
        Some(self.split(len, true))
    }

    /// Returns `LongLine` once before the pieces of a long line, then the pieces.
    fn long_line(&mut self) -> Input {
        if self.in_long_line {
            return self.split(self.max_len, false);
        }
        self.in_long_line = true;
        self.searched = 0;
        Input::LongLine
    }

    fn split(&mut self, len: usize, ends: bool) -> Input {
        self.searched = 0;
        let bytes = self.buffer.split_to(len).freeze();
        if !self.in_long_line {
            return Input::Line(bytes);
        }
        self.in_long_line = !ends;
        Input::Piece { bytes, ends }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// The parts of `text` if the reader receives `step` bytes at a time, in lines of at most 8 bytes.
    async fn lines(text: &'static [u8], step: usize) -> Vec<Input> {
        let (mut writer, reader) = tokio::io::duplex(step);
        tokio::spawn(async move { writer.write_all(text).await.unwrap() });
        let mut lines = Lines::new(reader, Ends::Line, 8);
        let mut out = Vec::new();
        while let Some(input) = lines.next().await.unwrap() {
            out.push(input);
        }
        out
    }

    fn line(text: &'static [u8]) -> Input {
        Input::Line(Bytes::from_static(text))
    }

    fn piece(text: &'static [u8], ends: bool) -> Input {
        Input::Piece { bytes: Bytes::from_static(text), ends }
    }

    #[tokio::test]
    async fn lines_come_out_whole_however_they_arrive() {
        for step in [1, 2, 3, 7, 100] {
            for (text, expected) in [
                (&b""[..], vec![]),
                (b"a", vec![line(b"a")]),
                (b"a\n", vec![line(b"a\n")]),
                (b"\n\nb", vec![line(b"\n"), line(b"\n"), line(b"b")]),
                (b"a\r\n\xff\x00\n", vec![line(b"a\r\n"), line(b"\xff\x00\n")]),
            ] {
                assert_eq!(lines(text, step).await, expected, "{text:?} by {step}");
            }
        }
    }

    #[tokio::test]
    async fn the_limit_counts_the_end_of_the_line() {
        for step in [1, 3, 100] {
            for (text, expected) in [
                (&b"1234567\na\n"[..], vec![line(b"1234567\n"), line(b"a\n")]),
                (b"12345678", vec![line(b"12345678")]),
                (b"12345678\na\n", vec![Input::LongLine, piece(b"12345678", false), piece(b"\n", true), line(b"a\n")]),
                (b"123456789", vec![Input::LongLine, piece(b"12345678", false), piece(b"9", true)]),
            ] {
                assert_eq!(lines(text, step).await, expected, "{text:?} by {step}");
            }
        }
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_returned_in_pieces_that_lose_nothing() {
        let expected = vec![
            line(b"a\n"),
            Input::LongLine,
            piece(b"12345678", false),
            piece(b"90123456", false),
            piece(b"7\n", true),
            line(b"b\n"),
        ];
        for step in [1, 5, 100] {
            assert_eq!(lines(b"a\n12345678901234567\nb\n", step).await, expected, "by {step}");
        }
    }

    #[tokio::test]
    async fn bytes_that_were_read_but_not_returned_are_in_the_rest() {
        let mut lines = Lines::new(&b"a\nb\nc"[..], Ends::Line, 8);
        assert_eq!(lines.next().await.unwrap(), Some(line(b"a\n")));
        assert_eq!(lines.into_rest().await, &b"b\nc"[..]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_does_not_wait_for_input_that_never_arrives() {
        let (_writer, reader) = tokio::io::duplex(8);
        assert_eq!(Lines::new(reader, Ends::Line, 8).into_rest().await, Bytes::new());
    }

    #[tokio::test]
    async fn all_lines_that_are_there_come_at_once() {
        let mut lines = Lines::new(&b"a\nb\n123456789\nc"[..], Ends::Line, 8);
        assert_eq!(lines.next().await.unwrap(), Some(line(b"a\n")));
        assert_eq!(lines.next_block().await.unwrap(), Some(line(b"b\n123456789\n")));
        assert_eq!(lines.next_block().await.unwrap(), Some(line(b"c")));
        assert_eq!(lines.next_block().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_that_has_not_arrived_whole_comes_in_pieces_also_among_others() {
        let mut lines = Lines::new(&b"a\n123456789"[..], Ends::Line, 8);
        let expected = [line(b"a\n"), Input::LongLine, piece(b"12345678", false), piece(b"9", true)];
        for expected in expected {
            assert_eq!(lines.next_block().await.unwrap(), Some(expected));
        }
        assert_eq!(lines.next_block().await.unwrap(), None);
    }
}
