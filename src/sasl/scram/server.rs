//! The broker's half of SCRAM: it finds out whether a client knows a password without being told it, and proves that it knows it too.
//!
//! In: what the broker stores of a password, a nonce, the client's messages. Out: the broker's messages. Pure. Source: `ScramSaslServer` and
//! `ScramMessages` of Apache Kafka 4.2. Deliberately absent: channel binding and delegation tokens.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::keys::{Hash, Keys, xor};
use crate::sasl::error::Denied;

/// What a broker stores of a user's password.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::sasl) struct Credential {
    salt: Vec<u8>,
    iterations: u32,
    stored: Vec<u8>,
    server: Vec<u8>,
}

impl Credential {
    pub(in crate::sasl) fn new(hash: Hash, password: &[u8], salt: Vec<u8>, iterations: u32) -> Self {
        let Keys { stored, server, .. } = hash.keys(password, &salt, iterations);
        Self { salt, iterations, stored, server }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// The client's first message.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sasl) struct First<'a> {
    pub(in crate::sasl) username: String,
    nonce: &'a str,
    /// The message without its header.
    bare: &'a str,
}

impl<'a> First<'a> {
    /// `n,,n=alice,r=nonce`. The client may name itself a second time, as the one for whom it acts: `n,a=alice,n=alice,r=nonce`.
    pub(in crate::sasl) fn read(message: &'a [u8]) -> Result<Self, Denied> {
        let message = std::str::from_utf8(message).map_err(|_| MALFORMED)?;
        let (acts_for, bare) = message.strip_prefix("n,").and_then(|rest| rest.split_once(',')).ok_or(MALFORMED)?;
        let mut parts = bare.split(',');
        let mut next =
            |name: &str| parts.next().and_then(|part| part.strip_prefix(name)).filter(|part| !part.is_empty());
        let (name, nonce) = (next("n=").ok_or(MALFORMED)?, next("r=").ok_or(MALFORMED)?);
        match acts_for.strip_prefix("a=") {
            None if !acts_for.is_empty() => Err(MALFORMED),
            Some(other) if other != name => Err(Denied::OTHER_USER),
            _ => Ok(Self { username: unescaped(name).ok_or(MALFORMED)?, nonce, bare }),
        }
    }
}

const MALFORMED: Denied = Denied::Untold("expected a message of SCRAM, got something else");

/// A name without the escapes of RFC 5802.
fn unescaped(name: &str) -> Option<String> {
    let plain = name.replace("=2C", ",").replace("=3D", "=");
    let escapes = name.matches("=2C").count() + name.matches("=3D").count();
    (name.matches('=').count() == escapes).then_some(plain)
}

/// The broker's first message, and what the answer to it has to be.
#[derive(Debug)]
pub(in crate::sasl) struct Challenge {
    hash: Hash,
    user: Arc<str>,
    credential: Credential,
    nonce: String,
    /// The client's first message without its header, and the broker's.
    said: String,
}

impl Challenge {
    /// `nonce` is the broker's part of the nonce, and must be another one each time.
    pub(in crate::sasl) fn new(
        hash: Hash,
        user: Arc<str>,
        credential: Credential,
        first: &First<'_>,
        nonce: &str,
    ) -> Self {
        let nonce = format!("{}{nonce}", first.nonce);
        let said = format!("{},{}", first.bare, challenge(&nonce, &credential));
        Self { hash, user, credential, nonce, said }
    }

    /// The broker's first message.
    pub(in crate::sasl) fn message(&self) -> Vec<u8> {
        challenge(&self.nonce, &self.credential).into_bytes()
    }

    /// Takes the client's last message. Returns who the client is, and the broker's last message.
    pub(in crate::sasl) fn verify(&self, message: &[u8]) -> Result<(Arc<str>, Vec<u8>), Denied> {
        let message = std::str::from_utf8(message).map_err(|_| MALFORMED)?;
        let (bare, proof) = message.rsplit_once(",p=").ok_or(MALFORMED)?;
        let mut parts = bare.split(',');
        let (channel, nonce) = (parts.next(), parts.next().and_then(|part| part.strip_prefix("r=")));
        let proof = BASE64.decode(proof).map_err(|_| MALFORMED)?;
        if !channel.is_some_and(|channel| channel.starts_with("c=")) || nonce != Some(&self.nonce) {
            return Err(Denied::Untold("the nonce is another one"));
        }
        let said = format!("{},{bare}", self.said);
        let client = xor(&proof, &self.hash.sign(&self.credential.stored, said.as_bytes()));
        if proof.len() != client.len() || self.hash.digest(&client) != self.credential.stored {
            return Err(Denied::Untold("the client does not know the password"));
        }
        let signature = BASE64.encode(self.hash.sign(&self.credential.server, said.as_bytes()));
        Ok((Arc::clone(&self.user), format!("v={signature}").into_bytes()))
    }
}

fn challenge(nonce: &str, credential: &Credential) -> String {
    format!("r={nonce},s={},i={}", BASE64.encode(&credential.salt), credential.iterations)
}

#[cfg(test)]
mod tests {
    use super::{super::Scram, *};

