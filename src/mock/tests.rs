//! What a [`MockProducer`] does with records, compared with a producer.

use std::{
    future::Future,
    pin::pin,
    sync::mpsc,
    task::{Context, Poll, Wake, Waker},
    thread,
};

use super::*;
use crate::{
    error::{FailureKind, Persisted},
    record::partition::Partitions,
};

const MS: Duration = Duration::from_millis(1);

/// The output of a future that is ready at once.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn send(mock: &dyn Produce, record: Record<'_>) -> Delivery {
    now(mock.send(record)).unwrap()
}

fn expired() -> DeliveryError {
    DeliveryError::of(FailureKind::Expired, "somewhere", 9).with_attempts(3)
}

fn full() -> SendError {
    SendError::QueueFull { topic: "orders".into(), needed: 2, free: 1, limit: 1 }
}

#[test]
fn every_record_is_acknowledged_at_its_partition_s_next_offset() {
    let mock = MockProducer::new().with_partitions(2);
    let sent = |partition| now(send(&mock, Record::to("orders").partition(partition).timestamp(7))).unwrap();
    let places = [0, 1, 0, 0].map(&sent).map(|ack| (ack.partition(), ack.offset()));
    assert_eq!(places, [(0, Some(0)), (1, Some(0)), (0, Some(1)), (0, Some(2))]);
    assert_eq!((sent(1).topic(), sent(1).timestamp()), ("orders", 7));
}

#[test]
fn partitions_are_those_that_records_name_else_the_partitioner_s_else_the_key_s_else_the_next_in_turn() {
    let mock = MockProducer::new().with_partitions(4);
    let partition = |mock: &MockProducer, record| send(mock, record).partition();
    assert_eq!(partition(&mock, Record::to("t").key("21").partition(3)), 3);
    assert_eq!(partition(&mock, Record::to("t").key("21")), (-973_932_308_i32 & 0x7fff_ffff) % 4);
    assert_eq!([(); 5].map(|()| partition(&mock, Record::to("t"))), [0, 1, 2, 3, 0]);
    assert_eq!(partition(&mock, Record::to("another")), 0);
    let last = MockProducer::new()
        .with_partitions(4)
        .with_partitioner(|_: &Record<'_>, all: &Partitions<'_>| i32::try_from(all.count()).unwrap() - 1);
    assert_eq!((partition(&last, Record::to("t").key("21")), partition(&last, Record::to("t").partition(0))), (3, 0));
}

#[test]
fn impossible_names_and_partitions_are_refused_as_by_a_producer() {
    let mock = MockProducer::new();
    let error = now(mock.send(Record::to("no topic!"))).unwrap_err();
    assert!(matches!(error, SendError::InvalidTopic { .. }), "{error}");
    let error = now(mock.send(Record::to("t").partition(1))).unwrap_err();
    assert!(matches!(error, SendError::InvalidPartition { partition: 1, count: 1, .. }), "{error}");
    assert!(mock.history().is_empty());
    assert_eq!(now(mock.with_partitions(5).partitions_for("t")).unwrap(), 5);
}

#[test]
fn history_has_all_accepted_records_in_order() {
    let mock = MockProducer::new();
    let record =
        Record::to("a").key("k").value("v").header("h", "1").with_header(crate::Header::null("h")).timestamp(5);
    mock.fail_next(expired());
    drop(send(&mock, record.header("h", "2")));
    mock.refuse_next(full());
    now(mock.send(Record::to("refused"))).unwrap_err();
    drop(send(&mock, Record::to("b")));
    let [first, second] = &mock.history()[..] else { panic!("{:?}", mock.history()) };
    assert_eq!((&*first.topic, first.partition, first.timestamp), ("a", 0, Some(5)));
    assert_eq!((first.key.as_deref(), first.value.as_deref()), (Some(&b"k"[..]), Some(&b"v"[..])));
    let headers: Vec<_> = first.headers.iter().map(|h| (&*h.key, h.value.as_deref())).collect();
    assert_eq!(headers, [("h", Some(&b"1"[..])), ("h", None), ("h", Some(&b"2"[..]))]);
    assert_eq!((first.header("h"), second.header("h")), (Some(&b"2"[..]), None));
    assert_eq!((&*second.topic, &second.key, &second.value, second.timestamp), ("b", &None, &None, None));
    mock.clear();
    assert!(mock.history().is_empty());
}

