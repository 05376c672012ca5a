//! What the delivery semantics promise in so many words, each as one scenario: numbers that run out, batches given up in flight,
//! topics created anew, clusters that vanish, and a producer that goes on after every error but one.

use std::{
    pin::pin,
    sync::{Arc, mpsc},
    task::{Context, Waker},
    time::Duration,
};

use super::rig::{Rig, Says, Sent, TOPIC, failure, is_pending, offset};
use crate::{
    ErrorCode, FailureKind, Persisted,
    accumulator::TopicState,
    cluster::TopicId,
    delivery::{Accepted, Callback, Completion, Delivery},
    wire::{errors::TABLE, record_batch::writer::Payload},
};

/// A rig whose partition 0 has come so far with its first producer id, and may have five batches in flight.
fn rig_at(epoch: i16, next_sequence: i32) -> Rig {
    let mut rig = Rig::ready(&[("linger.ms", "5")]);
    rig.push(0, "first");
    rig.pass_ms(5);
    rig.ack(0);
    rig.sender.lanes.come_to(0, epoch, next_sequence);
    rig
}

fn fill_batch(rig: &mut Rig, records: usize) -> Vec<Delivery> {
    let deliveries = (0..records).map(|number| rig.append(0, &format!("value {number}"))).collect();
    rig.pass_ms(5);
    deliveries
}

fn identity(sent: &Sent) -> (i64, i16, i32) {
    let stamp = sent.batches[0].stamp;
    (stamp.producer_id, stamp.epoch, stamp.base_sequence)
}

#[test]
fn after_epoch_32767_a_partition_goes_on_with_a_new_producer_id() {
    let mut rig = rig_at(i16::MAX - 1, 7);
    let old = rig.producer_id;
    let delivery = fill_batch(&mut rig, 1).remove(0);
    rig.refuse(45);
    rig.pass_ms(2_000);
    assert_eq!(identity(&rig.sent[0]), (old, i16::MAX, 0), "the last epoch is used");
    rig.refuse(45);
    rig.pass_ms(2_000);
    assert_eq!(identity(&rig.sent[0]), (old + 1, 0, 0));
    rig.ack(4);
    assert_eq!(offset(&delivery), Some(4));
    fill_batch(&mut rig, 1);
    assert_eq!(identity(&rig.take()), (old + 1, 0, 1));
}

#[test]
fn while_a_new_producer_id_is_awaited_the_other_partitions_go_on_with_the_old_one() {
    let mut rig = rig_at(i16::MAX, 7);
    let old = rig.producer_id;
    rig.push(1, "x");
    rig.pass_ms(5);
    rig.ack(0);
    rig.mute = vec![22];
    fill_batch(&mut rig, 1);
    rig.refuse(45);
    rig.pass_ms(1_000);
    assert!(rig.sent.is_empty(), "there is no epoch left");
    rig.push(1, "y");
    rig.pass_ms(5);
    assert_eq!(identity(&rig.take()), (old, 0, 1));
}

#[test]
fn sequence_numbers_wrap_from_2_147_483_647_to_0_in_the_middle_of_a_batch() {
    let mut rig = rig_at(0, i32::MAX - 1);
    let deliveries = fill_batch(&mut rig, 4);
    assert_eq!(rig.ack(70).stamps(), [(0, 0, i32::MAX - 1)]);
    assert_eq!(deliveries.iter().map(offset).collect::<Vec<_>>(), [70, 71, 72, 73].map(Some));
    fill_batch(&mut rig, 1);
    assert_eq!(rig.take().stamps(), [(0, 0, 2)]);
}

