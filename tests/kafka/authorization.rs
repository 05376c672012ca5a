//! What a user may do: each right that is missing fails at once with a sentence that names it, and once somebody does what the sentence says
//! the same producer goes on.

use std::{sync::LazyLock, time::Duration};

use milena::{
    DeliveryError, ErrorCode, FailureKind, Persisted, Producer, ProducerBuilder, Record, SaslMechanism,
    SecurityProtocol, SendError,
    admin::Admin,
    broker::{Acl, EmbeddedBroker},
};
use milena_test_support::{java, kafka::RealKafka};
use tokio::task::block_in_place;

use crate::cluster::{Kind, unique};

const PROTOCOL: &str = "SASL_PLAINTEXT";
const PASSWORD: &str = "secret";
/// One for each scenario.
const USERS: [&str; 7] = ["writer", "stranger", "creator", "plain", "changing", "doctor", "two-topics"];

static REAL: LazyLock<RealKafka> = LazyLock::new(|| {
    let users: String = USERS.iter().map(|user| format!(" user_{user}=\"{PASSWORD}\"")).collect();
    let plain = format!("org.apache.kafka.common.security.plain.PlainLoginModule required{users};");
    let settings = [
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("listener.name.sasl_plaintext.plain.sasl.jaas.config", &*plain),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        // Brokers among each other, and whoever changes rules here.
        ("super.users", "User:ANONYMOUS"),
    ];
    RealKafka::start_secured(&[PROTOCOL], &[], &settings)
});

/// A cluster that allows nobody anything, until a scenario says so.
enum Guarded {
    Embedded(EmbeddedBroker),
    Real(&'static RealKafka),
}

impl Guarded {
    async fn start(kind: Kind) -> Self {
        match kind {
            Kind::Embedded => {
                let broker = EmbeddedBroker::builder().authorize();
                let broker = USERS.iter().fold(broker, |broker, user| broker.user(*user, PASSWORD));
                Self::Embedded(broker.start().await.expect("the embedded broker starts"))
            }
            Kind::Real => Self::Real(block_in_place(|| &*REAL)),
        }
    }

    /// A topic, created by somebody who may.
    async fn topic(&self, name: &str) -> String {
        let topic = unique(name);
        match self {
            Self::Embedded(broker) => broker.create_topic(&topic, 1).expect("the topic is new"),
            Self::Real(kafka) => {
                let mut admin = Admin::connect(&kafka.bootstrap_servers()).await.expect("the cluster responds");
                admin.create_topic(&topic, 1, 1, &[]).await.expect("the topic can be created");
            }
        }
        topic
    }

