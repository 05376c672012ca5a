//! What connections are made with: from settings and texts to a configuration of rustls.
//!
//! In: settings, the texts that they name, the cryptography. Out: a `ClientConfig`, or every violation. Reads the system's roots where no others
//! are named.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    client::{Resumption, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::ServerName,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use super::{files::Texts, key, stream::Refusal, verifier::Verifier};
use crate::config::{TlsVersions, tls::TlsSettings};

/// How many sessions are kept, to be resumed.
const SESSIONS: usize = 256;
/// Why suites and versions that are valid alone cannot be used together.
pub(super) const UNFIT: &str = "ssl.cipher.suites: none of them is for a version in ssl.enabled.protocols";

/// A host as certificates name it.
pub(super) fn name_of(host: &str) -> Result<ServerName<'static>, Refusal> {
    // The scope of an IPv6 address is no part of a name.
    let name = host.split_once('%').map_or(host, |(address, _)| address).to_owned();
    let unfit = |_| {
        let why = format!("{host} cannot be in a certificate: expected a DNS name or an IP address");
        Refusal { why, is_final: true }
    };
    ServerName::try_from(name).map_err(unfit)
}

/// The configuration of connections, or every violation.
pub(super) fn config(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
    texts: &Texts,
) -> Result<ClientConfig, Vec<String>> {
    verified_by(|verifier| verifier, settings, provider, texts)
}

/// As [`config`], with what `wrap` makes of the verifier in its place.
pub(super) fn verified_by<V: ServerCertVerifier + 'static>(
    wrap: impl FnOnce(Verifier) -> V,
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
    texts: &Texts,
) -> Result<ClientConfig, Vec<String>> {
    let (verifier, identity) = (verifier(settings, provider, texts), identity(settings, provider, texts));
    let (verifier, identity) = match (verifier, identity) {
        (Ok(verifier), Ok(identity)) => (verifier, identity),
        (verifier, identity) => {
            return Err(verifier.err().into_iter().chain(identity.err().into_iter().flatten()).collect());
        }
    };
    let versions = versions(settings.versions);
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(&versions);
    let builder = builder
        .map_err(|_| vec![UNFIT.to_owned()])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(wrap(verifier)));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

/// The versions as rustls has them, the newer one first.
pub(super) fn versions(TlsVersions { v12, v13 }: TlsVersions) -> Vec<&'static SupportedProtocolVersion> {
    [(v13, &TLS13), (v12, &TLS12)].into_iter().filter(|(is_on, _)| *is_on).map(|(_, version)| version).collect()
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
