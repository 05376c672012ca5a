//! What is said to an OIDC provider, and what it says.
//!
//! In: who the client is, the provider's answer. Out: a request for a token by client credentials, the token, or why there is none. Pure.
//! Source: RFC 6749, sections 4.4 and 5; `ClientCredentialsRequestGenerator` and `JwtResponseParser` of Apache Kafka 4.2. Deliberately absent: following
//! redirects. Java follows them, and so may send its secret elsewhere.

use std::{fmt::Write, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use serde_json::Value;

use crate::{config::tokens::Endpoint, sasl::token::TokenError, wire::text::printable};

const URL: &str = "sasl.oauthbearer.token.endpoint.url";
/// The longest life of a token that counts, in seconds: a hundred years.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60;

/// The provider's answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: String,
    pub(super) location: String,
    pub(super) body: Bytes,
}

/// A token, and how long it is valid from now on, if the provider says so.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Issued {
    pub(super) token: String,
    pub(super) expires_in: Option<Duration>,
}

/// The request for a token.
pub(super) fn request(endpoint: &Endpoint) -> Result<Request<Full<Bytes>>, TokenError> {
    let (id, secret) = (&*endpoint.client_id, endpoint.client_secret.reveal());
    let client =
        if endpoint.urlencode { format!("{}:{}", encoded(id), encoded(secret)) } else { format!("{id}:{secret}") };
    let mut authorization =
        HeaderValue::try_from(format!("Basic {}", STANDARD.encode(client))).map_err(TokenError::new)?;
    authorization.set_sensitive(true);
    let scope = if endpoint.scope.is_empty() { String::new() } else { format!("&scope={}", encoded(&endpoint.scope)) };
    Request::builder()
        .method(Method::POST)
        .uri(&endpoint.path)
        .header(HOST, &endpoint.authority)
        .header(AUTHORIZATION, authorization)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(CACHE_CONTROL, "no-cache")
        .header(CONNECTION, "close")
        .header(USER_AGENT, "milena")
        .body(Full::from(format!("grant_type=client_credentials{scope}")))
        .map_err(TokenError::new)
}

/// Text as in a form: letters, digits and a few others stay as they are.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
        encoded
    })
}

/// The token in an answer, or why there is none.
pub(super) fn issued(answer: &Answer) -> Result<Issued, String> {
    let Answer { status, location, body, .. } = answer;
    let json: Option<Value> = serde_json::from_slice(body).ok();
    if status.is_redirection() {
        let to = location.split(['?', '#']).next().unwrap_or_default();
        return Err(format!("it answered {status}, and leads to {}: set {URL} to where it leads", printable(to)));
    }
    if ![StatusCode::OK, StatusCode::CREATED].contains(status) {
        return Err(format!("it answered {status}{}{}", said(json.as_ref()), hint(*status)));
    }
    let Some(Value::Object(object)) = &json else {
        let found = match answer.content_type.split(';').next().unwrap_or_default().trim() {
            "" => "something else".to_owned(),
            content_type => printable(content_type),
        };
        return Err(format!("it answered {status}, expected a token in JSON, got {found}: check {URL}"));
    };
    let token = ["access_token", "id_token"].iter().find_map(|name| object.get(*name)).and_then(Value::as_str);
    let token = token.map(str::trim).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| {
        format!(
            "it answered {status} without an access_token{}: check {URL}, and what the client may ask for",
            said(json.as_ref())
        )
    })?;
    Ok(Issued { token: token.to_owned(), expires_in: object.get("expires_in").and_then(seconds) })
}

/// For the fuzz target: reads an answer of any content.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_answer(body: &[u8]) {
    for status in [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::FOUND] {
        let (content_type, location) = (String::new(), String::from_utf8_lossy(body).into_owned());
        let answer = Answer { status, content_type, location, body: Bytes::copy_from_slice(body) };
        match issued(&answer) {
            Ok(issued) => assert!(!issued.token.is_empty() && status == StatusCode::OK),
            Err(why) => assert!(why.len() < 4_096 && !why.contains(char::is_control), "{why:?}"),
        }
    }
}

/// Some providers write numbers as text.
fn seconds(value: &Value) -> Option<Duration> {
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    number.map(|seconds| Duration::from_secs(seconds.min(LONGEST)))
}

/// What the provider says of an error (RFC 6749, section 5.2). Okta has names of its own, which Java knows too.
fn said(json: Option<&Value>) -> String {
    let text = |name: &str| json.and_then(|json| json.get(name)).and_then(Value::as_str).map(printable);
    match (text("error").or_else(|| text("errorCode")), text("error_description").or_else(|| text("errorSummary"))) {
        (Some(error), Some(description)) => format!(": {error} ({description})"),
        (Some(error), None) => format!(": {error}"),
        _ => String::new(),
    }
}

