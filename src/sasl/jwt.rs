//! JSON Web Tokens (RFC 7519) in their compact form.
//!
//! In: a token. Out: its claims, or what is wrong with it, without a part of it. Pure. Source: `ClientJwtValidator` of Apache Kafka 4.2, and
//! `OAuthBearerUnsecuredJws`. Deliberately absent: signatures. A client does not check them, and the embedded broker takes tokens without.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// The latest time that counts, in seconds after 1970: the end of the year 9999. Later ones cannot be counted on every machine.
const LATEST: f64 = 253_402_300_799.0;

/// A token that was taken apart.
#[derive(Debug)]
pub(crate) struct Jwt {
    #[cfg_attr(not(feature = "broker"), expect(dead_code, reason = "only a broker looks at it"))]
    header: Map<String, Value>,
    payload: Map<String, Value>,
    #[cfg_attr(not(feature = "broker"), expect(dead_code, reason = "only a broker looks at it"))]
    is_signed: bool,
}

/// What a token says of itself. Times are in seconds after 1970.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) subject: String,
    pub(crate) issued: Option<u64>,
    pub(crate) expires: u64,
}

impl Jwt {
    /// Takes a token apart.
    pub(crate) fn read(token: &str) -> Result<Self, String> {
        let parts: Vec<&str> = token.splitn(4, '.').collect();
        let &[header, payload, signature] = &parts[..] else {
            return Err(format!(
                "expected a JWT, which has three parts with dots between them, got {}",
                described(&parts)
            ));
        };
        let (header, payload) = (object(header, "header")?, object(payload, "payload")?);
        Ok(Self { header, payload, is_signed: !signature.is_empty() })
    }

    /// The claims, which are checked as Java's client checks them: their types, and that those are there that a login needs.
    pub(crate) fn claims(&self, scope_claim: &str, sub_claim: &str) -> Result<Claims, String> {
        self.check_scope(scope_claim)?;
        let expires = self.time("exp")?.ok_or("the JWT has no exp: it does not say when it expires")?;
        let subject = match self.payload.get(sub_claim) {
            Some(Value::String(subject)) if !subject.trim().is_empty() => subject.trim().to_owned(),
            Some(Value::String(_)) => {
                return Err(format!("the JWT's {sub_claim} is empty, expected who the client is"));
            }
            Some(_) => return Err(format!("the JWT's {sub_claim} is no text")),
            None => {
                return Err(format!(
                    "the JWT has no {sub_claim}, which says who the client is; another claim can be named by \
                     sasl.oauthbearer.sub.claim.name"
                ));
            }
        };
        Ok(Claims { subject, issued: self.time("iat")?, expires })
    }

    /// The client, if this token has no signature and does not claim one (`"alg":"none"`), as Kafka's default validator takes it.
    #[cfg(feature = "broker")]
    pub(crate) fn unsecured(&self) -> Result<Claims, String> {
        match self.header.get("alg") {
            Some(Value::String(alg)) if alg == "none" && !self.is_signed => {
                // Blanks around a name are a part of it here, unlike in a client.
                let subject = self.payload.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
                Ok(Claims { subject, ..self.claims("scope", "sub")? })
            }
            _ => Err("the JWT is signed, and this broker has no keys".to_owned()),
        }
    }

    /// The scope need not be there. If it is, it is text or a list of texts, none of them blank.
    fn check_scope(&self, claim: &str) -> Result<(), String> {
        let is_scope = |value: &Value| value.as_str().is_some_and(|scope| !scope.trim().is_empty());
        let is_valid = match self.payload.get(claim) {
            None | Some(Value::Null) => true,
            Some(Value::Array(scopes)) => scopes.iter().all(is_scope),
            Some(Value::String(_)) => true,
            Some(_) => false,
        };
        if is_valid { Ok(()) } else { Err(format!("the JWT's {claim} is neither text nor a list of texts")) }
    }

    fn time(&self, claim: &str) -> Result<Option<u64>, String> {
        match self.payload.get(claim) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let seconds = value.as_f64().filter(|seconds| (0.0..=LATEST).contains(seconds));
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "its bounds are checked")]
                let whole = seconds.map(|seconds| seconds as u64);
                whole.map(Some).ok_or_else(|| format!("the JWT's {claim} is no number of seconds after 1970"))
            }
        }
    }
}

fn described(parts: &[&str]) -> &'static str {
    match parts.len() {
        1 => "one part, as of an opaque token",
        2 => "two",
        _ => "more",
    }
}

