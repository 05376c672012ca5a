//! Authenticating over a connection: from the handshake to the broker's last message.
//!
//! In: credentials, and the broker's responses. Out: the next request, or that the broker lets the client in, or why it does not. Pure: the sender
//! and the admin client send the requests, each in its own way. The first authentication of a connection comes after ApiVersions; a later one
//! (KIP-368) comes between other requests. Source: `SaslClientAuthenticator` of Apache Kafka 4.2. Deliberately absent: messages without requests
//! around them, as brokers before Apache Kafka 1.0 expect.

use std::{sync::Arc, time::Duration};

use super::{
    apis::{Api, api_versions::Versions, sasl_authenticate::AuthenticateResult, sasl_handshake::HandshakeResult},
    errors::ErrorCode,
    text::printable,
};
use crate::sasl::{Credentials, Exchange, Mechanism, SaslError};

/// An authentication that is under way.
#[derive(Debug)]
pub(crate) struct Authentication {
    credentials: Arc<Credentials>,
    /// Another one for each authentication of a process.
    number: u64,
    /// `None` until the broker has agreed to the mechanism.
    exchange: Option<Exchange>,
}

/// What is to be sent next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A SaslHandshake request that names this mechanism.
    Handshake(&'static str),
    /// A SaslAuthenticate request with this message.
    Authenticate(Vec<u8>),
}

/// How it goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Ask(Ask),
    /// The broker lets the client in, and wants it to authenticate again before this time has passed.
    Done(Option<Duration>),
}

/// Why a broker does not let a client in, or is none that it should talk to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) why: String,
}

impl Authentication {
    pub(crate) fn new(credentials: Arc<Credentials>, number: u64) -> Self {
        Self { credentials, number, exchange: None }
    }

    /// The first request.
    pub(crate) fn first(&self) -> Ask {
        Ask::Handshake(self.credentials.mechanism.name())
    }

    /// Handles the response to the handshake.
    pub(crate) fn agreed(&mut self, response: &HandshakeResult) -> Result<Step, Refusal> {
        let mechanism = self.credentials.mechanism.name();
        match response.error {
            ErrorCode::NONE => {
                let (exchange, first) = self.credentials.begin(self.number);
                self.exchange = Some(exchange);
                Ok(Step::Ask(Ask::Authenticate(first)))
            }
            code @ ErrorCode::UNSUPPORTED_SASL_MECHANISM => {
                let enabled = enabled(&response.mechanisms);
                let why = format!(
                    "the broker has not enabled {mechanism} on this listener: it has {enabled}; set sasl.mechanism"
                );
                Err(Refusal { code, why })
            }
            code @ ErrorCode::ILLEGAL_SASL_STATE => {
                let why =
                    "the broker does not authenticate by SASL on this listener: check the port, and security.protocol";
                Err(Refusal { code, why: why.to_owned() })
            }
            code => Err(Refusal {
                code,
                why: format!("the broker refused to authenticate by {mechanism}: {code}; {}", code.advice()),
            }),
        }
    }

    /// Handles the broker's message.
    pub(crate) fn answered(&mut self, response: &AuthenticateResult) -> Result<Step, Refusal> {
        if response.error != ErrorCode::NONE {
            return Err(self.refusal(response));
        }
        let exchange = self.exchange.as_mut().ok_or_else(|| Refusal {
            code: ErrorCode::ILLEGAL_SASL_STATE,
            why: "the broker sent a message before it agreed to a mechanism".to_owned(),
        })?;
        match exchange.answer(&self.credentials, &response.message) {
            Ok(Some(next)) => Ok(Step::Ask(Ask::Authenticate(next))),
            Ok(None) => Ok(Step::Done(response.lifetime)),
            Err(error) => Err(unproved(&error)),
        }
    }

