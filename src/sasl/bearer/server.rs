//! OAUTHBEARER (RFC 7628), from a broker's side.
//!
//! In: tokens that are accepted, the time, the client's messages. Out: who the client is and until when, or the error that it is told. Pure.
//! Source: `OAuthBearerSaslServer`, `OAuthBearerClientInitialResponse` and `OAuthBearerUnsecuredValidatorCallbackHandler` of Apache Kafka 4.2. Deliberately
//! absent: signatures, and what extensions mean.
//!
//! One difference on purpose: where Apache Kafka hangs up by a fault of its own (another scheme than `Bearer`, a JWT that names no algorithm), this
//! broker refuses.

use std::{collections::BTreeMap, mem::take, sync::Arc};

use crate::{
    sasl::{error::Denied, jwt::Jwt},
    secret::Secret,
};

/// What a broker says of a token that it does not accept.
const INVALID: &str = r#"{"status":"invalid_token"}"#;
/// The client's answer to that.
const GO_ON: &[u8] = b"\x01";
const MALFORMED: Denied = Denied::Untold("invalid OAUTHBEARER client first message");

/// Tokens that are accepted whatever they are, by their text, and whose they are.
#[derive(Clone, Default)]
pub(crate) struct Tokens(BTreeMap<String, Arc<str>>);

impl std::fmt::Debug for Tokens {
    /// Without their texts.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.values()).finish()
    }
}

impl Tokens {
    /// Accepts a token.
    pub(crate) fn insert(&mut self, user: &str, token: &str) {
        self.0.insert(token.to_owned(), user.into());
    }

    /// Accepts a token no more. Returns whether it was accepted.
    pub(crate) fn remove(&mut self, token: &str) -> bool {
        self.0.remove(token).is_some()
    }

    /// Whose token it is, and when it expires, in milliseconds after 1970. One that is not listed has to be a JWT without a signature.
    fn owner(&self, token: &str, now_ms: i64) -> Option<(Arc<str>, Option<i64>)> {
        if let Some(user) = self.0.get(token) {
            return Some((Arc::clone(user), None));
        }
        let claims = Jwt::read(token).ok()?.unsecured().ok()?;
        let ms = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        let is_valid = now_ms < ms(claims.expires) && claims.issued.is_none_or(|issued| ms(issued) <= now_ms);
        is_valid.then(|| (claims.subject.into(), Some(ms(claims.expires))))
    }
}

/// One authentication.
#[derive(Debug, Default)]
pub(crate) struct Bearer {
    is_refused: bool,
    /// When the token expires.
    pub(crate) until_ms: Option<i64>,
}

impl Bearer {
    /// Takes the client's message. Returns who it is, or the error that it has to answer. In place of an answer it may send another token.
    pub(crate) fn take(
        &mut self,
        tokens: &Tokens,
        now_ms: i64,
        message: &[u8],
    ) -> Result<Result<Arc<str>, Vec<u8>>, Denied> {
        if take(&mut self.is_refused) && message == GO_ON {
            return Err(Denied::Said(INVALID));
        }
        let first = First::read(message)?;
        let Some((user, until_ms)) = tokens.owner(first.token.reveal(), now_ms) else {
            self.is_refused = true;
            return Ok(Err(INVALID.as_bytes().to_vec()));
        };
        if let Some(wanted) = first.acts_for.filter(|wanted| **wanted != *user) {
            return Err(Denied::other_principal(&wanted, &user));
        }
        self.until_ms = until_ms;
        Ok(Ok(user))
    }
}

/// The client's message.
struct First {
    acts_for: Option<String>,
    token: Secret,
}

impl First {
    fn read(message: &[u8]) -> Result<Self, Denied> {
        std::str::from_utf8(message).ok().and_then(Self::parse).ok_or(MALFORMED)
    }

    fn parse(text: &str) -> Option<Self> {
        let (acts_for, rest) = text.strip_prefix("n,")?.split_once(',')?;
        let acts_for = match acts_for {
            "" => None,
            named => Some(named.strip_prefix("a=").filter(|name| is_name(name))?.to_owned()),
        };
        let pairs = rest.strip_prefix('\u{1}')?.strip_suffix("\u{1}\u{1}")?;
        let mut auth = None;
        for pair in pairs.split('\u{1}') {
            let (name, value) = pair.split_once('=').filter(|(name, value)| is_key(name) && is_value(value))?;
            if name == "auth" {
                auth = Some(value);
            }
        }
        let (scheme, token) = auth?.split_once(' ')?;
        let token = token.trim_start_matches(' ');
        (scheme.eq_ignore_ascii_case("bearer") && is_token(token)).then(|| Self { acts_for, token: Secret::new(token) })
    }
}

/// A name in which `,` and `=` are written as `=2C` and `=3D`.
fn is_name(text: &str) -> bool {
    let mut escapes = text.split('=').skip(1);
    let is_plain = !text.is_empty() && text.bytes().all(|byte| (0x01..=0x7f).contains(&byte));
    is_plain && escapes.all(|escape| escape.starts_with("2C") || escape.starts_with("3D"))
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || b" \t\r\n".contains(&byte))
}

