//! Sessions that end and certificates that are replaced, under full load: nothing is lost, and no connection is made anew.
//!
//! In: a broker that forgets clients after three seconds, and wants their certificates as well. Out: a producer that did not notice. It takes ten
//! seconds; `MILENA_ROTATION_SECONDS=600` is the long form.

use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use milena::{Producer, Record, admin::Admin};
use milena_test_support::{java, kafka::RealKafka};
use tokio::task::{JoinHandle, block_in_place};

use crate::security::{Files, PASSWORD};

const LISTENER: &str = "SASL_SSL";
const TASKS: usize = 20;
const SESSION_MS: &str = "3000";
/// The broker's certificate is replaced by a program of Kafka's that takes seconds of the load's processor time.
const BETWEEN: Duration = Duration::from_secs(5);
const CHANGE_LIMIT: Duration = Duration::from_secs(60);

fn start() -> RealKafka {
    let files = Files::shared();
    files.issue("broker", &["rsa:2048"]);
    let (keystore, truststore) = (copy("broker", "broker-0"), files.path("ca.pem"));
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let settings = [
        ("listener.name.sasl_ssl.ssl.keystore.type", "PEM"),
        ("listener.name.sasl_ssl.ssl.keystore.location", &*keystore),
        ("listener.name.sasl_ssl.ssl.truststore.type", "PEM"),
        ("listener.name.sasl_ssl.ssl.truststore.location", &truststore),
        ("listener.name.sasl_ssl.ssl.client.auth", "required"),
        ("sasl.enabled.mechanisms", "SCRAM-SHA-256"),
        ("listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config", scram),
        ("connections.max.reauth.ms", SESSION_MS),
        // Full load for minutes would fill the disk.
        ("log.segment.bytes", "50000000"),
        ("log.retention.bytes", "100000000"),
        ("log.retention.check.interval.ms", "3000"),
        ("log.segment.delete.delay.ms", "100"),
    ];
    let users = [format!("SCRAM-SHA-256=[name=alice,password={PASSWORD}]")];
    block_in_place(|| RealKafka::start_secured(&[LISTENER], &[&users[0]], &settings))
}

/// Puts what was issued by one name at another path, in one step. Returns that path.
fn copy(from: &str, to: &str) -> String {
    let files = Files::shared();
    let (new, to) = (files.path(&format!("{to}.new")), files.path(&format!("{to}.pem")));
    fs::copy(files.path(&format!("{from}.pem")), &new).expect("it was issued");
    fs::rename(new, &to).expect("the folder is writable");
    to
}

/// The certificates of broker and client are issued anew, and the broker is told of its own.
fn rotate(kafka: &RealKafka, number: usize) {
    for name in ["broker", "client"] {
        Files::shared().issue(name, &["rsa:2048"]);
    }
    copy("client", "rotating");
    let location = copy("broker", &format!("broker-{number}"));
    let (servers, set) =
        (kafka.bootstrap_servers(), format!("listener.name.sasl_ssl.ssl.keystore.location={location}"));
    let broker = ["--entity-type", "brokers", "--entity-name", "1", "--alter", "--add-config", &set];
    java::run_class("kafka.admin.ConfigCommand", &[&["--bootstrap-server", &servers], &broker[..]].concat(), "");
}

/// Sends as fast as acknowledgements come, until it is told to end. Counts.
fn load(producer: &Producer, goes_on: &Arc<AtomicBool>, sent: &Arc<AtomicU64>) -> JoinHandle<()> {
    let (producer, goes_on, sent) = (producer.clone(), Arc::clone(goes_on), Arc::clone(sent));
    tokio::spawn(async move {
        while goes_on.load(Ordering::Relaxed) {
            let delivery = producer.send(Record::to("rotation").value("next")).await.expect("it is accepted");
            delivery.await.expect("it is written");
            sent.fetch_add(1, Ordering::Relaxed);
        }
    })
}

async fn sessions_end_and_certificates_change(length: Duration) {
    let kafka = start();
    let (server, truststore) = (kafka.secured_server(LISTENER), Files::shared().path("ca.pem"));
    Files::shared().issue("client", &["rsa:2048"]);
    let keystore = copy("client", "rotating");
    let properties = [
        ("bootstrap.servers", &*server),
        ("security.protocol", "SASL_SSL"),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", &truststore),
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.location", &keystore),
        ("sasl.mechanism", "SCRAM-SHA-256"),
        ("sasl.username", "alice"),
        ("sasl.password", PASSWORD),
    ];
    let shown = async || {
        let handshake = Admin::tls_handshake(properties, &server).await.expect("the broker can be reached");
        let handshake = handshake.expect("TLS is asked for");
        assert!(handshake.outcome.is_ok(), "{handshake:?}");
        handshake.certificates
    };
    let producer = Producer::from_properties(properties).await.expect("the settings are valid");
    producer.send(Record::to("rotation").value("first")).await.expect("it is accepted").await.expect("it is written");
    let connections = || producer.metrics().get("producer-metrics", "connection-creation-total");
    let (before, mut certificates) = (connections(), shown().await);
    let (goes_on, sent) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..TASKS).map(|_| load(&producer, &goes_on, &sent)).collect();
    let (begin, mut rotations) = (Instant::now(), 0);
    while begin.elapsed() < length {
        rotations += 1;
        block_in_place(|| rotate(&kafka, rotations));
        // The controller passes the setting on to the broker, which takes a moment.
        let changed = Instant::now();
        let newer = loop {
            let newer = shown().await;
            if newer[0] != certificates[0] {
                break newer;
            }
            assert!(changed.elapsed() < CHANGE_LIMIT, "the broker does not show its new certificate");
        };
        certificates = newer;
        // A new producer connects with the new ones; the other one goes on with what it has.
        let another = Producer::from_properties(properties).await.expect("the settings are valid");
        another
            .send(Record::to("rotation").value("another"))
            .await
            .expect("it is let in")
            .await
            .expect("it is written");
        another.close().await.expect("no callback closes it");
        tokio::time::sleep(BETWEEN.min(length.saturating_sub(begin.elapsed()))).await;
    }
    goes_on.store(false, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("no record failed");
    }
    let (seconds, sent) = (begin.elapsed().as_secs(), sent.load(Ordering::Relaxed));
    println!("{sent} records in {seconds} s, {} sessions, {rotations} rotations", seconds / 3);
    assert_eq!(connections(), before, "no connection was made anew");
    producer.close().await.expect("no callback closes it");
}

#[test]
fn sessions_that_end_and_certificates_that_change_cost_no_record_and_no_connection() {
    let seconds = env::var("MILENA_ROTATION_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(10);
    let length = Duration::from_secs(seconds);
    crate::run_within(length + crate::HANG, sessions_end_and_certificates_change(length));
}
