//! The client's certificate and key.
//!
//! In: texts in PEM, and a password. Out: what rustls presents to a broker that asks, or every violation. Pure.

use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};

use super::pem::{Section, sections};
use crate::secret::Secret;

/// A text in PEM, and the property that it comes from.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) property: &'static str,
    pub(super) text: &'a [u8],
}

/// The certificates of a text, at least one.
pub(super) fn certificates(text: Text<'_>) -> Result<Vec<CertificateDer<'static>>, String> {
    let labels = ["CERTIFICATE", "X509 CERTIFICATE"];
    let found = sections(text.text).map_err(|wrong| format!("{}: {wrong}", text.property))?;
    let found = found.iter().filter(|section| labels.contains(&section.label.as_str()));
    let found: Vec<_> = found.map(|section| CertificateDer::from(section.der.as_bytes().to_vec())).collect();
    if found.is_empty() {
        return Err(format!(
            "{}: expected certificates in PEM (-----BEGIN CERTIFICATE-----), found none",
            text.property
        ));
    }
    Ok(found)
}

/// The key and its certificates.
pub(super) fn certified(
    chain: Text<'_>,
    key: Text<'_>,
    password: &Secret,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Vec<String>> {
    let (certificates, private) = (certificates(chain), private(key, password));
    let (certificates, private) = match (certificates, private) {
        (Ok(certificates), Ok(private)) => (certificates, private),
        (certificates, private) => return Err(certificates.err().into_iter().chain(private.err()).collect()),
    };
    let usable = provider.key_provider.load_private_key(private);
    let unusable =
        "the private key is of a kind that cannot be used: expected RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519";
    let usable = usable.map_err(|_| vec![format!("{}: {unusable}", key.property)])?;
    let certified = CertifiedKey::new(certificates, usable);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            let order = "the key does not belong to the first certificate: put the client's own certificate before those of its CAs";
            Err(vec![format!("{}: {order}", chain.property)])
        }
        Err(rustls::Error::InconsistentKeys(_)) | Ok(()) => Ok(certified),
        Err(_) => Err(vec![format!("{}: the first certificate cannot be read", chain.property)]),
    }
}

/// The one private key of a text.
fn private(text: Text<'_>, password: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let found = sections(text.text).map_err(|wrong| format!("{}: {wrong}", text.property))?;
    let mut keys = found.iter().filter(|section| section.label.ends_with("PRIVATE KEY"));
    match (keys.next(), keys.next()) {
        (Some(key), None) => decode(key, text.property, password),
        (Some(_), Some(_)) => Err(format!("{}: expected one private key, found several", text.property)),
        (None, _) => {
            Err(format!("{}: expected a private key in PEM (-----BEGIN PRIVATE KEY-----), found none", text.property))
        }
    }
}

fn decode(key: &Section, property: &str, password: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let der = key.der.as_bytes();
    match key.label.as_str() {
        "PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs8(der.to_vec().into())),
        "RSA PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs1(der.to_vec().into())),
        "EC PRIVATE KEY" => Ok(PrivateKeyDer::Sec1(der.to_vec().into())),
        "ENCRYPTED PRIVATE KEY" if password.is_empty() => {
            Err(format!("ssl.key.password: expected the password of the key in {property}, got nothing"))
        }
        "ENCRYPTED PRIVATE KEY" => decrypt(der, property, password),
        other => {
            Err(format!("{property}: expected a private key in PKCS#8 (-----BEGIN PRIVATE KEY-----), got {other:?}"))
        }
    }
}

fn decrypt(der: &[u8], property: &str, password: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let convert = "`openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW`";
    let strange =
        format!("{property}: expected a key that is encrypted with AES (PKCS#8, PBES2): convert it with {convert}");
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| strange.clone())?;
    match encrypted.decrypt(password.reveal()) {
        Ok(key) => Ok(PrivateKeyDer::Pkcs8(key.as_bytes().to_vec().into())),
        Err(pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed) | pkcs8::Error::Asn1(_)) => {
            Err(format!("ssl.key.password: it is not the password of the key in {property}"))
        }
        Err(_) => Err(strange),
    }
}
