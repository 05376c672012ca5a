//! TLS for clients: from settings to an encrypted connection.
//!
//! In: [`TlsSettings`], and the files that they name. Out: [`Tls`], which encrypts sockets; every violation at once if the files are not
//! what they should be. Reads files. All connections share one `ClientConfig`, so they resume each other's sessions; when a file has
//! changed, the next connection gets a new one, and those in use go on. The cryptography is always passed explicitly, so rustls's
//! process-wide default is neither used nor set. Deliberately absent: certificate revocation lists, which Java does not check by default.
//!
//! Layout: `provider` chooses the cryptography, `pem` and `key` read texts, `files` reads files, `newest` takes over those that have changed, `assemble` puts them together, `verifier` judges a peer's
//! certificate, `words` says what went wrong, with `peer` for whom, `stream` is a connection, `records` counts what it has written, `examine` tells what a handshake shows.
//! `server` is the other side, for the embedded broker, with keys that `pair` makes, and `acceptor` makes it public for programs that serve.

#[cfg(feature = "tls-server")]
mod acceptor;
mod assemble;
#[cfg(feature = "admin")]
mod examine;
mod files;
mod key;
mod newest;
#[cfg(any(test, feature = "broker-tls"))]
mod pair;
mod peer;
mod pem;
mod provider;
mod records;
#[cfg(feature = "tls-server")]
pub(crate) mod server;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod verifier;
mod words;

use std::sync::Arc;

use rustls::{ClientConfig, crypto::CryptoProvider};
use tokio::{net::TcpStream, task::spawn_blocking};

#[cfg(feature = "tls-server")]
pub use self::acceptor::{TlsAcceptor, TlsFiles};
#[cfg(feature = "admin")]
pub use self::examine::TlsHandshake;
#[cfg(feature = "admin")]
pub(crate) use self::examine::examine;
use self::{
    assemble::{config, name_of},
    files::Texts,
    newest::Newest,
    words::Sides,
};
pub(crate) use self::{
    peer::Peer,
    stream::{Refusal, Stream},
};
use crate::config::tls::TlsSettings;

/// What encrypts the connections of a client.
pub(crate) struct Tls {
    settings: TlsSettings,
    peer: Peer,
    provider: Arc<CryptoProvider>,
    /// What the next connection gets.
    current: Newest<Texts, ClientConfig>,
}

impl Tls {
    /// Reads all files, and blocks meanwhile.
    ///
    /// # Errors
    /// Every violation, each with its property.
    pub(crate) fn open(settings: &TlsSettings, peer: Peer) -> Result<Self, Vec<String>> {
        if !settings.check_names {
            tracing::warn!(
                "ssl.endpoint.identification.algorithm is empty: whoever has a trusted certificate can pose as {peer}"
            );
        }
        match (provider::choose(&settings.cipher_suites), Texts::read(settings)) {
            (Ok(provider), Ok(texts)) => Self::made_of(settings, peer, provider, texts),
            (provider, texts) => Err(provider.err().into_iter().chain(texts.err().into_iter().flatten()).collect()),
        }
    }

    fn made_of(
        settings: &TlsSettings,
        peer: Peer,
        provider: CryptoProvider,
        texts: Texts,
    ) -> Result<Self, Vec<String>> {
        let provider = Arc::new(provider);
        let config = Arc::new(config(settings, &provider, &texts)?);
        Ok(Self { settings: settings.clone(), peer, provider, current: Newest::new(config, texts) })
    }

    /// Whom connections are to.
    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// Encrypts a socket that is connected to `host`. The caller limits the time.
    ///
    /// # Errors
    /// Why the handshake failed, in words.
    pub(crate) async fn secure(self: Arc<Self>, socket: TcpStream, host: &str) -> Result<Stream, Refusal> {
        let (name, sides) = (name_of(host)?, Sides::of(self.peer, &self.settings));
        let config = match files::has_files(&self.settings) {
            true => spawn_blocking(move || self.newest())
                .await
                .map_err(|_| Refusal::passing("the runtime is shutting down"))?,
            false => self.current.get(),
        };
        Stream::open(socket, config, name, sides).await
    }

    /// Reads the files again, and takes them over if they have changed and are valid. Otherwise the last valid ones stay.
    fn newest(&self) -> Arc<ClientConfig> {
        let make = |texts: &Texts| config(&self.settings, &self.provider, texts).map(Arc::new);
        self.current.renew(Texts::read(&self.settings), make)
    }
}
