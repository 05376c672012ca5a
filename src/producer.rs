//! The caller's half of the producer.
//!
//! In: records. Out: [`Delivery`]s, or why a record was not accepted. Runs on the caller's task: intercept, choose the
//! partition, encode into the partition's open batch. It awaits metadata and memory, nothing else, and both within one
//! `max.block.ms`. Deliberately absent: everything that happens to a batch after it was sealed.

mod accepting;
mod append;
mod clocks;
mod inner;
mod limits;
mod produce;
#[cfg(test)]
mod simulated;

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

pub(crate) use self::limits::Limits;
#[cfg(test)]
pub(crate) use self::simulated::{Reins, WorldClock};
pub use self::{accepting::Accepting, produce::Produce};
use self::{
    append::{Stop, Waiting},
    inner::Inner,
};
use crate::{
    config::ProducerBuilder,
    delivery::{Ack, Answer, Callbacks, Delivery},
    dial::check_resolvable,
    error::{ConfigError, DeliveryError, FlushError, SendError},
    metrics::{Gauges, Metrics},
    record::Record,
};

/// Sends records to Kafka.
///
/// A clone is the same producer: clones may be used from any number of tasks at once. Records that one task sends to one
/// partition are written in the order in which they were sent.
///
/// It lives on the tokio runtime that it was built on, and can be used from anywhere: from another runtime, from another
/// executor, or from a thread that has none. Its own runtime must be running meanwhile, which one of a single thread does
/// only while somebody blocks on it.
///
/// Dropping the last clone without [`close`](Self::close) ends the producer at once; every record that is undelivered then
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
    /// Starts the producer on the current tokio runtime, which must have I/O and time enabled; whoever uses it later may be
    /// elsewhere. It connects in the background; that a broker cannot be reached is told by the first `send`.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration at once; none of the hosts in `bootstrap.servers` can be resolved;
    /// there is no tokio runtime.
    pub async fn build(self) -> Result<Producer, ConfigError> {
        let config = Arc::new(self.validate()?);
        let no_runtime = |_| ConfigError::new(vec!["a producer must be built within a tokio runtime".into()]);
        let runtime = Handle::try_current().map_err(no_runtime)?;
        if let Err(why) = check_resolvable(&config.bootstrap_servers).await {
            return Err(ConfigError::new(vec![format!("bootstrap.servers: no host can be resolved: {why}")]));
        }
        Ok(Producer { inner: Arc::new(Inner::start(config, &runtime)) })
    }
}

impl Producer {
    /// Starts a builder. `bootstrap_servers` is a list `host:port,host:port`; one broker that answers is enough to find all
    /// others.
    pub fn builder(bootstrap_servers: &str) -> ProducerBuilder {
        ProducerBuilder::new(bootstrap_servers)
    }

    /// Builds from Java property names and values, such as `("linger.ms", "5")`.
    ///
    /// # Errors
    /// As [`ProducerBuilder::build`]; a name that is not known is refused with the nearest one.
    pub async fn from_properties<N: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError> {
        ProducerBuilder::from_properties(properties).build().await
    }

    /// Hands a record over. Waits for the topic's metadata and for memory, together at most `max.block.ms`; most calls wait
    /// for nothing: then the record is accepted by the call itself, and the future is ready. Await the [`Delivery`] for what
    /// became of the record, or drop it.
    ///
    /// Records of one partition are in the order of the calls, as long as each is awaited before the next.
    ///
    /// # Errors
    /// The record was not accepted and is certainly not written; see [`SendError`].
    ///
    /// # Cancel safety
    /// If the returned future is dropped while it is pending, the record was not accepted.
    #[inline]
    pub fn send<'a>(&'a self, record: Record<'a>) -> Accepting<'a> {
        self.inner.attempt(record, None::<fn(Answer)>)
    }

    /// As [`send`](Self::send), but the outcome goes to `callback`, on a thread of its own: callbacks of one partition run
    /// in the order of their records. One that blocks holds up other callbacks and, when `buffer.memory` is full, further
    /// sends, but no I/O. A panic in it is caught and logged.
    ///
    /// # Errors
    /// As [`send`](Self::send); the callback is then not called.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_with<'a>(
        &'a self,
        record: Record<'a>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> impl Future<Output = Result<(), SendError>> + Send + 'a {
        self.inner.attempt(record, Some(callback)).untracked()
    }

