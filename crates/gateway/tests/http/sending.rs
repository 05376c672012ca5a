//! What a caller is told of each record.

use milena::{
    ErrorCode,
    broker::{Api, Fault},
};
use serde_json::json;

use crate::support::{JSON, NDJSON, broker, nowhere, serve, soon};

const SEND: &str = "/api/v1/send?topic=t";
const RECORDS: &str = "/api/v1/topics/t/records";

#[tokio::test]
async fn a_request_that_waits_is_told_where_its_record_is() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[]).await;
    let reply = gateway.post(&format!("{SEND}&mode=plain&eventId=E%22-1&key=k&partition=1"), &[], b"").await;
    let json = reply.json();
    assert_eq!(
        (reply.status, &json["topic"], &json["partition"], &json["offset"]),
        (200, &"t".into(), &1.into(), &0.into())
    );
    assert_eq!(
        (&json["eventId"], &json["mode"], &json["outcome"]),
        (&r#"E"-1"#.into(), &"plain".into(), &"persisted".into())
    );
    let log = broker.log("t", 1);
    assert_eq!(log[0].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(log[0].value.as_deref(), Some(&br#"{"eventId":"E\"-1"}"#[..]));
}

#[tokio::test]
async fn a_body_is_the_record_s_value_and_a_trace_goes_on_in_its_headers() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[]).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = format!("traceparent: {parent}");
    let reply = gateway.post(&format!("{SEND}&eventId=E&partition=0"), &[&traced], b"payload").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    gateway.post(&format!("{SEND}&eventId=E&partition=0"), &["traceparent: 1"], b"payload").await;
    let log = broker.log("t", 0);
    assert_eq!(log[0].value.as_deref(), Some(&b"payload"[..]));
    let headers = |at: usize| {
        log[at].headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!((headers(0), headers(1)), (vec!["eventId".into(), "traceparent".into()], vec!["eventId".to_owned()]));
}

#[tokio::test]
async fn a_request_that_does_not_wait_has_a_state_until_it_made_room() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[("max-statuses", "1")], &[]).await;
    let reply = gateway.post(&format!("{SEND}&sendMode=async"), &[], b"").await;
    let id = reply.json()["requestId"].as_str().unwrap().to_owned();
    assert_eq!((reply.status, &reply.json()["state"]), (202, &"PENDING".into()));
    assert!(reply.head.contains(&format!("location: /api/v1/status?requestid={id}")), "{}", reply.head);
    let state = gateway.outcome(&id).await;
    assert_eq!((&state["state"], &state["offset"], &state["outcome"]), (&"OK".into(), &0.into(), &"persisted".into()));
    assert_eq!(gateway.post(&format!("{SEND}&sendMode=async"), &[], b"").await.status, 202);
    assert_eq!(gateway.get(&format!("/api/v1/status?requestId={id}")).await.status, 410);
    assert_eq!(gateway.get("/api/v1/status?requestId=never").await.status, 404);
}

#[tokio::test]
async fn while_no_broker_answers_a_request_that_does_not_wait_is_accepted_and_ends_in_an_error() {
    let gateway = serve(&nowhere().await, &[], &[("max.block.ms", "200")]).await;
    let reply = gateway.post(&format!("{SEND}&sendMode=async&mode=plain"), &[], b"").await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let state = gateway.outcome(reply.json()["requestId"].as_str().unwrap()).await;
    assert_eq!((&state["state"], &state["retriable"]), (&"ERROR".into(), &true.into()), "{state}");
    assert_eq!((&state["outcome"], &state["code"]), (&"not_persisted".into(), &"NETWORK_EXCEPTION".into()), "{state}");
    let reply = gateway.post(SEND, &[], b"").await;
    assert_eq!((reply.status, &reply.json()["outcome"]), (503, &"not_persisted".into()), "{reply:?}");
    assert!(reply.head.contains("retry-after: 5"), "{}", reply.head);
    assert_eq!((gateway.get("/readyz").await.status, gateway.get("/livez").await.status), (503, 200));
}

