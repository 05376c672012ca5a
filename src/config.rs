//! The configuration of a producer.
//!
//! In: settings, by typed setters or by Java property names. Out: a valid [`Config`], which never changes, or a [`ConfigError`] with
//! every violation. Pure. Deliberately absent: reading files.
//!
//! Layout, each file using those before it: `values` and `tls` have the types of settings, `servers` reads `bootstrap.servers`, `kinds` reads and
//! writes all other values, `preset` has settings that belong together, `builder` is filled in by the user, `draft` holds the given properties while they are read, `table` has one
//! row for each setting, `rules` and `security` hold between settings, `credentials` makes these, `principal` names who they are, `oauth` reads where tokens
//! come from (`tokens` has the types), `unsupported` refuses names that are no settings,
//! by the tables `java_defaults`
//! and `strangers`.

mod builder;
mod credentials;
mod draft;
mod java_defaults;
mod kinds;
#[cfg(test)]
#[path = "../tests/settings.rs"]
mod listing;
#[cfg(feature = "oauth")]
mod oauth;
mod plugins;
mod preset;
mod principal;
mod rules;
mod security;
pub(crate) mod servers;
mod strangers;
mod table;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(feature = "oauth")]
pub(crate) mod tokens;
mod unsupported;
mod values;

pub use builder::ProducerBuilder;
pub use preset::Preset;
pub(crate) use table::Config;
#[cfg(feature = "tls")]
pub(crate) use values::TlsVersions;
pub use values::{Acks, Compression, SaslMechanism, SecurityProtocol};

use draft::Draft;
use table::SETTINGS;

use crate::error::ConfigError;

impl ProducerBuilder {
    /// The Java name and the effective value of every setting, whether it was given, is a default, or was adjusted.
    ///
    /// # Errors
    /// Every violation at once, as when the producer is built.
    pub fn effective_properties(&self) -> Result<Vec<(&'static str, String)>, ConfigError> {
        self.clone().validate().map(|config| config.properties())
    }

    /// The Java name and the description of every property that milena supports, in the order of the documentation.
    pub fn supported_properties() -> impl Iterator<Item = (&'static str, &'static str)> {
        SETTINGS.iter().map(|setting| (setting.name, setting.doc))
    }

    /// The configuration, or every violation.
    pub(crate) fn validate(self) -> Result<Config, ConfigError> {
        let (config, violations) = self.read();
        if violations.is_empty() { Ok(config) } else { Err(ConfigError::new(violations)) }
    }

