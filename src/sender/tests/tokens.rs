//! A token says who the client is: it comes late, is replaced, ends, or is refused.

use std::{sync::Arc, time::Duration};

use super::rig::{Rig, TOPIC, is_pending, offset};
use crate::{
    accumulator::TopicState,
    error::ErrorCode,
    sasl::{Credentials, token::Token},
    sender::Event,
};

const TOKENS: [(&str, &str); 3] = [
    ("security.protocol", "SASL_PLAINTEXT"),
    ("sasl.mechanism", "OAUTHBEARER"),
    ("sasl.oauthbearer.token.endpoint.url", "file:///never/read"),
];

fn wanting() -> Rig {
    let rig = Rig::new(&TOKENS);
    rig.accumulator.topics().want(TOPIC);
    rig
}

/// A token that is valid for so long.
fn give(rig: &mut Rig, ms: u64) {
    let token = Token::new("abc", std::time::SystemTime::UNIX_EPOCH).unwrap().principal("alice");
    let credentials = Credentials::of_token(&token, Some(rig.now + Duration::from_millis(ms)));
    rig.event(Event::Token(Ok(Arc::new(credentials))));
    rig.run();
}

fn fail(rig: &mut Rig, why: &str) {
    rig.event(Event::Token(Err(why.into())));
    rig.run();
}

fn is_ready(rig: &Rig) -> bool {
    matches!(rig.accumulator.topics().state(TOPIC), Some(TopicState::Ready(_)))
}

fn final_failure(rig: &Rig) -> Option<String> {
    let failure = rig.metadata_failure().filter(|failure| failure.is_final)?;
    assert_eq!(failure.code, ErrorCode::SASL_AUTHENTICATION_FAILED);
    Some(failure.why.to_string())
}

#[test]
fn no_connection_is_made_until_there_is_a_token() {
    let mut rig = wanting();
    rig.pass_ms(5_000);
    assert_eq!((rig.dials, final_failure(&rig)), (0, None));
    give(&mut rig, 60_000);
    rig.pass_ms(100);
    assert!(is_ready(&rig) && rig.sasl_messages == 1, "the bootstrap server");
}

#[test]
fn callers_need_not_wait_while_there_is_no_token_and_go_on_with_the_first_one() {
    let mut rig = wanting();
    fail(&mut rig, "https://idp: 401");
    assert_eq!(final_failure(&rig).as_deref(), Some("there is no valid token: https://idp: 401"));
    rig.pass_ms(5_000);
    assert_eq!(rig.dials, 0);
    give(&mut rig, 60_000);
    assert_eq!(final_failure(&rig), None);
    rig.pass_ms(100);
    assert!(is_ready(&rig));
}

#[test]
fn the_last_token_is_used_while_another_one_cannot_be_had() {
    let mut rig = wanting();
    give(&mut rig, 60_000);
    rig.pass_ms(1_000);
    fail(&mut rig, "down");
    assert_eq!(final_failure(&rig), None);
    let delivery = rig.send(0, "a");
    rig.pass_ms(100);
    rig.ack(1);
    assert_eq!(offset(&delivery), Some(1));
    assert_eq!(rig.dials, 2, "a new connection as well: the leader's");
}

#[test]
fn a_session_is_used_to_the_end_of_its_token_and_goes_on_with_another_one() {
    let mut rig = wanting();
    give(&mut rig, 10_000);
    rig.pass_ms(100);
    let first = rig.send(0, "a");
    rig.pass_ms(100);
    rig.ack(1);
    assert_eq!(offset(&first), Some(1));
    rig.pass_ms(9_700);
    let second = rig.send(0, "b");
    rig.ack(2);
    assert_eq!(offset(&second), Some(2), "in its last moment");
    let before = rig.sasl_messages;
    rig.pass_ms(200);
    let third = rig.send(0, "c");
    fail(&mut rig, "down");
    rig.pass_ms(5_000);
    assert!(is_pending(&third) && rig.sent.is_empty(), "nothing is sent after its end");
    assert_eq!(rig.sasl_messages, before, "the same token would not help");
    give(&mut rig, 10_000);
    rig.pass_ms(100);
    rig.ack(3);
    assert_eq!((offset(&third), rig.dials, rig.disconnected.len()), (Some(3), 2, 0), "without a new connection");
}

#[test]
fn a_session_is_renewed_with_a_token_that_came_in_time() {
    let mut rig = wanting();
    give(&mut rig, 10_000);
    rig.pass_ms(100);
    rig.push(0, "a");
    rig.pass_ms(8_000);
    rig.ack(0);
    let before = rig.sasl_messages;
    give(&mut rig, 10_000);
    rig.pass_ms(1_600);
    let second = rig.send(0, "b");
    assert!(rig.sasl_messages > before, "before its end");
    rig.ack(1);
    rig.pass_ms(3_000);
    let third = rig.send(0, "c");
    rig.ack(2);
    assert_eq!((offset(&second), offset(&third)), (Some(1), Some(2)), "also after the first token's end");
    assert_eq!((rig.dials, rig.disconnected.len()), (2, 0));
}

#[test]
fn a_record_that_expires_for_want_of_a_token_says_so() {
    let mut rig = Rig::new(&[&TOKENS[..], &[("delivery.timeout.ms", "31000")]].concat());
    rig.accumulator.topics().want(TOPIC);
    give(&mut rig, 10_000);
    rig.pass_ms(11_000);
    let delivery = rig.send(0, "a");
    fail(&mut rig, "https://idp: 503");
    rig.pass_ms(32_000);
    let error = delivery.outcome().unwrap().unwrap_err();
    assert!(error.to_string().contains("there is no valid token: https://idp: 503"), "{error}");
}

#[test]
fn a_token_that_a_broker_refuses_is_replaced_and_the_next_one_is_tried_at_once() {
    let mut rig = wanting();
    rig.sasl_error = 58;
    give(&mut rig, 60_000);
    assert!(final_failure(&rig).unwrap().contains("refused user \"alice\" by OAUTHBEARER"));
    assert_eq!(rig.renewals, 1);
    rig.pass_ms(10_000);
    rig.sasl_error = 0;
    give(&mut rig, 60_000);
    rig.pass_ms(5);
    assert!(is_ready(&rig) && final_failure(&rig).is_none());
}
