//! One connection to one broker: a request, then its answer.
//!
//! In: an address, and requests. Out: answers. Does I/O. A call takes the connection and gives it back with the answer,
//! so one that failed, or whose caller went away in between, can never be used again with an answer still under way.
//! Deliberately absent: pipelining, retries.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{AdminError, address::Address};
use crate::{
    dial::{Attempt, SocketBuffers, dial},
    error::ErrorCode,
    wire::{
        admin_requests::{self, AdminRequest, Api, AskVersions, BadAnswer, Versions},
        frame::Decoder,
    },
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection whose versions are known.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    decoder: Decoder,
    broker: String,
    versions: Versions,
    correlation_id: i32,
}

impl Connection {
    /// Connects, and asks for versions.
    pub(super) async fn open(address: &Address) -> Result<Self, AdminError> {
        let stream = connect(address).await?;
        let fresh = Self {
            stream,
            decoder: Decoder::new(),
            broker: address.to_string(),
            versions: Versions::default(),
            correlation_id: 0,
        };
        fresh.negotiate().await
    }

    /// Sends `request`, waits at most 30 seconds for its answer. `subject` is what the request is about, for errors.
    pub(super) async fn call<R: AdminRequest>(
        self,
        request: &R,
        subject: &str,
    ) -> Result<(Self, R::Answer), AdminError> {
        let version = self.versions.pick(R::API).map_err(|theirs| self.unsupported(R::API, theirs))?;
        let (connection, answer) = self.exchange(request, version).await?;
        match answer {
            Ok(answer) => Ok((connection, answer)),
            Err(bad) => Err(connection.explain(R::API, subject, bad)),
        }
    }

    async fn negotiate(self) -> Result<Self, AdminError> {
        let Api { min, max, .. } = AskVersions::API;
        let (mut connection, mut answer) = self.exchange(&AskVersions, max).await?;
        if matches!(&answer, Err(BadAnswer::Refused { code: ErrorCode::UNSUPPORTED_VERSION, .. })) {
            (connection, answer) = connection.exchange(&AskVersions, min).await?;
        }
        match answer {
            Ok(versions) => Ok(Self { versions, ..connection }),
            Err(bad) => Err(connection.explain(AskVersions::API, "this client", bad)),
        }
    }

    async fn exchange<R: AdminRequest>(
        mut self,
        request: &R,
        version: i16,
    ) -> Result<(Self, Result<R::Answer, BadAnswer>), AdminError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let id = self.correlation_id;
        let frame = admin_requests::encode(request, version, id).map_err(|e| self.broken(R::API, e))?;
        let frame = match timeout(REQUEST_TIMEOUT, self.round_trip(&frame)).await {
            Ok(frame) => frame.map_err(|reason| self.broken(R::API, reason))?,
            Err(_) => return Err(self.broken(R::API, format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()))),
        };
        Ok((self, admin_requests::decode(request, version, id, frame)))
    }

    async fn round_trip(&mut self, request: &[u8]) -> Result<bytes::Bytes, String> {
        self.stream.write_all(request).await.map_err(|e| e.to_string())?;
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(|e| e.to_string())? {
                return Ok(frame);
            }
            let read = self.stream.read_buf(self.decoder.buffer()).await.map_err(|e| e.to_string())?;
            if read == 0 {
                return Err("the broker closed the connection before it answered".into());
            }
        }
    }

    fn broken(&self, api: Api, reason: String) -> AdminError {
        AdminError::Connection { broker: self.broker.clone(), api: api.name, reason }
    }

    fn unsupported(&self, api: Api, theirs: Option<(i16, i16)>) -> AdminError {
        let theirs = theirs.map_or_else(|| "in no version".into(), |(min, max)| format!("versions {min} to {max}"));
        let ours = format!("versions {} to {}", api.min, api.max);
        AdminError::UnsupportedVersion { broker: self.broker.clone(), api: api.name, theirs, ours }
    }

    fn explain(&self, api: Api, subject: &str, bad: BadAnswer) -> AdminError {
        let (broker, api) = (self.broker.clone(), api.name);
        match bad {
            BadAnswer::Malformed(reason) => AdminError::Malformed { broker, api, reason },
            BadAnswer::Refused { code, message } => {
                AdminError::Refused { broker, api, subject: subject.to_owned(), code, message }
            }
        }
    }
}

