//! One connection to one broker: a request, then its response.
//!
//! In: a broker's address, and requests. Out: responses. Does I/O. A call takes the connection and returns it with the
//! response. So a connection whose call failed or was dropped can never be used again with a response outstanding.
//! [`opening`] decides how it begins. Deliberately absent: pipelining, retries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::time::timeout;

use super::{AdminError, ConnectionDescription};
use crate::{
    config::{Compression, servers::shown},
    dial::{DialError, DialPlan, Security, SocketBuffers, Transport, dial},
    oauth::Tokens,
    sasl::Credentials,
    wire::{
        apis::{
            self, Api, BadResponse, Caller,
            api_versions::{self, Versions},
            request::{Request, Unusable},
            sasl_authenticate, sasl_handshake,
        },
        authentication::{self, Ask, Authentication, Refusal},
        frame::Decoder,
        opening::{self, OpeningError, Step},
    },
};

#[cfg(feature = "tls")]
use crate::{
    config::tls::TlsSettings,
    dial::{TlsHandshake, examine},
};

const CLIENT_ID: &str = "milena-admin";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const PLAN: DialPlan = DialPlan { failures: 0, within: CONNECT_TIMEOUT };
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a session is used before the client authenticates again, as Java's client does at the earliest.
const USABLE_PERCENT: u32 = 85;

/// How brokers are connected to, and who the client says it is.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) security: Security,
    pub(super) credentials: Option<Arc<Credentials>>,
    /// In their place, where tokens come from.
    pub(super) tokens: Tokens,
    /// Whether a producer with the same settings is idempotent, and how it compresses: a broker may be too old for that.
    pub(super) needs: (bool, Compression),
    /// Who that is to the brokers, if it is known.
    pub(super) principal: Option<Arc<str>>,
}

impl Access {
    /// Neither encrypted nor authenticated.
    pub(super) const PLAIN: Self = Self {
        security: Security::Plain,
        credentials: None,
        tokens: Tokens::NONE,
        principal: None,
        needs: (true, Compression::None),
    };

    /// Who the client says it is, if it says so.
    async fn login(&self) -> Result<Option<Arc<Credentials>>, AdminError> {
        let token = self.tokens.credentials().await.map_err(|why| AdminError::NoToken { reason: why.to_string() })?;
        Ok(token.or_else(|| self.credentials.clone()))
    }
}

/// A connection, and the versions that its broker supports.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Transport,
    decoder: Decoder,
    broker: String,
    versions: Versions,
    correlation: i32,
    /// How long the broker knows the client, and since when (KIP-368).
    session: Option<(Duration, Instant)>,
    /// The broker closed the connection.
    ended: bool,
}

impl Connection {
    /// Connects, and requests the versions. If the broker closes the connection on our version of the request, connects
    /// again and uses the oldest one.
    /// Then authenticates, if it is to say who it is.
    pub(super) async fn open(host: &str, port: u16, access: &Access) -> Result<Self, AdminError> {
        let (security, login) = (&access.security, access.login().await?);
        let mut connection = Self::dial(host, port, security).await?;
        let mut opened = connection.negotiate(opening::FIRST).await;
        if connection.ended
            && let Ok(other) = Self::dial(host, port, security).await
        {
            connection = other;
            opened = connection.negotiate(opening::OLDEST).await;
        }
        connection.versions = opened?;
        if let Some(credentials) = login {
            let let_in = connection.authenticate(credentials).await;
            if matches!(let_in, Err(AdminError::Unauthenticated { .. })) {
                access.tokens.forget().await;
            }
            let_in?;
        }
        Ok(connection)
    }

    async fn dial(host: &str, port: u16, security: &Security) -> Result<Self, AdminError> {
        let broker = shown(host, port);
        let stream = connect(host, port, security, &broker).await?;
        let (decoder, versions) = (Decoder::new(), Versions::default());
        Ok(Self { stream, decoder, broker, versions, correlation: 0, session: None, ended: false })
    }

