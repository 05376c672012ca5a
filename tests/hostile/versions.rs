//! False supported versions. The negotiation ends with an error that names the missing version.

use std::time::Duration;

use milena::{Producer, Record, SendError};
use milena_test_support::peer;

use crate::{
    proxy::{Dialect, NEW, Reply},
    responses::{API_VERSIONS, Request, api_versions, unsupported},
    run,
    scenario::{Case, Expect, Times, run_all},
};

const PRODUCE: (i16, i16, i16) = (0, 3, 13);
const METADATA: (i16, i16, i16) = (3, 4, 13);
const API: (i16, i16, i16) = (18, 0, 4);
const ID: (i16, i16, i16) = (22, 0, 5);

fn case(
    name: impl Into<String>,
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    outcome: (Times, Expect, bool),
) -> Case {
    Case::new(name, NEW, API_VERSIONS, reply, outcome)
}

/// A broker that responds to every version of ApiVersions with `UNSUPPORTED_VERSION`, whatever versions it claims to support.
#[test]
fn a_negotiation_that_never_succeeds_is_ended() {
    let claims: [(&str, Dialect); 6] = [
        ("nothing", &[]),
        ("all that is needed", NEW),
        ("one version less", &[(18, 0, 3), PRODUCE, METADATA, ID]),
        ("negative versions", &[(18, -3, -1)]),
        ("every version", &[(18, i16::MIN, i16::MAX)]),
        ("the highest below the lowest", &[(18, 3, 1)]),
    ];
    let cases = claims.map(|(name, claim)| {
        let reply = move |request: &Request| Reply::Frame(unsupported(request, claim).bytes);
        case(name, reply, (Times::Always, Expect::Unsent(&["ApiVersions 0", "UNSUPPORTED_VERSION"]), true))
    });
    run(run_all(cases.into()));
}

#[test]
fn another_error_in_the_response_is_reported_and_its_versions_are_not_used() {
    let cases = [41, 42, -1, 9_999, i16::MIN].map(|error| {
        let reply = move |request: &Request| Reply::Frame(api_versions(request, error, NEW).bytes);
        let outcome = (Times::Always, Expect::Unsent(&["refused to say what it speaks"]), true);
        case(format!("error {error}"), reply, outcome)
    });
    run(run_all(cases.into()));
}

#[test]
fn an_error_names_the_api_of_which_a_broker_supports_no_version() {
    let claims: [(&str, Dialect, &[&str]); 9] = [
        ("no keys", &[], &["no version of Metadata", "Apache Kafka 2.1"]),
        ("no Metadata", &[PRODUCE, API, ID], &["no version of Metadata"]),
        ("no Produce", &[METADATA, API, ID], &["no version of Produce"]),
        ("no InitProducerId", &[METADATA, API, PRODUCE], &["no version of InitProducerId"]),
        ("Produce too old", &[(0, 0, 2), METADATA, API, ID], &["no version of Produce"]),
        ("Produce too new", &[(0, 14, 20), METADATA, API, ID], &["no version of Produce"]),
        ("Produce from 9 to 5", &[(0, 9, 5), METADATA, API, ID], &["no version of Produce"]),
        ("negative versions", &[(0, -5, -1), METADATA, API, ID], &["no version of Produce"]),
        ("all negative", &[(0, -1, -1), (3, -1, -1), (22, -1, -1)], &["no version of Metadata"]),
    ];
    let cases = claims.map(|(name, claim, words)| {
        let reply = move |request: &Request| Reply::Frame(api_versions(request, 0, claim).bytes);
        case(name, reply, (Times::Always, Expect::Unsent(words), true))
    });
    run(run_all(cases.into()));
}

#[test]
fn odd_versions_with_a_common_version_are_accepted() {
    let claims: [(&str, Dialect); 4] = [
        ("no ApiVersions", &[PRODUCE, METADATA, ID]),
        ("every possible version", &[(0, i16::MIN, i16::MAX), METADATA, API, ID]),
        ("the same key twice", &[PRODUCE, METADATA, PRODUCE, API, ID]),
        ("unknown keys", &[(-7, 0, 1), (999, 5, 9), PRODUCE, METADATA, API, ID]),
    ];
    let cases = claims.map(|(name, claim)| {
        let reply = move |request: &Request| Reply::Frame(api_versions(request, 0, claim).bytes);
        case(name, reply, (Times::Always, Expect::Delivered, false))
    });
    run(run_all(cases.into()));
}

/// Peers that are not Kafka brokers.
#[test]
fn a_peer_of_another_kind_is_recognised_by_its_first_bytes() {
    run(async {
        for (response, words) in [(peer::HTTP_RESPONSE, "HTTP"), (peer::TLS_ALERT, "TLS"), (b"".as_slice(), "closed")] {
            let servers = peer::responding(response).to_string();
            let producer = Producer::builder(&servers).max_block(Duration::from_secs(1)).build().await.unwrap();
            let error = producer.send(Record::to("orders").value("v")).await.unwrap_err();
            assert!(matches!(error, SendError::Timeout { .. }) && error.to_string().contains(words), "{error}");
        }
    });
}

#[cfg(any(feature = "zstd", feature = "zstd-rust"))]
mod zstd {
    use milena::{
        Compression,
        broker::{Api, EmbeddedBroker},
    };

    use super::*;
    use crate::{proxy::Proxy, responses::TOPIC};

    /// Such a broker would append a batch that it cannot read, or refuse every attempt with an error that does not name zstd.
    #[test]
    fn a_broker_that_does_not_support_zstd_receives_no_batch_with_it() {
        const OLD: Dialect = &[(0, 3, 6), METADATA, API, ID];
        run(async {
            let broker = EmbeddedBroker::builder().topic(TOPIC, 3).start().await.unwrap();
            let proxy = Proxy::start(broker.port(1).unwrap(), OLD, None, 0).await;
            let builder = || Producer::builder(&proxy.address.to_string()).max_block(Duration::from_secs(1));
            let producer = builder().compression(Compression::Zstd).build().await.unwrap();
            let error = producer.send(Record::to(TOPIC).value(&"a".repeat(1_000))).await.unwrap_err();
            let words =
                [proxy.address.to_string(), "Produce up to version 6".into(), "zstd".into(), "compression.type".into()];
            assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
            let producer = builder().compression(Compression::Gzip).build().await.unwrap();
            producer.send(Record::to(TOPIC).value(&"a".repeat(1_000))).await.unwrap().await.unwrap();
            assert_eq!(broker.requests(Api::Produce), 1);
        });
    }
}
