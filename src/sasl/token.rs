//! Tokens for OAUTHBEARER, and where they come from.
//!
//! In: a token's text, and what is known of it. Out: a [`Token`], or what is wrong with it, which never repeats a part of it. Pure; a
//! [`TokenSource`] may do what it likes. Source: RFC 6750, KIP-255, and `OAuthBearerToken` of Apache Kafka 4.2. Deliberately absent: the
//! check of a signature, which is the broker's.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::jwt::Jwt;
use crate::secret::Secret;

/// The longest token in bytes. Providers' are of one to four thousand; brokers take no request of half a megabyte before they know the
/// client (`sasl.server.max.receive.size`).
const LONGEST: usize = 256 * 1024;
/// The longest extension in bytes, name and value.
const LONGEST_EXTENSION: usize = 8 * 1024;
/// The name that an extension must not have.
const RESERVED: &str = "auth";

/// A token that proves who the client is (`sasl.mechanism=OAUTHBEARER`). It is never printed.
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// use milena::oauth::Token;
///
/// let token = Token::new("an-opaque-token", SystemTime::now() + Duration::from_secs(300))?.principal("orders-service");
/// assert!(!format!("{token:?}").contains("opaque"));
/// # Ok::<(), milena::oauth::TokenError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    value: Secret,
    principal: Arc<str>,
    issued_at: Option<SystemTime>,
    expires_at: SystemTime,
    extensions: BTreeMap<String, String>,
}

impl Token {
    /// A token, of whatever kind the brokers accept, that is valid until `expires_at`. It is of letters, digits and `-._~+/`, with `=` at its
    /// end only (RFC 6750), and has at most 256 KiB.
    ///
    /// # Errors
    /// The text is no token. The error does not repeat it.
    pub fn new(value: impl AsRef<str>, expires_at: SystemTime) -> Result<Self, TokenError> {
        let value = checked(value.as_ref())?;
        let (principal, extensions) = (Arc::from(""), BTreeMap::new());
        Ok(Self { value, principal, issued_at: None, expires_at, extensions })
    }

    /// A JSON Web Token (RFC 7519), which says itself when it expires (`exp`), since when it is valid (`iat`), and whose it is (`sub`). The
    /// signature is not checked: brokers do that.
    ///
    /// # Errors
    /// The text is no token, has not three parts, or lacks `exp` or `sub`. The error does not repeat it.
    pub fn jwt(value: impl AsRef<str>) -> Result<Self, TokenError> {
        Self::jwt_with(value.as_ref(), "scope", "sub")
    }

    /// As [`jwt`](Self::jwt), where the claims of scope and subject have other names.
    pub(crate) fn jwt_with(value: &str, scope_claim: &str, sub_claim: &str) -> Result<Self, TokenError> {
        let checked = checked(value)?;
        let claims = Jwt::read(value).and_then(|jwt| jwt.claims(scope_claim, sub_claim)).map_err(TokenError::new)?;
        let after_1970 = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Ok(Self {
            value: checked,
            principal: claims.subject.into(),
            issued_at: claims.issued.map(after_1970),
            expires_at: after_1970(claims.expires),
            extensions: BTreeMap::new(),
        })
    }

    /// Says whose token it is, for logs and errors. A JWT says so itself. By default it is not known.
    #[must_use]
    pub fn principal(mut self, name: &str) -> Self {
        self.principal = name.into();
        self
    }

    /// Says since when the token is valid. It is refreshed when a part of its life has passed (`sasl.login.refresh.window.factor`). A JWT says so
    /// itself. By default it is valid since the producer got it.
    #[must_use]
    pub fn issued_at(mut self, at: SystemTime) -> Self {
        self.issued_at = Some(at);
        self
    }

    /// Adds a SASL extension (KIP-342), which brokers see with the token. The name is of letters and is not `auth`; the value is printable ASCII.
    ///
    /// # Errors
    /// Name or value are not so.
    pub fn extension(mut self, name: &str, value: &str) -> Result<Self, TokenError> {
        check_extension(name, value).map_err(TokenError::new)?;
        self.extensions.insert(name.to_owned(), value.to_owned());
        Ok(self)
    }

    /// Says when it expires, in place of what the token says.
    #[cfg(feature = "oidc")]
    pub(crate) fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = at;
        self
    }

    pub(crate) fn value(&self) -> &Secret {
        &self.value
    }

    /// Whose it is; empty if that is not known.
    pub(crate) fn owner(&self) -> &Arc<str> {
        &self.principal
    }

    /// How long it has been valid at `now`, and how long it will be.
    pub(crate) fn life(&self, now: SystemTime) -> (Duration, Duration) {
        let since = |earlier: SystemTime, later: SystemTime| later.duration_since(earlier).unwrap_or_default();
        (self.issued_at.map_or(Duration::ZERO, |issued| since(issued, now)), since(now, self.expires_at))
    }

    pub(crate) fn extensions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.extensions.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Token {
    /// Without its text, and without the values of extensions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("value", &self.value)
            .field("principal", &self.principal)
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .field("extensions", &self.extensions.keys())
            .finish()
    }
}

