//! Requests with an `Idempotency-Key`, of gateways that share a store and of gateways that die.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use milena::broker::{EmbeddedBroker, StoredRecord};
use milena_resilience::store::{Fault, MemoryStore};
use tokio::runtime::Runtime;

use crate::support::{JSON, Reply, Served, nowhere, serve_with, soon};

const SEND: &str = "/api/v1/send?topic=orders&key=k&eventId=E-1";
const KEY: &str = "Idempotency-Key: order-7";
const DAY: u64 = 86_400;
/// Longer than a request of these gateways can take, and than a record of a dead one is left alone.
const LATER: u64 = 60;
const PATIENT: [(&str, &str); 3] =
    [("max.block.ms", "10000"), ("request.timeout.ms", "1000"), ("delivery.timeout.ms", "2000")];

/// A store whose clock goes on when it is told to, beside the true time.
fn store() -> (MemoryStore, Arc<AtomicU64>) {
    let seconds = Arc::new(AtomicU64::new(0));
    let ahead = Arc::clone(&seconds);
    let now = move || SystemTime::now() + Duration::from_secs(ahead.load(Ordering::SeqCst));
    let store = MemoryStore::with_buckets(4).shared().retention(Duration::from_secs(3_600)).clock(now);
    (store, seconds)
}

async fn kafka() -> EmbeddedBroker {
    EmbeddedBroker::builder().topic("orders", 1).start().await.unwrap()
}

fn values(broker: &EmbeddedBroker) -> Vec<String> {
    let value = |record: StoredRecord| String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned();
    broker.log("orders", 0).into_iter().map(value).collect()
}

/// A gateway in a runtime of its own, whose end is that of a process that is killed.
async fn mortal(store: &MemoryStore, bootstrap: &str) -> (Served, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (store, bootstrap) = (store.clone(), bootstrap.to_owned());
    let served = runtime.spawn(async move { serve_with(store, &bootstrap, &[], &PATIENT).await }).await.unwrap();
    (served, runtime)
}

/// A gateway takes a request, and is killed before it has an answer.
async fn killed_while_asked(store: &MemoryStore, path: &str, headers: &[&str], body: &[u8]) {
    let (gateway, runtime) = mortal(store, &nowhere().await).await;
    {
        let asked = gateway.post(path, headers, body);
        tokio::pin!(asked);
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut asked).await.is_err(), "it waits for Kafka");
    }
    runtime.shutdown_background();
}

async fn until_delivered(gateway: &Served, broker: &EmbeddedBroker, reply: &Reply) {
    let id = reply.json()["requestId"].as_str().expect("an id").to_owned();
    let state = gateway.state_after("STORED", &id).await;
    assert_eq!(
        (&state["state"], &state["partition"], &state["offset"]),
        (&"OK".into(), &0.into(), &0.into()),
        "{state}"
    );
    assert_eq!(values(broker), ["one"]);
}

