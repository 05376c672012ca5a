//! What must not keep records from being delivered, or from failing at once and with the right cause.

use super::rig::{Rig, Says, TOPIC, failure, is_pending, offset};
use crate::{
    Persisted,
    accumulator::TopicState,
    error::{ErrorCode, FailureKind},
    sender::Event,
    wire::testing,
};

/// Breaks all connections, and has these ports refuse others.
fn cut_all(rig: &mut Rig, refuses: &[u16]) {
    rig.refuses = refuses.to_vec();
    rig.open.clone().into_iter().for_each(|(connection, _)| rig.cut(connection, None));
}

/// KAFKA-8206, confluent-kafka-python#990.
#[test]
fn when_no_known_broker_can_be_reached_the_bootstrap_servers_are_asked_where_all_are_now() {
    for uptime_ms in [1_000, 4 * 3_600_000] {
        let mut rig = Rig::ready(&[]);
        rig.push(0, "connects broker 1");
        rig.ack(0);
        rig.pass_ms(uptime_ms);
        rig.accumulator.topics().want(TOPIC);
        rig.run();
        cut_all(&mut rig, &[9001, 9002]);
        rig.brokers = vec![(1, 9011), (2, 9012)];
        let delivery = rig.send(0, "a");
        rig.pass_ms(1_000);
        // The rig tells brokers apart by their ports.
        let sent = rig.take();
        assert_eq!(sent.node, 11);
        rig.answer_all(&sent, 0, 7);
        assert_eq!(offset(&delivery), Some(7), "after {uptime_ms} ms");
    }
}

#[test]
fn without_recovery_only_the_known_brokers_are_tried() {
    let mut rig = Rig::ready(&[("metadata.recovery.strategy", "none"), ("metadata.max.age.ms", "5000")]);
    rig.push(0, "connects broker 1");
    rig.ack(0);
    rig.pass_ms(11_000);
    cut_all(&mut rig, &[9001, 9002]);
    rig.brokers = vec![(1, 9011), (2, 9012)];
    rig.push(0, "a");
    rig.pass_ms(60_000);
    assert!(rig.sent.is_empty());
}

#[test]
fn of_many_brokers_that_are_silent_three_are_tried_before_the_bootstrap_servers() {
    let mut rig = Rig::new(&[]);
    rig.brokers = (1..=100).map(|id| (id, 9_000 + u16::try_from(id).unwrap())).collect();
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    rig.silent = (9_001..=9_100).collect();
    let asked = rig.metadata_requests;
    cut_all(&mut rig, &[]);
    rig.push(0, "a");
    rig.pass_ms(4_500);
    assert!(rig.metadata_requests > asked, "{} connections were tried", rig.dials);
}

#[test]
fn a_known_broker_that_is_back_where_it_was_is_found_as_well() {
    let mut rig = Rig::ready(&[]);
    cut_all(&mut rig, &[9000, 9001, 9002]);
    let delivery = rig.send(0, "a");
    rig.pass_ms(20_000);
    rig.refuses = vec![9000];
    rig.pass_ms(2_000);
    rig.ack(3);
    assert_eq!(offset(&delivery), Some(3));
}

/// aiokafka#288, rskafka#84.
#[test]
fn one_bad_answer_takes_nothing_from_a_topic_in_use_whatever_its_error_is() {
    for code in -1..=133 {
        let mut rig = Rig::ready(&[("metadata.max.age.ms", "5000")]);
        rig.topic_error = code;
        rig.pass_ms(5_001);
        let state = rig.accumulator.topics().state(TOPIC);
        assert!(matches!(state, Some(TopicState::Ready(_))), "{code}: {state:?}");
        let delivery = rig.send(0, "a");
        rig.ack(0);
        assert_eq!(offset(&delivery), Some(0), "{code}");
        let asked = rig.metadata_requests;
        rig.topic_error = 0;
        rig.pass_ms(1_000);
        assert_eq!(rig.metadata_requests > asked, code != 0, "{code}: it is asked for again soon");
    }
}

