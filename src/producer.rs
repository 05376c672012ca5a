//! The caller's half of the producer.
//!
//! In: records. Out: [`Delivery`]s, or why a record was not accepted. It runs on the caller's task: it calls the
//! interceptors, chooses the partition, and encodes the record into the partition's open batch. It awaits only metadata
//! and memory, together for at most `max.block.ms`. Deliberately absent: all that happens to a sealed batch.

mod accepting;
mod append;
mod clocks;
mod inner;
mod limits;
mod many;
mod produce;
mod several;
#[cfg(test)]
mod simulated;
mod typed;

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

#[cfg(test)]
pub(crate) use self::simulated::{DriverHandle, WorldClock};
pub use self::{accepting::Accepting, many::SendAllError, produce::Produce, typed::TypedProducer};
pub(crate) use self::{append::check_topic, inner::not_in_callback, limits::TimeLimits};
use self::{
    append::{Stop, Waiting},
    inner::Inner,
};
use crate::{
    config::ProducerBuilder,
    delivery::{Accepted, Ack, Completion, Delivery},
    dial::{Security, bootstrap, check_resolvable},
    error::{ConfigError, DeliveryError, FlushError, SendError},
    metrics::{Gauges, Metrics},
    oauth::Tokens,
    record::Record,
};

/// Sends records to Kafka.
///
/// A clone is the same producer, and any number of tasks may use clones at once. Records that one task sends to one
/// partition are written in the order in which they were sent.
///
/// A producer runs on the tokio runtime on which it was built. It can be used from anywhere: from another runtime, from
/// another executor, or from a thread that has none. Its own runtime must be running meanwhile. A single-threaded
/// runtime runs only inside `block_on`.
///
/// Dropping the last clone without [`close`](Self::close) ends the producer at once. Every undelivered record then
/// resolves as [`Abandoned`](crate::FailureKind::Abandoned).
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let undelivered = self.inner.accumulator.undelivered();
        f.debug_struct("Producer").field("undelivered_batches", &undelivered).finish_non_exhaustive()
    }
}

impl ProducerBuilder {
    /// Starts the producer on the current tokio runtime, which must have I/O and time enabled. It connects in the
    /// background. If no broker can be reached, the first `send` returns the error.
    ///
    /// # Errors
    /// The configuration is invalid, or a file that it names (the error lists every violation), no host in `bootstrap.servers` can be resolved,
    /// or there is no tokio runtime.
    pub async fn build(self) -> Result<Producer, ConfigError> {
        let (mut config, mut violations) = self.read();
        let Ok(runtime) = Handle::try_current() else {
            violations.push("a producer must be built within a tokio runtime".into());
            return Err(ConfigError::new(violations));
        };
        let (security, tokens) = match (Security::open(&config).await, Tokens::open(&config).await) {
            (Ok(security), Ok(tokens)) if violations.is_empty() => (security, tokens),
            (security, tokens) => {
                violations.extend(security.err().into_iter().chain(tokens.err()).flatten());
                return Err(ConfigError::new(violations));
            }
        };
        config.bootstrap_servers = bootstrap(&config).await;
        if let Err(why) = check_resolvable(&config.bootstrap_servers).await {
            return Err(ConfigError::new(vec![format!("bootstrap.servers: no host can be resolved: {why}")]));
        }
        Ok(Producer { inner: Arc::new(Inner::start(Arc::new(config), security, tokens, &runtime)) })
    }
}

impl Producer {
    /// Starts a builder. `bootstrap_servers` is a list `host:port,host:port`. One broker that can be reached is enough
    /// to find all others.
    pub fn builder(bootstrap_servers: &str) -> ProducerBuilder {
        ProducerBuilder::new(bootstrap_servers)
    }

    /// Builds a producer from Java property names and values, such as `("linger.ms", "5")`.
    ///
    /// # Errors
    /// As [`ProducerBuilder::build`]. The error for an unknown name suggests the nearest one.
    pub async fn from_properties<N: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError> {
        ProducerBuilder::from_properties(properties).build().await
    }

    /// Sends a record. The future resolves when the record is accepted. It waits for the topic's metadata and for
    /// memory, together for at most `max.block.ms` (default 60 s). Most calls need neither, and the future is then
    /// ready at once. Await the [`Delivery`] for the record's outcome, or drop it.
    ///
    /// Records of one partition keep the order of the calls if each call is awaited before the next.
    ///
    /// # Errors
    /// The record was not accepted and is certainly not written; see [`SendError`].
    ///
    /// # Cancel safety
    /// If the future is dropped before it resolves, the record was not accepted.
    #[inline]
    pub fn send<'a>(&'a self, record: Record<'a>) -> Accepting<'a> {
        self.inner.attempt(record, None::<fn(Completion)>)
    }

    /// As [`send`](Self::send), but calls `callback` with the outcome, on the callback thread. Callbacks of one
    /// partition run in the order of their records. A callback that blocks delays the other callbacks and, once
    /// `buffer.memory` is full, further sends, but no I/O. A panic in a callback is caught and logged.
    ///
    /// # Errors
    /// As [`send`](Self::send). The callback is not called then.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_with<'a>(
        &'a self,
        record: Record<'a>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> impl Future<Output = Result<(), SendError>> + Send + 'a {
        self.inner.attempt_with(record, callback)
    }

