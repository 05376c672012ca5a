//! A proxy between a client and a broker that replaces responses of the broker.
//!
//! In: a broker, and the rule for replies. Out: an address for clients, and counts of requests. Every request reaches the broker,
//! so its effects are real: a record whose response is replaced is in the log. Only ApiVersions does not reach the broker: the
//! proxy responds, because the response decides which versions both sides use. Deliberately absent: the meaning of a reply.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::responses::{API_VERSIONS, METADATA, Request, TOPIC, api_versions, unsupported};

/// The versions that the proxy supports: `(key, lowest, highest)`.
pub(crate) type Dialect = &'static [(i16, i16, i16)];
/// The newest versions: compact lengths, tagged fields, topics by id.
pub(crate) const NEW: Dialect = &[(0, 3, 13), (1, 4, 12), (2, 1, 7), (3, 4, 13), (18, 0, 4), (22, 0, 5)];
/// The versions of a broker from before KIP-482. It does not support the version of the client's first ApiVersions request.
pub(crate) const OLD: Dialect = &[(0, 3, 8), (1, 4, 11), (2, 1, 5), (3, 4, 8), (18, 0, 2), (22, 0, 1)];

/// What the proxy sends instead of the broker's response.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A response in a frame of the correct length.
    Frame(Vec<u8>),
    /// Raw bytes.
    Raw(Vec<u8>),
    /// Raw bytes, after which the connection is closed.
    Last(Vec<u8>),
    /// A response that takes longer than any timeout: one byte at a time.
    Slowly(Vec<u8>),
    /// Nothing, neither to this request nor to later ones of the connection.
    Nothing,
    /// Nothing, and no further bytes of the client are read.
    Deaf,
}

/// The reply to the requests of one API.
pub(crate) struct Rule {
    pub(crate) api: i16,
    pub(crate) reply: Box<dyn Fn(&Request) -> Reply + Send + Sync>,
}

/// A proxy in front of one broker.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    broker: u16,
    dialect: Dialect,
    rule: Mutex<Option<Rule>>,
    /// How many responses may still be replaced.
    left: AtomicUsize,
    topic_id: Mutex<[u8; 16]>,
    connections: AtomicUsize,
    requests: AtomicUsize,
    replaced: AtomicUsize,
    /// The number of connections on which a response was replaced, and of those that the client has ended.
    affected: AtomicUsize,
    ended: AtomicUsize,
}

impl Proxy {
    /// Listens for clients of the broker at `port` on loopback, and replaces at most `times` responses.
    pub(crate) async fn start(port: u16, dialect: Dialect, rule: Option<Rule>, times: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let zero = AtomicUsize::default;
        let shared = Arc::new(Shared {
            broker: port,
            dialect,
            rule: Mutex::new(rule),
            left: AtomicUsize::new(times),
            topic_id: Mutex::default(),
            connections: zero(),
            requests: zero(),
            replaced: zero(),
            affected: zero(),
            ended: zero(),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared), address.port()));
        Self { address, shared }
    }

    /// Replaces no further response.
    pub(crate) fn pass_through(&self) {
        self.shared.left.store(0, SeqCst);
    }

    /// The number of connections from clients.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// The number of requests from clients.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(SeqCst)
    }

    /// The number of replaced responses.
    pub(crate) fn replaced(&self) -> usize {
        self.shared.replaced.load(SeqCst)
    }

    /// Whether the client has ended every connection on which a response was replaced.
    pub(crate) fn has_ended_affected(&self) -> bool {
        self.shared.ended.load(SeqCst) == self.shared.affected.load(SeqCst)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, port: u16) {
    while let Ok((client, _)) = listener.accept().await {
        shared.connections.fetch_add(1, SeqCst);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut affected = false;
            let ended = converse(client, &shared, i32::from(port), &mut affected).await;
            if affected && ended.is_err() {
                shared.ended.fetch_add(1, SeqCst);
            }
        });
    }
}

/// Serves one client until one side ends the connection. An error means that the client ended it.
async fn converse(mut client: TcpStream, shared: &Shared, port: i32, affected: &mut bool) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut broker = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.broker)).await?;
    loop {
        let frame = read_frame(&mut client).await?;
        shared.requests.fetch_add(1, SeqCst);
        let mut request = parse(&frame, port);
        request.original = shared.original(&mut broker, &frame, &request).await?;
        request.topic_id = *shared.topic_id.lock().expect("no task panics with the lock");
        let Some(reply) = shared.reply(&request) else {
            client.write_all(&framed(&request.original)).await?;
            continue;
        };
        if !std::mem::replace(affected, true) {
            shared.affected.fetch_add(1, SeqCst);
        }
        match reply {
            Reply::Frame(response) => client.write_all(&framed(&response)).await?,
            Reply::Raw(bytes) => client.write_all(&bytes).await?,
            Reply::Last(bytes) => {
                client.write_all(&bytes).await?;
                client.shutdown().await?;
            }
            Reply::Slowly(response) => {
                for byte in framed(&response) {
                    client.write_all(&[byte]).await?;
                    sleep(Duration::from_millis(50)).await;
                }
            }
            Reply::Deaf => std::future::pending().await,
            Reply::Nothing => {
                // Further requests on this connection have no response either.
                while client.read(&mut [0; 4096]).await? > 0 {}
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Shared {
    /// The broker's response, with the proxy's port instead of the broker's.
    async fn original(&self, broker: &mut TcpStream, frame: &[u8], request: &Request) -> io::Result<Vec<u8>> {
        if request.api == API_VERSIONS {
            let known =
                self.dialect.iter().any(|(key, _, highest)| *key == API_VERSIONS && request.version <= *highest);
            let response =
                if known { api_versions(request, 0, self.dialect) } else { unsupported(request, self.dialect) };
            return Ok(response.bytes);
        }
        broker.write_all(&framed(frame)).await?;
        let mut response = read_frame(broker).await?;
        if request.api == METADATA {
            let host = b"127.0.0.1";
            for at in places(&response, host) {
                response[at + host.len()..][..4].copy_from_slice(&request.port.to_be_bytes());
            }
            if request.version >= 10 {
                let id = places(&response, TOPIC.as_bytes()).first().map(|at| &response[at + TOPIC.len()..][..16]);
                let id = id.expect("the broker has the topic").try_into().expect("an id has 16 bytes");
                *self.topic_id.lock().expect("no task panics with the lock") = id;
            }
        }
        Ok(response)
    }

    /// The reply that replaces the response to this request, if any.
    fn reply(&self, request: &Request) -> Option<Reply> {
        let rule = self.rule.lock().expect("no task panics with the lock");
        let rule = rule.as_ref().filter(|rule| rule.api == request.api)?;
        self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).ok()?;
        self.replaced.fetch_add(1, SeqCst);
        Some((rule.reply)(request))
    }
}

/// The positions of `wanted` in `bytes`.
fn places(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let at = bytes.windows(wanted.len()).enumerate();
    at.filter(|(_, window)| *window == wanted).map(|(at, _)| at).collect()
}

fn parse(frame: &[u8], port: i32) -> Request {
    let short = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
    let correlation = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
    Request { api: short(0), version: short(2), correlation, port, topic_id: [0; 16], original: Vec::new() }
}

/// A frame: the length of `response`, then `response`.
pub(crate) fn framed(response: &[u8]) -> Vec<u8> {
    [&i32::try_from(response.len()).expect("responses are short").to_be_bytes()[..], response].concat()
}

async fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = stream.read_i32().await?;
    let mut frame = vec![0; usize::try_from(len).expect("clients and brokers here know framing")];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}