/// Letters, digits and a few others, and then any number of `=` (RFC 6750).
fn is_token(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~+/.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sasl::jwt::unsigned;

    const NOW: i64 = 1_700_000_000_000;

    fn tokens() -> Tokens {
        let mut tokens = Tokens::default();
        tokens.insert("alice", "abc=");
        tokens
    }

    fn taken(message: &str) -> Result<Result<Arc<str>, Vec<u8>>, Denied> {
        Bearer::default().take(&tokens(), NOW, message.as_bytes())
    }

    #[test]
    fn a_client_is_who_its_token_is_of() {
        for message in [
            "n,,\u{1}auth=Bearer abc=\u{1}\u{1}",
            "n,,\u{1}auth=bearer  abc=\u{1}logicalCluster=lkc-1\u{1}\u{1}",
            "n,a=alice,\u{1}x=y\u{1}auth=Bearer abc=\u{1}\u{1}",
        ] {
            assert_eq!(taken(message), Ok(Ok("alice".into())), "{message:?}");
        }
        let refused = taken("n,a=bob,\u{1}auth=Bearer abc=\u{1}\u{1}").unwrap_err();
        assert_eq!(refused, Denied::other_principal("bob", "alice"));
        let long = format!("n,a=\u{1b}{},\u{1}auth=Bearer abc=\u{1}\u{1}", "b".repeat(9_999));
        let refused = taken(&long).unwrap_err().to_string();
        assert!(refused.len() < 400 && !refused.contains(char::is_control), "{refused:?}");
        for message in [
            "",
            "n,,",
            "y,,\u{1}auth=Bearer abc=\u{1}\u{1}",
            "n,,\u{1}auth=Bearer abc=\u{1}",
            "n,,\u{1}auth=Basic abc=\u{1}\u{1}",
            "n,,\u{1}auth=Bearer\u{1}\u{1}",
            "n,,\u{1}auth=Bearer \u{1}\u{1}",
            "n,,\u{1}x=y\u{1}\u{1}",
            "n,,\u{1}auth\u{1}\u{1}",
            "n,,\u{1}auth=Bearer ab*c\u{1}\u{1}",
            "n,,\u{1}auth=Bearer =\u{1}\u{1}",
            "n,,\u{1}auth=Bearer abc=\u{1}x=\u{1}\u{1}",
            "n,,\u{1}auth=Bearer abc=\u{1}x1=y\u{1}\u{1}",
            "n,,\u{1}auth=Bearer abc=\u{1}=y\u{1}\u{1}",
            "n,,\u{1}auth=Bearer abc=\u{1}x=\u{e4}\u{1}\u{1}",
            "n,a=,\u{1}auth=Bearer abc=\u{1}\u{1}",
            "n,a=al\0ice,\u{1}auth=Bearer abc=\u{1}\u{1}",
            "n,a=al=ice,\u{1}auth=Bearer abc=\u{1}\u{1}",
            "n,a=al\u{e4}ice,\u{1}auth=Bearer abc=\u{1}\u{1}",
        ] {
            assert_eq!(taken(message), Err(MALFORMED), "{message:?}");
        }
        assert!(!format!("{:?}", tokens()).contains("abc"));
    }

    #[test]
    fn a_token_that_is_not_accepted_is_refused_in_two_steps() {
        let (mut bearer, message) = (Bearer::default(), b"n,,\x01auth=Bearer other\x01\x01");
        assert_eq!(bearer.take(&tokens(), NOW, message), Ok(Err(INVALID.as_bytes().to_vec())));
        assert_eq!(bearer.take(&tokens(), NOW, GO_ON).unwrap_err().to_string(), INVALID);
        assert_eq!(bearer.take(&tokens(), NOW, GO_ON), Err(MALFORMED), "it has answered");
    }

    #[test]
    fn in_place_of_an_answer_another_token_may_come() {
        let (mut bearer, message) = (Bearer::default(), b"n,,\x01auth=Bearer other\x01\x01");
        for _ in 0..2 {
            assert_eq!(bearer.take(&tokens(), NOW, message), Ok(Err(INVALID.as_bytes().to_vec())));
        }
        assert_eq!(bearer.take(&tokens(), NOW, b"n,,\x01auth=Bearer abc=\x01\x01"), Ok(Ok("alice".into())));
    }

    #[test]
    fn a_jwt_without_signature_is_accepted_while_it_is_valid() {
        let now = NOW / 1_000;
        for (claims, until) in [
            (json!({"sub": "bob", "exp": now + 60}), Some(NOW + 60_000)),
            (json!({"sub": "bob", "exp": now + 60, "iat": now}), Some(NOW + 60_000)),
            (json!({"sub": "bob", "exp": now}), None),
            (json!({"sub": "bob", "exp": now + 60, "iat": now + 5}), None),
            (json!({"exp": now + 60}), None),
        ] {
            let message = format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", unsigned(claims.as_object().unwrap()));
            let mut bearer = Bearer::default();
            let taken = bearer.take(&tokens(), NOW, message.as_bytes()).unwrap();
            assert_eq!((taken.is_ok(), bearer.until_ms), (until.is_some(), until), "{claims}");
        }
    }
}
