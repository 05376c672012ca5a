//! Keeps events while Kafka is away.
//!
//! `cargo run -p milena-resilience --features sqlite --example resilient_publisher`. An embedded broker stops taking records. The circuit
//! breaker opens, and events are stored in a SQLite file. The broker takes records again, and the relay publishes what was
//! stored. Then the topic is read: each event is there, in the order of its key, and repetitions are flagged.

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use milena::{
    ErrorCode, Producer, Record,
    broker::{Api, EmbeddedBroker, Fault},
};
use milena_resilience::{
    breaker::BreakerConfig,
    event::EventId,
    publisher::{Publication, ResilientPublisher},
    retry::POSSIBLE_DUPLICATE,
    store::sqlite::SqliteStore,
};

const USERS: usize = 4;
const EVENTS: usize = 40;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = EmbeddedBroker::builder().topic("orders", 2).start().await?;
    let ms = Duration::from_millis;
    // A failure is seen after delivery.timeout.ms, so a publisher with a store has a short one.
    let builder = Producer::builder(&broker.bootstrap_servers()).linger(ms(0));
    let producer = builder.request_timeout(ms(100)).delivery_timeout(ms(200)).build().await?;
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::builder(folder.path().join("events.db")).open().await?;
    let breaker = BreakerConfig::consecutive_failures(3).wait_duration_in_open_state(ms(500));
    let publisher = ResilientPublisher::builder(Arc::new(producer), Arc::new(store)).breaker(breaker).start().await?;

    let (published, stored) = publish(&publisher, 0).await?;
    println!("published: {published}, stored: {stored}");
    broker.inject(Fault::error(ErrorCode::NOT_ENOUGH_REPLICAS).on(Api::Produce).forever());
    let (published, stored) = publish(&publisher, 1).await?;
    println!("the broker refuses; published: {published}, stored: {stored}");
    broker.heal();
    while publisher.retry_stats().await?.unsettled() > 0 {
        tokio::time::sleep(ms(20)).await;
    }
    let (published, stored) = publish(&publisher, 2).await?;
    println!("the broker is back; published: {published}, stored: {stored}");
    publisher.close().await;
    check(&broker)
}

/// Publishes events of each user, and returns how many were published and stored.
async fn publish(publisher: &ResilientPublisher, round: usize) -> Result<(usize, usize), Box<dyn Error>> {
    let (mut published, mut stored) = (0, 0);
    for number in 0..EVENTS {
        let (user, value) = (format!("user-{}", number % USERS), (round * EVENTS + number).to_string());
        match publisher.publish_record(EventId::new(), Record::to("orders").key(&user).value(&value)).await? {
            Publication::Published { .. } => published += 1,
            Publication::Stored { .. } => stored += 1,
        }
    }
    Ok((published, stored))
}

/// Reads the topic: each event is there, and those of a user are in their order.
fn check(broker: &EmbeddedBroker) -> Result<(), Box<dyn Error>> {
    let mut users: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for record in (0..2).flat_map(|partition| broker.log("orders", partition)) {
        let is_repeated = record.headers.iter().any(|(name, _)| name == POSSIBLE_DUPLICATE);
        let number: usize = String::from_utf8(record.value.unwrap_or_default().to_vec())?.parse()?;
        let numbers = users.entry(record.key.unwrap_or_default().to_vec()).or_default();
        if !(is_repeated && numbers.contains(&number)) {
            numbers.push(number);
        }
    }
    for (user, numbers) in (0..USERS).zip(users.values()) {
        let expected: Vec<usize> = (user..3 * EVENTS).step_by(USERS).collect();
        if *numbers != expected {
            return Err(format!("user {user}: expected {expected:?}, got {numbers:?}").into());
        }
    }
    println!("OK: {} events of {} users, none lost, in order", 3 * EVENTS, users.len());
    Ok(())
}