#[tokio::test]
async fn every_gateway_that_has_the_store_answers_a_request_as_the_first_did() {
    let broker = kafka().await;
    let (store, ahead) = store();
    let first = serve_with(store.clone(), &broker.bootstrap_servers(), &[], &[]).await;
    let second = serve_with(store, &broker.bootstrap_servers(), &[], &[]).await;
    for path in [SEND.to_owned(), format!("{SEND}&sendMode=async"), format!("{SEND}&mode=plain")] {
        let key = format!("Idempotency-Key: {}", path.len());
        let before = values(&broker).len();
        let answers = [first.post(&path, &[&key], b"one").await, second.post(&path, &[&key], b"one").await];
        assert_eq!((answers[0].status / 100, &answers[0].body), (2, &answers[1].body), "{answers:?}");
        assert_eq!(answers[0].status, answers[1].status);
        let other = second.post(&path, &[&key], b"two").await;
        assert_eq!(other.status, 422, "{other:?}");
        let id = answers[0].json()["requestId"].as_str().unwrap().to_owned();
        assert_eq!(first.outcome(&id).await["state"], "OK");
        assert_eq!(values(&broker).len(), before + 1);
    }
    let records = "/api/v1/topics/orders/records";
    let body = br#"{"key": {"text": "k"}, "value": {"text": "one"}}"#;
    let one = first.post(records, &[JSON, KEY], body).await;
    assert_eq!((one.status, one.body), (200, second.post(records, &[JSON, KEY], body).await.body));
    // A day later it is another request.
    ahead.store(DAY + 1, Ordering::SeqCst);
    let again = second.post(records, &[JSON, KEY], br#"{"value": {"text": "two"}}"#).await;
    assert_eq!((again.status, values(&broker).len()), (200, 5), "{again:?}");
}

#[tokio::test]
async fn what_certainly_was_not_written_may_be_tried_again_at_another_gateway() {
    let broker = kafka().await;
    let (store, _) = store();
    let first = serve_with(store.clone(), &broker.bootstrap_servers(), &[], &[("max.request.size", "1000")]).await;
    let second = serve_with(store, &broker.bootstrap_servers(), &[], &[]).await;
    let plain = format!("{SEND}&mode=plain");
    let refused = first.post(&plain, &[KEY], &[b'x'; 2_000]).await;
    assert_eq!((refused.status, &refused.json()["outcome"]), (413, &"not_persisted".into()), "{refused:?}");
    let written = second.post(&plain, &[KEY], &[b'x'; 2_000]).await;
    assert_eq!((written.status, values(&broker).len()), (200, 1), "{written:?}");
}

#[tokio::test]
async fn what_a_gateway_stored_before_it_was_killed_is_delivered_once_and_answered_by_another() {
    let records = br#"{"key": {"text": "k"}, "value": {"text": "one"}}"#;
    let cases: [(&str, &[&str], &[u8]); 3] = [
        (SEND, &[KEY], b"one"),
        ("/api/v1/send?topic=orders&key=k&sendMode=async", &[KEY], b"one"),
        ("/api/v1/topics/orders/records", &[JSON, KEY], records),
    ];
    for (path, headers, body) in cases {
        let (store, ahead) = store();
        if path.contains("async") {
            let (gateway, runtime) = mortal(&store, &nowhere().await).await;
            assert_eq!(gateway.post(path, headers, body).await.status, 202);
            runtime.shutdown_background();
        } else {
            killed_while_asked(&store, path, headers, body).await;
        }
        let broker = kafka().await;
        let second = serve_with(store, &broker.bootstrap_servers(), &[], &PATIENT).await;
        if !path.contains("async") {
            let early = second.post(path, headers, body).await;
            assert_eq!(
                (early.status, early.head.contains("retry-after: 1")),
                (409, true),
                "it may be alive: {early:?}"
            );
        }
        ahead.store(LATER, Ordering::SeqCst);
        let reply = second.post(path, headers, body).await;
        assert_eq!(reply.status, 202, "{reply:?}");
        until_delivered(&second, &broker, &reply).await;
        let again = second.post(path, headers, body).await;
        assert_eq!((again.status, &again.body), (202, &reply.body), "the answer stays the same");
        assert_eq!(values(&broker), ["one"]);
    }
}

#[tokio::test]
async fn a_request_whose_gateway_was_killed_is_answered_with_the_place_of_its_record_once_that_is_delivered() {
    let (store, ahead) = store();
    killed_while_asked(&store, SEND, &[KEY], b"one").await;
    ahead.store(LATER, Ordering::SeqCst);
    let broker = kafka().await;
    let second = serve_with(store, &broker.bootstrap_servers(), &[], &PATIENT).await;
    soon(async {
        while values(&broker).is_empty() || !second.get("/metrics").await.body.contains("kafka_retry_success_total 1") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut reply = second.post(SEND, &[KEY], b"one").await;
    assert!(reply.status == 200 || reply.status == 202, "{reply:?}");
    if reply.status == 202 {
        // The relay had not settled its row yet.
        until_delivered(&second, &broker, &reply).await;
        return;
    }
    let json = reply.json();
    assert_eq!(
        (&json["partition"], &json["offset"], &json["eventId"]),
        (&0.into(), &0.into(), &"E-1".into()),
        "{json}"
    );
    reply = second.post(SEND, &[KEY], b"one").await;
    assert_eq!((reply.status, values(&broker).len()), (200, 1));
}

#[tokio::test]
async fn a_request_whose_gateway_was_killed_before_its_record_was_stored_is_carried_out() {
    let (store, ahead) = store();
    store.fail_next_insert(Fault::Slow(Duration::from_secs(30)));
    killed_while_asked(&store, SEND, &[KEY], b"one").await;
    let broker = kafka().await;
    let second = serve_with(store, &broker.bootstrap_servers(), &[], &PATIENT).await;
    ahead.store(LATER, Ordering::SeqCst);
    let reply = second.post(SEND, &[KEY], b"one").await;
    assert_eq!((reply.status, &reply.json()["offset"]), (200, &0.into()), "{reply:?}");
    assert_eq!(values(&broker), ["one"]);
}

#[tokio::test]
async fn nobody_knows_what_became_of_a_record_that_is_never_stored_if_its_gateway_was_killed() {
    for path in [format!("{SEND}&mode=plain"), format!("{SEND}&partition=0")] {
        let (store, ahead) = store();
        killed_while_asked(&store, &path, &[KEY], b"one").await;
        ahead.store(LATER, Ordering::SeqCst);
        let broker = kafka().await;
        let second = serve_with(store, &broker.bootstrap_servers(), &[], &PATIENT).await;
        let replies = [second.post(&path, &[KEY], b"one").await, second.post(&path, &[KEY], b"one").await];
        assert_eq!((replies[0].status, &replies[0].json()["outcome"]), (504, &"unknown".into()), "{replies:?}");
        assert_eq!((&replies[0].body, values(&broker).len()), (&replies[1].body, 0));
    }
}

#[tokio::test]
async fn beyond_the_most_keys_a_new_one_is_refused_and_an_old_one_answered() {
    let broker = kafka().await;
    let (store, _) = store();
    let gateway = serve_with(store, &broker.bootstrap_servers(), &[("max-idempotency-keys", "1")], &[]).await;
    let first = gateway.post(SEND, &[KEY], b"one").await;
    let full = gateway.post(SEND, &["Idempotency-Key: order-8"], b"two").await;
    assert_eq!((first.status, full.status, values(&broker).len()), (200, 429, 1), "{full:?}");
    assert_eq!(gateway.post(SEND, &[KEY], b"one").await.body, first.body);
}

#[tokio::test]
async fn while_the_store_does_not_answer_a_request_with_a_key_is_not_carried_out() {
    let broker = kafka().await;
    let (store, _) = store();
    let gateway = serve_with(store.clone(), &broker.bootstrap_servers(), &[], &[]).await;
    store.fail_always(Some(Fault::Refuse(milena_resilience::store::StoreErrorKind::Unavailable)));
    let refused = gateway.post(SEND, &[KEY], b"one").await;
    assert_eq!((refused.status, &refused.json()["outcome"]), (503, &"not_persisted".into()), "{refused:?}");
    assert_eq!(values(&broker), [""; 0]);
    store.fail_always(None);
    assert_eq!(gateway.post(SEND, &[KEY], b"one").await.status, 200);
}
