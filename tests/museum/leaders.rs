//! Metadata, hints, and leaders that move.

use super::{
    super::rig::{Rig, Says, TOPIC, TOPIC_ID, failure, is_pending, offset},
    request_after,
};
use crate::{ErrorCode, FailureKind, accumulator::TopicState, cluster::TopicId, sender::Event, wire::testing};

fn moved(leader: (i32, i32)) -> Says {
    Says { error: 6, base_offset: -1, leader: Some(leader), ..Says::default() }
}

/// franz-go af5abf66: the addresses that come with a hint (KIP-951) were taken for the whole cluster, and the connections to all
/// brokers that they did not name were destroyed.
#[test]
fn a_hint_leaves_the_other_brokers_and_their_connections_alone() {
    let mut rig = Rig::ready(&[]);
    rig.push(1, "connects broker 2");
    let second = rig.ack(0).connection;
    rig.push(0, "a");
    rig.mute = vec![3];
    let sent = rig.take();
    rig.answer_from(&sent, &[moved((3, 6))], &[(3, 9003)]);
    assert_eq!(rig.take().node, 3);
    assert!(![sent.connection, second].iter().any(|connection| rig.disconnected.contains(connection)));
    rig.push(1, "goes over the same connection");
    assert_eq!(rig.take().connection, second);
}

/// franz-go 8d9c836b: cached metadata pointed into the response's buffer, which was used again for the next response. In Rust
/// nothing can be overwritten, but a buffer with references to it would stay in memory, so cached metadata must be a copy.
#[test]
fn cached_metadata_does_not_hold_the_buffer_of_its_response() {
    let mut rig = Rig::new(&[]);
    rig.mute = vec![3, 22];
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    let metadata = testing::metadata(13, 1, &rig.brokers, &[(TOPIC, TOPIC_ID, 0, rig.leaders.clone())]);
    rig.event(Event::Frame { connection: rig.open[0].0, frame: metadata.clone() });
    assert!(metadata.is_unique());
    rig.mute.clear();
    rig.pass_ms(31_000);
    let delivery = rig.send(0, "a");
    let sent = rig.take();
    let says = Says { error: 87, base_offset: -1, refused: vec![(0, "no key")], ..Says::default() };
    let response = testing::produce(12, sent.correlation, (TOPIC, TOPIC_ID), &[says], &[(3, 9003)]);
    rig.event(Event::Frame { connection: sent.connection, frame: response.clone() });
    assert_eq!(failure(&delivery).cause(), Some("no key"));
    assert!(response.is_unique());
}

/// franz-go 7ca4b971: a partition without a leader has epoch -1. The client stored it, so the previous leader seemed new again.
#[test]
fn a_partition_without_a_leader_does_not_accept_an_older_leader() {
    let mut rig = Rig::ready(&[("metadata.max.age.ms", "60000")]);
    rig.leaders[0] = (0, -1, -1);
    rig.pass_ms(61_000);
    let delivery = rig.send(0, "a");
    rig.leaders[0] = (0, 2, 4);
    rig.pass_ms(5_000);
    assert!(rig.sent.is_empty() && is_pending(&delivery), "epoch 4 is older than epoch 5");
    rig.leaders[0] = (0, 2, 6);
    rig.pass_ms(5_000);
    assert_eq!(rig.take().node, 2);
}

/// franz-go b7463fd8: Produce 13 names topics by id, but the brokers' Metadata version was too old for ids, so zeros were sent.
#[test]
fn a_topic_without_a_known_id_is_sent_by_name_although_the_broker_supports_ids() {
    for (metadata, expected) in [(9, 12), (12, 13)] {
        let mut rig = Rig::new(&[]);
        rig.ranges = vec![(0, 0, 13), (3, 0, metadata), (18, 0, 4), (22, 0, 5)];
        rig.accumulator.topics().want(TOPIC);
        rig.run();
        rig.push(1, "connects broker 2");
        rig.fill(1, "waits");
        rig.ranges[0].2 = expected;
        let first = rig.take();
        let request = request_after(&mut rig, &first, &[Says { partition: 1, ..Says::default() }]);
        assert_eq!(i16::from_be_bytes([request[6], request[7]]), expected);
        let has = |name: &[u8]| request.windows(name.len()).any(|window| window == name);
        assert_eq!((has(TOPIC.as_bytes()), has(TOPIC_ID.as_bytes())), (expected == 12, expected == 13));
    }
}

/// franz-go 2343cba9: `UNKNOWN_TOPIC_ID` reset the only counter of attempts, so after a topic was recreated the batch was retried
/// for ever without an error.
#[test]
fn a_batch_with_an_unknown_topic_id_fails_as_with_any_other_error() {
    let bounds: [&[(&str, &str)]; 2] =
        [&[("delivery.timeout.ms", "8000"), ("request.timeout.ms", "1000")], &[("retries", "5")]];
    for (properties, kind) in bounds.into_iter().zip([FailureKind::Expired, FailureKind::Rejected]) {
        let mut rig = Rig::new(properties);
        rig.ranges[0] = (0, 0, 13);
        rig.accumulator.topics().want(TOPIC);
        rig.run();
        let delivery = rig.send(0, "a");
        for _ in 0..12 {
            if !rig.sent.is_empty() {
                rig.refuse(100);
            }
            rig.pass_ms(1_000);
        }
        let error = failure(&delivery);
        assert_eq!((error.kind(), error.code()), (kind, ErrorCode::UNKNOWN_TOPIC_ID));
        assert!(rig.sent.is_empty());
    }
}

