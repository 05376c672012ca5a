//! TLS for clients: from settings to an encrypted connection.
//!
//! In: [`TlsSettings`], and the files that they name. Out: [`Tls`], which encrypts sockets; every violation at once if the files are not
//! what they should be. Reads files. All connections share one `ClientConfig`, so they resume each other's sessions; when a file has
//! changed, the next connection gets a new one, and those in use go on. The cryptography is always passed explicitly, so rustls's
//! process-wide default is neither used nor set. Deliberately absent: certificate revocation lists, which Java does not check by default.
//!
//! Layout: `provider` chooses the cryptography, `pem` and `key` read texts, `files` reads files, `verifier` judges a broker's
//! certificate, `words` says what went wrong, `stream` is a connection. `server` is the other side, for the embedded broker.

mod files;
mod key;
mod pem;
mod provider;
#[cfg(feature = "broker-tls")]
pub(crate) mod server;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod verifier;
mod words;

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::CryptoProvider,
    pki_types::ServerName,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use tokio::{net::TcpStream, task::spawn_blocking};

pub(crate) use self::stream::{Refusal, Stream};
use self::{files::Texts, verifier::Verifier, words::Client};
use crate::config::{TlsVersions, tls::TlsSettings};

/// How many sessions are kept, to be resumed.
const SESSIONS: usize = 256;

/// What encrypts the connections of a client.
pub(crate) struct Tls {
    settings: TlsSettings,
    provider: Arc<CryptoProvider>,
    current: Mutex<Current>,
}

/// What the next connection gets.
struct Current {
    config: Arc<ClientConfig>,
    /// The texts that it is made of.
    texts: Texts,
    /// Why newer ones cannot be used.
    complaint: Vec<String>,
}

impl Tls {
    /// Reads all files, and blocks meanwhile.
    ///
    /// # Errors
    /// Every violation, each with its property.
    pub(crate) fn open(settings: &TlsSettings) -> Result<Self, Vec<String>> {
        if !settings.check_names {
            tracing::warn!(
                "ssl.endpoint.identification.algorithm is empty: whoever has a trusted certificate can pose as a broker"
            );
        }
        match (provider::choose(&settings.cipher_suites), Texts::read(settings)) {
            (Ok(provider), Ok(texts)) => Self::made_of(settings, provider, texts),
            (provider, texts) => Err(provider.err().into_iter().chain(texts.err().into_iter().flatten()).collect()),
        }
    }

    fn made_of(settings: &TlsSettings, provider: CryptoProvider, texts: Texts) -> Result<Self, Vec<String>> {
        let provider = Arc::new(provider);
        let config = Arc::new(config(settings, &provider, &texts)?);
        let current = Mutex::new(Current { config, texts, complaint: Vec::new() });
        Ok(Self { settings: settings.clone(), provider, current })
    }

    /// Encrypts a socket that is connected to `host`. The caller limits the time.
    ///
    /// # Errors
    /// Why the handshake failed, in words.
    pub(crate) async fn secure(self: Arc<Self>, socket: TcpStream, host: &str) -> Result<Stream, Refusal> {
        // The scope of an IPv6 address is no part of a name.
        let name = host.split_once('%').map_or(host, |(address, _)| address).to_owned();
        let name = ServerName::try_from(name);
        let unfit = |_| {
            let why = format!("{host} cannot be in a certificate: expected a DNS name or an IP address");
            Refusal { why, is_final: true }
        };
        let name = name.map_err(unfit)?;
        let client = Client { has_identity: self.settings.identity.is_some() };
        let config = match files::has_files(&self.settings) {
            true => spawn_blocking(move || self.newest())
                .await
                .map_err(|_| Refusal::passing("the runtime is shutting down"))?,
            false => self.current(),
        };
        Stream::open(socket, config, name, client).await
    }

    fn current(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// Reads the files again, and takes them over if they have changed and are valid. Otherwise the last valid ones stay.
    fn newest(&self) -> Arc<ClientConfig> {
        let read = Texts::read(&self.settings);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match read {
            Ok(texts) if texts == current.texts => return Arc::clone(&current.config),
            Ok(texts) => config(&self.settings, &self.provider, &texts).map(|config| (config, texts)),
            Err(violations) => Err(violations),
        };
        match made {
            Ok((config, texts)) => {
                tracing::info!("certificates have changed, and new connections use them");
                *current = Current { config: Arc::new(config), texts, complaint: Vec::new() };
            }
            Err(complaint) if complaint != current.complaint => {
                tracing::warn!(
                    "certificates have changed and cannot be used, so the last ones stay: {}",
                    complaint.join("; ")
                );
                current.complaint = complaint;
            }
            Err(_) => {}
        }
        Arc::clone(&current.config)
    }
}

/// The configuration of connections, or every violation.
fn config(settings: &TlsSettings, provider: &Arc<CryptoProvider>, texts: &Texts) -> Result<ClientConfig, Vec<String>> {
    let (verifier, identity) = (verifier(settings, provider, texts), identity(settings, provider, texts));
    let (verifier, identity) = match (verifier, identity) {
        (Ok(verifier), Ok(identity)) => (verifier, identity),
        (verifier, identity) => {
            return Err(verifier.err().into_iter().chain(identity.err().into_iter().flatten()).collect());
        }
    };
    let TlsVersions { v12, v13 } = settings.versions;
    let versions: Vec<_> =
        [(v13, &TLS13), (v12, &TLS12)].into_iter().filter(|(is_on, _)| *is_on).map(|(_, v)| v).collect();
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(&versions);
    let unfit = |_| vec!["ssl.cipher.suites: none of them is for a version in ssl.enabled.protocols".to_owned()];
    let builder = builder.map_err(unfit)?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

fn verifier(settings: &TlsSettings, provider: &CryptoProvider, texts: &Texts) -> Result<Verifier, String> {
    let algorithms = provider.signature_verification_algorithms;
    let (mut roots, mut trusted) = (RootCertStore::empty(), Vec::new());
    match texts.trusted(settings) {
        None => roots = systems_roots()?,
        Some(text) => {
            trusted = key::certificates(text)?;
            for (certificate, number) in trusted.iter().zip(1..) {
                let unreadable = |_| format!("{}: certificate {number} cannot be read", text.property);
                roots.add(certificate.clone()).map_err(unreadable)?;
            }
        }
    }
    Ok(Verifier { roots, trusted, algorithms, check_names: settings.check_names })
}

fn systems_roots() -> Result<RootCertStore, String> {
    let (mut roots, found) = (RootCertStore::empty(), rustls_native_certs::load_native_certs());
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
    Err(format!(
        "ssl.truststore.location: not set, and this system has no trusted certificates{why}: set it, or install ca-certificates"
    ))
}

fn identity(
    settings: &TlsSettings,
    provider: &CryptoProvider,
    texts: &Texts,
) -> Result<Option<CertifiedKey>, Vec<String>> {
    let Some(identity) = &settings.identity else { return Ok(None) };
    let Some((chain, key)) = texts.identity(identity) else { return Ok(None) };
    key::certified(chain, key, &identity.password, provider).map(Some)
}
