//! Reads an input ahead of the caller, on another thread.
//!
//! In: an input. Out: its lines in blocks, a few of which wait for the caller. Does no I/O of its own: it starts a task. So the next lines are
//! there when those before are sent. When reading stops early, what was read is returned.

use std::io;

use tokio::{
    io::AsyncRead,
    sync::{
        mpsc::{self, Receiver, Sender},
        oneshot,
    },
    task::JoinHandle,
};

use super::{
    ends::Ends,
    lines::{Input, Lines},
};

/// How many blocks may wait.
const BLOCKS: usize = 2;

/// An input that is read ahead.
pub(super) struct Ahead {
    blocks: Receiver<io::Result<Input>>,
    ends: Ends,
    max_len: usize,
    stop: oneshot::Sender<()>,
    /// Returns what was read and is in no block.
    reading: JoinHandle<Vec<u8>>,
}

impl Ahead {
    /// Begins to read.
    pub(super) fn new(lines: Lines<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let (ends, max_len) = (lines.ends().clone(), lines.max_len());
        let ((sender, blocks), (stop, stopped)) = (mpsc::channel(BLOCKS), oneshot::channel());
        let reading = tokio::spawn(read(lines, sender, stopped));
        Self { blocks, ends, max_len, stop, reading }
    }

    /// The next lines, as many as were read together; `None` at the end of the input. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Option<Input>> {
        self.blocks.recv().await.transpose()
    }

    /// What ends a line.
    pub(super) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The limit for a line, in bytes.
    pub(super) fn max_len(&self) -> usize {
        self.max_len
    }

    /// Stops reading. Returns what was read and not returned yet.
    pub(super) async fn into_rest(mut self) -> Vec<u8> {
        // A task that has ended needs no signal.
        let _ = self.stop.send(());
        let mut rest = Vec::new();
        while let Some(input) = self.blocks.recv().await {
            if let Ok(Input::Line(bytes) | Input::Piece { bytes, .. }) = input {
                rest.extend_from_slice(&bytes);
            }
        }
        rest.extend(self.reading.await.unwrap_or_default());
        rest
    }
}

async fn read(
    mut lines: Lines<impl AsyncRead + Unpin>,
    blocks: Sender<io::Result<Input>>,
    mut stopped: oneshot::Receiver<()>,
) -> Vec<u8> {
    loop {
        // There is room before anything is read, so that nothing is in hand when reading stops.
        let room = tokio::select! {
            biased;
            _ = &mut stopped => break,
            room = blocks.reserve() => room,
        };
        let read = tokio::select! {
            biased;
            _ = &mut stopped => break,
            read = lines.next_block() => read.transpose(),
        };
        let (Ok(room), Some(read)) = (room, read) else { break };
        let failed = read.is_err();
        room.send(read);
        if failed {
            break;
        }
    }
    lines.into_rest().await.into()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn lines_come_in_order_and_then_the_end() {
        let text: String = (0..1_000).map(|number| format!("line {number}\n")).collect();
        let (mut writer, reader) = tokio::io::duplex(100);
        let sent = text.clone();
        tokio::spawn(async move { writer.write_all(sent.as_bytes()).await.unwrap() });
        let (mut ahead, mut read) = (Ahead::new(Lines::new(reader, Ends::Line, 100)), Vec::new());
        while let Some(Input::Line(bytes)) = ahead.next().await.unwrap() {
            assert!(bytes.ends_with(b"\n"));
            read.extend_from_slice(&bytes);
        }
        assert_eq!(String::from_utf8(read).unwrap(), text);
        assert_eq!(ahead.into_rest().await, b"");
    }

    #[tokio::test]
    async fn what_was_read_and_not_returned_is_in_the_rest_also_what_is_no_line_yet() {
        let (mut writer, reader) = tokio::io::duplex(1_000);
        let mut ahead = Ahead::new(Lines::new(reader, Ends::Line, 100));
        writer.write_all(b"first\n").await.unwrap();
        assert_eq!(ahead.next().await.unwrap(), Some(Input::Line("first\n".into())));
        writer.write_all(b"second\nthi").await.unwrap();
        assert_eq!(ahead.into_rest().await, b"second\nthi");
    }
}
