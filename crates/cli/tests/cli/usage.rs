//! What is refused before anything is sent: exit code 2, and a sentence that says what was expected.

use crate::support::{Scratch, milena, run_in};

#[test]
fn without_a_command_the_commands_are_shown() {
    let ran = milena(&[]).expect(2);
    for command in ["produce", "consume", "lab", "broker", "outbox", "dlq"] {
        assert!(ran.stderr.contains(command), "{}", ran.stderr);
    }
}

#[test]
fn the_help_of_every_command_has_examples_and_exit_codes() {
    for command in [
        &["produce"][..],
        &["consume"],
        &["console-producer"],
        &["console-consumer"],
        &["topics"],
        &["topics", "offsets"],
        &["topics", "configs"],
        &["lab", "async-orders"],
        &["lab", "retry"],
        &["lab", "dead-letter"],
        &["broker"],
        &["outbox", "list"],
        &["outbox", "show"],
        &["outbox", "replay"],
        &["outbox", "purge"],
        &["outbox", "stats"],
        &["dlq", "list"],
        &["dlq", "replay"],
        &["profile"],
        &["completions"],
        &["man"],
    ] {
        let ran = milena(&[command, &["--help"]].concat()).expect(0);
        let help = String::from_utf8(ran.stdout).unwrap();
        for part in ["Examples:", "Exit codes:", "Usage: milena"] {
            assert!(help.contains(part), "{command:?} lacks {part}");
        }
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused_with_what_was_expected() {
    for (args, expected) in [
        (&["produce"][..], "--topic"),
        (&["produce", "-t", "t", "--key-separator", ":"], "--parse-key"),
        (&["produce", "-t", "t", "--parse-key", "--key-separator", ""], "at least one character"),
        (&["produce", "-t", "t", "--partition", "-1"], "--partition"),
        (&["produce", "-t", "t", "--header", "x"], "expected name=value"),
        (&["produce", "-t", "t", "--property", "linger.ms"], "expected name=value"),
        (&["produce", "-t", "t", "--output", "xml"], "text, json, none"),
        (&["produce", "-t", "t", "--max-line-bytes", "0"], "--max-line-bytes"),
        (&["produce", "-t", "t", "--file", "not-there"], "not-there"),
        (&["produce", "-t", "t", "--format", "xml"], "lines, json, csv, tsv"),
        (&["produce", "-t", "t", "--delimiter", "\\q"], "where a backslash stands"),
        (&["produce", "-t", "t", "--parse-key", "--key-separator", "\\n"], "cannot hold what ends the line"),
        (&["produce", "-t", "t", "--format", "csv", "--parse-key"], "--format lines"),
        (&["produce", "-t", "t", "--format", "csv", "--delimiter", "|"], "--delimiter"),
        (&["produce", "-t", "t", "--key-column", "id"], "--format csv and tsv"),
        (&["produce", "-t", "t", "--format", "json", "-Z"], "which has null and base64"),
        (&["produce", "-t", "t", "one", "--file", "two"], "--file"),
        (&["produce", "-t", "t", "one", "--value-encoding", "hex"], "whole files"),
        (&["produce", "-t", "t", "--timestamp", "noon"], "expected milliseconds since 1970"),
        (&["produce", "-t", "t", "--partitioner", "mine"], "round-robin"),
        (&["produce", "-t", "t", "--partitioner", "random", "--partition", "1"], "--partition"),
        (&["consume", "-t", "t", "--from", "middle"], "expected beginning, end or an offset"),
        (&["consume", "-t", "t", "-b", "localhost"], "the port is missing"),
        (&["consume", "-t", "t", "-f", "%q"], "expected one of %t topic"),
        (&["consume", "-t", "t", "-Z"], "--format-string"),
        (&["console-producer", "--topic", "t"], "--bootstrap-server"),
        (
            &["console-producer", "--bootstrap-server", "a:1", "--topic", "t", "--line-reader", "Mine"],
            "milena runs no classes",
        ),
        (
            &["console-producer", "--bootstrap-server", "a:1", "--topic", "t", "--property", "null.marker=,"],
            "headers.separator",
        ),
        (&["topics", "--bootstrap-server", "a:1"], "--list"),
        (&["topics", "--list"], "--bootstrap-server"),
        (&["topics", "--list", "--create", "--topic", "t", "--bootstrap-server", "a:1"], "--create"),
        (&["topics", "--create", "--bootstrap-server", "a:1"], "--topic"),
        (&["topics", "--alter", "--topic", "t", "--bootstrap-server", "a:1"], "--partitions"),
        (&["topics", "--create", "--topic", "t", "--bootstrap-server", "a:1", "--partitions", "0"], "at least 1"),
        (
            &["topics", "--create", "--topic", "t", "--bootstrap-server", "a:1", "--replica-assignment", "1:1"],
            "each broker once",
        ),
        (&["topics", "--create", "--topic", "t", "--bootstrap-server", "a:1", "--config", "x"], "expected name=value"),
        (&["topics", "offsets", "--bootstrap-server", "a:1", "--time", "now"], "max-timestamp"),
        (&["topics", "configs", "--bootstrap-server", "a:1", "--topic", "t", "--alter"], "--add-config"),
        (&["console-consumer", "--bootstrap-server", "a:1"], "--topic"),
        (&["console-consumer", "--bootstrap-server", "a:1", "--topic", "t", "--include", "t"], "--include"),
        (
            &["console-consumer", "--bootstrap-server", "a:1", "--topic", "t", "--group", "g"],
            "milena has no consumer groups",
        ),
        (&["console-consumer", "--bootstrap-server", "a:1", "--topic", "t", "--offset", "1"], "--partition"),
        (&["console-consumer", "--bootstrap-server", "a:1", "--include", "("], "expected a regular expression"),
        (
            &["console-consumer", "--bootstrap-server", "a:1", "--topic", "t", "--formatter", "Mine"],
            "milena runs no classes",
        ),
        (
            &[
                "console-consumer",
                "--bootstrap-server",
                "a:1",
                "--topic",
                "t",
                "--command-property",
                "fetch.min.bytes=1",
            ],
            "fetch.min.bytes",
        ),
        (&["broker", "--topic", "orders"], "expected name:partitions"),
        (&["broker", "--nodes", "0"], "--nodes"),
        (&["broker", "--port", "65536"], "--port"),
        (&["lab", "no-such-lab"], "no-such-lab"),
        (&["lab", "pause", "--pause", "500ms"], "expected longer than --request-timeout, which is 500 ms"),
        (&["lab", "pause", "--pid", "4711"], "--bootstrap-server"),
        (&["lab", "retry", "--max-attempts", "0"], "--max-attempts"),
        (&["lab", "retry", "--backoff", "soon"], "expected a number and ms, s or m"),
        (&["lab", "retry", "--jitter", "2"], "jitter: expected 0 to 1, got 2"),
        (&["outbox", "list"], "--store"),
        (&["outbox", "list", "--store", "x", "--limit", "0"], "--limit"),
        (&["dlq", "list"], "--topic"),
        (&["dlq", "replay", "-t", "t", "--rate", "0"], "--rate"),
        (&["dlq", "replay", "-t", "t", "--from-offset", "0:1,0:2"], "a partition is named twice"),
        (&["--log", "loud=very", "lab", "async-orders"], "--log"),
    ] {
        let ran = milena(args).expect(2);
        assert!(ran.stderr.contains(expected), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("Processed"), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn servers_that_cannot_be_are_refused_by_every_command_with_the_form_that_they_should_have() {
    for command in [
        &["produce", "-t", "t"][..],
        &["consume", "-t", "t"],
        &["perf", "--topic", "t", "--num-records", "1", "--record-size", "1"],
        &["lab", "async-orders"],
        &["lab", "retry"],
        &["lab", "dead-letter"],
        &["lab", "pause"],
        &["lab", "latency"],
        &["dlq", "list", "-t", "t"],
        &["dlq", "replay", "-t", "t"],
    ] {
        for (servers, expected) in [
            ("a:1 b:2", "commas between servers, as in a:9092,b:9092"),
            ("PLAINTEXT://kafka:9092", "kafka:9092, without PLAINTEXT://"),
            ("localhost", "the port is missing"),
            ("", "expected at least one host:port"),
        ] {
            let ran = milena(&[command, &["-b", servers]].concat()).expect(2);
            assert!(ran.stderr.contains("--bootstrap-server"), "{command:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(expected), "{command:?} {servers:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_every_reason() {
    for (args, expected) in [
        (&["--acks", "2"][..], &["--acks", "expected all or -1 or 1 or 0"][..]),
        (&["--compression-type", "brotli"], &["--compression-type", "gzip"]),
        (&["-X", "linger.mss=5"], &["linger.mss", "linger.ms"]),
        (&["-X", "linger.ms=soon", "-X", "batch.size=-1"], &["linger.ms", "batch.size"]),
        (&["-b", "localhost"], &["--bootstrap-server", "the port is missing"]),
    ] {
        let ran = milena(&[&["produce", "-t", "t"], args].concat()).expect(2);
        for part in expected {
            assert!(ran.stderr.contains(part), "{args:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_configuration_file_that_cannot_be_read_is_refused_with_file_and_line() {
    let folder = Scratch::new();
    folder.write("half.properties", b"linger.ms=5\nclient.id=\\ud83d\n");
    folder.write("latin.properties", b"client.id=caf\xe9\n");
    folder.write("typo.properties", b"# speed\nlinger_ms=5\n");
    for (file, expected) in [
        ("missing.properties", "missing.properties"),
        ("half.properties", "half.properties: line 2"),
        ("latin.properties", "latin.properties: line 1: not UTF-8"),
        ("typo.properties", "linger.ms"),
    ] {
        let ran = run_in(&folder, &["produce", "-t", "t", "--config", file], b"").expect(2);
        assert!(ran.stderr.contains(expected), "{file}: {}", ran.stderr);
    }
}

#[test]
fn the_file_of_failed_lines_must_not_be_the_one_that_is_read() {
    let folder = Scratch::new();
    folder.write("in.txt", b"line\n");
    let args = ["produce", "-t", "t", "--file", "in.txt", "--failed-file", "./in.txt"];
    let ran = run_in(&folder, &args, b"").expect(2);
    assert!(ran.stderr.contains("--failed-file"), "{}", ran.stderr);
    assert_eq!(folder.read("in.txt"), b"line\n");
}