    /// The example of RFC 7677.
    const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const OWN_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const LAST: &str =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn challenged(hash: Hash, first: &[u8], password: &str) -> Challenge {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let credential = Credential::new(hash, password.as_bytes(), salt, 4_096);
        Challenge::new(hash, "user".into(), credential, &First::read(first).unwrap(), OWN_NONCE)
    }

    #[test]
    fn the_example_of_rfc_7677_is_said_word_by_word() {
        let challenge = challenged(Hash::Sha256, FIRST, "pencil");
        let expected = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(challenge.message(), expected.as_bytes());
        let (user, last) = challenge.verify(LAST.as_bytes()).unwrap();
        assert_eq!((&*user, &last[..]), ("user", &b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="[..]));
    }

    #[test]
    fn both_halves_agree_if_they_know_the_same_password() {
        for hash in [Hash::Sha256, Hash::Sha512] {
            for (password, is_right) in [("pä,s=", true), ("pä,s", false), ("", false)] {
                let (mut client, first) = Scram::begin("us=er,", "abc");
                let challenge = challenged(hash, &first, "pä,s=");
                let last = client.answer(hash, password.as_bytes(), &challenge.message()).unwrap().unwrap();
                match challenge.verify(&last) {
                    Ok((_, proof)) => assert_eq!(client.answer(hash, password.as_bytes(), &proof), Ok(None)),
                    Err(denied) => assert!(matches!(denied, Denied::Untold(_)), "{denied}"),
                }
                assert_eq!(challenge.verify(&last).is_ok(), is_right, "{hash:?} {password:?}");
            }
        }
    }

    #[test]
    fn a_first_message_names_the_user_once_or_the_same_one_twice() {
        for (message, expected) in [
            (&b"n,,n=alice,r=abc"[..], Ok("alice")),
            (b"n,a=alice,n=alice,r=abc", Ok("alice")),
            (b"n,,n=alice,r=abc,tokenauth=true", Ok("alice")),
            (b"n,,n=a=2Cb=3Dc=3D2C,r=abc", Ok("a,b=c=2C")),
            (b"n,a=bob,n=alice,r=abc", Err(Denied::OTHER_USER)),
            (b"n,,n=a=b,r=abc", Err(MALFORMED)),
            (b"n,,n=a=2c,r=abc", Err(MALFORMED)),
            (b"n,x,n=alice,r=abc", Err(MALFORMED)),
            (b"p=tls-unique,,n=alice,r=abc", Err(MALFORMED)),
            (b"y,,n=alice,r=abc", Err(MALFORMED)),
            (b"n,,r=abc,n=alice", Err(MALFORMED)),
            (b"n,,n=,r=abc", Err(MALFORMED)),
            (b"n,,n=alice,r=", Err(MALFORMED)),
            (b"n,,n=alice", Err(MALFORMED)),
            (b"n,", Err(MALFORMED)),
            (b"", Err(MALFORMED)),
            (b"\xff", Err(MALFORMED)),
        ] {
            let read = First::read(message).map(|first| first.username);
            assert_eq!(read, expected.map(str::to_owned), "{}", String::from_utf8_lossy(message));
        }
    }

    #[test]
    fn a_last_message_that_proves_nothing_lets_nobody_in() {
        let challenge = challenged(Hash::Sha256, FIRST, "pencil");
        let start = LAST.split(",p=").next().unwrap();
        for message in [
            String::new(),
            start.to_owned(),
            format!("{start},p="),
            format!("{start},p=***"),
            format!("{start},p=AAAA"),
            format!("{start},p={}", BASE64.encode([0; 32])),
            LAST.replace("k0", "k1"),
            LAST.replace("c=biws,", ""),
            LAST.replace("c=biws", "c=eSws"),
            format!("{LAST},x"),
        ] {
            assert!(challenge.verify(message.as_bytes()).is_err(), "{message}");
        }
        assert!(challenge.verify(&[0xff]).is_err());
    }

    #[test]
    fn what_is_stored_is_not_shown() {
        let challenge = challenged(Hash::Sha256, FIRST, "pencil");
        assert_eq!(format!("{:?}", challenge.credential), "[hidden]");
    }
}
