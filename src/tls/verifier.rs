//! Judges a broker's certificate.
//!
//! In: a certificate, those that came with it, the broker's name, the time. Out: whether it is the broker's, or what is wrong. Pure but
//! for what rustls passes in. The checks are rustls's own. This adds what Java does as well: a certificate may be trusted by itself, and
//! the check of names can be turned off. And it tells a certificate that nobody else has signed from one whose CA is not trusted.

use std::{error::Error as StdError, fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

/// What is trusted, and how much is checked.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) roots: RootCertStore,
    /// Certificates that are trusted by themselves as well.
    pub(super) trusted: Vec<CertificateDer<'static>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) check_names: bool,
}

/// The issuer of a certificate is not trusted.
#[derive(Debug)]
pub(super) struct Untrusted {
    /// The issuer's common name, if it has one.
    pub(super) issuer: Option<String>,
    pub(super) is_self_signed: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms) {
            Err(Error::InvalidCertificate(error)) if is_ca(&error) && self.trusted.contains(end_entity) => {}
            Err(Error::InvalidCertificate(error)) if is_foreign(&error, end_entity) => {
                return Err(untrusted(end_entity));
            }
            checked => checked?,
        }
        if self.check_names {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether all that is wrong with a certificate is that it may sign others. It is within its time then, because that is checked before.
fn is_ca(error: &CertificateError) -> bool {
    let CertificateError::Other(OtherError(inner)) = error else { return false };
    matches!(inner.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Whether nobody that is trusted has signed a certificate. One that is self-signed is often a CA's, since that is what OpenSSL makes.
fn is_foreign(error: &CertificateError, end_entity: &CertificateDer<'_>) -> bool {
    matches!(error, CertificateError::UnknownIssuer) || (is_ca(error) && issuer(end_entity).is_self_signed)
}

fn untrusted(end_entity: &CertificateDer<'_>) -> Error {
    CertificateError::Other(OtherError(Arc::new(issuer(end_entity)))).into()
}

fn issuer(end_entity: &CertificateDer<'_>) -> Untrusted {
    let parsed = webpki::EndEntityCert::try_from(end_entity);
    parsed.map_or(Untrusted { issuer: None, is_self_signed: false }, |certificate| Untrusted {
        issuer: common_name(certificate.issuer()),
        is_self_signed: certificate.issuer() == certificate.subject(),
    })
}

/// The common name of a distinguished name in DER: what follows its object identifier, 2.5.4.3, and the tag of a text.
fn common_name(name: &[u8]) -> Option<String> {
    const IDENTIFIER: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
    let at = name.windows(IDENTIFIER.len()).rposition(|window| window == IDENTIFIER)?;
    let text = name.get(at.checked_add(IDENTIFIER.len())?..)?;
    let (&[_tag, len], text) = text.split_first_chunk()?;
    // A common name has at most 64 characters, so its length is one byte.
    let text = text.get(..usize::from(len))?;
    Some(String::from_utf8_lossy(text).into_owned())
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_self_signed { "self-signed" } else { "unknown issuer" })
    }
}

impl StdError for Untrusted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_name_is_found_in_a_distinguished_name_and_no_bytes_cause_a_panic() {
        let name = [&[0x30, 0x0f, 0x31, 0x0d, 0x30, 0x0b, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 4][..], b"Shop"].concat();
        assert_eq!(common_name(&name).as_deref(), Some("Shop"));
        for end in 0..name.len() {
            assert_eq!(common_name(&name[..end]), None);
        }
    }
}
