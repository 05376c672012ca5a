//! A setting that has Java's name has Java's default.

use std::collections::BTreeMap;

use super::run;
use crate::ProducerBuilder;

/// Settings whose default differs on purpose.
const DIFFERENCES: [(&str, &str, &str); 1] =
    [("client.id", "milena-producer", "Java makes one up per process; a fixed name groups quotas and logs by program")];

/// Settings that Java does not have, the last two not in this version (KIP-1123).
const OWN: [&str; 4] = ["sasl.username", "sasl.password", "client.rack", "partitioner.rack.aware"];

/// Settings without a default, which Java refuses to have empty.
const NEVER_EMPTY: [&str; 4] = ["bootstrap.servers", "key.serializer", "value.serializer", "transactional.id"];

#[test]
fn every_setting_of_java_is_taken_at_javas_default() {
    let java = run("ProducerDefaults.java", "");
    let given = java.iter().filter(|row| !NEVER_EMPTY.contains(&&*row[0]));
    let properties: Vec<_> = given.map(|row| (&row[0], &row[1])).collect();
    assert!(properties.len() > 100, "all of them are there");
    let builder = ProducerBuilder::new("localhost:9092").properties(properties);
    if let Err(error) = builder.effective_properties() {
        panic!("refused: {}", error.violations().join("\n"));
    }
}

#[test]
fn every_setting_has_the_default_of_java_but_for_the_listed_ones() {
    let java: BTreeMap<_, _> =
        run("ProducerDefaults.java", "").into_iter().map(|c| (c[0].clone(), c[1].clone())).collect();
    let ours = ProducerBuilder::new("localhost:9092").effective_properties().expect("the defaults are valid");
    for (name, value) in ours.iter().filter(|(name, _)| *name != "bootstrap.servers" && !OWN.contains(name)) {
        let theirs = java.get(*name).unwrap_or_else(|| panic!("Java has no setting {name}"));
        match DIFFERENCES.iter().find(|(different, ..)| different == name) {
            Some((_, expected, reason)) => {
                assert_eq!(value, expected, "{name}: {reason}");
                assert_ne!(value, theirs, "{name} no longer differs: take it from the list");
            }
            None => assert_eq!(value, theirs, "default of {name}"),
        }
    }
}
