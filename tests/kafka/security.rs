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
};
use milena_test_support::kafka::RealKafka;
use tokio::task::block_in_place;

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

/// A broker whose one listener for clients speaks TLS; the listener keeps its name.
fn start(more: &[(&str, &str)]) -> RealKafka {
    let files = Files::shared();
    let (keystore, truststore) = (files.path("broker.pem"), files.path("ca.pem"));
    let ssl = [
        ("listener.security.protocol.map", "PLAINTEXT:SSL,CONTROLLER:PLAINTEXT"),
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.location", &keystore),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", &truststore),
    ];
    block_in_place(|| RealKafka::start(1, &[&ssl, more].concat()))
}

/// The properties of a client that trusts `ca`.
fn properties(kafka: &RealKafka, ca: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let (servers, truststore) = (kafka.bootstrap_servers(), Files::shared().path(ca));
    let ssl = [
        ("bootstrap.servers", servers.as_str()),
        ("security.protocol", "SSL"),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", &truststore),
    ];
    ssl.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
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

#[test]
fn records_come_back_over_each_version_of_tls() {
    crate::run(async {
        let kafka = start(&[]);
        for version in ["TLSv1.2", "TLSv1.3"] {
            let properties = properties(&kafka, "ca.pem", &[("ssl.enabled.protocols", version)]);
            round_trip(&properties, &format!("only-{version}"), RECORDS).await;
        }
        round_trip(&properties(&kafka, "ca.pem", &[]), "both", RECORDS).await;

        let untrusted = error(properties(&kafka, "other.pem", &[])).await;
        assert!(
            matches!(untrusted, SendError::Unauthenticated { .. }),
            "it does not wait for max.block.ms: {untrusted}"
        );
        let sentence = untrusted.to_string();
        assert!(sentence.contains("is issued by \"Kafka ca\", which is not trusted"), "{sentence}");
        let error = Admin::from_properties(properties(&kafka, "other.pem", &[])).await.expect_err("it is not trusted");
        assert!(
            matches!(&error, AdminError::Unreachable { .. }) && error.to_string().contains("is not trusted"),
            "{error}"
        );

        let plain = [("bootstrap.servers".to_owned(), kafka.bootstrap_servers())];
        let sentence = failure(plain.to_vec()).await;
        assert!(sentence.contains("TLS"), "{sentence}");
        let error = Admin::connect(&kafka.bootstrap_servers()).await.expect_err("it speaks TLS").to_string();
        assert!(error.contains("TLS"), "{error}");
    });
}

#[test]
fn a_client_shows_its_certificate_to_a_broker_that_requires_one() {
    crate::run(async {
        let kafka = start(&[("ssl.client.auth", "required")]);
        let (keystore, encrypted) = (Files::shared().path("client.pem"), Files::shared().path("client-encrypted.pem"));
        let pem = ("ssl.keystore.type", "PEM");
        let plain = [pem, ("ssl.keystore.location", &keystore)];
        let encrypted = [pem, ("ssl.keystore.location", &encrypted), ("ssl.key.password", PASSWORD)];
        for version in ["TLSv1.2", "TLSv1.3"] {
            let version = ("ssl.enabled.protocols", version);
            round_trip(&properties(&kafka, "ca.pem", &[&plain[..], &[version]].concat()), version.1, RECORDS).await;
            let sentence = failure(properties(&kafka, "ca.pem", &[version])).await;
            assert!(sentence.contains("the broker requires a client certificate"), "{version:?}: {sentence}");
        }
        round_trip(&properties(&kafka, "ca.pem", &encrypted), "encrypted-key", RECORDS).await;
    });
}

#[test]
fn a_listener_without_tls_is_recognised() {
    crate::run(async {
        let kafka = block_in_place(|| RealKafka::start(1, &[]));
        let sentence = failure(properties(&kafka, "ca.pem", &[])).await;
        assert!(sentence.contains("as a PLAINTEXT listener does: check the port"), "{sentence}");
    });
}

#[test]
fn who_the_client_is_can_be_said_over_tls() {
    crate::run(async {
        let files = Files::shared();
        let (keystore, truststore) = (files.path("broker.pem"), files.path("ca.pem"));
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"hunter2\";";
        let settings = [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &*keystore),
            ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512"),
            ("listener.name.sasl_ssl.plain.sasl.jaas.config", plain),
            ("listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config", scram),
        ];
        let users = ["SCRAM-SHA-512=[name=alice,password=hunter2]"];
        let kafka = block_in_place(|| RealKafka::start_secured(&["SASL_SSL"], &users, &settings));
        let server = kafka.secured_server("SASL_SSL");
        for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
            for version in ["TLSv1.2", "TLSv1.3"] {
                let with = |password: &str| {
                    let client = [
                        ("bootstrap.servers", &*server),
                        ("security.protocol", "SASL_SSL"),
                        ("ssl.truststore.type", "PEM"),
                        ("ssl.truststore.location", &truststore),
                        ("ssl.enabled.protocols", version),
                        ("sasl.mechanism", mechanism),
                        ("sasl.username", "alice"),
                        ("sasl.password", password),
                    ];
                    client.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
                };
                round_trip(&with(PASSWORD), &format!("{mechanism}-{version}"), RECORDS).await;
                let sentence = failure(with("wrong")).await;
                assert!(sentence.contains(&format!("refused user \"alice\" by {mechanism}")), "{sentence}");
            }
        }
    });
}
