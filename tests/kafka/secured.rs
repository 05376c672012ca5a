//! The two kinds of cluster that want to know who a client is.
//!
//! In: the kind. Out: a cluster that knows alice by each mechanism, carol and dave. The real one is shared by all scenarios, and knows bob as well, by
//! SCRAM-SHA-256 alone.

use std::{sync::LazyLock, time::Duration};

use milena::{ProducerBuilder, SaslMechanism, SecurityProtocol, broker::EmbeddedBroker};
use milena_test_support::{java, kafka::RealKafka};
use tokio::task::block_in_place;

use crate::cluster::Kind;

pub(crate) const PROTOCOL: &str = "SASL_PLAINTEXT";
/// How long a broker knows a client.
pub(crate) const SESSION: Duration = Duration::from_secs(3);
/// A password with what JAAS and SCRAM treat as special.
const PASSWORD: &str = "pä,s=\"s'w;rd";
/// carol's and dave's, until a scenario changes it.
pub(crate) const FIRST: &str = "first";
/// Every mechanism that this build has.
pub(crate) const MECHANISMS: &[(SaslMechanism, &str)] = if cfg!(feature = "scram") {
    &[
        (SaslMechanism::Plain, "PLAIN"),
        (SaslMechanism::ScramSha256, "SCRAM-SHA-256"),
        (SaslMechanism::ScramSha512, "SCRAM-SHA-512"),
    ]
} else {
    &[(SaslMechanism::Plain, "PLAIN")]
};

static REAL: LazyLock<RealKafka> = LazyLock::new(|| {
    let users = ["SCRAM-SHA-256:alice:secret-256", "SCRAM-SHA-512:alice:secret-512", "SCRAM-SHA-256:bob:secret-256"];
    let users = users
        .iter()
        .copied()
        .map(str::to_owned)
        .chain(["carol", "dave"].map(|user| format!("SCRAM-SHA-256:{user}:{FIRST}")));
    let users: Vec<String> = users.map(|user| credential(&user)).collect();
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let quoted = PASSWORD.replace('"', "\\\\\"");
    let plain = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"{}\";",
        escaped(&quoted)
    );
    let session_ms = SESSION.as_millis().to_string();
    let settings = [
        ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"),
        ("listener.name.sasl_plaintext.plain.sasl.jaas.config", &*plain),
        ("listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config", scram),
        ("listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config", scram),
        ("connections.max.reauth.ms", &*session_ms),
    ];
    RealKafka::start_secured(&[PROTOCOL], &users.iter().map(String::as_str).collect::<Vec<_>>(), &settings)
});

/// `mechanism:user:password` as StorageTool takes it.
fn credential(user: &str) -> String {
    let mut parts = user.splitn(3, ':');
    let mut next = || parts.next().expect("mechanism, user and password");
    format!("{}=[name={},password=\"{}\"]", next(), next(), next())
}

/// Text of a properties file, which is in Latin 1 for Java.
fn escaped(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect()
}

/// A cluster that wants to know who a client is.
pub(crate) enum Secured {
    Embedded(EmbeddedBroker),
    Real(&'static RealKafka),
}

impl Secured {
    pub(crate) async fn start(kind: Kind) -> Self {
        match kind {
            Kind::Embedded => {
                let broker = EmbeddedBroker::builder().user("alice", PASSWORD).user("carol", FIRST).user("dave", FIRST);
                Self::Embedded(broker.session_lifetime(SESSION).start().await.expect("the embedded broker starts"))
            }
            Kind::Real => Self::Real(block_in_place(|| &*REAL)),
        }
    }

    /// Where clients have to authenticate.
    pub(crate) fn server(&self) -> String {
        match self {
            Self::Embedded(broker) => broker.bootstrap_servers(),
            Self::Real(kafka) => kafka.secured_server(PROTOCOL),
        }
    }

    /// alice's password. The real cluster has another one for each mechanism.
    pub(crate) fn password(&self, mechanism: SaslMechanism) -> &'static str {
        match (self, mechanism) {
            (Self::Real(_), SaslMechanism::ScramSha256) => "secret-256",
            (Self::Real(_), SaslMechanism::ScramSha512) => "secret-512",
            _ => PASSWORD,
        }
    }

    /// Changes a password for SCRAM-SHA-256.
    pub(crate) fn change_password(&self, user: &str, password: &str) {
        match self {
            Self::Embedded(broker) => broker.set_user(user, password),
            Self::Real(kafka) => {
                let (servers, scram) = (kafka.bootstrap_servers(), format!("SCRAM-SHA-256=[password={password}]"));
                let change = ["--alter", "--entity-type", "users", "--entity-name", user, "--add-config", &scram];
                let arguments: Vec<&str> = ["--bootstrap-server", &servers].into_iter().chain(change).collect();
                block_in_place(|| java::run_class("kafka.admin.ConfigCommand", &arguments, ""));
            }
        }
    }

    /// A builder for a producer of this user.
    pub(crate) fn builder(&self, mechanism: SaslMechanism, user: &str, password: &str) -> ProducerBuilder {
        let builder = ProducerBuilder::new(&self.server()).security_protocol(SecurityProtocol::SaslPlaintext);
        builder.sasl(mechanism, user, password)
    }
}
