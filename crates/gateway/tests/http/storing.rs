//! Records that Kafka does not take now, with a store.

use std::time::Duration;

use milena::broker::{EmbeddedBroker, StoredRecord};
use milena_resilience::store::MemoryStore;

use crate::support::{JSON, NDJSON, Reply, Served, broker, nowhere, serve, serve_with, soon};

/// An outage is known soon.
const IMPATIENT: [(&str, &str); 3] =
    [("max.block.ms", "100"), ("request.timeout.ms", "100"), ("delivery.timeout.ms", "200")];
const SEND: &str = "/api/v1/send?mode=idempotent&topic=orders&key=k";

fn store() -> MemoryStore {
    MemoryStore::new().retention(Duration::from_secs(3_600))
}

/// A broker at an address where none was.
async fn broker_at(address: &str) -> EmbeddedBroker {
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    EmbeddedBroker::builder().port(port).topic("orders", 1).start().await.unwrap()
}

fn values(broker: &EmbeddedBroker) -> Vec<String> {
    let value = |record: StoredRecord| String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned();
    broker.log("orders", 0).into_iter().map(value).collect()
}

fn id_of(reply: &Reply) -> String {
    reply.json()["requestId"].as_str().expect("an id").to_owned()
}

async fn state(gateway: &Served, id: &str) -> serde_json::Value {
    gateway.get(&format!("/api/v1/status?requestId={id}")).await.json()
}

