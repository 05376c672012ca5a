//! One HTTP request over a connection of the library's own.
//!
//! In: a provider, a request. Out: its answer, or why there is none. Does input and output. Connections are made and encrypted as those to brokers
//! are, so an error of TLS reads the same, but for whom it names. Each request has a connection of its own: there is one in minutes. An answer is
//! bounded in size.

use std::{
    error::Error,
    io::{self, IoSlice},
    iter::successors,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HeaderName, LOCATION},
    rt::{Read, ReadBufCursor, Write},
};
use tokio::time::timeout;

use super::endpoint::Answer;
use crate::{
    config::tokens::Endpoint,
    dial::{DialError, DialPlan, Security, SocketBuffers, Transport, dial},
    tls::Peer,
};

/// The largest body of an answer, in bytes.
const LARGEST: usize = 512 * 1024;
/// How much is read at once, and how much waits to be written at most, in bytes.
const BUFFER: usize = 16 * 1024;

/// Asks one provider.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Arc<Endpoint>,
    security: Security,
}

impl Client {
    /// Reads the files with certificates.
    ///
    /// # Errors
    /// Every violation.
    pub(super) async fn open(endpoint: Arc<Endpoint>) -> Result<Self, Vec<String>> {
        let security = Security::of(endpoint.tls.clone(), Peer::TokenEndpoint).await?;
        Ok(Self { endpoint, security })
    }

    /// Sends a request, and reads the answer.
    pub(super) async fn post(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let Endpoint { host, port, connect, read, .. } = &*self.endpoint;
        let plan = DialPlan { failures: 0, within: *connect };
        let dialled = timeout(*connect, dial(host, *port, plan, SocketBuffers::default(), &self.security)).await;
        let transport = match dialled {
            Ok(dialled) => dialled.map_err(|DialError { tried, .. }| tried.join("; "))?,
            Err(_) => return Err(format!("no connection within {} ms", connect.as_millis())),
        };
        let silent = |_| Err(format!("no answer within {} ms (sasl.login.read.timeout.ms)", read.as_millis()));
        timeout(*read, exchange(transport, request)).await.unwrap_or_else(silent)
    }
}

async fn exchange(transport: Transport, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let (sender, connection) = http1::handshake(Socket::new(transport)).await.map_err(|error| told(&error))?;
    let (mut connection, mut answer, mut has_ended) = (pin!(connection), pin!(answer(sender, request)), false);
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            _ = &mut connection, if !has_ended => has_ended = true,
        }
    }
}

async fn answer(mut sender: SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let response = sender.send_request(request).await.map_err(|error| told(&error))?;
    let header = |name: HeaderName| text(&response, &name);
    let (status, content_type, location) = (response.status(), header(CONTENT_TYPE), header(LOCATION));
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| format!("its answer cannot be read (at most {LARGEST} bytes are): {error}"))?;
    Ok(Answer { status, content_type, location, body: body.to_bytes() })
}

fn text(response: &Response<Incoming>, name: &HeaderName) -> String {
    let value = response.headers().get(name);
    value.map_or_else(String::new, |value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Why a request failed, with all causes. The connection's own is the last: with TLS 1.3 it can be that the client's certificate is refused, which
/// comes after the handshake.
fn told(error: &hyper::Error) -> String {
    let causes = successors(Some(error as &dyn Error), |error| (*error).source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    format!("it gave no answer in HTTP: {}", causes.join(": "))
}

/// A connection as hyper takes it.
struct Socket {
    transport: Transport,
    read: BytesMut,
    unwritten: BytesMut,
}

impl Socket {
    fn new(transport: Transport) -> Self {
        Self { transport, read: BytesMut::new(), unwritten: BytesMut::new() }
    }
}

impl Read for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read.is_empty() {
            this.read.reserve(BUFFER);
            match this.transport.try_read_buf(&mut this.read) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(this.transport.poll_read_ready(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let taken = this.read.split_to(this.read.len().min(buffer.remaining()));
        buffer.put_slice(&taken);
        Poll::Ready(Ok(()))
    }
}

/// What is written is kept until the kernel has it: the transport wants the same bytes again when it had to wait.
impl Write for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unwritten.len() >= BUFFER {
            ready!(Pin::new(&mut *this).poll_flush(cx))?;
        }
        this.unwritten.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.unwritten.is_empty() || this.transport.wants_write() {
            match this.transport.try_write_vectored(&[IoSlice::new(&this.unwritten)]) {
                Ok(0) if !this.unwritten.is_empty() => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => this.unwritten.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(this.transport.poll_write_ready(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
