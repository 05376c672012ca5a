//! What a user asks of a producer, before anybody has looked whether it can be.
//!
//! In: names and values in Java's notation, a partitioner, interceptors. Out: the same, gathered. Pure. Deliberately absent: the
//! setters of single settings, which [`super::table`] makes, and every check.

use std::{fmt, sync::Arc, time::Duration};

use super::kinds::show_millis;
use crate::record::{intercept::Interceptor, partition::Partitioner};

/// Says how a producer is to behave, then builds it.
///
/// Every setter takes the builder and gives it back; none of them fails. What does not fit, alone or together, is
/// reported by `build`, all of it at once. Times count in whole milliseconds, fractions rounded up; times over a hundred
/// years count as a hundred years. Of two values for one setting the later one counts.
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
    pub(super) partitioner: Option<Arc<dyn Partitioner>>,
    pub(super) interceptors: Vec<Arc<dyn Interceptor>>,
}

impl ProducerBuilder {
    /// Starts with the brokers to ask first, as `host:port,host:port`; one that answers is enough to find all others.
    /// IPv6 addresses stand in brackets. Java property `bootstrap.servers`, which has no default.
    pub fn new(bootstrap_servers: &str) -> Self {
        Self::default().property("bootstrap.servers", bootstrap_servers)
    }

    /// Starts with Java property names and values, as they stand in a `producer.properties`.
    pub fn from_properties<N: AsRef<str>, V: AsRef<str>>(properties: impl IntoIterator<Item = (N, V)>) -> Self {
        Self::default().properties(properties)
    }

    /// Sets one property by its Java name, in Java's notation. A name that neither milena nor Java's producer knows is
    /// refused when the producer is built, and so is one that milena does not support yet, unless its value is Java's default.
    /// `key.serializer` and `value.serializer` may name Java's serializers of bytes and of text, which mean nothing here.
    /// `max.in.flight.requests` counts as `max.in.flight.requests.per.connection`, with a warning.
    pub fn property(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.given.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets several properties; see [`ProducerBuilder::property`].
    pub fn properties<N: AsRef<str>, V: AsRef<str>>(self, properties: impl IntoIterator<Item = (N, V)>) -> Self {
        properties.into_iter().fold(self, |builder, (name, value)| builder.property(name, value))
    }

    /// The name under which brokers log this producer and count its quotas. Java property `client.id`, which defaults to
    /// `milena-producer`; at most 32767 bytes.
    pub fn client_id(self, client_id: &str) -> Self {
        self.property("client.id", client_id)
    }

    /// How long to wait before a request is sent again: `min` at first, doubled each time up to `max`, plus or minus
    /// 20 %. Java properties `retry.backoff.ms` and `retry.backoff.max.ms`, which default to 100 and 1000.
    pub fn retry_backoff(self, min: Duration, max: Duration) -> Self {
        self.millis("retry.backoff.ms", min).millis("retry.backoff.max.ms", max)
    }

    /// How long to wait before a broken connection is tried again: `min` at first, doubled each time up to `max`, plus or
    /// minus 20 %. Java properties `reconnect.backoff.ms` and `reconnect.backoff.max.ms`, which default to 50 and 1000.
    pub fn reconnect_backoff(self, min: Duration, max: Duration) -> Self {
        self.millis("reconnect.backoff.ms", min).millis("reconnect.backoff.max.ms", max)
    }

    /// How long an attempt to connect may take: `min` at first, doubled each time up to `max`, plus or minus 20 %. Java
    /// properties `socket.connection.setup.timeout.ms` and `socket.connection.setup.timeout.max.ms`, which default to
    /// 10000 and 30000.
    pub fn connection_setup_timeout(self, min: Duration, max: Duration) -> Self {
        self.millis("socket.connection.setup.timeout.ms", min).millis("socket.connection.setup.timeout.max.ms", max)
    }

    /// How long the producer may be without metadata before it starts again from `bootstrap.servers`; `None` is never.
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

    /// Chooses partitions in place of the built-in partitioner, for records that do not name theirs. In place of Java's
    /// `partitioner.class`; by default there is none.
    pub fn partitioner(mut self, partitioner: impl Partitioner + 'static) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }

    /// Adds an interceptor; they see records and outcomes in the order in which they were added. In place of Java's
    /// `interceptor.classes`; by default there is none.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    fn millis(self, name: &str, value: Duration) -> Self {
        self.property(name, show_millis(value))
    }
}

/// Names only: a value may be a password that was given to the wrong program.
impl fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.given.iter().map(|(name, _)| name)).finish()
    }
}
