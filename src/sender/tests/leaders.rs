//! Leaders that move, vanish and come back.

use super::rig::{Rig, Says, TOPIC, failure, is_pending, offset};
use crate::{Persisted, cluster::TopicId};

fn moved(partition: i32, leader: Option<(i32, i32)>) -> Says {
    Says { partition, error: 6, base_offset: -1, leader, ..Says::default() }
}

#[test]
fn a_batch_follows_its_leader_as_soon_as_metadata_tell_where_it_went() {
    let mut rig = Rig::ready(&[]);
    let delivery = rig.send(0, "a");
    rig.leaders = vec![(0, 2, 6), (1, 2, 5)];
    let sent = rig.take();
    rig.pass_ms(200);
    rig.respond(&sent, &[moved(0, None)]);
    let again = rig.take();
    assert_eq!((again.node, &again.batches), (2, &sent.batches), "without waiting out the backoff");
    rig.answer_all(&again, 0, 3);
    assert_eq!(offset(&delivery), Some(3));
}

#[test]
fn a_hint_in_the_answer_saves_the_wait_for_metadata() {
    let mut rig = Rig::ready(&[]);
    rig.push(0, "a");
    rig.mute = vec![3];
    let sent = rig.take();
    rig.answer_from(&sent, &[moved(0, Some((2, 6)))], &[(2, 9002)]);
    assert_eq!(rig.take().node, 2);
}

#[test]
fn a_hint_of_a_broker_that_is_not_known_brings_its_address() {
    let mut rig = Rig::ready(&[]);
    rig.push(0, "a");
    rig.mute = vec![3];
    let sent = rig.take();
    rig.answer_from(&sent, &[moved(0, Some((3, 6)))], &[(3, 9003)]);
    assert_eq!(rig.take().node, 3);
}

#[test]
fn a_stale_hint_is_ignored() {
    for leader in [(2, 5), (2, 4), (9, 6)] {
        let mut rig = Rig::ready(&[]);
        rig.push(0, "a");
        rig.mute = vec![3];
        let sent = rig.take();
        rig.respond(&sent, &[moved(0, Some(leader))]);
        rig.pass_ms(1_500);
        assert!(rig.sent.iter().all(|sent| sent.node == 1), "{leader:?}");
    }
}

#[test]
fn metadata_with_an_older_leader_epoch_do_not_end_the_doubt_about_a_leader() {
    let mut rig = Rig::ready(&[("metadata.max.age.ms", "60000")]);
    rig.push(0, "a");
    rig.leaders = vec![(0, 1, 4), (1, 2, 5)];
    let sent = rig.take();
    rig.respond(&sent, &[moved(0, None)]);
    let asked = rig.metadata_requests;
    rig.pass_ms(2_000);
    assert!(rig.sent.is_empty(), "it would be refused again");
    assert!(rig.metadata_requests > asked + 1, "and it is asked for again until somebody knows");
    rig.leaders = vec![(0, 2, 6), (1, 2, 5)];
    rig.pass_ms(1_300);
    assert_eq!(rig.take().node, 2);
}

#[test]
fn metadata_with_an_older_leader_epoch_change_nothing() {
    let mut rig = Rig::ready(&[("metadata.max.age.ms", "60000")]);
    rig.leaders = vec![(0, 2, 4), (1, 2, 5)];
    rig.pass_ms(61_000);
    assert!(rig.metadata_requests > 1);
    rig.push(0, "a");
    assert_eq!(rig.take().node, 1);
}

#[test]
fn what_is_in_flight_to_the_old_leader_is_waited_for_before_the_new_one_gets_anything() {
    let mut rig = Rig::ready(&[]);
    rig.push(0, "first");
    rig.ack(0);
    let (a, b) = (rig.send(0, "a"), rig.send(0, "b"));
    rig.leaders = vec![(0, 2, 6), (1, 2, 5)];
    let (first, second) = (rig.take(), rig.take());
    rig.pass_ms(200);
    rig.respond(&first, &[moved(0, None)]);
    assert!(rig.sent.is_empty(), "b has no response yet");
    rig.respond(&second, &[moved(0, None)]);
    assert_eq!(rig.sent.len(), 1, "and then one only, until the new leader accepted one");
    rig.ack(1);
    rig.ack(2);
    assert_eq!((offset(&a), offset(&b)), (Some(1), Some(2)));
}

