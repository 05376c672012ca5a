//! Who is asked for metadata when those who are asked first keep silent, and how long a lost connection costs.

use std::time::Duration;

use super::rig::{Rig, Says, Sent, TOPIC, failure, is_pending, offset};
use crate::{ErrorCode, FailureKind, Persisted};

/// A rig with connections to brokers 1 and 2, each of which holds a Produce request; and a third broker.
fn held(properties: &[(&str, &str)]) -> (Rig, [Sent; 2]) {
    let mut rig = Rig::ready(properties);
    rig.brokers.push((3, 9003));
    for partition in [0, 1] {
        rig.push(partition, "first");
        rig.ack(0);
    }
    ask(&mut rig);
    rig.push(0, "held");
    rig.push(1, "held");
    let sent = [rig.take(), rig.take()];
    assert_eq!(sent.each_ref().map(|sent| sent.node), [1, 2]);
    (rig, sent)
}

/// Has metadata asked for. Returns how often they had been before.
fn ask(rig: &mut Rig) -> usize {
    let before = rig.metadata_requests;
    rig.accumulator.topics().want(TOPIC);
    // The wait after the last response.
    rig.pass_ms(200);
    assert_eq!(rig.metadata_requests, before + 1);
    before
}

fn leader_of(rig: &Rig, partition: usize) -> Option<i32> {
    rig.sender.metadata.cluster.topics[TOPIC].partitions[partition].leader
}

fn success(partition: i32) -> [Says; 1] {
    [Says { partition, base_offset: 1, ..Says::default() }]
}

#[test]
fn metadata_that_are_not_answered_within_a_second_are_asked_of_another_broker() {
    let (mut rig, sent) = held(&[]);
    let before = ask(&mut rig);
    rig.leaders[0] = (0, 2, 6);
    rig.pass_ms(700);
    assert_eq!(rig.metadata_requests, before + 1, "a broker has a second");
    rig.pass_ms(400);
    assert_eq!(rig.metadata_requests, before + 2);
    assert_eq!(leader_of(&rig, 0), Some(1), "both hold a Produce request before it");
    rig.respond(&sent[1], &success(1));
    assert_eq!(leader_of(&rig, 0), Some(2), "the first response counts, whoever gave it");
}

#[test]
fn a_later_answer_to_the_same_question_changes_nothing_and_breaks_nothing() {
    let (mut rig, sent) = held(&[]);
    let before = ask(&mut rig);
    rig.pass_ms(1_100);
    let connection = rig.open.len();
    rig.leaders[0] = (0, 2, 6);
    rig.respond(&sent[1], &success(1));
    assert_eq!((leader_of(&rig, 0), rig.metadata_requests), (Some(2), before + 2));
    // The other one tells what it knew before, and of a topic that is not there any more.
    (rig.leaders[0], rig.brokers) = ((0, 1, 5), vec![(1, 9001)]);
    rig.topic_id = crate::cluster::TopicId::from_u128(6);
    rig.respond(&sent[0], &success(0));
    assert_eq!((leader_of(&rig, 0), rig.open.len()), (Some(2), connection));
    assert_eq!(rig.sender.metadata.cluster.brokers.len(), 3);
    assert!(!rig.disconnected.contains(&sent[0].connection));
}

#[test]
fn a_cluster_that_does_not_answer_at_all_is_asked_once_by_broker() {
    let (mut rig, _) = held(&[]);
    rig.mute = vec![3];
    let before = ask(&mut rig);
    rig.pass_ms(25_000);
    assert_eq!(rig.metadata_requests, before + 3, "brokers 1 and 2, and 3, to which there was no connection");
}

#[test]
fn a_single_broker_that_keeps_silent_is_asked_once() {
    let mut rig = Rig::new(&[]);
    (rig.brokers, rig.leaders) = (vec![(1, 9001)], vec![(0, 1, 5)]);
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    rig.push(0, "first");
    rig.ack(0);
    ask(&mut rig);
    rig.mute = vec![3];
    let (before, dials) = (ask(&mut rig), rig.dials);
    rig.pass_ms(25_000);
    assert_eq!((rig.metadata_requests, rig.dials), (before + 1, dials));
}

#[test]
fn while_the_leader_cannot_be_reached_the_others_are_asked_who_leads_until_one_knows() {
    let (mut rig, sent) = held(&[]);
    rig.respond(&sent[1], &success(1));
    rig.silent = vec![9001];
    rig.cut(sent[0].connection, Some(i32::MAX));
    let before = rig.metadata_requests;
    rig.pass_ms(8_000);
    let asked = rig.metadata_requests - before;
    assert!((6..=14).contains(&asked), "{asked} times in eight seconds of a connection that is not made");
    rig.leaders[0] = (0, 2, 6);
    rig.pass_ms(1_201);
    let again = rig.take();
    assert_eq!((again.node, &again.batches), (2, &sent[0].batches));
}

