//! The only part of the broker with sockets and a clock: one listener per node, one task per connection.
//!
//! In: connections. Out: [`State`]'s replies, in the order of the requests. Does I/O. As in Apache Kafka, a connection's next request
//! is read after the response to the one before it was sent. Deliberately absent: any decision.

pub(super) mod store;

use std::{
    fmt, io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinSet,
};

use self::store::Store;
#[cfg(feature = "broker-tls")]
use super::tls::Certificates;
use super::{
    api::Malformed,
    refusals::{Client, Refusals},
    requests::{Pending, Polled, Reply},
    session::Session,
    state::State,
};
use crate::wire::frame::{Decoder, FrameError, MAX_FRAME};

/// The state, and a channel that notifies connections with a held request of its changes.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    refusals: Mutex<Refusals>,
    /// What keeps the state on disk, if anything does. It is locked after the state.
    store: Mutex<Option<Store>>,
    /// `None` if listeners speak no TLS.
    #[cfg(feature = "broker-tls")]
    pub(super) certificates: Option<Certificates>,
}

impl Shared {
    pub(super) fn new(state: State, store: Option<Store>) -> Self {
        Self {
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            refusals: Mutex::default(),
            store: Mutex::new(store),
            #[cfg(feature = "broker-tls")]
            certificates: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state and wakes every held request.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = {
            let mut state = self.lock();
            let result = change(&mut state);
            self.keep(&mut state);
            result
        };
        self.changed.send_replace(());
        result
    }

    /// Takes a request's frame. An error is logged, once for each client.
    fn arrive(&self, node: i32, client: &Client, session: &Session, frame: Bytes) -> Result<Pending, Malformed> {
        let arrived = self.lock().arrive(now_ms(), node, session, frame.clone());
        arrived.inspect_err(|wrong| self.refuse(node, client, &frame, wrong))
    }

    fn refuse(&self, node: i32, client: &Client, frame: &[u8], wrong: &dyn fmt::Display) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = refusals.line(client, frame, wrong) {
            tracing::warn!(node, "{line}");
        }
    }

    /// Writes what has changed to disk. Returns whether it is there.
    fn keep(&self, state: &mut State) -> bool {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = store.as_mut().map_or(Ok(()), |store| store.write(state));
        kept.inspect_err(|error| tracing::error!(%error, "the data folder cannot be written")).is_ok()
    }

    fn poll(&self, session: &mut Session, pending: &Pending) -> Polled {
        let (outcome, has_news) = {
            let mut state = self.lock();
            let polled = state.poll(now_ms(), session, pending);
            // Nothing is said to be done that would be gone after a restart.
            let polled = if self.keep(&mut state) { polled } else { Polled::Done(Reply::close(now_ms())) };
            (polled, state.groups.take_news())
        };
        if has_news || matches!(outcome, Polled::Done(_)) {
            self.changed.send_replace(());
        }
        outcome
    }
}

/// The time in milliseconds since the Unix epoch.
/// The wall clock, in milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Opens a listener on each of the ports.
pub(super) async fn bind(host: &str, ports: &[u16]) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for port in ports {
        let bound = TcpListener::bind((host, *port)).await;
        listeners.push(bound.map_err(|error| io::Error::new(error.kind(), format!("{host}:{port}: {error}")))?);
    }
    Ok(listeners)
}

/// Serves one node until `stop` is sent or dropped; then closes its port and its connections.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, node: i32, mut stop: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    connections.spawn(connection(socket, peer.ip(), Arc::clone(&shared), node));
                }
                Err(error) => {
                    tracing::warn!(node, %error, "connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection(socket: TcpStream, address: IpAddr, shared: Arc<Shared>, node: i32) {
    let client = Client { address, software: None };
    if let Err(error) = secure(socket, client, &shared, node).await {
        tracing::debug!(node, %error, "connection closed");
    }
}

/// How a connection ended.
type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Shakes hands if the listener speaks TLS, and serves the connection.
async fn secure(mut socket: TcpStream, client: Client, shared: &Shared, node: i32) -> Ended {
    socket.set_nodelay(true)?;
    #[cfg(feature = "broker-tls")]
    if let Some(certificates) = &shared.certificates {
        let accepted = crate::tls::server::handshake::accept(certificates.current(), socket).await;
        // A client that goes away without a word is nothing to tell of.
        let is_told = |wrong: &io::Error| wrong.kind() != io::ErrorKind::UnexpectedEof;
        let refuse = |wrong: &io::Error| {
            if is_told(wrong) {
                shared.refuse(node, &client, &[], wrong)
            }
        };
        let (mut stream, subject) = accepted.inspect_err(refuse)?;
        let session = Session::new(client.address, subject);
        let ended = converse(&mut stream, client, session, shared, node).await;
        // So that the client can tell the end from a connection that was cut.
        stream.shutdown().await?;
        return ended;
    }
    let session = Session::new(client.address, None);
    converse(&mut socket, client, session, shared, node).await
}

async fn converse(
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut client: Client,
    mut session: Session,
    shared: &Shared,
    node: i32,
) -> Ended {
    let mut decoder = Decoder::with_max(MAX_FRAME);
    let mut changed = shared.changed.subscribe();
    while let Some(frame) = next_frame(socket, &mut decoder).await? {
        let frame = frame.inspect_err(|wrong| shared.refuse(node, &client, &[], wrong))?;
        let pending = shared.arrive(node, &client, &session, frame)?;
        client.software = pending.software().or(client.software);
        let reply = settle(shared, &mut session, &pending, &mut changed).await?;
        sleep_until(reply.at_ms).await;
        socket.write_all(&reply.bytes).await?;
        socket.flush().await?;
        if reply.close {
            break;
        }
    }
    Ok(())
}

async fn next_frame(
    socket: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
) -> io::Result<Option<Result<Bytes, FrameError>>> {
    loop {
        if let Some(frame) = decoder.next_frame().transpose() {
            return Ok(Some(frame));
        }
        if socket.read_buf(decoder.buffer()).await? == 0 {
            return Ok(None);
        }
    }
}

/// Polls a request until it is done. A change between a poll and the wait after it ends the wait at once.
async fn settle(
    shared: &Shared,
    session: &mut Session,
    pending: &Pending,
    changed: &mut watch::Receiver<()>,
) -> Result<Reply, watch::error::RecvError> {
    loop {
        changed.mark_unchanged();
        match shared.poll(session, pending) {
            Polled::Done(reply) => return Ok(reply),
            Polled::Hold { until_ms } => tokio::select! {
                changed = changed.changed() => changed?,
                () = sleep_until(until_ms) => {}
            },
        }
    }
}

async fn sleep_until(at_ms: i64) {
    let ms = u64::try_from(at_ms.saturating_sub(now_ms())).unwrap_or(0);
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