fn hint(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 401 | 403 => "; check client id, client secret and scope",
        404 | 405 => "; check sasl.oauthbearer.token.endpoint.url",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn endpoint() -> Endpoint {
        Endpoint {
            name: "http://idp:80/token".to_owned(),
            host: "idp".to_owned(),
            port: 80,
            authority: "idp:80".to_owned(),
            path: "/token?tenant=1".to_owned(),
            tls: None,
            client_id: "my client".to_owned(),
            client_secret: Secret::new("s:ä+"),
            scope: String::new(),
            urlencode: false,
            connect: Duration::from_secs(1),
            read: Duration::from_secs(1),
        }
    }

    fn authorization(endpoint: &Endpoint) -> String {
        let request = request(endpoint).unwrap();
        let header = request.headers()[AUTHORIZATION].to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        assert!(!format!("{request:?}").contains(&header), "{request:?}");
        String::from_utf8(STANDARD.decode(header).unwrap()).unwrap()
    }

    fn answer(status: u16, content_type: &str, body: &str) -> Result<Issued, String> {
        let status = StatusCode::from_u16(status).unwrap();
        let location = "https://other/login?code=hunter2".to_owned();
        issued(&Answer { status, content_type: content_type.to_owned(), location, body: Bytes::from(body.to_owned()) })
    }

    #[test]
    fn the_client_is_in_the_header_url_encoded_only_if_that_is_set() {
        assert_eq!(authorization(&endpoint()), "my client:s:ä+");
        assert_eq!(authorization(&Endpoint { urlencode: true, ..endpoint() }), "my+client:s%3A%C3%A4%2B");
        let request = request(&endpoint()).unwrap();
        assert_eq!(
            (request.uri().to_string(), &request.headers()[HOST]),
            ("/token?tenant=1".to_owned(), &"idp:80".parse().unwrap())
        );
    }

    #[test]
    fn a_token_is_told_with_how_long_it_is_valid() {
        for (body, token, expires_in) in [
            (r#"{"access_token":" abc ","expires_in":300,"token_type":"Bearer"}"#, "abc", Some(300)),
            (r#"{"access_token":"abc","expires_in":"300"}"#, "abc", Some(300)),
            (r#"{"id_token":"abc"}"#, "abc", None),
            (r#"{"access_token":"abc","expires_in":-1}"#, "abc", None),
            (r#"{"access_token":"abc","expires_in":18446744073709551615}"#, "abc", Some(LONGEST)),
        ] {
            let issued = answer(200, "application/json", body).unwrap();
            assert_eq!((&*issued.token, issued.expires_in), (token, expires_in.map(Duration::from_secs)), "{body}");
        }
    }

    #[test]
    fn what_is_no_token_is_told_with_status_error_and_what_to_look_at() {
        let denied = r#"{"error":"invalid_client","error_description":"wrong secret"}"#;
        for (status, content_type, body, expected) in [
            (
                401,
                "application/json",
                denied,
                "it answered 401 Unauthorized: invalid_client (wrong secret); check client id, client secret and scope",
            ),
            (
                400,
                "",
                r#"{"error":"invalid_scope"}"#,
                "it answered 400 Bad Request: invalid_scope; check client id, client secret and scope",
            ),
            (
                400,
                "",
                r#"{"errorCode":"E1","errorSummary":"no"}"#,
                "it answered 400 Bad Request: E1 (no); check client id, client secret and scope",
            ),
            (404, "text/html", "<html>", "it answered 404 Not Found; check sasl.oauthbearer.token.endpoint.url"),
            (503, "", "", "it answered 503 Service Unavailable"),
            (
                302,
                "",
                "",
                "it answered 302 Found, and leads to https://other/login: set sasl.oauthbearer.token.endpoint.url to where it leads",
            ),
            (
                200,
                "text/html; charset=utf-8",
                "<html>hunter2",
                "it answered 200 OK, expected a token in JSON, got text/html: check sasl.oauthbearer.token.endpoint.url",
            ),
            (
                200,
                "",
                "",
                "it answered 200 OK, expected a token in JSON, got something else: check sasl.oauthbearer.token.endpoint.url",
            ),
            (
                200,
                "",
                r#"{"refresh_token":"hunter2"}"#,
                "it answered 200 OK without an access_token: check sasl.oauthbearer.token.endpoint.url, and what the client may ask for",
            ),
            (
                200,
                "",
                denied,
                "it answered 200 OK without an access_token: invalid_client (wrong secret): check sasl.oauthbearer.token.endpoint.url, and what the client may ask for",
            ),
            (
                200,
                "",
                r#"{"access_token":7}"#,
                "it answered 200 OK without an access_token: check sasl.oauthbearer.token.endpoint.url, and what the client may ask for",
            ),
        ] {
            assert_eq!(answer(status, content_type, body).err().as_deref(), Some(expected));
        }
    }
}
