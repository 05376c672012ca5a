//! Several publishers with one store: their relays share the work.

use std::{sync::Arc, time::Duration};

use milena::mock::{MockProducer, Reply};

use super::{SERVER, builder, connect, new_schema, until};
use crate::{
    publisher::ResilientPublisher,
    relay::RelayConfig,
    retry::POSSIBLE_DUPLICATE,
    store::{Store, postgres::PostgresStore, tests::setup::events},
};

/// A publisher, its producer and its store.
struct Instance {
    name: &'static str,
    producer: MockProducer,
    publisher: ResilientPublisher,
    store: Arc<PostgresStore>,
}

impl Instance {
    async fn start(name: &'static str, schema: &str) -> Self {
        let producer = MockProducer::new();
        producer.reply(Reply::ack().after(Duration::from_millis(300)));
        let store = Arc::new(builder(&SERVER, schema).open().await.unwrap());
        let builder = ResilientPublisher::builder(Arc::new(producer.clone()), Arc::clone(&store) as _);
        let publisher =
            builder.owner(name).relay(RelayConfig::default().lease(Duration::from_secs(3))).start().await.unwrap();
        Self { name, producer, publisher, store }
    }

    /// Waits until it has so many buckets.
    async fn has(&self, buckets: i64, schema: &str) {
        let client = connect(&SERVER).await;
        let sql = format!("SELECT count(*) FROM \"{schema}\".outbox_leases WHERE token <> 0 AND owner = $1");
        until(async || client.query_one(&sql, &[&self.name]).await.unwrap().get::<_, i64>(0) == buckets).await;
    }
}

#[tokio::test]
async fn a_second_instance_gets_its_share_of_the_buckets_and_gives_it_back_and_nothing_is_sent_twice() {
    let schema = new_schema();
    let first = Instance::start("first", &schema).await;
    first.has(16, &schema).await;
    let store = |count| first.store.insert(events(count));
    store(100).await.unwrap();
    first.publisher.wake();
    // Some of them are on their way while the lease is given back.
    let second = Instance::start("second", &schema).await;
    first.has(8, &schema).await;
    second.has(8, &schema).await;
    store(100).await.unwrap();
    [&first, &second].iter().for_each(|instance| instance.publisher.wake());
    until(async || first.store.stats().await.unwrap().resolved == 200).await;
    assert!(!second.producer.history().is_empty());
    second.publisher.close().await;
    first.has(16, &schema).await;
    let records = [first.producer.history(), second.producer.history()].concat();
    assert_eq!(records.len(), 200);
    assert!(records.iter().all(|record| record.header(POSSIBLE_DUPLICATE).is_none()));
    let sql = format!("SELECT max(maybe_sent_up_to) FROM \"{schema}\".outbox_leases");
    let marked: i64 = connect(&SERVER).await.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(marked, 0, "no lease has expired");
    first.publisher.close().await;
}
