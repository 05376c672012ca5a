//! Batches that are retried, their sequence numbers, and their outcomes.

use super::super::rig::{Rig, Says, failure, is_pending, offset};
use crate::{ErrorCode, Persisted};

/// A rig with the batch `a, b` in flight behind an acknowledged record.
fn with_two_records_in_flight() -> Rig {
    let mut rig = Rig::ready(&[]);
    rig.push(0, "first");
    rig.fill(0, "a");
    rig.fill(0, "b");
    rig.ack(0);
    rig
}

/// librdkafka #4736, #4750 ("batch not reconstructed identically when retried"): a retried batch was built again from the queue
/// with other records than the first time, so the broker received another range of sequence numbers.
#[test]
fn a_retried_batch_has_the_same_records_whatever_was_appended_meanwhile() {
    let ways: [fn(&mut Rig); 3] = [
        |rig| drop(rig.refuse(19)),
        |rig| rig.cut(rig.sent[0].connection, Some(i32::MAX)),
        |rig| {
            rig.leaders[0] = (0, 2, 6);
            rig.refuse(6);
        },
    ];
    for fails in ways {
        let mut rig = with_two_records_in_flight();
        let before = rig.sent[0].batches.clone();
        fails(&mut rig);
        rig.fill(0, "c");
        rig.fill(0, "d");
        rig.pass_ms(2_000);
        assert_eq!(rig.sent[0].batches, before);
        rig.ack(1);
        let next = rig.take();
        assert_eq!((next.stamps(), next.batches[0].values.len()), (vec![(0, 0, 3)], 2));
    }
}

/// librdkafka #3584, #4438: an error after which the batch's outcome was unknown moved the next expected sequence number. The
/// response to the following batch then looked like a "sequence desynchronization", and the producer stopped.
#[test]
fn an_error_with_an_unknown_outcome_moves_no_sequence_number() {
    for code in [6, 7, 20, 56] {
        let mut rig = Rig::ready(&[]);
        rig.push(0, "first");
        rig.ack(0);
        let (a, b) = (rig.send(0, "a"), rig.send(0, "b"));
        rig.refuse(code);
        rig.ack(2);
        assert_eq!((is_pending(&a), offset(&b)), (true, Some(2)), "{code}");
        rig.pass_ms(2_000);
        let again = rig.take();
        assert_eq!(again.stamps(), [(0, 0, 1)], "{code}");
        rig.answer_all(&again, 0, 1);
        let c = rig.send(0, "c");
        assert_eq!(rig.ack(3).stamps(), [(0, 0, 3)], "{code}");
        assert_eq!((offset(&a), offset(&c)), (Some(1), Some(3)), "{code}");
    }
}

/// franz-go e4bee2bd: failed records had their index in the batch as their offset, and producer id 0, so users took them for
/// written ones.
#[test]
fn a_failed_record_has_no_offset_even_if_its_response_has_one() {
    let mut rig = with_two_records_in_flight();
    rig.ack(1);
    let refused = [rig.append(0, "a"), rig.append(0, "b")];
    rig.run();
    let sent = rig.take();
    rig.respond(&sent, &[Says { error: 87, base_offset: 4_711, ..Says::default() }]);
    for error in refused.map(|delivery| failure(&delivery)) {
        assert_eq!((error.code(), error.persisted()), (ErrorCode::INVALID_RECORD, Persisted::No));
        assert!(!format!("{error} {error:?}").contains("471"), "{error:?}");
    }
}

/// franz-go e4bee2bd, the other case: if a response has the base offset -1, no offsets are computed from it.
#[test]
fn records_whose_response_has_no_offset_have_none() {
    let mut rig = with_two_records_in_flight();
    rig.ack(1);
    let written = [rig.append(0, "a"), rig.append(0, "b"), rig.append(0, "c")];
    rig.run();
    let sent = rig.take();
    rig.respond(&sent, &[Says { base_offset: -1, ..Says::default() }]);
    assert_eq!(written.map(|delivery| offset(&delivery)), [None, None, None]);
}

/// franz-go 07f71bc0: a second entry for the same partition in one response replaced the first one.
#[test]
fn two_entries_for_one_partition_are_rejected_and_the_batch_is_retried() {
    let (good, bad) =
        (Says { base_offset: 1, ..Says::default() }, Says { error: 87, base_offset: -1, ..Says::default() });
    for says in [[good.clone(), bad.clone()], [bad, good]] {
        let mut rig = Rig::ready(&[]);
        rig.push(0, "first");
        rig.ack(0);
        let delivery = rig.send(0, "a");
        let sent = rig.take();
        rig.respond(&sent, &says);
        assert!(is_pending(&delivery) && rig.disconnected.contains(&sent.connection));
        rig.pass_ms(2_000);
        assert_eq!(rig.ack(1).batches, sent.batches);
        assert_eq!(offset(&delivery), Some(1));
    }
}

/// Seen in every client that returns the offset: `DUPLICATE_SEQUENCE_NUMBER` means that the batch is in the log, but not at which
/// offset. An offset in the same response is that of the last append.
#[test]
fn a_batch_that_the_broker_already_has_succeeds_without_an_offset() {
    for base_offset in [-1, 17] {
        let mut rig = with_two_records_in_flight();
        rig.ack(1);
        let written = [rig.append(0, "a"), rig.append(0, "b"), rig.append(0, "c")];
        rig.run();
        rig.cut(rig.sent[0].connection, Some(i32::MAX));
        rig.pass_ms(2_000);
        let again = rig.take();
        rig.respond(&again, &[Says { error: 46, base_offset, ..Says::default() }]);
        assert_eq!(written.map(|delivery| offset(&delivery)), [None, None, None], "base offset {base_offset}");
        rig.push(0, "next");
        assert_eq!(rig.take().stamps(), [(0, 0, 6)]);
    }
}
