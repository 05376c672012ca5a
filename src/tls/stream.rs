//! An encrypted connection.
//!
//! In: a connected socket, bytes to encrypt. Out: decrypted bytes, or why there are none. Does input and output, by the readiness of
//! the socket, as [`TcpStream`] itself: nothing waits but [`Stream::open`] and [`Stream::why`]. Reading never waits for writing.
//! Several records are encrypted ahead, and passed to the kernel in one call: a call costs as much as to encrypt a record.

use std::{
    fmt,
    io::{self, BufRead, IoSlice, Read, Write},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
#[cfg(feature = "admin")]
use rustls::ProtocolVersion;
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};

#[cfg(feature = "admin")]
use super::provider;
use super::{
    peer::Peer,
    records::{RECORD, Records},
    words::{Sides, explain},
};

/// How many bytes are encrypted ahead. Fewer need more calls; with more, the processor's nearest caches do not hold them until the kernel has
/// copied them. In steps of two, this took the least time.
const AHEAD: usize = 4 * RECORD;
/// How long to wait for what a peer said before it ended a connection. Mostly it is there already.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Why there is no session.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) why: String,
    /// Whether it will be the same the next time, unless somebody acts.
    pub(crate) is_final: bool,
}

impl Refusal {
    pub(crate) fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_final: false }
    }
}

/// A socket and the TLS session on it.
pub(crate) struct Stream {
    socket: TcpStream,
    session: ClientConnection,
    sides: Sides,
    /// How many bytes are encrypted, in records that the kernel is not known to have taken whole.
    unsent: usize,
    records: Records,
    /// Why the session failed. What was decrypted before is read first.
    failed: Option<String>,
}

impl Stream {
    /// Shakes hands. The caller limits the time.
    pub(super) async fn open(
        socket: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        sides: Sides,
    ) -> Result<Self, Refusal> {
        let invalid = |error: rustls::Error| Refusal { why: error.to_string(), is_final: true };
        let mut session = ClientConnection::new(config, name).map_err(invalid)?;
        session.set_buffer_limit(Some(AHEAD));
        let mut stream = Self { socket, session, sides, unsent: 0, records: Records::default(), failed: None };
        let mut heard = false;
        match stream.shake_hands(&mut heard).await {
            Ok(()) => Ok(stream),
            Err(error) => {
                let error = stream.why(error).await;
                Err(Refusal { why: in_words(&error, heard, sides.peer), is_final: stream.is_refused() })
            }
        }
    }

    /// `heard` becomes true with the peer's first byte.
    async fn shake_hands(&mut self, heard: &mut bool) -> io::Result<()> {
        loop {
            while self.wants_write() {
                self.socket.writable().await?;
                later(self.flush())?;
            }
            if !self.session.is_handshaking() {
                return Ok(());
            }
            self.socket.readable().await?;
            match later(self.receive())? {
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(_) => *heard = true,
                None => {}
            }
        }
    }

    /// Whether one side does not accept the other. It will not the next time either, unless somebody acts.
    pub(crate) fn is_refused(&self) -> bool {
        self.failed.is_some()
    }

    /// The version, as `ssl.enabled.protocols` names it, and the cipher suite.
    #[cfg(feature = "admin")]
    pub(super) fn agreed(&self) -> (String, String) {
        let version = match self.session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let suite = self.session.negotiated_cipher_suite();
        (version.to_owned(), suite.as_ref().map(provider::name).unwrap_or_default())
    }

    /// The socket, to wait for.
    #[cfg(feature = "oidc")]
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Resolves when the socket may have bytes.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Resolves when the socket may take bytes.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Whether bytes wait for the socket that nobody asked to write: the session's own, or the rest of a record.
    pub(crate) fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// As [`TcpStream::try_read_buf`]: appends what arrived. 0 is the end.
    pub(crate) fn try_read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        loop {
            let decrypted = self.take(buffer);
            if decrypted > 0 {
                return Ok(decrypted);
            }
            if self.receive()? == 0 {
                return Ok(0);
            }
        }
    }

    /// As [`TcpStream::try_write_vectored`]. Counts whole records: a peer cannot use a part of one. The bytes of `slices` behind what was
    /// written must stay the same, because some are encrypted already.
    pub(crate) fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.unsent == 0 {
            self.flush()?;
            self.unsent = self.session.writer().write_vectored(slices)?;
        }
        self.records.take();
        let flushed = self.flush();
        let whole = if flushed.is_ok() { self.unsent } else { self.records.take() };
        self.unsent -= whole;
        if whole > 0 { Ok(whole) } else { flushed.map(|()| 0) }
    }

    /// Why a connection broke: what the peer said before it ended it, or else `error`.
    pub(crate) async fn why(&mut self, error: io::Error) -> io::Error {
        while self.failed.is_none() {
            match timeout(LAST_WORDS, self.socket.readable()).await {
                Ok(Ok(())) => {}
                _ => break,
            }
            match later(self.receive()) {
                Ok(Some(0)) | Err(_) => break,
                Ok(_) => {}
            }
        }
        self.failed.clone().map_or(error, io::Error::other)
    }

    /// Appends what is decrypted.
    fn take(&mut self, buffer: &mut BytesMut) -> usize {
        let (before, mut reader) = (buffer.len(), self.session.reader());
        // An error means that there is nothing more as yet, or at all.
        while let Ok(decrypted) = reader.fill_buf() {
            let len = decrypted.len();
            if len == 0 {
                break;
            }
            buffer.extend_from_slice(decrypted);
            reader.consume(len);
        }
        buffer.len().saturating_sub(before)
    }

    /// Reads once and decrypts. 0 is the end.
    fn receive(&mut self) -> io::Result<usize> {
        if let Some(why) = &self.failed {
            return Err(io::Error::other(why.clone()));
        }
        let read = self.session.read_tls(&mut Socket(&self.socket))?;
        if read > 0
            && let Err(error) = self.session.process_new_packets()
        {
            self.failed = Some(explain(&error, self.sides));
            self.part();
        }
        Ok(read)
    }

    /// Hands the kernel what is encrypted.
    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(&mut Counted { socket: &self.socket, records: &mut self.records })? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Tells the peer why, or that, the session ends, if the socket takes it. Records that are not whole in the kernel stay behind: they count as
    /// not written.
    fn part(&mut self) {
        if self.unsent == 0 {
            let _ = self.flush();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.session.send_close_notify();
        self.part();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.session.protocol_version();
        f.debug_struct("Stream").field("socket", &self.socket).field("version", &version).finish_non_exhaustive()
    }
}

/// The socket as rustls reads it.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

/// The socket as rustls writes it.
struct Counted<'a> {
    socket: &'a TcpStream,
    records: &'a mut Records,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.socket.try_write_vectored(slices)?;
        let mut left = written;
        for slice in slices {
            let passed = slice.get(..left.min(slice.len())).unwrap_or_default();
            self.records.pass(passed);
            left -= passed.len();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `None` if it would block.
fn later<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a handshake failed. A peer that does not speak TLS cannot read it, and closes the connection, with or without a reset.
fn in_words(error: &io::Error, heard: bool, peer: Peer) -> String {
    use io::ErrorKind as Kind;
    let is_end = matches!(
        error.kind(),
        Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe
    );
    match (is_end, heard) {
        (true, false) => {
            let (plain, hint) = peer.plain();
            format!("{} closed the connection without an answer to TLS, as {plain} does: {hint}", peer.listener())
        }
        (true, true) => format!("{peer} closed the connection in the middle of the TLS handshake: its log says why"),
        (false, _) => error.to_string(),
    }
}
