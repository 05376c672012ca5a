//! Types of settings.
//!
//! In: nothing. Out: types of the public API, and those of settings without a setter. Pure. Their notation in Java is in
//! [`super::table`].

use std::{fmt, sync::Arc};

/// How many replicas must have a record before it counts as written (`acks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acks {
    /// `0`: none. The broker sends no response, so an acknowledgement only means that the socket took the record.
    None,
    /// `1`: the leader. The record is lost if the leader fails before a follower has fetched it.
    Leader,
    /// `all`, also `-1`: every replica in sync. The topic's `min.insync.replicas` is how many there must be.
    All,
}

/// How batches are compressed (`compression.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// `none`: no compression.
    #[default]
    None,
    /// `gzip`: small and slow. Its levels are set by [`crate::ProducerBuilder::compression_gzip_level`].
    Gzip,
    /// `snappy`: fast, in the framing that Java's client uses.
    Snappy,
    /// `lz4`: the fastest, and mostly a little smaller than `snappy`. It has no levels here.
    Lz4,
    /// `zstd`: small for its speed. It needs the feature `zstd`, which compiles C; without it, building the producer fails. Its
    /// levels are set by [`crate::ProducerBuilder::compression_zstd_level`].
    Zstd,
}

/// How connections are secured (`security.protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecurityProtocol {
    /// Neither TLS nor authentication.
    Plaintext,
    /// TLS. The certificate that a client may have is its authentication.
    Ssl,
    /// Authentication without TLS.
    SaslPlaintext,
    /// TLS, and authentication inside it.
    SaslSsl,
}

impl SecurityProtocol {
    /// Whether connections are encrypted.
    pub(crate) fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether clients say who they are.
    pub(crate) fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// The format of a file with certificates (`ssl.truststore.type`, `ssl.keystore.type`). milena reads PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreType {
    /// Java's own.
    Jks,
    /// PKCS#12, which Java and OpenSSL write.
    Pkcs12,
    /// Text.
    Pem,
}

/// Which versions of TLS may be used (`ssl.enabled.protocols`). At least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TlsVersions {
    /// TLS 1.2.
    pub(crate) v12: bool,
    /// TLS 1.3.
    pub(crate) v13: bool,
}

/// A text that is never printed: a password, a key.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secret(Arc<str>);

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text itself, for whoever needs it.
    #[cfg_attr(not(any(test, feature = "tls")), expect(dead_code, reason = "only TLS has secrets as yet"))]
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// Prints `***`, and nothing for an empty one.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "" } else { "***" })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_printed_as_stars() {
        let secret = Secret::new("hunter2");
        assert_eq!((format!("{secret}"), format!("{secret:?}")), ("***".into(), "***".into()));
        assert_eq!(secret.reveal(), "hunter2");
        assert_eq!(format!("{:?}", Secret::default()), "");
    }
}