fn object(part: &str, name: &str) -> Result<Map<String, Value>, String> {
    let bytes =
        URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).map_err(|_| format!("the JWT's {name} is no base64url"))?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(format!("the JWT's {name} is no JSON object")),
    }
}

/// A token without a signature, for brokers that take it so.
pub(crate) fn unsigned(payload: &Map<String, Value>) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&Value::Object(payload.clone()).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#), URL_SAFE_NO_PAD.encode(payload))
    }

    fn claims(payload: &str) -> Result<Claims, String> {
        Jwt::read(&token(payload))?.claims("scope", "sub")
    }

    #[test]
    fn claims_are_read_as_java_reads_them() {
        let expected = |issued| Claims { subject: "alice".to_owned(), issued, expires: 1_700_000_300 };
        for (payload, issued) in [
            (r#"{"sub":"alice","exp":1700000300,"iat":1700000000}"#, Some(1_700_000_000)),
            (r#"{"sub":" alice ","exp":1700000300.9,"iat":1700000000.5,"scope":"a b"}"#, Some(1_700_000_000)),
            (r#"{"sub":"alice","exp":1700000300,"scope":["a","b"],"aud":["kafka"],"x":{"y":[1]}}"#, None),
            (r#"{"sub":"alice","exp":1700000300,"scope":null,"iat":null}"#, None),
        ] {
            assert_eq!(claims(payload), Ok(expected(issued)), "{payload}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_and_no_claim_is_repeated() {
        for (payload, expected) in [
            (r#"{"sub":"hunter2"}"#, "the JWT has no exp: it does not say when it expires"),
            (r#"{"exp":1}"#, "the JWT has no sub, which says who the client is; another claim can be named by"),
            (r#"{"exp":1,"sub":" "}"#, "the JWT's sub is empty, expected who the client is"),
            (r#"{"exp":1,"sub":7}"#, "the JWT's sub is no text"),
            (r#"{"exp":"hunter2","sub":"a"}"#, "the JWT's exp is no number of seconds after 1970"),
            (r#"{"exp":-1,"sub":"a"}"#, "the JWT's exp is no number of seconds after 1970"),
            (r#"{"exp":1e300,"sub":"a"}"#, "the JWT's exp is no number of seconds after 1970"),
            (r#"{"exp":1,"sub":"a","iat":true}"#, "the JWT's iat is no number of seconds after 1970"),
            (r#"{"exp":1,"sub":"a","scope":[" "]}"#, "the JWT's scope is neither text nor a list of texts"),
            (r#"{"exp":1,"sub":"a","scope":{"a":"hunter2"}}"#, "the JWT's scope is neither text nor a list of texts"),
            ("[1]", "the JWT's payload is no JSON object"),
            ("hunter2", "the JWT's payload is no JSON object"),
        ] {
            let error = claims(payload).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains("hunter2"), "{payload}: {error}");
        }
    }

    #[test]
    fn claims_may_have_other_names() {
        let jwt = Jwt::read(&token(r#"{"oid":"alice","exp":9,"roles":["a"],"scope":7}"#)).unwrap();
        assert_eq!(jwt.claims("roles", "oid").unwrap().subject, "alice");
        assert!(jwt.claims("scope", "oid").is_err());
    }

    #[test]
    fn what_is_no_jwt_is_recognised_by_its_form() {
        for (text, expected) in [
            ("opaque", "got one part, as of an opaque token"),
            ("a.b", "got two"),
            ("a.b.c.d", "got more"),
            ("%.b.c", "header is no base64url"),
            ("e30.%.c", "payload is no base64url"),
            ("..", "header is no JSON object"),
        ] {
            let error = Jwt::read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn json_that_is_nested_without_end_is_no_token() {
        let deep = format!(r#"{{"sub":"a","exp":1,"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(claims(&deep).unwrap_err(), "the JWT's payload is no JSON object");
    }

    #[cfg(feature = "broker")]
    #[test]
    fn only_a_token_without_signature_that_claims_none_is_unsecured() {
        let payload = serde_json::json!({"sub": " alice", "exp": 9}).as_object().unwrap().clone();
        let unsigned = unsigned(&payload);
        assert_eq!(Jwt::read(&unsigned).unwrap().unsecured().unwrap().subject, " alice");
        assert!(Jwt::read(&format!("{unsigned}c2ln")).unwrap().unsecured().is_err());
        assert!(Jwt::read(&token(r#"{"sub":"alice","exp":9}"#)).unwrap().unsecured().is_err());
    }
}
