//! Connections that are lost, idle or silent, or lead to the wrong broker.

use super::super::rig::{Rig, TOPIC, failure, is_pending, offset};
use crate::{ErrorCode, FailureKind, accumulator::TopicState, delivery::Delivery, sender::Event, wire::testing};

/// franz-go dd869343, 67ef4c61: a connection without acknowledgements was probed with a request that has a response; two readers
/// waited on it for ever, and closing it twice panicked.
#[test]
fn with_acks_0_responses_to_other_requests_are_matched_and_a_second_disconnect_is_ignored() {
    let mut rig = Rig::new(&[("acks", "0"), ("enable.idempotence", "false"), ("metadata.max.age.ms", "5000")]);
    (rig.brokers, rig.leaders) = (vec![(1, 9001)], vec![(0, 1, 5)]);
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    rig.push(0, "proves the leader");
    rig.ack(0);
    let delivery = rig.send(0, "a");
    let (sent, asked, ended) = (rig.take(), rig.metadata_requests, rig.disconnected.len());
    rig.pass_ms(6_000);
    assert!(rig.metadata_requests > asked, "over the same connection, the only one");
    assert!(rig.disconnected.len() == ended && is_pending(&delivery));
    rig.event(Event::Written { connection: sent.connection, correlation: sent.correlation });
    assert_eq!(offset(&delivery), None);
    rig.cut(sent.connection, None);
    rig.cut(sent.connection, None);
    rig.push(0, "b");
    rig.pass_ms(2_000);
    assert_eq!(rig.sent.len(), 1);
}

/// franz-go e8a00cd6: a connection that was idle for longer than the broker allows was used again, and the first request on it was
/// lost. Brokers close a connection after ten minutes by default, so milena closes it after nine.
#[test]
fn an_idle_connection_is_closed_before_the_broker_closes_it() {
    let mut rig = Rig::ready(&[]);
    rig.push(1, "a");
    let before = rig.ack(0).connection;
    rig.pass_ms(599_999);
    assert!(rig.disconnected.contains(&before));
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    let delivery = rig.send(1, "b");
    let sent = rig.ack(1);
    assert_eq!((sent.connection == before, offset(&delivery)), (false, Some(1)));
}

/// franz-go 8762d567: a request of which no byte was written failed as one that the broker may have received. The broker has
/// certainly not received it, so it is sent again whatever `retries` is.
#[test]
fn a_request_of_which_nothing_was_written_is_sent_again_even_without_retries() {
    let mut rig = Rig::ready(&[("enable.idempotence", "false"), ("retries", "0")]);
    let delivery = rig.send(0, "a");
    let sent = rig.sent[0].clone();
    rig.cut(sent.connection, None);
    rig.pass_ms(2_000);
    assert_eq!(rig.ack(3).batches, sent.batches);
    assert_eq!(offset(&delivery), Some(3));
}

/// franz-go c0f89d33: each connection that was reset while versions were negotiated leaked: it stayed open and counted.
#[test]
fn connections_that_are_reset_while_versions_are_negotiated_leave_nothing_behind() {
    let mut rig = Rig::new(&[]);
    rig.mute = vec![18];
    for dials in 1..=50 {
        rig.pass_ms(2_000);
        assert_eq!((rig.open.len(), rig.sender.links.connections.len()), (1, 1), "at connection {dials}");
        rig.cut(rig.open[0].0, None);
        assert!(rig.open.is_empty() && rig.sender.links.connections.is_empty());
        assert!(rig.sender.links.nodes.values().all(|node| node.in_flight.is_empty()));
    }
    rig.mute.clear();
    rig.accumulator.topics().want(TOPIC);
    rig.pass_ms(2_000);
    assert!(matches!(rig.accumulator.topics().state(TOPIC), Some(TopicState::Ready(_))));
}

/// KAFKA-20237: InitProducerId was lost together with its connection, and the producer waited for the response for ever.
#[test]
fn a_producer_id_whose_request_was_lost_is_requested_again() {
    let ways: [fn(&mut Rig); 3] =
        [|rig| rig.cut(rig.open[0].0, Some(i32::MAX)), |rig| rig.cut(rig.open[0].0, None), |rig| rig.pass_ms(1_000)];
    for lost in ways {
        let mut rig = Rig::new(&[("request.timeout.ms", "1000")]);
        rig.mute = vec![22];
        rig.accumulator.topics().want(TOPIC);
        rig.run();
        let delivery = rig.send(0, "a");
        lost(&mut rig);
        assert!(rig.sent.is_empty() && is_pending(&delivery), "nothing is sent without a producer id");
        rig.mute.clear();
        rig.pass_ms(2_500);
        rig.ack(0);
        assert_eq!(offset(&delivery), Some(0));
    }
}

/// librdkafka before 1.9.0: `PRODUCER_FENCED` was handled as retriable, and the producer seemed to hang.
#[test]
fn a_fenced_batch_fails_at_once_and_nothing_more_is_sent() {
    let mut rig = Rig::ready(&[]);
    let fenced = [rig.send(0, "a"), rig.send(1, "b"), rig.send(0, "c")];
    rig.refuse(90);
    let kinds = fenced.each_ref().map(|delivery: &Delivery| (failure(delivery).kind(), failure(delivery).code()));
    assert_eq!(kinds, [(FailureKind::Fatal, ErrorCode::PRODUCER_FENCED); 3]);
    rig.sent.clear();
    rig.pass_ms(60_000);
    assert!(rig.sent.is_empty());
    assert!(rig.accumulator.is_closed());
}

/// kafka-go #1439: a broker that advertises `localhost` sent a client on another machine to whatever listened there, whose first
/// four bytes were taken for a length. The error must name the setting.
#[test]
fn a_remote_broker_that_advertises_localhost_is_named_as_the_cause() {
    let timeouts = ("delivery.timeout.ms", "2000");
    for (bootstrap, expected) in [("kafka.example:9000", true), ("127.0.0.1:9000", false)] {
        let properties = [("bootstrap.servers", bootstrap), timeouts, ("request.timeout.ms", "1000")];
        let mut rig = Rig::new(&properties);
        rig.refuses = vec![9001, 9002];
        rig.accumulator.topics().want(TOPIC);
        rig.run();
        let delivery = rig.send(0, "a");
        rig.pass_ms(2_001);
        let error = failure(&delivery).to_string();
        assert_eq!(error.contains("advertised.listeners"), expected, "{error}");
    }
}

/// franz-go c0f89d33, and Azure Event Hubs: a broker that does not support our version of ApiVersions may end the connection
/// instead of responding. The next request is in the oldest version.
#[test]
fn a_broker_that_ends_the_connection_on_api_versions_receives_it_in_its_oldest_version() {
    let mut rig = Rig::new(&[]);
    rig.mute = vec![18];
    rig.run();
    rig.cut(rig.open[0].0, Some(i32::MAX));
    rig.pass_ms(2_000);
    let frame = testing::api_versions(0, 1, 0, &rig.ranges);
    rig.mute.clear();
    rig.event(Event::Frame { connection: rig.open[0].0, frame });
    rig.run();
    assert_eq!(rig.metadata_requests, 1);
}
