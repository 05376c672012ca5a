//! The settings of a gateway.
//!
//! In: flags, properties of the producer, and the environment. Out: a [`Config`], or every violation at once. Pure: the environment is an
//! argument. One rule names all: a setting of the producer is its Java name, and in the environment `KAFKA_` and that name in capitals, with
//! `_` for each dot; a setting of the gateway is a flag, and in the environment the name that [`SETTINGS`] gives it. A flag counts more than
//! the environment. Deliberately absent: files.

use std::{collections::BTreeSet, time::Duration};

use milena::ProducerBuilder;
use milena_resilience::publisher::Mode as StoreMode;

use crate::{rate::Rate, request::Mode};

/// A setting of the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The flag, without its two hyphens.
    pub name: &'static str,
    /// The name in the environment.
    pub variable: &'static str,
    /// The value without either.
    pub default: &'static str,
    /// What it is, and its unit.
    pub doc: &'static str,
}

macro_rules! settings {
    ($($name:literal $variable:literal = $default:literal, $doc:literal;)*) => {
        /// Every setting of the gateway.
        pub static SETTINGS: &[Setting] =
            &[$(Setting { name: $name, variable: $variable, default: $default, doc: $doc }),*];
    };
}

settings! {
    "host" "GATEWAY_HOST" = "127.0.0.1", "Address to listen at; 0.0.0.0 is every one";
    "port" "PORT" = "18080", "Port to listen at; 0 is one that is free";
    "default-topic" "GATEWAY_DEFAULT_TOPIC" = "bhf-transactions", "Topic of requests that name none";
    "allowed-topics" "GATEWAY_ALLOWED_TOPICS" = "", "Topics that may be written to, with commas; nothing is all";
    "token-file" "GATEWAY_TOKEN_FILE" = "", "File of bearer tokens, one a line, read at start; nothing is that none is needed";
    "tls-keystore" "GATEWAY_TLS_KEYSTORE" = "", "PEM file with certificates, the own one first, and their key, for HTTPS; read again when it has changed; nothing is HTTP";
    "tls-key-password-file" "GATEWAY_TLS_KEY_PASSWORD_FILE" = "", "File whose first line is the password of the key in tls-keystore; nothing is that it is not encrypted";
    "tls-client-ca" "GATEWAY_TLS_CLIENT_CA" = "", "PEM file of CAs; each client needs a certificate of one of them; nothing is that none is needed";
    "max-body-bytes" "GATEWAY_MAX_BODY_BYTES" = "1048576", "Longest body, and longest line of a stream, in bytes";
    "max-key-bytes" "GATEWAY_MAX_KEY_BYTES" = "8192", "Longest key of a record, in bytes";
    "max-headers" "GATEWAY_MAX_HEADERS" = "100", "Most headers of a record; a request may have 100";
    "max-header-bytes" "GATEWAY_MAX_HEADER_BYTES" = "16384", "Longest headers of a record, together, in bytes";
    "max-batch-records" "GATEWAY_MAX_BATCH_RECORDS" = "1000", "Most records of a batch";
    "rate-limit" "GATEWAY_RATE_LIMIT" = "", "Requests of each client, as 100/s or 100/s,200 with 200 at once; nothing is any number";
    "trust-forwarded-for" "GATEWAY_TRUST_FORWARDED_FOR" = "false", "Whether a client is who X-Forwarded-For says, as behind a proxy that sets it";
    "max-connections" "GATEWAY_MAX_CONNECTIONS" = "10000", "Most connections; others wait until one ends";
    "max-statuses" "GATEWAY_MAX_STATUSES" = "100000", "Most requests whose state is kept";
    "status-age-ms" "GATEWAY_STATUS_AGE_MS" = "3600000", "Time for which a request's state is kept, in milliseconds";
    "store" "GATEWAY_STORE" = "", "Store of what Kafka does not take now: a SQLite file, or postgres://...; nothing is that there is none";
    "store-mode" "GATEWAY_STORE_MODE" = "write_ahead", "When a record is stored that no request waits for: write_ahead is before its request is accepted, on_failure only if it cannot be sent";
    "max-idempotency-keys" "GATEWAY_MAX_IDEMPOTENCY_KEYS" = "100000", "Most keys of Idempotency-Key that are known at once";
    "idempotency-age-ms" "GATEWAY_IDEMPOTENCY_AGE_MS" = "86400000", "Time for which such a key is known, in milliseconds";
    "read-timeout-ms" "GATEWAY_READ_TIMEOUT_MS" = "10000", "Longest time for a request's head, for its body, and for a line of a stream";
    "write-timeout-ms" "GATEWAY_WRITE_TIMEOUT_MS" = "30000", "Longest time in which a client takes nothing of its answer; then its connection ends";
    "drain-ms" "GATEWAY_DRAIN_MS" = "0", "Time from the signal to end, when /readyz turns 503, until no connection is accepted";
    "shutdown-ms" "GATEWAY_SHUTDOWN_MS" = "30000", "Longest time for requests and records to be finished after that";
}

