//! Certificates for tests: CAs, and what they issue.
//!
//! In: names, times, kinds of keys. Out: certificates and keys, as PEM. The cryptography is graviola's, so it needs no C.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use graviola::signing::{
    ecdsa::{self, P256, P384},
    eddsa::Ed25519SigningKey,
    rsa::{self, KeySize},
};
use pkcs8::{
    der::{SecretDocument, pem::LineEnding},
    spki::SubjectPublicKeyInfoRef,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use rustls::{SignatureScheme, pki_types::PrivateKeyDer};

/// The kind of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::P256, Kind::P384, Kind::Ed25519, Kind::Rsa];

/// A private key.
#[derive(Clone)]
struct Key {
    kind: Kind,
    pkcs8: Vec<u8>,
    signing: Arc<dyn rustls::sign::SigningKey>,
    public: Vec<u8>,
}

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
    pkcs8: Vec<u8>,
}

/// A certificate authority.
pub(crate) struct Ca {
    params: CertificateParams,
    key: Key,
    pub(crate) pem: String,
}

impl Ca {
    pub(crate) fn new(common_name: &'static str) -> Self {
        let key = Key::new(Kind::P256);
        let params = params(&Wanted { common_name, names: Vec::new(), is_ca: true, ..Wanted::default() });
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    pub(crate) fn issue(&self, wanted: &Wanted) -> Issued {
        let key = Key::new(wanted.kind);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let chain = params(wanted).signed_by(&key, &issuer).unwrap().pem();
        Issued { chain, key: key.pem(), pkcs8: key.pkcs8 }
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
    let key = Key::new(wanted.kind);
    let chain = params(wanted).self_signed(&key).unwrap().pem();
    Issued { chain, key: key.pem(), pkcs8: key.pkcs8 }
}

impl Issued {
    /// Chain and key in one text, as a keystore has them.
    pub(crate) fn store(&self) -> String {
        format!("{}{}", self.key, self.chain)
    }

    /// The key as rustls takes it.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.pkcs8.clone().into())
    }
}

fn params(wanted: &Wanted) -> CertificateParams {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let name = |name: &&str| match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName((*name).try_into().unwrap()),
    };
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from(serial));
    params.subject_alt_names = wanted.names.iter().map(name).collect();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, wanted.common_name);
    params.not_before = rcgen::date_time_ymd(wanted.years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(wanted.years.1, 12, 31);
    params.is_ca = if wanted.is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    params.extended_key_usages = wanted.purposes.clone();
    params.key_identifier_method = KeyIdMethod::PreSpecified(serial.to_be_bytes().to_vec());
    params
}

impl Key {
    fn new(kind: Kind) -> Self {
        let mut buffer = [0; 4096];
        let pkcs8 = match kind {
            Kind::P256 => ecdsa::SigningKey::<P256>::generate().unwrap().to_pkcs8_der(&mut buffer).unwrap(),
            Kind::P384 => ecdsa::SigningKey::<P384>::generate().unwrap().to_pkcs8_der(&mut buffer).unwrap(),
            Kind::Ed25519 => Ed25519SigningKey::generate().unwrap().to_pkcs8_der(&mut buffer).unwrap(),
            Kind::Rsa => rsa::SigningKey::generate(KeySize::Rsa2048).unwrap().to_pkcs8_der(&mut buffer).unwrap(),
        };
        let pkcs8 = pkcs8.to_vec();
        let provider = rustls_graviola::default_provider().key_provider;
        let signing = provider.load_private_key(PrivateKeyDer::Pkcs8(pkcs8.clone().into())).unwrap();
        let info = signing.public_key().unwrap();
        let public = SubjectPublicKeyInfoRef::try_from(info.as_ref()).unwrap().subject_public_key.raw_bytes().to_vec();
        Self { kind, pkcs8, signing, public }
    }

    fn pem(&self) -> String {
        let document = SecretDocument::try_from(self.pkcs8.as_slice()).unwrap();
        document.to_pem("PRIVATE KEY", LineEnding::LF).unwrap().to_string()
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.kind {
            Kind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Kind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Kind::Ed25519 => &rcgen::PKCS_ED25519,
            Kind::Rsa => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let scheme = match self.kind {
            Kind::P256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Kind::P384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            Kind::Ed25519 => SignatureScheme::ED25519,
            Kind::Rsa => SignatureScheme::RSA_PKCS1_SHA256,
        };
        Ok(self.signing.choose_scheme(&[scheme]).unwrap().sign(message).unwrap())
    }
}
