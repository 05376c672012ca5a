//! SASL: how a client proves to a broker who it is.
//!
//! In: credentials, and the broker's messages. Out: the client's messages, and whether the broker has proved itself in turn. Pure.
//! Deliberately absent: the requests that carry the messages (`wire/authentication`), where tokens come from (`oauth`), and Kerberos.

#[cfg(feature = "oauth")]
mod bearer;
mod error;
pub(crate) mod jaas;
#[cfg(feature = "oauth")]
pub(crate) mod jwt;
#[cfg(feature = "scram")]
mod scram;
#[cfg(feature = "broker")]
pub(crate) mod server;
#[cfg(feature = "oauth")]
pub(crate) mod token;

#[cfg(feature = "scram")]
use std::hash::{BuildHasher, RandomState};
use std::{sync::Arc, time::Instant};

#[cfg(feature = "broker")]
pub(crate) use self::error::Denied;
pub(crate) use self::error::SaslError;
use crate::secret::Secret;

/// A way to prove who one is. The names are those of the IANA registry, which Kafka uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// User name and password as they are (RFC 4616).
    Plain,
    /// Neither side shows the password (RFC 5802, RFC 7677).
    #[cfg(feature = "scram")]
    ScramSha256,
    /// The same with a longer hash.
    #[cfg(feature = "scram")]
    ScramSha512,
    /// A token (RFC 7628).
    #[cfg(feature = "oauth")]
    OauthBearer,
}

impl Mechanism {
    /// Every mechanism of this build by which a user has a password.
    #[cfg(feature = "broker")]
    pub(crate) const ALL: &[Self] = &[
        Self::Plain,
        #[cfg(feature = "scram")]
        Self::ScramSha256,
        #[cfg(feature = "scram")]
        Self::ScramSha512,
    ];

    /// Its name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            #[cfg(feature = "scram")]
            Self::ScramSha256 => "SCRAM-SHA-256",
            #[cfg(feature = "scram")]
            Self::ScramSha512 => "SCRAM-SHA-512",
            #[cfg(feature = "oauth")]
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// Who a client is, and how it proves that.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) mechanism: Mechanism,
    /// Empty if it is not known whose a token is.
    pub(crate) username: Arc<str>,
    /// The password or the token.
    password: Secret,
    /// Until when a token is valid; `None` is for ever.
    pub(crate) valid_until: Option<Instant>,
    #[cfg(feature = "oauth")]
    behind_token: Secret,
    #[cfg(feature = "scram")]
    nonces: RandomState,
}

impl Credentials {
    pub(crate) fn new(mechanism: Mechanism, username: &str, password: Secret) -> Self {
        Self {
            mechanism,
            username: username.into(),
            password,
            valid_until: None,
            #[cfg(feature = "oauth")]
            behind_token: Secret::default(),
            #[cfg(feature = "scram")]
            nonces: RandomState::new(),
        }
    }

    /// A token that is valid until then.
    #[cfg(feature = "oauth")]
    pub(crate) fn of_token(token: &token::Token, valid_until: Option<Instant>) -> Self {
        let behind_token = Secret::new(&bearer::behind(token));
        Self { valid_until, behind_token, ..Self::new(Mechanism::OauthBearer, token.owner(), token.value().clone()) }
    }

    /// Begins to authenticate: returns the client's first message. `number` must be another one each time.
    #[cfg_attr(not(feature = "scram"), expect(unused_variables, reason = "only SCRAM has a nonce"))]
    pub(crate) fn begin(&self, number: u64) -> (Exchange, Vec<u8>) {
        match self.mechanism {
            Mechanism::Plain => {
                let (username, password) = (self.username.as_bytes(), self.password.reveal().as_bytes());
                (Exchange(State::Plain), [b"\0", username, b"\0", password].concat())
            }
            #[cfg(feature = "scram")]
            Mechanism::ScramSha256 | Mechanism::ScramSha512 => {
                let (scram, first) = scram::Scram::begin(&self.username, &self.nonce(number));
                (Exchange(State::Scram(Box::new(scram))), first)
            }
            #[cfg(feature = "oauth")]
            Mechanism::OauthBearer => {
                let parts = [bearer::BEFORE, self.password.reveal(), self.behind_token.reveal()];
                (Exchange(State::Bearer(None)), parts.concat().into_bytes())
            }
        }
    }