/// Connects to the first of the address's IP addresses that answers, within 10 seconds.
async fn connect(address: &Address) -> Result<TcpStream, AdminError> {
    let attempt = Attempt { failures: 0, within: CONNECT_TIMEOUT };
    let dialled = timeout(CONNECT_TIMEOUT, dial(&address.host, address.port, attempt, SocketBuffers::default())).await;
    let silent = || vec![format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())];
    dialled.unwrap_or_else(|_| Err(silent())).map_err(|tried| {
        let tried = tried.into_iter().map(|why| format!("{address}: {why}")).collect();
        AdminError::Unreachable { tried }
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::wire::admin_requests::AskMetadata;

    /// ApiVersions in the form of version 0: no error, one API (Metadata, 3 to 12).
    const ONE_API: &[u8] = &[0, 0, 0, 0, 0, 1, 0, 3, 0, 3, 0, 12];
    /// What a broker says that does not know the asked version of ApiVersions.
    const UNSUPPORTED: &[u8] = &[0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 2];

    fn answer(correlation_id: i32, body: &[u8]) -> Vec<u8> {
        let len = i32::try_from(4 + body.len()).unwrap();
        [&len.to_be_bytes()[..], &correlation_id.to_be_bytes(), body].concat()
    }

    /// A peer that accepts one connection and gives one answer to each request; it returns the requests' versions.
    async fn peer(answers: Vec<Vec<u8>>) -> (Address, tokio::task::JoinHandle<Vec<i16>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
        let serve = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut versions = Vec::new();
            for answer in answers {
                let len = stream.read_i32().await.unwrap();
                let mut request = vec![0; usize::try_from(len).unwrap()];
                stream.read_exact(&mut request).await.unwrap();
                versions.push(i16::from_be_bytes([request[2], request[3]]));
                stream.write_all(&answer).await.unwrap();
            }
            versions
        };
        (address, tokio::spawn(serve))
    }

    #[tokio::test]
    async fn a_broker_that_does_not_know_our_version_of_api_versions_is_asked_for_version_0() {
        let (address, peer) = peer(vec![answer(1, UNSUPPORTED), answer(2, ONE_API)]).await;
        let connection = Connection::open(&address).await.unwrap();
        assert_eq!(peer.await.unwrap(), [3, 0]);
        assert_eq!(connection.versions.pick(AskMetadata::API), Ok(12));
    }

    #[tokio::test]
    async fn a_broker_that_refuses_version_0_as_well_is_not_asked_forever() {
        let (address, peer) = peer(vec![answer(1, UNSUPPORTED), answer(2, UNSUPPORTED)]).await;
        let error = Connection::open(&address).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UNSUPPORTED_VERSION));
        assert_eq!(peer.await.unwrap(), [3, 0]);
    }

    #[tokio::test]
    async fn an_api_that_the_broker_does_not_speak_is_refused_before_anything_is_sent() {
        let (address, _peer) = peer(vec![answer(1, UNSUPPORTED), answer(2, ONE_API)]).await;
        let connection = Connection::open(&address).await.unwrap();
        let request = admin_requests::AskOffset { topic: "t", partition: 0, timestamp: -1 };
        let error = connection.call(&request, "t-0").await.unwrap_err().to_string();
        let expected = format!("broker {address} speaks ListOffsets in no version, milena speaks versions 1 to 7");
        assert!(error.starts_with(&expected), "{error}");
    }

    #[tokio::test]
    async fn peers_that_are_no_brokers_are_told_by_what_they_say() {
        for (said, expected) in [
            (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "peer speaks HTTP"),
            (vec![0x15, 3, 1, 0, 2, 2, 70], "peer speaks TLS"),
            (vec![0x80, 0, 0, 0], "frame length -2147483648 is impossible"),
            (answer(9, ONE_API), "expected correlation id 1, got 9"),
            (answer(1, &[0]), "cannot be read"),
            (Vec::new(), "closed the connection"),
        ] {
            let (address, _peer) = peer(vec![said]).await;
            let error = Connection::open(&address).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
        let error = Connection::open(&address).await.unwrap_err();
        assert!(error.to_string().contains("no answer within 30 s"), "{error}");
        assert!(error.retriable());
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_unreachable_by_name() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let error = Connection::open(&Address { host: "127.0.0.1".into(), port }).await.unwrap_err();
        assert!(matches!(&error, AdminError::Unreachable { tried } if tried.len() == 1), "{error}");
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")));
    }
}
