//! The liar: a proxy between a client and an honest broker, which changes the broker's responses.
//!
//! In: a broker, and the lie. Out: an address for clients, and counts of requests. Every request reaches the broker, so
//! its effects are real: records that the liar denies are in the log. Only the response to ApiVersions is the liar's
//! own, because it decides which versions both sides use. Deliberately absent: what a lie means.

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

use crate::responses::{API_VERSIONS, Asked, METADATA, TOPIC, api_versions, unsupported};

/// Versions in which the liar talks: `(key, lowest, highest)`.
pub(crate) type Dialect = &'static [(i16, i16, i16)];
/// The newest: compact lengths, tagged fields, topics by id.
pub(crate) const NEW: Dialect = &[(0, 3, 13), (1, 4, 12), (2, 1, 7), (3, 4, 13), (18, 0, 4), (22, 0, 5)];
/// That of a broker from before KIP-482; it does not know the version in which it is asked what it speaks.
pub(crate) const OLD: Dialect = &[(0, 3, 8), (1, 4, 11), (2, 1, 5), (3, 4, 8), (18, 0, 2), (22, 0, 1)];

/// What is said in place of the honest response.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// A response in a frame of its right length.
    Frame(Vec<u8>),
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// Bytes as they are, and then the connection is closed.
    Last(Vec<u8>),
    /// A response that takes longer than anybody waits: one byte at a time.
    Slowly(Vec<u8>),
    /// Nothing, neither to this request nor to another.
    Nothing,
    /// Nothing, and what the client still sends is not read.
    Deaf,
}

/// What is said to which requests.
pub(crate) struct Lie {
    pub(crate) api: i16,
    pub(crate) tell: Box<dyn Fn(&Asked) -> Told + Send + Sync>,
}

/// A liar before one broker.
#[derive(Clone)]
pub(crate) struct Liar {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    broker: u16,
    dialect: Dialect,
    lie: Mutex<Option<Lie>>,
    /// How many lies are still to be told.
    left: AtomicUsize,
    topic_id: Mutex<[u8; 16]>,
    connections: AtomicUsize,
    requests: AtomicUsize,
    told: AtomicUsize,
    /// Connections on which a lie was told, and those of them that the client has ended.
    tainted: AtomicUsize,
    ended: AtomicUsize,
}

impl Liar {
    /// Listens for clients of the broker at `port` on loopback, and lies at most `times`.
    pub(crate) async fn start(port: u16, dialect: Dialect, lie: Option<Lie>, times: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let zero = AtomicUsize::default;
        let shared = Arc::new(Shared {
            broker: port,
            dialect,
            lie: Mutex::new(lie),
            left: AtomicUsize::new(times),
            topic_id: Mutex::default(),
            connections: zero(),
            requests: zero(),
            told: zero(),
            tainted: zero(),
            ended: zero(),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared), address.port()));
        Self { address, shared }
    }

    /// From now on it is honest.
    pub(crate) fn repent(&self) {
        self.shared.left.store(0, SeqCst);
    }

    /// Connections that were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// Requests that it got.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(SeqCst)
    }

    /// Lies that it told.
    pub(crate) fn told(&self) -> usize {
        self.shared.told.load(SeqCst)
    }

    /// Whether the client has ended every connection on which it was lied to.
    pub(crate) fn is_shunned(&self) -> bool {
        self.shared.ended.load(SeqCst) == self.shared.tainted.load(SeqCst)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, port: u16) {
    while let Ok((client, _)) = listener.accept().await {
        shared.connections.fetch_add(1, SeqCst);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut tainted = false;
            let ended = converse(client, &shared, i32::from(port), &mut tainted).await;
            if tainted && ended.is_err() {
                shared.ended.fetch_add(1, SeqCst);
            }
        });
    }
}

/// Answers one client's requests until one side ends it: an error is the client's end.
async fn converse(mut client: TcpStream, shared: &Shared, port: i32, tainted: &mut bool) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut broker = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.broker)).await?;
    loop {
        let request = read_frame(&mut client).await?;
        shared.requests.fetch_add(1, SeqCst);
        let mut asked = heard(&request, port);
        asked.honest = shared.honest(&mut broker, &request, &asked).await?;
        asked.topic_id = *shared.topic_id.lock().expect("nobody panics here");
        let Some(told) = shared.lie(&asked) else {
            client.write_all(&framed(&asked.honest)).await?;
            continue;
        };
        if !std::mem::replace(tainted, true) {
            shared.tainted.fetch_add(1, SeqCst);
        }
        match told {
            Told::Frame(response) => client.write_all(&framed(&response)).await?,
            Told::Raw(bytes) => client.write_all(&bytes).await?,
            Told::Last(bytes) => {
                client.write_all(&bytes).await?;
                client.shutdown().await?;
            }
            Told::Slowly(response) => {
                for byte in framed(&response) {
                    client.write_all(&[byte]).await?;
                    sleep(Duration::from_millis(50)).await;
                }
            }
            Told::Deaf => std::future::pending().await,
            Told::Nothing => {
                // Whatever else is asked on this connection has no response either.
                while client.read(&mut [0; 4096]).await? > 0 {}
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Shared {
    /// What the broker says, with the liar's port in place of its own.
    async fn honest(&self, broker: &mut TcpStream, request: &[u8], asked: &Asked) -> io::Result<Vec<u8>> {
        if asked.api == API_VERSIONS {
            let known = self.dialect.iter().any(|(key, _, highest)| *key == API_VERSIONS && asked.version <= *highest);
            let response = if known { api_versions(asked, 0, self.dialect) } else { unsupported(asked, self.dialect) };
            return Ok(response.bytes);
        }
        broker.write_all(&framed(request)).await?;
        let mut response = read_frame(broker).await?;
        if asked.api == METADATA {
            let host = b"127.0.0.1";
            for at in places(&response, host) {
                response[at + host.len()..][..4].copy_from_slice(&asked.port.to_be_bytes());
            }
            if asked.version >= 10 {
                let id = places(&response, TOPIC.as_bytes()).first().map(|at| &response[at + TOPIC.len()..][..16]);
                let id = id.expect("the broker has the topic").try_into().expect("an id has 16 bytes");
                *self.topic_id.lock().expect("nobody panics here") = id;
            }
        }
        Ok(response)
    }

    fn lie(&self, asked: &Asked) -> Option<Told> {
        let lie = self.lie.lock().expect("nobody panics here");
        let lie = lie.as_ref().filter(|lie| lie.api == asked.api)?;
        self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).ok()?;
        self.told.fetch_add(1, SeqCst);
        Some((lie.tell)(asked))
    }
}

/// Where `wanted` stands in `bytes`.
fn places(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let at = bytes.windows(wanted.len()).enumerate();
    at.filter(|(_, window)| *window == wanted).map(|(at, _)| at).collect()
}

fn heard(request: &[u8], port: i32) -> Asked {
    let short = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
    let correlation = i32::from_be_bytes([request[4], request[5], request[6], request[7]]);
    Asked { api: short(0), version: short(2), correlation, port, topic_id: [0; 16], honest: Vec::new() }
}

/// `response` with its length before it.
pub(crate) fn framed(response: &[u8]) -> Vec<u8> {
    [&i32::try_from(response.len()).expect("responses are short").to_be_bytes()[..], response].concat()
}

async fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = stream.read_i32().await?;
    let mut frame = vec![0; usize::try_from(len).expect("clients and brokers here know framing")];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}
