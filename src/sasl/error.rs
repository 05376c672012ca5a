//! Why an authentication ends.
//!
//! In: what a broker said, or a client. Out: a [`SaslError`], or why the client is denied. Pure.

/// How many bytes of a peer's text are repeated at the most.
#[cfg(feature = "oauth")]
const REPEATED: usize = 140;

/// Why a broker's message ends the authentication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(not(feature = "scram"), expect(dead_code, reason = "PLAIN has no message that could be wrong, a token one"))]
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
    /// Apache Kafka says this to the client as it is, of OAUTHBEARER.
    #[cfg(feature = "oauth")]
    #[error("{0}")]
    Said(&'static str),
    /// And this.
    #[cfg(feature = "oauth")]
    #[error(
        "Authentication failed: Client requested an authorization id ({wanted}) that is different from the token's principal name ({found})"
    )]
    OtherPrincipal { wanted: String, found: String },
    /// And this, of PLAIN.
    #[error("Invalid SASL/PLAIN response: expected 3 tokens, got {0}")]
    Tokens(usize),
    /// Apache Kafka does not say this, because it could tell who is a user.
    #[cfg_attr(
        not(any(test, feature = "oauth", feature = "scram")),
        expect(dead_code, reason = "of PLAIN everything is said")
    )]
    #[error("{0}")]
    Untold(&'static str),
}

#[cfg(feature = "broker")]
impl Denied {
    pub(super) const OTHER_USER: Self =
        Self::Told("Client requested an authorization id that is different from username");

    /// The client of a token says that it is somebody else.
    #[cfg(feature = "oauth")]
    pub(super) fn other_principal(wanted: &str, found: &str) -> Self {
        Self::OtherPrincipal { wanted: tame(wanted), found: tame(found) }
    }
}

/// A peer's text, shortened, and without control characters.
#[cfg(feature = "oauth")]
pub(super) fn tame(text: &str) -> String {
    let safe = |character: char| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
    let mut text: String = text.chars().take(REPEATED).map(safe).collect();
    text.truncate(text.floor_char_boundary(REPEATED));
    text
}
