//! The table of settings. Names, defaults, parsing, printing, setters and their documentation come from one row for each setting.
//!
//! In: nothing. Out: the struct [`Config`], the list [`SETTINGS`], the setters of [`ProducerBuilder`]. Pure. Names,
//! bounds and defaults are those of `org.apache.kafka.clients.producer.ProducerConfig` 4.2, with the differences that a
//! row's text names. Deliberately absent: settings that milena does not have yet, which are in [`super::unsupported`].

use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "tls")]
use super::tls::TlsSettings;
#[cfg(feature = "oauth")]
use super::tokens::TokenSettings;
use super::{
    builder::ProducerBuilder,
    draft::Draft,
    kinds::{
        FLAG, GzipLevel, INT, Kind, LONG, Millis, Names, Number, OptionalMillis, Ratio, Secrets, Servers, SocketBuffer,
        Text, Versions, Words,
    },
    values::{Acks, Compression, SaslMechanism, SecurityProtocol, StoreType, TlsVersions},
};
use crate::{
    record::{intercept::Interceptor, partition::Partitioner},
    sasl::Credentials,
    secret::Secret,
};

/// One row of the table.
pub(crate) struct Setting {
    /// The Java property name.
    pub(crate) name: &'static str,
    /// Its description.
    pub(crate) doc: &'static str,
    /// Its value in a configuration, in Java's notation.
    pub(crate) show: fn(&Config) -> String,
}

/// A row reads: field, type, default in Java's notation, kind of value, Java property name, the setter if the table is to make it,
/// text.
macro_rules! settings {
    ($($field:ident: $type:ty = $default:literal, $kind:expr, $name:literal $(, fn $setter:ident)?, $doc:literal;)*) => {
        /// A valid configuration. It never changes.
        #[derive(Clone)]
        pub(crate) struct Config {
            $(#[doc = $doc] pub(crate) $field: $type,)*
            /// How long without metadata until the producer starts again from `bootstrap.servers`; `None` is never.
            pub(crate) rebootstrap_after: Option<Duration>,
            /// Who the producer is; `None` if it does not say so.
            pub(crate) credentials: Option<Arc<Credentials>>,
            /// Where tokens come from, if they say who the producer is.
            #[cfg(feature = "oauth")]
            pub(crate) tokens: Option<Arc<TokenSettings>>,
            /// What `ssl.*` adds up to. `None` is no TLS.
            #[cfg(feature = "tls")]
            pub(crate) tls: Option<TlsSettings>,
            /// The partitioner that replaces the built-in one.
            pub(crate) partitioner: Option<Arc<dyn Partitioner>>,
            /// The interceptors, in the order in which they are called.
            pub(crate) interceptors: Vec<Arc<dyn Interceptor>>,
        }

        impl Config {
            /// Reads every setting from the draft.
            pub(super) fn read(draft: &mut Draft<'_>) -> Self {
                Self {
                    $($field: draft.read($name, &$kind, $default),)*
                    rebootstrap_after: None,
                    credentials: None,
                    #[cfg(feature = "oauth")]
                    tokens: None,
                    #[cfg(feature = "tls")]
                    tls: None,
                    partitioner: None,
                    interceptors: Vec::new(),
                }
            }
        }

        impl fmt::Debug for Config {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_map().entries(self.properties()).finish()
            }
        }

        impl ProducerBuilder {
            $($(
                #[doc = $doc]
                #[doc = ""]
                #[doc = concat!("Java property `", $name, "`, which defaults to `", $default, "`.")]
                pub fn $setter(self, value: $type) -> Self {
                    self.property($name, Kind::show(&$kind, &value))
                }
            )?)*
        }

        /// Every setting, in the order in which they are documented.
        pub(crate) static SETTINGS: &[Setting] = &[$(Setting {
            name: $name,
            doc: $doc,
            show: |config| Kind::show(&$kind, &config.$field),
        },)*];
    };
}

const ACKS: Words<Acks> = Words(&[("all", Acks::All), ("-1", Acks::All), ("1", Acks::Leader), ("0", Acks::None)]);
const COMPRESSION: Words<Compression> = Words(&[
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
]);
const DNS_LOOKUP: Words<bool> =
    Words(&[("use_all_dns_ips", false), ("resolve_canonical_bootstrap_servers_only", true)]);
