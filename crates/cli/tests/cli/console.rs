//! The console tools. Beside those of Apache Kafka (which needs Kafka's jars), the same input and options leave the same log, and print
//! the same.

#[cfg(feature = "kafka-tests")]
mod apache;
#[cfg(feature = "kafka-tests")]
mod consumer;
#[cfg(feature = "kafka-tests")]
mod producer;
#[cfg(feature = "kafka-tests")]
mod real;
#[cfg(feature = "kafka-tests")]
mod topics;

use milena::admin::Admin;

use crate::support::{Broker, Process, Scratch, milena, run_in};

/// Runs one of the console tools.
#[cfg(feature = "kafka-tests")]
fn console(which: &str, arguments: &[String], stdin: &[u8]) -> crate::support::Ran {
    let command = format!("console-{which}");
    let arguments: Vec<_> = [command.as_str()].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    run_in(&Scratch::new(), &arguments, stdin)
}

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

fn console_consumer<'a>(broker: &'a Broker, more: &[&'a str]) -> Vec<&'a str> {
    [&["console-consumer", "--bootstrap-server", &broker.bootstrap], more].concat()
}

#[test]
fn all_partitions_of_the_topics_are_read_whose_whole_name_matches() {
    let broker = Broker::start(&["--topic", "a-1:2", "--topic", "a-2:1", "--topic", "ba-1:1"]);
    for (topic, partition) in [("a-1", "0"), ("a-1", "1"), ("a-2", "0"), ("ba-1", "0")] {
        let line = format!("{topic}-{partition}\n");
        broker.produce(&Scratch::new(), topic, &["--partition", partition], line.as_bytes()).expect(0);
    }
    let options = ["--include", "a-[12]|b", "--from-beginning", "--max-messages", "3"];
    let ran = milena(&console_consumer(&broker, &options)).expect(0);
    let mut lines = ran.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["a-1-0", "a-1-1", "a-2-0"]);
    assert_eq!(ran.stderr, "Processed a total of 3 messages\n");
}

#[cfg(unix)]
#[test]
fn reading_goes_on_until_an_interrupt_which_tells_how_much_was_read() {
    let broker = Broker::start(&["--topic", "t:1"]);
    broker.produce(&Scratch::new(), "t", &[], b"a\n").expect(0);
    let options = ["--topic", "t", "--from-beginning", "--enable-systest-events"];
    let mut process = Process::start(&Scratch::new(), &console_consumer(&broker, &options));
    assert_eq!(process.line(), "a");
    broker.produce(&Scratch::new(), "t", &[], b"b\n").expect(0);
    assert_eq!(process.line(), "b");
    process.signal("INT");
    let ran = process.wait().expect(130);
    assert_eq!((ran.lines(), ran.stderr.as_str()), (vec!["shutdown_complete"], "Processed a total of 2 messages\n"));
}

#[test]
fn a_topic_that_does_not_exist_yet_is_waited_for() {
    let broker = Broker::start(&[]);
    let mut process =
        Process::start(&Scratch::new(), &console_consumer(&broker, &["--topic", "late", "--max-messages", "1"]));
    process.wait_for("warning: topic late does not exist yet, waiting for it");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut admin = Admin::connect(&broker.bootstrap).await.unwrap();
        admin.create_topic("late", 1, 1, &[]).await.unwrap();
    });
    broker.produce(&Scratch::new(), "late", &[], b"a\n").expect(0);
    assert_eq!(process.line(), "a");
    process.wait().expect(0);
}
