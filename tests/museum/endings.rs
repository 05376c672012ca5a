//! Flushing, closing and cancelling during other calls.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
};

use super::{
    super::rig::{Rig, Says, TOPIC, failure, is_pending, offset},
    request_after,
};
use crate::{
    Delivery, FailureKind, Persisted,
    accumulator::{Refused, TopicState},
    delivery::Accepted,
    wire::record_batch::writer::Payload,
};

/// A waker that records whether it was woken.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

fn is_ready(future: Pin<&mut impl Future>, bell: &Arc<Bell>) -> bool {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(bell)))).is_ready()
}

/// franz-go 68bf53c1: flush counted a send that was blocked by a full buffer, and was not woken when that send was cancelled.
#[test]
fn flush_ends_though_a_send_that_was_blocked_meanwhile_is_cancelled() {
    let mut rig = Rig::ready(&[("buffer.memory", "20000")]);
    let large = "x".repeat(15_000);
    let delivery = rig.send(0, &large);
    let accumulator = Arc::clone(&rig.accumulator);
    let (flusher, sender) = (Arc::<Bell>::default(), Arc::<Bell>::default());
    let mut flush = pin!(accumulator.flush());
    let mut blocked = Box::pin(accumulator.wait_for_memory(15_000));
    assert!(!is_ready(flush.as_mut(), &flusher) && !is_ready(blocked.as_mut(), &sender));
    drop(blocked);
    assert!(!is_ready(flush.as_mut(), &flusher), "the record has no outcome yet");
    flusher.0.store(false, SeqCst);
    rig.ack(0);
    assert_eq!(offset(&delivery), Some(0));
    assert!(flusher.0.load(SeqCst) && is_ready(flush, &flusher));
    assert_eq!(rig.accumulator.memory().waiting(), 0);
}

/// franz-go 2ec5b697: a record that was accepted while the client was being closed never resolved.
#[test]
fn a_record_that_is_sent_after_close_began_is_refused() {
    let mut rig = Rig::ready(&[]);
    let accepted = rig.send(0, "a");
    let Some(TopicState::Ready(topic)) = rig.accumulator.topics().state(TOPIC) else { panic!("topic is not known") };
    rig.accumulator.close();
    let payload = Payload::new(None, None, &[]);
    let late = rig.accumulator.append::<Accepted>(&topic.partitions[0], Some(0), &payload, None, None, &rig.now);
    assert_eq!(late.map(drop), Err(Refused::Closed));
    rig.ack(0);
    assert_eq!(offset(&accepted), Some(0));
}

/// franz-go c733b9db: records were purged while the request with them was being written, which corrupted it; KAFKA-19012 is the
/// same in Java, where the buffer of a batch that expired in flight was reused while the socket still wrote it.
#[test]
fn bytes_in_a_socket_stay_unchanged_and_charged_until_the_request_is_over() {
    let timeouts = [("delivery.timeout.ms", "2000"), ("request.timeout.ms", "1900"), ("batch.size", "1024")];
    let mut rig = Rig::ready(&timeouts);
    rig.push(0, "first");
    let delivery = rig.append(0, &"x".repeat(900));
    rig.pass_ms(1_000);
    let first = rig.take();
    let held = request_after(&mut rig, &first, &[Says::default()]);
    let copy = held.to_vec();
    rig.pass_ms(1_000);
    assert_eq!((failure(&delivery).kind(), failure(&delivery).persisted()), (FailureKind::Expired, Persisted::Unknown));
    let limit = rig.accumulator.memory().limit();
    assert!(rig.accumulator.memory().free() < limit, "the socket still holds the batch");
    (0..20).for_each(|_| rig.fill(1, &"y".repeat(900)));
    assert_eq!(held, copy);
    rig.cut(first.connection, Some(i32::MAX));
    rig.pass_ms(4_000);
    assert_eq!(rig.accumulator.memory().free(), limit);
}

/// franz-go 7bb45911: a topic was purged while a record for it was being appended, and the record was never completed. milena
/// forgets topics that are not used.
#[test]
fn a_record_appended_while_its_topic_is_forgotten_is_delivered() {
    let mut rig = Rig::ready(&[("metadata.max.idle.ms", "20000"), ("metadata.max.age.ms", "10000")]);
    let Some(TopicState::Ready(topic)) = rig.accumulator.topics().state(TOPIC) else { panic!("topic is not known") };
    rig.pass_ms(60_000);
    assert!(rig.accumulator.topics().state(TOPIC).is_none());
    let payload = Payload::new(None, Some(b"a"), &[]);
    let now = rig.now;
    let appended =
        rig.accumulator.append::<Accepted>(&topic.partitions[0], Some(0), &payload, None, None, &now).unwrap();
    let delivery = Delivery::from(appended.receipt);
    rig.pass_ms(2_000);
    assert!(is_pending(&delivery));
    rig.ack(0);
    assert_eq!(offset(&delivery), Some(0));
}

/// microsoft/fhir-server PR 2507: the application's retries and the client's multiplied. A batch has one budget for failures of all
/// kinds: `retries`, bounded by `delivery.timeout.ms`.
#[test]
fn failures_of_every_kind_use_up_the_same_retries() {
    let mut rig = Rig::ready(&[("retries", "3"), ("request.timeout.ms", "1000")]);
    let delivery = rig.send(0, "a");
    rig.refuse(19);
    rig.pass_ms(200);
    rig.cut(rig.sent[0].connection, Some(i32::MAX));
    rig.pass_ms(500);
    assert_eq!(rig.sent.len(), 1);
    rig.pass_ms(1_500);
    assert_eq!((rig.sent.len(), is_pending(&delivery)), (1, true), "the third request timed out");
    rig.refuse(5);
    let error = failure(&delivery);
    assert_eq!((error.kind(), error.attempts()), (FailureKind::Rejected, 4));
    rig.pass_ms(60_000);
    assert!(rig.sent.is_empty());
}