    /// What the broker said of itself and of the client until now.
    pub(super) fn described(&self, access: &Access) -> ConnectionDescription {
        let (idempotence, compression) = access.needs;
        ConnectionDescription {
            apis: self.versions.count(),
            produce: self.versions.of(Api::Produce),
            lack: opening::lack(&self.versions, idempotence, compression),
            session: self.session.map(|(lifetime, _)| lifetime),
        }
    }

    /// Whether the broker is about to forget the client.
    pub(super) fn is_session_over(&self) -> bool {
        self.session.is_some_and(|(lifetime, since)| since.elapsed() >= lifetime / 100 * USABLE_PERCENT)
    }

    /// Sends `request`, and waits at most 30 seconds for its response. `subject` is what the request is about, for
    /// errors.
    pub(super) async fn call<R: Request>(
        mut self,
        request: &R,
        subject: &str,
    ) -> Result<(Self, R::Response), AdminError> {
        let version = self.versions.pick(R::API).ok_or_else(|| self.unsupported(R::API))?;
        let frame = self.exchange(R::API, |caller| request.encode(caller, version)).await?;
        match request.decode(&frame, version) {
            Ok(response) => Ok((self, response)),
            Err(unusable) => Err(self.explain(R::API, subject, unusable)),
        }
    }

    async fn authenticate(&mut self, credentials: Arc<Credentials>) -> Result<(), AdminError> {
        /// Another one for each authentication of the process.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (handshake, authenticate) =
            authentication::versions(&self.versions).map_err(|refusal| self.kept_out(refusal))?;
        let since = Instant::now();
        let mut authentication = Authentication::new(credentials, NUMBER.fetch_add(1, Relaxed));
        let mut ask = authentication.first();
        loop {
            let step = match ask {
                Ask::Handshake(mechanism) => {
                    let encode = |caller: Caller<'_>| sasl_handshake::encode(caller, handshake, mechanism);
                    let frame = self.exchange(Api::SaslHandshake, encode).await?;
                    let response = sasl_handshake::decode(&frame, handshake);
                    authentication.agreed(&response.map_err(|bad| self.explain(Api::SaslHandshake, "", bad.into()))?)
                }
                Ask::Authenticate(message) => {
                    let encode = |caller: Caller<'_>| sasl_authenticate::encode(caller, authenticate, message);
                    let frame = self.exchange(Api::SaslAuthenticate, encode).await?;
                    let response = sasl_authenticate::decode(&frame, authenticate);
                    let unreadable = |bad: BadResponse| self.explain(Api::SaslAuthenticate, "", bad.into());
                    authentication.answered(&response.map_err(unreadable)?)
                }
            };
            match step.map_err(|refusal| self.kept_out(refusal))? {
                authentication::Step::Ask(next) => ask = next,
                authentication::Step::Done(lifetime) => {
                    self.session = lifetime.map(|lifetime| (lifetime, since));
                    return Ok(());
                }
            }
        }
    }

    fn kept_out(&self, Refusal { code, why }: Refusal) -> AdminError {
        AdminError::Unauthenticated { broker: self.broker.clone(), code, reason: why }
    }

    async fn negotiate(&mut self, mut version: i16) -> Result<Versions, AdminError> {
        let api = Api::ApiVersions;
        loop {
            let frame = self.exchange(api, |caller| api_versions::encode(caller, version)).await?;
            version = match opening::step(&frame, version) {
                Ok(Step::Ready(versions)) => return Ok(versions),
                Ok(Step::Ask(lower)) => lower,
                Err(OpeningError::Unreadable(bad)) => return Err(self.explain(api, "", bad.into())),
                Err(OpeningError::Refused { code, .. }) => {
                    return Err(self.explain(api, "this client", Unusable::Refused { code, message: None }));
                }
            };
        }
    }