fn checked(value: &str) -> Result<Secret, TokenError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let content = value.trim_end_matches('=');
    let why = match content.len() {
        0 => "expected a token, got nothing".to_owned(),
        _ if value.len() > LONGEST => format!("the token has {} bytes, expected at most {LONGEST}", value.len()),
        _ if content.bytes().all(is_allowed) => return Ok(Secret::new(value)),
        _ => "the token has other characters than letters, digits, -._~+/ and = at its end (RFC 6750)".to_owned(),
    };
    Err(TokenError::new(why))
}

/// Whether name and value can be those of a SASL extension; if not, why.
pub(crate) fn check_extension(name: &str, value: &str) -> Result<(), String> {
    let is_printable = |byte: u8| (0x21..=0x7e).contains(&byte) || b" \t\r\n".contains(&byte);
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(format!(
            "the name of an extension is of letters, got {} characters of which not all are",
            name.len()
        ));
    }
    if name == RESERVED {
        return Err("an extension must not be named auth: the token has this name".to_owned());
    }
    if value.is_empty() || !value.bytes().all(is_printable) || name.len() + value.len() > LONGEST_EXTENSION {
        return Err(format!(
            "the value of the extension {name} has to be printable ASCII, and of 1 to {LONGEST_EXTENSION} bytes"
        ));
    }
    Ok(())
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenError(Arc<str>);

impl TokenError {
    /// An error with this reason. It stands in logs and in errors of the producer, so it must have no part of a token or password.
    pub fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string().into())
    }
}

/// Where tokens come from. A closure that returns a future of a [`Token`] is one; so is a type with a state of its own. It can be used as
/// `dyn TokenSource`.
///
/// The producer asks for a token when it starts, when a part of the last one's life has passed (`sasl.login.refresh.window.factor`), again
/// after a failure (`sasl.login.retry.backoff.ms`), and when a broker refused the last one. It asks once at a time. An answer that takes
/// longer than `socket.connection.setup.timeout.ms` counts as a failure. While the source fails, the last token is used for as long as it is valid.
///
/// ```no_run
/// # use std::time::{Duration, SystemTime};
/// # async fn fetch() -> Result<String, std::io::Error> { Ok(String::new()) }
/// use milena::{Producer, SecurityProtocol, oauth::{Token, TokenError}};
///
/// # async fn example() -> Result<(), milena::ConfigError> {
/// let producer = Producer::builder("kafka.example:9093")
///     .security_protocol(SecurityProtocol::SaslSsl)
///     .oauth_bearer(|| async { Token::jwt(fetch().await.map_err(TokenError::new)?) })
///     .build()
///     .await?;
/// # Ok(()) }
/// ```
pub trait TokenSource: Send + Sync + 'static {
    /// A token, or why there is none.
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send + '_>>;
}

impl<S, F> TokenSource for S
where
    S: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<Token, TokenError>> + Send + 'static,
{
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send + '_>> {
        Box::pin(self())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + S * u32::try_from(seconds).unwrap()
    }

    #[test]
    fn a_token_is_what_rfc_6750_calls_one_and_a_refusal_repeats_no_part_of_it() {
        let long = "x".repeat(LONGEST + 1);
        for (value, expected) in [
            ("abc", ""),
            ("aZ0-._~+/==", ""),
            ("", "expected a token, got nothing"),
            ("==", "expected a token, got nothing"),
            ("hunter2 hunter2", "other characters"),
            ("hunter2=hunter2", "other characters"),
            ("hunter2\u{1}", "other characters"),
            ("hünter2", "other characters"),
            (&long, "has 262145 bytes, expected at most 262144"),
        ] {
            let error = Token::new(value, at(9)).err().map_or_else(String::new, |error| error.to_string());
            assert!(error.contains(expected) && error.is_empty() == expected.is_empty(), "{value:.20}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_token_knows_how_long_it_has_been_valid_and_how_long_it_will_be() {
        let token = Token::new("abc", at(100)).unwrap();
        assert_eq!(token.life(at(40)), (Duration::ZERO, S * 60));
        assert_eq!(token.life(at(200)), (Duration::ZERO, Duration::ZERO));
        let token = token.issued_at(at(30));
        assert_eq!(token.life(at(40)), (S * 10, S * 60));
        assert_eq!(token.life(at(20)), (Duration::ZERO, S * 80), "a clock that is behind");
    }

    #[test]
    fn extensions_have_names_of_letters_and_printable_values() {
        let token = || Token::new("abc", at(9)).unwrap();
        assert_eq!(
            token().extension("logicalCluster", "lkc-1").unwrap().extensions().next(),
            Some(("logicalCluster", "lkc-1"))
        );
        let long = "x".repeat(LONGEST_EXTENSION);
        for (name, value) in
            [("", "v"), ("a-b", "v"), ("auth", "v"), ("a", ""), ("a", "\u{1}"), ("a", "ü"), ("a", &long)]
        {
            assert!(token().extension(name, value).is_err(), "{name} {value:.9}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = Token::new("hunter2", at(9)).unwrap().principal("alice").extension("cluster", "secret").unwrap();
        let shown = format!("{token:?}");
        assert!(shown.contains("alice") && shown.contains("cluster"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("secret"), "{shown}");
    }
}