#[test]
fn a_partition_without_a_leader_waits_and_goes_on_when_it_has_one() {
    let mut rig = Rig::ready(&[]);
    let delivery = rig.send(0, "a");
    rig.leaders = vec![(0, -1, 6), (1, 2, 5)];
    let sent = rig.take();
    rig.respond(&sent, &[moved(0, None)]);
    rig.pass_ms(5_000);
    assert!(rig.sent.is_empty() && is_pending(&delivery));
    rig.leaders = vec![(0, 2, 7), (1, 2, 5)];
    rig.pass_ms(1_500);
    assert_eq!(rig.take().batches, sent.batches);
}

#[test]
fn a_topic_that_vanishes_and_returns_goes_on_with_its_sequence_numbers() {
    let mut rig = Rig::ready(&[]);
    rig.push(0, "first");
    rig.ack(0);
    let delivery = rig.send(0, "a");
    (rig.topic_error, rig.leaders) = (3, Vec::new());
    rig.refuse(3);
    rig.pass_ms(3_000);
    (rig.topic_error, rig.leaders) = (0, vec![(0, 1, 5), (1, 2, 5)]);
    rig.sent.clear();
    rig.pass_ms(35_000);
    assert_eq!(rig.take().stamps(), [(0, 0, 1)]);
    assert!(is_pending(&delivery));
}

#[test]
fn metadata_that_say_no_error_and_no_partitions_complete_nothing() {
    let mut rig = Rig::ready(&[("delivery.timeout.ms", "3000"), ("request.timeout.ms", "1000")]);
    let delivery = rig.send(0, "a");
    rig.leaders = Vec::new();
    rig.refuse(6);
    rig.pass_ms(2_000);
    assert!(is_pending(&delivery));
    rig.pass_ms(1_001);
    assert_eq!(failure(&delivery).persisted(), Persisted::Unknown);
}

#[test]
fn a_recreated_topic_is_followed_though_its_leader_epochs_begin_anew() {
    let mut rig = Rig::ready(&[]);
    rig.push(0, "first");
    rig.ack(0);
    rig.push(0, "a");
    (rig.topic_id, rig.leaders) = (TopicId::from_u128(8), vec![(0, 2, 0), (1, 1, 0)]);
    let sent = rig.take();
    rig.pass_ms(200);
    rig.respond(&sent, &[Says { error: 3, base_offset: -1, ..Says::default() }]);
    rig.pass_ms(200);
    assert_eq!(rig.take().node, 2);
}

#[test]
fn partitions_that_are_added_can_be_sent_to() {
    let mut rig = Rig::ready(&[("metadata.max.age.ms", "60000")]);
    rig.leaders.push((2, 1, 0));
    rig.pass_ms(61_000);
    let delivery = rig.send(2, "a");
    rig.ack(0);
    assert_eq!(offset(&delivery), Some(0));
}

#[test]
fn who_asks_for_a_topic_that_is_known_has_its_metadata_refreshed() {
    let mut rig = Rig::ready(&[]);
    rig.leaders.push((2, 1, 0));
    rig.accumulator.topics().want(TOPIC);
    rig.pass_ms(200);
    let delivery = rig.send(2, "a");
    rig.ack(0);
    assert_eq!(offset(&delivery), Some(0));
}

#[test]
fn a_broker_that_moved_is_found_at_its_new_address() {
    let mut rig = Rig::ready(&[]);
    let delivery = rig.send(0, "a");
    rig.brokers = vec![(1, 9011), (2, 9002)];
    rig.refuses = vec![9001];
    rig.cut(rig.sent[0].connection, Some(i32::MAX));
    rig.pass_ms(2_000);
    let sent = rig.take();
    assert_eq!(sent.node, 11);
    rig.answer_all(&sent, 0, 4);
    assert_eq!(offset(&delivery), Some(4));
}

#[test]
fn only_an_answer_that_the_leader_is_elsewhere_is_believed_about_where_it_is() {
    for (code, followed) in [(6, true), (74, true), (19, false), (7, false)] {
        let mut rig = Rig::ready(&[]);
        rig.push(0, "a");
        rig.mute = vec![3];
        let sent = rig.take();
        rig.respond(&sent, &[Says { error: code, ..moved(0, Some((2, 6))) }]);
        rig.pass_ms(1_500);
        assert_eq!(rig.sent.iter().any(|sent| sent.node == 2), followed, "{code}");
    }
}