#[test]
fn the_parts_of_a_batch_that_wraps_wrap_where_it_does() {
    let mut rig = rig_at(0, i32::MAX - 1);
    fill_batch(&mut rig, 4);
    rig.refuse(10);
    let (mut records, mut parts) = (0, 0);
    while !rig.sent.is_empty() {
        let sent = rig.ack(70);
        assert_eq!(sent.stamps(), [(0, 0, [i32::MAX - 1, i32::MAX, 0, 1][records])]);
        (records, parts) = (records + sent.batches[0].values.len(), parts + 1);
    }
    assert!(records == 4 && parts > 1, "{records} records in {parts} parts");
}

#[test]
fn a_refused_batch_that_wraps_gives_its_numbers_back() {
    let mut rig = rig_at(0, i32::MAX - 1);
    fill_batch(&mut rig, 4);
    rig.refuse(87);
    fill_batch(&mut rig, 1);
    assert_eq!(rig.take().stamps(), [(0, 0, i32::MAX - 1)]);
}

#[test]
fn a_batch_that_expired_after_it_was_sent_costs_its_partition_one_epoch_once_nothing_is_in_flight() {
    let mut rig = Rig::ready(&[("delivery.timeout.ms", "2000"), ("request.timeout.ms", "1900")]);
    rig.push(1, "other");
    rig.ack(0);
    rig.push(0, "first");
    rig.ack(0);
    let lost = rig.send(0, "lost");
    rig.pass_ms(1_000);
    let late = [rig.send(0, "late"), rig.send(0, "later")];
    let never_sent = {
        let sent = rig.sent[0].clone();
        rig.pass_ms(901);
        assert!(rig.disconnected.contains(&sent.connection), "lost was not answered in time");
        rig.pass_ms(98);
        rig.append(0, "never sent")
    };
    rig.pass_ms(10);
    assert_eq!((failure(&lost).kind(), failure(&lost).persisted()), (FailureKind::Expired, Persisted::Unknown));
    assert!(late.iter().all(is_pending) && is_pending(&never_sent));
    let mut epochs = Vec::new();
    for _ in 0..6 {
        rig.push(1, "other");
        while let Some(sent) = rig.sent.first().cloned() {
            let batch = &sent.batches[0];
            epochs.push((batch.partition, batch.stamp.epoch, batch.stamp.base_sequence));
            let in_flight = rig.sent.iter().filter(|sent| sent.batches[0].partition == 0).count();
            assert!(in_flight <= 1, "{epochs:?}");
            let known = batch.partition == 1 || batch.stamp.epoch > 0;
            rig.sent.remove(0);
            rig.answer_all(&sent, if known { 0 } else { 45 }, 50);
        }
        rig.pass_ms(150);
    }
    let of = |partition| epochs.iter().filter(move |(of, ..)| *of == partition).map(|(_, epoch, _)| *epoch);
    assert!(of(1).all(|epoch| epoch == 0), "{epochs:?}");
    assert_eq!(of(0).max(), Some(1), "{epochs:?}");
    assert!(epochs.contains(&(0, 1, 0)), "{epochs:?}");
    assert!(late.iter().all(|late| failure(late).persisted() == Persisted::Unknown), "they may have been written");
    assert_eq!(offset(&never_sent), Some(50));
}

#[test]
fn what_follows_a_batch_that_expires_in_flight_waits_for_its_answer_though_the_window_is_open() {
    let mut rig = Rig::ready(&[("delivery.timeout.ms", "2000"), ("request.timeout.ms", "1900")]);
    rig.push(0, "first");
    let late = rig.append(0, "late");
    rig.pass_ms(1_000);
    rig.ack(0);
    rig.pass_ms(1_000);
    assert_eq!((failure(&late).kind(), rig.sent.len()), (FailureKind::Expired, 1));
    let next = rig.send(0, "next");
    assert_eq!(rig.sent.len(), 1, "where it would stand is not known");
    rig.ack(1);
    assert_eq!(rig.ack(2).stamps(), [(0, 0, 2)]);
    assert_eq!(offset(&next), Some(2));
}

