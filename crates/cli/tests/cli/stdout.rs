//! Output that is not taken fails a command, unless nobody wants it.

use std::{fs::File, process::Stdio};

use crate::support::{Broker, Process, Ran, Scratch};

const PERF: &[&str] = &["perf", "--topic", "t", "--num-records", "100", "--record-size", "10"];

/// A file for which there is no room.
#[cfg(target_os = "linux")]
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe that nobody reads.
fn unread() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

fn run(args: &[&str], stdin: &[u8], stdout: Stdio, stderr: Stdio) -> Ran {
    let folder = Scratch::new();
    let mut process = Process::start_with(&folder, args, stdout, stderr);
    process.write(stdin);
    process.end()
}

/// Every command in each of its formats, against a broker where it needs one, with what it reads.
fn commands(bootstrap: &str) -> Vec<(Vec<String>, &'static [u8])> {
    let help: &[&[&str]] = &[
        &["--help"],
        &["-h"],
        &["--version"],
        &["produce", "--help"],
        &["lab", "help", "retry"],
        &["completions", "bash"],
        &["man"],
    ];
    let labs: &[&[&str]] = &[
        &["lab", "async-orders"],
        &["lab", "retry", "--backoff", "1ms", "--max-attempts", "1"],
        &["lab", "dead-letter"],
        &["lab", "pause", "--pause", "40ms", "--request-timeout", "20ms", "--interval", "1ms"],
        &["lab", "latency", "--records", "100", "--warmup", "0", "--page", "page.html"],
    ];
    let perf = ["text", "json"].map(|format| [PERF, &["--output", format, "--print-metrics"]].concat());
    let to = ["-b", bootstrap, "-t", "t"];
    let produce = ["text", "json"].map(|format| [&["produce", "-o", format], &to[..]].concat());
    let consume = ["text", "json"].map(|format| [&["consume", "-o", format], &to[..]].concat());
    let letters = [&["dlq", "list"][..], &["dlq", "list", "--json"]].map(|dlq| [dlq, &to[..]].concat());
    let follow = [&["consume", "--follow"], &to[..]].concat();
    let plain = [help, labs].concat();
    let silent = plain
        .into_iter()
        .map(<[_]>::to_vec)
        .chain(perf)
        .chain(consume)
        .chain(letters)
        .chain([follow])
        .map(|args| (args, &b""[..]));
    let all = produce.into_iter().map(|args| (args, &b"line\n"[..])).chain(silent);
    all.map(|(args, stdin)| (args.into_iter().map(str::to_owned).collect(), stdin)).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_fails_every_command_and_is_told_once() {
    let broker = Broker::start(&["--topic", "t:1"]);
    broker.produce(&Scratch::new(), "t", &[], b"record\n").expect(0);
    for (args, stdin) in commands(&broker.bootstrap) {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let ran = run(&args, stdin, full(), Stdio::piped());
        assert_eq!(ran.code, Some(1), "{args:?}: {}", ran.stderr);
        let told = ran.stderr.matches("error: cannot write to standard output: No space left on device").count();
        assert_eq!(told, 1, "{args:?}: {}", ran.stderr);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_broker_whose_address_cannot_be_told_ends() {
    let ran = run(&["broker", "--port", "0"], b"", full(), Stdio::piped()).expect(1);
    assert!(ran.stderr.contains("cannot write to standard output"), "{}", ran.stderr);
}

#[test]
#[cfg(target_os = "linux")]
fn lines_are_sent_also_when_their_outcomes_cannot_be_printed() {
    let broker = Broker::start(&["--topic", "t:1"]);
    let ran = run(&["produce", "-b", &broker.bootstrap, "-t", "t"], b"a\nb\n", full(), Stdio::piped()).expect(1);
    assert!(ran.stderr.contains("2 lines: 2 delivered, 0 failed"), "{}", ran.stderr);
    assert_eq!(broker.read("t").len(), 2);
}

#[test]
fn nobody_reading_is_no_failure() {
    let broker = Broker::start(&["--topic", "t:1"]);
    broker.produce(&Scratch::new(), "t", &[], b"record\n").expect(0);
    for (args, stdin) in commands(&broker.bootstrap) {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let ran = run(&args, stdin, unread(), Stdio::piped());
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("cannot write"), "{args:?}: {}", ran.stderr);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_standard_error_that_takes_nothing_changes_no_outcome() {
    let broker = Broker::start(&["--topic", "t:1"]);
    let to = ["-b", &broker.bootstrap, "-t", "t"];
    let produce = [&["produce", "--parse-key", "--log", "trace"], &to[..]].concat();
    assert_eq!(run(&produce, b"k\tv\nno key\n", Stdio::piped(), full()).code, Some(1));
    assert_eq!(broker.read("t").len(), 1);
    for (args, code) in
        [(&["lab", "retry", "--backoff", "1ms"][..], 0), (PERF, 0), (&["perf"], 2), (&["lab", "nothing"], 2)]
    {
        assert_eq!(run(args, b"", Stdio::piped(), full()).code, Some(code), "{args:?}");
    }
}
