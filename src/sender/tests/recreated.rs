//! Topics that are deleted and created again under their name: new logs, which know no producer.

use super::rig::{Rig, Says, failure, is_pending, offset};
use crate::{FailureKind, Persisted, cluster::TopicId};

/// A rig that asks for metadata every ten seconds over idle connections, with partition 0 at work.
fn at_work() -> Rig {
    let mut rig = Rig::ready(&[("metadata.max.age.ms", "10000")]);
    for partition in [0, 1] {
        rig.push(partition, "first");
        rig.ack(0);
    }
    rig
}

/// The topic is created anew with these leaders, and metadata tell so.
fn recreate(rig: &mut Rig, leaders: &[(i32, i32, i32)]) {
    (rig.topic_id, rig.leaders) = (TopicId::from_u128(8), leaders.to_vec());
    rig.pass_ms(10_001);
    assert_eq!(rig.sender.metadata.cluster.topics[super::rig::TOPIC].id, rig.topic_id);
}

fn base_sequences(rig: &Rig) -> Vec<(i16, i32)> {
    rig.sent.iter().map(|sent| (sent.batches[0].stamp.epoch, sent.batches[0].stamp.base_sequence)).collect()
}

/// Found by the simulation: the same node led the topic that was created anew, in no newer epoch, so the window stayed open. Five
/// batches went at once to a log that did not know the producer; the first was refused and the second accepted in its place
/// (KAFKA-15591).
#[test]
fn a_topic_that_was_created_anew_gets_one_batch_at_a_time_until_one_succeeds_whoever_leads_it() {
    for leader in [(0, 1, 5), (0, 1, 0), (0, 1, 6), (0, 1, -1), (0, 2, 5)] {
        let mut rig = at_work();
        recreate(&mut rig, &[leader, (1, 2, 0)]);
        let deliveries: Vec<_> = (0..4).map(|number| rig.send(0, &number.to_string())).collect();
        assert_eq!((rig.sent.len(), rig.sent[0].node), (1, leader.1), "{leader:?}");
        rig.refuse(19);
        rig.pass_ms(1_000);
        assert_eq!(base_sequences(&rig), [(0, 1)], "{leader:?}: a refusal proves nothing");
        rig.ack(0);
        rig.push(0, "more");
        rig.push(0, "more");
        assert!(rig.sent.len() > 1, "{leader:?}");
        rig.ack(1);
        assert_eq!(deliveries.iter().map(offset).collect::<Vec<_>>(), [0, 1, 2, 3].map(Some), "{leader:?}");
    }
}

#[test]
fn what_is_in_flight_to_a_topic_that_was_deleted_is_waited_for_and_proves_nothing_of_the_new_one() {
    let mut rig = at_work();
    let (a, b) = (rig.send(0, "a"), rig.send(0, "b"));
    recreate(&mut rig, &[(0, 1, 5), (1, 2, 5)]);
    let (c, d) = (rig.send(0, "c"), rig.send(0, "d"));
    assert_eq!(base_sequences(&rig), [(0, 1), (0, 2)], "nothing overtakes them");
    rig.ack(1);
    assert_eq!(base_sequences(&rig), [(0, 2)]);
    rig.ack(2);
    assert_eq!((offset(&a), offset(&b)), (Some(1), Some(2)), "the deleted topic had them");
    rig.push(0, "e");
    assert_eq!(base_sequences(&rig), [(0, 3)], "one, though two succeeded just now");
    rig.ack(0);
    assert_eq!((offset(&c), offset(&d)), (Some(0), Some(1)));
}

#[test]
fn a_batch_that_failed_at_a_topic_that_was_deleted_goes_to_the_new_one_at_once_as_it_was() {
    for code in [3, 6, 7, 19, 100] {
        let mut rig = at_work();
        let (a, b) = (rig.send(0, "a"), rig.send(0, "b"));
        recreate(&mut rig, &[(0, 1, 5), (1, 2, 5)]);
        let before = rig.refuse(code);
        assert!(rig.sent.len() == 1, "{code}: b has no response yet");
        rig.refuse(code);
        assert_eq!(rig.sent.len(), 1, "{code}: one at a time");
        assert_eq!(rig.ack(0).batches, before.batches, "{code}: it may be in the log, so its number stays");
        assert_eq!(base_sequences(&rig), [(0, 2)], "{code}");
        rig.ack(1);
        assert_eq!((offset(&a), offset(&b)), (Some(0), Some(1)), "{code}");
    }
}

