//! TLS of the listeners: what the broker shows, and what it asks of clients.
//!
//! In: a builder's settings, and a test's commands. Out: the configuration that the next connection gets. Pure. Source:
//! `BrokerSecurityConfigs` and `SslConfigs` of Apache Kafka 4.2.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;

use crate::tls::server::{ServerSettings, authority::Authority, config};

/// The names and addresses that a certificate of the broker's own is for.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// `ssl.client.auth`: whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuth {
    /// No certificate is asked for.
    #[default]
    None,
    /// A client may show one. One that is not trusted is refused.
    Requested,
    /// A client without one is refused.
    Required,
}

/// TLS of the embedded broker's listeners.
///
/// Without a [`keystore`](Self::keystore) the broker makes a CA of its own when it starts, and a certificate for `localhost`, `127.0.0.1` and
/// `::1`; clients trust what [`EmbeddedBroker::ca_pem`](super::EmbeddedBroker::ca_pem) returns.
#[derive(Clone, Default)]
#[must_use]
pub struct Tls {
    keystore: Option<String>,
    client_auth: ClientAuth,
    truststore: Option<String>,
    settings: ServerSettings,
}

impl std::fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let has_keystore = self.keystore.is_some();
        f.debug_struct("Tls")
            .field("has_keystore", &has_keystore)
            .field("client_auth", &self.client_auth)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS 1.2 and 1.3 with a certificate by a CA of the broker's own. Clients need none.
    pub fn new() -> Self {
        Self::default()
    }

    /// `ssl.keystore.type=PEM`: a private key in PKCS#8 that is not encrypted, and its certificates, in one text.
    pub fn keystore(mut self, pem: impl Into<String>) -> Self {
        self.keystore = Some(pem.into());
        self
    }

    /// `ssl.client.auth`. Defaults to none. The principal of a client that has shown a certificate and does not authenticate by SASL is
    /// `User:` and its subject, such as `User:CN=shop`.
    pub fn client_auth(mut self, auth: ClientAuth) -> Self {
        self.client_auth = auth;
        self
    }

    /// `ssl.truststore.type=PEM`: the CAs of clients. Defaults to the broker's own; see
    /// [`EmbeddedBroker::client_keystore`](super::EmbeddedBroker::client_keystore).
    pub fn truststore(mut self, pem: impl Into<String>) -> Self {
        self.truststore = Some(pem.into());
        self
    }

    /// `ssl.enabled.protocols`: `TLSv1.2`, `TLSv1.3` or, by default, both.
    pub fn protocols<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.settings.protocols = names.into_iter().map(str::to_owned).collect();
        self
    }

    /// `ssl.cipher.suites`, by their standard names. Defaults to all that this build has.
    pub fn cipher_suites<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.settings.cipher_suites = names.into_iter().map(str::to_owned).collect();
        self
    }
}

/// The certificates of a running broker.
pub(super) struct Certificates {
    /// Or why there is none.
    authority: Result<Authority, String>,
    settings: ServerSettings,
    current: Mutex<Arc<ServerConfig>>,
}

impl Certificates {
    /// Makes or reads them. An error has every violation.
    pub(super) fn open(tls: Tls) -> Result<Self, String> {
        let authority = Authority::new("milena embedded broker");
        let own = || authority.as_ref().map_err(Clone::clone);
        let Tls { keystore, client_auth, truststore, mut settings } = tls;
        if client_auth != ClientAuth::None {
            let trusted = truststore.map_or_else(|| own().map(|own| own.pem().to_owned()), Ok)?;
            settings.clients = Some((trusted, client_auth == ClientAuth::Required));
        }
        let keystore = keystore.map_or_else(|| own().and_then(|own| own.issue("localhost", &HOSTS)), Ok)?;
        let current = Mutex::new(made_of(&settings, &keystore)?);
        Ok(Self { authority, settings, current })
    }

    /// The certificate of the broker's own CA.
    pub(super) fn ca_pem(&self) -> Option<&str> {
        self.authority.as_ref().ok().map(Authority::pem)
    }

    fn authority(&self) -> Result<&Authority, String> {
        self.authority.as_ref().map_err(Clone::clone)
    }

    /// A key and a certificate for a client.
    pub(super) fn client_keystore(&self, name: &str) -> Result<String, String> {
        self.authority()?.issue(name, &[])
    }

    /// What the next connection gets.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From the next connection on the broker shows another certificate: this one, or a new one of its own CA.
    pub(super) fn rotate(&self, keystore: Option<&str>) -> Result<(), String> {
        let new = match keystore {
            Some(keystore) => made_of(&self.settings, keystore)?,
            None => made_of(&self.settings, &self.authority()?.issue("localhost", &HOSTS)?)?,
        };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

fn made_of(settings: &ServerSettings, keystore: &str) -> Result<Arc<ServerConfig>, String> {
    config(settings, keystore).map_err(|violations| violations.join("; "))
}