    /// The broker does not let the client in. What it said of a token comes before the error code.
    fn refusal(&self, response: &AuthenticateResult) -> Refusal {
        let Credentials { mechanism, username, .. } = &*self.credentials;
        let token = self.exchange.as_ref().and_then(Exchange::refused).map(printable);
        let said = token.or_else(|| response.why.clone()).map_or_else(String::new, |why| format!(" ({why})"));
        let who = if username.is_empty() { "the client".to_owned() } else { format!("user {username:?}") };
        let (mechanism, code, hint) = (mechanism.name(), response.error, hint(*mechanism));
        Refusal { code, why: format!("the broker refused {who} by {mechanism}: {code}{said}; {hint}") }
    }

    /// Who the client says it is.
    pub(crate) fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }
}

/// What to look at when a broker does not let the client in.
fn hint(mechanism: Mechanism) -> &'static str {
    match mechanism {
        #[cfg(feature = "oauth")]
        Mechanism::OauthBearer => {
            "check the token's issuer, audience, scope and lifetime against what the broker expects, and both clocks"
        }
        _ => "check user name, password and sasl.mechanism, and that the user has credentials of this mechanism",
    }
}

fn unproved(error: &SaslError) -> Refusal {
    let code = ErrorCode::SASL_AUTHENTICATION_FAILED;
    Refusal {
        code,
        why: format!("the broker's part of the authentication is wrong: {}", printable(&error.to_string())),
    }
}

fn enabled(mechanisms: &[String]) -> String {
    if mechanisms.is_empty() { "none".to_owned() } else { mechanisms.join(", ") }
}

