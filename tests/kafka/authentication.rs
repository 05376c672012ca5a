//! Who the client is: each mechanism, sessions that end every few seconds, what a refusal says, and passwords that are corrected.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use milena::{
    ErrorCode, Producer, ProducerBuilder, Record, SaslMechanism, SendError,
    admin::{Admin, AdminError},
};

use crate::{
    cluster::{Kind, unique},
    secured::{FIRST, MECHANISMS, PROTOCOL, SESSION, Secured},
};

/// carol's and dave's mechanism.
const SCRAM: SaslMechanism = if cfg!(feature = "scram") { SaslMechanism::ScramSha256 } else { SaslMechanism::Plain };

async fn refused(builder: ProducerBuilder) -> SendError {
    let producer = builder.build().await.unwrap();
    producer.send(Record::to("refused").value("a")).await.map(drop).expect_err("nobody is let in")
}

/// A reader for alice.
async fn reader(cluster: &Secured, mechanism: &str, password: &str) -> Result<Admin, AdminError> {
    let properties = [
        ("bootstrap.servers", &*cluster.server()),
        ("security.protocol", PROTOCOL),
        ("sasl.mechanism", mechanism),
        ("sasl.username", "alice"),
        ("sasl.password", password),
    ];
    Admin::from_properties(properties).await
}

pub(crate) async fn every_mechanism_lets_the_producer_and_the_reader_in(kind: Kind) {
    let cluster = Secured::start(kind).await;
    for (mechanism, name) in MECHANISMS {
        let (topic, password) = (format!("let-in-{name}"), cluster.password(*mechanism));
        let producer = cluster.builder(*mechanism, "alice", password).build().await.unwrap();
        let ack = producer.send(Record::to(&topic).key("k").value("v")).await.unwrap().await.unwrap();
        assert_eq!(ack.offset(), Some(0));
        producer.close().await.unwrap();
        let mut admin = reader(&cluster, name, password).await.unwrap();
        assert_eq!(admin.read_all(&topic).await.unwrap().len(), 1);
    }
}

pub(crate) async fn a_refusal_comes_at_once_and_says_who_was_refused_how_and_what_to_look_at(kind: Kind) {
    let cluster = Secured::start(kind).await;
    for (mechanism, name) in MECHANISMS {
        for user in ["alice", "nobody"] {
            let error = refused(cluster.builder(*mechanism, user, "hunter2")).await;
            says(&error, &format!("refused user \"{user}\" by {name}: SASL_AUTHENTICATION_FAILED"));
        }
    }
    if matches!(cluster, Secured::Real(_)) {
        let error = refused(cluster.builder(SaslMechanism::ScramSha512, "bob", "secret-256")).await;
        says(&error, "credentials of this mechanism");
    }
    let error = reader(&cluster, "PLAIN", "hunter2").await.unwrap_err();
    assert!(matches!(error, AdminError::Unauthenticated { .. }) && !error.retriable(), "{error}");
}

fn says(error: &SendError, expected: &str) {
    assert!(matches!(error, SendError::Unauthenticated { .. }), "{error}");
    assert_eq!(error.code(), ErrorCode::SASL_AUTHENTICATION_FAILED);
    assert!(error.to_string().contains(expected) && !error.to_string().contains("hunter2"), "{error}");
}

pub(crate) async fn a_listener_without_sasl_says_so(kind: Kind) {
    let (cluster, plaintext) = (Secured::start(kind).await, kind.shared().await);
    let builder = cluster.builder(SaslMechanism::Plain, "alice", "secret");
    let error = refused(builder.property("bootstrap.servers", plaintext.bootstrap_servers())).await;
    assert_eq!(error.code(), ErrorCode::ILLEGAL_SASL_STATE, "{error}");
    assert!(error.to_string().contains("security.protocol"), "{error}");
}

pub(crate) async fn a_listener_that_wants_sasl_is_recognised_by_a_client_without_it(kind: Kind) {
    let cluster = Secured::start(kind).await;
    let error = refused(ProducerBuilder::new(&cluster.server()).max_block(Duration::from_secs(1))).await;
    assert!(error.to_string().contains("a listener that wants SASL does so"), "{error}");
}

pub(crate) async fn sessions_that_end_every_three_seconds_cost_no_record_and_no_connection(kind: Kind) {
    let (cluster, topic) = (Secured::start(kind).await, unique("sessions"));
    let (mechanism, _) = MECHANISMS[MECHANISMS.len() / 2];
    let producer = cluster.builder(mechanism, "alice", cluster.password(mechanism)).build().await.unwrap();
    let connections = |producer: &Producer| producer.metrics().get("producer-metrics", "connection-creation-total");
    producer.send(Record::to(&topic).value("first")).await.unwrap().await.unwrap();
    let (before, goes_on, sent) =
        (connections(&producer), Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (producer, topic) = (producer.clone(), topic.clone());
            let (goes_on, sent) = (Arc::clone(&goes_on), Arc::clone(&sent));
            tokio::spawn(async move {
                while goes_on.load(Ordering::Relaxed) {
                    producer.send(Record::to(&topic).value("next")).await.unwrap().await.unwrap();
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // Long enough for three sessions.
    tokio::time::sleep(SESSION * 7 / 2).await;
    goes_on.store(false, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(sent.load(Ordering::Relaxed) > 100);
    assert_eq!(connections(&producer), before, "no connection was made anew");
    producer.close().await.unwrap();
}

pub(crate) async fn a_record_that_waits_is_delivered_once_the_brokers_have_the_password_again(kind: Kind) {
    let (cluster, topic) = (Secured::start(kind).await, unique("corrected"));
    let producer = cluster.builder(SCRAM, "carol", FIRST).build().await.unwrap();
    producer.send(Record::to(&topic).value("before")).await.unwrap().await.unwrap();
    cluster.change_password("carol", "second");
    // The session ends soon, and the broker does not let the producer in again.
    while producer.metrics().get("producer-metrics", "connection-count") != Some(0.0) {
        drop(producer.send(Record::to(&topic).value("meanwhile")).await.unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let waits = producer.send(Record::to(&topic).value("waits")).await.unwrap();
    cluster.change_password("carol", FIRST);
    let ack = waits.await.unwrap();
    assert!(ack.offset() > Some(0));
    producer.close().await.unwrap();
}

pub(crate) async fn a_producer_that_was_refused_sends_once_its_password_is_right(kind: Kind) {
    let (cluster, topic) = (Secured::start(kind).await, unique("refused-first"));
    let producer = cluster.builder(SCRAM, "dave", "later").build().await.unwrap();
    let error = producer.send(Record::to(&topic).value("early")).await.map(drop).unwrap_err();
    says(&error, "refused user \"dave\"");
    cluster.change_password("dave", "later");
    let delivery = loop {
        match producer.send(Record::to(&topic).value("late")).await {
            Ok(delivery) => break delivery,
            Err(error) => assert!(matches!(error, SendError::Unauthenticated { .. }), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(delivery.await.unwrap().offset(), Some(0));
    cluster.change_password("dave", FIRST);
    producer.close().await.unwrap();
}
