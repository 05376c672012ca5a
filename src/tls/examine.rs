//! What a TLS handshake shows, also if it fails: for whoever looks for what is wrong.
//!
//! In: a connected socket, the settings. Out: [`TlsHandshake`]. Does input and output. No session is resumed, because a server that resumes
//! one sends no certificates.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, task::spawn_blocking};

use super::{
    assemble::{name_of, verified_by},
    files::Texts,
    peer::Peer,
    provider,
    stream::{Refusal, Stream},
    verifier::Verifier,
    words::Sides,
};
use crate::config::tls::TlsSettings;

/// What a TLS handshake with a server shows, also if it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsHandshake {
    /// The server's certificates in DER, its own first. Empty if it sent none, or did not get so far.
    pub certificates: Vec<Vec<u8>>,
    /// The version, as `ssl.enabled.protocols` names it, and the cipher suite; or why the handshake failed, with a hint.
    pub outcome: Result<(String, String), String>,
}

/// Shakes hands. The caller limits the time.
///
/// # Errors
/// Every violation of a setting or of a file.
pub(crate) async fn examine(
    settings: &TlsSettings,
    socket: TcpStream,
    host: &str,
) -> Result<TlsHandshake, Vec<String>> {
    let shown = Shown::default();
    let (owned, record) = (settings.clone(), Arc::clone(&shown));
    let config = spawn_blocking(move || {
        let provider = Arc::new(provider::choose(&owned.cipher_suites).map_err(|violation| vec![violation])?);
        verified_by(|verifier| Recording { verifier, shown: record }, &owned, &provider, &Texts::read(&owned)?)
    });
    let mut config = config.await.unwrap_or_else(|_| Err(vec!["the runtime is shutting down".to_owned()]))?;
    config.resumption = Resumption::disabled();
    let opened = match name_of(host) {
        Ok(name) => Stream::open(socket, Arc::new(config), name, Sides::of(Peer::Broker, settings)).await,
        Err(unfit) => Err(unfit),
    };
    let outcome = opened.map(|stream| stream.agreed()).map_err(|Refusal { why, .. }| why);
    let certificates = std::mem::take(&mut *shown.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(TlsHandshake { certificates, outcome })
}

/// The certificates that a server has shown.
type Shown = Arc<Mutex<Vec<Vec<u8>>>>;

/// A verifier that remembers what it was shown.
#[derive(Debug)]
struct Recording {
    verifier: Verifier,
    shown: Shown,
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = [end_entity].into_iter().chain(intermediates).map(|certificate| certificate.to_vec()).collect();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
