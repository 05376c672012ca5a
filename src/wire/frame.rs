//! Length framing: four bytes of length, then that many bytes.
//!
//! In: bytes from a socket, in pieces of any size. Out: whole frames, or why the peer is not a Kafka broker. Pure.
//! Memory grows with the bytes that have arrived, never with the length that a peer claims. Deliberately absent: what a
//! frame means.

use bytes::{Buf, Bytes, BytesMut};

/// The largest frame that is accepted after the first one.
pub(crate) const MAX_FRAME: usize = 100 * 1024 * 1024;
/// The largest first frame, which is the response to ApiVersions.
pub(crate) const MAX_FIRST_FRAME: usize = 512 * 1024;

/// Why bytes from a peer are not frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The length is negative, or less than a correlation id takes.
    #[error("frame length {0} is impossible, expected at least 4")]
    Impossible(i32),
    /// The length is over the limit.
    #[error("frame of {len} bytes is over the bound of {max}")]
    TooLarge { len: usize, max: usize },
    /// The four bytes are the start of an HTTP response.
    #[error("peer speaks HTTP, not Kafka: check the port in bootstrap.servers")]
    Http,
    /// The four bytes are the start of a TLS record.
    #[error("peer speaks TLS on this port: set security.protocol=SSL, or use a PLAINTEXT listener")]
    Tls,
}

/// Assembles the frames of one connection.
#[derive(Debug)]
pub(crate) struct Decoder {
    buffer: BytesMut,
    /// The limit of the next frame, and of all later ones.
    max: usize,
    later_max: usize,
}

impl Decoder {
    /// A decoder that limits the first frame to [`MAX_FIRST_FRAME`] and all others to [`MAX_FRAME`].
    pub(crate) fn new() -> Self {
        Self { buffer: BytesMut::new(), max: MAX_FIRST_FRAME, later_max: MAX_FRAME }
    }

    /// A decoder that limits every frame to `max`.
    #[cfg(any(feature = "broker", feature = "admin"))]
    pub(crate) fn with_max(max: usize) -> Self {
        Self { buffer: BytesMut::new(), max, later_max: max }
    }

    /// The buffer for the next bytes from the socket.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole frame, without its length. `None` if more bytes are needed.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let len = checked_len(*prefix, self.max)?;
        if self.buffer.len().saturating_sub(4) < len {
            return Ok(None);
        }
        self.buffer.advance(4);
        self.max = self.later_max;
        Ok(Some(self.buffer.split_to(len).freeze()))
    }
}

fn checked_len(prefix: [u8; 4], max: usize) -> Result<usize, FrameError> {
    let len = i32::from_be_bytes(prefix);
    match (prefix, usize::try_from(len)) {
        ([b'H', b'T', b'T', b'P'], _) => Err(FrameError::Http),
        ([0x15 | 0x16, 0x03, ..], _) => Err(FrameError::Tls),
        (_, Ok(len)) if len > max => Err(FrameError::TooLarge { len, max }),
        (_, Ok(len)) if len >= 4 => Ok(len),
        _ => Err(FrameError::Impossible(len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(decoder: &mut Decoder, bytes: &[u8]) -> Result<Option<Bytes>, FrameError> {
        decoder.buffer().extend_from_slice(bytes);
        decoder.next_frame()
    }

    #[test]
    fn a_frame_that_arrives_byte_by_byte_is_put_together() {
        let mut decoder = Decoder::new();
        for byte in [0, 0, 0, 5, b'h', b'e', b'l', b'l'] {
            assert_eq!(feed(&mut decoder, &[byte]), Ok(None));
        }
        assert_eq!(feed(&mut decoder, b"o"), Ok(Some(Bytes::from_static(b"hello"))));
        assert_eq!(decoder.next_frame(), Ok(None));
    }

    #[test]
    fn two_frames_that_arrive_together_are_told_apart() {
        let mut decoder = Decoder::new();
        assert_eq!(feed(&mut decoder, b"\0\0\0\x04abcd\0\0\0\x04efgh"), Ok(Some(Bytes::from_static(b"abcd"))));
        assert_eq!(decoder.next_frame(), Ok(Some(Bytes::from_static(b"efgh"))));
    }

    #[test]
    fn impossible_lengths_are_refused_before_anything_is_allocated() {
        for len in [i32::MIN, -1, 0, 3] {
            assert_eq!(feed(&mut Decoder::new(), &len.to_be_bytes()), Err(FrameError::Impossible(len)));
        }
        let len = usize::try_from(i32::MAX).unwrap();
        let mut decoder = Decoder::new();
        assert_eq!(
            feed(&mut decoder, &i32::MAX.to_be_bytes()),
            Err(FrameError::TooLarge { len, max: MAX_FIRST_FRAME })
        );
        assert!(decoder.buffer.capacity() < 1024);
    }

    #[test]
    fn a_frame_may_be_as_long_as_its_limit_and_no_longer() {
        let mut later = Decoder::new();
        feed(&mut later, b"\0\0\0\x04abcd").unwrap();
        for (mut decoder, max) in [(Decoder::new(), 524_288_i32), (later, 104_857_600)] {
            assert_eq!(feed(&mut decoder, &max.to_be_bytes()), Ok(None));
            decoder.buffer.clear();
            let max = usize::try_from(max).unwrap();
            let longer = i32::try_from(max + 1).unwrap().to_be_bytes();
            assert_eq!(feed(&mut decoder, &longer), Err(FrameError::TooLarge { len: max + 1, max }));
        }
    }

    #[test]
    fn the_first_frame_has_a_smaller_limit_than_later_ones() {
        let big = i32::try_from(MAX_FIRST_FRAME + 1).unwrap().to_be_bytes();
        let refused = FrameError::TooLarge { len: MAX_FIRST_FRAME + 1, max: MAX_FIRST_FRAME };
        assert_eq!(feed(&mut Decoder::new(), &big), Err(refused));
        let mut decoder = Decoder::new();
        assert!(feed(&mut decoder, b"\0\0\0\x04abcd").unwrap().is_some());
        assert_eq!(feed(&mut decoder, &big), Ok(None));
    }

    #[cfg(any(feature = "broker", feature = "admin"))]
    #[test]
    fn a_limit_of_its_own_also_holds_for_later_frames() {
        let mut decoder = Decoder::with_max(8);
        assert!(feed(&mut decoder, b"\0\0\0\x04abcd").unwrap().is_some());
        assert_eq!(feed(&mut decoder, &9_i32.to_be_bytes()), Err(FrameError::TooLarge { len: 9, max: 8 }));
    }

    #[test]
    fn the_first_bytes_of_other_protocols_are_named() {
        assert_eq!(feed(&mut Decoder::new(), b"HTTP/1.1 400"), Err(FrameError::Http));
        assert_eq!(feed(&mut Decoder::new(), &369_295_617_i32.to_be_bytes()), Err(FrameError::Tls));
        assert_eq!(feed(&mut Decoder::new(), &352_518_912_i32.to_be_bytes()), Err(FrameError::Tls));
    }
}
