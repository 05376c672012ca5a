//! OAUTHBEARER (RFC 7628), from a broker's side.
//!
//! In: tokens that are accepted, the time, the client's messages. Out: who the client is and until when, or the error that it is told. Pure.
//! Source: `OAuthBearerSaslServer`, `OAuthBearerClientInitialResponse` and `OAuthBearerUnsecuredValidatorCallbackHandler` of Apache Kafka 4.2. Deliberately
//! absent: signatures, and what extensions mean.

use std::{collections::BTreeMap, sync::Arc};

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
    /// Takes the client's message. Returns who it is, or the error that it has to answer.
    pub(crate) fn take(
        &mut self,
        tokens: &Tokens,
        now_ms: i64,
        message: &[u8],
    ) -> Result<Result<Arc<str>, Vec<u8>>, Denied> {
        if self.is_refused {
            return Err(if message == GO_ON { Denied::Said(INVALID) } else { MALFORMED });
        }
        let first = First::read(message)?;
        let Some((user, until_ms)) = tokens.owner(first.token.reveal(), now_ms) else {
            self.is_refused = true;
            return Ok(Err(INVALID.as_bytes().to_vec()));
        };
        if first.acts_for.as_deref().is_some_and(|name| *name != *user) {
            return Err(Denied::OTHER_USER);
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
        let text = std::str::from_utf8(message).map_err(|_| MALFORMED)?;
        let (header, rest) = text.split_once('\u{1}').ok_or(MALFORMED)?;
        let acts_for = header.strip_prefix("n,").and_then(|header| header.strip_suffix(',')).ok_or(MALFORMED)?;
        let acts_for = match acts_for {
            "" => None,
            named => Some(named.strip_prefix("a=").ok_or(MALFORMED)?.to_owned()),
        };
        let pairs = rest.strip_suffix("\u{1}\u{1}").ok_or(MALFORMED)?;
        let mut auth = None;
        for pair in pairs.split('\u{1}') {
            let (name, value) = pair.split_once('=').ok_or(MALFORMED)?;
            if name == "auth" {
                auth = Some(value);
            }
        }
        let (scheme, token) = auth.and_then(|auth| auth.split_once(' ')).ok_or(MALFORMED)?;
        let token = token.trim_start_matches(' ');
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return Err(MALFORMED);
        }
        Ok(Self { acts_for, token: Secret::new(token) })
    }
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
        assert_eq!(taken("n,a=bob,\u{1}auth=Bearer abc=\u{1}\u{1}"), Err(Denied::OTHER_USER));
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
        assert!(bearer.take(&tokens(), NOW, message).is_err(), "it gets no second chance");
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
