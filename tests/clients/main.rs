//! The embedded broker with clients of other projects: librdkafka, kafka-python, aiokafka, franz-go, sarama, kafka-go
//! and Apache's own.
//!
//! In: one program for each client, which `tests/clients/setup` has fetched and built. Each gets servers, a topic and
//! codecs. It lists all topics; creates its topic; sends three records for each codec, with and without idempotence;
//! reads all of them back from the beginning, by partition; looks up the first and the last offset; describes its
//! topic's settings. Out: one line for each step. The lines are the same for all clients, so one expected text is
//! enough. The records are compared with the broker's log, and the broker may not have refused any request.
//!
//! Consumer groups are in [`groups`]. The broker has no transactions, so these do not work with any client. kafka-go has no
//! idempotent producer. Deliberately absent: any way to skip a client that is missing.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{self, Command, Output},
    time::Duration,
};

use milena::broker::{Builder, ClientAuth, EmbeddedBroker, StoredRecord, Tls};
use milena_test_support::{console, java};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::spawn_blocking,
};
use tracing::Level;

#[path = "../logs.rs"]
mod logs;

mod groups;

use logs::Logs;

const TOPIC: &str = "clients";
const CODECS: &[&str] = if cfg!(any(feature = "zstd", feature = "zstd-rust")) {
    &["none", "gzip", "snappy", "lz4", "zstd"]
} else {
    &["none", "gzip", "snappy", "lz4"]
};
const MODES: &[&str] = &["plain", "idempotent"];
/// The number of records for each codec and mode.
const RECORDS: usize = 3;

