//! TLS to a real Kafka: Java's implementation is the one that matters.
//!
//! In: certificates that `openssl` makes, as its users do. Out: records that come back over TLS 1.2 and 1.3, with and without a client's
//! certificate, and the sentence for each way in which a broker and a client do not fit.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::OnceLock,
    time::Duration,
};

use milena::{
    Producer, ProducerBuilder, Record, SendError,
    admin::{Admin, AdminError},
    broker::{ClientAuth, EmbeddedBroker, Tls},
};
use milena_test_support::kafka::RealKafka;
use tokio::task::block_in_place;

use crate::cluster::{Kind, unique};

const RECORDS: usize = 500;
pub(crate) const PASSWORD: &str = "hunter2";

/// Files in PEM: two CAs, and what the first has issued.
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    /// The files, made once. They are removed with the machine's other temporary files.
    pub(crate) fn shared() -> &'static Self {
        static FILES: OnceLock<Files> = OnceLock::new();
        FILES.get_or_init(Self::make)
    }

    fn make() -> Self {
        let folder = env::temp_dir().join(format!("milena-security-{}", process::id()));
        fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
        let files = Self { folder };
        files.ca("ca");
        files.ca("other");
        files.issue("broker", &["rsa:2048"]);
        files.issue("client", &["rsa:2048"]);
        let encrypt = ["pkcs8", "-topk8", "-in", "client.key", "-out", "client.encrypted", "-passout", "pass:hunter2"];
        openssl(&files.folder, &encrypt);
        files.join("client-encrypted.pem", &["client.encrypted", "client.crt"]);
        files
    }

    fn ca(&self, name: &str) {
        let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN=Kafka {name}"));
        let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", &subject];
        openssl(&self.folder, &[&new[..], &["-keyout", &key, "-out", &certificate]].concat());
    }

    /// A certificate from `ca`, and its key: `name.crt`, `name.key`, and both in `name.pem`. `algorithm` is what follows `-newkey`.
    pub(crate) fn issue(&self, name: &str, algorithm: &[&str]) {
        let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.crt"), format!("/CN={name}"));
        let new = ["req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-nodes", "-days", "30", "-newkey"];
        let names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"];
        let files = ["-subj", &subject, "-keyout", &key, "-out", &certificate];
        openssl(&self.folder, &[&new[..], algorithm, &names, &files].concat());
        self.join(&format!("{name}.pem"), &[&key, &certificate]);
    }

    /// What `issue` has made of this name, as Java's own kind of keystore, with [`PASSWORD`]. Returns its path.
    #[cfg(feature = "kafka-tests")]
    pub(crate) fn pkcs12(&self, name: &str) -> String {
        let (from, to, password) = (format!("{name}.pem"), format!("{name}.p12"), format!("pass:{PASSWORD}"));
        openssl(&self.folder, &["pkcs12", "-export", "-in", &from, "-out", &to, "-passout", &password]);
        self.path(&to)
    }

    fn join(&self, name: &str, parts: &[&str]) {
        let read = |part: &&str| fs::read_to_string(self.folder.join(part)).expect("openssl has made it");
        let text: String = parts.iter().map(read).collect();
        fs::write(self.folder.join(name), text).expect("the folder is writable");
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("a UTF-8 path").to_owned()
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl can be started");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A cluster whose listener for clients speaks TLS, and the files that its clients need.
struct Encrypted {
    /// Kept while the scenario runs.
    _cluster: Running,
    server: String,
    ca: String,
    /// The issuer of the broker's certificate.
    issuer: &'static str,
    /// Key and certificate of a client.
    client: String,
    /// The same with a key that has a password.
    encrypted: Option<String>,
}

enum Running {
    Embedded { _broker: EmbeddedBroker },
    Real { _kafka: RealKafka },
}

impl Encrypted {
    /// With or without SASL, and with or without certificates of clients.
    async fn start(kind: Kind, protocol: &'static str, auth: ClientAuth) -> Self {
        match kind {
            Kind::Embedded => Self::embedded(protocol, auth).await,
            Kind::Real => block_in_place(|| Self::real(protocol, auth)),
        }
    }

    async fn embedded(protocol: &str, auth: ClientAuth) -> Self {
        let builder = EmbeddedBroker::builder().tls(Tls::new().client_auth(auth));
        let builder = if protocol == "SASL_SSL" { builder.user("alice", PASSWORD) } else { builder };
        let broker = builder.start().await.expect("the embedded broker starts");
        let (ca, client) =
            (broker.ca_pem().expect("it makes keys"), broker.client_keystore("client").expect("as well"));
        let folder = env::temp_dir().join(format!("{}-{}", unique("milena-security"), process::id()));
        fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
        let write = |name: &str, text: &str| {
            fs::write(folder.join(name), text).expect("the folder is writable");
            folder.join(name).to_str().expect("a UTF-8 path").to_owned()
        };
        Self {
            server: broker.bootstrap_servers(),
            ca: write("ca.pem", &ca),
            issuer: "milena embedded broker",
            client: write("client.pem", &client),
            encrypted: None,
            _cluster: Running::Embedded { _broker: broker },
        }
    }

    fn real(protocol: &'static str, auth: ClientAuth) -> Self {
        let files = Files::shared();
        let (keystore, truststore) = (files.path("broker.pem"), files.path("ca.pem"));
        let ssl = [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &*keystore),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", &truststore),
            ("ssl.client.auth", if auth == ClientAuth::Required { "required" } else { "none" }),
            ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512"),
            (
                "listener.name.sasl_ssl.plain.sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"hunter2\";",
            ),
            (
                "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            ),
        ];
        let kafka = RealKafka::start_secured(&[protocol], &["SCRAM-SHA-512=[name=alice,password=hunter2]"], &ssl);
        Self {
            server: kafka.secured_server(protocol),
            ca: files.path("ca.pem"),
            issuer: "Kafka ca",
            client: files.path("client.pem"),
            encrypted: Some(files.path("client-encrypted.pem")),
            _cluster: Running::Real { _kafka: kafka },
        }
    }

    /// The properties of a client that trusts the cluster's CA.
    fn properties(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        self.trusting(&self.ca, more)
    }

    fn trusting(&self, ca: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let ssl = [
            ("bootstrap.servers", self.server.as_str()),
            ("security.protocol", "SSL"),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", ca),
        ];
        ssl.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}

/// Sends records and reads them back, all with the same properties.
pub(crate) async fn round_trip(properties: &[(String, String)], topic: &str, records: usize) {
    let properties = || properties.iter().map(|(name, value)| (name, value));
    let producer = Producer::from_properties(properties()).await.expect("the settings are valid");
    let value = |number: usize| format!("{number}-{}", "x".repeat(number * 20));
    let mut deliveries = Vec::new();
    for number in 0..records {
        let value = value(number);
        deliveries.push(producer.send(Record::to(topic).value(&value)).await.expect("it is accepted"));
    }
    for delivery in deliveries {
        delivery.await.expect("it is written");
    }
    producer.close().await.expect("no callback closes it");
    let mut admin = Admin::from_properties(properties()).await.expect("the broker responds");
    let read = admin.read_all(topic).await.expect("the topic can be read");
    let mut read: Vec<_> = read.into_iter().filter_map(|record| record.value).collect();
    let mut sent: Vec<_> = (0..records).map(|number| value(number).into_bytes()).collect();
    read.sort();
    sent.sort();
    assert!(read == sent, "{} of {records} records came back", read.len());
}

/// Why `send` fails.
async fn failure(properties: Vec<(String, String)>) -> String {
    error(properties).await.to_string()
}

async fn error(properties: Vec<(String, String)>) -> SendError {
    let builder = ProducerBuilder::from_properties(properties).max_block(Duration::from_secs(3));
    let producer = builder.build().await.expect("the settings are valid");
    producer.send(Record::to("t").value("v")).await.expect_err("nothing can be sent")
}

pub(crate) async fn records_come_back_over_each_version_of_tls(kind: Kind) {
    let cluster = Encrypted::start(kind, "SSL", ClientAuth::None).await;
    for version in ["TLSv1.2", "TLSv1.3"] {
        round_trip(&cluster.properties(&[("ssl.enabled.protocols", version)]), &format!("only-{version}"), RECORDS)
            .await;
    }
    round_trip(&cluster.properties(&[]), "both", RECORDS).await;
}

pub(crate) async fn a_broker_that_is_not_trusted_and_a_client_without_tls_are_told(kind: Kind) {
    let cluster = Encrypted::start(kind, "SSL", ClientAuth::None).await;
    let other = Encrypted::embedded("SSL", ClientAuth::None).await;
    let untrusted = error(cluster.trusting(&other.ca, &[])).await;
    assert!(matches!(untrusted, SendError::Unauthenticated { .. }), "it does not wait for max.block.ms: {untrusted}");
    let issued = if cluster.issuer == other.issuer {
        // The names are the same, and the keys are not.
        "is not signed by the CA whose name it bears".to_owned()
    } else {
        format!("is issued by {:?}, which is not trusted", cluster.issuer)
    };
    let sentence = untrusted.to_string();
    assert!(sentence.contains(&issued), "{sentence}");
    let error = Admin::from_properties(cluster.trusting(&other.ca, &[])).await.expect_err("it is not trusted");
    assert!(matches!(&error, AdminError::Unreachable { .. }) && error.to_string().contains(&issued), "{error}");

    let plain = [("bootstrap.servers".to_owned(), cluster.server.clone())];
    let sentence = failure(plain.to_vec()).await;
    assert!(sentence.contains("TLS"), "{sentence}");
    let error = Admin::connect(&cluster.server).await.expect_err("it speaks TLS").to_string();
    assert!(error.contains("TLS"), "{error}");
}

pub(crate) async fn a_client_shows_its_certificate_to_a_broker_that_requires_one(kind: Kind) {
    let cluster = Encrypted::start(kind, "SSL", ClientAuth::Required).await;
    let pem = ("ssl.keystore.type", "PEM");
    let shown = [pem, ("ssl.keystore.location", &cluster.client)];
    for version in ["TLSv1.2", "TLSv1.3"] {
        let version = ("ssl.enabled.protocols", version);
        round_trip(&cluster.properties(&[&shown[..], &[version]].concat()), version.1, RECORDS).await;
        let sentence = failure(cluster.properties(&[version])).await;
        assert!(sentence.contains("the broker requires a client certificate"), "{version:?}: {sentence}");
    }
    if let Some(encrypted) = &cluster.encrypted {
        let shown = [pem, ("ssl.keystore.location", encrypted), ("ssl.key.password", PASSWORD)];
        round_trip(&cluster.properties(&shown), "encrypted-key", RECORDS).await;
    }
}

pub(crate) async fn a_listener_without_tls_is_recognised(kind: Kind) {
    let (cluster, plain) = (Encrypted::embedded("SSL", ClientAuth::None).await, kind.shared().await);
    let servers = plain.bootstrap_servers();
    let sentence = failure(cluster.properties(&[("bootstrap.servers", &servers)])).await;
    assert!(sentence.contains("as a PLAINTEXT listener does: check the port"), "{sentence}");
}

pub(crate) async fn who_the_client_is_can_be_said_over_tls(kind: Kind) {
    let cluster = Encrypted::start(kind, "SASL_SSL", ClientAuth::None).await;
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        for version in ["TLSv1.2", "TLSv1.3"] {
            let with = |password: &str| {
                cluster.properties(&[
                    ("security.protocol", "SASL_SSL"),
                    ("ssl.enabled.protocols", version),
                    ("sasl.mechanism", mechanism),
                    ("sasl.username", "alice"),
                    ("sasl.password", password),
                ])
            };
            round_trip(&with(PASSWORD), &format!("{mechanism}-{version}"), RECORDS).await;
            let sentence = failure(with("wrong")).await;
            assert!(sentence.contains(&format!("refused user \"alice\" by {mechanism}")), "{sentence}");
        }
    }
}
