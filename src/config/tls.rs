//! What the settings `ssl.*` add up to.
//!
//! In: nothing. Out: types. Pure. [`super::security`] fills them in, [`crate::tls`] reads the files that they name.

use std::sync::Arc;

use super::values::TlsVersions;
use crate::secret::Secret;

/// How connections are encrypted.
#[derive(Clone, Debug)]
pub(crate) struct TlsSettings {
    /// The certificates that are trusted; `None` is those of the system.
    pub(crate) trusted: Option<Pem>,
    /// Who the client is, if it is to say so.
    pub(crate) identity: Option<Identity>,
    pub(crate) versions: TlsVersions,
    /// The names of the cipher suites that may be used; empty for all.
    pub(crate) cipher_suites: Vec<String>,
    /// Whether a broker's certificate must have its name.
    pub(crate) check_names: bool,
}

/// A client's certificate and key.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) chain: Pem,
    pub(crate) key: Pem,
    /// The key's password; empty if it has none.
    pub(crate) password: Secret,
}

/// A text in PEM, and the property that says where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pem {
    pub(crate) property: &'static str,
    pub(crate) place: Place,
}

/// Where a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File(Arc<str>),
    Inline(Secret),
}