fn python(script: &str) -> Command {
    let mut command = Command::new(fetched("python/bin/python"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python").join(script));
    command
}

fn go(program: &str) -> Command {
    Command::new(fetched("go").join(program))
}

fn fetched(path: &str) -> PathBuf {
    let clients = java::cache().join("clients");
    let here = clients.display();
    assert!(clients.join("done").is_dir(), "no clients in {here}: run tests/run once, it fetches and builds them");
    clients.join(path)
}

async fn run(mut client: Command) -> Output {
    let output = spawn_blocking(move || client.output().unwrap_or_else(|e| panic!("cannot start {client:?}: {e}")));
    output.await.expect("waiting does not panic")
}

/// Runs a client against a new broker, and checks its output and the broker's log.
async fn works(mut client: Command, modes: &[&str]) {
    let logs = Logs::default();
    // The broker's tasks run in the thread of their test, and it warns of each request that it refuses.
    let _listening = tracing::subscriber::set_default(logs.listener(Level::WARN));
    let broker = EmbeddedBroker::builder().topic("orders", 3).start().await.expect("the embedded broker starts");
    client.args([&broker.bootstrap_servers(), TOPIC, &CODECS.join(",")]);
    let output = run(client).await;
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let refused = logs.take();
    assert_eq!(printed, expected(modes), "{}, the broker refused {refused:#?}\n{errors}", output.status);
    assert!(output.status.success(), "{}\n{errors}", output.status);
    let written: Vec<_> = broker.log(TOPIC, 0).iter().map(describe).collect();
    assert_eq!(written, batches(modes).map(|(codec, mode, number)| line(codec, mode, number)).collect::<Vec<_>>());
    assert_eq!(refused, Vec::<String>::new());
}

fn batches<'a>(modes: &'a [&str]) -> impl Iterator<Item = (&'static str, &'a str, usize)> {
    let pairs = CODECS.iter().flat_map(|codec| modes.iter().map(|mode| (*codec, *mode)));
    pairs.flat_map(|(codec, mode)| (0..RECORDS).map(move |number| (codec, mode, number)))
}

/// The expected output of a client.
fn expected(modes: &[&str]) -> String {
    let mut text = String::from("listed orders\ncreated 2\n");
    for (offset, (codec, mode, number)) in batches(modes).enumerate() {
        match number {
            0 => write!(text, "acked {codec} {mode} {offset}").unwrap(),
            number if number + 1 < RECORDS => write!(text, " {offset}").unwrap(),
            _ => writeln!(text, " {offset}").unwrap(),
        }
    }
    for (offset, (codec, mode, number)) in batches(modes).enumerate() {
        writeln!(text, "read {offset} key header value {codec} {mode} {number}").unwrap();
    }
    writeln!(text, "offsets 0 {}\nconfig 123456", batches(modes).count()).unwrap();
    text
}

/// A description of a record in the log. An idempotent producer has an id, and its sequence numbers begin at 0.
fn describe(record: &StoredRecord) -> String {
    let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
    let value = value.trim_end_matches('x').trim_end();
    let producer = if record.producer_id < 0 { "no producer id" } else { "a producer id" };
    format!("{value} with {producer}, sequence {}", record.sequence)
}

fn line(codec: &str, mode: &str, number: usize) -> String {
    match mode {
        "plain" => format!("{codec} {mode} {number} with no producer id, sequence -1"),
        _ => format!("{codec} {mode} {number} with a producer id, sequence {number}"),
    }
}

/// ApiVersions in version 3, by "tool 7"; AddOffsetsToTxn in version 4; and an HTTP request.
const VERSIONS: &[u8] = b"\0\0\0\x17\0\x12\0\x03\0\0\0\x01\0\x04shop\0\x05tool\x027\0";
const TRANSACTION: &[u8] = b"\0\0\0\x0f\0\x19\0\x04\0\0\0\x01\0\x04shop\0";
const HTTP: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

#[tokio::test]
async fn a_refused_request_is_logged_once_for_each_client() {
    let logs = Logs::default();
    // The broker's tasks run in the thread of their test, and it warns of each request that it refuses.
    let _listening = tracing::subscriber::set_default(logs.listener(Level::WARN));
    let broker = EmbeddedBroker::builder().start().await.expect("the embedded broker starts");
    let address = broker.bootstrap_servers();
    for sent in [TRANSACTION, HTTP, TRANSACTION, HTTP, &[VERSIONS, TRANSACTION].concat()] {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(sent).await.unwrap();
        // Returns when the connection is closed or reset.
        socket.read_to_end(&mut Vec::new()).await.ok();
    }
    let lines = logs.take();
    let request = "AddOffsetsToTxn request (api key 25, version 4, client id \"shop\") from";
    let [transaction, http, named] = &lines[..] else { panic!("{lines:#?}") };
    assert!(transaction.contains(&format!("{request} a client at 127.0.0.1 refused")), "{transaction}");
    assert!(http.contains("request from a client at 127.0.0.1 refused, connection closed: frame of"), "{http}");
    assert!(named.contains(&format!("{request} tool 7 at 127.0.0.1 refused")), "{named}");
}

#[tokio::test]
async fn librdkafka_works() {
    works(python("librdkafka.py"), MODES).await;
}

#[tokio::test]
async fn kafka_python_works() {
    works(python("kafka_python.py"), MODES).await;
}

#[tokio::test]
async fn aiokafka_works() {
    works(python("aio_kafka.py"), MODES).await;
}

#[tokio::test]
async fn franz_go_works() {
    works(go("franz-go"), MODES).await;
}

#[tokio::test]
async fn sarama_works() {
    works(go("sarama"), MODES).await;
}

#[tokio::test]
async fn kafka_go_works() {
    works(go("kafka-go"), &["plain"]).await;
}

/// A broker with users.
fn with_users() -> Builder {
    let broker = EmbeddedBroker::builder().user("alice", "secret").session_lifetime(Duration::from_secs(60));
    broker.topic(TOPIC, 1)
}

/// Writes a file that goes with the machine's other temporary ones.
fn temporary(name: &str, text: &str) -> String {
    let path = env::temp_dir().join(format!("milena-clients-{}-{name}", process::id()));
    fs::write(&path, text).expect("the folder for temporary files is writable");
    path.to_str().expect("a UTF-8 path").to_owned()
}

#[tokio::test]
async fn clients_authenticate_by_each_mechanism() {
    let broker = with_users().start().await.expect("the embedded broker starts");
    authenticate(&broker, None).await;
}

#[tokio::test]
async fn clients_authenticate_by_each_mechanism_over_tls() {
    let broker = with_users().tls(Tls::new()).start().await.expect("the embedded broker starts");
    let ca = temporary("ca.pem", &broker.ca_pem().expect("it makes keys"));
    authenticate(&broker, Some(&ca)).await;
}

async fn authenticate(broker: &EmbeddedBroker, ca: Option<&str>) {
    let mut client = python("sasl.py");
    client.args([&broker.bootstrap_servers(), TOPIC]).args(ca);
    let output = run(client).await;
    let mut expected = String::new();
    for client in ["librdkafka", "kafka_python", "aiokafka"] {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            writeln!(expected, "{client} {mechanism} secret sent").unwrap();
        }
        writeln!(expected, "{client} SCRAM-SHA-256 wrong refused").unwrap();
    }
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(broker.log(TOPIC, 0).len(), 9);
}

