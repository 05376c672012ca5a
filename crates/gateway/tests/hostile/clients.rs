//! Clients that mean harm, or know no better: each with its answer, and the gateway serves others afterwards.

use milena::broker::EmbeddedBroker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{JSON, Served, broker, rest, serve, soon};

const SEND: &str = "POST /api/v1/send?topic=t HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";

async fn gateway() -> (EmbeddedBroker, Served) {
    let broker = broker("t").await;
    let flags = [("read-timeout-ms", "300"), ("max-body-bytes", "1000")];
    let served = serve(&broker.bootstrap_servers(), &flags, &[]).await;
    (broker, served)
}

/// All that comes on a connection on which these bytes were sent.
async fn answer(gateway: &Served, bytes: &[u8]) -> String {
    let mut stream = gateway.connect().await;
    // A head that is refused early is not read to its end.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers on a connection.
fn statuses(answer: &str) -> Vec<&str> {
    let parts = answer.split("HTTP/1.").skip(1).map(|rest| rest.get(2..5).unwrap_or_default());
    // Problems speak of HTTP too.
    parts.filter(|status| status.bytes().all(|digit| digit.is_ascii_digit())).collect()
}

async fn check(name: &str, bytes: &[u8], expected: &[&str]) {
    let (_broker, gateway) = gateway().await;
    let answer = answer(&gateway, bytes).await;
    assert_eq!(statuses(&answer), expected, "{name}: {answer}");
    let refusals = expected.iter().filter(|status| status.starts_with('4')).count();
    assert_eq!(answer.matches("content-type: application/problem+json").count(), refusals, "{name}: {answer}");
    assert_eq!(answer.matches(r#""outcome":"not_persisted""#).count(), refusals, "{name}: {answer}");
    assert_eq!(gateway.get("/health").await.body, "OK", "{name}");
}

#[tokio::test]
async fn bytes_that_are_no_http_end_their_connection() {
    for (name, bytes, expected) in [
        ("nothing but NUL", &b"\0\0\0\0\r\n\r\n"[..], &["400"][..]),
        ("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", &["400"]),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[]),
        ("a version that is none", b"GET /health HTTP/9.9\r\n\r\n", &["400"]),
        ("NUL in a header", b"GET /health HTTP/1.1\r\nHost: x\r\na: \0\r\n\r\n", &["400"]),
        ("a name with a space", b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n", &["400"]),
    ] {
        check(name, bytes, expected).await;
    }
}

#[tokio::test]
async fn lengths_that_contradict_each_other_are_refused_and_nothing_is_smuggled() {
    let smuggled = "0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    for (name, headers, body, expected) in [
        ("two lengths", "Content-Length: 1\r\nContent-Length: 2\r\n", "xx", &["400"][..]),
        ("a length below zero", "Content-Length: -1\r\n", "", &["400"]),
        ("a length with a sign", "Content-Length: +1\r\n", "x", &["400"]),
        ("a length that is too large for a number", "Content-Length: 99999999999999999999\r\n", "x", &["400"]),
        ("a coding that is none", "Transfer-Encoding: x\r\n", "x", &["400"]),
        ("a chunk's length that is none", "Transfer-Encoding: chunked\r\n", "zz\r\n", &["400"]),
        ("a chunk longer than memory", "Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n", &["400"]),
        ("chunked, and a length", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", smuggled, &["200"]),
        ("a body that is cut short", "Content-Length: 10\r\n", "x", &["408"]),
        ("a chunk that is cut short", "Transfer-Encoding: chunked\r\n", "a\r\nx", &["408"]),
        ("a length beyond the limit", "Content-Length: 1001\r\n", "", &["413"]),
    ] {
        check(name, format!("{SEND}{headers}\r\n{body}").as_bytes(), expected).await;
    }
}

#[tokio::test]
async fn heads_without_measure_are_refused() {
    let many: String = (0..100_000).map(|number| format!("a{number}: b\r\n")).collect();
    check("100,000 headers", format!("{SEND}{many}\r\n").as_bytes(), &["431"]).await;
    let long = "x".repeat(4 << 20);
    check("a header of 4 MiB", format!("{SEND}a: {long}\r\n\r\n").as_bytes(), &["431"]).await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_ends_its_connection() {
    let (_broker, gateway) = gateway().await;
    for head in ["", "POST /api/v1/send HTTP/1.1\r\nHos"] {
        let mut stream = gateway.raw(head).await;
        let mut answer = Vec::new();
        let _ = soon(stream.read_to_end(&mut answer)).await;
        assert_eq!(String::from_utf8_lossy(&answer), "", "{head}");
    }
    assert_eq!(gateway.get("/health").await.body, "OK");
}

#[tokio::test]
async fn nul_bytes_that_are_no_text_and_repetitions_are_refused_in_each_parameter() {
    let (_broker, gateway) = gateway().await;
    for name in ["mode", "sendMode", "eventId", "key", "partition", "topic"] {
        for value in ["%00", "a%00b", "%ff", "%c3%28", "%ed%a0%80", ""] {
            let reply = gateway.post(&format!("/api/v1/send?{name}={value}"), &[], b"").await;
            assert_eq!(reply.status, 400, "{name}={value}: {reply:?}");
        }
        let reply = gateway.post(&format!("/api/v1/send?{name}=a&{name}=a"), &[], b"").await;
        assert_eq!(reply.status, 400, "{name} twice: {reply:?}");
    }
    for value in ["%00", "%ff"] {
        assert_eq!(gateway.get(&format!("/api/v1/status?requestId={value}")).await.status, 400, "{value}");
        let reply = gateway.post(&format!("/api/v1/topics/{value}/records"), &[JSON], b"{}").await;
        assert_eq!(reply.status, 400, "{value}");
    }
    assert_eq!(gateway.get("/health").await.body, "OK");
}

#[tokio::test]
async fn headers_that_are_no_text_are_refused_or_left_out() {
    for (name, header, status) in [
        ("a key", &b"Idempotency-Key: \xff"[..], "400"),
        ("a trace", b"traceparent: \xff", "200"),
        ("a type that nothing reads", b"Content-Type: \xff", "200"),
        ("a token that nobody asks for", b"Authorization: \xff", "200"),
    ] {
        let bytes = [SEND.as_bytes(), header, b"\r\nContent-Length: 0\r\n\r\n"].concat();
        check(name, &bytes, &[status]).await;
    }
}

#[tokio::test]
async fn other_ways_of_http_1_are_served() {
    for (name, bytes, expected) in [
        ("HTTP/1.0", "GET /health HTTP/1.0\r\n\r\n", &["200"][..]),
        ("a whole URL", "GET http://x/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &["200"]),
        (
            "three at once",
            "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            &["200", "404", "200"],
        ),
    ] {
        check(name, bytes.as_bytes(), expected).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_takes_nothing_with_it() {
    let (broker, gateway) = gateway().await;
    for _ in 0..20 {
        drop(gateway.raw(&format!("{SEND}Content-Length: 10\r\n\r\n12345")).await);
    }
    let reply = rest(gateway.raw(&format!("{SEND}Content-Length: 1\r\n\r\nx")).await).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let records: usize = (0..3).map(|partition| broker.log("t", partition).len()).sum();
    assert_eq!(records, 1, "half a body is no record");
}

/// Asks for a long answer again and again and reads none. Returns when the connection has ended.
async fn never_read(gateway: &Served) {
    let mut stream = gateway.connect().await;
    while stream.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n").await.is_ok() {}
}

#[tokio::test]
async fn a_client_that_never_reads_its_answers_is_cut_and_one_that_has_time_is_not() {
    let broker = broker("t").await;
    for (patience, is_cut) in [("300", true), ("600000", false)] {
        let gateway = serve(&broker.bootstrap_servers(), &[("write-timeout-ms", patience)], &[]).await;
        if is_cut {
            soon(never_read(&gateway)).await;
        } else {
            let a_while = std::time::Duration::from_secs(2);
            assert!(tokio::time::timeout(a_while, never_read(&gateway)).await.is_err(), "the control: it waits");
        }
        assert_eq!(gateway.get("/health").await.body, "OK");
    }
}
