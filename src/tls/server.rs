//! The other side of TLS, for the embedded broker and for programs that serve: what it shows to clients, and what it asks of them.
//!
//! In: PEM, and settings by their Java names. Out: a configuration of rustls. The cryptography is the client's.

#[cfg(feature = "broker-tls")]
pub(crate) mod authority;
#[cfg(feature = "broker-tls")]
pub(crate) mod handshake;

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
};

use super::{
    assemble::{UNFIT, versions},
    key::{self, Text},
    provider,
};
use crate::{config::TlsVersions, secret::Secret};

/// What a server is like.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerSettings {
    /// `ssl.enabled.protocols`; both versions if none is named.
    pub(crate) protocols: Vec<String>,
    /// `ssl.cipher.suites`; all if none is named.
    pub(crate) cipher_suites: Vec<String>,
    /// The CAs of clients as PEM, and whether each client has to have a certificate. `None` if none is asked for.
    pub(crate) clients: Option<(String, bool)>,
    /// `ssl.key.password`, if the key is encrypted.
    pub(crate) key_password: Option<Secret>,
    /// The application protocols to choose from (ALPN); none is that none is agreed.
    pub(crate) application_protocols: Vec<Vec<u8>>,
}

/// A configuration that shows the certificates of `keystore`, or every violation.
pub(crate) fn config(settings: &ServerSettings, keystore: &str) -> Result<Arc<ServerConfig>, Vec<String>> {
    let one = |wrong: String| vec![wrong];
    let provider = Arc::new(provider::choose(&settings.cipher_suites).map_err(one)?);
    let store = Text { property: "ssl.keystore", text: keystore.as_bytes() };
    let password = settings.key_password.clone().unwrap_or_else(|| Secret::new(""));
    let identity = key::certified(store, store, &password, &provider)?;
    let names = |name: &str| settings.protocols.is_empty() || settings.protocols.iter().any(|other| other == name);
    if let Some(unknown) = settings.protocols.iter().find(|name| !["TLSv1.2", "TLSv1.3"].contains(&name.as_str())) {
        return Err(one(format!("ssl.enabled.protocols: expected TLSv1.2, TLSv1.3 or both, got {unknown:?}")));
    }
    let versions = versions(TlsVersions { v12: names("TLSv1.2"), v13: names("TLSv1.3") });
    let verifier = clients(settings, &provider).map_err(one)?;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions);
    let builder = builder.map_err(|_| one(UNFIT.to_owned()))?.with_client_cert_verifier(verifier);
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols.clone_from(&settings.application_protocols);
    Ok(Arc::new(config))
}

/// What judges the certificates of clients.
fn clients(settings: &ServerSettings, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let Some((trusted, is_required)) = &settings.clients else { return Ok(WebPkiClientVerifier::no_client_auth()) };
    let mut roots = RootCertStore::empty();
    for certificate in key::certificates(Text { property: "ssl.truststore", text: trusted.as_bytes() })? {
        roots.add(certificate).map_err(|error| format!("ssl.truststore: {error}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
    let builder = if *is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| format!("ssl.truststore: {error}"))
}

#[cfg(all(test, feature = "broker-tls"))]
mod tests {
    use super::{authority::Authority, *};

    fn keystore() -> String {
        Authority::new("test").unwrap().issue("broker", &["localhost"]).unwrap()
    }

    #[test]
    fn a_keystore_and_settings_that_do_not_fit_are_refused() {
        let good = keystore();
        assert!(config(&ServerSettings::default(), &good).is_ok());
        let with = |protocols: &[&str], suites: &[&str], clients: Option<&str>| ServerSettings {
            protocols: protocols.iter().map(|name| (*name).to_owned()).collect(),
            cipher_suites: suites.iter().map(|name| (*name).to_owned()).collect(),
            clients: clients.map(|pem| (pem.to_owned(), true)),
            ..ServerSettings::default()
        };
        for (settings, keystore, says) in [
            (with(&[], &[], None), "", "ssl.keystore: expected certificates in PEM"),
            (with(&["TLSv1.1"], &[], None), &*good, "ssl.enabled.protocols: expected TLSv1.2, TLSv1.3 or both"),
            (with(&[], &["TLS_NONE"], None), &*good, "ssl.cipher.suites: expected some of"),
            (with(&["TLSv1.2"], &["TLS_AES_128_GCM_SHA256"], None), &*good, "none of them is for a version"),
            (with(&[], &[], Some("")), &*good, "ssl.truststore: expected certificates in PEM"),
        ] {
            let violations = config(&settings, keystore).unwrap_err();
            assert!(violations[0].starts_with(says) || violations[0].contains(says), "{violations:?}");
        }
    }
}
