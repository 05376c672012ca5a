//! Connections: how long they may take to be made, to answer and to rest.

use super::rig::{Rig, offset};

/// When connections to the only server were begun, in milliseconds since the first, over a minute.
fn dialled_at(rig: &mut Rig) -> Vec<u64> {
    let begun = rig.now;
    let mut dials = Vec::new();
    rig.run();
    for _ in 0..6_000 {
        while dials.len() < rig.dials {
            dials.push(u64::try_from((rig.now - begun).as_millis()).unwrap());
        }
        rig.pass_ms(10);
    }
    dials
}

#[test]
fn a_connection_that_is_not_made_is_given_up_and_each_one_after_it_gets_twice_the_time_up_to_the_maximum() {
    let mut rig = Rig::new(&[
        ("socket.connection.setup.timeout.ms", "1000"),
        ("socket.connection.setup.timeout.max.ms", "3000"),
        ("reconnect.backoff.ms", "0"),
        ("reconnect.backoff.max.ms", "0"),
    ]);
    rig.silent = vec![9000];
    let dials = dialled_at(&mut rig);
    let waits: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (wait, expected) in waits.iter().zip([1_000, 2_000, 3_000, 3_000, 3_000]) {
        assert!((expected * 8 / 10..=(expected * 12 / 10).min(3_010)).contains(wait), "{waits:?}");
    }
    assert!(waits.iter().any(|wait| wait % 1_000 > 10), "20 % more or less: {waits:?}");
    let trouble = rig.metadata_failure();
    assert!(trouble.is_some_and(|failure| failure.why.contains("socket.connection.setup.timeout.ms")));
}

#[test]
fn a_connection_that_was_lost_gives_the_next_one_no_more_time_to_be_made() {
    let mut rig = Rig::ready(&[("socket.connection.setup.timeout.ms", "1000")]);
    for _ in 0..5 {
        rig.push(0, "a");
        let sent = rig.ack(0);
        rig.cut(sent.connection, None);
        rig.pass_ms(2_000);
    }
    rig.silent = vec![9000, 9001, 9002];
    rig.open.clone().into_iter().for_each(|(connection, _)| rig.cut(connection, None));
    rig.push(0, "b");
    let before = rig.disconnected.len();
    rig.pass_ms(1_350);
    assert!(rig.disconnected.len() > before, "given up within 1,000 ms and a fifth, and a backoff before it");
}

#[test]
fn a_broker_that_does_not_say_what_it_speaks_is_left_after_the_request_timeout() {
    let mut rig = Rig::new(&[("request.timeout.ms", "1000")]);
    rig.mute = vec![18];
    rig.run();
    let connection = rig.open[0].0;
    rig.pass_ms(999);
    assert!(rig.disconnected.is_empty());
    rig.pass_ms(1);
    assert_eq!(rig.disconnected, [connection]);
    rig.mute.clear();
    rig.pass_ms(1_500);
    assert!(rig.metadata_requests > 0);
}

#[test]
fn a_connection_counts_as_used_from_its_last_request_and_its_last_answer() {
    let mut rig = Rig::ready(&[("connections.max.idle.ms", "10000"), ("metadata.max.age.ms", "1000000")]);
    rig.push(0, "a");
    let used = rig.sent[0].connection;
    rig.pass_ms(6_000);
    rig.ack(0);
    rig.pass_ms(9_999);
    assert!(!rig.disconnected.contains(&used), "its last response came 9,999 ms ago");
    rig.push(0, "b");
    rig.ack(1);
    rig.pass_ms(9_999);
    assert!(!rig.disconnected.contains(&used), "and now the next one");
    rig.pass_ms(1);
    assert!(rig.disconnected.contains(&used));
}

#[test]
fn after_a_connection_was_up_the_next_one_is_tried_after_the_first_backoff_whatever_came_before() {
    let backoff = [("reconnect.backoff.ms", "100"), ("reconnect.backoff.max.ms", "10000")];
    let mut rig = Rig::new(&backoff);
    rig.refuses = vec![9000];
    rig.pass_ms(20_000);
    rig.refuses.clear();
    rig.accumulator.topics().want(super::rig::TOPIC);
    rig.pass_ms(15_000);
    let delivery = rig.send(0, "a");
    let dials = rig.dials;
    rig.cut(rig.sent[0].connection, None);
    rig.pass_ms(121);
    assert_eq!(rig.dials, dials + 1);
    rig.ack(3);
    assert_eq!(offset(&delivery), Some(3));
}

#[test]
fn the_first_request_that_has_no_answer_counts_not_the_last() {
    let mut rig = Rig::ready(&[("request.timeout.ms", "1000")]);
    rig.push(0, "first");
    rig.ack(0);
    rig.push(0, "a");
    let sent = rig.sent[0].clone();
    rig.pass_ms(600);
    rig.push(0, "b");
    rig.pass_ms(399);
    assert!(!rig.disconnected.contains(&sent.connection));
    rig.pass_ms(1);
    assert!(rig.disconnected.contains(&sent.connection));
}