/// The settings of the producer that differ from Java's defaults. All but the last two are the seed's.
const PRODUCER_DEFAULTS: [(&str, &str); 7] = [
    ("request.timeout.ms", "1000"),
    ("delivery.timeout.ms", "120000"),
    ("retry.backoff.ms", "100"),
    ("retries", "10"),
    ("linger.ms", "0"),
    ("max.block.ms", "10000"),
    ("client.id", "milena-gateway"),
];

const PREFIX: &str = "KAFKA_";

/// Limits on what a request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `max-body-bytes`.
    pub body: usize,
    /// `max-key-bytes`.
    pub key: usize,
    /// `max-headers`.
    pub headers: usize,
    /// `max-header-bytes`.
    pub header_bytes: usize,
    /// `max-batch-records`.
    pub batch: usize,
}

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `host`.
    pub host: String,
    /// `port`.
    pub port: u16,
    /// `default-topic`.
    pub default_topic: String,
    /// `allowed-topics`; empty is all.
    pub allowed_topics: BTreeSet<String>,
    /// `token-file`, if there is one. Whoever starts the gateway reads it.
    pub token_file: Option<String>,
    /// `tls-keystore`, if there is one. Whoever starts the gateway opens it.
    pub tls_keystore: Option<String>,
    /// `tls-key-password-file`, if there is one.
    pub tls_key_password_file: Option<String>,
    /// `tls-client-ca`, if there is one.
    pub tls_client_ca: Option<String>,
    /// What a request may hold.
    pub limits: Limits,
    /// `rate-limit`, if there is one. A client is its token, or without tokens its address.
    pub rate_limit: Option<Rate>,
    /// `trust-forwarded-for`.
    pub trust_forwarded_for: bool,
    /// `max-connections`.
    pub max_connections: usize,
    /// `max-statuses`.
    pub max_statuses: usize,
    /// `status-age-ms`.
    pub status_age: Duration,
    /// `store`, if there is one. Whoever starts the gateway opens it.
    pub store: Option<String>,
    /// `store-mode`.
    pub store_mode: StoreMode,
    /// `max-idempotency-keys`.
    pub max_idempotency_keys: usize,
    /// `idempotency-age-ms`.
    pub idempotency_age: Duration,
    /// `read-timeout-ms`.
    pub read_timeout: Duration,
    /// `write-timeout-ms`.
    pub write_timeout: Duration,
    /// `drain-ms`.
    pub drain: Duration,
    /// `shutdown-ms`.
    pub shutdown: Duration,
    /// Variables that begin with `KAFKA_` and are no setting of the producer.
    pub unused: Vec<String>,
    properties: Vec<(String, String)>,
}

impl Config {
    /// Reads settings. `flags` are those of the gateway, by the names of [`SETTINGS`]; `properties` are those of the producer, by their
    /// Java names; `variables` are the environment.
    ///
    /// # Errors
    /// Every violation, a sentence each.
    pub fn read(
        flags: &[(String, String)],
        properties: &[(String, String)],
        variables: &[(String, String)],
    ) -> Result<Self, Vec<String>> {
        let mut draft = Draft { flags, variables, violations: Vec::new() };
        let (from_environment, unused) = producer_variables(variables);
        let defaults = PRODUCER_DEFAULTS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let properties = [&defaults[..], &from_environment, properties].concat();
        let config = Self {
            host: draft.text("host"),
            port: draft.number("port", 0),
            default_topic: draft.text("default-topic"),
            allowed_topics: draft.names("allowed-topics"),
            token_file: draft.optional("token-file"),
            tls_keystore: draft.optional("tls-keystore"),
            tls_key_password_file: draft.optional("tls-key-password-file"),
            tls_client_ca: draft.optional("tls-client-ca"),
            limits: draft.limits(),
            rate_limit: draft.rate("rate-limit"),
            trust_forwarded_for: draft.switch("trust-forwarded-for"),
            max_connections: draft.number("max-connections", 1),
            max_statuses: draft.number("max-statuses", 1),
            status_age: draft.millis("status-age-ms"),
            store: draft.optional("store"),
            store_mode: draft.store_mode(),
            max_idempotency_keys: draft.number("max-idempotency-keys", 1),
            idempotency_age: draft.millis("idempotency-age-ms"),
            read_timeout: draft.millis("read-timeout-ms"),
            write_timeout: draft.millis("write-timeout-ms"),
            drain: draft.millis("drain-ms"),
            shutdown: draft.millis("shutdown-ms"),
            unused,
            properties,
        };
        config.check(&mut draft.violations);
        if draft.violations.is_empty() { Ok(config) } else { Err(draft.violations) }
    }

