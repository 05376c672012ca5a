//! Limits, and requests that are wrong.

use crate::support::{JSON, NDJSON, Reply, Served, broker, rest, serve, serve_to};

const RECORDS: &str = "/api/v1/topics/t/records";

async fn gateway() -> (milena::broker::EmbeddedBroker, Served) {
    let broker = broker("t").await;
    let flags = [
        ("max-body-bytes", "100"),
        ("max-key-bytes", "10"),
        ("allowed-topics", "t,bhf-transactions"),
        ("read-timeout-ms", "300"),
    ];
    let served = serve(&broker.bootstrap_servers(), &flags, &[]).await;
    (broker, served)
}

fn check(reply: &Reply, status: u16, detail: &str) {
    let json = reply.json();
    assert_eq!((reply.status, &json["status"]), (status, &status.into()), "{reply:?}");
    assert!(json["detail"].as_str().unwrap().contains(detail), "{reply:?}");
    assert_eq!((&json["outcome"], &json["retriable"]), (&"not_persisted".into(), &false.into()), "{reply:?}");
    assert!(json["requestId"].is_string(), "{reply:?}");
    assert!(reply.head.contains("content-type: application/problem+json"), "{reply:?}");
}

#[tokio::test]
async fn each_mistake_has_its_own_status_and_says_what_was_expected() {
    let (_broker, gateway) = gateway().await;
    let long = [b'x'; 101];
    for (path, headers, body, status, detail) in [
        ("/api/v1/send?mode=fast", &[][..], &b""[..], 400, "mode: expected plain or idempotent"),
        ("/api/v1/send?key=%00", &[], b"", 400, "key: expected text, got a NUL"),
        ("/api/v1/send?key=12345678901", &[], b"", 413, "expected at most 10 bytes of key, got 11"),
        ("/api/v1/send?topic=other", &[], b"", 403, "none of those that this gateway is set to write to"),
        ("/api/v1/send", &[], &long, 413, "expected a body of at most 100 bytes"),
        (RECORDS, &[JSON], &long, 413, "expected a body of at most 100 bytes"),
        (RECORDS, &[], b"{}", 415, "got none"),
        (RECORDS, &["Content-Type: text/xml; a=b"], b"{}", 415, "got text/xml"),
        (RECORDS, &[JSON], b"{", 400, "EOF while parsing"),
        ("/api/v1/topics/%ff/records", &[JSON], b"{}", 400, "topic: expected UTF-8"),
        ("/api/v1/topics/t/records?x=1", &[JSON], b"{}", 400, "x: no such parameter"),
        ("/api/v2/send", &[], b"", 404, "see the paths"),
        ("/health", &[], b"", 405, "the header Allow"),
    ] {
        check(&gateway.post(path, headers, body).await, status, detail);
    }
    check(&gateway.get("/api/v1/status").await, 400, "requestId: expected the id");
    let reply = gateway.get("/api/v1/send").await;
    check(&reply, 405, "the header Allow");
    assert!(reply.head.contains("allow: post"), "{reply:?}");
}

#[tokio::test]
async fn with_tokens_only_those_who_have_one_may_send_and_all_may_ask_for_health() {
    let broker = broker("t").await;
    let gateway = serve_to(Some("0123456789abcdef"), &broker.bootstrap_servers(), &[], &[]).await;
    for headers in [&[][..], &["Authorization: Bearer 0123456789abcdeX"]] {
        let reply = gateway.post("/api/v1/send?topic=t", headers, b"").await;
        check(&reply, 401, "expected the header Authorization");
        assert!(reply.head.contains("www-authenticate: bearer"), "{reply:?}");
    }
    check(&gateway.get("/api/v1/status?requestId=x").await, 401, "expected the header Authorization");
    let reply = gateway.post("/api/v1/send?topic=t", &["Authorization: Bearer 0123456789abcdef"], b"").await;
    assert_eq!((reply.status, gateway.get("/health").await.status), (200, 200), "{reply:?}");
}

#[tokio::test]
async fn a_type_of_a_body_may_have_parameters() {
    let (_broker, gateway) = gateway().await;
    let reply = gateway.post(RECORDS, &["Content-Type: Application/JSON; charset=utf-8"], b"{}").await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_given_up() {
    let (_broker, gateway) = gateway().await;
    let head = "POST /api/v1/send HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12345";
    check(&rest(gateway.raw(head).await).await, 408, "the body was not there within 300 ms");
}

#[tokio::test]
async fn a_chunked_body_is_limited_as_well() {
    let (_broker, gateway) = gateway().await;
    let chunk = format!("65\r\n{}\r\n0\r\n\r\n", "x".repeat(0x65));
    let head = "POST /api/v1/send HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&rest(gateway.raw(&format!("{head}{chunk}")).await).await, 413, "expected a body of at most 100 bytes");
}

#[tokio::test]
async fn a_line_of_a_stream_is_limited_and_the_results_before_it_stand() {
    let (broker, gateway) = gateway().await;
    let body = format!("{{\"partition\": 1}}\n{}\n{{}}\n", "x".repeat(101));
    let reply = gateway.post(RECORDS, &[NDJSON], body.as_bytes()).await;
    assert_eq!(reply.status, 207);
    let (written, refused) = (reply.body.find(r#""status":200"#), reply.body.find("urn:milena:problem:too-large"));
    assert!(written.is_some() && written < refused, "{reply:?}");
    assert_eq!(broker.log("t", 1).len(), 1);
}

#[tokio::test]
async fn no_bytes_break_a_server() {
    let (_broker, gateway) = gateway().await;
    for bytes in [
        "\0\0\0\0\r\n\r\n",
        "GET /health HTTP/9.9\r\n\r\n",
        "POST /api/v1/send HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /api/v1/send HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        drop(gateway.raw(bytes).await);
    }
    let many: String = (0..101).map(|number| format!("a{number}: b\r\n")).collect();
    let reply = rest(gateway.raw(&format!("GET /health HTTP/1.1\r\nHost: x\r\n{many}\r\n")).await).await;
    assert_eq!(reply.status, 431, "{reply:?}");
    assert_eq!(gateway.get("/health").await.body, "OK");
}