#[tokio::test]
async fn what_kafka_does_not_take_is_stored_and_delivered_when_it_does() {
    for mode in ["write_ahead", "on_failure"] {
        let address = nowhere().await;
        let gateway = serve_with(store(), &address, &[("store-mode", mode)], &IMPATIENT).await;
        let sync = gateway.post(&format!("{SEND}&eventId=E-1"), &[], b"one").await;
        assert_eq!((sync.status, &sync.json()["state"]), (202, &"STORED".into()), "{sync:?}");
        assert!(sync.head.contains(&format!("location: /api/v1/status?requestid={}", id_of(&sync))), "{sync:?}");
        let later = gateway.post(&format!("{SEND}&eventId=E-2&sendMode=async"), &[], b"two").await;
        assert_eq!(later.status, 202, "{later:?}");
        let stored = gateway.outcome(&id_of(&later)).await;
        assert_eq!((&stored["state"], &stored["outcome"]), (&"STORED".into(), &"not_persisted".into()), "{stored}");
        assert!(stored["error"].is_string(), "{stored}");

        let broker = broker_at(&address).await;
        for id in [id_of(&sync), id_of(&later)] {
            let delivered = gateway.state_after("STORED", &id).await;
            assert_eq!((&delivered["state"], &delivered["outcome"]), (&"OK".into(), &"persisted".into()));
        }
        assert_eq!(values(&broker), ["one", "two"], "in the order of their key");
        let ended = soon(gateway.stop()).await.unwrap();
        assert!(ended.undelivered.is_none() && ended.cut == 0, "{ended:?}");
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn without_a_store_the_same_records_fail() {
    let gateway = serve(&nowhere().await, &[], &IMPATIENT).await;
    let reply = gateway.post(SEND, &[], b"one").await;
    assert_eq!((reply.status, &reply.json()["outcome"]), (503, &"not_persisted".into()), "{reply:?}");
}

#[tokio::test]
async fn a_state_that_is_in_the_store_is_known_to_every_gateway_that_has_it() {
    let (address, store) = (nowhere().await, store());
    let first = serve_with(store.clone(), &address, &[], &IMPATIENT).await;
    let id = id_of(&first.post(&format!("{SEND}&sendMode=async"), &[], b"one").await);
    assert_eq!(first.outcome(&id).await["state"], "STORED");
    drop(soon(first.stop()).await.unwrap());
    let second = serve_with(store, &address, &[], &IMPATIENT).await;
    assert_eq!(state(&second, &id).await["state"], "STORED", "of another process");
    let broker = broker_at(&address).await;
    assert_eq!(second.state_after("STORED", &id).await["state"], "OK");
    assert!(!values(&broker).is_empty());
    let unknown = second.get("/api/v1/status?requestId=0000000000000001-0000000000000001").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn a_record_that_is_stored_ahead_is_in_the_store_when_its_request_is_accepted() {
    let store = store();
    let broker = broker("orders").await;
    let gateway = serve_with(store.clone(), &broker.bootstrap_servers(), &[], &[]).await;
    let request = format!("{SEND}&sendMode=async");
    store.hold_syncs();
    let asked = gateway.post(&request, &[], b"one");
    tokio::pin!(asked);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut asked).await.is_err(), "nothing is synced yet");
    store.sync();
    let reply = soon(asked).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    store.sync();
    assert_eq!(gateway.outcome(&id_of(&reply)).await["state"], "OK");
}

#[tokio::test]
async fn records_of_batches_and_streams_are_stored_each() {
    let gateway = serve_with(store(), &nowhere().await, &[], &IMPATIENT).await;
    let path = "/api/v1/topics/orders/records";
    let batch = br#"[{"value": {"text": "one"}}, {"value": {"text": "two"}}]"#;
    let results = gateway.post(path, &[JSON], batch).await.json();
    let lines = b"{\"value\": {\"text\": \"three\"}}\n{\"value\": {\"text\": \"four\"}}\n";
    let streamed = gateway.post(path, &[NDJSON, "Expect-Nothing: x"], lines).await;
    let mut entries: Vec<serde_json::Value> = results["results"].as_array().unwrap().clone();
    let is_entry = |line: &&str| line.starts_with('{');
    entries.extend(streamed.body.lines().filter(is_entry).map(|line| serde_json::from_str(line).unwrap()));
    assert_eq!(entries.len(), 4, "{results} {streamed:?}");
    for entry in entries {
        assert_eq!((&entry["status"], &entry["state"]), (&202.into(), &"STORED".into()), "{entry}");
        assert_eq!(state(&gateway, entry["requestId"].as_str().unwrap()).await["state"], "STORED");
    }
    let one = gateway.post(path, &[JSON], br#"{"value": {"text": "five"}}"#).await;
    assert_eq!((one.status, &one.json()["state"]), (202, &"STORED".into()), "{one:?}");
}

#[tokio::test]
async fn what_asks_for_its_partition_or_is_plain_is_not_stored() {
    let gateway = serve_with(store(), &nowhere().await, &[], &IMPATIENT).await;
    for query in ["mode=plain&topic=orders", "mode=idempotent&topic=orders&partition=0"] {
        let reply = gateway.post(&format!("/api/v1/send?{query}"), &[], b"").await;
        assert_eq!((reply.status, &reply.json()["outcome"]), (503, &"not_persisted".into()), "{query}: {reply:?}");
    }
}

#[tokio::test]
async fn a_record_that_no_attempt_can_write_is_refused_and_not_stored() {
    let broker = EmbeddedBroker::builder().auto_create(false).topic("orders", 1).start().await.unwrap();
    let gateway = serve_with(store(), &broker.bootstrap_servers(), &[], &[("max.request.size", "1000")]).await;
    let reply = gateway.post(SEND, &[], &[b'x'; 2_000]).await;
    assert_eq!((reply.status, &reply.json()["outcome"]), (413, &"not_persisted".into()), "{reply:?}");
}

#[tokio::test]
async fn the_breaker_and_the_store_are_told() {
    let broker = broker("orders").await;
    let gateway = serve_with(store(), &broker.bootstrap_servers(), &[], &[]).await;
    assert_eq!(gateway.post(SEND, &[], b"").await.status, 200);
    assert_eq!(gateway.get("/readyz").await.body.trim_end(), "OK\nbreaker CLOSED");
    let metrics = gateway.get("/metrics").await.body;
    for name in ["kafka_events_published_total", "kafka_outbox_events", "kafka_circuit_breaker_open_total"] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
}
