//! A connection to a broker or to a token endpoint, plain or encrypted.
//!
//! In: a connected socket, and how it is to be secured. Out: bytes, by the readiness of the socket. Does input and output. Without the
//! feature `tls` there is only the plain one.

#[cfg(feature = "tls")]
use std::sync::Arc;
#[cfg(feature = "oidc")]
use std::task::{Context, Poll};
use std::{
    fmt,
    io::{self, IoSlice},
};

use bytes::BytesMut;
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio::task::spawn_blocking;

use crate::config::Config;
#[cfg(feature = "tls")]
use crate::config::tls::TlsSettings;
#[cfg(feature = "tls")]
use crate::tls::{Peer, Refusal, Stream, Tls};

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct DialError {
    /// What happened at each address.
    pub(crate) tried: Vec<String>,
    /// Whether the peer and this client do not accept each other, so that it will be the same the next time, unless somebody acts.
    pub(crate) is_final: bool,
}

impl DialError {
    pub(crate) fn passing(tried: Vec<String>) -> Self {
        Self { tried, is_final: false }
    }
}

/// How connections are secured. A clone is the same.
#[derive(Clone)]
pub(crate) enum Security {
    /// Not at all.
    Plain,
    /// By TLS.
    #[cfg(feature = "tls")]
    Tls(Arc<Tls>),
}

impl Security {
    /// What the settings ask for.
    ///
    /// # Errors
    /// Every violation by a file that they name.
    #[cfg(feature = "tls")]
    pub(crate) async fn open(config: &Config) -> Result<Self, Vec<String>> {
        Self::of(config.tls.clone(), Peer::Broker).await
    }

    /// What these settings of TLS ask for, if there are any, to connect to such a peer.
    ///
    /// # Errors
    /// Every violation by a file that they name.
    #[cfg(feature = "tls")]
    pub(crate) async fn of(settings: Option<TlsSettings>, peer: Peer) -> Result<Self, Vec<String>> {
        let Some(settings) = settings else { return Ok(Self::Plain) };
        let opened = spawn_blocking(move || Tls::open(&settings, peer)).await;
        let opened = opened.unwrap_or_else(|_| Err(vec!["the runtime is shutting down".to_owned()]))?;
        Ok(Self::Tls(opened.into()))
    }

    /// What the settings ask for, which is nothing without the feature `tls`.
    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "with the feature it reads files")]
    pub(crate) async fn open(_: &Config) -> Result<Self, Vec<String>> {
        Ok(Self::Plain)
    }

    /// What at the other end has to speak TLS, as errors name it.
    pub(super) fn listener(&self) -> &'static str {
        match self {
            Self::Plain => "the listener",
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.peer().listener(),
        }
    }

    /// Secures a socket that is connected to `host`.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_async, unused_variables, reason = "only TLS asks the peer"))]
    pub(super) async fn secure(&self, socket: TcpStream, host: &str) -> Result<Transport, DialError> {
        match self {
            Self::Plain => Ok(Transport::Plain(socket)),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => {
                let secured = Arc::clone(tls).secure(socket, host).await;
                let failed = |Refusal { why, is_final }| DialError { tried: vec![why], is_final };
                secured.map(|stream| Transport::Tls(Box::new(stream))).map_err(failed)
            }
        }
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "Tls",
        })
    }
}

/// A connection. Its methods are those of [`TcpStream`].
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<Stream>),
}

impl Transport {
    /// Resolves when bytes may have arrived.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.readable().await,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.readable().await,
        }
    }

    /// Resolves when bytes may be written.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.writable().await,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.writable().await,
        }
    }

    /// As [`TcpStream::poll_read_ready`].
    #[cfg(feature = "oidc")]
    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_read_ready(context),
            Self::Tls(stream) => stream.socket().poll_read_ready(context),
        }
    }

    /// As [`TcpStream::poll_write_ready`].
    #[cfg(feature = "oidc")]
    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_write_ready(context),
            Self::Tls(stream) => stream.socket().poll_write_ready(context),
        }
    }

    /// Whether the connection broke because the peer and this client do not accept each other.
    pub(crate) fn is_refused(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.is_refused(),
        }
    }

    /// Whether bytes wait that nobody asked to write. A write, also of nothing, writes them.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.wants_write(),
        }
    }

    /// Appends what arrived to `buffer`. 0 is the end.
    pub(crate) fn try_read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_read_buf(buffer),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.try_read_buf(buffer),
        }
    }

    /// Hands bytes to the kernel. Returns how many of them a peer can use when it gets them. While it would block, the bytes at the front
    /// must stay the same.
    pub(crate) fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write_vectored(slices),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.try_write_vectored(slices),
        }
    }

    /// Why a connection broke while it was written: what the peer said, if it said something, or else `error`.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_async, reason = "only TLS has something to read"))]
    pub(crate) async fn why(&mut self, error: io::Error) -> io::Error {
        match self {
            Self::Plain(_) => error,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.why(error).await,
        }
    }

    /// What it may mean if the peer closes the connection before it has sent anything.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Plain(_) => "; if its listener speaks TLS, set security.protocol=SSL",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "",
        }
    }

    /// Writes all of `bytes`, while nothing else is written.
    #[cfg(feature = "admin")]
    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() || self.wants_write() {
            self.writable().await?;
            match self.try_write_vectored(&[IoSlice::new(bytes)]) {
                Ok(0) if !bytes.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(self.why(error).await),
            }
        }
        Ok(())
    }

    /// Appends at least one byte to `buffer`, or returns 0 at the end.
    #[cfg(feature = "admin")]
    pub(crate) async fn read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        loop {
            self.readable().await?;
            match self.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}
