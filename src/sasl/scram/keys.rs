//! What follows from a password: the keys of SCRAM, and signatures with them (RFC 5802, chapter 3).
//!
//! In: a password, its salt, how often it is hashed; a key and a text. Out: keys, and signatures. Pure.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

/// The hash of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sasl) enum Hash {
    Sha256,
    Sha512,
}

/// The keys of a password.
pub(super) struct Keys {
    /// The client proves that it knows this one.
    pub(super) client: Vec<u8>,
    /// Its hash, which a broker stores.
    pub(super) stored: Vec<u8>,
    /// The broker proves that it knows this one.
    pub(super) server: Vec<u8>,
}

impl Hash {
    pub(super) fn keys(self, password: &[u8], salt: &[u8], iterations: u32) -> Keys {
        let salted = match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec(),
            Self::Sha512 => pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec(),
        };
        let client = self.sign(&salted, b"Client Key");
        Keys { stored: self.digest(&client), server: self.sign(&salted, b"Server Key"), client }
    }

    /// HMAC.
    pub(super) fn sign(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => signed(keyed::<Hmac<Sha256>>(key), text),
            Self::Sha512 => signed(keyed::<Hmac<Sha512>>(key), text),
        }
    }

    pub(super) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("a key of any length")
}

fn signed(mut mac: impl Mac, text: &[u8]) -> Vec<u8> {
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// A key that is hidden by a signature, or what a signature hides.
pub(super) fn xor(key: &[u8], signature: &[u8]) -> Vec<u8> {
    key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect()
}
