//! A certificate authority for tests, and what it issues.
//!
//! In: names. Out: certificates and keys as PEM. Its certificates are valid from 2020 to 2100: nothing here protects anything but a test.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer};

use crate::tls::pair::{Kind, Pair};

/// A certificate authority.
pub(crate) struct Authority {
    params: CertificateParams,
    key: Pair,
    pem: String,
}

impl Authority {
    /// An authority of its own. An error says that this build, or this processor, makes no keys.
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        let key = Pair::new(Kind::P256)?;
        let mut params = key.params(name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).map_err(|error| error.to_string())?.pem();
        Ok(Self { params, key, pem })
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A key and a certificate of this common name in one text. `hosts` are DNS names and IP addresses; without any it is a client's.
    pub(crate) fn issue(&self, name: &str, hosts: &[&str]) -> Result<String, String> {
        let key = Pair::new(Kind::P256)?;
        let mut params = key.params(name, hosts)?;
        let purpose =
            if hosts.is_empty() { ExtendedKeyUsagePurpose::ClientAuth } else { ExtendedKeyUsagePurpose::ServerAuth };
        params.extended_key_usages = vec![purpose];
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).map_err(|error| error.to_string())?;
        Ok(key.pem()? + &certificate.pem())
    }
}
