//! `acks=0`: what is known of records that nobody acknowledges.

use super::rig::{Rig, Sent, is_pending, offset};
use crate::{Ack, delivery::Delivery, sender::Event};

const ACKS_0: [(&str, &str); 2] = [("enable.idempotence", "false"), ("acks", "0")];

fn ack(delivery: &Delivery) -> Ack {
    delivery.outcome().expect("an outcome").expect("acknowledged")
}

fn written(rig: &mut Rig, sent: &Sent) {
    rig.event(Event::Written { connection: sent.connection, correlation: sent.correlation });
    rig.run();
}

/// A rig whose leader of partition 0 has answered once.
fn proven() -> Rig {
    let mut rig = Rig::ready(&ACKS_0);
    rig.push(0, "proves the leader");
    rig.ack(0);
    rig
}

/// Kafka ends a connection over which a request of acks=0 came that it refuses, and all that came behind it is lost.
#[test]
fn a_leader_is_proven_before_a_second_request_is_under_way_to_it() {
    let mut rig = Rig::ready(&ACKS_0);
    let deliveries = [rig.send(0, "a"), rig.send(0, "b")];
    assert_eq!(rig.sent.iter().map(|sent| sent.acks).collect::<Vec<_>>(), [1], "the first one asks for a response");
    rig.refuse(6);
    assert!(is_pending(&deliveries[0]), "it was not lost");
    rig.pass_ms(1_000);
    rig.ack(4);
    assert_eq!((ack(&deliveries[0]).offset(), ack(&deliveries[0]).is_confirmed()), (Some(4), true));
    let sent = rig.take();
    assert_eq!(sent.acks, 0);
    written(&mut rig, &sent);
    assert_eq!((offset(&deliveries[1]), ack(&deliveries[1]).is_confirmed()), (None, false));
}

#[test]
fn a_leader_is_proven_again_after_its_connection_was_lost_and_where_it_moved() {
    let mut rig = proven();
    rig.push(0, "a");
    let sent = rig.take();
    assert_eq!(sent.acks, 0);
    written(&mut rig, &sent);
    rig.cut(sent.connection, Some(i32::MAX));
    rig.pass_ms(1_000);
    rig.push(0, "b");
    assert_eq!(rig.sent[0].acks, 1);
    rig.ack(7);
    rig.leaders = vec![(0, 2, 9), (1, 2, 5)];
    rig.accumulator.topics().want(super::rig::TOPIC);
    rig.pass_ms(2_000);
    rig.push(0, "c");
    assert_eq!((rig.sent[0].node, rig.sent[0].acks), (2, 1));
}

#[test]
fn records_on_a_connection_that_the_broker_ended_are_counted_and_warned_about_unless_a_later_answer_shows_them_taken() {
    for (answered_after, count) in [(false, 3.0), (true, 0.0)] {
        let lines = super::warnings::heard(|| {
            let mut rig = proven();
            let mut connection = 0;
            for value in ["a", "b", "c"] {
                rig.push(0, value);
                let sent = rig.take();
                written(&mut rig, &sent);
                connection = sent.connection;
            }
            if answered_after {
                // Metadata are asked over the same connection, the only one.
                rig.open
                    .clone()
                    .into_iter()
                    .filter(|(open, _)| *open != connection)
                    .for_each(|(open, _)| rig.cut(open, None));
                let asked = rig.metadata_requests;
                rig.accumulator.topics().want(super::rig::TOPIC);
                rig.pass_ms(2_000);
                assert!(rig.metadata_requests > asked);
            }
            rig.cut(connection, Some(i32::MAX));
            assert_eq!(rig.metrics().get("producer-metrics", "record-unconfirmed-total"), Some(count));
        });
        let warned =
            lines.iter().any(|line| line.contains("acks=0 may not have been written") && line.contains("records=3"));
        assert_eq!(warned, count > 0.0, "{lines:#?}");
    }
}

#[test]
fn an_answer_that_does_not_come_is_no_reason_to_send_again() {
    let mut rig = Rig::ready(&ACKS_0);
    let delivery = rig.send(0, "a");
    let sent = rig.take();
    rig.cut(sent.connection, Some(i32::MAX));
    assert!(!ack(&delivery).is_confirmed(), "it went out whole, and acks=0 asks for no more");
    rig.pass_ms(5_000);
    assert!(rig.sent.is_empty());
}

#[test]
fn a_connection_that_was_idle_leaves_nothing_unconfirmed() {
    let idle = [("connections.max.idle.ms", "10000"), ("metadata.max.age.ms", "100000")];
    let mut rig = Rig::ready(&[&ACKS_0[..], &idle].concat());
    rig.push(0, "proves the leader");
    rig.ack(0);
    rig.push(0, "a");
    let sent = rig.take();
    written(&mut rig, &sent);
    rig.pass_ms(10_001);
    assert!(rig.disconnected.contains(&sent.connection));
    assert_eq!(rig.metrics().get("producer-metrics", "record-unconfirmed-total"), Some(0.0));
}
