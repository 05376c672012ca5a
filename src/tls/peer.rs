//! Who is at the other end of an encrypted connection, as sentences name it.
//!
//! In: nothing. Out: words. Pure.

use std::fmt;

/// Whom a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Broker,
    /// The OIDC provider's, which gives tokens.
    #[cfg(feature = "oidc")]
    TokenEndpoint,
}

impl Peer {
    /// What answers at the address, and has to speak TLS.
    pub(crate) fn listener(self) -> &'static str {
        match self {
            Self::Broker => "the listener",
            #[cfg(feature = "oidc")]
            Self::TokenEndpoint => "the token endpoint",
        }
    }

    /// The property with its address.
    pub(super) fn address(self) -> &'static str {
        match self {
            Self::Broker => "bootstrap.servers",
            #[cfg(feature = "oidc")]
            Self::TokenEndpoint => "sasl.oauthbearer.token.endpoint.url",
        }
    }

    /// What the peer may be if it does not speak TLS, and what to look at. A secret is sent to a token endpoint, so nothing here leads away from
    /// TLS.
    pub(super) fn plain(self) -> (&'static str, &'static str) {
        match self {
            Self::Broker => ("a PLAINTEXT listener", "check the port, or use security.protocol=PLAINTEXT"),
            #[cfg(feature = "oidc")]
            Self::TokenEndpoint => ("a server of plain HTTP", "check the port in sasl.oauthbearer.token.endpoint.url"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "the broker",
            #[cfg(feature = "oidc")]
            Self::TokenEndpoint => "the token endpoint",
        })
    }
}
