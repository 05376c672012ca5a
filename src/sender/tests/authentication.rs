//! Who the client is: the first authentication of a connection, later ones, and brokers that refuse.

use super::rig::{Rig, TOPIC, is_pending, offset};
use crate::{accumulator::TopicState, error::ErrorCode};

const PLAIN: [(&str, &str); 4] = [
    ("security.protocol", "SASL_PLAINTEXT"),
    ("sasl.mechanism", "PLAIN"),
    ("sasl.username", "alice"),
    ("sasl.password", "hunter2"),
];

fn wanting() -> Rig {
    let rig = Rig::new(&PLAIN);
    rig.accumulator.topics().want(TOPIC);
    rig
}

fn final_failure(rig: &Rig) -> Option<(ErrorCode, String)> {
    let failure = rig.metadata_failure();
    failure.filter(|failure| failure.is_final).map(|failure| (failure.code, failure.why.to_string()))
}

#[test]
fn each_connection_is_authenticated_before_anything_else_is_requested() {
    let mut rig = wanting();
    rig.mute = vec![36];
    rig.run();
    assert_eq!((rig.metadata_requests, rig.open.len()), (0, 1));
    let mut rig = Rig::ready(&PLAIN);
    let delivery = rig.send(0, "a");
    rig.ack(7);
    assert_eq!(offset(&delivery), Some(7));
    assert_eq!(rig.sasl_messages, rig.open.len());
}

#[test]
fn a_broker_that_refuses_the_password_fails_callers_at_once_and_lets_them_in_when_it_is_mended() {
    let mut rig = wanting();
    rig.sasl_error = 58;
    rig.run();
    let (code, why) = final_failure(&rig).expect("nobody need wait");
    assert_eq!(code, ErrorCode::SASL_AUTHENTICATION_FAILED);
    assert!(why.contains("broker at 127.0.0.1:9000: the broker refused user \"alice\" by PLAIN"), "{why}");
    assert!(!why.contains("hunter2"), "{why}");
    rig.pass_ms(5_000);
    assert!(rig.dials < 20, "{} connections in five seconds", rig.dials);
    rig.sasl_error = 0;
    rig.pass_ms(2_000);
    assert_eq!(final_failure(&rig), None);
    assert!(matches!(rig.accumulator.topics().state(TOPIC), Some(TopicState::Ready(_))));
}

#[test]
fn a_certificate_that_is_not_trusted_fails_callers_at_once_and_a_closed_port_does_not() {
    for refuses_tls in [true, false] {
        let mut rig = Rig::new(&[]);
        (rig.refuses, rig.refuses_tls) = (vec![9000], refuses_tls);
        rig.accumulator.topics().want(TOPIC);
        rig.run();
        assert_eq!(final_failure(&rig).is_some(), refuses_tls);
        rig.refuses.clear();
        rig.pass_ms(2_000);
        assert_eq!(final_failure(&rig), None);
        assert!(matches!(rig.accumulator.topics().state(TOPIC), Some(TopicState::Ready(_))));
    }
}

#[test]
fn a_mechanism_that_is_not_enabled_is_named_with_those_that_are() {
    let mut rig = wanting();
    rig.handshake_error = 33;
    rig.run();
    let (code, why) = final_failure(&rig).expect("nobody need wait");
    assert_eq!(code, ErrorCode::UNSUPPORTED_SASL_MECHANISM);
    assert!(why.contains("has not enabled PLAIN on this listener: it has SCRAM-SHA-256"), "{why}");
}

#[test]
fn a_listener_without_sasl_is_recognised() {
    let mut rig = wanting();
    rig.ranges.retain(|(key, ..)| *key != 17);
    rig.run();
    let (code, why) = final_failure(&rig).expect("nobody need wait");
    assert_eq!(code, ErrorCode::ILLEGAL_SASL_STATE);
    assert!(why.contains("check security.protocol"), "{why}");
}