#[test]
fn a_new_topic_is_refused_at_once_only_where_waiting_is_of_no_use() {
    for code in (-1..=133).filter(|code| *code != 0) {
        let mut rig = Rig::new(&[]);
        rig.topic_error = code;
        rig.accumulator.topics().want(TOPIC);
        rig.run();
        let state = rig.accumulator.topics().state(TOPIC);
        let refused = matches!(state, Some(TopicState::Refused(ErrorCode(told))) if told == code);
        let awaited = matches!(state, Some(TopicState::Awaited(Some(ErrorCode(told)))) if told == code);
        assert_eq!((refused, awaited), ([17, 29].contains(&code), ![17, 29].contains(&code)), "{code}");
        rig.topic_error = 0;
        rig.pass_ms(1_500);
        assert_eq!(matches!(rig.accumulator.topics().state(TOPIC), Some(TopicState::Ready(_))), awaited, "{code}");
    }
}

/// KIP-219: the broker answers at once, and reads nothing more of this client for as long as it says.
#[test]
fn the_time_that_a_broker_throttles_does_not_count_against_the_request_timeout() {
    let mut rig = Rig::ready(&[("request.timeout.ms", "1000")]);
    rig.push(0, "proves the leader");
    rig.ack(0);
    let deliveries = [rig.send(0, "a"), rig.send(0, "b")];
    let [first, second] = [rig.take(), rig.take()];
    let throttled = |rig: &Rig, sent: &super::rig::Sent, throttle_ms| {
        let says = [Says { base_offset: i64::from(sent.batches[0].stamp.base_sequence), ..Says::default() }];
        testing::throttled(12, (sent.correlation, throttle_ms), (TOPIC, rig.topic_id), &says)
    };
    let frame = throttled(&rig, &first, 5_000);
    rig.event(Event::Frame { connection: first.connection, frame });
    rig.pass_ms(4_900);
    let held = rig.send(0, "held back");
    assert!(rig.sent.is_empty() && is_pending(&held));
    rig.pass_ms(1_000);
    assert!(rig.disconnected.is_empty());
    assert_eq!((offset(&deliveries[0]), is_pending(&deliveries[1])), (Some(1), true));
    let third = rig.send(0, "c");
    assert_eq!(rig.sent.len(), 2, "the throttle is over");
    let frame = throttled(&rig, &second, 0);
    rig.event(Event::Frame { connection: second.connection, frame });
    rig.run();
    assert_eq!(offset(&deliveries[1]), Some(2));
    rig.ack(3);
    rig.ack(4);
    assert_eq!((offset(&held), offset(&third)), (Some(3), Some(4)));
    // The control: a broker that throttles nobody and is silent is left.
    rig.push(0, "d");
    let connection = rig.sent[0].connection;
    rig.pass_ms(1_001);
    assert!(rig.disconnected.contains(&connection));
}

#[test]
fn a_record_that_expires_while_its_broker_throttles_says_so() {
    let mut rig = Rig::ready(&[("request.timeout.ms", "1000"), ("delivery.timeout.ms", "3000")]);
    rig.throttle(1, 60_000);
    let delivery = rig.send(0, "a");
    rig.pass_ms(1_000);
    rig.throttle(1, 60_000);
    rig.pass_ms(2_001);
    let error = failure(&delivery);
    assert_eq!((error.code(), error.persisted()), (ErrorCode::THROTTLING_QUOTA_EXCEEDED, Persisted::No), "{error}");
    assert!(error.to_string().contains("broker 1 throttles this client"), "{error}");
}

#[test]
fn a_refused_producer_id_fails_what_waits_for_it_at_once_and_with_the_brokers_code() {
    for (code, fails) in [(31, true), (53, true), (35, true), (-1, false), (14, false), (15, false), (7, false)] {
        let mut rig = Rig::new(&[("delivery.timeout.ms", "9000"), ("request.timeout.ms", "1000")]);
        rig.init_error = code;
        rig.accumulator.topics().want(TOPIC);
        rig.run();
        let deliveries = [rig.append(0, "a"), rig.append(0, "b"), rig.append(1, "c")];
        rig.pass_ms(1_500);
        for delivery in &deliveries {
            assert_eq!(!is_pending(delivery), fails, "{code}");
        }
        rig.pass_ms(9_000);
        let kind = if fails { FailureKind::Rejected } else { FailureKind::Expired };
        for delivery in &deliveries {
            let error = failure(delivery);
            assert_eq!((error.kind(), error.code()), (kind, ErrorCode(code)), "{error}");
            assert_eq!((error.persisted(), error.attempts()), (Persisted::No, 0));
            assert_eq!(error.retriable(), !fails || ErrorCode(code).retriable(), "{error}");
        }
        assert!(rig.sent.is_empty());
        // When it is granted, the producer goes on.
        rig.init_error = 0;
        let granted = rig.send(0, "d");
        rig.pass_ms(1_500);
        rig.ack(0);
        assert_eq!(offset(&granted), Some(0), "{code}");
    }
}

