//! Whether `docker-compose.yml` starts the Kafka that the tests run.
//!
//! In: the file, the tests' pom, README. Out: every service has an image with a version, waits for services that are there
//! and mounts files that are there; Kafka's version is that of the tests. Deliberately absent: Compose's schema, and an
//! engine: nobody who builds milena needs one.

use std::fs;

use saphyr::{LoadableYamlNode, Yaml};

use super::root;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn compose(text: &str) -> Yaml<'_> {
    let documents = Yaml::load_from_str(text).unwrap_or_else(|error| panic!("docker-compose.yml is no YAML: {error}"));
    documents.into_iter().next().expect("docker-compose.yml has a document")
}

/// Each service and its settings.
fn services<'a>(compose: &'a Yaml<'_>) -> Vec<(&'a str, &'a Yaml<'a>)> {
    let services = compose["services"].as_mapping().expect("services is a mapping");
    services.iter().map(|(name, service)| (name.as_str().expect("a name"), service)).collect()
}

/// What stands after the image's name.
fn version<'a>(service: &'a Yaml<'_>) -> &'a str {
    let image = service["image"].as_str().expect("an image");
    image.split_once(':').unwrap_or_else(|| panic!("{image} has no version")).1
}

/// Settings of a service that are a list or a mapping, as none if it has none.
fn names<'a>(service: &'a Yaml<'_>, setting: &str) -> Vec<&'a str> {
    let Some(found) = service.as_mapping_get(setting) else { return Vec::new() };
    let keys = found.as_mapping().into_iter().flat_map(|mapping| mapping.keys());
    let items = found.as_sequence().into_iter().flatten();
    keys.chain(items).map(|name| name.as_str().expect("a text")).collect()
}

#[test]
fn every_service_has_a_version_and_waits_for_services_that_are_there() {
    let text = read("docker-compose.yml");
    let compose = compose(&text);
    let services = services(&compose);
    for (name, service) in &services {
        assert!(version(service).starts_with(|c: char| c.is_ascii_digit() || c == 'v'), "{name}: {}", version(service));
        for other in names(service, "depends_on") {
            assert!(
                services.iter().any(|(service, _)| *service == other),
                "{name} waits for {other}, which is no service"
            );
        }
    }
}

#[test]
fn the_files_that_services_mount_are_there() {
    let text = read("docker-compose.yml");
    let compose = compose(&text);
    let mounts = services(&compose).into_iter().flat_map(|(_, service)| names(service, "volumes"));
    let files: Vec<_> = mounts.filter_map(|mount| mount.split(':').next()?.strip_prefix("./")).collect();
    assert!(!files.is_empty());
    for file in files {
        assert!(root().join(file).is_file(), "{file} is not there");
    }
}

#[test]
fn its_kafka_is_that_of_the_tests_and_of_the_readme() {
    let (text, pom) = (read("docker-compose.yml"), read("tests/support/kafka/pom.xml"));
    let compose = compose(&text);
    let image = version(&compose["services"]["kafka"]);
    let (_, pom) = pom.split_once("<kafka.version>").expect("the pom names Kafka's version");
    assert_eq!(pom.split('<').next(), Some(image));
    let (minor, _) = image.rsplit_once('.').expect("three numbers");
    assert!(read("README.md").contains(&format!("Apache Kafka {minor}")), "README names another Kafka than {image}");
}

#[test]
fn its_gateways_are_those_of_the_course_and_reach_kafka_through_the_proxy() {
    let text = read("docker-compose.yml");
    let compose = compose(&text);
    let ports = names(&compose["services"]["toxiproxy"], "ports");
    for (name, port) in [("gateway", 18080), ("gateway-2", 18081)] {
        let service = &compose["services"][name];
        assert_eq!(service["environment"]["PORT"].as_integer(), Some(port));
        assert!(ports.iter().any(|published| published.ends_with(&format!(":{port}:{port}"))), "{port} in {ports:?}");
        let servers = service["environment"]["KAFKA_BOOTSTRAP_SERVERS"].as_str().unwrap();
        let advertised = compose["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].as_str().unwrap();
        assert!(advertised.contains(&format!("PROXIED://{servers}")), "{servers} in {advertised}");
    }
    assert_eq!(compose["services"]["kafka-ui"]["environment"]["KAFKA_CLUSTERS_0_NAME"].as_str(), Some("BHF-Training"));
    let file = compose["services"]["gateway"]["build"]["dockerfile"].as_str().unwrap();
    assert!(root().join(file).is_file(), "{file} is not there");
}