    /// The configuration, and every violation. A value in violation counts as its default.
    pub(crate) fn read(self) -> (Config, Vec<String>) {
        let mut draft = Draft::new(&self.given, self.preset);
        let mut config = Config::read(&mut draft);
        rules::apply(&mut config, &mut draft);
        security::apply(&mut config, &mut draft);
        credentials::apply(
            &mut config,
            &mut draft,
            #[cfg(feature = "oauth")]
            self.token_source.as_ref(),
        );
        unsupported::refuse(&mut draft);
        let partitioner = self.plugins.partitioner(self.partitioner, &config.partitioner_class, &mut draft);
        let interceptors = self.plugins.interceptors(self.interceptors, &config.interceptor_classes, &mut draft);
        let config = Config { partitioner, interceptors, ..config };
        (config, draft.violations)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn given(properties: &[(&str, &str)]) -> Result<Config, ConfigError> {
        ProducerBuilder::new("localhost:9092").properties(properties.iter().copied()).validate()
    }

    fn violations(properties: &[(&str, &str)]) -> Vec<String> {
        given(properties).unwrap_err().violations().to_vec()
    }

    #[test]
    fn defaults_are_those_of_java_but_for_the_client_id() {
        let properties = ProducerBuilder::new("localhost:9092").effective_properties().unwrap();
        let expected = [
            ("bootstrap.servers", "localhost:9092"),
            ("client.id", "milena-producer"),
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("linger.ms", "5"),
            ("batch.size", "16384"),
            ("buffer.memory", "33554432"),
            ("max.request.size", "1048576"),
            ("max.in.flight.requests.per.connection", "5"),
            ("max.block.ms", "60000"),
            ("delivery.timeout.ms", "120000"),
            ("request.timeout.ms", "30000"),
            ("retries", "2147483647"),
            ("retry.backoff.ms", "100"),
            ("retry.backoff.max.ms", "1000"),
            ("reconnect.backoff.ms", "50"),
            ("reconnect.backoff.max.ms", "1000"),
            ("socket.connection.setup.timeout.ms", "10000"),
            ("socket.connection.setup.timeout.max.ms", "30000"),
            ("connections.max.idle.ms", "540000"),
            ("metadata.max.age.ms", "300000"),
            ("metadata.max.idle.ms", "300000"),
            ("metadata.recovery.strategy", "rebootstrap"),
            ("metadata.recovery.rebootstrap.trigger.ms", "300000"),
            ("partitioner.ignore.keys", "false"),
            ("partitioner.adaptive.partitioning.enable", "true"),
            ("partitioner.availability.timeout.ms", "0"),
            ("partitioner.rack.aware", "false"),
            ("client.dns.lookup", "use_all_dns_ips"),
            ("client.rack", ""),
            ("partitioner.class", ""),
            ("interceptor.classes", ""),
            ("metrics.sample.window.ms", "30000"),
            ("metrics.num.samples", "2"),
            ("send.buffer.bytes", "131072"),
            ("receive.buffer.bytes", "32768"),
            ("compression.type", "none"),
            ("compression.gzip.level", "-1"),
            ("compression.lz4.level", "9"),
            ("compression.zstd.level", "3"),
            ("security.protocol", "PLAINTEXT"),
            ("ssl.enabled.protocols", "TLSv1.2,TLSv1.3"),
            ("ssl.cipher.suites", ""),
            ("ssl.endpoint.identification.algorithm", "https"),
            ("ssl.truststore.type", "JKS"),
            ("ssl.truststore.location", ""),
            ("ssl.truststore.password", ""),
            ("ssl.truststore.certificates", ""),
            ("ssl.keystore.type", "JKS"),
            ("ssl.keystore.location", ""),
            ("ssl.keystore.password", ""),
            ("ssl.keystore.certificate.chain", ""),
            ("ssl.keystore.key", ""),
            ("ssl.key.password", ""),
            ("sasl.mechanism", "GSSAPI"),
            ("sasl.jaas.config", ""),
            ("sasl.username", ""),
            ("sasl.password", ""),
            ("sasl.oauthbearer.token.endpoint.url", ""),
            ("sasl.oauthbearer.client.credentials.client.id", ""),
            ("sasl.oauthbearer.client.credentials.client.secret", ""),
            ("sasl.oauthbearer.scope", ""),
            ("sasl.oauthbearer.scope.claim.name", "scope"),
            ("sasl.oauthbearer.sub.claim.name", "sub"),
            ("sasl.oauthbearer.header.urlencode", "false"),
            ("sasl.login.refresh.window.factor", "0.8"),
            ("sasl.login.refresh.window.jitter", "0.05"),
            ("sasl.login.refresh.min.period.seconds", "60"),
            ("sasl.login.refresh.buffer.seconds", "300"),
            ("sasl.login.connect.timeout.ms", ""),
            ("sasl.login.read.timeout.ms", ""),
            ("sasl.login.retry.backoff.ms", "100"),
            ("sasl.login.retry.backoff.max.ms", "10000"),
        ];
        assert_eq!(properties, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn properties_that_were_written_read_back_as_the_same_configuration() {
        let built = ProducerBuilder::new("a:1,[::1]:2")
            .client_id("shop")
            .acks(Acks::None)
            .idempotence(false)
            .linger(Duration::ZERO)
            .send_buffer_bytes(None)
            .rebootstrap_after(None)
            .retries(0);
        let properties = built.effective_properties().unwrap();
        assert_eq!(ProducerBuilder::from_properties(properties.clone()).effective_properties().unwrap(), properties);
    }

    #[test]
    fn every_setter_reaches_its_field() {
        let ms = Duration::from_millis;
        let config = ProducerBuilder::new("localhost:9092")
            .client_id("shop")
            .acks(Acks::Leader)
            .idempotence(false)
            .linger(ms(1))
            .batch_size(2)
            .buffer_memory(3)
            .max_request_size(4)
            .max_in_flight(50)
            .max_block(ms(6))
            .delivery_timeout(ms(700))
            .request_timeout(ms(8))
            .retries(9)
            .retry_backoff(ms(10), ms(11))
            .reconnect_backoff(ms(12), ms(13))
            .connection_setup_timeout(ms(14), ms(15))
            .connections_max_idle(ms(16))
            .metadata_max_age(ms(17))
            .metadata_max_idle(ms(5_018))
            .rebootstrap_after(Some(ms(19)))
            .ignore_keys(true)
            .adaptive_partitioning(false)
            .availability_timeout(ms(20))
            .send_buffer_bytes(Some(21))
            .receive_buffer_bytes(None)
            .compression(Compression::Lz4)
            .compression_gzip_level(9)
            .compression_zstd_level(-7)
            .validate()
            .unwrap();
        assert_eq!((config.client_id.as_ref(), config.acks, config.idempotence), ("shop", Acks::Leader, false));
        assert_eq!((config.linger, config.batch_size, config.buffer_memory, config.max_request_size), (ms(1), 2, 3, 4));
        assert_eq!((config.max_in_flight, config.max_block), (50, ms(6)));
        assert_eq!((config.delivery_timeout, config.request_timeout, config.retries), (ms(700), ms(8), 9));
        assert_eq!((config.retry_backoff, config.retry_backoff_max), (ms(10), ms(11)));
        assert_eq!((config.reconnect_backoff, config.reconnect_backoff_max), (ms(12), ms(13)));
        assert_eq!((config.connection_setup_timeout, config.connection_setup_timeout_max), (ms(14), ms(15)));
        assert_eq!((config.connections_max_idle, config.metadata_max_age), (ms(16), ms(17)));
        assert_eq!((config.metadata_max_idle, config.rebootstrap_after), (ms(5_018), Some(ms(19))));
        assert_eq!((config.ignore_keys, config.adaptive_partitioning), (true, false));
        assert_eq!((config.availability_timeout, config.send_buffer_bytes), (ms(20), Some(21)));
        assert_eq!((config.receive_buffer_bytes, config.compression), (None, Compression::Lz4));
        assert_eq!((config.compression_gzip_level, config.compression_zstd_level), (9, -7));
    }

    #[test]
    fn a_name_that_many_documents_have_counts_as_the_one_that_was_meant() {
        assert_eq!(given(&[("max.in.flight.requests", "3")]).unwrap().max_in_flight, 3);
        let both = [("max.in.flight.requests.per.connection", "4"), ("max.in.flight.requests", "0")];
        assert_eq!(
            violations(&both),
            [r#"max.in.flight.requests.per.connection: expected an integer from 1 to 2147483647, got "0""#]
        );
    }

    #[test]
    fn a_setting_of_topics_is_refused_with_how_to_set_it_there() {
        let [violation] = &violations(&[("min.insync.replicas", "2")])[..] else { panic!("one violation") };
        assert!(violation.starts_with("min.insync.replicas: a setting of topics"), "{violation}");
        assert!(violation.contains("kafka-configs.sh"), "{violation}");
    }

    #[test]
    fn of_two_values_the_later_one_counts() {
        assert_eq!(given(&[("linger.ms", "oops"), ("linger.ms", "7")]).unwrap().linger, Duration::from_millis(7));
    }

    #[test]
    fn every_violation_is_reported_at_once_in_the_order_of_the_documentation() {
        let properties = [("linger", "5"), ("retries", "-1"), ("acks", "2"), ("sasl.login.class", "hunter2")];
        assert_eq!(
            violations(&properties),
            [
                r#"acks: expected all or -1 or 1 or 0, got "2""#,
                r#"retries: expected an integer from 0 to 2147483647, got "-1""#,
                r#""linger": unknown property, did you mean linger.ms?"#,
                "sasl.login.class: milena authenticates by PLAIN, SCRAM or OAUTHBEARER, in Rust: leave it out",
            ]
        );
    }

    #[test]
    fn a_setter_that_goes_beyond_java_is_refused_like_a_property() {
        let error = ProducerBuilder::new("localhost:9092").batch_size(usize::MAX).max_in_flight(0).validate();
        let expected = [
            r#"batch.size: expected an integer from 0 to 2147483647, got "18446744073709551615""#,
            r#"max.in.flight.requests.per.connection: expected an integer from 1 to 2147483647, got "0""#,
        ];
        assert_eq!(error.unwrap_err().violations(), expected);
    }

    #[test]
    fn codecs_and_levels_that_there_are_not_are_refused() {
        assert_eq!(
            violations(&[
                ("compression.type", "brotli"),
                ("compression.gzip.level", "0"),
                ("compression.zstd.level", "23"),
                ("compression.lz4.level", "18"),
            ]),
            [
                r#"compression.type: expected none or gzip or snappy or lz4 or zstd, got "brotli""#,
                r#"compression.gzip.level: expected an integer from 1 to 9, or -1 for the usual one, got "0""#,
                r#"compression.lz4.level: expected an integer from 1 to 17, got "18""#,
                r#"compression.zstd.level: expected an integer from -131072 to 22, got "23""#,
            ]
        );
    }

    #[cfg(not(any(feature = "zstd", feature = "zstd-rust")))]
    #[test]
    fn zstd_without_its_feature_fails_when_the_producer_is_built() {
        let [violation] = &violations(&[("compression.type", "zstd")])[..] else { panic!("one violation") };
        assert_eq!(
            violation,
            "compression.type: this build has no zstd: build milena with the feature `zstd-rust` or `zstd`, or choose gzip, snappy or lz4"
        );
    }

    #[cfg(all(feature = "zstd-rust", not(feature = "zstd")))]
    #[test]
    fn levels_of_zstd_that_only_the_library_in_c_has_are_refused() {
        let zstd = |level| [("compression.type", "zstd"), ("compression.zstd.level", level)];
        assert!(["-7", "0", "4"].into_iter().all(|level| given(&zstd(level)).is_ok()));
        for level in ["-8", "5", "22"] {
            let expected = format!(
                "compression.zstd.level: expected from -7 to 4, which zstd in Rust has, got {level}: the feature `zstd`, which compiles C, has all"
            );
            assert_eq!(violations(&zstd(level)), [expected]);
        }
        assert!(given(&[("compression.zstd.level", "22")]).is_ok(), "not used");
    }

    #[test]
    fn canonical_names_need_their_feature() {
        let of = given(&[("client.dns.lookup", "resolve_canonical_bootstrap_servers_only")]);
        match of {
            Ok(config) => assert!(cfg!(feature = "canonical-names") && config.canonical_names),
            Err(error) => {
                assert!(!cfg!(feature = "canonical-names") && error.to_string().contains("`canonical-names`"))
            }
        }
    }

    #[test]
    fn a_builder_and_a_configuration_print_no_secret() {
        let builder = ProducerBuilder::new("localhost:9092").property("sasl.login.class", "hunter2");
        assert_eq!(format!("{builder:?}"), r#"["bootstrap.servers", "sasl.login.class"]"#);
        assert!(!builder.validate().unwrap_err().to_string().contains("hunter2"));
        assert!(format!("{:?}", given(&[]).unwrap()).contains(r#""linger.ms": "5""#));
    }

    #[test]
    fn every_setting_is_described_in_sentences() {
        for (name, doc) in ProducerBuilder::supported_properties() {
            assert!(doc.len() > 20 && doc.ends_with('.'), "{name}: {doc}");
        }
    }
}
