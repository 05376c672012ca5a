//! `SETTINGS.md`: every setting of Java's producer, and what milena does with it.
//!
//! In: the tables of this module's neighbours. Out: the page. Pure. It is a test: the page has to be what the tables say.

use super::{
    ProducerBuilder, SETTINGS,
    java_defaults::JAVA_DEFAULTS,
    unsupported::{harmless, missing},
};

const HEAD: &str = "\
# Settings

Every setting of `org.apache.kafka.clients.producer.ProducerConfig` of Apache Kafka 4.2, and what milena does with it. A program sets them by
Java's names (`ProducerBuilder::property`, `-X` and `--config` on the command line, `KAFKA_LINGER_MS` for the gateway), and most of them by a
method of `ProducerBuilder` as well. A name that is none of these is refused, with the nearest one that is.

This page is made of milena's own tables: `MILENA_WRITE_SETTINGS=1 cargo test -p milena --lib the_settings_page` writes it, and without the variable
the test compares. Another test compares names and defaults with Java's class (`cargo test -p milena --lib --features kafka-tests golden`).

## With a meaning

| property | default | what it says |
|---|---|---|
";
const TAIL: &str = "
## Without one

These are accepted with a value that asks for what milena does anyway, and refused with any other, so that nobody relies on what is not there.

| property | accepted | what milena says to another value |
|---|---|---|
";

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn code(text: &str) -> String {
    if text.is_empty() { "empty".to_owned() } else { format!("`{}`", cell(text)) }
}

fn page() -> String {
    // It has no default, and the page shows none.
    let defaults = ProducerBuilder::new("localhost:9092").effective_properties().unwrap();
    let mut page = HEAD.to_owned();
    for (setting, (name, default)) in SETTINGS.iter().zip(defaults) {
        assert_eq!(setting.name, name);
        let default = if name == "bootstrap.servers" { "none".to_owned() } else { code(&default) };
        page += &format!("| `{name}` | {default} | {} |\n", cell(setting.doc));
    }
    page += TAIL;
    let is_setting = |name: &str| SETTINGS.iter().any(|setting| setting.name == name);
    let of_families = JAVA_DEFAULTS.iter().map(|(name, _)| *name).filter(|name| !is_setting(name));
    let names: std::collections::BTreeSet<_> = missing().chain(of_families).collect();
    for name in names {
        let (accepted, reason) = harmless(name).unwrap();
        let accepted: Vec<_> = accepted.iter().map(|value| code(value)).collect();
        let accepted = if accepted.is_empty() { "nothing".to_owned() } else { accepted.join(", ") };
        page += &format!("| `{name}` | {accepted} | {} |\n", cell(reason));
    }
    page
}

#[test]
fn the_settings_page_says_what_the_tables_say() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("SETTINGS.md");
    if std::env::var_os("MILENA_WRITE_SETTINGS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written == page(), "SETTINGS.md is not what the tables say: write it by MILENA_WRITE_SETTINGS=1");
}
