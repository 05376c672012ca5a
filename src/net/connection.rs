//! One connection: a task that owns a socket.
//!
//! In: requests as segments, in order. Out: frames, and in the end why it ended and what had been written by then. Does
//! input and output. Reading never waits for writing, nor writing for reading. Segments are handed to the kernel with
//! vectored writes and are not copied. Deliberately absent: what requests and frames mean.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    net::TcpStream,
    sync::mpsc::{Sender, UnboundedReceiver},
    time::{sleep, timeout},
};

use crate::{
    dial::{Attempt, SocketBuffers, dial},
    sender::{ConnectionId, Event},
    wire::frame::Decoder,
};

/// Segments that are handed to the kernel at once.
const SLICES: usize = 64;
/// Bytes of room made for each read.
const READ: usize = 16 * 1024;

/// The runtime looks at its sockets before its timers, so what had come before a timer of this length is known when it ends.
const A_LOOK: Duration = Duration::from_millis(1);

/// What a connection is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Send a request.
    Send(Request),
    /// Tell all that has come, and then that it has been read.
    Read,
}

/// A request on its way out.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) correlation: i32,
    pub(super) segments: Vec<Bytes>,
    /// Whether the broker will answer; if not, its being written is the news.
    pub(super) answered: bool,
}

/// Where a connection leads to.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: ConnectionId,
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) attempt: Attempt,
    pub(super) buffers: SocketBuffers,
}

/// Connects, then carries requests out and frames in until either side ends it. Ends silently when `orders` is closed.
pub(super) async fn run(peer: Peer, mut orders: UnboundedReceiver<Order>, events: Sender<Event>) {
    let connection = peer.id;
    let Some(dialled) = connect(&peer, &mut orders, &events).await else { return };
    let stream = match dialled {
        Ok(stream) => stream,
        Err(why) => {
            let why = why.join("; ").into();
            let _ = events.send(Event::Disconnected { connection, why, written: None }).await;
            return;
        }
    };
    if events.send(Event::Connected { connection }).await.is_err() {
        return;
    }
    let mut socket = Socket { connection, stream, decoder: Decoder::new(), queue: Queue::default(), events, orders };
    let ended = socket.carry().await;
    let Socket { events, queue, .. } = socket;
    if let Err(why) = ended {
        let _ = events.send(Event::Disconnected { connection, why: why.into(), written: queue.written }).await;
    }
}

/// Makes the connection; `None` when it is not wanted any more. Nothing is sent before it is made.
async fn connect(
    peer: &Peer,
    orders: &mut UnboundedReceiver<Order>,
    events: &Sender<Event>,
) -> Option<Result<TcpStream, Vec<String>>> {
    let mut dialling = pin!(dial(&peer.host, peer.port, peer.attempt, peer.buffers));
    loop {
        tokio::select! {
            dialled = &mut dialling => return Some(dialled),
            order = orders.recv() => order?,
        };
        // Whether it has been made meanwhile is told first.
        if let Ok(dialled) = timeout(A_LOOK, &mut dialling).await {
            return Some(dialled);
        }
        events.send(Event::Read { connection: peer.id }).await.ok()?;
    }
}

/// What a look at the socket brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Bytes. The frames that became whole with them were told.
    Bytes,
    /// Nothing is there at the moment.
    Nothing,
    /// Bytes, but nobody listens any more.
    Unheard,
}

struct Socket {
    connection: ConnectionId,
    stream: TcpStream,
    decoder: Decoder,
    queue: Queue,
    events: Sender<Event>,
    orders: UnboundedReceiver<Order>,
}

impl Socket {
    /// Carries until the producer ends it (`Ok`) or something goes wrong.
    async fn carry(&mut self) -> Result<(), String> {
        loop {
            tokio::select! {
                readable = self.stream.readable() => {
                    readable.map_err(|error| format!("connection broke: {error}"))?;
                    if self.read().await? == Look::Unheard {
                        return Ok(());
                    }
                }
                order = self.orders.recv() => match order {
                    Some(order) => {
                        if !self.obey(order).await? {
                            return Ok(());
                        }
                    }
                    None => return Ok(()),
                },
                writable = self.stream.writable(), if !self.queue.is_empty() => {
                    writable.map_err(|error| format!("connection broke: {error}"))?;
                    self.write().await?;
                }
            }
        }
    }

