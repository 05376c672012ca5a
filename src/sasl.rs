//! SASL: how a client proves to a broker who it is.
//!
//! In: credentials, and the broker's messages. Out: the client's messages, and whether the broker has proved itself in turn. Pure.
//! Deliberately absent: the requests that carry the messages (`wire/opening`), Kerberos, and tokens.

mod error;
pub(crate) mod jaas;
#[cfg(feature = "scram")]
mod scram;
#[cfg(feature = "broker")]
pub(crate) mod server;

#[cfg(feature = "scram")]
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

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
}

impl Mechanism {
    /// Every mechanism of this build.
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
        }
    }
}

/// Who a client is, and how it proves that.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) mechanism: Mechanism,
    pub(crate) username: Arc<str>,
    password: Secret,
    #[cfg(feature = "scram")]
    nonces: RandomState,
}

impl Credentials {
    pub(crate) fn new(mechanism: Mechanism, username: &str, password: Secret) -> Self {
        Self {
            mechanism,
            username: username.into(),
            password,
            #[cfg(feature = "scram")]
            nonces: RandomState::new(),
        }
    }

    /// Begins to authenticate: returns the client's first message. `number` must be another one each time.
    #[cfg_attr(not(feature = "scram"), expect(unused_variables, reason = "PLAIN has no nonce"))]
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
}

impl Exchange {
    /// Takes the broker's message. Returns the client's next one; `None` if nothing more is to be said.
    #[cfg_attr(not(feature = "scram"), expect(unused_variables, reason = "PLAIN has one message"))]
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