    /// Sends the request that `encode` makes, and waits for the response frame.
    async fn exchange(&mut self, api: Api, encode: impl FnOnce(Caller<'_>) -> Bytes) -> Result<Bytes, AdminError> {
        self.correlation = self.correlation.wrapping_add(1);
        let request = encode(Caller { correlation: self.correlation, client_id: CLIENT_ID });
        let frame = match timeout(REQUEST_TIMEOUT, self.round_trip(&request)).await {
            Ok(frame) => frame.map_err(|reason| self.broken(api, reason))?,
            Err(_) => return Err(self.broken(api, format!("no response within {} s", REQUEST_TIMEOUT.as_secs()))),
        };
        match apis::correlation(&frame) {
            Some(got) if got != self.correlation => {
                let reason = format!("expected correlation id {}, got {got}", self.correlation);
                Err(self.explain(api, "", Unusable::Malformed(reason)))
            }
            _ => Ok(frame),
        }
    }

    async fn round_trip(&mut self, request: &[u8]) -> Result<Bytes, String> {
        self.stream.write_all(request).await.map_err(|error| self.end(error))?;
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(|error| error.to_string())? {
                return Ok(frame);
            }
            let read = self.stream.read_buf(self.decoder.buffer()).await.map_err(|error| self.end(error))?;
            if read == 0 {
                let hint = if self.correlation == 1 { self.stream.hint() } else { "" };
                return Err(self.end(format!("the broker closed the connection before it answered{hint}")));
            }
        }
    }

    fn end(&mut self, why: impl ToString) -> String {
        self.ended = true;
        why.to_string()
    }

    fn broken(&self, api: Api, reason: String) -> AdminError {
        AdminError::Connection { broker: self.broker.clone(), api: api.name(), reason }
    }

    fn unsupported(&self, api: Api) -> AdminError {
        let range = |(lowest, highest)| format!("versions {lowest} to {highest}");
        let theirs = self.versions.of(api).map_or_else(|| "in no version".into(), range);
        AdminError::UnsupportedVersion {
            broker: self.broker.clone(),
            api: api.name(),
            theirs,
            ours: range(api.versions()),
        }
    }

    fn explain(&self, api: Api, subject: &str, unusable: Unusable) -> AdminError {
        let (broker, api) = (self.broker.clone(), api.name());
        match unusable {
            Unusable::Malformed(reason) => AdminError::Malformed { broker, api, reason },
            Unusable::Refused { code, message } => {
                AdminError::Refused { broker, api, subject: subject.to_owned(), code, message }
            }
        }
    }
}

/// Connects to the first IP address of the host that accepts, and secures the connection, within 10 seconds.
async fn connect(host: &str, port: u16, security: &Security, broker: &str) -> Result<Transport, AdminError> {
    in_time(broker, dial(host, port, PLAN, SocketBuffers::default(), security)).await
}

/// Connects in the same way, and tells what the server shows in the TLS handshake.
#[cfg(feature = "tls")]
pub(super) async fn handshake(
    host: &str,
    port: u16,
    settings: &TlsSettings,
) -> Result<Result<TlsHandshake, Vec<String>>, AdminError> {
    in_time(&shown(host, port), examine(host, port, PLAN, settings)).await
}