    /// Queues requests, and writes what the kernel takes at once; reads, if it is to. False when nobody listens any more.
    async fn obey(&mut self, order: Order) -> Result<bool, String> {
        let (mut next, mut is_to_read) = (Some(order), false);
        while let Some(order) = next {
            match order {
                Order::Send(request) => self.queue.push(request),
                Order::Read => is_to_read = true,
            }
            next = self.orders.try_recv().ok();
        }
        self.write().await?;
        if is_to_read { self.read_all().await } else { Ok(true) }
    }

    /// Reads all that has come, and says so.
    async fn read_all(&mut self) -> Result<bool, String> {
        sleep(A_LOOK).await;
        loop {
            match self.read().await? {
                Look::Bytes => {}
                Look::Nothing => break,
                Look::Unheard => return Ok(false),
            }
        }
        Ok(self.events.send(Event::Read { connection: self.connection }).await.is_ok())
    }

    async fn write(&mut self) -> Result<(), String> {
        while !self.queue.is_empty() {
            let slices = self.queue.slices();
            match self.stream.try_write_vectored(&slices) {
                Ok(0) => return Err("connection closed while a request was written".into()),
                Ok(written) => self.written(written).await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("connection broke while a request was written: {error}")),
            }
        }
        Ok(())
    }

    async fn written(&mut self, bytes: usize) {
        let connection = self.connection;
        for correlation in self.queue.advance(bytes) {
            let _ = self.events.send(Event::Written { connection, correlation }).await;
        }
    }

    /// Reads what is there, at most 16 KiB or so, and tells it.
    async fn read(&mut self) -> Result<Look, String> {
        self.decoder.buffer().reserve(READ);
        match self.stream.try_read_buf(self.decoder.buffer()) {
            Ok(0) => return Err("broker closed the connection".into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Look::Nothing),
            Err(error) => return Err(format!("connection broke: {error}")),
        }
        let connection = self.connection;
        while let Some(frame) = self.decoder.next_frame().map_err(|error| error.to_string())? {
            if self.events.send(Event::Frame { connection, frame }).await.is_err() {
                return Ok(Look::Unheard);
            }
        }
        Ok(Look::Bytes)
    }
}

/// Requests that are being written.
#[derive(Debug, Default)]
struct Queue {
    segments: VecDeque<Bytes>,
    /// How many segments each request still has, and what is told when the last one is written.
    requests: VecDeque<(usize, i32, bool)>,
    /// The last request that was written whole.
    written: Option<i32>,
}

impl Queue {
    fn push(&mut self, request: Request) {
        self.requests.push_back((request.segments.len(), request.correlation, request.answered));
        self.segments.extend(request.segments);
    }

    fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        self.segments.iter().take(SLICES).map(|segment| IoSlice::new(segment)).collect()
    }

    /// Takes note that the kernel took `bytes`. Returns the requests without an answer that are written whole now.
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

    fn queue(requests: &[(i32, &[usize], bool)]) -> Queue {
        let mut queue = Queue::default();
        for (correlation, lens, answered) in requests {
            let segments = lens.iter().map(|len| Bytes::from(vec![0; *len])).collect();
            queue.push(Request { correlation: *correlation, segments, answered: *answered });
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
    fn one_write_may_end_several_requests_and_those_without_an_answer_are_told() {
        let mut queue = queue(&[(1, &[3], false), (2, &[4], true), (3, &[2, 2], false), (4, &[9], false)]);
        assert_eq!(queue.advance(12), [1, 3]);
        assert_eq!(queue.written, Some(3));
        assert_eq!(queue.slices().iter().map(|slice| slice.len()).collect::<Vec<_>>(), [8]);
    }
}
