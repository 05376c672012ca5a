//! A proxy before one broker, which cuts connections at chosen moments.
//!
//! In: a broker's port, and faults of its connections. Out: an address to advertise instead of the broker's, and
//! counts. It parses Kafka's frames and the headers of requests and responses. So it knows when a Produce request has
//! been sent completely, and which response belongs to it. It forwards whole frames. It runs on a separate thread and
//! runtime, so the test's runtime does not delay it. Deliberately absent: `acks=0`, whose requests have no response.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep_until},
};

const PRODUCE: i16 = 0;
/// The largest frame. No test sends a larger one, so a larger length is a bug of the test.
const MAX_FRAME: usize = 64 * 1024 * 1024;

/// A proxy before one broker.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// The counts of a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Connections that were reset.
    pub connections: usize,
    /// Responses to Produce requests that the client never received; of an opaque proxy, pieces of what the broker sent.
    pub responses: usize,
}

#[derive(Debug)]
struct Shared {
    /// Whether the bytes are encrypted, and are passed on as they come.
    is_opaque: bool,
    /// How long connections pass no responses before they are reset. A change cuts all open connections.
    deaf: watch::Sender<Duration>,
    /// The response to every n-th Produce request is lost; 0 loses none.
    lose_every: AtomicUsize,
    requests: AtomicUsize,
    connections: AtomicUsize,
    responses: AtomicUsize,
}

impl Proxy {
    /// Listens, on a port that the system chooses, for clients of the broker at `port` on loopback.
    ///
    /// # Panics
    /// When loopback has no free port.
    #[must_use]
    pub fn start(port: u16) -> Self {
        Self::open(port, false)
    }

    /// As [`start`](Self::start), for connections that are encrypted. It cannot lose a response that it chooses.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_opaque(port: u16) -> Self {
        Self::open(port, true)
    }

    fn open(port: u16, is_opaque: bool) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let shared = Arc::new(Shared {
            is_opaque,
            deaf: watch::channel(Duration::ZERO).0,
            lose_every: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            responses: AtomicUsize::new(0),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be built").block_on(accept(listener, port, of_thread));
        });
        Self { address, shared }
    }

    /// The address for clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes every open connection deaf: requests still reach the broker, but no response reaches the client. After `deaf` the
    /// connection is reset.
    pub fn cut(&self, deaf: Duration) {
        self.shared.deaf.send_replace(deaf);
    }

    /// From now on the broker receives every `n`-th Produce request whole, and nothing after it. Its response is dropped, and the
    /// client's connection is reset. 0 ends that.
    pub fn lose_responses(&self, n: usize) {
        self.shared.lose_every.store(n, Ordering::Relaxed);
    }

    /// The counts since the start.
    #[must_use]
    pub fn cuts(&self) -> Cuts {
        let Shared { connections, responses, .. } = &*self.shared;
        Cuts { connections: connections.load(Ordering::Relaxed), responses: responses.load(Ordering::Relaxed) }
    }
}

async fn accept(listener: std::net::TcpListener, port: u16, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
    loop {
        let (client, _) = listener.accept().await.expect("a listener on loopback accepts");
        let shared = Arc::clone(&shared);
        // If the broker does not accept, the client's connection is closed, as by a broker that has just ended.
        tokio::spawn(async move {
            if let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                Connection::new(client, broker, shared).carry().await.ok();
            }
        });
    }
}

/// A client's connection, and the proxy's connection to the broker.
struct Connection {
    client: TcpStream,
    broker: TcpStream,
    requests: Frames,
    responses: Frames,
    /// Produce requests without a response.
    unanswered: Vec<i32>,
    /// The request whose response is to be lost.
    fatal: Option<i32>,
    /// When the connection ends; until then it is deaf.
    end: Option<Instant>,
    cut: watch::Receiver<Duration>,
    shared: Arc<Shared>,
}

impl Connection {
    fn new(client: TcpStream, broker: TcpStream, shared: Arc<Shared>) -> Self {
        for stream in [&client, &broker] {
            stream.set_nodelay(true).ok();
        }
        let (requests, responses, cut) = (Frames::default(), Frames::default(), shared.deaf.subscribe());
        Self { client, broker, requests, responses, unanswered: Vec::new(), fatal: None, end: None, cut, shared }
    }

    /// Forwards frames both ways until one side ends the connection or it is cut.
    async fn carry(&mut self) -> io::Result<()> {
        loop {
            let end = self.end.unwrap_or_else(Instant::now);
            tokio::select! {
                // A cut takes effect before frames that were sent after it.
                biased;
                Ok(()) = self.cut.changed(), if self.end.is_none() => {
                    self.end = Some(Instant::now() + *self.cut.borrow_and_update());
                }
                () = sleep_until(end), if self.end.is_some() => return self.reset(),
                read = self.broker.read_buf(&mut self.responses.0) => {
                    ended(read)?;
                    if self.pass_responses().await?.is_break() {
                        return self.reset();
                    }
                }
                read = self.client.read_buf(&mut self.requests.0), if self.fatal.is_none() => {
                    ended(read)?;
                    self.pass_requests().await?;
                }
            }
        }
    }

    async fn pass_requests(&mut self) -> io::Result<()> {
        if self.shared.is_opaque {
            return self.broker.write_all(&std::mem::take(&mut self.requests.0)).await;
        }
        while self.fatal.is_none()
            && let Some(frame) = self.requests.next()?
        {
            let (api, correlation) = (i16::from_be_bytes([frame[4], frame[5]]), number(&frame, 8));
            if api == PRODUCE {
                self.unanswered.push(correlation);
                self.fatal = self.shared.is_chosen().then_some(correlation);
            }
            self.broker.write_all(&frame).await?;
        }
        Ok(())
    }

