//! One connection: a task that owns a socket.
//!
//! In: requests as segments, in order. Out: frames, and finally why the connection ended and what had been written by
//! then. Does input and output. Reading never waits for writing, nor writing for reading. Segments go to the kernel in
//! vectored writes and are not copied. Deliberately absent: the meaning of requests and frames.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    sync::mpsc::{Sender, UnboundedReceiver},
    time::{sleep, timeout},
};

use crate::{
    dial::{DialError, DialPlan, Security, SocketBuffers, Transport, dial},
    sender::{ConnectionId, Event},
    wire::frame::Decoder,
};

/// How many segments one write has at most.
const SLICES: usize = 64;
/// How much room each read has, in bytes.
const READ: usize = 16 * 1024;

/// The runtime polls its sockets before its timers. So bytes that arrived before a timer of this length started are
/// known when it ends.
const ONE_POLL: Duration = Duration::from_millis(1);

/// A command of the driver.
#[derive(Debug)]
pub(super) enum Command {
    /// Write a request. If the broker sends no response (not `answered`), an event says when the request has been
    /// written.
    Send { correlation: i32, segments: Vec<Bytes>, answered: bool },
    /// Send events for all frames that have arrived, and then [`Event::Read`].
    Read,
}

/// The broker to connect to.
pub(super) struct Peer {
    pub(super) id: ConnectionId,
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) plan: DialPlan,
    pub(super) buffers: SocketBuffers,
    pub(super) security: Security,
}

/// Connects, then writes requests and reads frames until either side ends the connection. Sends no event at the end if
/// the commands' channel is closed.
pub(super) async fn run(peer: Peer, mut commands: UnboundedReceiver<Command>, events: Sender<Event>) {
    let connection = peer.id;
    let Some(dialled) = connect(&peer, &mut commands, &events).await else { return };
    let (ended, written, is_refused) = match dialled {
        Err(DialError { tried, is_final }) => (Err(tried.join("; ")), None, is_final),
        Ok(stream) => {
            let (decoder, queue, events) = (Decoder::new(), WriteQueue::default(), events.clone());
            let mut socket = Socket { connection, stream, decoder, queue, events, commands, is_silent: true };
            (socket.run().await, socket.queue.written, socket.stream.is_refused())
        }
    };
    if let Err(why) = ended {
        let _ = events.send(Event::Disconnected { connection, why: why.into(), written, is_refused }).await;
    }
}

/// Connects. `None` if the commands' channel is closed. Commands that arrive before the connection is made write
/// nothing.
async fn connect(
    peer: &Peer,
    commands: &mut UnboundedReceiver<Command>,
    events: &Sender<Event>,
) -> Option<Result<Transport, DialError>> {
    let mut dialling = pin!(dial(&peer.host, peer.port, peer.plan, peer.buffers, &peer.security));
    loop {
        tokio::select! {
            dialled = &mut dialling => return Some(dialled),
            command = commands.recv() => command?,
        };
        // If the connection was made meanwhile, its event comes first.
        if let Ok(dialled) = timeout(ONE_POLL, &mut dialling).await {
            return Some(dialled);
        }
        events.send(Event::Read { connection: peer.id }).await.ok()?;
    }
}

struct Socket {
    connection: ConnectionId,
    stream: Transport,
    decoder: Decoder,
    queue: WriteQueue,
    events: Sender<Event>,
    commands: UnboundedReceiver<Command>,
    /// Nothing has arrived as yet.
    is_silent: bool,
}

impl Socket {
    /// Runs until the driver ends the connection (`Ok`) or it fails.
    async fn run(&mut self) -> Result<(), String> {
        self.tell(Event::Connected { connection: self.connection }).await?;
        loop {
            tokio::select! {
                readable = self.stream.readable() => {
                    readable.map_err(broken)?;
                    self.read().await?;
                }
                command = self.commands.recv() => match command {
                    Some(command) => self.execute(command).await?,
                    None => return Ok(()),
                },
                writable = self.stream.writable(), if self.has_to_write() => {
                    writable.map_err(broken)?;
                    self.write().await?;
                }
            }
        }
    }

    /// Sends an event. If the driver has ended, the connection fails, and nobody learns why.
    async fn tell(&self, event: Event) -> Result<(), String> {
        self.events.send(event).await.map_err(|_| "the driver has ended".into())
    }

    /// Queues requests and writes what the kernel takes at once. Reads if a command asks for it.
    async fn execute(&mut self, command: Command) -> Result<(), String> {
        let (mut next, mut is_to_read) = (Some(command), false);
        while let Some(command) = next {
            match command {
                Command::Send { correlation, segments, answered } => self.queue.push(correlation, segments, answered),
                Command::Read => is_to_read = true,
            }
            next = self.commands.try_recv().ok();
        }
        self.write().await?;
        if is_to_read { self.read_all().await } else { Ok(()) }
    }