/// The versions of both requests, or why this broker cannot authenticate anybody.
pub(crate) fn versions(versions: &Versions) -> Result<(i16, i16), Refusal> {
    match (versions.pick(Api::SaslHandshake), versions.pick(Api::SaslAuthenticate)) {
        (Some(handshake), Some(authenticate)) => Ok((handshake, authenticate)),
        _ => Err(Refusal {
            code: ErrorCode::ILLEGAL_SASL_STATE,
            why: "the broker does not authenticate by SASL as Apache Kafka 1.0 and newer do; check security.protocol"
                .to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::secret::Secret;

    fn plain() -> Authentication {
        Authentication::new(Arc::new(Credentials::new(Mechanism::Plain, "alice", Secret::new("hunter2"))), 1)
    }

    fn agrees(error: i16, mechanisms: &[&str]) -> HandshakeResult {
        HandshakeResult {
            error: ErrorCode(error),
            mechanisms: mechanisms.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn says(error: i16, why: Option<&str>, lifetime: Option<Duration>) -> AuthenticateResult {
        AuthenticateResult { error: ErrorCode(error), why: why.map(str::to_owned), message: Bytes::new(), lifetime }
    }

    #[test]
    fn plain_takes_a_handshake_and_one_message() {
        let mut authentication = plain();
        assert_eq!(authentication.first(), Ask::Handshake("PLAIN"));
        let message = Ask::Authenticate(b"\0alice\0hunter2".to_vec());
        assert_eq!(authentication.agreed(&agrees(0, &["PLAIN"])), Ok(Step::Ask(message)));
        let lifetime = Some(Duration::from_secs(3));
        assert_eq!(authentication.answered(&says(0, None, lifetime)), Ok(Step::Done(lifetime)));
    }

    #[test]
    fn refusals_say_what_is_wrong_and_no_password() {
        let refused = |result: Result<Step, Refusal>| result.unwrap_err();
        let not_enabled = refused(plain().agreed(&agrees(33, &["SCRAM-SHA-256", "OAUTHBEARER"])));
        assert_eq!(
            not_enabled.to_string(),
            "the broker has not enabled PLAIN on this listener: it has SCRAM-SHA-256, OAUTHBEARER; set sasl.mechanism"
        );
        assert!(refused(plain().agreed(&agrees(33, &[]))).why.contains("it has none;"));
        let without = refused(plain().agreed(&agrees(34, &[])));
        assert!(
            without.code == ErrorCode::ILLEGAL_SASL_STATE && without.why.contains("security.protocol"),
            "{without}"
        );
        assert!(refused(plain().agreed(&agrees(-1, &[]))).why.contains("UNKNOWN_SERVER_ERROR"));
        let mut authentication = plain();
        authentication.agreed(&agrees(0, &[])).unwrap();
        let wrong = refused(authentication.answered(&says(
            58,
            Some("Authentication failed: Invalid username or password"),
            None,
        )));
        assert_eq!(wrong.code, ErrorCode::SASL_AUTHENTICATION_FAILED);
        assert!(
            wrong.why.starts_with("the broker refused user \"alice\" by PLAIN: SASL_AUTHENTICATION_FAILED"),
            "{wrong}"
        );
        assert!(wrong.why.contains("(Authentication failed: Invalid username or password)"), "{wrong}");
        assert!(!wrong.why.contains("hunter2"));
    }

    #[cfg(feature = "oauth")]
    #[test]
    fn a_token_that_is_refused_is_told_with_the_broker_s_words_and_without_the_token() {
        let token = crate::sasl::token::Token::new("hunter2", std::time::SystemTime::UNIX_EPOCH).unwrap();
        let mut authentication = Authentication::new(Arc::new(Credentials::of_token(&token, None)), 1);
        authentication.agreed(&agrees(0, &[])).unwrap();
        let message = Bytes::from_static(br#"{"status":"invalid_token", "scope":"kafka\u001b[2J"}"#);
        let refused = AuthenticateResult { message, ..says(0, None, None) };
        assert_eq!(authentication.answered(&refused), Ok(Step::Ask(Ask::Authenticate(vec![1]))));
        let error = r#"{"status":"invalid_token"}"#;
        let why = authentication.answered(&says(58, Some(error), None)).unwrap_err().why;
        assert!(why.starts_with("the broker refused the client by OAUTHBEARER: SASL_AUTHENTICATION_FAILED"), "{why}");
        assert!(why.contains("(invalid_token, expected scope kafka\u{fffd}[2J); check the token's issuer"), "{why}");
        assert!(!why.contains("hunter2"), "{why}");
    }

    #[cfg(feature = "oauth")]
    #[test]
    fn a_broker_that_refuses_a_token_and_lets_its_client_in_all_the_same_is_not_believed_and_not_repeated_as_it_is() {
        let token = crate::sasl::token::Token::new("hunter2", std::time::SystemTime::UNIX_EPOCH).unwrap();
        let mut authentication = Authentication::new(Arc::new(Credentials::of_token(&token, None)), 1);
        authentication.agreed(&agrees(0, &[])).unwrap();
        let refused = format!("no\u{1b}[2J\u{202e}{}", "x".repeat(9_999));
        let refused = AuthenticateResult { message: refused.into(), ..says(0, None, None) };
        assert_eq!(authentication.answered(&refused), Ok(Step::Ask(Ask::Authenticate(vec![1]))));
        let why = authentication.answered(&says(0, None, None)).unwrap_err().why;
        assert!(why.contains("the broker refused: no\u{fffd}[2J\u{fffd}xxx") && why.len() < 400, "{why}");
    }

    #[test]
    fn a_message_before_the_mechanism_is_agreed_is_refused() {
        assert_eq!(plain().answered(&says(0, None, None)).unwrap_err().code, ErrorCode::ILLEGAL_SASL_STATE);
    }

    #[test]
    fn a_broker_without_sasl_is_recognised() {
        assert_eq!(versions(&Versions::new([(17, 0, 1), (36, 0, 2)])), Ok((1, 2)));
        for lacks in [Versions::new([(17, 0, 0), (36, 0, 2)]), Versions::new([(17, 0, 1)])] {
            assert!(versions(&lacks).unwrap_err().why.contains("check security.protocol"));
        }
    }

    #[cfg(feature = "scram")]
    #[test]
    fn a_broker_that_cannot_prove_itself_is_refused() {
        let credentials = Credentials::new(Mechanism::ScramSha256, "alice", Secret::new("hunter2"));
        let mut authentication = Authentication::new(Arc::new(credentials), 1);
        authentication.agreed(&agrees(0, &[])).unwrap();
        let refusal = authentication.answered(&says(0, None, None)).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::SASL_AUTHENTICATION_FAILED);
        assert!(refusal.why.contains("expected the nonce"), "{refusal}");
    }
}
