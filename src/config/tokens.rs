//! What OAUTHBEARER's settings add up to.
//!
//! In: nothing. Out: types. Pure. [`super::oauth`] fills them in, [`crate::oauth`] gets tokens by them.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Map, Value};

#[cfg(feature = "oidc")]
use super::tls::TlsSettings;
use crate::sasl::token::TokenSource;
#[cfg(feature = "oidc")]
use crate::secret::Secret;

/// How tokens are got.
#[derive(Clone, Debug)]
pub(crate) struct TokenSettings {
    pub(crate) origin: Origin,
    /// What every token gets in addition, by name.
    pub(crate) extensions: BTreeMap<String, String>,
    pub(crate) scope_claim: Arc<str>,
    pub(crate) sub_claim: Arc<str>,
    pub(crate) refresh: Refresh,
    /// The first pause after a failure, and the longest.
    pub(crate) backoff: (Duration, Duration),
    /// How long the origin may take to give a token.
    pub(crate) patience: Duration,
}

/// Where tokens come from.
#[derive(Clone)]
pub(crate) enum Origin {
    /// The program's own code.
    Code(Arc<dyn TokenSource>),
    /// A file that holds a token, and that somebody else keeps up to date.
    File(PathBuf),
    /// The client makes them, without a signature.
    Unsecured(Unsecured),
    /// An OIDC provider.
    #[cfg(feature = "oidc")]
    Endpoint(Arc<Endpoint>),
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code(_) => "Code",
            Self::File(_) => "File",
            Self::Unsecured(_) => "Unsecured",
            #[cfg(feature = "oidc")]
            Self::Endpoint(_) => "Endpoint",
        })
    }
}

/// What a token without a signature says.
#[derive(Clone, Debug)]
pub(crate) struct Unsecured {
    /// All claims but `iat` and `exp`.
    pub(crate) claims: Map<String, Value>,
    pub(crate) lifetime: Duration,
}

/// When a token is refreshed (`sasl.login.refresh.*`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refresh {
    pub(crate) factor: f64,
    pub(crate) jitter: f64,
    pub(crate) min_period: Duration,
    pub(crate) buffer: Duration,
}

/// An OIDC provider, and who the client is to it.
#[cfg(feature = "oidc")]
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The URL without what stands behind a `?`, for logs and errors.
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host and port as the URL has them.
    pub(crate) authority: String,
    pub(crate) path: String,
    /// How the connection is encrypted; `None` is not at all.
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    /// Empty if none is asked for.
    pub(crate) scope: String,
    pub(crate) urlencode: bool,
    /// How long a connection may take, and then the answer.
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
}
