//! Tokens: each source, tokens that end and are replaced, sources that fail and heal, and what is said of each.

use std::{
    env, fs, process,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use milena::{
    ErrorCode, Producer, ProducerBuilder, Record, SaslMechanism, SecurityProtocol, SendError,
    admin::Admin,
    broker::EmbeddedBroker,
    oauth::{Token, TokenError},
};
use milena_test_support::{
    kafka::RealKafka,
    oidc::{AUDIENCE, Answer, CLIENT, Oidc, unsigned_token},
};
use tokio::task::block_in_place;

use crate::{
    cluster::{Kind, unique},
    secured::PROTOCOL,
};

const URL: &str = "sasl.oauthbearer.token.endpoint.url";
const MODULE: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required";
/// How soon a producer goes on after its source does.
const SOON: Duration = Duration::from_secs(2);

/// A broker that takes tokens without a signature.
static UNSIGNED: LazyLock<RealKafka> = LazyLock::new(|| start(&[]));
/// A broker that takes tokens of this provider.
static SIGNED: LazyLock<(Oidc, RealKafka)> = LazyLock::new(|| {
    let (provider, validator) =
        (Oidc::start(true), "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler");
    let kafka = start(&[
        ("listener.name.sasl_plaintext.oauthbearer.sasl.server.callback.handler.class", validator),
        ("sasl.oauthbearer.jwks.endpoint.url", &provider.keys_url()),
        ("sasl.oauthbearer.expected.audience", AUDIENCE),
    ]);
    (provider, kafka)
});

fn start(more: &[(&str, &str)]) -> RealKafka {
    let module = format!("{MODULE};");
    let settings = [
        ("sasl.enabled.mechanisms", "OAUTHBEARER"),
        ("listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config", &module),
    ];
    RealKafka::start_secured(&[PROTOCOL], &[], &[&settings[..], more].concat())
}

/// A cluster that takes tokens, and a provider whose tokens it takes.
enum Tokens {
    Embedded(EmbeddedBroker, Oidc),
    Real,
}

impl Tokens {
    async fn start(kind: Kind) -> Self {
        match kind {
            Kind::Embedded => {
                let broker = EmbeddedBroker::builder().sasl([SaslMechanism::OauthBearer]).start().await;
                Self::Embedded(broker.expect("the embedded broker starts"), Oidc::start(false))
            }
            Kind::Real => Self::Real,
        }
    }

    /// Where tokens without a signature are taken.
    fn unsigned(&self) -> String {
        match self {
            Self::Embedded(broker, _) => broker.bootstrap_servers(),
            Self::Real => block_in_place(|| UNSIGNED.secured_server(PROTOCOL)),
        }
    }

    fn provider(&self) -> &Oidc {
        match self {
            Self::Embedded(_, provider) => provider,
            Self::Real => block_in_place(|| &SIGNED.0),
        }
    }

    /// A client that has its tokens from the provider.
    fn client(&self, more: &[(&str, &str)]) -> ProducerBuilder {
        let server = match self {
            Self::Embedded(broker, _) => broker.bootstrap_servers(),
            Self::Real => block_in_place(|| SIGNED.1.secured_server(PROTOCOL)),
        };
        let url = self.provider().token_url();
        let client = [
            ("sasl.mechanism", "OAUTHBEARER"),
            (URL, &*url),
            ("sasl.oauthbearer.client.credentials.client.id", CLIENT.0),
            ("sasl.oauthbearer.client.credentials.client.secret", CLIENT.1),
        ];
        secured(&server).properties(client.iter().chain(more).copied())
    }
}

fn secured(server: &str) -> ProducerBuilder {
    ProducerBuilder::new(server).security_protocol(SecurityProtocol::SaslPlaintext)
}

async fn send(producer: &Producer, topic: &str) -> Result<i64, String> {
    let delivery = producer.send(Record::to(topic).value("v")).await.map_err(|error| error.to_string())?;
    delivery.await.map(|ack| ack.offset().unwrap_or(-1)).map_err(|error| error.to_string())
}

/// Why `send` fails, at once.
async fn refused(builder: ProducerBuilder) -> String {
    let producer = builder.build().await.expect("the settings are valid");
    let error = producer.send(Record::to("refused").value("v")).await.map(drop).expect_err("nobody is let in");
    assert!(matches!(error, SendError::Unauthenticated { .. }), "{error}");
    assert_eq!(error.code(), ErrorCode::SASL_AUTHENTICATION_FAILED, "{error}");
    assert!(!error.to_string().contains(CLIENT.1) && !error.to_string().contains("hunter2"), "{error}");
    error.to_string()
}

/// Sends until it succeeds, and returns after what time it did.
async fn until_it_succeeds(producer: &Producer, topic: &str) -> Duration {
    let since = Instant::now();
    while send(producer, topic).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    since.elapsed()
}

fn connections(producer: &Producer) -> Option<f64> {
    producer.metrics().get("producer-metrics", "connection-creation-total")
}

pub(crate) async fn a_token_of_each_source_lets_the_producer_and_the_reader_in(kind: Kind) {
    let cluster = Tokens::start(kind).await;
    let file = env::temp_dir().join(format!("milena-token-{}-{kind:?}", process::id()));
    fs::write(&file, unsigned_token("alice", 60)).expect("the folder is writable");
    let (server, url) = (cluster.unsigned(), format!("file://{}", file.display()));
    let made = format!("{MODULE} unsecuredLoginStringClaim_sub=\"alice\";");
    let of = |more: [(&str, &str); 1]| secured(&server).sasl_mechanism(SaslMechanism::OauthBearer).properties(more);
    let builders = [
        of([("sasl.jaas.config", &made)]),
        of([(URL, &url)]),
        secured(&server).oauth_bearer(|| async { Token::jwt(unsigned_token("alice", 60)) }),
        cluster.client(&[]),
    ];
    for builder in builders {
        let topic = unique("token");
        let producer = builder.clone().build().await.unwrap();
        assert_eq!(send(&producer, &topic).await, Ok(0));
        producer.close().await.unwrap();
        let mut admin = Admin::from_builder(builder).await.unwrap();
        assert_eq!(admin.read_all(&topic).await.unwrap().len(), 1);
    }
}

pub(crate) async fn what_is_wrong_with_a_source_comes_at_once_with_its_reason(kind: Kind) {
    let cluster = Tokens::start(kind).await;
    let wrong = [("sasl.oauthbearer.client.credentials.client.secret", "hunter2")];
    let why = refused(cluster.client(&wrong)).await;
    assert!(
        why.contains("/token: it answered 401 Unauthorized: invalid_client (no such client, or another secret)"),
        "{why}"
    );
    let down = refused(cluster.client(&[(URL, "http://127.0.0.1:1/token")])).await;
    assert!(down.contains("http://127.0.0.1:1/token: cannot connect to 127.0.0.1:1: Connection refused"), "{down}");
    let own = Oidc::start(false);
    let own_url = own.token_url();
    for (answer, expected) in [
        (Answer::Raw("200 OK", "text/html", "<html>".into()), "expected a token in JSON, got text/html: check"),
        (Answer::Raw("200 OK", "application/json", "{}".into()), "it answered 200 OK without an access_token"),
        (Answer::Raw("302 Found", "", String::new()), "it answered 302 Found, and leads to"),
        (Answer::Nothing, "it gave no answer in HTTP"),
        (Answer::Token(-5, AUDIENCE), "has expired by this machine's clock"),
        (
            Answer::Raw("200 OK", "application/json", format!(r#"{{"access_token":"{}"}}"#, "x".repeat(300_000))),
            "the token has 300000 bytes, expected at most 262144",
        ),
    ] {
        own.answer(answer);
        let why = refused(cluster.client(&[(URL, &own_url)])).await;
        assert!(why.contains("there is no valid token: ") && why.contains(expected), "{expected}: {why}");
    }
}

pub(crate) async fn a_token_that_brokers_refuse_is_told_with_their_words_and_replaced(kind: Kind) {
    let (cluster, topic) = (Tokens::start(kind).await, unique("refused-token"));
    let is_right = Arc::new(AtomicBool::new(false));
    let source = {
        let is_right = Arc::clone(&is_right);
        move || {
            let token = unsigned_token("alice", 60);
            // A signature that nobody can check.
            let token = if is_right.load(Ordering::Relaxed) { token } else { token + "c2ln" };
            async { Token::jwt(token) }
        }
    };
    let builder = secured(&cluster.unsigned()).oauth_bearer(source);
    let why = refused(builder.clone()).await;
    assert!(why.contains("the broker refused user \"alice\" by OAUTHBEARER: SASL_AUTHENTICATION_FAILED"), "{why}");
    assert!(why.contains("(invalid_token") && why.contains("check the token's issuer"), "{why}");
    let producer = builder.build().await.unwrap();
    assert!(send(&producer, &topic).await.is_err());
    is_right.store(true, Ordering::Relaxed);
    let took = until_it_succeeds(&producer, &topic).await;
    assert!(took < SOON * 5, "on a machine that is not busy it takes two seconds at most: {took:?}");
    producer.close().await.unwrap();
}

pub(crate) async fn tokens_that_end_every_few_seconds_cost_no_record_and_no_connection(kind: Kind) {
    let (cluster, topic) = (Tokens::start(kind).await, unique("short-tokens"));
    let source = || async { Token::jwt(unsigned_token("alice", 4)) };
    let producer = secured(&cluster.unsigned()).oauth_bearer(source).build().await.unwrap();
    send(&producer, &topic).await.unwrap();
    let (before, until) = (connections(&producer), Instant::now() + Duration::from_secs(10));
    while Instant::now() < until {
        send(&producer, &topic).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(connections(&producer), before, "no connection was made anew");
    producer.close().await.unwrap();
}

pub(crate) async fn a_source_that_fails_costs_nothing_while_the_last_token_is_valid_and_heals(kind: Kind) {
    let (cluster, topic) = (Tokens::start(kind).await, unique("outage"));
    let (works, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let source = {
        let (works, asked) = (Arc::clone(&works), Arc::clone(&asked));
        move || {
            let works = works.load(Ordering::Relaxed);
            asked.fetch_or(!works, Ordering::Relaxed);
            async move {
                if works { Token::jwt(unsigned_token("alice", 6)) } else { Err(TokenError::new("the vault is sealed")) }
            }
        }
    };
    let builder = secured(&cluster.unsigned()).oauth_bearer(source);
    let producer = builder.clone().build().await.unwrap();
    send(&producer, &topic).await.unwrap();
    works.store(false, Ordering::Relaxed);
    while !asked.load(Ordering::Relaxed) {
        send(&producer, &topic).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    send(&producer, &topic).await.expect("the last token is valid for another second");
    // It ends, and now callers are told.
    let error = loop {
        let other = unique("after-the-end");
        if let Err(error) = producer.send(Record::to(&other).value("v")).await {
            break error.to_string();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(error.contains("there is no valid token: the program's source of tokens: the vault is sealed"), "{error}");
    let waits = producer.send(Record::to(&topic).value("waits")).await.expect("the topic is known");
    works.store(true, Ordering::Relaxed);
    waits.await.expect("it is delivered when there is a token");
    producer.close().await.unwrap();
}

/// Only real brokers look at the audience, and check signatures.
#[cfg(feature = "kafka-tests")]
#[test]
fn a_token_for_another_audience_is_refused_by_real_brokers_and_a_failing_provider_is_survived() {
    crate::run(async {
        let (cluster, topic) = (Tokens::Real, unique("audience"));
        let provider = cluster.provider();
        let other = Oidc::start(true);
        let why = refused(cluster.client(&[(URL, &other.token_url())])).await;
        assert!(
            why.contains("refused user \"orders-service\" by OAUTHBEARER") && why.contains("invalid_token"),
            "{why}"
        );
        provider.answer(Answer::Token(60, "somebody else"));
        let why = refused(cluster.client(&[])).await;
        assert!(
            why.contains("refused user \"orders-service\" by OAUTHBEARER") && why.contains("invalid_token"),
            "{why}"
        );
        provider.answer(Answer::Token(6, AUDIENCE));
        let producer = cluster.client(&[]).build().await.unwrap();
        send(&producer, &topic).await.unwrap();
        provider.answer(Answer::Raw("503 Service Unavailable", "text/plain", "later".to_owned()));
        let asked = provider.asked();
        while provider.asked() == asked {
            send(&producer, &topic).await.expect("the last token is kept");
        }
        provider.answer(Answer::Token(60, AUDIENCE));
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until {
            send(&producer, &topic).await.expect("a new token came in time");
        }
        producer.close().await.unwrap();
    });
}