/// franz-go 2343cba9, the remedy: as soon as metadata has the new id, the batch is sent with it.
#[test]
fn a_batch_for_a_recreated_topic_is_retried_with_the_new_id() {
    let mut rig = Rig::new(&[]);
    rig.ranges[0] = (0, 0, 13);
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    let delivery = rig.send(0, "a");
    rig.refuse(100);
    rig.topic_id = TopicId::from_u128(8);
    rig.leaders = vec![(0, 2, 0), (1, 1, 0)];
    rig.pass_ms(2_000);
    let sent = rig.take();
    rig.answer_all(&sent, 0, 0);
    assert_eq!((sent.node, offset(&delivery)), (2, Some(0)));
}

/// franz-go f8842170: while the only replica of every partition restarted, no partition had a leader, and records failed at once
/// instead of being kept.
#[test]
fn records_are_kept_while_no_partition_at_all_has_a_leader() {
    let mut rig = Rig::new(&[]);
    rig.leaders = vec![(0, -1, -1), (1, -1, -1)];
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    assert!(matches!(rig.accumulator.topics().state(TOPIC), Some(TopicState::Ready(_))));
    let deliveries = [rig.send(0, "a"), rig.send(1, "b")];
    rig.pass_ms(100_000);
    assert!(rig.sent.is_empty() && deliveries.iter().all(is_pending));
    rig.leaders = vec![(0, 1, 0), (1, 2, 0)];
    rig.pass_ms(2_000);
    rig.ack(0);
    rig.ack(0);
    assert_eq!(deliveries.map(|delivery| offset(&delivery)), [Some(0), Some(0)]);
}

/// franz-go c469f3da: requests in flight were counted in a byte. At 256 the count was 0, and batches were sent to the new leader
/// while older ones were in flight to the old one.
#[test]
fn more_than_256_requests_in_flight_are_counted_and_none_is_overtaken_at_another_leader() {
    let mut rig = Rig::new(&[("enable.idempotence", "false"), ("max.in.flight.requests.per.connection", "300")]);
    rig.leaders = (0..=310).map(|partition| (partition, if partition < 310 { 1 } else { 2 }, 5)).collect();
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    rig.push(310, "connects broker 2");
    rig.ack(0);
    (0..310).for_each(|partition| rig.push(partition, "a"));
    assert_eq!(rig.sent.len(), 300);
    rig.leaders = (0..=310).map(|partition| (partition, 2, 6)).collect();
    rig.accumulator.topics().want(TOPIC);
    rig.pass_ms(1_000);
    (0..310).for_each(|partition| rig.push(partition, "b"));
    let early = rig.sent.iter().filter(|sent| sent.node == 2).flat_map(|sent| &sent.batches);
    assert!(early.map(|batch| batch.partition).eq(300..310), "only partitions without a batch in flight");
}

/// franz-go 1623daba: the permission for several batches in flight, which one leader had confirmed, was kept for the next leader,
/// which received two before it had accepted any.
#[test]
fn every_new_leader_has_to_accept_a_batch_before_it_gets_several() {
    let mut rig = Rig::ready(&[("metadata.max.age.ms", "10000")]);
    rig.push(0, "first");
    rig.ack(0);
    for leader in [(0, 2, 6), (0, 1, 7), (0, 1, 8)] {
        rig.leaders[0] = leader;
        rig.pass_ms(11_000);
        (0..4).for_each(|_| rig.push(0, "a"));
        assert_eq!(rig.sent.iter().map(|sent| sent.node).collect::<Vec<_>>(), [leader.1]);
        rig.ack(1);
        (0..4).for_each(|_| rig.push(0, "b"));
        assert_eq!(rig.sent.len(), 5, "now up to five may be in flight");
        (0..5).for_each(|_| drop(rig.ack(2)));
    }
}

/// franz-go 1623daba, the other case: a response of the old leader after the move does not confirm the new leader.
#[test]
fn a_success_at_the_old_leader_does_not_open_the_window_at_the_new_one() {
    let mut rig = Rig::ready(&[("metadata.max.age.ms", "10000")]);
    rig.push(0, "to broker 1");
    rig.leaders[0] = (0, 2, 6);
    rig.pass_ms(11_000);
    rig.ack(0);
    (0..4).for_each(|_| rig.push(0, "to broker 2"));
    assert_eq!(rig.sent.iter().map(|sent| sent.node).collect::<Vec<_>>(), [2]);
}
