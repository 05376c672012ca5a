//! Keys that are made here, and the certificates that they are for.
//!
//! In: a kind, names. Out: a key pair, and what a certificate of it says. Keys are made by graviola and signatures by whatever this build has,
//! so it needs no C. Deliberately absent: who signs a certificate.

use std::{net::IpAddr, sync::Arc};

use pkcs8::{
    der::{SecretDocument, pem::LineEnding},
    spki::SubjectPublicKeyInfoRef,
};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, IsCa, KeyIdMethod, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm, SigningKey,
};
use rustls::{SignatureScheme, pki_types::PrivateKeyDer};

use super::provider;

/// The first and the last year in which certificates are valid.
const YEARS: (i32, i32) = (2020, 2100);

/// The kind of a key. Outside of tests one is enough.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    P256,
    #[cfg(test)]
    P384,
    #[cfg(test)]
    Ed25519,
    #[cfg(test)]
    Rsa,
}

/// A private key with its public one.
#[derive(Clone)]
pub(super) struct Pair {
    kind: Kind,
    pkcs8: Vec<u8>,
    signing: Arc<dyn rustls::sign::SigningKey>,
    public: Vec<u8>,
}

impl Pair {
    /// A new one. An error says that this build, or this processor, makes none.
    pub(super) fn new(kind: Kind) -> Result<Self, String> {
        let pkcs8 = generate(kind)?;
        let unusable = "a key that was just made cannot be used".to_owned();
        let provider = provider::choose(&[])?.key_provider;
        let signing = provider.load_private_key(PrivateKeyDer::Pkcs8(pkcs8.clone().into()));
        let signing = signing.map_err(|error| format!("{unusable}: {error}"))?;
        let info = signing.public_key().ok_or_else(|| unusable.clone())?;
        let info = SubjectPublicKeyInfoRef::try_from(info.as_ref()).map_err(|error| format!("{unusable}: {error}"))?;
        let public = info.subject_public_key.raw_bytes().to_vec();
        Ok(Self { kind, pkcs8, signing, public })
    }

    /// The private key as PEM.
    pub(super) fn pem(&self) -> Result<String, String> {
        let document = SecretDocument::try_from(self.pkcs8.as_slice()).map_err(|error| error.to_string())?;
        document.to_pem("PRIVATE KEY", LineEnding::LF).map(|pem| pem.to_string()).map_err(|error| error.to_string())
    }

    /// The private key as rustls takes it.
    #[cfg(test)]
    pub(super) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.pkcs8.clone().into())
    }

    /// What a certificate of this key says if it is no CA's. `hosts` are DNS names and IP addresses.
    pub(super) fn params(&self, common_name: &str, hosts: &[&str]) -> Result<CertificateParams, String> {
        let host = |host: &&str| match host.parse::<IpAddr>() {
            Ok(address) => Ok(SanType::IpAddress(address)),
            Err(_) => (*host).try_into().map(SanType::DnsName).map_err(|_| format!("{host:?} is no host")),
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = hosts.iter().map(host).collect::<Result<_, _>>()?;
        params.not_before = rcgen::date_time_ymd(YEARS.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(YEARS.1, 12, 31);
        params.is_ca = IsCa::ExplicitNoCa;
        // A new key is as good as chance. Its end is, whatever its kind: at the beginning there may be a length.
        let unique: Vec<u8> = self.public.iter().rev().skip(8).take(16).copied().collect();
        params.serial_number = Some(SerialNumber::from_slice(&unique));
        params.key_identifier_method = KeyIdMethod::PreSpecified(unique);
        Ok(params)
    }
}

/// A new key in PKCS#8.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(unused_variables, reason = "graviola has no other processors")
)]
fn generate(kind: Kind) -> Result<Vec<u8>, String> {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if graviola::util::is_cpu_supported() {
        return made(kind).map_err(|error| format!("no key can be made: {error:?}"));
    }
    Err("this processor cannot make keys here: give the embedded broker a keystore".to_owned())
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn made(kind: Kind) -> Result<Vec<u8>, graviola::Error> {
    use graviola::signing::ecdsa;
    #[cfg(test)]
    use graviola::signing::{eddsa, rsa};
    let mut buffer = [0; 4096];
    let pkcs8 = match kind {
        Kind::P256 => ecdsa::SigningKey::<ecdsa::P256>::generate()?.to_pkcs8_der(&mut buffer)?,
        #[cfg(test)]
        Kind::P384 => ecdsa::SigningKey::<ecdsa::P384>::generate()?.to_pkcs8_der(&mut buffer)?,
        #[cfg(test)]
        Kind::Ed25519 => eddsa::Ed25519SigningKey::generate()?.to_pkcs8_der(&mut buffer)?,
        #[cfg(test)]
        Kind::Rsa => rsa::SigningKey::generate(rsa::KeySize::Rsa2048)?.to_pkcs8_der(&mut buffer)?,
    };
    Ok(pkcs8.to_vec())
}

impl PublicKeyData for Pair {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.kind {
            Kind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            #[cfg(test)]
            Kind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            #[cfg(test)]
            Kind::Ed25519 => &rcgen::PKCS_ED25519,
            #[cfg(test)]
            Kind::Rsa => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl SigningKey for Pair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let scheme = match self.kind {
            Kind::P256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            #[cfg(test)]
            Kind::P384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            #[cfg(test)]
            Kind::Ed25519 => SignatureScheme::ED25519,
            #[cfg(test)]
            Kind::Rsa => SignatureScheme::RSA_PKCS1_SHA256,
        };
        let signer = self.signing.choose_scheme(&[scheme]).ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        signer.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