#[test]
fn a_batch_given_up_in_flight_is_not_sent_again_nor_split_whatever_its_answer_is_and_then_frees_its_memory() {
    for code in [0, 7, 10, 19, 45, 46, 47, 87] {
        let mut rig =
            Rig::ready(&[("delivery.timeout.ms", "2000"), ("request.timeout.ms", "1900"), ("linger.ms", "5")]);
        rig.push(0, "first");
        rig.pass_ms(5);
        let deliveries = [rig.append(0, "a"), rig.append(0, "b")];
        rig.pass_ms(1_000);
        rig.ack(0);
        rig.pass_ms(1_000);
        let limit = rig.accumulator.memory().limit();
        let told = deliveries.each_ref().map(|delivery| (failure(delivery).kind(), failure(delivery).persisted()));
        assert_eq!(told, [(FailureKind::Expired, Persisted::Unknown); 2], "{code}");
        assert!(rig.accumulator.memory().free() < limit, "{code}");
        rig.refuse(code);
        assert_eq!(rig.accumulator.memory().free(), limit, "{code}");
        rig.pass_ms(10_000);
        assert!(rig.sent.is_empty(), "{code}");
    }
}

#[test]
fn errors_after_which_a_batch_may_be_in_the_log_are_told_as_unknown() {
    for code in [-1, 6, 7, 13, 20, 56, 4_711] {
        let mut rig = Rig::ready(&[("enable.idempotence", "false"), ("retries", "0")]);
        let delivery = rig.send(0, "a");
        rig.refuse(code);
        assert_eq!((failure(&delivery).code().0, failure(&delivery).persisted()), (code, Persisted::Unknown));
    }
}

#[test]
fn after_every_error_but_producer_fenced_the_same_producer_goes_on() {
    for row in TABLE.iter().filter(|row| row.code != ErrorCode::PRODUCER_FENCED) {
        let mut rig = Rig::ready(&[]);
        rig.push(0, "first");
        rig.ack(0);
        let (struck, behind) = (rig.send(0, "struck"), rig.send(0, "behind"));
        rig.refuse(row.code.0);
        rig.refuse(row.code.0);
        let next = rig.send(0, "next");
        for _ in 0..10 {
            rig.pass_ms(1_500);
            while !rig.sent.is_empty() {
                rig.ack(5);
            }
        }
        assert!(offset(&next).is_some(), "{}", row.name);
        assert!(!is_pending(&struck) && !is_pending(&behind), "{}", row.name);
    }
}

#[test]
fn an_answer_that_names_a_topic_by_the_id_it_was_asked_with_counts_after_the_topic_was_created_anew() {
    let mut rig = Rig::new(&[("metadata.max.age.ms", "10000")]);
    rig.ranges[0] = (0, 0, 13);
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    rig.push(1, "connects broker 2");
    rig.ack(0);
    let delivery = rig.send(0, "a");
    let old = std::mem::replace(&mut rig.topic_id, TopicId::from_u128(8));
    rig.pass_ms(11_000);
    assert_eq!(rig.sender.metadata.cluster.topics[TOPIC].id, rig.topic_id);
    let new = std::mem::replace(&mut rig.topic_id, old);
    rig.ack(3);
    assert_eq!(offset(&delivery), Some(3));
    rig.topic_id = new;
    let next = rig.send(0, "b");
    rig.ack(0);
    assert_eq!(offset(&next), Some(0));
}