#[test]
fn a_leader_whose_first_connection_is_not_made_within_a_second_is_asked_about() {
    let mut rig = Rig::ready(&[]);
    rig.silent = vec![9001];
    let delivery = rig.send(0, "a");
    let before = rig.metadata_requests;
    rig.pass_ms(900);
    assert_eq!(rig.metadata_requests, before, "connections take their time");
    rig.leaders[0] = (0, 2, 6);
    rig.pass_ms(400);
    assert!(rig.metadata_requests > before);
    rig.ack(3);
    assert_eq!(offset(&delivery), Some(3));
}

/// When the batch of partition 0 that was lost with its connection went again, in milliseconds.
fn again_after(rig: &mut Rig, written: Option<i32>) -> u128 {
    let (connection, lost_at) = (rig.sent[0].connection, rig.now);
    rig.cut(connection, written);
    for _ in 0..5_000 {
        if !rig.sent.is_empty() {
            return (rig.now - lost_at).as_millis();
        }
        rig.pass(Duration::from_millis(1));
    }
    panic!("it never goes again")
}

#[test]
fn a_batch_whose_connection_was_lost_goes_again_with_the_next_one_and_after_more_losses_it_waits() {
    let backoff = [("reconnect.backoff.ms", "10"), ("retry.backoff.ms", "300"), ("retry.backoff.max.ms", "1000")];
    for written in [Some(i32::MAX), None] {
        let mut rig = Rig::ready(&backoff);
        let delivery = rig.send(0, "a");
        let first = again_after(&mut rig, written);
        assert!(first <= 13, "{first} ms: one backoff is enough, the connection's");
        let second = again_after(&mut rig, written);
        assert!(second >= 240, "{second} ms");
        rig.refuse(19);
        rig.pass_ms(1_000);
        let afresh = again_after(&mut rig, written);
        assert!(afresh <= 13, "{afresh} ms: there was a response in between");
        rig.ack(4);
        assert_eq!(offset(&delivery), Some(4));
    }
}

#[test]
fn a_batch_that_timed_out_waits_before_it_goes_again() {
    let mut rig =
        Rig::ready(&[("reconnect.backoff.ms", "10"), ("retry.backoff.ms", "300"), ("request.timeout.ms", "1000")]);
    let delivery = rig.send(0, "a");
    rig.sent.clear();
    rig.pass_ms(1_200);
    assert!(rig.sent.is_empty(), "the broker was too slow already");
    rig.pass_ms(300);
    rig.ack(4);
    assert_eq!(offset(&delivery), Some(4));
}

#[test]
fn all_that_was_in_flight_on_a_lost_connection_goes_again_in_order_and_one_at_a_time() {
    let mut rig = Rig::ready(&[]);
    rig.push(0, "first");
    rig.ack(0);
    let deliveries: Vec<_> = (0..5).map(|number| rig.send(0, &number.to_string())).collect();
    let sent = rig.sent.clone();
    rig.cut(sent[0].connection, Some(i32::MAX));
    rig.pass_ms(61);
    for (number, before) in (1..).zip(&sent) {
        assert_eq!(rig.sent[0].batches, before.batches);
        assert!(number > 1 || rig.sent.len() == 1);
        rig.ack(number);
    }
    assert_eq!(deliveries.iter().map(offset).collect::<Vec<_>>(), [1, 2, 3, 4, 5].map(Some));
}

#[test]
fn a_batch_that_expires_behind_one_that_fails_says_what_that_one_failed_with() {
    let mut rig = Rig::ready(&[("delivery.timeout.ms", "3000"), ("request.timeout.ms", "1000")]);
    let failing = rig.send(0, "failing");
    let behind = rig.send(0, "behind");
    for _ in 0..30 {
        if !rig.sent.is_empty() {
            rig.refuse(19);
        }
        rig.pass_ms(100);
    }
    rig.pass_ms(10);
    assert!(!is_pending(&behind));
    assert_eq!((failure(&failing).code(), failure(&failing).persisted()), (ErrorCode(19), Persisted::No));
    let error = failure(&behind);
    assert_eq!((error.kind(), error.persisted(), error.attempts()), (FailureKind::Expired, Persisted::No, 0));
    assert!(error.cause().is_some_and(|cause| cause.contains("NOT_ENOUGH_REPLICAS")), "{error}");
}
