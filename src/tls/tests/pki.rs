//! Certificates for tests: CAs, and what they issue.
//!
//! In: names, times, kinds of keys. Out: certificates and keys, as PEM.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer};
use rustls::pki_types::PrivateKeyDer;

pub(crate) use crate::tls::pair::Kind;
use crate::tls::pair::Pair;

pub(crate) const KINDS: [Kind; 4] = [Kind::P256, Kind::P384, Kind::Ed25519, Kind::Rsa];

/// What a certificate is to say.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) kind: Kind,
    pub(crate) common_name: &'static str,
    /// DNS names and IP addresses.
    pub(crate) names: Vec<&'static str>,
    /// The first and the last year in which it is valid.
    pub(crate) years: (i32, i32),
    pub(crate) is_ca: bool,
    pub(crate) purposes: Vec<ExtendedKeyUsagePurpose>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            kind: Kind::P256,
            common_name: "broker",
            names: vec!["localhost", "127.0.0.1"],
            years: (2020, 2100),
            is_ca: false,
            purposes: Vec::new(),
        }
    }
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    /// The chain, without the CA.
    pub(crate) chain: String,
    pub(crate) key: String,
    pair: Pair,
}

/// A certificate authority.
pub(crate) struct Ca {
    params: CertificateParams,
    key: Pair,
    pub(crate) pem: String,
}

impl Ca {
    pub(crate) fn new(common_name: &'static str) -> Self {
        let key = Pair::new(Kind::P256).unwrap();
        let params = params(&Wanted { common_name, names: Vec::new(), is_ca: true, ..Wanted::default() }, &key);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    pub(crate) fn issue(&self, wanted: &Wanted) -> Issued {
        let key = Pair::new(wanted.kind).unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let chain = params(wanted, &key).signed_by(&key, &issuer).unwrap().pem();
        Issued { chain, key: key.pem().unwrap(), pair: key }
    }

    /// A certificate from a CA between, which comes with it.
    pub(crate) fn issue_by_intermediate(&self, wanted: &Wanted) -> Issued {
        let between = Self::new("Between");
        let issuer = Issuer::from_params(&self.params, &self.key);
        let pem = between.params.signed_by(&between.key, &issuer).unwrap().pem();
        let issued = between.issue(wanted);
        Issued { chain: issued.chain.clone() + &pem, ..issued }
    }
}

/// A certificate that nobody else has signed.
pub(crate) fn self_signed(wanted: &Wanted) -> Issued {
    let key = Pair::new(wanted.kind).unwrap();
    let chain = params(wanted, &key).self_signed(&key).unwrap().pem();
    Issued { chain, key: key.pem().unwrap(), pair: key }
}

impl Issued {
    /// Chain and key in one text, as a keystore has them.
    pub(crate) fn store(&self) -> String {
        format!("{}{}", self.key, self.chain)
    }

    /// The key as rustls takes it.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        self.pair.private_key()
    }
}

fn params(wanted: &Wanted, key: &Pair) -> CertificateParams {
    let mut params = key.params(wanted.common_name, &wanted.names).unwrap();
    params.not_before = rcgen::date_time_ymd(wanted.years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(wanted.years.1, 12, 31);
    params.is_ca = if wanted.is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    params.extended_key_usages = wanted.purposes.clone();
    params
}
