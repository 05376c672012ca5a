//! The console tools. Beside those of Apache Kafka (which needs Kafka's jars), the same input and options leave the same log, and print
//! the same.

#[cfg(feature = "kafka-tests")]
mod apache;
#[cfg(feature = "kafka-tests")]
mod producer;

use crate::support::{Broker, Process, Scratch, run_in};

fn console_producer<'a>(broker: &'a Broker, more: &[&'a str]) -> Vec<&'a str> {
    [&["console-producer", "--bootstrap-server", &broker.bootstrap, "--topic", "t"], more].concat()
}

fn values(broker: &Broker) -> Vec<serde_json::Value> {
    broker.read("t").iter().map(|record| record["value"].clone()).collect()
}

#[test]
fn a_record_that_fails_is_told_and_fails_the_command_and_the_others_are_sent() {
    let broker = Broker::start(&["--topic", "t:1"]);
    let small = ["--command-property", "max.request.size=100"];
    let lines = format!("a\n{}\nb\n", "x".repeat(200));
    let ran = run_in(&Scratch::new(), &console_producer(&broker, &small), lines.as_bytes()).expect(1);
    assert!(ran.stderr.starts_with("line 2: failed: record for t takes "), "{}", ran.stderr);
    assert_eq!(values(&broker), ["a", "b"]);
}

#[test]
fn one_at_a_time_the_first_that_fails_is_the_last() {
    let broker = Broker::start(&["--topic", "t:1"]);
    let small = ["--sync", "--command-property", "max.request.size=100"];
    let lines = format!("a\n{}\nb\n", "x".repeat(200));
    let ran = run_in(&Scratch::new(), &console_producer(&broker, &small), lines.as_bytes()).expect(1);
    assert!(ran.stderr.contains("line 2: failed: record for t takes "), "{}", ran.stderr);
    assert_eq!(values(&broker), ["a"]);
}

#[test]
fn files_have_the_properties_of_the_reader_and_the_settings_of_the_producer() {
    let broker = Broker::start(&["--topic", "t:1"]);
    let folder = Scratch::new();
    folder.write("reader", b"parse.key=true\nkey.separator=\\t\n");
    folder.write("settings", b"acks=1\nlinger.ms=0\nvalue.serializer=org.example.Mine\n");
    let files = ["--reader-config", "reader", "--producer.config", "settings", "--reader-property", "key.separator=:"];
    let ran = run_in(&folder, &console_producer(&broker, &files), b"k:v\n").expect(0);
    assert!(
        ran.stderr.starts_with("warning: --producer.config is deprecated, use --command-config\n"),
        "{}",
        ran.stderr
    );
    assert_eq!(broker.read("t")[0]["key"], "k");
    folder.write("settings", b"lingerms=0\n");
    let ran = run_in(&folder, &console_producer(&broker, &files), b"k:v\n").expect(2);
    assert!(ran.stderr.contains("lingerms"), "{}", ran.stderr);
}

#[cfg(unix)]
#[test]
fn an_interrupt_delivers_what_was_sent() {
    let broker = Broker::start(&["--topic", "t:1"]);
    let producer = &console_producer(&broker, &["--sync"]);
    let mut process = Process::start(&Scratch::new(), producer);
    process.write(b"a\n");
    let mut reader = Process::start(&Scratch::new(), &["consume", "-b", &broker.bootstrap, "-t", "t", "--follow"]);
    assert!(reader.line().ends_with("\ta"));
    process.signal("INT");
    process.wait().expect(130);
}