    /// Reads all that has arrived, and sends [`Event::Read`].
    async fn read_all(&mut self) -> Result<(), String> {
        sleep(ONE_POLL).await;
        while self.read().await? {}
        self.tell(Event::Read { connection: self.connection }).await
    }

    fn has_to_write(&self) -> bool {
        !self.queue.is_empty() || self.stream.wants_write()
    }

    async fn write(&mut self) -> Result<(), String> {
        while self.has_to_write() {
            let slices = self.queue.slices();
            match self.stream.try_write_vectored(&slices) {
                Ok(0) if !self.queue.is_empty() => return Err("connection closed while a request was written".into()),
                Ok(written) => self.written(written).await?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    let why = self.stream.why(error).await;
                    return Err(format!("connection broke while a request was written: {why}"));
                }
            }
        }
        Ok(())
    }

    async fn written(&mut self, bytes: usize) -> Result<(), String> {
        let connection = self.connection;
        for correlation in self.queue.advance(bytes) {
            self.tell(Event::Written { connection, correlation }).await?;
        }
        Ok(())
    }

    /// Why the broker closed the connection. A broker that speaks TLS cannot read a plain request.
    fn closed(&self, why: String) -> String {
        if self.is_silent { why + self.stream.hint() } else { why }
    }

    /// Reads what has arrived, about 16 KiB at most, and sends an event for each frame. Returns false if no bytes are
    /// there.
    async fn read(&mut self) -> Result<bool, String> {
        self.decoder.buffer().reserve(READ);
        match self.stream.try_read_buf(self.decoder.buffer()) {
            Ok(0) => return Err(self.closed("broker closed the connection".into())),
            Ok(_) => self.is_silent = false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(self.closed(broken(error))),
            Err(error) => return Err(broken(error)),
        }
        let connection = self.connection;
        while let Some(frame) = self.decoder.next_frame().map_err(|error| error.to_string())? {
            self.tell(Event::Frame { connection, frame }).await?;
        }
        Ok(true)
    }
}

fn broken(error: io::Error) -> String {
    format!("connection broke: {error}")
}

/// The requests that are being written.
#[derive(Debug, Default)]
struct WriteQueue {
    segments: VecDeque<Bytes>,
    /// For each request, how many segments are left, its correlation id, and whether it has a response.
    requests: VecDeque<(usize, i32, bool)>,
    /// The last request that was written completely.
    written: Option<i32>,
}

impl WriteQueue {
    fn push(&mut self, correlation: i32, segments: Vec<Bytes>, answered: bool) {
        self.requests.push_back((segments.len(), correlation, answered));
        self.segments.extend(segments);
    }

    fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        self.segments.iter().take(SLICES).map(|segment| IoSlice::new(segment)).collect()
    }

    /// Removes `bytes` that were written. Returns the requests without a response that are now written completely.
    fn advance(&mut self, mut bytes: usize) -> Vec<i32> {
        let mut unanswered = Vec::new();
        while let Some(segment) = self.segments.front_mut() {
            if bytes < segment.len() {
                segment.advance(bytes);
                break;
            }
            bytes -= segment.len();
            self.segments.pop_front();
            if let Some((left, correlation, answered)) = self.requests.front_mut() {
                *left -= 1;
                if *left == 0 {
                    self.written = Some(*correlation);
                    unanswered.extend((!*answered).then_some(*correlation));
                    self.requests.pop_front();
                }
            }
        }
        unanswered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(requests: &[(i32, &[usize], bool)]) -> WriteQueue {
        let mut queue = WriteQueue::default();
        for (correlation, lens, answered) in requests {
            let segments = lens.iter().map(|len| Bytes::from(vec![0; *len])).collect();
            queue.push(*correlation, segments, *answered);
        }
        queue
    }

    #[test]
    fn a_request_counts_as_written_with_its_last_byte() {
        let mut queue = queue(&[(1, &[3, 4], true), (2, &[5], true)]);
        assert_eq!((queue.advance(3), queue.written), (vec![], None));
        assert_eq!((queue.advance(3), queue.written), (vec![], None));
        assert_eq!((queue.advance(1), queue.written), (vec![], Some(1)));
        assert_eq!((queue.advance(5), queue.written, queue.is_empty()), (vec![], Some(2), true));
    }

    #[test]
    fn one_write_may_complete_several_requests_and_those_without_a_response_are_returned() {
        let mut queue = queue(&[(1, &[3], false), (2, &[4], true), (3, &[2, 2], false), (4, &[9], false)]);
        assert_eq!(queue.advance(12), [1, 3]);
        assert_eq!(queue.written, Some(3));
        assert_eq!(queue.slices().iter().map(|slice| slice.len()).collect::<Vec<_>>(), [8]);
    }
}
