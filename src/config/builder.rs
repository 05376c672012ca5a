//! The builder of a producer, which collects settings.
//!
//! In: names and values in Java's notation, a partitioner, interceptors. Out: the same, in one value. Pure. Deliberately absent: the
//! setters of single settings, which [`super::table`] generates, and validation.

use std::{fmt, sync::Arc, time::Duration};

use super::{kinds::show_millis, plugins::Plugins, preset::Preset, values::SaslMechanism};
use crate::record::{intercept::Interceptor, partition::Partitioner};
#[cfg(feature = "oauth")]
use crate::sasl::token::TokenSource;

/// Configures a producer and builds it.
///
/// Every setter takes the builder and returns it. No setter fails: `build` reports everything that is wrong, at once. Times are rounded
/// up to whole milliseconds, and to a hundred years at most. A later value of a setting replaces an earlier one.
///
/// ```
/// use std::time::Duration;
/// use milena::{Acks, ProducerBuilder};
///
/// let typed = ProducerBuilder::new("localhost:9092").linger(Duration::from_millis(20)).acks(Acks::Leader);
/// let named = ProducerBuilder::from_properties([("bootstrap.servers", "localhost:9092"), ("linger.ms", "20"), ("acks", "1")]);
/// assert_eq!(typed.effective_properties()?, named.effective_properties()?);
/// # Ok::<(), milena::ConfigError>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct ProducerBuilder {
    pub(super) given: Vec<(String, String)>,
    pub(super) preset: Option<Preset>,
    pub(super) partitioner: Option<Arc<dyn Partitioner>>,
    pub(super) interceptors: Vec<Arc<dyn Interceptor>>,
    pub(super) plugins: Plugins,
    #[cfg(feature = "oauth")]
    pub(super) token_source: Option<Arc<dyn TokenSource>>,
}

impl ProducerBuilder {
    /// A builder with the brokers to connect to first, as `host:port,host:port`. The first one that responds names all others.
    /// IPv6 addresses are in brackets. Java property `bootstrap.servers`, which has no default.
    pub fn new(bootstrap_servers: &str) -> Self {
        Self::default().property("bootstrap.servers", bootstrap_servers)
    }

    /// A builder with Java property names and values, as in a `producer.properties`.
    pub fn from_properties<N: AsRef<str>, V: AsRef<str>>(properties: impl IntoIterator<Item = (N, V)>) -> Self {
        Self::default().properties(properties)
    }

