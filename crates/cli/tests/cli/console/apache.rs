//! Runs Apache's own console tools.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use milena_test_support::java;

use crate::support::Ran;

/// Runs Apache's tools one after the other: class, what it reads, arguments.
pub(super) fn run<'a>(class: &str, runs: impl Iterator<Item = (&'a [u8], Vec<String>)>) -> Vec<Ran> {
    let line = |(stdin, arguments): (&[u8], Vec<String>)| {
        let words = arguments.iter().map(|argument| format!(" {}", STANDARD.encode(argument)));
        format!("{class} {}{}\n", STANDARD.encode(stdin), words.collect::<String>())
    };
    run_source("ConsoleTools.java", &runs.map(line).collect::<String>()).lines().map(ran).collect()
}

/// Runs a Java program of this folder. Returns what it printed.
pub(super) fn run_source(name: &str, input: &str) -> String {
    java::run_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/console").join(name), input)
}

fn ran(line: &str) -> Ran {
    let words: Vec<_> = line.split(' ').collect();
    let [code, stdout, stderr] = words[..] else { panic!("expected code, stdout and stderr, got {line:?}") };
    let decoded = |text| STANDARD.decode(text).unwrap();
    Ran { code: code.parse().ok(), stdout: decoded(stdout), stderr: String::from_utf8(decoded(stderr)).unwrap() }
}
