//! TLS for a program that serves, with the cryptography and the files of a producer's TLS.
//!
//! In: paths of PEM files, and sockets. Out: encrypted connections. Reads files: those that have changed are read again for the next
//! connection, and those in use go on. Deliberately absent: limits of time, which are the caller's.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::spawn_blocking,
};

use super::{
    newest::Newest,
    server::{self, ServerSettings},
};
use crate::secret::Secret;

/// The PEM files of a [`TlsAcceptor`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// `ssl.keystore.location`: the certificates of the server, its own first, and its private key in PKCS#8.
    pub keystore: PathBuf,
    /// A file with `ssl.key.password` as its first line, if the key is encrypted.
    pub key_password: Option<PathBuf>,
    /// `ssl.truststore.location`: the CAs of clients. If there is one, a client without a certificate by one of them is refused.
    pub client_ca: Option<PathBuf>,
}

/// Encrypts the connections of a program that serves. Its certificates can be replaced while it runs.
///
/// TLS 1.2 and 1.3, with the cryptography that the producer's TLS has; rustls's process-wide default is neither used nor set. A clone shares
/// the certificates, and costs a counter.
#[derive(Clone)]
pub struct TlsAcceptor {
    shared: Arc<Shared>,
}

struct Shared {
    files: TlsFiles,
    /// The application protocols (ALPN).
    protocols: Vec<Vec<u8>>,
    /// What the next connection gets.
    current: Newest<Texts, ServerConfig>,
}

impl TlsAcceptor {
    /// Reads all files, and blocks meanwhile. `protocols` are those that clients may choose from (ALPN, RFC 7301), such as `http/1.1`.
    ///
    /// # Errors
    /// Every violation, with its Java property.
    pub fn open<'a>(files: TlsFiles, protocols: impl IntoIterator<Item = &'a str>) -> Result<Self, Vec<String>> {
        let protocols: Vec<_> = protocols.into_iter().map(|name| name.as_bytes().to_vec()).collect();
        let texts = Texts::read(&files)?;
        let config = texts.config(&protocols)?;
        let current = Newest::new(config, texts);
        Ok(Self { shared: Arc::new(Shared { files, protocols, current }) })
    }

    /// Shakes hands. The caller limits the time.
    ///
    /// Files that have changed are read again. If they cannot be used, a warning says why, and the last valid ones stay.
    ///
    /// # Errors
    /// Why the handshake failed.
    ///
    /// # Cancel safety
    /// If the future is dropped, the connection is closed.
    pub async fn accept(
        &self,
        socket: TcpStream,
    ) -> io::Result<impl AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin + 'static + use<>> {
        let shared = Arc::clone(&self.shared);
        let config = spawn_blocking(move || shared.newest()).await.map_err(io::Error::other)?;
        tokio_rustls::TlsAcceptor::from(config).accept(socket).await
    }
}

impl fmt::Debug for TlsAcceptor {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor").field("files", &self.shared.files).finish_non_exhaustive()
    }
}

impl Shared {
    fn newest(&self) -> Arc<ServerConfig> {
        self.current.renew(Texts::read(&self.files), |texts| texts.config(&self.protocols))
    }
}

/// The texts of all files.
#[derive(PartialEq, Eq)]
struct Texts {
    keystore: String,
    key_password: Option<String>,
    client_ca: Option<String>,
}

impl Texts {
    /// Reads every file, or says which cannot be read.
    fn read(files: &TlsFiles) -> Result<Self, Vec<String>> {
        let mut violations = Vec::new();
        let mut take = |property: &str, path: &Path| {
            let text = fs::read_to_string(path);
            text.map_err(|error| violations.push(format!("{property}: cannot read {}: {error}", path.display()))).ok()
        };
        let keystore = take("ssl.keystore", &files.keystore).unwrap_or_default();
        let key_password = files.key_password.as_deref().and_then(|path| take("ssl.key.password", path));
        let client_ca = files.client_ca.as_deref().and_then(|path| take("ssl.truststore", path));
        if violations.is_empty() { Ok(Self { keystore, key_password, client_ca }) } else { Err(violations) }
    }

    fn config(&self, protocols: &[Vec<u8>]) -> Result<Arc<ServerConfig>, Vec<String>> {
        let first_line = |text: &String| Secret::new(text.lines().next().unwrap_or_default());
        let settings = ServerSettings {
            clients: self.client_ca.clone().map(|trusted| (trusted, true)),
            key_password: self.key_password.as_ref().map(first_line),
            application_protocols: protocols.to_vec(),
            ..ServerSettings::default()
        };
        server::config(&settings, &self.keystore)
    }
}
