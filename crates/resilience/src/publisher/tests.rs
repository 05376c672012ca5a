//! The publisher with a mock producer and a store in memory, on paused time.

mod shared;

use std::{sync::Arc, time::Duration};

use milena::{
    DeliveryError, ErrorCode, FailureKind, Persisted, Record, SendError,
    mock::{MockProducer, Reply},
};
use tokio::time::sleep;

use super::*;
use crate::{
    breaker::{BreakerConfig, BreakerState},
    relay::{RelayConfig, Schedule},
    retry::POSSIBLE_DUPLICATE,
    store::{Fault, Filter, MemoryStore, Seq, Status, StoreErrorKind},
};

struct Rig {
    producer: MockProducer,
    store: MemoryStore,
    publisher: ResilientPublisher,
}

impl Rig {
    async fn new(with: impl FnOnce(ResilientPublisherBuilder) -> ResilientPublisherBuilder) -> Self {
        Self::on(store(), with).await
    }

    async fn on(store: MemoryStore, with: impl FnOnce(ResilientPublisherBuilder) -> ResilientPublisherBuilder) -> Self {
        let producer = MockProducer::new();
        let builder = ResilientPublisher::builder(Arc::new(producer.clone()), Arc::new(store.clone()));
        let builder =
            builder.breaker(BreakerConfig::consecutive_failures(3).wait_duration_in_open_state(Duration::from_secs(5)));
        let publisher = with(builder).start().await.unwrap();
        Self { producer, store, publisher }
    }

    async fn publish(&self, key: &str, value: &str) -> Result<Publication, PublishError> {
        self.publisher.publish_record(EventId::new(), Record::to("orders").key(key).value(value)).await
    }

    fn publish_async(&self, key: &str, value: &str) -> JoinHandle<Result<Publication, PublishError>> {
        self.publisher.publish_async(NewEvent::new(EventId::new(), "orders", value).key(key))
    }

    /// The values that were acknowledged, in order, `?` behind those with the mark of a possible duplicate.
    fn values(&self, topic: &str) -> Vec<String> {
        let of_topic = self.producer.history().into_iter().filter(|record| &*record.topic == topic);
        let named = of_topic.map(|record| {
            let mark = if record.header(POSSIBLE_DUPLICATE).is_some() { "?" } else { "" };
            format!("{}{mark}", String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()))
        });
        named.collect()
    }

    async fn stats(&self) -> (u64, u64, u64, u64) {
        let stats = self.publisher.retry_stats().await.unwrap();
        (stats.unsettled(), stats.resolved, stats.dlq, stats.dlq_failed)
    }

    async fn events(&self) -> Vec<crate::store::StoredEvent> {
        self.store.list(Filter::new(), Seq::START, 100).await.unwrap()
    }
}

/// A store whose clock is tokio's.
fn store() -> MemoryStore {
    store_of(1)
}

fn store_of(buckets: u16) -> MemoryStore {
    let (began, start) = (std::time::SystemTime::now(), crate::clock::now());
    MemoryStore::with_buckets(buckets).clock(move || began + (crate::clock::now() - start))
}

fn expired() -> DeliveryError {
    DeliveryError::of(FailureKind::Expired, "orders", 0).with_code(ErrorCode::REQUEST_TIMED_OUT)
}

fn maybe_written() -> DeliveryError {
    expired().with_persisted(Persisted::Unknown)
}

fn refused() -> DeliveryError {
    DeliveryError::of(FailureKind::Rejected, "orders", 0).with_code(ErrorCode::MESSAGE_TOO_LARGE)
}

fn is_published(publication: &Result<Publication, PublishError>) -> bool {
    matches!(publication, Ok(Publication::Published { .. }))
}

fn is_stored(publication: &Result<Publication, PublishError>) -> bool {
    matches!(publication, Ok(Publication::Stored { .. }))
}

