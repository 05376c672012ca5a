//! Types of settings.
//!
//! In: nothing. Out: types of the public API, and those of settings without a setter. Pure. Their notation in Java is in
//! [`super::table`].

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
    /// `lz4`: the fastest, and mostly a little smaller than `snappy`. Its levels are set by [`crate::ProducerBuilder::compression_lz4_level`].
    Lz4,
    /// `zstd`: small for its speed. It needs the feature `zstd-rust`, which is on by default and has levels from -7 to 4, or `zstd`,
    /// which compiles C and has all; without both, building the producer fails. Its levels are set by [`crate::ProducerBuilder::compression_zstd_level`].
    Zstd,
}

/// How the producer speaks to brokers (`security.protocol`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SecurityProtocol {
    /// `PLAINTEXT`: without encryption, and without saying who one is.
    #[default]
    Plaintext,
    /// `SSL`: encrypted.
    Ssl,
    /// `SASL_PLAINTEXT`: authenticated, without encryption. With [`SaslMechanism::Plain`] everybody on the way can read the password.
    SaslPlaintext,
    /// `SASL_SSL`: authenticated and encrypted.
    SaslSsl,
}

impl SecurityProtocol {
    pub(crate) fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    pub(crate) fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

/// How the producer proves who it is (`sasl.mechanism`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SaslMechanism {
    /// `GSSAPI`: Kerberos. milena does not have it.
    Gssapi,
    /// `PLAIN`: user name and password as they are (RFC 4616).
    Plain,
    /// `SCRAM-SHA-256`: neither side shows the password (RFC 7677). It needs the feature `scram`; without it, building the producer fails.
    ScramSha256,
    /// `SCRAM-SHA-512`: the same with a longer hash.
    ScramSha512,
    /// `OAUTHBEARER`: a token (RFC 7628). It needs the feature `oauth`, and `oidc` for tokens from a provider; without it, building the
    /// producer fails.
    OauthBearer,
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