    /// As [`send`](Self::send), but never waits.
    ///
    /// # Errors
    /// [`SendError::QueueFull`] when memory is short, [`SendError::NotReady`] when the topic's metadata is not here yet (it
    /// is asked for), and as [`send`](Self::send).
    #[inline]
    pub fn try_send(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        self.inner.try_send(record, None::<fn(Answer)>)
    }

    /// As [`send_with`](Self::send_with), but never waits.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send); the callback is then not called.
    #[inline]
    pub fn try_send_with(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> Result<(), SendError> {
        self.inner.try_send(record, Some(callback)).map(drop)
    }

    /// How many partitions a topic has. Waits for its metadata at most `max.block.ms`.
    ///
    /// # Errors
    /// The topic cannot be sent to, or the producer is closed; see [`SendError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn partitions_for(&self, topic: &str) -> Result<usize, SendError> {
        let mut waiting = Waiting::new(&self.inner);
        loop {
            match self.inner.route(topic) {
                Ok(_) if self.inner.accumulator.is_closed() => return Err(self.inner.closed(topic)),
                Ok((_, count)) => return Ok(count),
                Err(stop) => match *stop {
                    Stop::Topic => self.inner.wait_for_topic(topic, &mut waiting).await?,
                    Stop::Fail(error) => return Err(error),
                    Stop::Memory(_) | Stop::Behind => {}
                },
            }
        }
    }

    /// Sends all records handed over so far without lingering, and waits until each has its outcome and its callback has
    /// run. `delivery.timeout.ms` bounds the wait, if callbacks return.
    ///
    /// # Errors
    /// [`FlushError::InCallback`] when called from a delivery callback.
    ///
    /// # Cancel safety
    /// Cancel safe; what was handed over is delivered all the same.
    pub async fn flush(&self) -> Result<(), FlushError> {
        not_in_callback()?;
        self.inner.flush().await;
        Ok(())
    }

    /// As [`flush`](Self::flush), but waits at most `limit`.
    ///
    /// # Errors
    /// [`FlushError::Timeout`] when records are undelivered then, which go on being delivered; and as
    /// [`flush`](Self::flush).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush_timeout(&self, limit: Duration) -> Result<(), FlushError> {
        not_in_callback()?;
        let flushed = self.inner.limits.within(limit, self.inner.flush()).await;
        flushed.ok_or_else(|| FlushError::Timeout { pending: self.inner.accumulator.undelivered(), waited: limit })
    }

    /// What the producer has done until now, in numbers. Always counted, once a batch or request, never for a record. A snapshot
    /// takes about 10 µs, and a third of a millisecond where there are 1,000 topics.
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

    /// Refuses further records, delivers all that were handed over, runs their callbacks and ends the producer and its
    /// connections. `delivery.timeout.ms` bounds the wait. Closing again does nothing.
    ///
    /// # Errors
    /// [`FlushError::InCallback`] when called from a delivery callback; the producer goes on.
    ///
    /// # Cancel safety
    /// A call that is dropped leaves a producer that refuses records and goes on delivering; call again to end it.
    pub async fn close(&self) -> Result<(), FlushError> {
        not_in_callback()?;
        self.inner.accumulator.close();
        self.inner.flush().await;
        self.inner.end().await;
        Ok(())
    }

    /// As [`close`](Self::close), but delivers for at most `limit`; what is undelivered then resolves as
    /// [`Closed`](crate::FailureKind::Closed).
    ///
    /// # Errors
    /// [`FlushError::Timeout`] when not all was delivered; the producer has ended all the same. And as
    /// [`close`](Self::close).
    ///
    /// # Cancel safety
    /// As [`close`](Self::close).
    pub async fn close_timeout(&self, limit: Duration) -> Result<(), FlushError> {
        not_in_callback()?;
        self.inner.accumulator.close();
        let flushed = self.inner.limits.within(limit, self.inner.flush()).await;
        let pending = self.inner.accumulator.undelivered();
        self.inner.end().await;
        flushed.ok_or(FlushError::Timeout { pending, waited: limit })
    }
}

/// What waits for callbacks must not be called from one.
pub(crate) fn not_in_callback() -> Result<(), FlushError> {
    if Callbacks::running_here() { Err(FlushError::InCallback) } else { Ok(()) }
}
