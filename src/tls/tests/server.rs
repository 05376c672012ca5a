//! A TLS server for tests.
//!
//! In: a certificate and what else it is to demand. Out: a port, and a thread for each connection. It is rustls's, with
//! graviola's cryptography, whatever the client has.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
    crypto::CryptoProvider,
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};

use super::pki::Issued;
use crate::tls::key::{self, Text};

/// What a server is like.
pub(super) struct Setup {
    pub(super) identity: Issued,
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
    /// The CA of clients, if they are to have a certificate.
    pub(super) clients: Option<String>,
    /// The only suite, by rustls's name.
    pub(super) suite: Option<&'static str>,
}

pub(super) static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
pub(super) static ONLY_12: &[&SupportedProtocolVersion] = &[&TLS12];
pub(super) static ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];

impl Setup {
    pub(super) fn new(identity: Issued) -> Self {
        Self { identity, versions: BOTH, clients: None, suite: None }
    }

    fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(self.provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(self.versions).unwrap();
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca).into(), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = key::certificates(Text { property: "", text: self.identity.chain.as_bytes() }).unwrap();
        Arc::new(builder.with_single_cert(chain, self.identity.private_key()).unwrap())
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = rustls_graviola::default_provider();
        if let Some(only) = self.suite {
            provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()) == only);
        }
        provider
    }
}

fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in key::certificates(Text { property: "", text: pem.as_bytes() }).unwrap() {
        roots.add(certificate).unwrap();
    }
    roots
}

/// What the server saw of a connection.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) name: Option<String>,
    pub(super) was_resumed: bool,
    pub(super) client_certificates: usize,
    pub(super) is_tls13: bool,
}

/// A server that shakes hands, sends what it gets back, and tells what it saw when the handshake is over.
pub(super) fn echo(setup: &Setup) -> (u16, mpsc::Receiver<Seen>) {
    let (seen, to_see) = mpsc::channel();
    let port = serve(setup, move |mut session, mut socket| {
        while session.is_handshaking() {
            if session.complete_io(&mut socket).is_err() {
                return;
            }
        }
        let saw = Seen {
            name: session.server_name().map(str::to_owned),
            was_resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            client_certificates: session.peer_certificates().map_or(0, <[_]>::len),
            is_tls13: session.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3),
        };
        let _ = seen.send(saw);
        let mut stream = rustls::StreamOwned::new(session, socket);
        let mut buffer = [0; 1024];
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..len]).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    });
    (port, to_see)
}

/// A server that hands each connection to `serve`.
pub(super) fn serve(setup: &Setup, serve: impl Fn(ServerConnection, TcpStream) + Send + Sync + 'static) -> u16 {
    let config = setup.config();
    plain(move |socket| serve(ServerConnection::new(Arc::clone(&config)).unwrap(), socket))
}

/// A server that hands each socket to `serve`.
pub(crate) fn plain(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(socket));
        }
    });
    port
}
