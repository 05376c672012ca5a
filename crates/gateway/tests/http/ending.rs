//! What happens to connections and records at the end.

use milena_gateway::Ended;
use tokio::io::AsyncReadExt;

use crate::support::{NDJSON, broker, rest, serve, soon};

/// No connection ends because it was silent.
const PATIENT: (&str, &str) = ("read-timeout-ms", "600000");
const SEND: &str = "POST /api/v1/send?topic=t HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn idle_connections_are_closed_and_nothing_is_left_undone() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[PATIENT], &[]).await;
    let mut silent = gateway.connect().await;
    let mut used = gateway.raw("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut answer = [0; 12];
    used.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let ended = soon(gateway.stop()).await.unwrap();
    assert_eq!(ended, Ended { cut: 0, undelivered: None });
    let mut left = Vec::new();
    soon(used.read_to_end(&mut left)).await.unwrap();
    soon(silent.read_to_end(&mut left)).await.unwrap();
}

#[tokio::test]
async fn a_request_that_waits_is_answered_before_the_end() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[PATIENT], &[("request.timeout.ms", "60000")]).await;
    assert_eq!(gateway.post("/api/v1/send?topic=t", &[], b"").await.status, 200, "the topic is known");
    broker.pause(1).unwrap();
    let waiting = gateway.raw(SEND).await;
    let held = r#"kafka_producer_undelivered_batches{client_id="milena-gateway-idempotent"} 1"#;
    soon(async { while !gateway.get("/metrics").await.body.contains(held) {} }).await;
    let ending = gateway.stop();
    broker.resume(1).unwrap();
    let reply = rest(waiting).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(soon(ending).await.unwrap(), Ended { cut: 0, undelivered: None });
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_and_told() {
    let broker = broker("t").await;
    let flags = [PATIENT, ("shutdown-ms", "200")];
    let gateway = serve(&broker.bootstrap_servers(), &flags, &[("request.timeout.ms", "60000")]).await;
    assert_eq!(gateway.post("/api/v1/send?topic=t", &[], b"").await.status, 200, "the topic is known");
    broker.pause(1).unwrap();
    let reply = gateway.post("/api/v1/send?topic=t&sendMode=async", &[], b"").await;
    assert_eq!(reply.status, 202);
    let _half = gateway.raw("POST /api/v1/send HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1").await;
    let mut used = gateway.raw("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    used.read_exact(&mut [0; 12]).await.unwrap();
    let ended = soon(gateway.stop()).await.unwrap();
    assert_eq!(ended.cut, 1, "the idle one was closed: {ended:?}");
    assert!(ended.undelivered.is_some(), "the record has no answer: {ended:?}");
}

#[tokio::test]
async fn a_stream_ends_with_the_results_of_what_was_read() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[PATIENT], &[]).await;
    let line = "{\"partition\": 0}\n";
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    let head = "POST /api/v1/topics/t/records HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked";
    let mut stream = gateway.raw(&format!("{head}\r\n{NDJSON}\r\n\r\n{chunk}")).await;
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(r#""status":200"#) {
        assert!(soon(stream.read_buf(&mut answer)).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
    }
    let ending = gateway.stop();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(soon(ending).await.unwrap(), Ended { cut: 0, undelivered: None });
}