#[test]
fn a_record_that_expires_tells_the_code_of_what_kept_it() {
    let timeouts = [("delivery.timeout.ms", "3000"), ("request.timeout.ms", "1000")];
    let mut rig = Rig::ready(&timeouts);
    cut_all(&mut rig, &[9000, 9001, 9002]);
    let unreachable = rig.send(0, "a");
    rig.pass_ms(3_001);
    assert_eq!(failure(&unreachable).code(), ErrorCode::NETWORK_EXCEPTION);
    let mut rig = Rig::ready(&timeouts);
    let [tried, behind] = [rig.send(0, "a"), rig.send(0, "b")];
    for _ in 0..10 {
        if !rig.sent.is_empty() {
            rig.refuse(19);
        }
        rig.pass_ms(300);
    }
    rig.pass_ms(1_000);
    assert_eq!([failure(&tried).code(), failure(&behind).code()], [ErrorCode::NOT_ENOUGH_REPLICAS; 2]);
}

/// A process that was stopped for longer than `delivery.timeout.ms`, while its responses came.
#[test]
fn what_waits_in_the_sockets_of_a_stopped_process_is_read_before_anything_is_judged() {
    for stopped_ms in [4_000, 30_000, 130_000, 90_000_000] {
        let mut rig = Rig::ready(&[]);
        let delivery = rig.send(0, "a");
        let sent = rig.take();
        let says = [Says { base_offset: 5, ..Says::default() }];
        let frame = testing::produce(12, sent.correlation, (TOPIC, rig.topic_id), &says, &[]);
        rig.unread.push((sent.connection, frame));
        rig.now += std::time::Duration::from_millis(stopped_ms);
        rig.sender.handle_timeout(rig.now);
        rig.run();
        if stopped_ms >= 30_000 {
            assert_eq!(offset(&delivery), Some(5), "stopped for {stopped_ms} ms");
            assert!(!rig.disconnected.contains(&sent.connection));
        } else {
            assert!(is_pending(&delivery), "nothing was due, and nothing had to be read");
        }
    }
}

#[test]
fn what_has_no_answer_when_all_was_read_is_judged_as_ever() {
    let mut rig = Rig::ready(&[]);
    let delivery = rig.send(0, "a");
    rig.now += std::time::Duration::from_secs(130);
    rig.sender.handle_timeout(rig.now);
    rig.run();
    let error = failure(&delivery);
    assert_eq!((error.kind(), error.persisted()), (FailureKind::Expired, Persisted::Unknown));
}

#[test]
fn a_connection_that_never_says_that_it_was_read_is_waited_for_a_second() {
    let mut rig = Rig::ready(&[]);
    let delivery = rig.send(0, "a");
    rig.reads = false;
    rig.now += std::time::Duration::from_secs(130);
    rig.sender.handle_timeout(rig.now);
    rig.run();
    rig.pass_ms(999);
    assert!(is_pending(&delivery));
    rig.pass_ms(1);
    assert_eq!(failure(&delivery).kind(), FailureKind::Expired);
}

#[test]
fn a_topic_that_is_not_there_is_warned_about_with_the_clusters_answer() {
    let lines = super::warnings::heard(|| {
        let mut rig = Rig::new(&[]);
        rig.topic_error = 3;
        rig.accumulator.topics().want(TOPIC);
        rig.pass_ms(10_000);
    });
    let about: Vec<_> = lines.iter().filter(|line| line.contains("does not have this topic")).collect();
    assert_eq!(about.len(), 4, "at 0, 1, 3 and 7 s: {lines:#?}");
    assert!(about.iter().all(|line| line.contains("orders") && line.contains("UNKNOWN_TOPIC_OR_PARTITION")));
}

#[test]
fn a_topic_that_is_refused_is_warned_about_with_who_may_not_do_what() {
    let lines = super::warnings::heard(|| {
        let mut rig = Rig::new(&[]);
        rig.topic_error = 29;
        rig.accumulator.topics().want(TOPIC);
        rig.pass_ms(10_000);
    });
    let about: Vec<_> = lines.iter().filter(|line| line.contains("the topic is refused")).collect();
    assert_eq!(about.len(), 1, "nobody asks again: {lines:#?}");
    assert!(about[0].contains("User:ANONYMOUS may not DESCRIBE topic orders"), "{about:?}");
}
