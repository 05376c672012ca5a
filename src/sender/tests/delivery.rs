//! From append to outcome, when brokers behave.

use std::time::Duration;

use super::rig::{Rig, Says, failure, is_pending, offset};
use crate::{ErrorCode, FailureKind, Persisted, accumulator::TopicState, sender::Event};

#[test]
fn a_record_is_acknowledged_at_the_offset_that_the_broker_told() {
    let mut rig = Rig::ready(&[]);
    let delivery = rig.send(0, "a");
    assert!(is_pending(&delivery));
    let sent = rig.ack(41);
    assert_eq!((sent.node, sent.stamps()), (1, vec![(0, 0, 0)]));
    assert_eq!(offset(&delivery), Some(41));
}

#[test]
fn sequence_numbers_count_records_and_each_partition_counts_for_itself() {
    let mut rig = Rig::ready(&[("linger.ms", "5")]);
    rig.fill(0, "a");
    rig.fill(0, "b");
    rig.fill(1, "x");
    rig.pass_ms(5);
    assert_eq!(rig.take().stamps(), [(0, 0, 0)]);
    assert_eq!(rig.take().stamps(), [(1, 0, 0)]);
    rig.fill(1, "y");
    rig.pass_ms(5);
    assert!(rig.sent.is_empty(), "nothing is pipelined before the first success");
}

#[test]
fn until_the_first_success_one_batch_is_in_flight_and_then_five() {
    let mut rig = Rig::ready(&[]);
    let first: Vec<_> = (0..9).map(|i| rig.send(0, &i.to_string())).collect();
    assert_eq!(rig.sent.len(), 1, "the rest waits, in one batch");
    rig.ack(0);
    let more: Vec<_> = (0..9).map(|i| rig.send(0, &i.to_string())).collect();
    assert_eq!(rig.sent.len(), 5);
    assert_eq!(rig.sent.iter().map(|sent| sent.batches[0].stamp.base_sequence).collect::<Vec<_>>(), [1, 9, 10, 11, 12]);
    for base in [1, 9, 10, 11, 12, 13] {
        rig.ack(base);
    }
    assert!(first.iter().chain(&more).zip(0..).all(|(delivery, place)| offset(delivery) == Some(place)));
}

#[test]
fn a_batch_stays_open_while_its_lane_is_blocked() {
    let mut rig = Rig::ready(&[]);
    rig.push(0, "a");
    (0..20).for_each(|_| drop(rig.send(0, "b")));
    rig.ack(0);
    assert_eq!(rig.take().batches[0].values.len(), 20);
}