#[tokio::test]
async fn a_record_that_may_have_been_written_is_504_and_unknown() {
    let broker = broker("t").await;
    broker.inject(Fault::drop_response().on(Api::Produce).forever());
    let short = [("delivery.timeout.ms", "300"), ("request.timeout.ms", "200"), ("retry.backoff.ms", "10")];
    let gateway = serve(&broker.bootstrap_servers(), &[], &short).await;
    let reply = gateway.post(SEND, &[], b"").await;
    let json = reply.json();
    assert_eq!((reply.status, &json["outcome"], &json["status"]), (504, &"unknown".into(), &504.into()), "{json}");
    assert!(reply.head.contains("content-type: application/problem+json"), "{}", reply.head);
}

#[tokio::test]
async fn a_full_buffer_is_429_and_what_was_accepted_is_delivered_when_the_broker_goes_on() {
    let broker = broker("t").await;
    let memory = [("buffer.memory", "40000"), ("request.timeout.ms", "60000"), ("batch.size", "16384")];
    let gateway = serve(&broker.bootstrap_servers(), &[], &memory).await;
    assert_eq!(gateway.post(SEND, &[], b"").await.status, 200, "the topic is known");
    broker.pause(1).unwrap();
    let mut accepted = Vec::new();
    let refused = loop {
        let reply = gateway.post(&format!("{SEND}&sendMode=async&partition=0"), &[], &[b'x'; 10_000]).await;
        if reply.status != 202 {
            break reply;
        }
        accepted.push(reply.json()["requestId"].as_str().unwrap().to_owned());
        assert!(accepted.len() < 20, "memory is bounded");
    };
    assert_eq!((refused.status, &refused.json()["outcome"]), (429, &"not_persisted".into()), "{refused:?}");
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    assert!(!accepted.is_empty());
    broker.resume(1).unwrap();
    for id in accepted {
        assert_eq!(gateway.outcome(&id).await["state"], "OK");
    }
}

#[tokio::test]
async fn a_record_of_json_is_answered_with_its_own_status() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[]).await;
    let record = json!({
        "key": {"text": "user-1"},
        "value": {"json": {"total": 9}},
        "headers": [{"name": "source", "value": {"base64": "c2hvcA=="}}],
        "partition": 2,
        "timestamp": 1_700_000_000_000_i64,
    });
    let reply = gateway.post(RECORDS, &[JSON], record.to_string().as_bytes()).await;
    assert_eq!((reply.status, &reply.json()["timestamp"]), (200, &1_700_000_000_000_i64.into()), "{reply:?}");
    assert_eq!(broker.log("t", 2)[0].value.as_deref(), Some(&br#"{"total":9}"#[..]));
    let reply = gateway.post(RECORDS, &[JSON], br#"{"partition": 3}"#).await;
    assert_eq!((reply.status, &reply.json()["code"]), (404, &"UNKNOWN_TOPIC_OR_PARTITION".into()), "{reply:?}");
}

#[tokio::test]
async fn a_batch_has_a_result_for_each_record_in_order() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[]).await;
    let batch = br#"[{"partition": 0}, {"vaule": 1}, {"partition": 9}, {"partition": 0, "value": {"text": "last"}}]"#;
    let reply = gateway.post(RECORDS, &[JSON], batch).await;
    let results = reply.json()["results"].as_array().unwrap().clone();
    assert_eq!(
        results.iter().map(|result| result["status"].as_u64().unwrap()).collect::<Vec<_>>(),
        [200, 400, 404, 200]
    );
    assert_eq!((reply.status, &results[3]["offset"]), (207, &1.into()));
    assert_eq!(broker.log("t", 0).len(), 2);
}

#[tokio::test]
async fn after_a_refusal_that_concerns_all_no_other_record_of_a_batch_is_tried() {
    let gateway = serve(&nowhere().await, &[], &[("max.block.ms", "200")]).await;
    let batch = format!("[{}]", ["{}"; 500].join(","));
    let results = gateway.post(RECORDS, &[JSON], batch.as_bytes()).await.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 500);
    assert!(results.iter().all(|result| result["status"] == 503), "each has waited for one wait");
}

