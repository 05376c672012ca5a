//! What operators do, by each client: add partitions, alter a setting and see it, count the nodes, delete records, delete the topic.
//!
//! In: a program for each client, which gets servers and a topic. Out: one line for each step, the same for all clients. kafka-go deletes no records.

use std::process::Command;

use milena::broker::{Api, EmbeddedBroker};
use milena_test_support::console;
use tokio::task::spawn_blocking;
use tracing::Level;

use super::{go, logs::Logs, node, python, run, tool};

const TOPIC: &str = "managed";
const STEPS: &str = "partitions 4\nconfig 654321\nnodes 2\n";
const RECORDS: &str = "records 3 5\n";

/// Runs a client against a new broker. `name` is that of the client.
async fn manages(mut client: Command, name: &str, records: &str) {
    let logs = Logs::default();
    // The broker's tasks run in the thread of their test, and it warns of each request that it refuses.
    let _listening = tracing::subscriber::set_default(logs.listener(Level::WARN));
    let broker =
        EmbeddedBroker::builder().auto_create(false).nodes(2).start().await.expect("the embedded broker starts");
    client.args([&broker.bootstrap_servers(), TOPIC]);
    let output = run(client).await;
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let refused = logs.take();
    assert_eq!(
        printed,
        [STEPS, records].concat(),
        "{name}: {}, the broker refused {refused:#?}\n{errors}",
        output.status
    );
    assert!(output.status.success(), "{name}: {}\n{errors}", output.status);
    assert_eq!((broker.leader(TOPIC, 0), broker.requests(Api::DeleteTopics)), (None, 1), "{name}");
    assert_eq!(refused, Vec::<String>::new(), "{name}");
}

fn script(name: &str) -> Command {
    let mut command = python("managing.py");
    command.arg(name);
    command
}

fn program(name: &str) -> Command {
    let mut command = go(name);
    command.arg("operate");
    command
}

#[tokio::test]
async fn librdkafka_manages() {
    manages(script("librdkafka"), "librdkafka", RECORDS).await;
}

#[tokio::test]
async fn kafka_python_manages() {
    manages(script("kafka_python"), "kafka_python", RECORDS).await;
}

#[tokio::test]
async fn aiokafka_manages() {
    manages(script("aiokafka"), "aiokafka", RECORDS).await;
}

#[tokio::test]
async fn franz_go_manages() {
    manages(program("franz-go"), "franz-go", RECORDS).await;
}

#[tokio::test]
async fn sarama_manages() {
    manages(program("sarama"), "sarama", RECORDS).await;
}

#[tokio::test]
async fn kafka_go_manages() {
    manages(program("kafka-go"), "kafka-go", "").await;
}

#[tokio::test]
async fn kafkajs_manages() {
    let mut client = node("kafkajs.js");
    client.arg("manage");
    manages(client, "kafkajs", RECORDS).await;
}

/// `kafka-topics --alter`, `kafka-configs --alter`, `kafka-cluster` and `kafka-delete-records`.
#[tokio::test]
async fn java_manages() {
    let logs = Logs::default();
    // The broker's tasks run in the thread of their test, and it warns of each request that it refuses.
    let _listening = tracing::subscriber::set_default(logs.listener(Level::WARN));
    let broker = EmbeddedBroker::builder().nodes(2).topic(TOPIC, 1).start().await.expect("the embedded broker starts");
    let servers = broker.bootstrap_servers();
    let wanted = super::temporary(
        "delete.json",
        r#"{"partitions": [{"topic": "managed", "partition": 0, "offset": 1}], "version": 1}"#,
    );
    let printed = spawn_blocking(move || {
        let tool = |class: &str, arguments: &str| tool(&servers, class, arguments);
        console::produce(&servers, TOPIC, &[("a", Some("one")), ("b", Some("two"))]);
        tool("org.apache.kafka.tools.TopicCommand", "--alter --topic managed --partitions 4");
        let configs = "kafka.admin.ConfigCommand";
        tool(configs, "--alter --entity-type topics --entity-name managed --add-config retention.ms=654321");
        let settings = tool(configs, "--describe --entity-type topics --entity-name managed");
        let deleted = tool("org.apache.kafka.tools.DeleteRecordsCommand", &format!("--offset-json-file {wanted}"));
        let topics = tool("org.apache.kafka.tools.TopicCommand", "--describe --topic managed");
        [settings, deleted, topics]
    });
    let [settings, deleted, topics] = printed.await.expect("the tools work");
    assert!(settings.contains("retention.ms=654321"), "{settings}");
    assert!(deleted.contains("low_watermark: 1"), "{deleted}");
    assert!(topics.contains("PartitionCount: 4") && topics.contains("Elr: \tLastKnownElr:"), "{topics}");
    assert_eq!(broker.log(TOPIC, 0).iter().map(|record| record.offset).collect::<Vec<_>>(), [1]);
    for api in [Api::CreatePartitions, Api::IncrementalAlterConfigs, Api::DeleteRecords, Api::DescribeTopicPartitions] {
        assert!(broker.requests(api) > 0, "{api:?}");
    }
    assert_eq!(logs.take(), Vec::<String>::new());
}
