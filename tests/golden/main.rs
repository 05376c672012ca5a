//! Compares milena with Apache Kafka's own Java classes.
//!
//! In: the output of the small Java programs beside this file, run with the Kafka jars that `tests/run` fetched. Out: a
//! failing test for each difference that is not listed here with its reason. These are unit tests of the crate, because
//! they use private items. They are here, with their Java half, because they concern several files.

use std::path::Path;

use milena_test_support::java;

mod error_table;
mod key_hashes;
mod producer_defaults;
mod record_batches;

/// Runs one of the Java programs; each of its lines becomes columns.
fn run(program: &str, input: &str) -> Vec<Vec<String>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(program);
    let columns = |line: &str| line.split('\t').map(str::to_owned).collect();
    java::run_source(&source, input).lines().map(columns).collect()
}

fn parse<T: std::str::FromStr>(column: &str) -> T {
    column.parse().unwrap_or_else(|_| panic!("{column:?} is not what the Java program prints"))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().map(|digit| digit.to_digit(16).expect("a hex digit")).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits are a byte")).collect()
}