/// What one of Java's own tools prints.
fn tool(servers: &str, class: &str, arguments: &str) -> String {
    let connect = ["--bootstrap-server", servers];
    let arguments: Vec<_> = connect.into_iter().chain(arguments.split(' ')).collect();
    java::run_class(class, &arguments, "")
}

/// The tools that the broker's documentation names, beside the console tools of `tests/kafka`.
#[tokio::test]
async fn javas_own_tools_work() {
    let logs = Logs::default();
    // The broker's tasks run in the thread of their test, and it warns of each request that it refuses.
    let _listening = tracing::subscriber::set_default(logs.listener(Level::WARN));
    let broker = EmbeddedBroker::builder().nodes(2).start().await.expect("the embedded broker starts");
    let servers = broker.bootstrap_servers();
    let printed = spawn_blocking(move || {
        let tool = |class: &str, arguments: &str| tool(&servers, class, arguments);
        let create = "--create --topic clients --partitions 2 --replication-factor 2 --config retention.ms=123456";
        let created = tool("org.apache.kafka.tools.TopicCommand", create);
        console::produce(&servers, TOPIC, &[("a", Some("one")), ("a", Some("two")), ("a", None)]);
        let offsets = tool("org.apache.kafka.tools.GetOffsetShell", "--topic clients --time latest");
        let described = tool("org.apache.kafka.tools.TopicCommand", "--describe --topic clients");
        let config = tool("kafka.admin.ConfigCommand", "--describe --topic clients");
        [created, offsets, described, config]
    });
    let [created, offsets, described, config] = printed.await.expect("the tools work");
    assert_eq!(created.trim(), "Created topic clients.");
    let partitions = [0, 1].map(|partition| format!("clients:{partition}:{}\n", broker.log(TOPIC, partition).len()));
    assert_eq!((offsets, broker.log(TOPIC, 0).len() + broker.log(TOPIC, 1).len()), (partitions.concat(), 3));
    for part in ["PartitionCount: 2", "ReplicationFactor: 2", "Leader: 1\tReplicas: 1,2\tIsr: 1,2", "Leader: 2"] {
        assert!(described.contains(part), "{part} is not in {described}");
    }
    assert!(config.contains("retention.ms=123456"), "{config}");
    assert_eq!(logs.take(), Vec::<String>::new());
}

#[tokio::test]
async fn java_shows_its_certificate_over_tls() {
    let tls = Tls::new().client_auth(ClientAuth::Required);
    let rule = "User:CN=java DESCRIBE topic clients".parse().expect("a rule");
    let broker = EmbeddedBroker::builder().tls(tls).topic(TOPIC, 1).acl(rule);
    let broker = broker.start().await.expect("the embedded broker starts");
    let ca = temporary("java-ca.pem", &broker.ca_pem().expect("it makes keys"));
    let keystore = temporary("java.pem", &broker.client_keystore("java").expect("as well"));
    let stores = format!("ssl.truststore.location={ca}\nssl.keystore.location={keystore}\n");
    let types = "security.protocol=SSL\nssl.truststore.type=PEM\nssl.keystore.type=PEM\n";
    let settings = temporary("java.properties", &(types.to_owned() + &stores));
    let servers = broker.bootstrap_servers();
    let told = spawn_blocking(move || {
        let arguments = ["--bootstrap-server", &servers, "--command-config", &settings, "--topic", TOPIC];
        java::run_class("org.apache.kafka.tools.GetOffsetShell", &arguments, "")
    });
    assert_eq!(told.await.expect("the tool works"), "clients:0:0\n");
}

#[tokio::test]
async fn java_works() {
    let mut command = java::java("WARN");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/java/Client.java"));
    works(command, MODES).await;
}