#[tokio::test]
async fn a_stream_is_answered_line_by_line_in_order_however_long_it_is() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[("buffer.memory", "60000"), ("batch.size", "4096")]).await;
    let line = format!(r#"{{"partition": 0, "value": {{"text": "{}"}}}}"#, "x".repeat(100));
    let body = format!("{}\nno json\n{{}}", [line.as_str(); 3_000].join("\n"));
    let reply = gateway.post(RECORDS, &[NDJSON], body.as_bytes()).await;
    assert_eq!(reply.status, 207);
    assert_eq!(broker.log("t", 0).iter().filter(|record| record.value.is_some()).count(), 3_000);
    let lines = |text: &str| text.lines().filter(|line| line.starts_with('{')).count();
    assert_eq!(lines(&reply.body), 3_002, "each line has a result");
    assert!(reply.body.contains("urn:milena:problem:bad-body"));
}

#[tokio::test]
async fn a_request_with_an_idempotency_key_is_carried_out_once_and_answered_alike() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[]).await;
    let key = "Idempotency-Key: order-7";
    for path in [&format!("{SEND}&partition=0"), &format!("{SEND}&partition=1&sendMode=async")] {
        let key = format!("{key}-{}", path.len());
        let first = gateway.post(path, &[&key], b"a").await;
        let again = gateway.post(path, &[&key], b"a").await;
        assert!(first.status < 300, "{first:?}");
        assert_eq!((first.status, first.body), (again.status, again.body));
        let other = gateway.post(path, &[&key], b"b").await;
        assert_eq!((other.status, &other.json()["type"]), (422, &"urn:milena:problem:key-reused".into()));
    }
    let log = broker.log("t", 0);
    assert_eq!(log.len(), 1);
    assert!(log[0].headers[0].1.as_deref().unwrap().starts_with(b"order-7-"), "the key is the event's id");
    let batch = gateway.post(RECORDS, &[JSON, "Idempotency-Key: order-8"], b"[{}]").await;
    assert_eq!(batch.status, 422, "{batch:?}");
}

#[tokio::test]
async fn a_key_whose_record_was_certainly_not_written_may_be_used_again() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[]).await;
    broker.inject(Fault::error(ErrorCode::INVALID_RECORD).on(Api::Produce));
    let path = format!("{SEND}&partition=0");
    let statuses = [
        gateway.post(&path, &["Idempotency-Key: a"], b"").await,
        gateway.post(&path, &["Idempotency-Key: a"], b"").await,
    ];
    assert_eq!(statuses.map(|reply| reply.status), [422, 200]);
}

#[tokio::test]
async fn a_key_is_taken_while_its_request_is_carried_out_and_a_caller_who_left_finds_the_answer() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[("request.timeout.ms", "60000")]).await;
    assert_eq!(gateway.post(&format!("{SEND}&partition=0"), &[], b"").await.status, 200, "the topic is known");
    broker.pause(1).unwrap();
    let head =
        format!("POST {SEND}&partition=2 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nIdempotency-Key: a\r\n\r\n");
    let leaving = gateway.raw(&head).await;
    let held = r#"kafka_producer_undelivered_batches{client_id="milena-gateway-idempotent"} 1"#;
    soon(async { while !gateway.get("/metrics").await.body.contains(held) {} }).await;
    let again = || gateway.post("/api/v1/send?topic=t&partition=2", &["Idempotency-Key: a"], b"");
    let reply = again().await;
    assert_eq!((reply.status, &reply.json()["retriable"]), (409, &true.into()), "{reply:?}");
    drop(leaving);
    broker.resume(1).unwrap();
    let reply = soon(async {
        loop {
            let reply = again().await;
            if reply.status != 409 {
                break reply;
            }
        }
    });
    assert_eq!(reply.await.status, 200);
    assert_eq!(broker.log("t", 2).len(), 1);
}