    /// Text that nobody can foresee: hashes with a random key that never leaves the process.
    #[cfg(feature = "scram")]
    fn nonce(&self, number: u64) -> String {
        (0..3_u8).map(|part| format!("{:016x}", self.nonces.hash_one((number, part)))).collect()
    }
}

/// One authentication.
#[derive(Debug)]
pub(crate) struct Exchange(State);

#[derive(Debug)]
enum State {
    Plain,
    #[cfg(feature = "scram")]
    Scram(Box<scram::Scram>),
    /// What the broker has against the token.
    #[cfg(feature = "oauth")]
    Bearer(Option<String>),
}

impl Exchange {
    /// Takes the broker's message. Returns the client's next one; `None` if nothing more is to be said.
    #[cfg_attr(not(feature = "scram"), expect(unused_variables, reason = "only SCRAM makes an answer of them"))]
    pub(crate) fn answer(&mut self, credentials: &Credentials, message: &[u8]) -> Result<Option<Vec<u8>>, SaslError> {
        match &mut self.0 {
            // Kafka's brokers send nothing. What others say cannot change anything.
            State::Plain => Ok(None),
            #[cfg(feature = "scram")]
            State::Scram(scram) => {
                let is_sha512 = credentials.mechanism == Mechanism::ScramSha512;
                let hash = if is_sha512 { scram::Hash::Sha512 } else { scram::Hash::Sha256 };
                scram.answer(hash, credentials.password.reveal().as_bytes(), message)
            }
            #[cfg(feature = "oauth")]
            State::Bearer(Some(refused)) => Err(SaslError::Refused(error::tame(refused))),
            #[cfg(feature = "oauth")]
            State::Bearer(None) if message.is_empty() => Ok(None),
            #[cfg(feature = "oauth")]
            State::Bearer(refused) => {
                *refused = Some(bearer::words(message));
                Ok(Some(bearer::GO_ON.to_vec()))
            }
        }
    }

    /// What the broker has said against the client, in the mechanism's own words, if it did.
    pub(crate) fn refused(&self) -> Option<&str> {
        match &self.0 {
            #[cfg(feature = "oauth")]
            State::Bearer(refused) => refused.as_deref(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_sends_user_and_password_and_nothing_else() {
        let credentials = Credentials::new(Mechanism::Plain, "alice", Secret::new("päss"));
        let (mut exchange, first) = credentials.begin(1);
        assert_eq!(first, "\0alice\0päss".as_bytes());
        assert_eq!(exchange.answer(&credentials, b""), Ok(None));
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials::new(Mechanism::Plain, "alice", Secret::new("hunter2"));
        let shown = format!("{credentials:?} {:?}", Secret::new("hunter2"));
        assert!(shown.contains("alice") && shown.contains("[hidden]") && !shown.contains("hunter2"), "{shown}");
    }

    #[cfg(feature = "oauth")]
    #[test]
    fn a_token_is_one_message_and_a_refusal_of_it_is_answered_so_that_it_is_told() {
        let token = token::Token::new("abc", std::time::SystemTime::UNIX_EPOCH).unwrap().principal("alice");
        let credentials = Credentials::of_token(&token, None);
        let (mut exchange, first) = credentials.begin(1);
        assert_eq!((&*credentials.username, &*first), ("alice", &b"n,,\x01auth=Bearer abc\x01\x01"[..]));
        assert_eq!(exchange.answer(&credentials, b""), Ok(None));
        let (mut exchange, _) = credentials.begin(2);
        assert_eq!(exchange.answer(&credentials, br#"{"status":"invalid_token"}"#), Ok(Some(vec![1])));
        assert_eq!(exchange.refused(), Some("invalid_token"));
        let let_in_all_the_same = exchange.answer(&credentials, b"");
        assert_eq!(let_in_all_the_same, Err(SaslError::Refused("invalid_token".to_owned())));
        assert!(!format!("{credentials:?}").contains("abc"));
    }

    #[cfg(feature = "scram")]
    #[test]
    fn nonces_are_printable_and_never_the_same() {
        let credentials = Credentials::new(Mechanism::Plain, "alice", Secret::default());
        let nonces = [1, 2].map(|number| credentials.nonce(number));
        assert!(nonces.iter().all(|nonce| nonce.len() == 48 && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        assert_ne!(nonces[0], nonces[1]);
        assert_ne!(
            nonces[0],
            Credentials::new(Mechanism::Plain, "alice", Secret::default()).nonce(1),
            "another process"
        );
    }
}
