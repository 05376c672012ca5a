//! Bootstrap addresses without Kafka. Each send fails within `max.block.ms` and names the cause.

use std::time::Duration;

use milena::{Producer, Record, SendError, WaitedFor};
use milena_test_support::peer;

use crate::run;

/// RFC 2606 reserves the name, so no resolver has an address for it.
const UNRESOLVABLE: &str = "kafka.invalid:9092";

#[test]
fn a_bootstrap_server_without_a_port_is_refused_when_the_producer_is_built() {
    run(async {
        for (servers, expected) in
            [("localhost", "port"), ("localhost:", "port"), ("localhost:99999", "port"), ("", "bootstrap")]
        {
            let error = Producer::builder(servers).build().await.unwrap_err().to_string();
            assert!(error.contains("bootstrap.servers") && error.contains(expected), "{servers:?}: {error}");
        }
    });
}

#[test]
fn hosts_of_which_none_resolves_are_refused_when_the_producer_is_built() {
    run(async {
        let error = Producer::builder(UNRESOLVABLE).build().await.unwrap_err().to_string();
        assert!(error.contains("bootstrap.servers") && error.contains("kafka.invalid"), "{error}");
    });
}

#[test]
fn a_refused_connection_is_named() {
    assert_cause(peer::closed_port().to_string(), &["refused"]);
}

#[test]
fn a_web_server_is_recognised() {
    assert_cause(peer::responding(peer::HTTP_RESPONSE).to_string(), &["HTTP"]);
}

#[test]
fn a_tls_server_is_recognised() {
    assert_cause(peer::responding(peer::TLS_ALERT).to_string(), &["TLS"]);
}

#[test]
fn a_server_that_closes_the_connection_is_named() {
    assert_cause(peer::responding(b"").to_string(), &["closed"]);
}

#[test]
fn a_silent_server_is_named() {
    assert_cause(peer::silent().to_string(), &["no response", "ApiVersions"]);
}

#[test]
fn one_working_server_of_several_is_enough() {
    run(async {
        let broker = crate::broker().await;
        let (closed, web, silent) = (peer::closed_port(), peer::responding(peer::HTTP_RESPONSE), peer::silent());
        let servers = format!("{UNRESOLVABLE},{closed},{web},{silent},{}", broker.bootstrap_servers());
        // The request to the silent server fails after request.timeout.ms.
        let builder = Producer::builder(&servers).request_timeout(Duration::from_millis(500));
        let producer = builder.build().await.unwrap();
        producer.send(crate::order("v")).await.unwrap().await.unwrap();
    });
}

/// Sends to `servers` and expects a timeout on metadata whose message has every one of `words`.
fn assert_cause(servers: String, words: &[&str]) {
    run(async {
        let builder = Producer::builder(&servers).max_block(Duration::from_millis(1_500));
        let producer = builder.request_timeout(Duration::from_millis(400)).build().await.unwrap();
        let error = producer.send(Record::to("orders").value("v")).await.unwrap_err();
        assert!(matches!(&error, SendError::Timeout { waited_for: WaitedFor::Metadata, .. }), "{error:?}");
        let message = error.to_string();
        for word in words {
            assert!(message.contains(word), "expected {word:?} in: {message}");
        }
        assert!(message.contains(servers.as_str()), "expected the address in: {message}");
    });
}