#[test]
fn a_cluster_that_is_gone_for_minutes_is_found_again_where_it_was() {
    for strategy in ["rebootstrap", "none"] {
        let properties = [("metadata.recovery.strategy", strategy), ("delivery.timeout.ms", "900000")];
        let mut rig = Rig::ready(&properties);
        let sent = rig.send(0, "sent");
        rig.refuses = vec![9000, 9001, 9002];
        let before = rig.take();
        for (connection, _) in rig.open.clone() {
            rig.cut(connection, Some(i32::MAX));
        }
        let unsent = rig.send(1, "never sent");
        let dials = rig.dials;
        rig.pass(Duration::from_secs(720));
        assert!(is_pending(&sent) && is_pending(&unsent), "{strategy}");
        assert!(rig.dials - dials < 3 * 900, "{} attempts to connect in 720 s", rig.dials - dials);
        rig.refuses.clear();
        rig.pass_ms(3_000);
        let again: Vec<_> = rig.sent.iter().flat_map(|sent| sent.batches.clone()).collect();
        assert!(again.len() == 2 && again.contains(&before.batches[0]), "{strategy}");
        rig.ack(1);
        rig.ack(2);
        assert!(offset(&sent).is_some() && offset(&unsent).is_some(), "{strategy}");
    }
}

#[test]
fn a_wait_before_a_retry_is_drawn_once_however_often_one_looks() {
    let retried_after = |looks: u32| {
        let mut rig = Rig::ready(&[]);
        rig.push(0, "a");
        rig.refuse(19);
        let refused_at = rig.now;
        for _ in 0..1_000 {
            if !rig.sent.is_empty() {
                return rig.now - refused_at;
            }
            let next = rig.sender.poll_timeout().unwrap();
            let step = next.saturating_duration_since(rig.now) / looks;
            rig.now += step.max(Duration::from_nanos(1));
            rig.sender.handle_timeout(rig.now);
            rig.run();
        }
        panic!("looking {looks} times each time puts the retry off for ever")
    };
    let once = retried_after(1);
    assert!((80..=120).contains(&once.as_millis()), "{once:?}");
    for looks in [2, 3, 10] {
        let often = retried_after(looks);
        assert!(often.abs_diff(once) < Duration::from_micros(1), "{often:?} after {looks} looks, else {once:?}");
    }
}

#[test]
fn flush_waits_for_every_part_of_a_batch_that_was_split_and_for_its_callbacks() {
    let mut rig = Rig::ready(&[("linger.ms", "5")]);
    let (tell, told) = mpsc::channel();
    for number in 0..4 {
        let tell = tell.clone();
        append_with(&rig, number, move |outcome: Completion| tell.send(outcome.unwrap().offset().unwrap()).unwrap());
    }
    let accumulator = Arc::clone(&rig.accumulator);
    let mut flush = pin!(accumulator.flush());
    let mut is_flushed = || flush.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
    assert!(!is_flushed());
    rig.run();
    rig.refuse(10);
    let mut next = 70;
    while !rig.sent.is_empty() {
        assert!(!is_flushed(), "up to {next}");
        next += rig.ack(next).batches[0].values.len() as i64;
    }
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [70, 71, 72, 73]);
    assert!(is_flushed());
}

/// What was in flight gave its share back before its callbacks had run, and its buffer was never used again.
#[test]
fn a_batch_is_charged_until_its_last_callback_has_run_and_then_its_buffer_is_used_again() {
    for (code, expected) in [(0, true), (46, true), (87, false), (90, false)] {
        let mut rig = Rig::ready(&[("batch.size", "120")]);
        let (tell, told) = mpsc::channel();
        let memory = Arc::clone(rig.accumulator.memory());
        for number in 0..2 {
            let (tell, memory) = (tell.clone(), Arc::clone(&memory));
            let callback = move |outcome: Result<_, _>| tell.send((outcome.is_ok(), memory.free())).unwrap();
            append_with(&rig, number, callback);
        }
        let charged = memory.limit() - memory.free();
        rig.run();
        let spares = memory.spares();
        rig.refuse(code);
        let free = memory.limit() - charged;
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [(expected, free); 2], "{code}");
        assert_eq!((memory.free(), memory.spares()), (memory.limit(), spares + 1), "{code}");
    }
}