#[test]
fn only_a_leader_that_was_said_to_be_elsewhere_is_waited_for() {
    for code in [2, 7, 19] {
        let mut rig = Rig::ready(&[]);
        rig.push(0, "a");
        rig.mute = vec![3];
        let sent = rig.refuse(code);
        rig.pass_ms(1_500);
        assert_eq!(rig.take().batches, sent.batches, "{code}");
    }
    let mut rig = Rig::ready(&[]);
    rig.push(0, "a");
    rig.mute = vec![3];
    let sent = rig.sent[0].clone();
    rig.cut(sent.connection, Some(i32::MAX));
    rig.pass_ms(1_500);
    assert_eq!((rig.sent[0].node, &rig.sent[0].batches), (1, &sent.batches), "it may be where it was");
}

#[test]
fn a_leader_that_is_told_again_changes_neither_the_window_nor_a_wait() {
    let mut rig = Rig::ready(&[("retry.backoff.ms", "1000"), ("retry.backoff.max.ms", "1000")]);
    rig.push(0, "first");
    rig.ack(0);
    let told_again = |rig: &mut Rig| {
        let before = rig.metadata_requests;
        rig.accumulator.topics().want(TOPIC);
        rig.run();
        assert!(rig.metadata_requests > before);
    };
    rig.pass_ms(2_000);
    told_again(&mut rig);
    (0..3).for_each(|_| rig.push(0, "a"));
    assert_eq!(rig.sent.len(), 3, "the leader has proved itself");
    (0..3).for_each(|_| drop(rig.refuse(19)));
    rig.pass_ms(700);
    rig.pass_ms(50);
    assert!(rig.sent.is_empty());
    rig.pass_ms(1_500);
    rig.refuse(19);
    rig.pass_ms(1);
    told_again(&mut rig);
    assert!(rig.sent.is_empty(), "the leader is the same: what it refused it would refuse again");
}

#[test]
fn a_leader_in_a_newer_epoch_must_prove_itself_and_ends_a_wait() {
    let mut rig = Rig::ready(&[("retry.backoff.ms", "1000"), ("retry.backoff.max.ms", "1000")]);
    rig.push(0, "first");
    rig.ack(0);
    rig.pass_ms(2_000);
    (0..2).for_each(|_| rig.push(0, "a"));
    (0..2).for_each(|_| drop(rig.refuse(19)));
    rig.leaders = vec![(0, 1, 6), (1, 2, 5)];
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    assert_eq!(rig.sent.len(), 1, "at once, and one only");
}

#[test]
fn metadata_that_came_before_an_answer_of_the_old_epoch_are_not_doubted() {
    let mut rig = Rig::ready(&[]);
    rig.push(0, "a");
    rig.pass_ms(2_000);
    rig.leaders = vec![(0, 1, 6), (1, 2, 5)];
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    rig.mute = vec![3];
    let sent = rig.take();
    rig.respond(&sent, &[moved(0, None)]);
    assert_eq!(rig.take().batches, sent.batches, "it leads again, in a newer epoch");
}

#[test]
fn a_topic_without_an_id_is_named() {
    let mut rig = Rig::new(&[]);
    rig.ranges[0] = (0, 0, 13);
    rig.topic_id = TopicId::nil();
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    let delivery = rig.send(0, "a");
    rig.ranges[0] = (0, 0, 12);
    rig.ack(4);
    assert_eq!(offset(&delivery), Some(4));
}

#[test]
fn who_leaves_the_line_for_a_broker_leaves_the_others_in_it() {
    let mut rig = Rig::new(&[("request.timeout.ms", "60000"), ("delivery.timeout.ms", "120000")]);
    rig.leaders = vec![(0, 1, 5), (1, 1, 5), (2, 1, 5)];
    rig.silent = vec![9001];
    rig.accumulator.topics().want(TOPIC);
    rig.run();
    let deliveries = [0, 1, 2].map(|partition| rig.send(partition, "a"));
    rig.leaders[1] = (1, 2, 6);
    rig.accumulator.topics().want(TOPIC);
    rig.pass_ms(1_500);
    let moved = rig.take();
    assert_eq!((moved.node, moved.batches[0].partition, rig.sent.len()), (2, 1, 0));
    rig.answer_all(&moved, 0, 3);
    rig.silent.clear();
    rig.pass_ms(20_000);
    let sent = rig.take();
    assert_eq!((sent.node, sent.stamps()), (1, vec![(0, 0, 0), (2, 0, 0)]));
    rig.answer_all(&sent, 0, 7);
    assert_eq!(deliveries.each_ref().map(offset), [Some(7), Some(3), Some(8)]);
}