    /// As [`send`](Self::send), but never waits.
    ///
    /// # Errors
    /// [`SendError::QueueFull`] if memory is short, [`SendError::NotReady`] if the topic's metadata is not known yet
    /// (the producer requests it), and as [`send`](Self::send).
    #[inline]
    pub fn try_send(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        self.inner.try_send::<Accepted>(record, None::<fn(Completion)>).map(Delivery::from)
    }

    /// As [`send_with`](Self::send_with), but never waits.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send). The callback is not called then.
    #[inline]
    pub fn try_send_with(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> Result<(), SendError> {
        self.inner.try_send::<()>(record, Some(callback))
    }

    /// How many partitions a topic has. Waits for its metadata for at most `max.block.ms`.
    ///
    /// # Errors
    /// Records cannot be sent to the topic, or the producer is closed; see [`SendError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn partitions_for(&self, topic: &str) -> Result<usize, SendError> {
        let mut waiting = Waiting::new(&self.inner);
        loop {
            match self.inner.route(topic).map_err(|stop| *stop) {
                Ok(_) if self.inner.accumulator.is_closed() => return Err(self.inner.closed(topic)),
                Ok((_, count)) => return Ok(count),
                Err(Stop::Fail(error)) => return Err(error),
                Err(_) => self.inner.wait_for_topic(topic, &mut waiting).await?,
            }
        }
    }

    /// Requests a topic's metadata even if they are known, and waits for the cluster's next metadata response, for at most `max.block.ms`. It
    /// tells whether the cluster can be reached when nothing is sent. The response may say that the topic does not exist:
    /// [`partitions_for`](Self::partitions_for) waits until it does.
    ///
    /// # Errors
    /// [`SendError::Timeout`] if no broker has responded, with the last failure. [`SendError::TopicRefused`] if the cluster refuses the topic.
    /// Otherwise as [`partitions_for`](Self::partitions_for).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn refresh_metadata(&self, topic: &str) -> Result<(), SendError> {
        self.inner.refresh(topic).await
    }

    /// Sends all accepted records without lingering, and waits until each has its outcome and its callback has run.
    /// Waits for at most `delivery.timeout.ms` if the callbacks return.
    ///
    /// # Errors
    /// [`FlushError::InCallback`] if it is called from a delivery callback.
    ///
    /// # Cancel safety
    /// Cancel safe. Accepted records are delivered in any case.
    pub async fn flush(&self) -> Result<(), FlushError> {
        self.inner.flush().await
    }

    /// As [`flush`](Self::flush), but waits for at most `limit`.
    ///
    /// # Errors
    /// [`FlushError::Timeout`] if records are undelivered when `limit` is over. Their delivery continues. Otherwise as
    /// [`flush`](Self::flush).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush_timeout(&self, limit: Duration) -> Result<(), FlushError> {
        self.inner.flush_within(limit).await
    }

    /// A snapshot of the producer's metrics. They are always counted, once for each batch or request. A snapshot takes
    /// about 10 µs, and a third of a millisecond with 1,000 topics.
    ///
    /// ```no_run
    /// # async fn example(producer: milena::Producer) {
    /// let metrics = producer.metrics();
    /// println!("{:?} records failed", metrics.get("producer-metrics", "record-error-total"));
    /// println!("99 of 100 had their outcome in {} s", metrics.delivery_latency().quantile(0.99));
    /// let page = metrics.to_prometheus();
    /// # }
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let accumulator = &self.inner.accumulator;
        let memory = accumulator.memory();
        let gauges = Gauges {
            buffer_total: memory.limit(),
            buffer_free: memory.free(),
            waiting: memory.waiting(),
            undelivered: accumulator.undelivered(),
        };
        Metrics::take(accumulator.recorder(), gauges, &self.inner.config.client_id, Instant::now())
    }

    /// Refuses further records, delivers all accepted ones, runs their callbacks, and ends the producer and its
    /// connections. Waits for at most `delivery.timeout.ms` if the callbacks return. Does nothing if the producer is
    /// closed.
    ///
    /// # Errors
    /// [`FlushError::InCallback`] if it is called from a delivery callback. The producer stays open then.
    ///
    /// # Cancel safety
    /// If the future is dropped, the producer refuses records and continues to deliver. Another call ends it.
    pub async fn close(&self) -> Result<(), FlushError> {
        not_in_callback()?;
        self.inner.accumulator.close();
        self.inner.flush().await?;
        self.inner.end().await;
        Ok(())
    }

    /// As [`close`](Self::close), but delivers for at most `limit`. Undelivered records then resolve as
    /// [`Closed`](crate::FailureKind::Closed).
    ///
    /// # Errors
    /// [`FlushError::Timeout`] if not all records were delivered. The producer has ended in any case. Otherwise as
    /// [`close`](Self::close).
    ///
    /// # Cancel safety
    /// As [`close`](Self::close).
    pub async fn close_timeout(&self, limit: Duration) -> Result<(), FlushError> {
        not_in_callback()?;
        self.inner.accumulator.close();
        let flushed = self.inner.flush_within(limit).await;
        self.inner.end().await;
        flushed
    }
}
