//! Producers that were fenced: they are replaced, and what they held is told truly.

use std::time::Duration;

use milena::ErrorCode;
use milena::broker::{Api, EmbeddedBroker, Fault};
use milena_resilience::store::MemoryStore;

use crate::support::{Served, broker, serve, serve_with};

const SEND: &str = "/api/v1/send?topic=t";

#[tokio::test]
async fn a_producer_that_was_fenced_is_replaced() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[]).await;
    broker.inject(Fault::error(ErrorCode::PRODUCER_FENCED).on(Api::Produce));
    let reply = gateway.post(SEND, &[], b"").await;
    let json = reply.json();
    assert_eq!(
        (reply.status, &json["code"], &json["retriable"]),
        (503, &"PRODUCER_FENCED".into(), &true.into()),
        "{json}"
    );
    let reply = gateway.post(&format!("{SEND}&sendMode=async"), &[], b"").await;
    assert_eq!(gateway.outcome(reply.json()["requestId"].as_str().unwrap()).await["state"], "OK");
    assert_eq!(gateway.post(SEND, &[], b"").await.status, 200);
    let metrics = gateway.get("/metrics").await.body;
    assert!(metrics.contains("\nmilena_gateway_producers_replaced_total 1\n"), "{metrics}");
}

/// Two nodes, each with a partition.
async fn two_nodes() -> EmbeddedBroker {
    EmbeddedBroker::builder().nodes(2).topic("t", 2).start().await.unwrap()
}

/// Keys of which the first goes to partition 0 and the second to partition 1.
async fn keys(gateway: &Served) -> [String; 2] {
    let mut keys = [String::new(), String::new()];
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let reply = gateway.post(&format!("{SEND}&key={key}"), &[], b"first").await;
        keys[reply.json()["partition"].as_u64().expect("a partition") as usize] = key.to_owned();
    }
    assert!(keys.iter().all(|key| !key.is_empty()), "{keys:?}");
    keys
}

/// A record is on its way to one node when the other fences its producer. Returns the id of the request.
async fn held_by_a_fenced_producer(broker: &EmbeddedBroker, gateway: &Served) -> String {
    let [slow, fenced] = keys(gateway).await;
    broker.inject(Fault::drop_response().on(Api::Produce).at("t", 0));
    let held = gateway.post(&format!("{SEND}&sendMode=async&key={slow}"), &[], b"held").await;
    let id = held.json()["requestId"].as_str().expect("an id").to_owned();
    // It is in the log, and nobody has said so.
    while broker.log("t", 0).last().and_then(|record| record.value.clone()).as_deref() != Some(b"held") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    broker.inject(Fault::error(ErrorCode::PRODUCER_FENCED).on(Api::Produce).at("t", 1));
    let reply = gateway.post(&format!("{SEND}&key={fenced}"), &[], b"fenced").await;
    assert!(reply.body.contains("PRODUCER_FENCED") || reply.status == 202, "{reply:?}");
    id
}

#[tokio::test]
async fn what_a_fenced_producer_held_is_unknown_and_its_successor_goes_on() {
    let broker = two_nodes().await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[]).await;
    let id = held_by_a_fenced_producer(&broker, &gateway).await;
    let state = gateway.outcome(&id).await;
    assert_eq!((&state["state"], &state["outcome"]), (&"ERROR".into(), &"unknown".into()), "{state}");
    assert_eq!(gateway.post(SEND, &[], b"").await.status, 200);
}

#[tokio::test]
async fn with_a_store_what_a_fenced_producer_held_is_delivered_again_and_marked() {
    let broker = two_nodes().await;
    let store = MemoryStore::new().retention(Duration::from_secs(3_600));
    let gateway = serve_with(store, &broker.bootstrap_servers(), &[], &[]).await;
    let id = held_by_a_fenced_producer(&broker, &gateway).await;
    assert_eq!(gateway.outcome(&id).await["outcome"], "unknown");
    let state = gateway.state_after("STORED", &id).await;
    assert_eq!((&state["state"], &state["partition"]), (&"OK".into(), &0.into()), "{state}");
    let held: Vec<_> =
        broker.log("t", 0).into_iter().filter(|record| record.value.as_deref() == Some(b"held")).collect();
    let is_marked = |at: usize| held[at].headers.iter().any(|header| header.0 == "possibleDuplicate");
    assert_eq!((held.len(), is_marked(0), is_marked(1)), (2, false, true));
}