const PROTOCOL: Words<SecurityProtocol> = Words(&[
    ("PLAINTEXT", SecurityProtocol::Plaintext),
    ("SSL", SecurityProtocol::Ssl),
    ("SASL_PLAINTEXT", SecurityProtocol::SaslPlaintext),
    ("SASL_SSL", SecurityProtocol::SaslSsl),
]);
const MECHANISM: Words<SaslMechanism> = Words(&[
    ("GSSAPI", SaslMechanism::Gssapi),
    ("PLAIN", SaslMechanism::Plain),
    ("SCRAM-SHA-256", SaslMechanism::ScramSha256),
    ("SCRAM-SHA-512", SaslMechanism::ScramSha512),
    ("OAUTHBEARER", SaslMechanism::OauthBearer),
]);
const STORE: Words<StoreType> =
    Words(&[("JKS", StoreType::Jks), ("PKCS12", StoreType::Pkcs12), ("PEM", StoreType::Pem)]);
/// Whether names are checked.
const IDENTIFICATION: Words<bool> = Words(&[("https", true), ("", false)]);
/// The longest path.
const PATH: Text = Text(32 * 1024);
const RECOVERY: Words<bool> = Words(&[("rebootstrap", true), ("none", false)]);

settings! {
    bootstrap_servers: Vec<(String, u16)> = "", Servers, "bootstrap.servers",
        "The brokers to ask first, as `host:port,host:port`. One that answers is enough to find all others.";
    client_id: Arc<str> = "milena-producer", Text(i16::MAX as usize), "client.id",
        "The name under which brokers log this producer and count its quotas.";
    acks: Acks = "all", ACKS, "acks", fn acks,
        "How many replicas must have a record before it counts as written.";
    idempotence: bool = "true", FLAG, "enable.idempotence", fn idempotence,
        "Whether the broker recognises a batch that is sent a second time. Needs `acks=all`, retries and at most 5 in flight; \
         where those are set otherwise and this is not set, it is off.";
    linger: Duration = "5", Millis(0, LONG), "linger.ms", fn linger,
        "How long a batch waits for more records before it is sent, unless it is full earlier.";
    batch_size: usize = "16384", Number(0, INT), "batch.size", fn batch_size,
        "The size in bytes at which a batch is full. A larger record has a batch of its own; 0, which counts as 1, gives every \
         record its own.";
    buffer_memory: usize = "33554432", Number(0, LONG), "buffer.memory", fn buffer_memory,
        "The bytes that all records without an outcome may take together.";
    max_request_size: usize = "1048576", Number(0, INT), "max.request.size", fn max_request_size,
        "The largest request in bytes, and so the largest record, counted uncompressed.";
    max_in_flight: usize = "5", Number(1, INT), "max.in.flight.requests.per.connection", fn max_in_flight,
        "How many requests may be without an answer on one connection. At most 5 with idempotence.";
    max_block: Duration = "60000", Millis(0, LONG), "max.block.ms", fn max_block,
        "How long a call to `send` may wait, for metadata and memory together.";
    delivery_timeout: Duration = "120000", Millis(0, INT), "delivery.timeout.ms", fn delivery_timeout,
        "How long after its batch was begun a record has its outcome, retries included. At least `linger.ms` and \
         `request.timeout.ms` together; raised to that where it is not set.";
    request_timeout: Duration = "30000", Millis(1, INT), "request.timeout.ms", fn request_timeout,
        "How long a request may be without an answer before its connection is given up. At least 1 (Java: 0).";
    retries: u32 = "2147483647", Number(0, INT), "retries", fn retries,
        "How often a batch is sent again. Better left alone: `delivery.timeout.ms` is what bounds a delivery.";
    retry_backoff: Duration = "100", Millis(0, LONG), "retry.backoff.ms",
        "How long to wait before the first repetition of a request; doubled each time, plus or minus 20 %.";
    retry_backoff_max: Duration = "1000", Millis(0, LONG), "retry.backoff.max.ms",
        "How long to wait at most before a repetition of a request.";
    reconnect_backoff: Duration = "50", Millis(0, LONG), "reconnect.backoff.ms",
        "How long to wait before the first new attempt to connect; doubled each time, plus or minus 20 %.";
    reconnect_backoff_max: Duration = "1000", Millis(0, LONG), "reconnect.backoff.max.ms",
        "How long to wait at most before a new attempt to connect.";
    connection_setup_timeout: Duration = "10000", Millis(1, LONG), "socket.connection.setup.timeout.ms",
        "How long the first attempt to connect may take; doubled each time, plus or minus 20 %. At least 1 (Java: any).";
    connection_setup_timeout_max: Duration = "30000", Millis(1, LONG), "socket.connection.setup.timeout.max.ms",
        "How long an attempt to connect may take at most. At least 1 (Java: any).";
    connections_max_idle: Duration = "540000", Millis(-1, LONG), "connections.max.idle.ms", fn connections_max_idle,
        "How long a connection may be unused before it is closed; -1 keeps it.";
    metadata_max_age: Duration = "300000", Millis(0, LONG), "metadata.max.age.ms", fn metadata_max_age,
        "How old metadata may be before it is asked for again unprompted.";
    metadata_max_idle: Duration = "300000", Millis(5_000, LONG), "metadata.max.idle.ms", fn metadata_max_idle,
        "How long a topic may be unused before its metadata is forgotten.";
    rebootstrap: bool = "rebootstrap", RECOVERY, "metadata.recovery.strategy",
        "Whether to start again from `bootstrap.servers` when no known broker answers: `rebootstrap` or `none`.";
    rebootstrap_trigger: Duration = "300000", Millis(0, LONG), "metadata.recovery.rebootstrap.trigger.ms",
        "How long without metadata until the producer starts again from `bootstrap.servers`.";
    ignore_keys: bool = "false", FLAG, "partitioner.ignore.keys", fn ignore_keys,
        "Whether keys have no say in the choice of a partition.";
    adaptive_partitioning: bool = "true", FLAG, "partitioner.adaptive.partitioning.enable", fn adaptive_partitioning,
        "Whether records without a key go less often to partitions whose queues are long.";
    availability_timeout: Duration = "0", Millis(0, LONG), "partitioner.availability.timeout.ms", fn availability_timeout,
        "How long a broker may leave its batches waiting before records without a key avoid its partitions; 0 is off.";
    partitioner_rack_aware: bool = "false", FLAG, "partitioner.rack.aware", fn partitioner_rack_aware,
        "Whether records without a key go to partitions whose leaders are in the rack `client.rack`, while there are any (KIP-1123, which Java has after 4.2).";
    canonical_names: bool = "use_all_dns_ips", DNS_LOOKUP, "client.dns.lookup",
        "`use_all_dns_ips`: every address of a name is tried. `resolve_canonical_bootstrap_servers_only` besides puts the canonical names of the addresses of `bootstrap.servers` in their place, once, when the producer is built; it needs the feature `canonical-names`.";
    client_rack: Arc<str> = "", Text(32767), "client.rack",
        "The rack of this client, as brokers have one in `broker.rack`. It counts with `partitioner.rack.aware`.";
    partitioner_class: Arc<str> = "", Text(32767), "partitioner.class",
        "What chooses partitions in place of the built-in partitioner: Java's `org.apache.kafka.clients.producer.RoundRobinPartitioner`, or a name that the program gave to `ProducerBuilder::register_partitioner`.";
    interceptor_classes: Vec<String> = "", Names, "interceptor.classes",
        "Names that the program gave to `ProducerBuilder::register_interceptor`, with commas between them, in the order in which they are called.";
    metrics_sample_window: Duration = "30000", Millis(1, LONG), "metrics.sample.window.ms",
        "The length of a sample: a rate in the metrics covers the last `metrics.num.samples` of them, or half as much. At least 1 (Java: any).";
    metrics_num_samples: u32 = "2", Number(1, INT), "metrics.num.samples",
        "How many samples a rate in the metrics covers.";
    send_buffer_bytes: Option<usize> = "131072", SocketBuffer, "send.buffer.bytes", fn send_buffer_bytes,
        "The size of a socket's send buffer in bytes; `None`, -1 in Java, leaves it to the operating system.";
    receive_buffer_bytes: Option<usize> = "32768", SocketBuffer, "receive.buffer.bytes", fn receive_buffer_bytes,
        "The size of a socket's receive buffer in bytes; `None`, -1 in Java, leaves it to the operating system.";
    compression: Compression = "none", COMPRESSION, "compression.type", fn compression,
        "How batches are compressed. One that would not become smaller goes as it is.";
    compression_gzip_level: i32 = "-1", GzipLevel, "compression.gzip.level", fn compression_gzip_level,
        "How hard gzip tries, from 1 to 9; -1 is the usual, 6.";
    compression_lz4_level: i32 = "9", Number(1, 17), "compression.lz4.level", fn compression_lz4_level,
        "How hard lz4 tries: 9 is the fast compressor, and the others, from 1 to 17, are the high one, which takes more time for smaller batches.";
    compression_zstd_level: i32 = "3", Number(-131_072, 22), "compression.zstd.level", fn compression_zstd_level,
        "How hard zstd tries, from -131072, the quickest, to 22; from -7 to 4 without the feature `zstd`.";
    security_protocol: SecurityProtocol = "PLAINTEXT", PROTOCOL, "security.protocol", fn security_protocol,
        "How connections are secured: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`. `SSL` and `SASL_SSL` need the feature `tls`.";
    ssl_enabled_protocols: TlsVersions = "TLSv1.2,TLSv1.3", Versions, "ssl.enabled.protocols",
        "The versions of TLS that may be used. The newest that the broker has as well is used.";
    ssl_cipher_suites: Vec<String> = "", Names, "ssl.cipher.suites",
        "The cipher suites that may be used, by their standard names with commas between them; all of the build's if empty.";
    ssl_check_names: bool = "https", IDENTIFICATION, "ssl.endpoint.identification.algorithm",
        "Whether a broker's certificate must have the host's name or IP address: `https`, or empty, which lets anybody with a          certificate of a trusted CA pose as a broker.";
    ssl_truststore_type: StoreType = "JKS", STORE, "ssl.truststore.type",
        "The format of the trusted certificates. milena reads `PEM` only, so it must be given with a truststore.";
    ssl_truststore_location: Arc<str> = "", PATH, "ssl.truststore.location",
        "A file of trusted certificates, read again for a new connection when it has changed; those of the system if no truststore          is given.";
    ssl_truststore_password: Secret = "", Secrets, "ssl.truststore.password",
        "The password of a truststore. PEM has none, so it must be empty.";
    ssl_truststore_certificates: Secret = "", Secrets, "ssl.truststore.certificates",
        "The trusted certificates themselves, as PEM, in place of a file.";
    ssl_keystore_type: StoreType = "JKS", STORE, "ssl.keystore.type",
        "The format of the client's certificate and key. milena reads `PEM` only, so it must be given with a keystore.";
    ssl_keystore_location: Arc<str> = "", PATH, "ssl.keystore.location",
        "A file of the client's private key and its certificate chain, the client's own first, read again for a new connection when it          has changed.";
    ssl_keystore_password: Secret = "", Secrets, "ssl.keystore.password",
        "The password of a keystore. PEM has none, so it must be empty; a key may have one.";
    ssl_keystore_certificate_chain: Secret = "", Secrets, "ssl.keystore.certificate.chain",
        "The client's certificate chain itself, its own first, as PEM, in place of a file.";
    ssl_keystore_key: Secret = "", Secrets, "ssl.keystore.key",
        "The client's private key itself, as PEM, in place of a file.";
    ssl_key_password: Secret = "", Secrets, "ssl.key.password",
        "The password of an encrypted private key (PKCS#8), in the file or in place of it.";
    sasl_mechanism: SaslMechanism = "GSSAPI", MECHANISM, "sasl.mechanism", fn sasl_mechanism,
        "How the producer proves who it is. Has to be set with `security.protocol` SASL_PLAINTEXT and SASL_SSL, because milena does not \
         have the default.";
    sasl_jaas_config: Secret = "", Secrets, "sasl.jaas.config",
        "User name and password as Java's clients take them: `CLASS required username=\"alice\" password=\"secret\";` with one of Kafka's \
         login modules for PLAIN or SCRAM; for OAUTHBEARER the options `clientId`, `clientSecret`, `scope`, `extension_NAME` and `ssl.*` of \
         `OAuthBearerLoginModule`. Never shown.";
    sasl_username: Arc<str> = "", Text(INT as usize), "sasl.username",
        "The user name, in place of `sasl.jaas.config`. Java does not have it, librdkafka does.";
    sasl_password: Secret = "", Secrets, "sasl.password",
        "The password that belongs to `sasl.username`. Never shown.";
    sasl_token_endpoint: Arc<str> = "", PATH, "sasl.oauthbearer.token.endpoint.url",
        "Where tokens come from (`sasl.mechanism=OAUTHBEARER`): `https://...` is an OIDC provider, which is asked by client credentials \
         (KIP-768; feature `oidc`), and `file:///...` a file with a token, which is read again when it is due or has changed.";
    sasl_client_id: Arc<str> = "", Text(INT as usize), "sasl.oauthbearer.client.credentials.client.id",
        "Who the producer is to the provider, in place of the option `clientId` in `sasl.jaas.config`.";
    sasl_client_secret: Secret = "", Secrets, "sasl.oauthbearer.client.credentials.client.secret",
        "The provider's secret for that client, in place of the option `clientSecret` in `sasl.jaas.config`. Never shown.";
    sasl_scope: Arc<str> = "", Text(INT as usize), "sasl.oauthbearer.scope",
        "The scope that is asked for, in place of the option `scope` in `sasl.jaas.config`; if empty, the provider chooses.";
    sasl_scope_claim: Arc<str> = "scope", Text(INT as usize), "sasl.oauthbearer.scope.claim.name",
        "The claim of a token that has its scope. It is checked for its type only.";
    sasl_sub_claim: Arc<str> = "sub", Text(INT as usize), "sasl.oauthbearer.sub.claim.name",
        "The claim of a token that says whose it is.";
    sasl_urlencode: bool = "false", FLAG, "sasl.oauthbearer.header.urlencode",
        "Whether client id and secret are URL-encoded for the header `Authorization`, as RFC 6749 wants it and some providers do not.";
    sasl_refresh_factor: f64 = "0.8", Ratio(0.5, 1.0), "sasl.login.refresh.window.factor",
        "Which part of a token's life passes before another one is asked for.";
    sasl_refresh_jitter: f64 = "0.05", Ratio(0.0, 0.25), "sasl.login.refresh.window.jitter",
        "The most that is added to that part by chance.";
    sasl_refresh_min: u16 = "60", Number(0, 900), "sasl.login.refresh.min.period.seconds",
        "The least time before another token is asked for, in seconds. It does not count for tokens that are too short for it.";
    sasl_refresh_buffer: u16 = "300", Number(0, 3_600), "sasl.login.refresh.buffer.seconds",
        "How long before a token's end another one is asked for at the latest, in seconds. It does not count for tokens that are too short for it.";
    sasl_login_connect: Option<Duration> = "", OptionalMillis, "sasl.login.connect.timeout.ms",
        "How long a connection to the provider may take to be made; `socket.connection.setup.timeout.ms` if empty.";
    sasl_login_read: Option<Duration> = "", OptionalMillis, "sasl.login.read.timeout.ms",
        "How long the provider may take to answer; `socket.connection.setup.timeout.ms` if empty.";
    sasl_login_backoff: Duration = "100", Millis(0, LONG), "sasl.login.retry.backoff.ms",
        "The first pause after a token could not be had. It doubles with each further failure.";
    sasl_login_backoff_max: Duration = "10000", Millis(0, LONG), "sasl.login.retry.backoff.max.ms",
        "The longest such pause. While there is no valid token, it is a second at most.";
}

impl Config {
    /// The rack whose partitions records without a key prefer, if they do.
    pub(crate) fn rack(&self) -> Option<&str> {
        Some(&*self.client_rack).filter(|rack| self.partitioner_rack_aware && !rack.is_empty())
    }

    /// Whether the producer says who it is.
    pub(crate) fn has_login(&self) -> bool {
        self.credentials.is_some() || self.has_tokens()
    }

    /// Whether tokens say who it is.
    #[cfg(feature = "oauth")]
    pub(crate) fn has_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Whether tokens say who it is, which this build has not.
    #[cfg(not(feature = "oauth"))]
    #[expect(clippy::unused_self, reason = "with the feature it is a setting")]
    pub(crate) fn has_tokens(&self) -> bool {
        false
    }

    /// The Java name and value of every setting, in the order in which they are documented.
    pub(crate) fn properties(&self) -> Vec<(&'static str, String)> {
        SETTINGS.iter().map(|setting| (setting.name, (setting.show)(self))).collect()
    }
}
