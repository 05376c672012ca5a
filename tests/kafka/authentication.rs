//! Who the client is, before a real Apache Kafka: each mechanism, sessions that end every few seconds, and what a refusal says.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use milena::{
    ErrorCode, Producer, ProducerBuilder, Record, SaslMechanism, SecurityProtocol, SendError,
    admin::{Admin, AdminError},
};
use milena_test_support::kafka::RealKafka;

const SASL: &str = "SASL_PLAINTEXT";
/// A password with what JAAS and SCRAM treat as special.
const PASSWORD: &str = "pä,s=\"s'w;rd";
/// How long a broker knows a client.
const SESSION_MS: &str = "3000";

/// A broker that knows alice by each mechanism, and bob by SCRAM-SHA-256 alone.
static KAFKA: LazyLock<RealKafka> = LazyLock::new(|| {
    let users = [
        format!("SCRAM-SHA-256=[name=alice,password=\"{}\"]", "secret-256"),
        format!("SCRAM-SHA-512=[name=alice,password=\"{}\"]", "secret-512"),
        "SCRAM-SHA-256=[name=b=o,password=\"secret-256\"]".replace("b=o", "bob"),
    ];
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let quoted = PASSWORD.replace('"', "\\\\\"");
    let plain = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"{}\";",
        escaped(&quoted)
    );
    let settings = [
        ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"),
        ("listener.name.sasl_plaintext.plain.sasl.jaas.config", &*plain),
        ("listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config", scram),
        ("listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config", scram),
        ("connections.max.reauth.ms", SESSION_MS),
    ];
    RealKafka::start_secured(&[SASL], &users.each_ref().map(String::as_str), &settings)
});

/// Text of a properties file, which is in Latin 1 for Java.
fn escaped(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect()
}

fn builder(mechanism: SaslMechanism, user: &str, password: &str) -> ProducerBuilder {
    ProducerBuilder::new(&KAFKA.secured_server(SASL))
        .security_protocol(SecurityProtocol::SaslPlaintext)
        .sasl(mechanism, user, password)
}

/// A reader with these settings.
async fn reader(settings: [(&str, &str); 4]) -> Result<Admin, AdminError> {
    let server = KAFKA.secured_server(SASL);
    Admin::from_properties([("bootstrap.servers", &*server)].into_iter().chain(settings)).await
}

async fn refused(builder: ProducerBuilder) -> SendError {
    let producer = builder.build().await.unwrap();
    producer.send(Record::to("refused").value("a")).await.map(drop).expect_err("nobody is let in")
}

#[test]
fn every_mechanism_lets_the_producer_and_the_reader_in() {
    crate::run(async {
        for (mechanism, name, password) in [
            (SaslMechanism::Plain, "PLAIN", PASSWORD),
            (SaslMechanism::ScramSha256, "SCRAM-SHA-256", "secret-256"),
            (SaslMechanism::ScramSha512, "SCRAM-SHA-512", "secret-512"),
        ] {
            let topic = format!("let-in-{name}");
            let producer = builder(mechanism, "alice", password).build().await.unwrap();
            let ack = producer.send(Record::to(&topic).key("k").value("v")).await.unwrap().await.unwrap();
            assert_eq!(ack.offset(), Some(0));
            producer.close().await.unwrap();
            let settings = [
                ("security.protocol", SASL),
                ("sasl.mechanism", name),
                ("sasl.username", "alice"),
                ("sasl.password", password),
            ];
            let mut admin = reader(settings).await.unwrap();
            assert_eq!(admin.read_all(&topic).await.unwrap().len(), 1);
        }
    });
}

#[test]
fn a_refusal_comes_at_once_and_says_who_was_refused_how_and_what_to_look_at() {
    crate::run(async {
        let scram = SaslMechanism::ScramSha256;
        for (builder, code, says) in [
            (
                builder(SaslMechanism::Plain, "alice", "hunter2"),
                58,
                "refused user \"alice\" by PLAIN: SASL_AUTHENTICATION_FAILED",
            ),
            (builder(scram, "alice", "hunter2"), 58, "refused user \"alice\" by SCRAM-SHA-256"),
            (builder(scram, "nobody", "hunter2"), 58, "refused user \"nobody\" by SCRAM-SHA-256"),
            (builder(SaslMechanism::ScramSha512, "bob", "secret-256"), 58, "credentials of this mechanism"),
        ] {
            let error = refused(builder).await;
            assert!(matches!(error, SendError::Unauthenticated { .. }), "{error}");
            assert_eq!(error.code(), ErrorCode(code));
            assert!(error.to_string().contains(says) && !error.to_string().contains("hunter2"), "{error}");
        }
        let settings = [
            ("security.protocol", SASL),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "alice"),
            ("sasl.password", "hunter2"),
        ];
        let error = reader(settings).await.unwrap_err();
        assert!(matches!(error, AdminError::Unauthenticated { .. }) && !error.retriable(), "{error}");
    });
}

#[test]
fn a_listener_without_sasl_says_so() {
    crate::run(async {
        let plaintext =
            builder(SaslMechanism::Plain, "alice", PASSWORD).property("bootstrap.servers", KAFKA.bootstrap_servers());
        let error = refused(plaintext).await;
        assert_eq!(error.code(), ErrorCode::ILLEGAL_SASL_STATE, "{error}");
        assert!(error.to_string().contains("security.protocol"), "{error}");
    });
}

#[test]
fn a_listener_that_wants_sasl_is_recognised_by_a_client_without_it() {
    crate::run(async {
        let builder = ProducerBuilder::new(&KAFKA.secured_server(SASL)).max_block(Duration::from_secs(1));
        let error = refused(builder).await;
        assert!(error.to_string().contains("a listener that wants SASL does so"), "{error}");
    });
}

#[test]
fn sessions_that_end_every_three_seconds_cost_no_record_and_no_connection() {
    crate::run(async {
        let producer = builder(SaslMechanism::ScramSha256, "alice", "secret-256").build().await.unwrap();
        let connections = |producer: &Producer| producer.metrics().get("producer-metrics", "connection-creation-total");
        producer.send(Record::to("sessions").value("first")).await.unwrap().await.unwrap();
        let (before, goes_on, sent) =
            (connections(&producer), Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (producer, goes_on, sent) = (producer.clone(), Arc::clone(&goes_on), Arc::clone(&sent));
                tokio::spawn(async move {
                    while goes_on.load(Ordering::Relaxed) {
                        producer.send(Record::to("sessions").value("next")).await.unwrap().await.unwrap();
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        // Long enough for three sessions.
        tokio::time::sleep(Duration::from_secs(10)).await;
        goes_on.store(false, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        assert!(sent.load(Ordering::Relaxed) > 100);
        assert_eq!(connections(&producer), before, "no connection was made anew");
        producer.close().await.unwrap();
    });
}
