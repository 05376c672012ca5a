//! Handshakes of the embedded broker: who the client is.
//!
//! In: a socket. Out: an encrypted connection, and the subject of the client's certificate. There is no protection against clients that hold it up:
//! the caller limits the time.

use std::{io, sync::Arc};

use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_cert::der::{Decode, Reader, SliceReader};

/// Shakes hands. Returns the connection and, if the client has shown a certificate, its subject.
pub(crate) async fn accept(
    config: Arc<ServerConfig>,
    socket: TcpStream,
) -> io::Result<(TlsStream<TcpStream>, Option<String>)> {
    let stream = TlsAcceptor::from(config).accept(socket).await?;
    let (_, session) = stream.get_ref();
    let subject = session.peer_certificates().and_then(<[_]>::first).and_then(subject);
    Ok((stream, subject))
}

/// The subject of a certificate in the form of RFC 2253, as `X500Principal.getName` of Java has it: `CN=shop,O=Example`.
fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    // webpki has the content of the sequence, without its tag and its length.
    let mut reader = SliceReader::new(parsed.subject()).ok()?;
    let mut names = Vec::new();
    while !reader.is_finished() {
        names.push(x509_cert::name::RelativeDistinguishedName::decode(&mut reader).ok()?.to_string());
    }
    names.reverse();
    Some(names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{
        key::{self, Text},
        server::authority::Authority,
    };

    #[test]
    fn the_subject_of_a_certificate_is_written_as_java_writes_it() {
        let ca = Authority::new("test").unwrap();
        for (name, subject_expected) in [("shop", "CN=shop"), ("a, b", "CN=a\\, b"), ("käse", "CN=käse")] {
            let store = ca.issue(name, &[]).unwrap();
            let chain = key::certificates(Text { property: "", text: store.as_bytes() }).unwrap();
            assert_eq!(subject(&chain[0]).as_deref(), Some(subject_expected));
        }
        assert_eq!(subject(&CertificateDer::from(vec![0x30, 0])), None);
    }
}
