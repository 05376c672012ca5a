//! Members of one group, by each client: two share four partitions and read each record once; one leaves, and the other gets
//! its partitions; a new one reads from what was committed.
//!
//! In: a program for each client, which gets servers and a topic. Out: one line for each step, the same for all clients.

use std::{path::Path, process::Command};

use milena::broker::EmbeddedBroker;
use milena_test_support::{console, java};
use tokio::task::spawn_blocking;
use tracing::Level;

use super::{go, logs::Logs, node, python, run, tool};

const TOPIC: &str = "grouped";
const STEPS: &str = "\
shared 4
shared 2 2
read 0 1 2 3 4 5 6 7
shared 4
read 8 9 10 11 12 13 14 15
read 16 17 18 19
";

/// Runs the members against a new broker. `name` is that of their group.
async fn share(mut client: Command, name: &str) {
    let logs = Logs::default();
    // The broker's tasks run in the thread of their test, and it warns of each request that it refuses.
    let _listening = tracing::subscriber::set_default(logs.listener(Level::WARN));
    let broker = EmbeddedBroker::builder().topic(TOPIC, 4).start().await.expect("the embedded broker starts");
    client.args([&broker.bootstrap_servers(), TOPIC]);
    let output = run(client).await;
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let refused = logs.take();
    assert_eq!(printed, STEPS, "{name}: {}, the broker refused {refused:#?}\n{errors}", output.status);
    assert!(output.status.success(), "{name}: {}\n{errors}", output.status);
    assert_eq!(refused, Vec::<String>::new(), "{name}");
}

fn script(name: &str) -> Command {
    let mut command = python("grouped.py");
    command.arg(name);
    command
}

fn program(name: &str) -> Command {
    let mut command = go(name);
    command.arg("group");
    command
}

#[tokio::test]
async fn members_with_librdkafka_share() {
    share(script("librdkafka"), "librdkafka").await;
}

#[tokio::test]
async fn members_with_kafka_python_share() {
    share(script("kafka_python"), "kafka_python").await;
}

#[tokio::test]
async fn members_with_aiokafka_share() {
    share(script("aiokafka"), "aiokafka").await;
}

#[tokio::test]
async fn members_with_franz_go_share() {
    share(program("franz-go"), "franz-go").await;
}

#[tokio::test]
async fn members_with_sarama_share() {
    share(program("sarama"), "sarama").await;
}

#[tokio::test]
async fn members_with_kafka_go_share() {
    share(program("kafka-go"), "kafka-go").await;
}

#[tokio::test]
async fn members_with_kafkajs_share() {
    share(node("grouped.js"), "kafkajs").await;
}

#[tokio::test]
async fn members_with_java_share() {
    let mut command = java::java("WARN");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/java/Grouped.java"));
    share(command, "java").await;
}

/// `kafka-console-consumer`, `kafka-consumer-groups` and `kafka-topics --delete`.
#[tokio::test]
async fn javas_tools_of_groups_work() {
    let logs = Logs::default();
    // The broker's tasks run in the thread of their test, and it warns of each request that it refuses.
    let _listening = tracing::subscriber::set_default(logs.listener(Level::WARN));
    let broker = EmbeddedBroker::builder().nodes(2).topic(TOPIC, 1).start().await.expect("the embedded broker starts");
    let servers = broker.bootstrap_servers();
    let printed = spawn_blocking(move || {
        let tool = |class: &str, arguments: &str| tool(&servers, class, arguments);
        console::produce(&servers, TOPIC, &[("a", Some("one")), ("b", Some("two"))]);
        let read = "--topic grouped --group tools --from-beginning --max-messages 2 --timeout-ms 60000";
        let read = tool("org.apache.kafka.tools.consumer.ConsoleConsumer", read);
        let commands = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        let asked = ["--list", "--describe --group tools --offsets", "--delete --group tools", "--list"];
        let [listed, described, deleted, left] = asked.map(|asked| tool(commands, asked));
        let topics = "org.apache.kafka.tools.TopicCommand";
        tool(topics, "--delete --topic grouped");
        [read, listed, described, deleted, left, tool(topics, "--list")]
    });
    let [read, listed, described, deleted, left, topics] = printed.await.expect("the tools work");
    assert_eq!((&*read, listed.trim()), ("one\ntwo\n", "tools"));
    let offsets: Vec<_> = described.lines().last().unwrap_or_default().split_whitespace().take(6).collect();
    assert_eq!(offsets, ["tools", TOPIC, "0", "2", "2", "0"], "{described}");
    assert!(deleted.contains("('tools') was successful"), "{deleted}");
    assert_eq!((left.trim(), topics.trim()), ("", ""));
    assert_eq!(logs.take(), Vec::<String>::new());
}

/// A broker that did not answer their heartbeats would leave librdkafka without a word.
#[tokio::test]
async fn consumers_that_ask_for_a_group_of_kip_848_are_told_that_there_is_none() {
    let broker = EmbeddedBroker::builder().topic(TOPIC, 1).start().await.expect("the embedded broker starts");
    let servers = broker.bootstrap_servers();
    let mut script = python("modern.py");
    script.args([&servers, TOPIC]);
    let output = run(script).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "_FATAL\n", "{output:?}");
}