    fn properties(&self, user: &str) -> Vec<(String, String)> {
        let servers = match self {
            Self::Embedded(broker) => broker.bootstrap_servers(),
            Self::Real(kafka) => kafka.secured_server(PROTOCOL),
        };
        [
            ("bootstrap.servers", servers.as_str()),
            ("security.protocol", PROTOCOL),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", user),
            ("sasl.password", PASSWORD),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn builder(&self, user: &str) -> ProducerBuilder {
        let servers = self.properties(user).swap_remove(0).1;
        let builder = ProducerBuilder::new(&servers).security_protocol(SecurityProtocol::SaslPlaintext);
        builder.sasl(SaslMechanism::Plain, user, PASSWORD)
    }

    async fn producer(&self, user: &str) -> Producer {
        self.builder(user).build().await.expect("the settings are valid")
    }

    /// Adds or removes rules, by the arguments of `kafka-acls.sh`.
    fn change(&self, arguments: &str) {
        match self {
            Self::Embedded(broker) => change_embedded(broker, arguments),
            Self::Real(kafka) => {
                let servers = kafka.bootstrap_servers();
                let arguments = arguments.split(' ').chain(["--force", "--bootstrap-server", &servers]);
                let arguments: Vec<&str> = arguments.collect();
                block_in_place(|| java::run_class("org.apache.kafka.tools.AclCommand", &arguments, ""));
            }
        }
    }

    fn grant(&self, user: &str, what: &str) {
        self.change(&format!("--add --allow-principal User:{user} {what}"));
    }

    /// Does what an error says: the first command in it.
    fn obey(&self, sentence: &str) {
        let command = sentence.split_once("`kafka-acls.sh ").and_then(|(_, rest)| rest.split_once('`'));
        self.change(command.unwrap_or_else(|| panic!("no command in: {sentence}")).0);
    }
}

/// The few words of `kafka-acls.sh` that scenarios and errors use.
fn change_embedded(broker: &EmbeddedBroker, arguments: &str) {
    let words: Vec<&str> = arguments.split(' ').collect();
    let after = |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1]);
    let principal = after("--allow-principal").expect("a principal");
    let resource = after("--topic").map_or_else(|| "cluster".to_owned(), |topic| format!("topic {topic}"));
    let pattern = if words.contains(&"prefixed") { " PREFIXED" } else { "" };
    let operations = match after("--operation") {
        Some(operation) => vec![operation],
        None => vec!["WRITE", "DESCRIBE", "CREATE"],
    };
    for operation in operations {
        let rule: Acl = format!("{principal} {operation} {resource}{pattern}").parse().expect("a rule");
        if words.contains(&"--remove") { assert!(broker.remove_acl(&rule)) } else { broker.add_acl(rule) }
    }
}

/// Why a record fails, which may be seen to be sent.
async fn fails(producer: &Producer, topic: &str) -> DeliveryError {
    loop {
        match producer.send(Record::to(topic).value("not allowed")).await {
            Ok(delivery) => return delivery.await.expect_err("the right is missing"),
            // The broker does not know the newest rule yet.
            Err(error) => assert!(matches!(error, SendError::TopicRefused { .. }), "{error}"),
        }
    }
}

async fn refused(producer: &Producer, topic: &str) -> SendError {
    let error = producer.send(Record::to(topic).value("not allowed")).await.map(drop).expect_err("a right is missing");
    // It did not wait for `max.block.ms`, which would be a timeout.
    assert!(matches!(error, SendError::TopicRefused { .. }) && !error.retriable(), "{error}");
    assert_eq!(error.code(), ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    error
}

fn says(error: &DeliveryError, code: ErrorCode, expected: &str) {
    assert_eq!((error.kind(), error.code()), (FailureKind::Rejected, code), "{error}");
    assert_eq!((error.persisted(), error.retriable()), (Persisted::No, false), "{error}");
    assert!(error.to_string().contains(expected), "{error}");
}

/// Sends the same until it is written.
async fn heals(producer: &Producer, topic: &str) {
    loop {
        if let Ok(delivery) = producer.send(Record::to(topic).value("allowed")).await
            && delivery.await.is_ok()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The values in a topic, read by somebody who may.
async fn values(cluster: &Guarded, topic: &str) -> Vec<String> {
    let records = match cluster {
        Guarded::Embedded(broker) => broker.log(topic, 0).into_iter().filter_map(|record| record.value).collect(),
        Guarded::Real(kafka) => {
            let mut admin = Admin::connect(&kafka.bootstrap_servers()).await.expect("the cluster responds");
            let records = admin.read_all(topic).await.expect("the topic can be read");
            records.into_iter().filter_map(|record| record.value).collect::<Vec<_>>()
        }
    };
    records.into_iter().map(|value| String::from_utf8(value.to_vec()).expect("text")).collect()
}

pub(crate) async fn a_topic_that_may_not_be_written_to_fails_its_records_until_the_right_is_granted(kind: Kind) {
    let cluster = Guarded::start(kind).await;
    let topic = cluster.topic("guarded").await;
    cluster.grant("writer", "--operation IdempotentWrite --cluster");
    cluster.grant("writer", &format!("--operation DESCRIBE --topic {topic}"));
    let producer = cluster.producer("writer").await;
    let error = fails(&producer, &topic).await;
    let expected = format!("User:writer may not WRITE to topic {topic}");
    says(&error, ErrorCode::TOPIC_AUTHORIZATION_FAILED, &expected);
    cluster.obey(&error.to_string());
    heals(&producer, &topic).await;
    producer.close().await.unwrap();
    assert_eq!(values(&cluster, &topic).await, ["allowed"]);
}

pub(crate) async fn a_topic_that_may_not_be_seen_is_refused_at_once_until_the_right_is_granted(kind: Kind) {
    let cluster = Guarded::start(kind).await;
    let topic = cluster.topic("hidden").await;
    let producer = cluster.producer("stranger").await;
    let error = refused(&producer, &topic).await.to_string();
    assert!(error.contains(&format!("User:stranger may not DESCRIBE topic {topic}, or it does not exist")), "{error}");
    cluster.obey(&error);
    heals(&producer, &topic).await;
    producer.close().await.unwrap();
    assert_eq!(values(&cluster, &topic).await, ["allowed"]);
}

pub(crate) async fn a_topic_that_may_not_be_created_is_refused_at_once_until_the_right_is_granted(kind: Kind) {
    let cluster = Guarded::start(kind).await;
    let topic = unique("not-there");
    cluster.grant("creator", &format!("--operation WRITE --topic {topic}"));
    let producer = cluster.producer("creator").await;
    let error = refused(&producer, &topic).await.to_string();
    assert!(error.contains("it does not exist and User:creator may not CREATE it"), "{error}");
    cluster.obey(&error);
    heals(&producer, &topic).await;
    producer.close().await.unwrap();
    assert_eq!(values(&cluster, &topic).await, ["allowed"]);
}

pub(crate) async fn a_client_that_gets_no_producer_id_is_told_which_right_it_lacks(kind: Kind) {
    let cluster = Guarded::start(kind).await;
    let topic = cluster.topic("no-id").await;
    cluster.grant("plain", &format!("--operation DESCRIBE --topic {topic}"));
    let producer = cluster.producer("plain").await;
    let error = fails(&producer, &topic).await;
    let expected = "User:plain has neither WRITE on any topic nor IDEMPOTENT_WRITE on the cluster";
    says(&error, ErrorCode::CLUSTER_AUTHORIZATION_FAILED, expected);
    // Without idempotence it needs no producer id, but the right to write all the same.
    let simple = cluster.builder("plain").idempotence(false).build().await.unwrap();
    says(&fails(&simple, &topic).await, ErrorCode::TOPIC_AUTHORIZATION_FAILED, "User:plain may not WRITE to topic");
    cluster.obey(&error.to_string());
    heals(&producer, &topic).await;
    heals(&simple, &topic).await;
    producer.close().await.unwrap();
    simple.close().await.unwrap();
    assert_eq!(values(&cluster, &topic).await, ["allowed", "allowed"]);
}

pub(crate) async fn a_right_that_is_taken_and_given_back_costs_only_the_records_between(kind: Kind) {
    let cluster = Guarded::start(kind).await;
    let topic = cluster.topic("taken").await;
    let write = format!("--operation WRITE --topic {topic}");
    cluster.grant("changing", &write);
    cluster.grant("changing", &format!("--operation DESCRIBE --topic {topic}"));
    let producer = cluster.producer("changing").await;
    heals(&producer, &topic).await;
    cluster.change(&format!("--remove --allow-principal User:changing {write}"));
    // The broker learns of it soon.
    let error = loop {
        let delivery = producer.send(Record::to(&topic).value("between")).await.expect("the topic can be seen");
        if let Err(error) = delivery.await {
            break error;
        }
    };
    says(&error, ErrorCode::TOPIC_AUTHORIZATION_FAILED, "User:changing may not WRITE to topic");
    cluster.obey(&error.to_string());
    heals(&producer, &topic).await;
    producer.send(Record::to(&topic).value("last")).await.unwrap().await.unwrap();
    producer.close().await.unwrap();
    let mut values = values(&cluster, &topic).await;
    values.retain(|value| value != "between");
    assert_eq!(values, ["allowed", "allowed", "last"]);
}

pub(crate) async fn a_topic_that_is_refused_does_not_hold_back_another_one(kind: Kind) {
    let cluster = Guarded::start(kind).await;
    let (open, guarded) = (cluster.topic("open").await, cluster.topic("shut").await);
    cluster.grant("two-topics", &format!("--operation WRITE --topic {open}"));
    cluster.grant("two-topics", &format!("--operation DESCRIBE --topic {guarded}"));
    let producer = cluster.producer("two-topics").await;
    heals(&producer, &open).await;
    for _ in 0..20 {
        let guarded = producer.send(Record::to(&guarded).value("no")).await.expect("the topic can be seen");
        let open = producer.send(Record::to(&open).value("yes")).await.unwrap();
        open.await.unwrap();
        says(&guarded.await.unwrap_err(), ErrorCode::TOPIC_AUTHORIZATION_FAILED, "User:two-topics may not WRITE");
    }
    producer.close().await.unwrap();
    assert_eq!(values(&cluster, &open).await.len(), 21);
    assert!(values(&cluster, &guarded).await.is_empty());
}

pub(crate) async fn a_description_of_a_topic_says_the_same(kind: Kind) {
    let cluster = Guarded::start(kind).await;
    let (hidden, seen) = (cluster.topic("hidden").await, cluster.topic("seen").await);
    cluster.grant("doctor", &format!("--operation DESCRIBE --topic {seen}"));
    let mut admin = Admin::from_properties(cluster.properties("doctor")).await.unwrap();
    let topic = admin.describe(Some(&hidden)).await.unwrap().topic.unwrap();
    assert_eq!(topic.error, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let denied = topic.denied.unwrap();
    assert!(denied.starts_with(&format!("User:doctor may not DESCRIBE topic {hidden}")), "{denied}");
    // The rule may not be known to the broker yet.
    let topic = loop {
        let topic = admin.describe(Some(&seen)).await.unwrap().topic.unwrap();
        if topic.error == ErrorCode::NONE {
            break topic;
        }
    };
    assert_eq!(topic.may_write, Some(false));
    assert!(topic.denied.unwrap().starts_with(&format!("User:doctor may not WRITE to topic {seen}")));
    cluster.grant("doctor", &format!("--operation WRITE --topic {seen}"));
    while admin.describe(Some(&seen)).await.unwrap().topic.unwrap().denied.is_some() {}
}