#[tokio::test(start_paused = true)]
async fn an_event_that_kafka_takes_is_published_and_not_stored() {
    let rig = Rig::new(|builder| builder).await;
    assert!(is_published(&rig.publish("k", "1").await));
    assert_eq!((rig.values("orders"), rig.stats().await), (vec!["1".into()], (0, 0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_is_stored_and_published_by_the_relay() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.fail_next(expired());
    let Ok(Publication::Stored { why: Why::Failed(_), maybe_sent: false, .. }) = rig.publish("k", "1").await else {
        panic!("not stored");
    };
    sleep(Duration::from_millis(100)).await;
    assert_eq!((rig.values("orders"), rig.stats().await), (vec!["1".into(), "1".into()], (0, 1, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn an_event_with_an_unknown_outcome_is_flagged_when_it_is_sent_again() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.fail_next(maybe_written());
    let publication = rig.publish("k", "1").await;
    assert!(matches!(publication, Ok(Publication::Stored { maybe_sent: true, .. })), "{publication:?}");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(rig.values("orders"), ["1", "1?"]);
}

#[tokio::test(start_paused = true)]
async fn while_the_breaker_is_open_events_are_stored_and_nothing_is_sent_until_it_closes() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.reply(Reply::fail(expired()));
    for number in 0..10 {
        assert!(is_stored(&rig.publish(&format!("k{number}"), &number.to_string()).await));
    }
    assert_eq!(rig.publisher.breaker().state(), BreakerState::Open);
    let sent = rig.producer.history().len();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.producer.history().len(), sent, "the breaker is open");
    rig.producer.clear();
    rig.producer.reply(Reply::ack());
    sleep(Duration::from_secs(10)).await;
    assert_eq!(rig.stats().await, (0, 10, 0, 0));
    assert_eq!(rig.publisher.breaker().state(), BreakerState::Closed);
    assert!(is_published(&rig.publish("k0", "next").await));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_a_day_makes_no_dead_letter_and_loses_nothing() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.reply(Reply::fail(expired()));
    for number in 0..20 {
        assert!(is_stored(&rig.publish(&format!("k{}", number % 4), &number.to_string()).await));
    }
    sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(rig.stats().await, (20, 0, 0, 0));
    rig.producer.clear();
    rig.producer.reply(Reply::ack());
    sleep(Duration::from_secs(600)).await;
    assert_eq!((rig.stats().await, rig.values("orders.dlq").len()), ((0, 20, 0, 0), 0));
    let of_key = |key: usize| -> Vec<usize> {
        let values = rig.values("orders");
        values
            .iter()
            .map(|value| value.trim_end_matches('?').parse::<usize>().unwrap())
            .filter(|v| v % 4 == key)
            .collect()
    };
    assert_eq!(of_key(0), [0, 4, 8, 12, 16]);
    assert_eq!(of_key(3), [3, 7, 11, 15, 19]);
}

#[tokio::test(start_paused = true)]
async fn with_count_outages_an_outage_makes_dead_letters_of_what_it_stops() {
    let schedule = Schedule::default().count_outages(true);
    let rig =
        Rig::new(|builder| builder.relay(RelayConfig::default().schedule(schedule)).breaker(BreakerConfig::default()))
            .await;
    rig.producer.reply_with(|record| (record.topic() == "orders").then(|| Reply::fail(expired())));
    assert!(is_stored(&rig.publish("k", "1").await));
    sleep(Duration::from_secs(60 * 60)).await;
    assert_eq!((rig.stats().await, rig.values("orders.dlq")), ((0, 0, 1, 0), vec!["1".into()]));
}

#[tokio::test(start_paused = true)]
async fn an_event_goes_behind_a_stored_one_of_its_key_and_no_other() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.reply_with(|record| (record.value_bytes() == Some(b"1")).then(|| Reply::fail(not_yet())));
    assert!(is_stored(&rig.publish("k", "1").await));
    let behind = rig.publish("k", "2").await;
    assert!(matches!(behind, Ok(Publication::Stored { why: Why::Behind, .. })), "{behind:?}");
    assert!(is_published(&rig.publish("other", "3").await));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.values("orders").iter().filter(|value| *value == "2").count(), 0, "it waits behind the first");
    rig.producer.reply_with(|_| None);
    rig.producer.clear();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.values("orders"), ["1", "2"]);
}

/// A failure of this event alone, which may succeed later.
fn not_yet() -> DeliveryError {
    DeliveryError::of(FailureKind::Rejected, "orders", 0).with_code(ErrorCode::INVALID_RECORD).with_retriable(true)
}

#[tokio::test(start_paused = true)]
async fn an_event_of_the_same_key_waits_for_the_one_that_is_on_its_way() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.reply(Reply::hold());
    let (first, second) = (rig.publish_async("k", "1"), rig.publish_async("k", "2"));
    sleep(Duration::from_millis(50)).await;
    assert_eq!(rig.values("orders"), ["1"]);
    rig.producer.complete_all();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(rig.values("orders"), ["1", "2"]);
    rig.producer.complete_all();
    assert!(is_published(&first.await.unwrap()) && is_published(&second.await.unwrap()));
    assert_eq!(rig.stats().await, (0, 0, 0, 0), "nothing was stored");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_on_its_way_for_long_is_stored_and_newer_ones_behind_it() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.reply_next(Reply::hold());
    let (first, second, third) =
        (rig.publish_async("k", "1"), rig.publish_async("k", "2"), rig.publish_async("k", "3"));
    assert!(is_stored(&second.await.unwrap()) && is_stored(&third.await.unwrap()));
    assert_eq!((rig.stats().await.0, rig.values("orders")), (3, vec!["1".into()]), "the first is still on its way");
    rig.producer.complete_all();
    assert!(is_published(&first.await.unwrap()));
    sleep(Duration::from_secs(300)).await;
    assert_eq!((rig.values("orders"), rig.stats().await.0), (vec!["1".into(), "2".into(), "3".into()], 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_after_it_was_stored_behind_is_still_the_first_of_its_key() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.reply_next(Reply::hold());
    let (first, second) = (rig.publish_async("k", "1"), rig.publish_async("k", "2"));
    assert!(is_stored(&second.await.unwrap()));
    assert!(rig.producer.error_next(maybe_written()));
    assert!(matches!(first.await.unwrap(), Ok(Publication::Stored { maybe_sent: true, .. })));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.values("orders"), ["1", "1?", "2"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_can_never_be_written_is_handed_back_at_once() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.fail_next(refused());
    let error = rig.publish("k", "1").await.unwrap_err();
    assert_eq!((error.event().payload.as_deref(), error.persisted()), (Some(&b"1"[..]), Persisted::No));
    assert!(error.failure().is_some() && error.store_error().is_none());
    assert_eq!(rig.stats().await, (0, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_can_be_neither_published_nor_stored_is_handed_back_with_both_errors() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.fail_next(maybe_written());
    rig.store.fail_next_insert(Fault::Refuse(StoreErrorKind::Full));
    let error = rig.publish("k", "1").await.unwrap_err();
    assert_eq!(error.store_error().unwrap().kind(), StoreErrorKind::Full);
    assert_eq!((error.persisted(), error.failure().is_some()), (Persisted::Unknown, true));
    let text = error.to_string();
    assert!(
        text.contains("publishing: ") && text.contains("storing: ") && text.contains("still the caller's"),
        "{text}"
    );
    assert_eq!(error.into_event().payload.as_deref(), Some(&b"1"[..]));
    assert_eq!(rig.publisher.publisher_stats().given_up, 1);
}

#[tokio::test(start_paused = true)]
async fn without_store_failures_each_event_given_up_is_counted_and_handed_back() {
    let rig = Rig::new(|builder| builder.store_failures(false)).await;
    rig.producer.fail_next(expired());
    let error = rig.publish("k", "1").await.unwrap_err();
    assert!(error.failure().is_some() && error.store_error().is_none());
    assert_eq!((rig.publisher.publisher_stats().given_up, rig.stats().await.0), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_three_times_becomes_a_dead_letter_after_1_5_and_15_minutes() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.reply_with(|record| (record.topic() == "orders").then(|| Reply::fail(not_yet())));
    assert!(is_stored(&rig.publish("k", "1").await));
    assert!(is_stored(&rig.publish("k", "2").await));
    sleep(Duration::from_secs(19 * 60)).await;
    assert_eq!(rig.stats().await, (2, 0, 0, 0));
    sleep(Duration::from_secs(3 * 60)).await;
    assert_eq!((rig.stats().await.2, rig.values("orders.dlq")), (1, vec!["1".into()]));
    sleep(Duration::from_secs(60 * 60)).await;
    assert_eq!((rig.stats().await, rig.values("orders.dlq")), ((0, 0, 2, 0), vec!["1".into(), "2".into()]));
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_dead_letter_is_kept_and_does_not_block_its_key() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.reply_with(|record| match record.value_bytes() {
        Some(b"1") if record.topic() == "orders" => Some(Reply::fail(not_yet())),
        Some(b"1") => Some(Reply::fail(refused())),
        _ => None,
    });
    assert!(is_stored(&rig.publish("k", "1").await));
    assert!(is_stored(&rig.publish("k", "2").await));
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(rig.stats().await, (0, 1, 0, 1));
    let kept = rig.events().await;
    assert_eq!((kept[0].status, kept[0].attempts), (Status::DeadLetterFailed, 3));
    assert_eq!(rig.publisher.relay_stats().alerts, 1);
    rig.producer.reply_with(|_| None);
    assert_eq!(rig.store.replay(Filter::new().status(Status::DeadLetterFailed)).await.unwrap(), 1);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(rig.stats().await, (0, 2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn in_write_ahead_mode_an_event_is_in_the_store_before_it_is_sent() {
    let rig = Rig::new(|builder| builder.mode(Mode::WriteAhead)).await;
    rig.producer.reply_next(Reply::hold());
    let publication = rig.publish_async("k", "1");
    sleep(Duration::from_millis(10)).await;
    assert_eq!((rig.stats().await.0, rig.values("orders")), (1, vec!["1".into()]));
    assert!(rig.events().await[0].maybe_sent);
    rig.producer.complete_all();
    assert!(is_published(&publication.await.unwrap()));
    assert_eq!(rig.stats().await, (0, 1, 0, 0));
    rig.store.fail_next_insert(Fault::Refuse(StoreErrorKind::Full));
    let error = rig.publish("k", "2").await.unwrap_err();
    assert!(error.failure().is_none() && error.store_error().is_some());
    assert_eq!(rig.values("orders"), ["1"], "it was not sent");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_to_be_kept_is_in_the_store_before_the_call_returns_whatever_the_mode() {
    let rig = Rig::new(|builder| builder.mode(Mode::OnFailure)).await;
    let event = |value: &str| NewEvent::new(EventId::new(), "orders", value).key("k");
    rig.producer.reply_next(Reply::hold());
    rig.store.hold_syncs();
    let mut kept = std::pin::pin!(rig.publisher.publish_kept(event("1")));
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut kept).await.is_err(), "it is not synced");
    assert_eq!(rig.values("orders"), [""; 0]);
    rig.store.sync();
    let Ok(Kept::Pending(publication)) = kept.await else { panic!("it is on its way") };
    assert_eq!((rig.stats().await.0, publication.is_finished()), (1, false));
    rig.producer.complete_all();
    assert!(is_published(&publication.await.unwrap()));
    assert_eq!((rig.values("orders"), rig.stats().await), (vec!["1".into()], (0, 1, 0, 0)));
    // What cannot be stored is handed back, and not sent.
    rig.store.fail_next_insert(Fault::Refuse(StoreErrorKind::Full));
    let refused = rig.publisher.publish_kept(event("2")).await;
    assert!(refused.unwrap_err().store_error().is_some());
    assert_eq!(rig.values("orders"), ["1"]);
    // What may not be sent now has its outcome.
    rig.publisher.breaker().force_open(crate::clock::now());
    let stored = rig.publisher.publish_kept(event("3")).await.unwrap();
    assert!(matches!(stored, Kept::Outcome(Publication::Stored { .. })));
}

#[tokio::test(start_paused = true)]
async fn in_write_ahead_mode_an_event_that_fails_is_sent_again_flagged() {
    let rig = Rig::new(|builder| builder.mode(Mode::WriteAhead)).await;
    rig.producer.fail_next(maybe_written());
    assert!(is_stored(&rig.publish("k", "1").await));
    sleep(Duration::from_secs(1)).await;
    assert_eq!((rig.values("orders"), rig.stats().await), (vec!["1".into(), "1?".into()], (0, 1, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn in_write_ahead_mode_a_process_that_was_stopped_does_not_send_what_the_relay_of_another_may_have_sent() {
    let rig = Rig::new(|builder| builder.mode(Mode::WriteAhead).hold(Duration::from_secs(10))).await;
    rig.store.fail_next_insert(Fault::Late(Duration::from_secs(90)));
    let late = rig.publish_async("k", "1");
    sleep(Duration::from_secs(80)).await;
    assert_eq!(rig.values("orders"), ["1?"], "a relay has sent it when its hold was over");
    let Ok(Publication::Stored { why: Why::Overdue, maybe_sent: true, .. }) = late.await.unwrap() else {
        panic!("not stored");
    };
    sleep(Duration::from_secs(80)).await;
    assert_eq!((rig.values("orders"), rig.stats().await), (vec!["1?".into()], (0, 1, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn what_another_process_left_is_published_before_newer_events_of_its_key() {
    let store = store();
    store.insert(vec![NewEvent::new(EventId::new(), "orders", "old").key("k")]).await.unwrap();
    let rig = Rig::on(store, |builder| builder).await;
    assert!(is_stored(&rig.publish("k", "new").await));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.values("orders"), ["old", "new"]);
}

#[tokio::test(start_paused = true)]
async fn close_gives_the_lease_back() {
    let rig = Rig::new(|builder| builder).await;
    assert!(is_published(&rig.publish("k", "1").await));
    sleep(Duration::from_millis(10)).await;
    assert!(rig.store.acquire("another", Duration::from_secs(9), 1).await.unwrap().is_none());
    rig.publisher.close().await;
    assert!(rig.store.acquire("another", Duration::from_secs(9), 1).await.unwrap().is_some());
    assert!(is_published(&rig.publish("k", "2").await), "events can still be published");
}

#[tokio::test(start_paused = true)]
async fn health_is_bad_while_events_fail_or_the_breaker_is_open() {
    let rig = Rig::new(|builder| builder).await;
    assert!(is_published(&rig.publish("k", "1").await));
    assert!(rig.publisher.health().is_healthy);
    rig.producer.fail_next(expired());
    assert!(is_stored(&rig.publish("k", "2").await));
    let health = rig.publisher.health();
    assert_eq!((health.is_healthy, health.error_rate), (false, 0.5));
    rig.publisher.breaker().force_open(crate::clock::now());
    assert!(!rig.publisher.health().is_healthy);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_sent_to_a_closed_producer_is_kept() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.refuse_next(SendError::Closed { topic: "orders".into() });
    assert!(is_stored(&rig.publish("k", "1").await));
}

#[tokio::test(start_paused = true)]
async fn metrics_tell_what_became_of_events() {
    let rig = Rig::new(|builder| builder).await;
    assert!(is_published(&rig.publish("k", "1").await));
    rig.producer.fail_next(expired());
    assert!(is_stored(&rig.publish("k", "2").await));
    sleep(Duration::from_secs(1)).await;
    let text = rig.publisher.prometheus().await;
    for line in [
        "kafka_events_published_total{status=\"success\"} 1",
        "kafka_events_published_total{status=\"error\"} 1",
        "kafka_circuit_breaker_open_total 0",
        "kafka_events_stored_for_retry_total 1",
        "kafka_retry_success_total 1",
        "kafka_dlq_sent_total 0",
        "kafka_publish_latency_seconds_count 1",
        "kafka_outbox_events{status=\"pending\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let metrics = rig.publisher.producer_metrics();
    assert_eq!((metrics.messages_published, metrics.messages_failed, metrics.messages_retried), (2, 1, 1));
    assert!(metrics.last_error.unwrap().contains("REQUEST_TIMED_OUT"));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_with_an_unknown_outcome_is_flagged_when_it_is_sent_again() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.reply_with(|record| (record.topic() == "orders").then(|| Reply::fail(refused())));
    rig.store.insert(vec![NewEvent::new(EventId::new(), "orders", "1").key("k")]).await.unwrap();
    rig.producer.reply_next(Reply::fail(refused()));
    rig.producer.reply_next(Reply::fail(maybe_written()));
    sleep(Duration::from_secs(120)).await;
    assert_eq!((rig.values("orders.dlq"), rig.stats().await), (vec!["1".into(), "1?".into()], (0, 0, 1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_an_outage_stops_waits_although_outages_count() {
    let schedule = Schedule::default().count_outages(true).max_attempts(1);
    let breaker = BreakerConfig::consecutive_failures(1_000);
    let rig = Rig::new(|builder| builder.relay(RelayConfig::default().schedule(schedule)).breaker(breaker)).await;
    rig.producer.reply(Reply::fail(expired()));
    assert!(is_stored(&rig.publish("k", "1").await));
    sleep(Duration::from_millis(3_500)).await;
    let sent = rig.values("orders.dlq").len();
    assert!((1..=4).contains(&sent), "{sent} letters, one in a second");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_may_be_in_the_store_already_is_flagged_and_handed_back_as_unknown() {
    for is_refused in [true, false] {
        let rig = Rig::new(|builder| builder).await;
        rig.store.fail_next_insert(Fault::Indeterminate { done: true });
        if is_refused {
            rig.store.fail_next_insert(Fault::Refuse(StoreErrorKind::Full));
        }
        rig.producer.reply_next(Reply::hold());
        let (first, second) = (rig.publish_async("k", "1"), rig.publish_async("k", "2"));
        sleep(Duration::from_millis(200)).await;
        assert!(rig.producer.error_next(expired()));
        match first.await.unwrap() {
            Ok(publication) => assert!(matches!(publication, Publication::Stored { maybe_sent: true, .. })),
            Err(error) => assert_eq!((is_refused, error.persisted()), (true, Persisted::Unknown), "{error}"),
        }
        assert!(is_stored(&second.await.unwrap()));
        sleep(Duration::from_secs(300)).await;
        let values = rig.values("orders");
        assert!(values.iter().filter(|value| *value == "1").count() == 1, "all but the first are flagged: {values:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn those_behind_an_event_that_was_published_and_removed_do_not_wait_for_the_end_of_its_hold() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.reply_next(Reply::hold());
    let (first, second) = (rig.publish_async("k", "1"), rig.publish_async("k", "2"));
    assert!(is_stored(&second.await.unwrap()));
    rig.producer.complete_all();
    assert!(is_published(&first.await.unwrap()));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.values("orders"), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn what_another_process_has_settled_does_not_keep_its_key_from_being_published_directly() {
    let store = store();
    let seqs = store.insert(vec![NewEvent::new(EventId::new(), "orders", "old").key("k")]).await.unwrap();
    let lease = store.acquire("another", Duration::from_secs(3_600), 1).await.unwrap();
    assert!(lease.is_some(), "this instance has none");
    let rig = Rig::on(store, |builder| builder).await;
    rig.store.acknowledge(seqs.into_iter().map(Into::into).collect()).await.unwrap();
    sleep(Duration::from_secs(61)).await;
    assert!(is_published(&rig.publish("k", "new").await));
}

#[tokio::test(start_paused = true)]
async fn rows_are_swept_when_their_retention_is_over() {
    let rig = Rig::on(store().retention(Duration::from_secs(100)), |builder| builder).await;
    rig.producer.fail_next(expired());
    assert!(is_stored(&rig.publish("k", "1").await));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.events().await.len(), 1);
    sleep(Duration::from_secs(200)).await;
    assert_eq!((rig.events().await.len(), rig.stats().await.1), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn closing_leaves_a_store_that_fails_alone_between_attempts() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.fail_next(expired());
    rig.producer.reply_next(Reply::ack().after(Duration::from_secs(2)));
    assert!(is_stored(&rig.publish("k", "1").await));
    sleep(Duration::from_secs(1)).await;
    let closing = tokio::spawn({
        let publisher = rig.publisher.clone();
        async move { publisher.close().await }
    });
    sleep(Duration::from_millis(500)).await;
    rig.store.fail_always(Some(Fault::Refuse(StoreErrorKind::Unavailable)));
    sleep(Duration::from_secs(5)).await;
    rig.store.fail_always(None);
    closing.await.unwrap();
    assert_eq!((rig.stats().await, rig.values("orders")), ((0, 1, 0, 0), vec!["1".into(), "1".into()]));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_from_the_store_after_a_lease_that_could_not_be_renewed() {
    let rig = Rig::new(|builder| builder.relay(RelayConfig::default().max_in_flight(1))).await;
    rig.producer.reply_next(Reply::ack().after(Duration::from_secs(20)));
    let events = ["1", "2"].map(|value| NewEvent::new(EventId::new(), "orders", value).key(value));
    rig.store.insert(events.to_vec()).await.unwrap();
    rig.publisher.wake();
    sleep(Duration::from_millis(10)).await;
    rig.store.fail_always(Some(Fault::Refuse(StoreErrorKind::Unavailable)));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(rig.values("orders"), ["1"], "another process may have sent the second");
    rig.store.fail_always(None);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(rig.values("orders"), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_relay_settled_before_it_was_acknowledged_is_not_taken_for_the_one_behind_it() {
    let schedule = |builder: ResilientPublisherBuilder| builder.mode(Mode::WriteAhead).hold(Duration::from_secs(1));
    let rig = Rig::new(schedule).await;
    rig.producer.reply_with(|record| (record.value_bytes() == Some(b"2")).then(|| Reply::fail(not_yet())));
    rig.producer.reply_next(Reply::hold());
    let first = rig.publish_async("k", "1");
    sleep(Duration::from_millis(10)).await;
    assert!(is_stored(&rig.publish("k", "2").await));
    sleep(Duration::from_secs(61)).await;
    assert_eq!(rig.stats().await, (1, 1, 0, 0), "the relay did not wait longer than the hold");
    rig.producer.complete_all();
    assert!(is_published(&first.await.unwrap()));
    assert!(is_stored(&rig.publish("k", "3").await), "the second is still stored");
}

#[tokio::test(start_paused = true)]
async fn an_instance_leaves_others_their_share_of_the_buckets_once_what_it_has_sent_is_settled() {
    let store = store_of(4);
    let events = || (0..40).map(|key| NewEvent::new(EventId::new(), "orders", "v").key(format!("k{key}"))).collect();
    let first = Rig::on(store.clone(), |builder| builder.owner("first")).await;
    first.producer.reply(Reply::ack().after(Duration::from_secs(15)));
    store.insert(events()).await.unwrap();
    first.publisher.wake();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(first.producer.history().len(), 40, "all are on their way");
    let second = Rig::on(store.clone(), |builder| builder.owner("second")).await;
    sleep(Duration::from_secs(20)).await;
    store.insert(events()).await.unwrap();
    [&first, &second].iter().for_each(|rig| rig.publisher.wake());
    sleep(Duration::from_secs(20)).await;
    let published = [&first, &second].map(|rig| rig.values("orders"));
    assert_eq!((published.concat(), first.stats().await), (vec!["v".to_owned(); 80], (0, 80, 0, 0)));
    assert!(published[0].len() > 40 && !published[1].is_empty(), "both have buckets");
    second.publisher.close().await;
    sleep(Duration::from_secs(9)).await;
    store.insert(events()).await.unwrap();
    first.publisher.wake();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(first.stats().await, (0, 120, 0, 0), "what has become free is taken");
}

/// No metadata within `max.block.ms`.
fn unreachable() -> SendError {
    SendError::Timeout {
        topic: "orders".into(),
        waited_for: milena::WaitedFor::Metadata,
        elapsed: Duration::from_secs(1),
        code: ErrorCode::NETWORK_EXCEPTION,
        cause: None,
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_asks_for_metadata_when_nothing_is_stored_and_nobody_publishes() {
    let rig = Rig::new(|builder| builder.store_failures(false)).await;
    rig.producer.fail_metadata(Some(unreachable()));
    rig.producer.reply(Reply::fail(expired()));
    for _ in 0..3 {
        assert!(rig.publish("k", "1").await.is_err());
    }
    assert_eq!(rig.publisher.breaker().state(), BreakerState::Open);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.publisher.breaker().state(), BreakerState::Open, "the cluster does not respond");
    rig.producer.fail_metadata(None);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.publisher.breaker().state(), BreakerState::HalfOpen);
    rig.producer.reply(Reply::ack());
    assert!(is_published(&rig.publish("k", "2").await));
}

#[tokio::test(start_paused = true)]
async fn what_a_relay_that_was_stopped_past_its_lease_still_sends_is_flagged() {
    let rig = Rig::new(|builder| builder).await;
    sleep(Duration::from_millis(10)).await;
    // The relay sends two events at a time. Between the first and the second the process is stopped.
    let is_first = std::sync::atomic::AtomicBool::new(true);
    rig.producer.reply_with(move |_| {
        if is_first.swap(false, std::sync::atomic::Ordering::Relaxed) {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = std::pin::pin!(tokio::time::advance(Duration::from_secs(20))).poll(&mut context);
        }
        None
    });
    let events = ["1", "2"].map(|value| NewEvent::new(EventId::new(), "orders", value).key(value));
    rig.store.insert(events.to_vec()).await.unwrap();
    rig.publisher.wake();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.values("orders"), ["1", "2?"], "another process may have sent the second");
}

#[tokio::test(start_paused = true)]
async fn a_recount_between_the_attempts_to_settle_an_event_takes_no_other_one_off() {
    let rig = Rig::new(|builder| builder.relay(RelayConfig::default().interval(Duration::from_millis(500)))).await;
    rig.producer.reply_with(|record| (record.value_bytes() == Some(b"2")).then(|| Reply::fail(not_yet())));
    rig.producer.fail_next(expired());
    rig.store.fail_next_settle(Fault::Indeterminate { done: true });
    assert!(is_stored(&rig.publish("k", "1").await));
    assert!(is_stored(&rig.publish("k", "2").await));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(rig.stats().await, (1, 1, 0, 0));
    assert!(is_stored(&rig.publish("k", "3").await), "the second is still stored");
}

#[tokio::test(start_paused = true)]
async fn those_behind_a_dead_letter_wait_until_the_store_knows_of_it() {
    let rig = Rig::new(|builder| builder).await;
    rig.producer.reply_with(|record| {
        (record.topic() == "orders" && record.value_bytes() == Some(b"1")).then(|| Reply::fail(refused()))
    });
    rig.store.fail_next_settle(Fault::Refuse(StoreErrorKind::Unavailable));
    let events = ["1", "2"].map(|value| NewEvent::new(EventId::new(), "orders", value).key("k"));
    rig.store.insert(events.to_vec()).await.unwrap();
    rig.publisher.wake();
    sleep(Duration::from_millis(500)).await;
    assert_eq!((rig.values("orders.dlq"), rig.values("orders")), (vec!["1".into()], vec!["1".into()]));
    sleep(Duration::from_secs(2)).await;
    assert_eq!((rig.values("orders"), rig.stats().await), (vec!["1".into(), "2".into()], (0, 1, 1, 0)));
}
