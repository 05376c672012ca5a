//! Tokens, what a broker says of one, what a provider answers, and the broker's side of OAUTHBEARER and of the other mechanisms.
//!
//! Nothing panics or takes much memory. A token that is read expires after 1970 and before the year 10000, and is of the characters of RFC 6750; an
//! error repeats no part of it. Only what is listed, or valid and without a signature, is let in.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::input::Input;
use crate::{
    oauth::Token,
    sasl::{
        Credentials, Mechanism,
        server::{Users, Verdict, Verification},
    },
};

/// A part of a token that must not be in an error.
const MARK: &str = "hunter2hunter2";
const NOW_MS: i64 = 1_700_000_000_000;
const LATEST: Duration = Duration::from_secs(253_402_300_800);

/// The target.
pub fn tokens(data: &[u8]) {
    let mut input = Input::new(data);
    match input.below(5) {
        0 => jwt(&String::from_utf8_lossy(input.rest())),
        1 => jwt(&format!("e30.{}.{MARK}", String::from_utf8_lossy(input.rest()))),
        2 => answered(input.rest()),
        3 => provider(input.rest()),
        _ => broker(&mut input),
    }
}

fn jwt(text: &str) {
    match Token::jwt(text) {
        Ok(token) => {
            assert!(!token.owner().is_empty() && token.value().reveal() == text);
            let end = token.life(SystemTime::UNIX_EPOCH).1;
            assert!(end <= LATEST, "{end:?}");
            assert!(!format!("{token:?}").contains(text));
        }
        Err(error) => assert!(!error.to_string().contains(MARK), "{error}"),
    }
}

/// A broker's message to a client with a token.
fn answered(message: &[u8]) {
    let token = Token::new(MARK, SystemTime::UNIX_EPOCH).expect("a token");
    let credentials = Credentials::of_token(&token, None);
    let (mut exchange, first) = credentials.begin(1);
    assert!(first.ends_with(b"\x01\x01"));
    let next = exchange.answer(&credentials, message);
    assert_eq!(next, Ok((!message.is_empty()).then(|| vec![1])));
    assert_eq!(exchange.refused().is_some(), !message.is_empty());
    if !message.is_empty() {
        assert!(exchange.answer(&credentials, b"").is_err(), "who is refused is not let in");
    }
}

#[cfg(feature = "oidc")]
fn provider(body: &[u8]) {
    crate::oauth::fuzz_answer(body);
}

#[cfg(not(feature = "oidc"))]
fn provider(_: &[u8]) {}

fn broker(input: &mut Input<'_>) {
    let mut users = Users::default();
    users.set("alice", MARK, Mechanism::ALL);
    users.tokens.insert("bob", MARK);
    let mechanisms: Vec<Mechanism> = Mechanism::ALL.iter().copied().chain([Mechanism::OauthBearer]).collect();
    let mechanism = input.one_of(&mechanisms);
    let mut verification = Verification::new(mechanism, 1);
    let half = input.byte();
    let rest = input.rest();
    let (first, second) = rest.split_at(usize::from(half).min(rest.len()));
    for message in [first, second] {
        match verification.take(&users, NOW_MS, message) {
            Ok(Verdict::Known(user, _)) => {
                assert!(!user.is_empty());
                let is_listed = ["alice", "bob"].map(Arc::from).contains(&user);
                assert!(is_listed || verification.until_ms().is_some_and(|until| until > NOW_MS), "{user}");
                return;
            }
            Ok(Verdict::GoesOn(_)) => {}
            Err(_) => return,
        }
    }
}