#[test]
fn without_idempotence_a_lane_has_one_batch_in_flight_and_no_sequence() {
    let mut rig = Rig::ready(&[("enable.idempotence", "false")]);
    rig.push(0, "a");
    rig.push(0, "b");
    let sent = rig.ack(0);
    assert_eq!((sent.batches[0].stamp.producer_id, sent.stamps()), (-1, vec![(0, -1, -1)]));
    rig.push(0, "c");
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn with_acks_0_a_record_is_done_when_its_request_was_written_whole() {
    let mut rig = Rig::ready(&[("enable.idempotence", "false"), ("acks", "0")]);
    rig.push(0, "proves the leader");
    rig.ack(0);
    let delivery = rig.send(0, "a");
    let sent = rig.take();
    assert!(is_pending(&delivery));
    rig.event(Event::Written { connection: sent.connection, correlation: sent.correlation });
    rig.run();
    assert_eq!(offset(&delivery), None);
}

#[test]
fn with_acks_0_what_was_written_whole_is_told_by_its_own_number() {
    let mut rig = Rig::ready(&[("enable.idempotence", "false"), ("acks", "0")]);
    rig.leaders = vec![(0, 1, 5), (1, 1, 6)];
    rig.accumulator.topics().want(super::rig::TOPIC);
    rig.pass_ms(2_000);
    [0, 1].into_iter().for_each(|partition| rig.push(partition, "proves the leader"));
    rig.ack(0);
    rig.ack(0);
    let deliveries = [rig.send(0, "a"), rig.send(1, "b")];
    let [_, second] = [rig.take(), rig.take()];
    for (correlation, done) in [(second.correlation + 7, false), (second.correlation, true)] {
        rig.event(Event::Written { connection: second.connection, correlation });
        rig.run();
        assert!(is_pending(&deliveries[0]));
        assert_eq!(!is_pending(&deliveries[1]), done, "{correlation}");
    }
}

#[test]
fn with_acks_0_a_request_that_was_cut_short_is_sent_again() {
    let mut rig = Rig::ready(&[("enable.idempotence", "false"), ("acks", "0")]);
    let delivery = rig.send(0, "a");
    let sent = rig.take();
    rig.cut(sent.connection, None);
    assert!(is_pending(&delivery));
    rig.pass_ms(1_500);
    assert_eq!(rig.take().batches[0].bytes, sent.batches[0].bytes);
}

#[test]
fn a_record_that_no_request_went_out_with_expires_as_certainly_not_written() {
    let mut rig = Rig::ready(&[("delivery.timeout.ms", "2000"), ("request.timeout.ms", "500")]);
    rig.leaders = vec![(0, -1, 6), (1, 2, 5)];
    rig.refuses = vec![9001];
    let connection = rig.open.iter().find(|(_, port)| *port == 9001).map(|(id, _)| *id);
    connection.into_iter().for_each(|connection| rig.cut(connection, None));
    let delivery = rig.send(0, "a");
    rig.pass_ms(1_999);
    assert!(is_pending(&delivery));
    rig.pass_ms(2);
    let error = failure(&delivery);
    assert_eq!((error.kind(), error.persisted(), error.attempts()), (FailureKind::Expired, Persisted::No, 0));
    assert_eq!(error.code(), ErrorCode::LEADER_NOT_AVAILABLE);
    assert!(error.cause().is_some(), "{error}");
}

#[test]
fn what_has_expired_is_answered_at_the_first_look_however_much_it_is() {
    let mut rig = Rig::ready(&[("delivery.timeout.ms", "2000"), ("request.timeout.ms", "500"), ("batch.size", "100")]);
    rig.refuses = vec![9001];
    rig.open.clone().into_iter().for_each(|(connection, _)| rig.cut(connection, None));
    let deliveries: Vec<_> = (0..3).map(|number| rig.append(0, &number.to_string().repeat(60))).collect();
    rig.pass_ms(1_999);
    assert!(deliveries.iter().all(is_pending));
    rig.now += Duration::from_millis(2);
    rig.run();
    assert!(deliveries.iter().all(|delivery| failure(delivery).kind() == FailureKind::Expired));
}

#[test]
fn a_record_that_expires_in_flight_is_answered_at_once_as_unknown() {
    let mut rig = Rig::ready(&[("delivery.timeout.ms", "2000"), ("request.timeout.ms", "1900")]);
    let delivery = rig.send(0, "a");
    rig.pass_ms(1_800);
    rig.cut(rig.sent[0].connection, Some(i32::MAX));
    rig.pass_ms(199);
    assert_eq!(rig.sent.len(), 1, "it was sent again");
    rig.pass_ms(2);
    let error = failure(&delivery);
    assert_eq!((error.kind(), error.persisted(), error.attempts()), (FailureKind::Expired, Persisted::Unknown, 2));
}

#[test]
fn memory_is_all_free_again_when_everything_is_done() {
    let mut rig = Rig::ready(&[("delivery.timeout.ms", "2000"), ("request.timeout.ms", "500")]);
    let all = rig.accumulator.memory().limit();
    (0..40).for_each(|i| drop(rig.send(i % 2, "some value")));
    assert!(rig.accumulator.memory().free() < all);
    rig.ack(0);
    rig.pass(Duration::from_secs(3));
    rig.sent.clear();
    rig.pass(Duration::from_secs(3));
    assert_eq!((rig.accumulator.memory().free(), rig.accumulator.undelivered()), (all, 0));
}

#[test]
fn closing_fails_what_waits_as_not_written_and_what_is_in_flight_as_unknown() {
    let mut rig = Rig::ready(&[]);
    let in_flight = rig.send(0, "a");
    let waiting = rig.send(0, "b");
    rig.sender.close(rig.now);
    assert_eq!(
        (failure(&in_flight).kind(), failure(&in_flight).persisted()),
        (FailureKind::Closed, Persisted::Unknown)
    );
    assert_eq!((failure(&waiting).kind(), failure(&waiting).persisted()), (FailureKind::Closed, Persisted::No));
}

#[test]
fn a_sender_that_is_dropped_leaves_nobody_waiting() {
    let mut rig = Rig::ready(&[]);
    let (in_flight, waiting) = (rig.send(0, "a"), rig.send(0, "b"));
    let accumulator = rig.accumulator.clone();
    drop(rig);
    assert_eq!(
        (failure(&in_flight).kind(), failure(&in_flight).persisted()),
        (FailureKind::Abandoned, Persisted::Unknown)
    );
    assert_eq!((failure(&waiting).kind(), failure(&waiting).persisted()), (FailureKind::Abandoned, Persisted::No));
    assert!(accumulator.is_closed());
    assert_eq!(accumulator.memory().free(), accumulator.memory().limit());
}

#[test]
fn the_broker_names_the_records_it_refuses_and_their_batch_mates_may_go_again() {
    let mut rig = Rig::ready(&[("linger.ms", "5")]);
    let deliveries = [rig.append(0, "good"), rig.append(0, "bad"), rig.append(0, "good")];
    rig.pass_ms(5);
    let sent = rig.take();
    let refused = vec![(1, "no key")];
    rig.respond(&sent, &[Says { error: 87, base_offset: -1, refused, ..Says::default() }]);
    let [mate, guilty, _] = deliveries.map(|delivery| failure(&delivery));
    assert_eq!((guilty.code(), guilty.cause(), guilty.retriable()), (ErrorCode::INVALID_RECORD, Some("no key"), false));
    assert_eq!((mate.persisted(), mate.retriable()), (Persisted::No, true));
    assert_eq!(mate.cause(), Some("the broker refused other records of its batch"));
    rig.fill(0, "next");
    rig.pass_ms(5);
    assert_eq!(rig.take().stamps(), [(0, 0, 0)], "its sequence numbers are free again");
}

#[test]
fn a_batch_that_is_too_large_goes_again_in_parts_with_its_sequence_numbers() {
    let mut rig = Rig::ready(&[("linger.ms", "5")]);
    let deliveries: Vec<_> = (0..4).map(|i| rig.append(0, &format!("value {i}"))).collect();
    rig.pass_ms(5);
    rig.refuse(10);
    let (mut base, mut parts) = (70, 0);
    while !rig.sent.is_empty() {
        let sent = rig.ack(base);
        assert_eq!(sent.stamps(), [(0, 0, i32::try_from(base - 70).unwrap())]);
        base += sent.batches[0].values.len() as i64;
        parts += 1;
    }
    assert!(parts > 1, "{parts}");
    assert_eq!(deliveries.iter().map(|delivery| offset(delivery).unwrap()).collect::<Vec<_>>(), [70, 71, 72, 73]);
    assert_eq!(rig.accumulator.memory().free(), rig.accumulator.memory().limit());
}

#[test]
fn a_single_record_that_is_too_large_fails_and_the_next_one_takes_its_sequence_number() {
    let mut rig = Rig::ready(&[]);
    let delivery = rig.send(0, "large");
    rig.refuse(10);
    let error = failure(&delivery);
    assert_eq!(
        (error.code(), error.persisted(), error.retriable()),
        (ErrorCode::MESSAGE_TOO_LARGE, Persisted::No, false)
    );
    rig.push(0, "small");
    assert_eq!(rig.take().stamps(), [(0, 0, 0)]);
}

#[test]
fn a_fenced_producer_fails_everything_and_refuses_more() {
    let mut rig = Rig::ready(&[]);
    let (first, second) = (rig.send(0, "a"), rig.send(1, "b"));
    rig.refuse(90);
    for delivery in [&first, &second] {
        assert_eq!(
            (failure(delivery).kind(), failure(delivery).code()),
            (FailureKind::Fatal, ErrorCode::PRODUCER_FENCED)
        );
    }
    assert_eq!(rig.accumulator.failure().map(|(code, _)| *code), Some(ErrorCode::PRODUCER_FENCED));
}

#[test]
fn a_topic_that_the_cluster_refuses_is_told_at_once_and_asked_for_again() {
    let mut rig = Rig::new(&[]);
    (rig.topic_error, rig.leaders) = (29, Vec::new());
    rig.accumulator.topics().want(super::rig::TOPIC);
    rig.run();
    let state = |rig: &Rig| rig.accumulator.topics().state(super::rig::TOPIC);
    assert!(matches!(state(&rig), Some(TopicState::Refused(ErrorCode(29)))));
    (rig.topic_error, rig.leaders) = (0, vec![(0, 1, 0)]);
    rig.accumulator.topics().want(super::rig::TOPIC);
    rig.pass_ms(200);
    assert!(matches!(state(&rig), Some(TopicState::Ready(_))));
}

#[test]
fn a_lane_that_is_blocked_does_not_stop_the_others_of_its_broker() {
    let mut rig = Rig::ready(&[]);
    rig.leaders = vec![(0, 1, 5), (1, 1, 6)];
    let refreshed = rig.send(1, "moves partition 1 to broker 1");
    let sent = rig.take();
    rig.respond(&sent, &[Says { partition: 1, error: 6, base_offset: -1, ..Says::default() }]);
    rig.pass_ms(150);
    rig.ack(0);
    assert_eq!(offset(&refreshed), Some(0));
    rig.push(0, "blocks partition 0: it has no success yet");
    rig.push(0, "waits");
    rig.push(1, "goes");
    rig.push(1, "goes");
    assert_eq!(rig.sent.iter().map(|sent| sent.batches[0].partition).collect::<Vec<_>>(), [0, 1, 1]);
}

#[test]
fn a_refusal_without_words_has_no_cause_beside_its_code() {
    let mut rig = Rig::ready(&[]);
    let delivery = rig.send(0, "a");
    rig.refuse(87);
    assert_eq!((failure(&delivery).code(), failure(&delivery).cause()), (ErrorCode::INVALID_RECORD, None));
}