#[test]
fn replies_for_the_next_record_come_before_the_rule_and_the_rule_before_the_default() {
    let mock = MockProducer::new();
    mock.reply(Reply::fail(expired()));
    mock.reply_with(|record| (record.topic() == "bad").then(|| Reply::refuse(full())));
    mock.reply_next(Reply::ack());
    mock.fail_next(expired().with_attempts(7));
    let outcome = |topic| now(mock.send(Record::to(topic))).map(|delivery| now(delivery).map_err(|e| e.attempts()));
    assert!(matches!(outcome("bad"), Ok(Ok(_))), "the next one");
    assert!(matches!(outcome("bad"), Ok(Err(7))), "and the one after it");
    assert!(matches!(outcome("bad"), Err(SendError::QueueFull { .. })), "the rule's");
    assert!(matches!(outcome("good"), Ok(Err(3))), "the usual");
}

#[test]
fn a_failure_names_the_record_s_own_partition_and_takes_no_offset() {
    let mock = MockProducer::new().with_partitions(3);
    mock.fail_next(expired());
    let error = now(send(&mock, Record::to("orders").partition(2))).unwrap_err();
    assert_eq!((error.topic(), error.partition(), error.attempts()), ("orders", 2, 3));
    assert_eq!(now(send(&mock, Record::to("orders").partition(2))).unwrap().offset(), Some(0));
}

