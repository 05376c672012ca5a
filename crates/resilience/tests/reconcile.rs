//! Events with an unknown outcome, and a relay that looks into the log before it sends them again.

use std::{sync::Arc, time::Duration};

use milena::{
    Producer, Record,
    broker::{Api, EmbeddedBroker, Fault},
};
use milena_resilience::{
    breaker::BreakerConfig,
    event::EventId,
    publisher::{Publication, ResilientPublisher, ResilientPublisherBuilder},
    reconcile::LogLookup,
    relay::{RelayConfig, Schedule},
    retry::POSSIBLE_DUPLICATE,
    store::MemoryStore,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A broker, and a publisher whose producer gives an event up soon.
async fn rig(
    with: impl FnOnce(ResilientPublisherBuilder, &EmbeddedBroker) -> ResilientPublisherBuilder,
) -> (EmbeddedBroker, ResilientPublisher) {
    let broker = EmbeddedBroker::builder().topic("orders", 2).start().await.unwrap();
    let builder = Producer::builder(&broker.bootstrap_servers()).linger(MS(0)).request_timeout(MS(1_000));
    let producer = builder.delivery_timeout(MS(1_000)).build().await.unwrap();
    // It does not open: what is asked here is what the relay does.
    let breaker = BreakerConfig::consecutive_failures(1_000);
    let relay = RelayConfig::default().schedule(Schedule::default().faster(6_000));
    let builder =
        ResilientPublisher::builder(Arc::new(producer), Arc::new(MemoryStore::new())).breaker(breaker).relay(relay);
    let publisher = with(builder, &broker).start().await.unwrap();
    (broker, publisher)
}

async fn publish(publisher: &ResilientPublisher, value: &str) -> Publication {
    publisher.publish_record(EventId::new(), Record::to("orders").key("k").value(value)).await.unwrap()
}

async fn drained(publisher: &ResilientPublisher) {
    while publisher.retry_stats().await.unwrap().unsettled() > 0 {
        tokio::time::sleep(MS(10)).await;
    }
}

/// The values in the log, with `?` behind those that are flagged.
fn log(broker: &EmbeddedBroker) -> Vec<String> {
    let records = (0..2).flat_map(|partition| broker.log("orders", partition));
    let named = records.map(|record| {
        let is_flagged = record.headers.iter().any(|(name, _)| name == POSSIBLE_DUPLICATE);
        let mark = if is_flagged { "?" } else { "" };
        format!("{}{mark}", String::from_utf8_lossy(&record.value.unwrap_or_default()))
    });
    named.collect()
}

/// The broker writes the next batches, and does not say so.
fn write_and_be_silent(broker: &EmbeddedBroker, times: u64) {
    broker.inject(Fault::delay_response(Duration::from_secs(86_400)).on(Api::Produce).times(times));
}

#[tokio::test]
async fn an_event_that_is_in_the_log_is_not_published_again() {
    let (broker, publisher) =
        rig(|builder, broker| builder.reconcile(LogLookup::new(broker.bootstrap_servers()))).await;
    let _ = publish(&publisher, "before").await;
    write_and_be_silent(&broker, 1);
    let publication = publish(&publisher, "nine").await;
    assert!(matches!(publication, Publication::Stored { maybe_sent: true, .. }), "{publication:?}");
    drained(&publisher).await;
    assert_eq!(log(&broker), ["before", "nine"]);
    let stats = publisher.relay_stats();
    assert_eq!((stats.resolved, stats.found_written), (1, 1));
}

#[tokio::test]
async fn without_a_lookup_it_is_published_again_and_flagged() {
    let (broker, publisher) = rig(|builder, _| builder).await;
    write_and_be_silent(&broker, 1);
    let _ = publish(&publisher, "nine").await;
    drained(&publisher).await;
    assert_eq!(log(&broker), ["nine", "nine?"]);
}

#[tokio::test]
async fn an_event_that_is_not_in_the_log_is_flagged_unless_its_absence_counts() {
    for (absent_after, expected) in [(None, "nine?"), (Some(Duration::ZERO), "nine")] {
        let (broker, publisher) = rig(|builder, broker| {
            let lookup = LogLookup::new(broker.bootstrap_servers());
            builder.reconcile(match absent_after {
                Some(time) => lookup.absent_after(time),
                None => lookup,
            })
        })
        .await;
        broker.inject(Fault::drop_request().on(Api::Produce).forever());
        let publication = publish(&publisher, "nine").await;
        assert!(matches!(publication, Publication::Stored { maybe_sent: true, .. }), "{publication:?}");
        broker.heal();
        drained(&publisher).await;
        assert_eq!(log(&broker), [expected]);
        assert_eq!(publisher.relay_stats().found_not_written > 0, absent_after.is_some());
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_read_leaves_the_outcome_unknown() {
    let (broker, publisher) =
        rig(|builder, _| builder.reconcile(LogLookup::new("localhost:1").absent_after(Duration::ZERO))).await;
    write_and_be_silent(&broker, 1);
    let _ = publish(&publisher, "nine").await;
    drained(&publisher).await;
    assert_eq!(log(&broker), ["nine", "nine?"]);
}

#[tokio::test]
async fn a_log_with_too_many_events_leaves_the_outcome_unknown() {
    let (broker, publisher) = rig(|builder, broker| {
        builder.reconcile(LogLookup::new(broker.bootstrap_servers()).max_events(2).absent_after(Duration::ZERO))
    })
    .await;
    for value in ["1", "2", "3"] {
        let _ = publish(&publisher, value).await;
    }
    write_and_be_silent(&broker, 1);
    let _ = publish(&publisher, "nine").await;
    drained(&publisher).await;
    assert_eq!(log(&broker), ["1", "2", "3", "nine", "nine?"]);
}
