//! A certificate authority for tests, and what it issues.
//!
//! In: names. Out: certificates and keys as PEM. Keys are made by graviola and signatures by whatever this build has, so it needs no C.
//! Its certificates are valid from 2020 to 2100: nothing here protects anything but a test.

use std::{net::IpAddr, sync::Arc};

use pkcs8::{
    der::{SecretDocument, pem::LineEnding},
    spki::SubjectPublicKeyInfoRef,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, PublicKeyData,
    SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use rustls::{SignatureScheme, pki_types::PrivateKeyDer};

use crate::tls::provider;

/// The first and the last year in which certificates are valid.
const YEARS: (i32, i32) = (2020, 2100);

/// A certificate authority.
pub(crate) struct Authority {
    params: CertificateParams,
    key: Key,
    pem: String,
}

impl Authority {
    /// An authority of its own. An error says that this build, or this processor, makes no keys.
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        let key = Key::new()?;
        let mut params = params(name, &[], &key)?;
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
        let key = Key::new()?;
        let mut params = params(name, hosts, &key)?;
        let purpose =
            if hosts.is_empty() { ExtendedKeyUsagePurpose::ClientAuth } else { ExtendedKeyUsagePurpose::ServerAuth };
        params.extended_key_usages = vec![purpose];
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).map_err(|error| error.to_string())?;
        Ok(key.pem()? + &certificate.pem())
    }
}

fn params(name: &str, hosts: &[&str], key: &Key) -> Result<CertificateParams, String> {
    let host = |host: &&str| match host.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => (*host).try_into().map(SanType::DnsName).map_err(|_| format!("{host:?} is no host")),
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = hosts.iter().map(host).collect::<Result<_, _>>()?;
    params.not_before = rcgen::date_time_ymd(YEARS.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(YEARS.1, 12, 31);
    params.is_ca = IsCa::ExplicitNoCa;
    // A new key is as good as chance.
    let unique: Vec<u8> = key.public.iter().skip(1).take(16).copied().collect();
    params.serial_number = Some(SerialNumber::from_slice(&unique));
    params.key_identifier_method = KeyIdMethod::PreSpecified(unique);
    Ok(params)
}

/// A private key on the curve P-256.
struct Key {
    pkcs8: Vec<u8>,
    signing: Arc<dyn rustls::sign::SigningKey>,
    public: Vec<u8>,
}

impl Key {
    fn new() -> Result<Self, String> {
        let pkcs8 = generate()?;
        let unusable = "a key that was just made cannot be used".to_owned();
        let provider = provider::choose(&[])?.key_provider;
        let signing = provider.load_private_key(PrivateKeyDer::Pkcs8(pkcs8.clone().into()));
        let signing = signing.map_err(|error| format!("{unusable}: {error}"))?;
        let info = signing.public_key().ok_or_else(|| unusable.clone())?;
        let info = SubjectPublicKeyInfoRef::try_from(info.as_ref()).map_err(|error| format!("{unusable}: {error}"))?;
        let public = info.subject_public_key.raw_bytes().to_vec();
        Ok(Self { pkcs8, signing, public })
    }

    fn pem(&self) -> Result<String, String> {
        let document = SecretDocument::try_from(self.pkcs8.as_slice()).map_err(|error| error.to_string())?;
        document.to_pem("PRIVATE KEY", LineEnding::LF).map(|pem| pem.to_string()).map_err(|error| error.to_string())
    }
}

/// A new key in PKCS#8.
fn generate() -> Result<Vec<u8>, String> {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if graviola::util::is_cpu_supported() {
        use graviola::signing::ecdsa::{P256, SigningKey};
        let mut buffer = [0; 512];
        let key = SigningKey::<P256>::generate().map_err(|error| format!("no key can be made: {error:?}"))?;
        let pkcs8 = key.to_pkcs8_der(&mut buffer).map_err(|error| format!("no key can be made: {error:?}"))?;
        return Ok(pkcs8.to_vec());
    }
    Err("this processor cannot make keys here: give the embedded broker a keystore".to_owned())
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.signing.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let signer = signer.ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        signer.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