#[test]
fn held_records_get_their_outcomes_in_order_when_the_test_completes_them() {
    let mock = MockProducer::new();
    assert!(!mock.complete_next());
    mock.reply(Reply::hold());
    let deliveries = [(); 4].map(|()| send(&mock, Record::to("t")));
    assert!(deliveries.iter().all(|delivery| delivery.outcome().is_none()));
    assert!(mock.complete_next() && mock.error_next(expired()));
    let known = deliveries.each_ref().map(|delivery| delivery.outcome().map(|o| o.map(|ack| ack.offset()).ok()));
    assert_eq!(known, [Some(Some(Some(0))), Some(None), None, None]);
    mock.complete_all();
    assert!(!mock.error_next(expired()));
    assert_eq!(deliveries[3].outcome().unwrap().unwrap().offset(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn delays_are_those_of_a_clock_that_can_be_paused() {
    let (mock, start) = (MockProducer::new(), tokio::time::Instant::now());
    mock.reply_next(Reply::ack().after(50 * MS));
    mock.reply_next(Reply::fail(expired()).after(20 * MS));
    mock.reply_next(Reply::refuse(full()).after(3_600_000 * MS));
    let (late, failing) = (send(&mock, Record::to("t")), send(&mock, Record::to("t")));
    failing.await.unwrap_err();
    assert_eq!(start.elapsed(), 20 * MS);
    assert!(late.await.is_ok());
    assert_eq!(start.elapsed(), 50 * MS);
    mock.send(Record::to("t")).await.unwrap_err();
    assert_eq!(start.elapsed(), 3_600_050 * MS);
}

#[tokio::test]
async fn callbacks_run_on_their_own_thread_and_a_flush_waits_for_them() {
    let mock = MockProducer::new();
    let (tell, told) = mpsc::channel();
    let outcomes = tell.clone();
    let callback = move |outcome: Result<Ack, _>| outcomes.send((outcome.is_ok(), thread::current().id())).unwrap();
    mock.send_with(Record::to("t"), Box::new(callback.clone())).await.unwrap();
    mock.fail_next(expired());
    mock.try_send_with(Record::to("t"), Box::new(callback.clone())).unwrap();
    mock.flush().await.unwrap();
    let [(first, thread), (second, _)] = told.try_iter().collect::<Vec<_>>()[..] else { panic!("two callbacks") };
    assert_eq!((first, second), (true, false));
    assert_ne!(thread, thread::current().id());
    mock.refuse_next(full());
    mock.send_with(Record::to("t"), Box::new(callback)).await.unwrap_err();
    drop((mock, tell));
    assert!(told.recv().is_err(), "no callback of a record that was refused");
}

#[tokio::test]
async fn a_flush_from_within_a_callback_is_refused() {
    let mock = MockProducer::new();
    let (tell, told) = mpsc::channel();
    let inner = mock.clone();
    mock.try_send_with(Record::to("t"), Box::new(move |_| tell.send(now(inner.flush())).unwrap())).unwrap();
    assert_eq!(told.recv().unwrap(), Err(FlushError::InCallback));
}

#[tokio::test]
async fn a_flush_waits_for_records_that_were_sent_before_it_and_for_no_other() {
    let mock = MockProducer::new();
    mock.reply(Reply::hold());
    let before = send(&mock, Record::to("t"));
    let mut flush = pin!(mock.flush());
    assert!(flush.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let after = send(&mock, Record::to("t"));
    mock.complete_next();
    flush.await.unwrap();
    assert!(before.outcome().is_some() && after.outcome().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_time_limits_of_flush_and_close_hold_and_held_records_then_fail_as_closed() {
    let mock = MockProducer::new();
    mock.reply(Reply::hold());
    let delivery = send(&mock, Record::to("t"));
    let timed_out = Err(FlushError::Timeout { pending: 1, waited: 5 * MS });
    assert_eq!(mock.flush_timeout(5 * MS).await, timed_out);
    assert_eq!(mock.close_timeout(5 * MS).await, timed_out);
    let error = delivery.await.unwrap_err();
    assert_eq!((error.kind(), error.persisted()), (FailureKind::Closed, Persisted::Unknown));
    mock.flush().await.unwrap();
    mock.close_timeout(5 * MS).await.unwrap();
}

#[test]
fn time_limits_hold_without_a_runtime() {
    let mock = MockProducer::new();
    mock.reply(Reply::hold());
    drop(send(&mock, Record::to("t")));
    assert_eq!(parked(mock.flush_timeout(MS)), Err(FlushError::Timeout { pending: 1, waited: MS }));
}

/// The output of a future, without a runtime.
fn parked<T>(mut future: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_closed_mock_accepts_no_record() {
    let mock = MockProducer::new();
    let delivery = send(&mock, Record::to("t"));
    assert!(!mock.is_closed());
    now(mock.close()).unwrap();
    assert!(delivery.outcome().is_some() && mock.is_closed());
    mock.reply_next(Reply::ack());
    for error in [now(mock.send(Record::to("t"))).unwrap_err(), mock.try_send(Record::to("t")).unwrap_err()] {
        assert!(matches!(error, SendError::Closed { .. }), "{error}");
    }
    assert!(matches!(now(mock.partitions_for("t")), Err(SendError::Closed { .. })));
    now(mock.close()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn records_without_an_outcome_are_abandoned_when_the_mock_is_dropped() {
    let mock = MockProducer::new();
    mock.reply_next(Reply::hold());
    mock.reply_next(Reply::ack().after(MS));
    let deliveries = [send(&mock, Record::to("t")), send(&mock, Record::to("t"))];
    drop(mock);
    for delivery in deliveries {
        assert_eq!(delivery.await.unwrap_err().kind(), FailureKind::Abandoned);
    }
}

#[test]
fn a_producer_of_your_own_needs_only_public_parts() {
    let ack = Ack::new("t", 4).with_offset(9).with_timestamp(8);
    let delivery = now(Accepting::new(std::future::ready(Ok(Delivery::resolved(Ok(ack.clone())))))).unwrap();
    assert_eq!((delivery.partition(), delivery.outcome().unwrap().unwrap()), (4, ack.clone()));
    assert_eq!(now(delivery).unwrap(), ack);
    let delivery = Delivery::resolved(Err(expired()));
    assert_eq!((delivery.partition(), now(delivery).unwrap_err().topic()), (9, "somewhere"));
    assert_eq!(now(Delivery::resolved(Ok(Ack::new("t", 4)))).unwrap().offset(), None);
}