#[test]
fn a_listener_that_ends_the_connection_of_a_client_without_credentials_is_explained() {
    let mut rig = Rig::new(&[]);
    rig.mute = vec![3, 22];
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    let connection = rig.open[0].0;
    rig.cut(connection, Some(i32::MAX));
    let why = || rig.metadata_failure().unwrap().why.to_string();
    assert!(why().contains("cut before it served anything (a listener that wants SASL does so"), "{}", why());
    let mut rig = Rig::ready(&[]);
    rig.push(0, "a");
    let connection = rig.ack(0).connection;
    rig.push(0, "b");
    rig.cut(connection, Some(i32::MAX));
    let why = rig.metadata_failure().unwrap().why.to_string();
    assert!(!why.contains("SASL"), "{why}");
}

#[test]
fn what_waits_for_a_broker_that_refuses_is_sent_when_it_does_not_any_more() {
    let mut rig = Rig::ready(&PLAIN);
    let first = rig.send(0, "a");
    let connection = rig.take().connection;
    rig.sasl_error = 58;
    rig.cut(connection, None);
    rig.pass_ms(3_000);
    assert!(is_pending(&first) && rig.sent.is_empty());
    rig.sasl_error = 0;
    rig.pass_ms(2_000);
    rig.ack(3);
    assert_eq!(offset(&first), Some(3));
}

#[test]
fn a_session_is_renewed_before_it_ends_with_what_is_in_flight_and_without_a_new_connection() {
    let mut rig = Rig::new(&PLAIN);
    rig.session_ms = 10_000;
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    let mut deliveries = Vec::new();
    for round in 0..40 {
        deliveries.push(rig.send(0, "a"));
        rig.pass_ms(500);
        rig.ack(round);
        rig.pass_ms(500);
    }
    assert_eq!(
        deliveries.iter().map(|delivery| offset(delivery).unwrap()).collect::<Vec<_>>(),
        (0..40).collect::<Vec<_>>()
    );
    assert_eq!((rig.dials, rig.disconnected.len()), (2, 0), "the bootstrap server and the leader");
    let renewed = rig.sasl_messages - rig.dials;
    assert!((4..=5).contains(&renewed), "{renewed} times in 40 s");
}

#[test]
fn while_a_session_is_renewed_nothing_new_is_sent_and_what_is_in_flight_is_answered() {
    let mut rig = Rig::new(&PLAIN);
    rig.session_ms = 10_000;
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    let first = rig.send(0, "a");
    rig.pass_ms(9_600);
    let second = rig.send(0, "b");
    assert_eq!(rig.sent.len(), 1, "the response to the handshake comes behind that to the first batch");
    rig.ack(0);
    assert_eq!((offset(&first), rig.sent.len()), (Some(0), 1));
    rig.ack(1);
    assert_eq!(offset(&second), Some(1));
}

#[test]
fn a_renewal_that_is_refused_ends_the_connection_and_no_record() {
    let mut rig = Rig::new(&PLAIN);
    rig.session_ms = 10_000;
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    let first = rig.send(0, "a");
    rig.pass_ms(5_000);
    rig.ack(0);
    assert_eq!(offset(&first), Some(0));
    rig.pass_ms(4_600);
    rig.sasl_error = 58;
    let second = rig.send(0, "b");
    rig.pass_ms(1_000);
    assert!(is_pending(&second) && !rig.disconnected.is_empty());
    (rig.sasl_error, rig.session_ms) = (0, 0);
    rig.pass_ms(2_000);
    rig.ack(1);
    assert_eq!(offset(&second), Some(1));
}

#[test]
fn a_connection_that_nobody_uses_is_not_authenticated_again() {
    let mut rig = Rig::new(&[&PLAIN[..], &[("metadata.max.age.ms", "1000000")]].concat());
    rig.session_ms = 10_000;
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    let before = rig.sasl_messages;
    rig.pass_ms(100_000);
    assert_eq!(rig.sasl_messages, before);
}
