//! SCRAM: client and broker prove to each other that they know a password, and neither shows it (RFC 5802; RFC 7677 for SHA-256).
//!
//! In: a user name, a password, a nonce, the broker's messages. Out: the client's messages. Pure. Deliberately absent: channel binding, which
//! Kafka does not have, and SASLprep, which Kafka's own classes do not apply: a password is its UTF-8.

mod keys;
#[cfg(feature = "broker")]
pub(super) mod server;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

pub(super) use self::keys::Hash;
use self::keys::{Keys, xor};
use super::error::SaslError;

/// What RFC 7677 and `ScramMechanism` of Apache Kafka ask for at least. A broker stores 16,384 at most (KIP-554); this client takes some more, as long as
/// it is not kept busy for a noticeable time.
const ITERATIONS: (u32, u32) = (4_096, 131_072);
/// The longest part of a broker's message that an error repeats, in characters.
const ECHO: usize = 60;

/// Where an authentication is.
#[derive(Debug)]
pub(super) struct Scram {
    nonce: String,
    /// The first message without its header.
    first: String,
    /// What the broker has to prove; `None` until its challenge has come.
    signature: Option<Vec<u8>>,
}

impl Scram {
    /// Returns the client's first message.
    pub(super) fn begin(username: &str, nonce: &str) -> (Self, Vec<u8>) {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let first = format!("n={name},r={nonce}");
        let message = format!("n,,{first}").into_bytes();
        (Self { nonce: nonce.to_owned(), first, signature: None }, message)
    }

    /// Takes the broker's message. Returns the client's next one, or `None` if the broker has proved itself.
    pub(super) fn answer(&mut self, hash: Hash, password: &[u8], message: &[u8]) -> Result<Option<Vec<u8>>, SaslError> {
        let message =
            std::str::from_utf8(message).map_err(|_| malformed("text", &format!("{} bytes", message.len())))?;
        match self.signature.take() {
            Some(signature) => verify(&signature, message).map(|()| None),
            None => {
                let challenge = Challenge::read(message, &self.nonce)?;
                let bare = format!("c=biws,r={}", challenge.nonce);
                let auth_message = format!("{},{message},{bare}", self.first);
                let Keys { client, stored, server } = hash.keys(password, &challenge.salt, challenge.iterations);
                self.signature = Some(hash.sign(&server, auth_message.as_bytes()));
                let proof = xor(&client, &hash.sign(&stored, auth_message.as_bytes()));
                Ok(Some(format!("{bare},p={}", BASE64.encode(proof)).into_bytes()))
            }
        }
    }
}

/// The broker's first message.
#[derive(Debug, PartialEq, Eq)]
struct Challenge<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> Challenge<'a> {
    fn read(message: &'a str, own_nonce: &str) -> Result<Self, SaslError> {
        let mut parts = message.split(',');
        let nonce = attribute(&mut parts, "r=", "the nonce (r=…)")?;
        if !nonce.starts_with(own_nonce) || nonce.len() == own_nonce.len() {
            return Err(SaslError::Nonce);
        }
        let salt = attribute(&mut parts, "s=", "the salt (s=…)")?;
        let salt = BASE64.decode(salt).ok().filter(|salt| !salt.is_empty());
        let salt = salt.ok_or_else(|| malformed("the salt in base64", message))?;
        let rounds = attribute(&mut parts, "i=", "the iterations (i=…)")?;
        let (min, max) = ITERATIONS;
        let iterations = rounds.parse().ok().filter(|rounds| (min..=max).contains(rounds));
        let iterations = iterations.ok_or_else(|| SaslError::Iterations { min, max, got: echo(rounds) })?;
        Ok(Self { nonce, salt, iterations })
    }
}

fn attribute<'a>(
    parts: &mut impl Iterator<Item = &'a str>,
    name: &str,
    expected: &'static str,
) -> Result<&'a str, SaslError> {
    let part = parts.next().unwrap_or_default();
    if let Some(error) = part.strip_prefix("e=") {
        return Err(SaslError::Refused(echo(error)));
    }
    part.strip_prefix(name).ok_or_else(|| malformed(expected, part))
}

