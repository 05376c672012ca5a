//! Requests, read as they arrive.
//!
//! In: a socket. Out: the fields of one frame after the other. Fields that are not needed are skipped within a buffer
//! that stays in the processor's cache, so the sink takes little CPU.

use std::io::{self, ErrorKind, Read, Write};

use crate::peer::Peer;

const BUFFER: usize = 256 << 10;

pub(crate) struct Input {
    peer: Peer,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the frame that were not read.
    left: usize,
}

impl Input {
    pub(crate) fn new(peer: Peer) -> Self {
        Self { peer, buffer: vec![0; BUFFER], start: 0, end: 0, left: 0 }
    }

    /// Sends a response.
    pub(crate) fn respond(&mut self, response: &[u8]) -> io::Result<()> {
        self.peer.write_all(response)?;
        self.peer.flush()
    }

    /// Goes to the next frame; false when the client is gone.
    pub(crate) fn next_frame(&mut self) -> io::Result<bool> {
        self.left = 4;
        if self.start == self.end && self.fill()? == 0 {
            return Ok(false);
        }
        let length = self.i32()?;
        self.left = usize::try_from(length).map_err(|_| broken("a negative length"))?;
        Ok(true)
    }

    pub(crate) fn skip_rest(&mut self) -> io::Result<()> {
        self.skip(self.left)
    }

    pub(crate) fn skip(&mut self, count: usize) -> io::Result<()> {
        self.left = self.left.checked_sub(count).ok_or_else(|| broken("a field that is longer than its frame"))?;
        let mut count = count;
        while count > self.end - self.start {
            count -= self.end - self.start;
            (self.start, self.end) = (0, 0);
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        self.start += count;
        Ok(())
    }

    pub(crate) fn bytes(&mut self, count: usize) -> io::Result<&[u8]> {
        self.left = self.left.checked_sub(count).ok_or_else(|| broken("a field that is longer than its frame"))?;
        if count > BUFFER {
            return Err(broken("a name that is longer than the buffer"));
        }
        if count > BUFFER - self.start {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        while self.end - self.start < count {
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        self.start += count;
        Ok(&self.buffer[self.start - count..self.start])
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let read = self.peer.read(&mut self.buffer[self.end..])?;
        self.end += read;
        Ok(read)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(crate) fn i16(&mut self) -> io::Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> io::Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn unsigned_varint(&mut self) -> io::Result<usize> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(broken("a varint of more than five bytes"))
    }

    /// A length or a count; `None` is null.
    fn length(&mut self, flexible: bool, short: bool) -> io::Result<Option<usize>> {
        if flexible {
            return Ok(self.unsigned_varint()?.checked_sub(1));
        }
        let length = if short { i32::from(self.i16()?) } else { self.i32()? };
        Ok(usize::try_from(length).ok())
    }

    pub(crate) fn count(&mut self, flexible: bool) -> io::Result<Option<usize>> {
        self.length(flexible, false)
    }

    /// The length of a field of bytes.
    pub(crate) fn bytes_length(&mut self, flexible: bool) -> io::Result<usize> {
        Ok(self.length(flexible, false)?.unwrap_or(0))
    }

    pub(crate) fn string(&mut self, flexible: bool) -> io::Result<Option<Vec<u8>>> {
        match self.length(flexible, true)? {
            Some(length) => Ok(Some(self.bytes(length)?.to_vec())),
            None => Ok(None),
        }
    }

    /// Skips tagged fields, which only flexible versions have.
    pub(crate) fn tags(&mut self, flexible: bool) -> io::Result<()> {
        let count = if flexible { self.unsigned_varint()? } else { 0 };
        for _ in 0..count {
            self.unsigned_varint()?;
            let length = self.unsigned_varint()?;
            self.skip(length)?;
        }
        Ok(())
    }
}

pub(crate) fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
