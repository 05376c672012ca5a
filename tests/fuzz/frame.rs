//! Framing: a stream gives the same frames, however it is divided into pieces.

use bytes::Bytes;

use super::input::Input;
use crate::wire::frame::{Decoder, FrameError, MAX_FRAME};

/// How a stream of bytes ended, and the frames before that.
type Frames = (Vec<Bytes>, Result<(), FrameError>);

/// The target.
pub fn frame(data: &[u8]) {
    let mut input = Input::new(data);
    let max = input.one_of(&[None, Some(8), Some(100), Some(MAX_FRAME)]);
    let sizes: [u8; 4] = input.array();
    let stream = input.rest();
    let whole = frames(max, [stream].into_iter());
    let mut sizes = sizes.iter().cycle().map(|size| usize::from(*size) % 16 + 1);
    let mut left = stream;
    let pieces = std::iter::from_fn(|| {
        let piece;
        (piece, left) = left.split_at(sizes.next()?.min(left.len()));
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(frames(max, pieces), whole, "pieces make no difference");
    let mut at = 0;
    for frame in &whole.0 {
        let end = at + 4 + frame.len();
        assert!((4..=max.unwrap_or(MAX_FRAME)).contains(&frame.len()));
        assert_eq!(stream[at..at + 4], u32::try_from(frame.len()).unwrap().to_be_bytes());
        assert_eq!(stream[at + 4..end], frame[..]);
        at = end;
    }
}

fn frames<'a>(max: Option<usize>, pieces: impl Iterator<Item = &'a [u8]>) -> Frames {
    let mut decoder = max.map_or_else(Decoder::new, Decoder::with_max);
    let (mut frames, mut fed) = (Vec::new(), 0);
    for piece in pieces {
        decoder.buffer().extend_from_slice(piece);
        fed += piece.len();
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
        assert!(decoder.buffer().capacity() <= 2 * fed + 64, "memory grows with what has arrived");
    }
    (frames, Ok(()))
}