async fn in_time<T>(broker: &str, dialling: impl Future<Output = Result<T, DialError>>) -> Result<T, AdminError> {
    let dialled = timeout(CONNECT_TIMEOUT, dialling).await;
    let silent = || vec![format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())];
    dialled.unwrap_or_else(|_| Err(DialError::passing(silent()))).map_err(|DialError { tried, .. }| {
        let tried = tried.into_iter().map(|why| format!("{broker}: {why}")).collect();
        AdminError::Unreachable { tried }
    })
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::{error::ErrorCode, wire::apis::list_offsets::AskOffset};

    const HOST: &str = "127.0.0.1";
    /// An ApiVersions response, version 0: no error, one API (Metadata, 3 to 12).
    const ONE_API: &[u8] = &[0, 0, 0, 0, 0, 1, 0, 3, 0, 3, 0, 12];
    /// The response of a broker that does not support this version of ApiVersions.
    const UNSUPPORTED: &[u8] = &[0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 2];
    /// The response of a broker that supports only version 0.
    const OLD: &[u8] = &[0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 0];

    fn response(correlation_id: i32, body: &[u8]) -> Vec<u8> {
        let len = i32::try_from(4 + body.len()).unwrap();
        [&len.to_be_bytes()[..], &correlation_id.to_be_bytes(), body].concat()
    }

    /// Accepts one connection, sends one response to each request, and closes the connection. Returns the versions of
    /// the requests.
    async fn serve_one(listener: &TcpListener, responses: Vec<Vec<u8>>) -> Vec<i16> {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut versions = Vec::new();
        for response in responses {
            let len = stream.read_i32().await.unwrap();
            let mut request = vec![0; usize::try_from(len).unwrap()];
            stream.read_exact(&mut request).await.unwrap();
            versions.push(i16::from_be_bytes([request[2], request[3]]));
            stream.write_all(&response).await.unwrap();
        }
        versions
    }

    /// A peer that accepts one connection. Its task returns the versions of the requests.
    async fn peer(responses: Vec<Vec<u8>>) -> (u16, tokio::task::JoinHandle<Vec<i16>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (port, tokio::spawn(async move { serve_one(&listener, responses).await }))
    }

    #[tokio::test]
    async fn a_broker_without_our_version_of_api_versions_gets_the_version_that_it_supports() {
        let two = [ONE_API, &[0; 4]].concat();
        let (port, peer) = peer(vec![response(1, UNSUPPORTED), response(2, &two)]).await;
        let connection = Connection::open(HOST, port, &Access::PLAIN).await.unwrap();
        assert_eq!(connection.versions.pick(Api::Metadata), Some(12));
        assert_eq!(peer.await.unwrap(), [4, 2]);
    }

    #[tokio::test]
    async fn a_broker_that_refuses_version_0_as_well_is_not_asked_forever() {
        let (port, peer) = peer((1..=3).map(|id| response(id, UNSUPPORTED)).collect()).await;
        let error = Connection::open(HOST, port, &Access::PLAIN).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UNSUPPORTED_VERSION));
        assert_eq!(peer.await.unwrap(), [4, 2, 0]);
    }

    #[tokio::test]
    async fn a_broker_that_closes_the_connection_on_our_version_of_api_versions_gets_the_oldest_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = async move {
            let first = serve_one(&listener, vec![Vec::new()]).await;
            [first, serve_one(&listener, vec![response(1, ONE_API)]).await].concat()
        };
        let peer = tokio::spawn(serve);
        let connection = Connection::open(HOST, port, &Access::PLAIN).await.unwrap();
        assert_eq!(connection.versions.pick(Api::Metadata), Some(12));
        assert_eq!(peer.await.unwrap(), [4, 0]);
    }

    #[tokio::test]
    async fn an_api_that_the_broker_does_not_support_is_refused_before_anything_is_sent() {
        let (port, _peer) = peer(vec![response(1, OLD), response(2, ONE_API)]).await;
        let connection = Connection::open(HOST, port, &Access::PLAIN).await.unwrap();
        let request = AskOffset { topic: "t", partition: 0, timestamp: -1, committed: false };
        let error = connection.call(&request, "t-0").await.unwrap_err().to_string();
        let expected =
            format!("broker 127.0.0.1:{port} speaks ListOffsets in no version, milena speaks versions 1 to 10");
        assert!(error.starts_with(&expected), "{error}");
    }

    #[tokio::test]
    async fn peers_that_are_no_brokers_are_recognised_by_their_bytes() {
        for (said, expected) in [
            (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "peer speaks HTTP"),
            (vec![0x15, 3, 1, 0, 2, 2, 70], "peer speaks TLS"),
            (vec![0x80, 0, 0, 0], "frame length -2147483648 is impossible"),
            (response(9, ONE_API), "expected correlation id 1, got 9"),
            (response(1, &[0]), "cannot be read"),
            (Vec::new(), "closed the connection"),
        ] {
            let (port, _peer) = peer(vec![said]).await;
            let error = Connection::open(HOST, port, &Access::PLAIN).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = Connection::open(HOST, port, &Access::PLAIN).await.unwrap_err();
        assert!(error.to_string().contains("no response within 30 s"), "{error}");
        assert!(error.retriable());
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable_with_its_address() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let error = Connection::open(HOST, port, &Access::PLAIN).await.unwrap_err();
        assert!(matches!(&error, AdminError::Unreachable { tried } if tried.len() == 1), "{error}");
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")));
    }
}
