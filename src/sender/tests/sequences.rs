//! Idempotence: rewinds, gaps, epochs and producer ids.

use super::rig::{Rig, Says, failure, is_pending, offset};
use crate::{ErrorCode, FailureKind, Persisted};

/// A rig whose partition 0 may have five batches in flight.
fn pipelined(properties: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::ready(properties);
    rig.push(0, "first");
    rig.ack(0);
    rig
}

fn base_sequences(rig: &Rig) -> Vec<(i16, i32)> {
    rig.sent.iter().map(|sent| (sent.batches[0].stamp.epoch, sent.batches[0].stamp.base_sequence)).collect()
}

#[test]
fn a_retry_sends_the_same_bytes() {
    let mut rig = pipelined(&[]);
    rig.push(0, "a");
    let first = rig.refuse(19);
    rig.pass_ms(1_000);
    assert_eq!(rig.take().batches, first.batches);
}

#[test]
fn after_a_failure_the_lane_waits_for_all_answers_and_goes_on_in_order() {
    let mut rig = pipelined(&[]);
    let deliveries: Vec<_> = ["a", "b", "c"].into_iter().map(|value| rig.send(0, value)).collect();
    rig.refuse(19);
    rig.pass_ms(5_000);
    assert_eq!(base_sequences(&rig), [(0, 2), (0, 3)], "nothing goes before the responses are here");
    rig.refuse(45);
    rig.refuse(45);
    rig.pass_ms(5_000);
    assert_eq!(base_sequences(&rig), [(0, 1)], "one at a time until it succeeds");
    rig.ack(1);
    assert_eq!(base_sequences(&rig), [(0, 2), (0, 3)]);
    rig.ack(2);
    rig.ack(3);
    assert_eq!(deliveries.iter().map(|delivery| offset(delivery).unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_success_behind_a_failure_counts_and_the_failed_batch_goes_again() {
    let mut rig = pipelined(&[]);
    let (a, b) = (rig.send(0, "a"), rig.send(0, "b"));
    rig.refuse(7);
    rig.ack(2);
    assert_eq!((offset(&b), is_pending(&a)), (Some(2), true));
    rig.pass_ms(1_000);
    assert_eq!(base_sequences(&rig), [(0, 1)]);
    rig.ack(1);
    assert_eq!(offset(&a), Some(1));
}

#[test]
fn a_duplicate_is_a_success_whose_offset_is_not_invented() {
    let mut rig = pipelined(&[]);
    let delivery = rig.send(0, "a");
    rig.refuse(46);
    assert_eq!(offset(&delivery), None);
}

#[test]
fn the_time_that_a_broker_tells_of_a_batch_it_has_already_is_not_taken_for_the_time_of_the_append() {
    let mut rig = pipelined(&[]);
    for (told, expected) in [(1_000, 1_000), (5_000, 5_000)] {
        let delivery = rig.send(0, "a");
        rig.refuse(7);
        rig.pass_ms(1_000);
        let sent = rig.take();
        rig.respond(&sent, &[Says { base_offset: 1, append_time: Some(told), ..Says::default() }]);
        assert_eq!(delivery.outcome().unwrap().unwrap().timestamp(), expected);
    }
    let deliveries = [rig.append_at(0, 1_000), rig.append_at(0, 3_000)];
    rig.run();
    rig.refuse(7);
    rig.pass_ms(1_000);
    let sent = rig.take();
    rig.respond(&sent, &[Says { base_offset: 3, append_time: Some(3_000), ..Says::default() }]);
    let times = deliveries.map(|delivery| delivery.outcome().unwrap().unwrap().timestamp());
    assert_eq!(times, [1_000, 3_000], "3,000 is the batch's latest timestamp");
}

#[test]
fn a_refused_batch_with_others_behind_it_starts_the_next_epoch_once_nothing_is_in_flight() {
    let mut rig = pipelined(&[]);
    let (a, b, c) = (rig.send(0, "a"), rig.send(0, "b"), rig.send(0, "c"));
    rig.refuse(87);
    assert_eq!((failure(&a).code(), failure(&a).persisted()), (ErrorCode::INVALID_RECORD, Persisted::No));
    rig.refuse(45);
    assert_eq!(rig.sent.len(), 1, "c is in flight");
    rig.refuse(45);
    rig.pass_ms(2_000);
    assert_eq!(base_sequences(&rig), [(1, 0)]);
    rig.ack(1);
    assert_eq!(base_sequences(&rig), [(1, 1)]);
    rig.ack(2);
    assert_eq!((offset(&b), offset(&c)), (Some(1), Some(2)));
}

#[test]
fn an_epoch_is_one_partitions_own() {
    let mut rig = pipelined(&[]);
    rig.push(1, "x");
    rig.ack(0);
    rig.push(0, "a");
    rig.push(0, "b");
    rig.refuse(87);
    rig.push(1, "y");
    rig.refuse(45);
    rig.pass_ms(2_000);
    let stamps: Vec<_> = rig.sent.iter().flat_map(super::rig::Sent::stamps).collect();
    assert_eq!(stamps, [(1, 0, 1), (0, 1, 0)]);
}

#[test]
fn a_broker_that_lost_what_it_knew_gets_the_next_epoch() {
    for code in [45, 59] {
        let mut rig = pipelined(&[]);
        let delivery = rig.send(0, "a");
        rig.refuse(code);
        rig.pass_ms(2_000);
        assert_eq!(base_sequences(&rig), [(1, 0)], "{code}");
        rig.ack(9);
        assert_eq!(offset(&delivery), Some(9));
    }
}

#[test]
fn a_broker_that_knows_a_newer_epoch_gets_a_new_producer_id() {
    let mut rig = pipelined(&[]);
    let before = rig.producer_id;
    let delivery = rig.send(0, "a");
    rig.refuse(47);
    rig.pass_ms(2_000);
    let sent = rig.take();
    assert_eq!((sent.batches[0].stamp.producer_id, sent.stamps()), (before + 1, vec![(0, 0, 0)]));
    rig.answer_all(&sent, 0, 5);
    assert_eq!(offset(&delivery), Some(5));
    rig.push(1, "x");
    assert_eq!(rig.take().batches[0].stamp.producer_id, before + 1, "a lane that never sent takes the new one");
}

#[test]
fn a_batch_of_unknown_fate_holds_up_its_partition_until_a_later_answer_tells() {
    let timeouts = [
        ("delivery.timeout.ms", "2000"),
        ("request.timeout.ms", "1000"),
        ("retry.backoff.max.ms", "100"),
        ("reconnect.backoff.max.ms", "100"),
    ];
    let mut rig = pipelined(&timeouts);
    let lost = rig.send(0, "lost");
    rig.pass_ms(500);
    let probe = rig.send(0, "probe");
    let connection = rig.sent[0].connection;
    rig.cut(connection, Some(i32::MAX));
    rig.brokers = vec![(2, 9002)];
    rig.refuses = vec![9001];
    rig.pass_ms(1_501);
    assert_eq!((failure(&lost).kind(), failure(&lost).persisted()), (FailureKind::Expired, Persisted::Unknown));
    assert!(is_pending(&probe));
    (rig.brokers, rig.refuses) = (vec![(1, 9001), (2, 9002)], Vec::new());
    let fresh = rig.send(0, "fresh");
    rig.pass_ms(400);
    assert_eq!(base_sequences(&rig), [(0, 2)], "what may have been written is asked about under its old number");
    rig.ack(2);
    assert_eq!(offset(&probe), Some(2));
    assert_eq!(base_sequences(&rig), [(0, 3)], "so the lost one was written too, and the numbers go on");
    rig.ack(3);
    assert_eq!(offset(&fresh), Some(3));
}

#[test]
fn a_batch_behind_one_of_unknown_fate_is_not_sent_under_a_new_number_if_it_may_have_been_written() {
    let timeouts = [
        ("delivery.timeout.ms", "2000"),
        ("request.timeout.ms", "1000"),
        ("retry.backoff.max.ms", "100"),
        ("reconnect.backoff.max.ms", "100"),
    ];
    let mut rig = pipelined(&timeouts);
    let lost = rig.send(0, "lost");
    rig.pass_ms(500);
    let probe = rig.send(0, "probe");
    rig.cut(rig.sent[0].connection, Some(i32::MAX));
    rig.refuses = vec![9001];
    rig.pass_ms(1_501);
    rig.refuses.clear();
    let fresh = rig.send(0, "fresh");
    rig.pass_ms(400);
    rig.refuse(45);
    assert_eq!((failure(&lost).persisted(), failure(&probe).persisted()), (Persisted::Unknown, Persisted::Unknown));
    rig.pass_ms(100);
    assert_eq!(base_sequences(&rig), [(1, 0)], "what was never sent goes on in the next epoch");
    rig.ack(7);
    assert_eq!(offset(&fresh), Some(7));
}

/// Found by the simulation (seed 379): the first attempt was still on its way when the broker refused the second one for its
/// sequence number; sent again in the next epoch, the record came to stand in the log twice.
#[test]
fn a_batch_that_may_have_been_written_is_given_up_as_unknown_when_the_broker_disagrees_about_its_number() {
    for code in [45, 47, 49, 59] {
        let mut rig = pipelined(&[]);
        let delivery = rig.send(0, "a");
        rig.cut(rig.sent[0].connection, Some(i32::MAX));
        rig.pass_ms(2_000);
        rig.refuse(code);
        assert_eq!((failure(&delivery).code(), failure(&delivery).persisted()), (ErrorCode(code), Persisted::Unknown));
        let next = rig.send(0, "next");
        rig.pass_ms(2_000);
        assert_eq!(base_sequences(&rig), [(1, 0)], "{code}");
        rig.ack(8);
        assert_eq!(offset(&next), Some(8));
    }
}

/// Found by the simulation (seed 376859): the gap that a refused batch left was taken for one before its predecessor too, which
/// may have been written; sent again in the next epoch, that one came to stand in the log twice.
#[test]
fn a_gap_concerns_the_batches_behind_it_and_not_those_before() {
    let mut rig = pipelined(&[]);
    let (before, refused, behind) = (rig.send(0, "before"), rig.send(0, "refused"), rig.send(0, "behind"));
    rig.refuse(7);
    rig.refuse(87);
    rig.refuse(45);
    rig.pass_ms(2_000);
    assert_eq!(base_sequences(&rig), [(0, 1)], "what may have been written keeps its number");
    rig.ack(1);
    rig.pass_ms(2_000);
    assert_eq!(base_sequences(&rig), [(1, 0)]);
    rig.ack(2);
    assert_eq!((offset(&before), offset(&behind)), (Some(1), Some(2)));
    assert_eq!(failure(&refused).persisted(), Persisted::No);
}

#[test]
fn what_follows_a_batch_given_up_in_flight_waits_for_its_answer() {
    let mut rig = pipelined(&[("delivery.timeout.ms", "2000"), ("request.timeout.ms", "1900")]);
    let late = rig.send(0, "late");
    rig.pass_ms(1_000);
    rig.cut(rig.sent[0].connection, Some(i32::MAX));
    rig.pass_ms(1_001);
    assert_eq!(failure(&late).kind(), FailureKind::Expired);
    let next = rig.send(0, "next");
    assert_eq!(base_sequences(&rig), [(0, 1)], "only the one given up is in flight");
    rig.ack(1);
    assert_eq!(base_sequences(&rig), [(0, 2)], "it was written, so the numbers go on");
    rig.ack(2);
    assert_eq!(offset(&next), Some(2));
}

#[test]
fn a_request_that_broke_off_half_way_was_certainly_not_written() {
    let timeouts = [("delivery.timeout.ms", "2000"), ("request.timeout.ms", "1000")];
    let mut rig = pipelined(&timeouts);
    let delivery = rig.send(0, "a");
    let sent = rig.take();
    rig.cut(sent.connection, Some(sent.correlation - 1));
    rig.refuses = vec![9001];
    rig.pass_ms(2_001);
    assert_eq!((failure(&delivery).persisted(), failure(&delivery).attempts()), (Persisted::No, 0));
}

#[test]
fn retries_do_not_count_attempts_that_never_went_out() {
    let mut rig = Rig::ready(&[("enable.idempotence", "false"), ("retries", "1")]);
    let delivery = rig.send(0, "a");
    for _ in 0..3 {
        let sent = rig.take();
        rig.cut(sent.connection, None);
        rig.pass_ms(2_000);
    }
    rig.refuse(19);
    assert!(is_pending(&delivery));
    rig.pass_ms(2_000);
    rig.refuse(19);
    assert_eq!(failure(&delivery).attempts(), 2);
}

#[test]
fn retries_are_counted_without_the_first_attempt() {
    for retries in [1_u32, 2] {
        let properties = [("enable.idempotence", "false"), ("retries", &*retries.to_string())];
        let mut rig = Rig::ready(&properties);
        let delivery = rig.send(0, "a");
        for _ in 0..retries {
            rig.refuse(19);
            assert!(is_pending(&delivery));
            rig.pass_ms(2_000);
        }
        rig.refuse(19);
        assert_eq!((failure(&delivery).attempts(), failure(&delivery).persisted()), (retries + 1, Persisted::No));
    }
}

#[test]
fn what_may_have_been_written_stays_so_however_often_it_is_tried() {
    for unknown in [1, 2, 3] {
        let mut rig = pipelined(&[]);
        let delivery = rig.send(0, "a");
        for _ in 0..unknown {
            rig.refuse(7);
            rig.pass_ms(2_000);
        }
        rig.refuse(19);
        rig.pass_ms(2_000);
        rig.refuse(87);
        assert_eq!(failure(&delivery).persisted(), Persisted::Unknown, "after {unknown} responses that do not tell");
    }
}

#[test]
fn the_parts_of_a_batch_that_may_have_been_written_may_have_been_too() {
    let mut rig = Rig::ready(&[("linger.ms", "5")]);
    let deliveries: Vec<_> = (0..4).map(|i| rig.append(0, &format!("value {i}"))).collect();
    rig.pass_ms(5);
    rig.refuse(7);
    rig.pass_ms(2_000);
    rig.refuse(10);
    rig.refuse(87);
    let first = failure(&deliveries[0]);
    assert_eq!((first.code(), first.persisted(), first.attempts()), (ErrorCode::INVALID_RECORD, Persisted::Unknown, 1));
    rig.sender.close(rig.now);
    let waits = failure(deliveries.last().unwrap());
    assert_eq!((waits.code(), waits.persisted()), (ErrorCode::MESSAGE_TOO_LARGE, Persisted::Unknown));
}

#[test]
fn without_idempotence_the_parts_of_a_batch_have_no_numbers_either() {
    let mut rig = Rig::ready(&[("linger.ms", "5"), ("enable.idempotence", "false")]);
    (0..4).for_each(|i| rig.fill(0, &format!("value {i}")));
    rig.pass_ms(5);
    rig.refuse(10);
    let mut parts = 0;
    while !rig.sent.is_empty() {
        assert_eq!(rig.ack(parts).stamps(), [(0, -1, -1)]);
        parts += 1;
    }
    assert!(parts > 1, "{parts}");
}

#[test]
fn retries_of_0_give_up_at_the_first_error_and_tell_whether_it_was_written() {
    for (code, persisted) in [(19, Persisted::No), (7, Persisted::Unknown)] {
        let mut rig = Rig::ready(&[("enable.idempotence", "false"), ("retries", "0")]);
        let delivery = rig.send(0, "a");
        let sent = rig.take();
        rig.respond(&sent, &[Says { error: code, base_offset: -1, ..Says::default() }]);
        assert_eq!((failure(&delivery).code(), failure(&delivery).persisted()), (ErrorCode(code), persisted));
    }
}
