//! The connection to a client, plain or encrypted.
//!
//! In: a socket, and how it is secured. Out: bytes. Without the feature `tls` there is only the plain one.

#[cfg(feature = "tls")]
use std::{fs, sync::Arc};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

#[cfg(feature = "tls")]
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// How connections are secured; by default not at all.
#[derive(Clone, Default)]
pub struct Secure {
    #[cfg(feature = "tls")]
    tls: Option<Arc<ServerConfig>>,
}

impl Secure {
    /// By TLS, with the certificate and the key in these files, in PEM.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be.
    #[cfg(feature = "tls")]
    pub fn tls(certificate: &str, key: &str) -> io::Result<Self> {
        let certificate = CertificateDer::from_pem_slice(&fs::read(certificate)?).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_slice(&fs::read(key)?).map_err(io::Error::other)?;
        let builder = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into());
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?.with_no_client_auth();
        let config = builder.with_single_cert(vec![certificate], key).map_err(io::Error::other)?;
        Ok(Self { tls: Some(config.into()) })
    }
}

pub(crate) enum Peer {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Peer {
    #[cfg_attr(
        not(feature = "tls"),
        expect(unused_variables, clippy::unnecessary_wraps, reason = "only TLS is set up")
    )]
    pub(crate) fn new(socket: TcpStream, secure: &Secure) -> io::Result<Self> {
        #[cfg(feature = "tls")]
        if let Some(config) = &secure.tls {
            let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            return Ok(Self::Tls(Box::new(StreamOwned::new(session, socket))));
        }
        Ok(Self::Plain(socket))
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.flush(),
        }
    }
}