#[test]
fn a_new_log_that_insists_on_sequence_0_gets_it_in_the_next_epoch() {
    let mut rig = at_work();
    recreate(&mut rig, &[(0, 1, 0), (1, 2, 0)]);
    let delivery = rig.send(0, "a");
    rig.refuse(45);
    rig.pass_ms(1_000);
    assert_eq!(base_sequences(&rig), [(1, 0)]);
    rig.ack(0);
    assert_eq!(offset(&delivery), Some(0));
}

#[test]
fn a_success_in_an_earlier_epoch_of_the_same_leader_does_not_open_the_window() {
    let mut rig = at_work();
    rig.push(0, "a");
    rig.leaders[0] = (0, 1, 7);
    rig.pass_ms(10_001);
    rig.ack(1);
    (0..3).for_each(|_| rig.push(0, "b"));
    assert_eq!(rig.sent.len(), 1, "in between another node led, and may have cut the log short");
}

#[test]
fn a_partition_that_a_topic_lost_when_it_was_created_anew_waits_and_is_followed_when_it_is_back() {
    let mut rig = at_work();
    let delivery = rig.append(1, "a");
    recreate(&mut rig, &[(0, 1, 0)]);
    // It went out before the news: the broker does not know the partition any more.
    rig.refuse(3);
    rig.pass_ms(5_000);
    assert!(rig.sent.is_empty() && is_pending(&delivery));
    rig.leaders = vec![(0, 1, 0), (1, 1, 0)];
    rig.pass_ms(11_000);
    assert_eq!(rig.take().node, 1, "though its epoch is older than that of the partition which was deleted");
}

#[test]
fn a_batch_that_expires_while_its_partition_is_gone_says_so() {
    let mut rig =
        Rig::ready(&[("metadata.max.age.ms", "1000"), ("delivery.timeout.ms", "4000"), ("request.timeout.ms", "1000")]);
    let delivery = rig.append(1, "a");
    (rig.topic_id, rig.leaders) = (TopicId::from_u128(8), vec![(0, 1, 0)]);
    rig.run();
    let sent = rig.take();
    rig.respond(&sent, &[Says { partition: 1, error: 3, base_offset: -1, ..Says::default() }]);
    rig.pass_ms(5_000);
    assert_eq!((failure(&delivery).kind(), failure(&delivery).persisted()), (FailureKind::Expired, Persisted::No));
    assert!(failure(&delivery).cause().is_some_and(|cause| cause.contains("UNKNOWN_TOPIC_OR_PARTITION")));
}

#[test]
fn when_the_records_of_a_partition_that_is_gone_have_expired_metadata_is_requested_for_it_no_more() {
    let mut rig = Rig::ready(&[
        ("metadata.max.age.ms", "60000"),
        ("delivery.timeout.ms", "4000"),
        ("request.timeout.ms", "1000"),
    ]);
    rig.push(1, "a");
    (rig.topic_id, rig.leaders) = (TopicId::from_u128(8), vec![(0, 1, 0)]);
    let sent = rig.take();
    rig.respond(&sent, &[Says { partition: 1, error: 3, base_offset: -1, ..Says::default() }]);
    let (delivery, before) = (rig.send(1, "b"), rig.metadata_requests);
    rig.pass_ms(3_900);
    assert!(is_pending(&delivery) && rig.metadata_requests > before + 2, "while records wait");
    rig.pass_ms(200);
    assert_eq!(failure(&delivery).persisted(), Persisted::No);
    let after = rig.metadata_requests;
    rig.pass_ms(30_000);
    assert!(rig.metadata_requests <= after + 1, "{} requests", rig.metadata_requests - after);
}