/// The broker's last message has to be this signature.
fn verify(signature: &[u8], message: &str) -> Result<(), SaslError> {
    let got = attribute(&mut message.split(','), "v=", "the signature (v=…)")?;
    let got = BASE64.decode(got).map_err(|_| malformed("the signature in base64", message))?;
    // Nobody learns anything from the time that it takes: a wrong one ends the authentication.
    if got == signature { Ok(()) } else { Err(SaslError::Signature) }
}

fn malformed(expected: &'static str, got: &str) -> SaslError {
    SaslError::Malformed { expected, got: format!("{:?}", echo(got)) }
}

/// A broker's text, shortened and printable.
fn echo(text: &str) -> String {
    text.escape_debug().take(ECHO).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn begun(nonce: &str) -> Scram {
        Scram::begin("user", nonce).0
    }

    #[test]
    fn the_example_of_rfc_7677_is_said_word_by_word() {
        let (mut scram, first) = Scram::begin("user", NONCE);
        assert_eq!(first, format!("n,,n=user,r={NONCE}").into_bytes());
        let answer = scram.answer(Hash::Sha256, b"pencil", CHALLENGE.as_bytes()).unwrap().unwrap();
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
        assert_eq!(scram.answer(Hash::Sha256, b"pencil", b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(None));
    }

    #[test]
    fn a_broker_that_does_not_know_the_password_is_found_out() {
        let mut scram = begun(NONCE);
        scram.answer(Hash::Sha256, b"pencil", CHALLENGE.as_bytes()).unwrap();
        let forged = format!("v={}", BASE64.encode([7; 32]));
        assert_eq!(scram.answer(Hash::Sha256, b"pencil", forged.as_bytes()), Err(SaslError::Signature));
    }

    #[test]
    fn sha_512_makes_proofs_of_64_bytes() {
        let answer = begun(NONCE).answer(Hash::Sha512, b"pencil", CHALLENGE.as_bytes()).unwrap().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (_, proof) = answer.rsplit_once("p=").unwrap();
        assert_eq!(BASE64.decode(proof).unwrap().len(), 64);
    }

    #[test]
    fn a_user_name_is_escaped_as_the_rfc_says() {
        let (_, first) = Scram::begin("a=b,c", "n");
        assert_eq!(first, b"n,,n=a=3Db=2Cc,r=n");
    }

    #[test]
    fn challenges_that_are_none_are_refused_with_what_was_expected() {
        let refused =
            |message: &str| begun("abc").answer(Hash::Sha256, b"", message.as_bytes()).unwrap_err().to_string();
        for (message, expected) in [
            ("", "expected the nonce (r=…) in the broker's message, got \"\""),
            ("s=QQ==,i=4096", "expected the nonce (r=…)"),
            ("r=abc,s=QQ==,i=4096", "nonce is not made from this client's"),
            ("r=xyzabc,s=QQ==,i=4096", "nonce is not made from this client's"),
            ("r=abcd", "expected the salt (s=…)"),
            ("r=abcd,s=,i=4096", "expected the salt in base64"),
            ("r=abcd,s=***,i=4096", "expected the salt in base64"),
            ("r=abcd,s=QQ==", "expected the iterations (i=…)"),
            ("r=abcd,s=QQ==,i=4095", "expected from 4096 to 131072 iterations of the password's hash, got 4095"),
            ("r=abcd,s=QQ==,i=131073", "got 131073"),
            ("r=abcd,s=QQ==,i=-1", "got -1"),
            ("e=unknown-user", "the broker refused: unknown-user"),
        ] {
            assert!(refused(message).contains(expected), "{message}: {}", refused(message));
        }
        assert!(begun("abc").answer(Hash::Sha256, b"", &[0xff]).unwrap_err().to_string().contains("expected text"));
        assert!(refused(&"x".repeat(1_000_000)).len() < 200, "what is repeated is short");
    }

    #[test]
    fn a_last_message_without_a_signature_is_no_proof() {
        for message in ["", "v=", "v=***", "x=QQ==", "e=other-error"] {
            let mut scram = begun(NONCE);
            scram.answer(Hash::Sha256, b"pencil", CHALLENGE.as_bytes()).unwrap();
            assert!(scram.answer(Hash::Sha256, b"pencil", message.as_bytes()).is_err(), "{message}");
        }
    }
}
