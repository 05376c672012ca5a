//! SASL: how a client proves to a broker who it is.
//!
//! In: credentials, and the broker's messages. Out: the client's messages, and whether the broker has proved itself in turn. Pure.
//! Deliberately absent: the requests that carry the messages (`wire/opening`), Kerberos, and tokens.

pub(crate) mod jaas;
#[cfg(feature = "scram")]
mod scram;
#[cfg(feature = "broker")]
pub(crate) mod server;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

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

/// Text that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secret(Arc<str>);

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text itself. Whoever asks must not show it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Who a client is, and how it proves that.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) mechanism: Mechanism,
    pub(crate) username: Arc<str>,
    password: Secret,
    nonces: RandomState,
}

impl Credentials {
    pub(crate) fn new(mechanism: Mechanism, username: &str, password: Secret) -> Self {
        Self { mechanism, username: username.into(), password, nonces: RandomState::new() }
    }

    /// Begins to authenticate: returns the client's first message. `number` must be another one each time.
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
    #[cfg(any(test, feature = "scram"))]
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
    #[cfg_attr(not(feature = "scram"), expect(unused_variables, clippy::unused_self, reason = "PLAIN has one message"))]
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

/// Why a broker's message ends the authentication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SaslError {
    /// It is not what the mechanism has in this place.
    #[error("expected {expected} in the broker's message, got {got}")]
    Malformed { expected: &'static str, got: String },
    /// The broker's nonce does not begin with the client's.
    #[error("the broker's nonce is not made from this client's: its message belongs to another authentication")]
    Nonce,
    /// Fewer rounds would let a listener guess the password, and more would keep the client busy.
    #[error("expected from {min} to {max} iterations of the password's hash, got {got}")]
    Iterations { min: u32, max: u32, got: String },
    /// The broker refused, in the mechanism's own words.
    #[error("the broker refused: {0}")]
    Refused(String),
    /// The broker does not know the password.
    #[error(
        "the broker could not prove that it knows the password: it is not the broker, or has another password for this user"
    )]
    Signature,
}

/// Why a broker does not let a client in.
#[cfg(feature = "broker")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// Apache Kafka says this to the client.
    #[error("Authentication failed: {0}")]
    Told(&'static str),
    /// And this, of PLAIN.
    #[error("Invalid SASL/PLAIN response: expected 3 tokens, got {0}")]
    Tokens(usize),
    /// Apache Kafka does not say this, because it could tell who is a user.
    #[error("{0}")]
    Untold(&'static str),
}

#[cfg(feature = "broker")]
impl Denied {
    const OTHER_USER: Self = Self::Told("Client requested an authorization id that is different from username");
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
