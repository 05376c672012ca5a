//! The messages of OAUTHBEARER (RFC 7628).
//!
//! In: a token with its extensions, and the broker's message. Out: the client's message; what the broker's error says. Pure. Source:
//! `OAuthBearerClientInitialResponse` and `OAuthBearerSaslClient` of Apache Kafka 4.2; KIP-342. Deliberately absent: acting for another user.

#[cfg(feature = "broker")]
pub(crate) mod server;

use serde_json::Value;

use super::token::Token;

/// What ends each part of the client's message. Alone it answers the broker's error, which is sent in full only then.
const SEPARATOR: char = '\u{1}';
pub(crate) const GO_ON: &[u8] = b"\x01";

/// The client's message without the token, which is kept apart so that it is not printed: what comes before it, and what behind it.
pub(crate) const BEFORE: &str = "n,,\u{1}auth=Bearer ";

/// What comes behind the token: the extensions.
pub(crate) fn behind(token: &Token) -> String {
    let extensions: String = token.extensions().map(|(name, value)| format!("{SEPARATOR}{name}={value}")).collect();
    format!("{extensions}{SEPARATOR}{SEPARATOR}")
}

/// What a broker's error says: its status, and which scope the token should have. Text that is not the JSON of RFC 7628 is kept as it is.
pub(crate) fn words(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let Ok(Value::Object(error)) = serde_json::from_slice(message) else { return text.into_owned() };
    let said = |name: &str| error.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (said("status"), said("scope")) {
        (Some(status), Some(scope)) => format!("{status}, expected scope {scope}"),
        (Some(status), None) => status.to_owned(),
        (None, _) => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn extensions_come_behind_the_token() {
        let token = Token::new("abc", SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(format!("{BEFORE}abc{}", behind(&token)), "n,,\u{1}auth=Bearer abc\u{1}\u{1}");
        let token = token.extension("logicalCluster", "lkc-1").unwrap().extension("identityPoolId", "pool-2").unwrap();
        assert_eq!(behind(&token), "\u{1}identityPoolId=pool-2\u{1}logicalCluster=lkc-1\u{1}\u{1}");
    }

    #[test]
    fn a_broker_s_error_is_told_by_status_and_scope() {
        for (message, expected) in [
            (r#"{"status":"invalid_token"}"#, "invalid_token"),
            (r#"{"status":"insufficient_scope", "scope":"kafka"}"#, "insufficient_scope, expected scope kafka"),
            (r#"{"status":"invalid_token","scope":"","openid-configuration":"https://idp"}"#, "invalid_token"),
            (r#"{"scope":"kafka"}"#, r#"{"scope":"kafka"}"#),
            ("[]", "[]"),
            ("no", "no"),
        ] {
            assert_eq!(words(message.as_bytes()), expected);
        }
    }
}