    /// Sets one property by its Java name, in Java's notation. `build` refuses a name that Java's producer does not know. It also
    /// refuses one that milena does not support yet, unless its value is Java's default. `key.serializer` and `value.serializer` may
    /// name Java's serializers of bytes and of text, which have no effect here. `max.in.flight.requests` counts as
    /// `max.in.flight.requests.per.connection`, with a warning.
    pub fn property(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.given.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets several properties, each as [`ProducerBuilder::property`] does.
    pub fn properties<N: AsRef<str>, V: AsRef<str>>(self, properties: impl IntoIterator<Item = (N, V)>) -> Self {
        properties.into_iter().fold(self, |builder, (name, value)| builder.property(name, value))
    }

    /// Sets what belongs together for a purpose. Whatever is set by itself, before or after, counts instead. A later preset takes the place
    /// of an earlier one. By default there is none.
    ///
    /// ```
    /// use milena::{Preset, ProducerBuilder};
    ///
    /// let builder = ProducerBuilder::new("localhost:9092").preset(Preset::Throughput).property("linger.ms", "50");
    /// let effective = builder.effective_properties()?;
    /// assert!(effective.contains(&("linger.ms", "50".into())) && effective.contains(&("batch.size", "65536".into())));
    /// # Ok::<(), milena::ConfigError>(())
    /// ```
    pub fn preset(self, preset: Preset) -> Self {
        Self { preset: Some(preset), ..self }
    }

    /// The name by which brokers log this producer and apply quotas. Java property `client.id`, which defaults to
    /// `milena-producer`; at most 32767 bytes.
    pub fn client_id(self, client_id: &str) -> Self {
        self.property("client.id", client_id)
    }

    /// The wait before a request is sent again: `min` at first, doubled each time up to `max`, plus or minus
    /// 20 %. Java properties `retry.backoff.ms` and `retry.backoff.max.ms`, which default to 100 and 1000.
    pub fn retry_backoff(self, min: Duration, max: Duration) -> Self {
        self.millis("retry.backoff.ms", min).millis("retry.backoff.max.ms", max)
    }

    /// The wait before a broken connection is opened again: `min` at first, doubled each time up to `max`, plus or
    /// minus 20 %. Java properties `reconnect.backoff.ms` and `reconnect.backoff.max.ms`, which default to 50 and 1000.
    pub fn reconnect_backoff(self, min: Duration, max: Duration) -> Self {
        self.millis("reconnect.backoff.ms", min).millis("reconnect.backoff.max.ms", max)
    }

    /// The longest time that an attempt to connect may take: `min` at first, doubled each time up to `max`, plus or minus 20 %. Java
    /// properties `socket.connection.setup.timeout.ms` and `socket.connection.setup.timeout.max.ms`, which default to
    /// 10000 and 30000.
    pub fn connection_setup_timeout(self, min: Duration, max: Duration) -> Self {
        self.millis("socket.connection.setup.timeout.ms", min).millis("socket.connection.setup.timeout.max.ms", max)
    }

    /// How long the producer may be without metadata before it asks `bootstrap.servers` again. `None` means never.
    /// Java properties `metadata.recovery.strategy` and `metadata.recovery.rebootstrap.trigger.ms`, which default to
    /// `rebootstrap` and 300000 (KIP-1102).
    pub fn rebootstrap_after(self, trigger: Option<Duration>) -> Self {
        match trigger {
            None => self.property("metadata.recovery.strategy", "none"),
            Some(trigger) => self
                .property("metadata.recovery.strategy", "rebootstrap")
                .millis("metadata.recovery.rebootstrap.trigger.ms", trigger),
        }
    }

    /// Sets a partitioner for records without a partition of their own. It replaces the built-in partitioner, and corresponds to
    /// Java's `partitioner.class`, which must not be set as well. By default there is none.
    pub fn partitioner(mut self, partitioner: impl Partitioner + 'static) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }

    /// Adds an interceptor. Interceptors see records and outcomes in the order in which they were added. This corresponds to Java's
    /// `interceptor.classes`. By default there is none.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// Lets `partitioner.class` name this partitioner, so that a file of settings can choose it. A later one of the same name replaces it.
    ///
    /// ```
    /// use milena::{Partitions, ProducerBuilder, Record};
    ///
    /// let by_length = |record: &Record<'_>, partitions: &Partitions<'_>| (record.topic().len() % partitions.count()) as i32;
    /// let builder = ProducerBuilder::from_properties([("bootstrap.servers", "localhost:9092"), ("partitioner.class", "by-length")]);
    /// assert!(builder.register_partitioner("by-length", by_length).effective_properties().is_ok());
    /// ```
    pub fn register_partitioner(mut self, name: &str, partitioner: impl Partitioner + 'static) -> Self {
        self.plugins.partitioners.insert(name.to_owned(), Arc::new(partitioner));
        self
    }

    /// Lets `interceptor.classes` name this interceptor, so that a file of settings can choose it. A later one of the same name replaces it.
    /// Those that are named are called behind those of [`ProducerBuilder::interceptor`].
    pub fn register_interceptor(mut self, name: &str, interceptor: impl Interceptor) -> Self {
        self.plugins.interceptors.insert(name.to_owned(), Arc::new(interceptor));
        self
    }

    /// Has the producer say who it is, by this mechanism. `security.protocol` has to be SASL_PLAINTEXT or SASL_SSL. Java properties
    /// `sasl.mechanism` and `sasl.jaas.config`; here as well `sasl.username` and `sasl.password`.
    pub fn sasl(self, mechanism: SaslMechanism, username: &str, password: &str) -> Self {
        self.sasl_mechanism(mechanism).property("sasl.username", username).property("sasl.password", password)
    }

    /// Has the producer say who it is by tokens from this source, and sets `sasl.mechanism` to OAUTHBEARER. `security.protocol` has to be
    /// SASL_PLAINTEXT or SASL_SSL. In Java, `sasl.login.callback.handler.class`. By default tokens come from
    /// `sasl.oauthbearer.token.endpoint.url`.
    #[cfg(feature = "oauth")]
    pub fn oauth_bearer(mut self, source: impl TokenSource) -> Self {
        self.token_source = Some(Arc::new(source));
        self.sasl_mechanism(SaslMechanism::OauthBearer)
    }

    fn millis(self, name: &str, value: Duration) -> Self {
        self.property(name, show_millis(value))
    }
}

/// Prints names only. A value may be a password that was given to the wrong program.
impl fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.given.iter().map(|(name, _)| name)).finish()
    }
}