    /// Forwards responses. Breaks at the response that must be lost.
    async fn pass_responses(&mut self) -> io::Result<ControlFlow<()>> {
        if self.shared.is_opaque {
            let bytes = std::mem::take(&mut self.responses.0);
            if self.end.is_some() {
                self.shared.responses.fetch_add(1, Ordering::Relaxed);
            } else {
                self.client.write_all(&bytes).await?;
            }
            return Ok(ControlFlow::Continue(()));
        }
        while let Some(frame) = self.responses.next()? {
            let correlation = number(&frame, 4);
            let produced = self
                .unanswered
                .iter()
                .position(|unanswered| *unanswered == correlation)
                .map(|at| self.unanswered.remove(at));
            if self.fatal.is_some_and(|fatal| fatal == correlation) {
                self.shared.responses.fetch_add(1, Ordering::Relaxed);
                return Ok(ControlFlow::Break(()));
            }
            if self.end.is_some() {
                self.shared.responses.fetch_add(usize::from(produced.is_some()), Ordering::Relaxed);
            } else {
                self.client.write_all(&frame).await?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Ends the connection as a firewall or a crash would: the client receives a reset.
    fn reset(&mut self) -> io::Result<()> {
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        self.client.set_zero_linger()
    }
}

impl Shared {
    fn is_chosen(&self) -> bool {
        let every = self.lose_every.load(Ordering::Relaxed);
        every > 0 && (self.requests.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every)
    }
}

fn ended(read: io::Result<usize>) -> io::Result<()> {
    if read? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// A buffer of bytes that are split into frames.
#[derive(Debug, Default)]
struct Frames(Vec<u8>);

impl Frames {
    /// The next whole frame, including its length. Every frame has at least the 12 bytes that are read here.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.0.len() < 12 {
            return Ok(None);
        }
        match usize::try_from(number(&self.0, 0)) {
            Ok(len) if (8..=MAX_FRAME).contains(&len) => {
                let whole = 4 + len <= self.0.len();
                Ok(whole.then(|| self.0.drain(..4 + len).collect()))
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn number(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener as Listener, TcpStream as Stream},
        sync::mpsc,
    };

    use super::*;

    fn frame(head: &[u8]) -> Vec<u8> {
        [&i32::try_from(head.len()).unwrap().to_be_bytes()[..], head].concat()
    }

    fn request(api: u8, correlation: u8) -> Vec<u8> {
        frame(&[0, api, 0, 9, 0, 0, 0, correlation, 1, 2])
    }

    fn response(correlation: u8) -> Vec<u8> {
        frame(&[0, 0, 0, correlation, 7, 7, 7, 7])
    }

    /// A broker that responds to each request with its correlation id, and a proxy before it. Returns also a receiver of the
    /// correlation ids that the broker received.
    fn broker() -> (Proxy, mpsc::Receiver<u8>) {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap().port());
        let (got, received) = mpsc::channel();
        thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                let mut request = [0; 14];
                while connection.read_exact(&mut request).is_ok() {
                    got.send(request[11]).ok();
                    connection.write_all(&response(request[11])).ok();
                }
            }
        });
        (proxy, received)
    }

    fn read(client: &mut Stream) -> Result<Vec<u8>, io::ErrorKind> {
        let mut response = vec![0; 12];
        client.read_exact(&mut response).map(|()| response).map_err(|error| error.kind())
    }

    #[test]
    fn whole_frames_are_returned_and_the_rest_stays() {
        let mut frames = Frames([request(3, 1), request(0, 2)[..9].to_vec()].concat());
        assert_eq!(frames.next().unwrap(), Some(request(3, 1)));
        assert_eq!(frames.next().unwrap(), None);
        assert_eq!(frames.0, request(0, 2)[..9]);
        assert!(Frames(vec![0x80; 12]).next().is_err());
    }

    #[test]
    fn the_chosen_request_reaches_the_broker_and_its_response_does_not_reach_the_client() {
        let (proxy, received) = broker();
        proxy.lose_responses(2);
        let mut client = Stream::connect(proxy.address()).unwrap();
        client.write_all(&[request(0, 1), request(3, 2), request(0, 3), request(0, 4)].concat()).unwrap();
        assert_eq!([read(&mut client), read(&mut client)], [Ok(response(1)), Ok(response(2))]);
        assert_eq!(read(&mut client), Err(io::ErrorKind::ConnectionReset));
        assert_eq!(received.try_iter().collect::<Vec<_>>(), [1, 2, 3], "nothing after the chosen request");
        assert_eq!(proxy.cuts(), Cuts { connections: 1, responses: 1 });
    }

    #[test]
    fn a_deaf_connection_still_carries_requests_and_then_it_is_reset() {
        let (proxy, received) = broker();
        let mut client = Stream::connect(proxy.address()).unwrap();
        client.write_all(&request(0, 1)).unwrap();
        assert_eq!(read(&mut client), Ok(response(1)));
        proxy.cut(Duration::from_millis(200));
        client.write_all(&request(0, 2)).unwrap();
        assert_eq!(read(&mut client), Err(io::ErrorKind::ConnectionReset));
        assert_eq!(received.try_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(proxy.cuts(), Cuts { connections: 1, responses: 1 });
    }
}
