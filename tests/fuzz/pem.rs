//! Truststores and keystores in PEM, as a person may have put them together.
//!
//! Checks: whatever the texts are, either all of them can be used, or each violation names its property, is short and printable, and
//! repeats nothing of what is between two markers.

use super::input::Input;
use crate::{
    config::{
        TlsVersions,
        tls::{Identity, Pem, Place, TlsSettings},
    },
    secret::Secret,
    tls::{Peer, Tls},
};

/// A certificate, its key, and the same key with the password `hunter2`.
const PIECES: [&str; 3] =
    [include_str!("pem/certificate.pem"), include_str!("pem/key.pem"), include_str!("pem/encrypted.pem")];
const MARKERS: [&str; 6] = [
    "-----BEGIN CERTIFICATE-----",
    "-----END CERTIFICATE-----",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED",
    "-----",
];
/// The violation of a person's text says no more than this.
const LONGEST: usize = 600;

/// The target.
pub fn pem(data: &[u8]) {
    can_be_used(data);
}

fn can_be_used(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let [trusted, chain, key] = [0; 3].map(|_| text(&mut input));
    let password = Secret::new(if input.yes() { "hunter2" } else { "" });
    let inline = |property, text: &str| Pem { property, place: Place::Inline(Secret::new(text)) };
    let settings = TlsSettings {
        trusted: Some(inline("ssl.truststore.certificates", &trusted)),
        identity: Some(Identity {
            chain: inline("ssl.keystore.certificate.chain", &chain),
            key: inline("ssl.keystore.key", &key),
            password,
        }),
        versions: TlsVersions { v12: true, v13: true },
        cipher_suites: Vec::new(),
        check_names: true,
    };
    let Err(violations) = Tls::open(&settings, Peer::Broker) else {
        assert!([&trusted, &chain].iter().all(|text| text.contains("-----BEGIN ")) && key.contains("KEY-----"));
        return true;
    };
    for violation in &violations {
        assert!(violation.starts_with("ssl.") && violation.len() <= LONGEST, "{violation}");
        assert!(!violation.contains("MIGHAgEAMBMG") && !violation.contains("hunter2"), "{violation}");
    }
    assert!(!violations.is_empty());
    false
}

/// A text of pieces, whole, damaged or made up.
fn text(input: &mut Input<'_>) -> String {
    let mut text = String::new();
    for _ in 0..input.below(5) {
        match input.below(4) {
            0 | 1 => text.push_str(input.one_of(&PIECES)),
            2 => text.push_str(input.one_of(&MARKERS)),
            _ => text.push_str(&String::from_utf8_lossy(input.bytes())),
        }
        if input.byte() % 4 == 1 && !text.is_empty() {
            let at = usize::from(u16::from_be_bytes(input.array())) % text.len();
            let kept = text.floor_char_boundary(at);
            text.truncate(kept);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_fit_if_they_are_whole_and_the_password_is_there() {
        let (certificate, key, encrypted) = ([1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 2, 0]);
        for (key, has_password, fits) in [(key, 0, true), (encrypted, 1, true), (encrypted, 0, false)] {
            assert_eq!(can_be_used(&[&certificate[..], &certificate, &key, &[has_password]].concat()), fits);
        }
    }
}
