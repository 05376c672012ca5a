//! HTTPS: what encrypts the connections of a server.
//!
//! In: settings, the files that they name, sockets. Out: encrypted connections. Does I/O. The cryptography and the reading of files that have
//! changed are milena's. Deliberately absent: HTTP/2, which is not offered.

use milena::{TlsAcceptor, TlsFiles};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Duration, timeout},
};

use crate::Config;

/// The protocol that clients are offered.
const HTTP: &str = "http/1.1";
/// What milena's words call a setting, and its name here.
const NAMES: [(&str, &str); 3] = [
    ("ssl.keystore", "tls-keystore"),
    ("ssl.key.password", "tls-key-password-file"),
    ("ssl.truststore", "tls-client-ca"),
];

/// What makes a server speak HTTPS.
#[derive(Clone, Debug)]
pub struct Https {
    acceptor: TlsAcceptor,
}

impl Https {
    /// Reads the files, and blocks meanwhile. There is none without `tls-keystore`.
    ///
    /// # Errors
    /// Every violation, a sentence each.
    pub fn open(config: &Config) -> Result<Option<Self>, Vec<String>> {
        let Some(keystore) = &config.tls_keystore else { return Ok(None) };
        let files = TlsFiles {
            keystore: keystore.into(),
            key_password: config.tls_key_password_file.as_ref().map(Into::into),
            client_ca: config.tls_client_ca.as_ref().map(Into::into),
        };
        let acceptor = TlsAcceptor::open(files, [HTTP]);
        acceptor.map(|acceptor| Some(Self { acceptor })).map_err(|wrong| wrong.into_iter().map(renamed).collect())
    }

    /// Shakes hands, within a time. A client that does not is no fault of the gateway's.
    pub(crate) async fn accept(
        &self,
        socket: TcpStream,
        within: Duration,
    ) -> Option<impl AsyncRead + AsyncWrite + Send + Unpin + 'static + use<>> {
        match timeout(within, self.acceptor.accept(socket)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::debug!(%error, "a client did not shake hands"),
            Err(_) => tracing::debug!("a client did not shake hands in time"),
        }
        None
    }
}

fn renamed(violation: String) -> String {
    NAMES.iter().fold(violation, |text, (theirs, ours)| text.replace(theirs, ours))
}