    /// The brokers to connect to, if any were given.
    #[must_use]
    pub fn bootstrap_servers(&self) -> Option<&str> {
        self.property("bootstrap.servers")
    }

    /// The builder of the producer for a mode, for these brokers unless others were given.
    pub fn producer(&self, mode: Mode, bootstrap_servers: &str) -> ProducerBuilder {
        let (idempotence, name) = match mode {
            Mode::Plain => ("false", "plain"),
            Mode::Idempotent => ("true", "idempotent"),
        };
        let id = self.property("client.id").unwrap_or_default();
        ProducerBuilder::new(bootstrap_servers)
            .properties(self.properties.iter().map(|(name, value)| (name, value)))
            .property("enable.idempotence", idempotence)
            .client_id(&format!("{id}-{name}"))
    }

    /// Within which time a producer has an outcome for a record.
    pub(crate) fn longest(&self, mode: Mode) -> Duration {
        // The configuration is valid, so each of them is a number.
        let properties = self.producer(mode, "localhost:9092").effective_properties().unwrap_or_default();
        let millis = |wanted: &str| {
            let value = properties.iter().find(|(name, _)| *name == wanted).and_then(|(_, value)| value.parse().ok());
            Duration::from_millis(value.unwrap_or_default())
        };
        millis("max.block.ms") + millis("delivery.timeout.ms")
    }

    /// Whether records may be sent to a topic.
    #[must_use]
    pub fn allows(&self, topic: &str) -> bool {
        self.allowed_topics.is_empty() || self.allowed_topics.contains(topic)
    }

    fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The rules between settings, and the producer's own.
    fn check(&self, violations: &mut Vec<String>) {
        if !self.allows(&self.default_topic) {
            violations.push(format!("default-topic: {:?} is none of allowed-topics; add it there", self.default_topic));
        }
        if self.property("enable.idempotence").is_some() {
            violations.push(
                "enable.idempotence: each request chooses it by mode=plain or mode=idempotent; leave it out".into(),
            );
        }
        self.check_tls(violations);
        for mode in [Mode::Idempotent, Mode::Plain] {
            let refused = self.producer(mode, "localhost:9092").effective_properties().err();
            let refused = refused.iter().flat_map(|error| error.violations()).filter(|text| !violations.contains(text));
            let refused: Vec<_> = refused.cloned().collect();
            violations.extend(refused);
        }
    }

    fn check_tls(&self, violations: &mut Vec<String>) {
        let extras = [("tls-key-password-file", &self.tls_key_password_file), ("tls-client-ca", &self.tls_client_ca)];
        if self.tls_keystore.is_none() {
            let alone = extras.into_iter().filter(|(_, value)| value.is_some());
            violations.extend(alone.map(|(name, _)| format!("{name}: it needs tls-keystore; give both, or neither")));
        } else if !cfg!(feature = "tls") {
            violations.push("tls-keystore: this build has no TLS; build it with the feature tls".into());
        }
    }
}

/// The settings of the producer in the environment, and the variables that look like one and are none.
fn producer_variables(variables: &[(String, String)]) -> (Vec<(String, String)>, Vec<String>) {
    let (mut settings, mut unused) = (Vec::new(), Vec::new());
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let name = name.to_ascii_lowercase().replace('_', ".");
        if ProducerBuilder::supported_properties().any(|(known, _)| known == name) {
            settings.push((name, value.clone()));
        } else {
            unused.push(variable.clone());
        }
    }
    (settings, unused)
}

/// Settings while they are read. A value in violation counts as its default.
struct Draft<'a> {
    flags: &'a [(String, String)],
    variables: &'a [(String, String)],
    violations: Vec<String>,
}