fn append_with(rig: &Rig, number: u32, callback: impl Callback) {
    let Some(TopicState::Ready(topic)) = rig.accumulator.topics().state(TOPIC) else { panic!("topic is not known") };
    let value = number.to_string();
    let payload = Payload::new(None, Some(value.as_bytes()), &[]);
    rig.accumulator
        .append::<Accepted>(&topic.partitions[0], Some(0), &payload, Some(&mut Some(callback)), None, &rig.now)
        .unwrap();
}

#[test]
fn a_fenced_producer_says_why_for_every_record_of_every_partition() {
    let mut rig = Rig::ready(&[]);
    let (in_flight, other, waiting) = (rig.send(0, "a"), rig.send(1, "b"), rig.send(0, "c"));
    rig.refuse(90);
    let told =
        |delivery: &Delivery| (failure(delivery).kind(), failure(delivery).code(), failure(delivery).persisted());
    let fenced = (FailureKind::Fatal, ErrorCode::PRODUCER_FENCED);
    assert_eq!(told(&in_flight), (fenced.0, fenced.1, Persisted::No));
    assert_eq!(told(&other), (fenced.0, fenced.1, Persisted::Unknown), "it was in flight");
    assert_eq!(told(&waiting), (fenced.0, fenced.1, Persisted::No));
}

#[test]
fn a_lane_that_waits_for_an_answer_has_nobody_asked_for_metadata() {
    let mut rig = Rig::ready(&[]);
    rig.push(0, "a");
    let before = rig.metadata_requests;
    rig.push(0, "waits for the response to a");
    rig.pass_ms(5_000);
    assert_eq!(rig.metadata_requests, before);
}

#[test]
fn what_a_broker_tells_with_a_duplicate_is_not_taken_for_the_time_of_the_append() {
    let mut rig = Rig::ready(&[]);
    let delivery = rig.append_at(0, 1_000);
    rig.run();
    let sent = rig.take();
    rig.respond(&sent, &[Says { error: 46, base_offset: 7, append_time: Some(5_000), ..Says::default() }]);
    let ack = delivery.outcome().unwrap().unwrap();
    assert_eq!((ack.offset(), ack.timestamp()), (None, 1_000));
}

#[test]
fn a_topic_that_is_not_there_yet_is_awaited_and_one_that_is_known_stays_so() {
    let state = |rig: &Rig| rig.accumulator.topics().state(TOPIC);
    let mut rig = Rig::new(&[]);
    (rig.topic_error, rig.leaders) = (3, Vec::new());
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    assert!(matches!(state(&rig), Some(TopicState::Awaited(Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)))));
    let mut rig = Rig::ready(&[("metadata.max.age.ms", "5000")]);
    (rig.topic_error, rig.leaders) = (3, Vec::new());
    rig.pass_ms(10_000);
    assert!(matches!(state(&rig), Some(TopicState::Ready(_))));
}

#[test]
fn it_starts_again_from_the_bootstrap_servers_when_metadata_were_missing_for_the_time_that_is_set_but_not_from_a_slow_broker()
 {
    let patient = [("metadata.recovery.rebootstrap.trigger.ms", "20000"), ("metadata.max.age.ms", "5000")];
    let lines = super::warnings::heard(|| {
        let mut rig = Rig::ready(&patient);
        rig.refuses = vec![9000, 9001, 9002];
        rig.open.clone().into_iter().for_each(|(connection, _)| rig.cut(connection, None));
        rig.pass_ms(45_000);
    });
    let again = |line: &&String| line.contains("starting again from bootstrap.servers");
    assert_eq!(lines.iter().filter(again).count(), 1, "then only they are left: {lines:#?}");
    let mut rig = Rig::ready(&[&patient[..], &[("request.timeout.ms", "60000")]].concat());
    rig.push(0, "a");
    rig.ack(0);
    let bootstrap = rig.open.iter().find(|(_, port)| *port == 9000).unwrap().0;
    rig.cut(bootstrap, None);
    rig.mute = vec![3];
    rig.pass_ms(40_000);
    assert!(rig.disconnected.is_empty(), "a broker is there, however slow");
}
