//! Lies about supported versions. The negotiation ends with an error that names the missing version.

use std::time::Duration;

use milena::{Producer, Record, SendError};
use milena_test_support::peer;

use crate::{
    liar::{Dialect, NEW, Told},
    responses::{API_VERSIONS, Asked, api_versions, unsupported},
    run,
    scenario::{Case, Expect, Times, run_all},
};

const PRODUCE: (i16, i16, i16) = (0, 3, 13);
const METADATA: (i16, i16, i16) = (3, 4, 13);
const API: (i16, i16, i16) = (18, 0, 4);
const ID: (i16, i16, i16) = (22, 0, 5);

fn case(
    name: impl Into<String>,
    tell: impl Fn(&Asked) -> Told + Send + Sync + 'static,
    outcome: (Times, Expect, bool),
) -> Case {
    Case::new(name, NEW, API_VERSIONS, tell, outcome)
}

/// A broker that answers every version of the question with "unsupported", whatever it claims to know.
#[test]
fn a_negotiation_without_end_is_ended() {
    let claims: [(&str, Dialect); 6] = [
        ("nothing", &[]),
        ("all that is needed", NEW),
        ("one version less", &[(18, 0, 3), PRODUCE, METADATA, ID]),
        ("negative versions", &[(18, -3, -1)]),
        ("every version", &[(18, i16::MIN, i16::MAX)]),
        ("the highest below the lowest", &[(18, 3, 1)]),
    ];
    let cases = claims.map(|(name, claim)| {
        let tell = move |asked: &Asked| Told::Frame(unsupported(asked, claim).bytes);
        case(name, tell, (Times::Always, Expect::Unsent(&["ApiVersions 0", "UNSUPPORTED_VERSION"]), true))
    });
    run(run_all(cases.into()));
}

#[test]
fn another_error_in_the_answer_is_told_and_its_versions_are_not_used() {
    let cases = [41, 42, -1, 9_999, i16::MIN].map(|error| {
        let tell = move |asked: &Asked| Told::Frame(api_versions(asked, error, NEW).bytes);
        let outcome = (Times::Always, Expect::Unsent(&["refused to say what it speaks"]), true);
        case(format!("error {error}"), tell, outcome)
    });
    run(run_all(cases.into()));
}

#[test]
fn a_broker_that_lacks_what_a_producer_needs_is_named_with_what_it_lacks() {
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
        let tell = move |asked: &Asked| Told::Frame(api_versions(asked, 0, claim).bytes);
        case(name, tell, (Times::Always, Expect::Unsent(words), true))
    });
    run(run_all(cases.into()));
}

#[test]
fn odd_claims_that_leave_a_common_version_do_no_harm() {
    let claims: [(&str, Dialect); 4] = [
        ("no ApiVersions", &[PRODUCE, METADATA, ID]),
        ("every version there can be", &[(0, i16::MIN, i16::MAX), METADATA, API, ID]),
        ("the same key twice", &[PRODUCE, METADATA, PRODUCE, API, ID]),
        ("keys that nobody knows", &[(-7, 0, 1), (999, 5, 9), PRODUCE, METADATA, API, ID]),
    ];
    let cases = claims.map(|(name, claim)| {
        let tell = move |asked: &Asked| Told::Frame(api_versions(asked, 0, claim).bytes);
        case(name, tell, (Times::Always, Expect::Delivered, false))
    });
    run(run_all(cases.into()));
}

/// Peers that are no broker at all, and never become one.
#[test]
fn a_peer_of_another_kind_is_recognised_by_its_first_bytes() {
    run(async {
        for (response, words) in [(peer::HTTP_ANSWER, "HTTP"), (peer::TLS_ALERT, "TLS"), (b"".as_slice(), "closed")] {
            let servers = peer::answering(response).to_string();
            let producer = Producer::builder(&servers).max_block(Duration::from_secs(1)).build().await.unwrap();
            let error = producer.send(Record::to("orders").value("v")).await.unwrap_err();
            assert!(matches!(error, SendError::Timeout { .. }) && error.to_string().contains(words), "{error}");
        }
    });
}

#[cfg(feature = "zstd")]
mod zstd {
    use milena::{
        Compression,
        broker::{Api, EmbeddedBroker},
    };

    use super::*;
    use crate::{liar::Liar, responses::TOPIC};

    /// It would write what it cannot read, or refuse every attempt in words of its own.
    #[test]
    fn a_broker_that_does_not_know_zstd_gets_no_batch_in_it() {
        const OLD: Dialect = &[(0, 3, 6), METADATA, API, ID];
        run(async {
            let broker = EmbeddedBroker::builder().topic(TOPIC, 3).start().await.unwrap();
            let liar = Liar::start(broker.port(1).unwrap(), OLD, None, 0).await;
            let builder = || Producer::builder(&liar.address.to_string()).max_block(Duration::from_secs(1));
            let producer = builder().compression(Compression::Zstd).build().await.unwrap();
            let error = producer.send(Record::to(TOPIC).value(&"a".repeat(1_000))).await.unwrap_err();
            let words =
                [liar.address.to_string(), "Produce up to version 6".into(), "zstd".into(), "compression.type".into()];
            assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
            let producer = builder().compression(Compression::Gzip).build().await.unwrap();
            producer.send(Record::to(TOPIC).value(&"a".repeat(1_000))).await.unwrap().await.unwrap();
            assert_eq!(broker.requests(Api::Produce), 1);
        });
    }
}
