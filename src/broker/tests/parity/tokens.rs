//! OAUTHBEARER: tokens without a signature, those that are not accepted, and messages that are none.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    authenticating::{LIFETIMES_MS, WHILE, ends, same_secured, say, serves, shake},
    *,
};
use crate::broker::listener::now_ms;

/// The client's answer to an error.
const GO_ON: &[u8] = b"\x01";
const UNSIGNED: &str = r#"{"alg":"none"}"#;
/// The end of the year 2099, in seconds after 1970.
const LATE: i64 = 4_102_444_799;

fn jwt(header: &str, claims: &str) -> String {
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// A token of alice's that is valid until then.
fn until(seconds: i64) -> String {
    jwt(UNSIGNED, &format!(r#"{{"sub":"alice","exp":{seconds}}}"#))
}

fn first(token: &str) -> String {
    format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}")
}

/// What a broker says to the client's messages, until it lets the client in or ends the connection; and whether the client is served then.
fn talks(client: &mut Client, what: &str, messages: &[&[u8]]) -> String {
    shake(client, "OAUTHBEARER");
    let mut seen = Seen::new();
    for message in messages {
        let (answer, said) = say(client, message);
        seen.push(format!("{answer} {:?}", String::from_utf8_lossy(&said)));
        if !answer.starts_with("NONE") {
            break;
        }
    }
    let last = seen.last().map_or("", String::as_str);
    if last.starts_with("NONE") {
        seen.push(serves(client));
    } else if !last.starts_with("closed") {
        seen.push(ends(client, WHILE));
    }
    client.socket = TcpStream::connect(&client.address).unwrap();
    format!("{what}: {}", seen.join(", "))
}

/// How long the client's session is with a token that is valid for so long, in minutes.
fn session(client: &mut Client, seconds: i64) -> i64 {
    shake(client, "OAUTHBEARER");
    let message = first(&until(now_ms() / 1_000 + seconds));
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
    let lifetime_ms = client.ask(2, &request).session_lifetime_ms;
    client.socket = TcpStream::connect(&client.address).unwrap();
    (lifetime_ms + 30_000) / 60_000
}

#[test]
fn a_token_without_signature_lets_its_client_in_and_its_session_ends_with_it() {
    same_secured(LIFETIMES_MS[0], |client| {
        let valid = until(LATE);
        let spaced =
            jwt(UNSIGNED, &format!(r#"{{"sub":" alice ","exp":{LATE}.5,"iat":1,"scope":["a","b"],"aud":"x"}}"#));
        let messages = [
            first(&valid),
            format!("n,a=alice,\u{1}auth=Bearer {valid}\u{1}\u{1}"),
            format!("n,,\u{1}auth=bearer   {valid}\u{1}logicalCluster=lkc-1\u{1}\u{1}"),
            format!("n,,\u{1}traceId=a b~\t\u{1}auth=BEARER {valid}\u{1}\u{1}"),
            first(&spaced),
            format!("n,a=alice,\u{1}auth=Bearer {spaced}\u{1}\u{1}"),
        ];
        let mut seen: Seen = messages.iter().map(|message| talks(client, message, &[message.as_bytes()])).collect();
        seen.extend([600, 1_200, 7_200].map(|seconds| format!("{seconds} s: {} min", session(client, seconds))));
        seen
    });
}

#[test]
fn a_token_that_is_not_accepted_is_told_as_an_error_that_the_client_answers() {
    same_secured(LIFETIMES_MS[0], |client| {
        let now = now_ms() / 1_000;
        let of = |claims: &str| jwt(UNSIGNED, claims);
        let valid = until(LATE);
        let tokens = [
            ("expired", until(now - 60)),
            ("expired long ago", until(1)),
            ("of the future", of(&format!(r#"{{"sub":"alice","exp":{LATE},"iat":{}}}"#, now + 600))),
            ("ends before it begins", of(&format!(r#"{{"sub":"alice","exp":{},"iat":{LATE}}}"#, now + 600))),
            ("without end", of(r#"{"sub":"alice"}"#)),
            ("without subject", of(&format!(r#"{{"exp":{LATE}}}"#))),
            ("empty subject", of(&format!(r#"{{"sub":" ","exp":{LATE}}}"#))),
            ("subject is a number", of(&format!(r#"{{"sub":7,"exp":{LATE}}}"#))),
            ("end is a text", of(&format!(r#"{{"sub":"alice","exp":"{LATE}"}}"#))),
            ("begin is a text", of(&format!(r#"{{"sub":"alice","exp":{LATE},"iat":"1"}}"#))),
            ("scope is a number", of(&format!(r#"{{"sub":"alice","exp":{LATE},"scope":7}}"#))),
            ("claims are a list", of("[]")),
            ("claims are no JSON", of("{")),
            ("header of a signature", jwt(r#"{"alg":"RS256"}"#, &format!(r#"{{"sub":"alice","exp":{LATE}}}"#))),
            ("signed", format!("{valid}c2ln")),
            ("opaque", "abc".to_owned()),
            ("two parts", "a.b".to_owned()),
            ("four parts", format!("{valid}.")),
        ];
        let tell = |(what, token): (&str, String)| talks(client, what, &[first(&token).as_bytes(), GO_ON]);
        tokens.map(tell).to_vec()
    });
}

#[test]
fn whoever_got_an_error_may_try_another_token_and_nothing_else() {
    same_secured(LIFETIMES_MS[0], |client| {
        let (expired, valid) = (first(&until(1)), first(&until(LATE)));
        let (expired, valid) = (expired.as_bytes(), valid.as_bytes());
        vec![
            talks(client, "another token", &[expired, valid]),
            talks(client, "the same token", &[expired, expired, GO_ON]),
            talks(client, "nothing", &[expired, b""]),
            talks(client, "garbage", &[expired, b"\x02"]),
            talks(client, "an answer to no error", &[GO_ON]),
        ]
    });
}

#[test]
fn messages_that_are_no_token_are_refused_in_the_same_words() {
    same_secured(LIFETIMES_MS[0], |client| {
        let valid = until(LATE);
        let messages = [
            String::new(),
            "n,,".to_owned(),
            valid.clone(),
            format!("y,,\u{1}auth=Bearer {valid}\u{1}\u{1}"),
            format!("n,\u{1}auth=Bearer {valid}\u{1}\u{1}"),
            format!("n,,auth=Bearer {valid}\u{1}\u{1}"),
            format!("n,,\u{1}auth=Bearer {valid}\u{1}"),
            format!("n,,\u{1}auth=Bearer {valid}"),
            format!("n,,\u{1}auth=Bearer {valid}\u{1}\u{1}\u{1}"),
            format!("n,,\u{1}auth={valid}\u{1}\u{1}"),
            format!("n,,\u{1}auth=Bearer {valid} {valid}\u{1}\u{1}"),
            format!("n,,\u{1} auth=Bearer {valid}\u{1}\u{1}"),
            format!("n,,\u{1}Auth=Bearer {valid}\u{1}\u{1}"),
            "n,,\u{1}auth=Bearer\u{1}\u{1}".to_owned(),
            "n,,\u{1}auth=Bearer \u{1}\u{1}".to_owned(),
            "n,,\u{1}auth=\u{1}\u{1}".to_owned(),
            "n,,\u{1}auth\u{1}\u{1}".to_owned(),
            "n,,\u{1}x=y\u{1}\u{1}".to_owned(),
            "n,,\u{1}\u{1}".to_owned(),
            format!("n,,\u{1}auth=Bearer {valid}\u{1}x=\u{1}\u{1}"),
            format!("n,,\u{1}auth=Bearer {valid}\u{1}x1=y\u{1}\u{1}"),
            format!("n,,\u{1}auth=Bearer {valid}\u{1}=y\u{1}\u{1}"),
            format!("n,,\u{1}auth=Bearer {valid}\u{1}x=ä\u{1}\u{1}"),
            format!("n,,\u{1}auth=Bearer {valid}\u{1}x=y\u{1}x=z\u{1}\u{1}"),
            format!("n,,\u{1}auth=Bearer abc\u{1}auth=Bearer {valid}\u{1}\u{1}"),
            "n,,\u{1}auth=Bearer ab*c\u{1}\u{1}".to_owned(),
            format!("n,a=,\u{1}auth=Bearer {valid}\u{1}\u{1}"),
            format!("n,b=alice,\u{1}auth=Bearer {valid}\u{1}\u{1}"),
            format!("n,a=bob,\u{1}auth=Bearer {valid}\u{1}\u{1}"),
            format!("n,a=a=2Cb,\u{1}auth=Bearer {valid}\u{1}\u{1}"),
            format!("n,a=a=b,\u{1}auth=Bearer {valid}\u{1}\u{1}"),
        ];
        let mut seen: Seen = messages.iter().map(|message| talks(client, message, &[message.as_bytes()])).collect();
        seen.push(talks(client, "no text", &[b"n,,\x01auth=Bearer \xff\x01\x01"]));
        seen
    });
}

/// Apache Kafka means to refuse them in words, and hangs up by a fault of its own.
#[test]
fn where_apache_kafka_hangs_up_without_a_word_nobody_is_let_in_either() {
    same_secured(LIFETIMES_MS[0], |client| {
        let nameless = jwt("{}", &format!(r#"{{"sub":"alice","exp":{LATE}}}"#));
        let messages = [format!("n,,\u{1}auth=Basic {}\u{1}\u{1}", until(LATE)), first(&nameless)];
        let is_served = |message: String| talks(client, "served", &[message.as_bytes(), GO_ON]).ends_with("served");
        messages.map(is_served).map(|is_served| is_served.to_string()).to_vec()
    });
}