impl Draft<'_> {
    fn text(&mut self, name: &str) -> String {
        let (value, default) = self.value(name);
        if value.is_empty() {
            self.violations.push(format!("{name}: expected text, got nothing; leave it out for {default}"));
        }
        value
    }

    fn optional(&self, name: &str) -> Option<String> {
        Some(self.value(name).0).filter(|value| !value.is_empty())
    }

    fn names(&mut self, name: &str) -> BTreeSet<String> {
        let (value, _) = self.value(name);
        value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn rate(&mut self, name: &str) -> Option<Rate> {
        let (value, _) = self.value(name);
        if value.is_empty() {
            return None;
        }
        Rate::parse(&value).map_err(|wrong| self.violations.push(format!("{name}: {wrong}"))).ok()
    }

    fn switch(&mut self, name: &str) -> bool {
        let (value, _) = self.value(name);
        value.parse().unwrap_or_else(|_| {
            self.violations.push(format!("{name}: expected true or false, got {value:?}"));
            false
        })
    }

    fn millis(&mut self, name: &str) -> Duration {
        let millis: u32 = self.number(name, 0);
        Duration::from_millis(millis.into())
    }

    fn number<T: TryFrom<u64> + Copy>(&mut self, name: &str, least: u64) -> T
    where
        u64: TryFrom<T>,
    {
        let (value, default) = self.value(name);
        let read = |text: &str| {
            text.parse().ok().filter(|number| *number >= least).and_then(|number| T::try_from(number).ok())
        };
        let greatest = u64::MAX >> (64 - 8 * size_of::<T>());
        read(&value).unwrap_or_else(|| {
            self.violations.push(format!("{name}: expected a number from {least} to {greatest}, got {value:?}"));
            read(default).expect("the table's own value is valid")
        })
    }

    fn store_mode(&mut self) -> StoreMode {
        let (value, _) = self.value("store-mode");
        match value.as_str() {
            "write_ahead" => StoreMode::WriteAhead,
            "on_failure" => StoreMode::OnFailure,
            _ => {
                self.violations.push(format!("store-mode: expected write_ahead or on_failure, got {value:?}"));
                StoreMode::WriteAhead
            }
        }
    }

    fn limits(&mut self) -> Limits {
        Limits {
            body: self.number("max-body-bytes", 0),
            key: self.number("max-key-bytes", 0),
            headers: self.number("max-headers", 1),
            header_bytes: self.number("max-header-bytes", 0),
            batch: self.number("max-batch-records", 1),
        }
    }

    /// The value of a setting, and its default.
    fn value(&self, name: &str) -> (String, &'static str) {
        let setting = SETTINGS.iter().find(|setting| setting.name == name).expect("the table has every setting");
        let last = |pairs: &[(String, String)], name: &str| {
            pairs.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let given = last(self.flags, name).or_else(|| last(self.variables, setting.variable));
        (given.unwrap_or_else(|| setting.default.to_owned()), setting.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn owned(pairs: Pairs<'_>) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn read(flags: Pairs<'_>, properties: Pairs<'_>, variables: Pairs<'_>) -> Result<Config, Vec<String>> {
        Config::read(&owned(flags), &owned(properties), &owned(variables))
    }

    fn effective(config: &Config, mode: Mode, name: &str) -> String {
        let properties = config.producer(mode, "localhost:9092").effective_properties().unwrap();
        properties.into_iter().find(|(known, _)| *known == name).unwrap().1
    }

    #[test]
    fn defaults_are_the_seed_s() {
        let config = read(&[], &[], &[]).unwrap();
        assert_eq!((config.port, config.default_topic.as_str()), (18080, "bhf-transactions"));
        assert_eq!(config.bootstrap_servers(), None);
        for (name, value) in [
            ("request.timeout.ms", "1000"),
            ("delivery.timeout.ms", "120000"),
            ("retry.backoff.ms", "100"),
            ("retries", "10"),
            ("linger.ms", "0"),
        ] {
            assert_eq!(effective(&config, Mode::Plain, name), value, "{name}");
            assert_eq!(effective(&config, Mode::Idempotent, name), value, "{name}");
        }
    }

    #[test]
    fn a_mode_is_a_producer_with_and_without_idempotence() {
        let config = read(&[], &[], &[]).unwrap();
        assert_eq!(effective(&config, Mode::Plain, "enable.idempotence"), "false");
        assert_eq!(effective(&config, Mode::Idempotent, "enable.idempotence"), "true");
        assert_eq!(effective(&config, Mode::Plain, "client.id"), "milena-gateway-plain");
    }

    #[test]
    fn every_setting_of_the_producer_has_a_name_in_the_environment() {
        let variables = [("KAFKA_BOOTSTRAP_SERVERS", "a:1"), ("KAFKA_REQUEST_TIMEOUT_MS", "7"), ("KAFKA_ACKS", "all")];
        let config = read(&[], &[], &variables).unwrap();
        assert_eq!(config.bootstrap_servers(), Some("a:1"));
        assert_eq!(effective(&config, Mode::Plain, "request.timeout.ms"), "7");
        assert_eq!(effective(&config, Mode::Plain, "bootstrap.servers"), "a:1");
    }

    #[test]
    fn a_flag_counts_more_than_the_environment_and_that_more_than_the_default() {
        let variables = [("PORT", "1"), ("GATEWAY_HOST", "0.0.0.0"), ("KAFKA_LINGER_MS", "3")];
        let config = read(&[("port", "2")], &[("linger.ms", "4")], &variables).unwrap();
        assert_eq!((config.port, config.host.as_str()), (2, "0.0.0.0"));
        assert_eq!(effective(&config, Mode::Plain, "linger.ms"), "4");
    }

    #[test]
    fn variables_of_other_programs_are_named_and_not_used() {
        let variables = [("KAFKA_HOME", "/opt/kafka"), ("KAFKA_HEAP_OPTS", "-Xmx1G"), ("HOME", "x")];
        assert_eq!(read(&[], &[], &variables).unwrap().unused, ["KAFKA_HOME", "KAFKA_HEAP_OPTS"]);
    }

    #[test]
    fn every_violation_is_told_at_once() {
        let flags = [
            ("port", "http"),
            ("max-statuses", "0"),
            ("host", ""),
            ("allowed-topics", "orders"),
            ("rate-limit", "5"),
            ("trust-forwarded-for", "1"),
            ("store-mode", "x"),
            ("tls-key-password-file", "password"),
            ("tls-client-ca", "ca.pem"),
        ];
        let variables = [("KAFKA_RETRIES", "-1"), ("GATEWAY_READ_TIMEOUT_MS", "soon")];
        assert_eq!(
            read(&flags, &[("acks", "1"), ("linger", "5"), ("enable.idempotence", "true")], &variables).unwrap_err(),
            [
                r#"host: expected text, got nothing; leave it out for 127.0.0.1"#,
                r#"port: expected a number from 0 to 65535, got "http""#,
                r#"rate-limit: expected N/s or N/s,BURST with numbers from 1 to 1000000, got "5""#,
                r#"trust-forwarded-for: expected true or false, got "1""#,
                &format!("max-statuses: expected a number from 1 to {}, got \"0\"", usize::MAX),
                r#"store-mode: expected write_ahead or on_failure, got "x""#,
                r#"read-timeout-ms: expected a number from 0 to 4294967295, got "soon""#,
                r#"default-topic: "bhf-transactions" is none of allowed-topics; add it there"#,
                "enable.idempotence: each request chooses it by mode=plain or mode=idempotent; leave it out",
                "tls-key-password-file: it needs tls-keystore; give both, or neither",
                "tls-client-ca: it needs tls-keystore; give both, or neither",
                r#"retries: expected an integer from 0 to 2147483647, got "-1""#,
                r#""linger": unknown property, did you mean linger.ms?"#,
            ]
        );
        let refused = read(&[], &[("acks", "1")], &[]).unwrap_err();
        assert_eq!(refused, ["enable.idempotence: it needs acks=all"]);
    }

    #[test]
    fn topics_may_be_listed() {
        let config = read(&[("allowed-topics", "a, bhf-transactions,")], &[], &[]).unwrap();
        assert_eq!(["a", "bhf-transactions", "b", ""].map(|topic| config.allows(topic)), [true, true, false, false]);
        assert!(read(&[], &[], &[]).unwrap().allows("anything"));
    }

    #[test]
    fn every_setting_has_one_name_and_a_sentence() {
        for setting in SETTINGS {
            let same = SETTINGS.iter().filter(|other| other.name == setting.name || other.variable == setting.variable);
            assert_eq!(same.count(), 1, "{}", setting.name);
            assert!(setting.doc.len() > 15 && !setting.doc.ends_with('.'), "{}", setting.name);
        }
    }
}
