//! The caller's half of the producer.
//!
//! In: records. Out: [`Delivery`]s, or why a record was not accepted. Runs on the caller's task: intercept, choose the
//! partition, encode into the partition's open batch. It awaits metadata and memory, nothing else, and both within one
//! `max.block.ms`. Deliberately absent: everything that happens to a batch after it was sealed.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    runtime::Handle,
    sync::watch,
    time::{timeout, timeout_at},
};

use crate::{
    accumulator::{Accumulator, Charge, Clock, Limits, Refused, Topic, TopicState},
    config::{Config, ProducerBuilder},
    delivery::{Accepted, Ack, Callback, Callbacks, Delivery},
    error::{ConfigError, DeliveryError, FlushError, SendError, WaitedFor},
    net::{Driver, Shutdown, check_resolvable},
    record::{
        Record, intercept,
        partition::{Candidate, Partitions, choose, fixed},
        topic::check_topic_name,
    },
    wire::record_batch::{HEADER_LEN, writer::Payload},
};

/// Sends records to Kafka.
///
/// A clone is the same producer: clones may be used from any number of tasks at once. Records that one task sends to one
/// partition are written in the order in which they were sent.
///
/// Dropping the last clone without [`close`](Self::close) ends the producer at once; every record that is undelivered then
/// resolves as [`Abandoned`](crate::FailureKind::Abandoned).
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<Config>,
    accumulator: Arc<Accumulator>,
    /// The largest batch of one record: `max.request.size` or `buffer.memory`, whichever is less.
    max_len: usize,
    shutdown: watch::Sender<Shutdown>,
    /// Closed when the driver has ended.
    driver: watch::Receiver<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shut_down(Shutdown::Abandon);
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let undelivered = self.inner.accumulator.undelivered();
        f.debug_struct("Producer").field("undelivered_batches", &undelivered).finish_non_exhaustive()
    }
}

impl ProducerBuilder {
    /// Starts the producer on the current tokio runtime, which must have I/O and time enabled. It connects in the
    /// background; that a broker cannot be reached is told by the first `send`.
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
        // Done by the call itself, and without handing the record on: moving it about would take as long as encoding it.
        if !self.inner.config.interceptors.is_empty() {
            return self.inner.attempt(record, None);
        }
        match self.inner.append(&record, &mut None, None) {
            Ok(accepted) => Accepting(Attempt::Accepted(accepted)),
            Err(stop) => self.inner.later(record, None, *stop),
        }
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
    pub fn send_with<'a>(
        &'a self,
        record: Record<'a>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> impl Future<Output = Result<(), SendError>> + Send + 'a {
        let accepting = self.inner.attempt(record, Some(Box::new(callback)));
        async move { accepting.await.map(drop) }
    }

    /// As [`send`](Self::send), but never waits.
    ///
    /// # Errors
    /// [`SendError::QueueFull`] when memory is short, [`SendError::NotReady`] when the topic's metadata is not here yet (it
    /// is asked for), and as [`send`](Self::send).
    pub fn try_send(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        self.inner.try_send(record, None)
    }

    /// As [`send_with`](Self::send_with), but never waits.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send); the callback is then not called.
    pub fn try_send_with(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> Result<(), SendError> {
        self.inner.try_send(record, Some(Box::new(callback))).map(drop)
    }

    /// How many partitions a topic has. Waits for its metadata at most `max.block.ms`.
    ///
    /// # Errors
    /// The topic cannot be sent to; see [`SendError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn partitions_for(&self, topic: &str) -> Result<usize, SendError> {
        let mut waiting = Waiting::new(&self.inner.config);
        loop {
            match self.inner.topic(topic, |topic| Ok(topic.partitions.len())) {
                Ok(count) => return Ok(count),
                Err(stop) => match *stop {
                    Stop::Topic => self.inner.wait_for_topic(topic, &mut waiting).await?,
                    Stop::Fail(error) => return Err(error),
                    Stop::Memory(_) => {}
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
        self.inner.accumulator.flush().await;
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
        let flushed = timeout(limit, self.inner.accumulator.flush()).await;
        flushed.map_err(|_| FlushError::Timeout { pending: self.inner.accumulator.undelivered(), waited: limit })
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
        self.inner.accumulator.flush().await;
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
        let flushed = timeout(limit, self.inner.accumulator.flush()).await;
        let pending = self.inner.accumulator.undelivered();
        self.inner.end().await;
        flushed.map_err(|_| FlushError::Timeout { pending, waited: limit })
    }
}

/// The future of [`Producer::send`]: resolves once the record has been accepted, with its [`Delivery`], or refused.
///
/// # Panics
/// As other futures do when they are polled again after they have resolved, which `.await` never does.
#[must_use = "a record may have to wait before it is accepted: await this"]
pub struct Accepting<'a>(Attempt<'a>);

/// Two words, so that it is handed on in registers.
enum Attempt<'a> {
    /// The call itself accepted it.
    Accepted(Accepted),
    /// `None` once the future has resolved.
    Waits(Option<Box<Waits<'a>>>),
}

type Waits<'a> = Pin<Box<dyn Future<Output = Result<Accepted, SendError>> + Send + 'a>>;

impl Future for Accepting<'_> {
    type Output = Result<Delivery, SendError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match std::mem::replace(&mut this.0, Attempt::Waits(None)) {
            Attempt::Accepted(accepted) => Poll::Ready(Ok(accepted.into())),
            Attempt::Waits(waits) => {
                let mut waits = waits.expect("a future is not polled again after it has resolved");
                let polled = waits.as_mut().as_mut().poll(cx).map_ok(Delivery::from);
                if polled.is_pending() {
                    this.0 = Attempt::Waits(Some(waits));
                }
                polled
            }
        }
    }
}

impl fmt::Debug for Accepting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Attempt::Accepted(_) => "Accepting(accepted)",
            Attempt::Waits(_) => "Accepting(waits)",
        })
    }
}

/// Why a record could not be appended right now.
enum Stop {
    /// It never can.
    Fail(SendError),
    /// The topic's metadata is not here.
    Topic,
    /// So many bytes of memory are needed.
    Memory(usize),
}

impl From<SendError> for Box<Stop> {
    fn from(error: SendError) -> Self {
        Self::new(Stop::Fail(error))
    }
}

/// One `max.block.ms`, shared by all that a call waits for.
struct Waiting {
    since: Instant,
    limit: Duration,
    /// Whether the topic's metadata has been asked for.
    asked: bool,
}

impl Waiting {
    fn new(config: &Config) -> Self {
        Self { since: Instant::now(), limit: config.max_block, asked: false }
    }

    async fn within<F: Future>(&self, future: F) -> Option<F::Output> {
        timeout_at((self.since + self.limit).into(), future).await.ok()
    }
}

impl Inner {
    fn start(config: Arc<Config>, runtime: &Handle) -> Self {
        let limits =
            Limits { batch_size: config.batch_size, linger: config.linger, buffer_memory: config.buffer_memory };
        let callbacks = Callbacks::threaded(config.interceptors.clone());
        let accumulator = Accumulator::new(limits, callbacks);
        let (shutdown, watched) = watch::channel(Shutdown::No);
        let driver = Driver::start(Arc::clone(&config), Arc::clone(&accumulator), watched, seed(), runtime);
        let max_len = config.max_request_size.min(config.buffer_memory);
        Self { config, accumulator, max_len, shutdown, driver }
    }

    /// Appends a record at once if that can be done.
    fn attempt<'a>(&'a self, record: Record<'a>, mut callback: Option<Callback>) -> Accepting<'a> {
        let record = self.intercepted(record);
        match self.append(&record, &mut callback, None) {
            Ok(accepted) => Accepting(Attempt::Accepted(accepted)),
            Err(stop) => self.later(record, callback, *stop),
        }
    }

    /// Leaves all that it takes to append a record to a future, after an attempt that came to `stop`.
    #[cold]
    fn later<'a>(&'a self, record: Record<'a>, mut callback: Option<Callback>, stop: Stop) -> Accepting<'a> {
        let appended = async move { self.wait_and_append(&record, &mut callback, stop).await };
        Accepting(Attempt::Waits(Some(Box::new(Box::pin(appended)))))
    }

    #[inline]
    fn intercepted<'a>(&self, record: Record<'a>) -> Record<'a> {
        if self.config.interceptors.is_empty() { record } else { intercept::on_send(&self.config.interceptors, record) }
    }

    fn try_send(&self, record: Record<'_>, mut callback: Option<Callback>) -> Result<Delivery, SendError> {
        let record = self.intercepted(record);
        self.append(&record, &mut callback, None).map(Delivery::from).map_err(|stop| match *stop {
            Stop::Fail(error) => error,
            Stop::Topic => match self.ask_for(record.topic()) {
                Ok(()) => SendError::NotReady { topic: Arc::from(record.topic()) },
                Err(error) => error,
            },
            Stop::Memory(needed) => {
                let memory = self.accumulator.memory();
                let (free, limit) = (memory.free(), memory.limit());
                // What is there is sent early, so that a next try may succeed.
                self.accumulator.hurry();
                SendError::QueueFull { topic: Arc::from(record.topic()), needed, free, limit }
            }
        })
    }

    async fn wait_and_append(
        &self,
        record: &Record<'_>,
        callback: &mut Option<Callback>,
        mut stop: Stop,
    ) -> Result<Accepted, SendError> {
        let mut waiting = Waiting::new(&self.config);
        loop {
            let charge = match stop {
                Stop::Fail(error) => return Err(error),
                Stop::Topic => {
                    self.wait_for_topic(record.topic(), &mut waiting).await?;
                    None
                }
                Stop::Memory(bytes) => Some(self.wait_for_memory(record.topic(), bytes, &waiting).await?),
            };
            match self.append(record, callback, charge) {
                Ok(accepted) => return Ok(accepted),
                Err(again) => stop = *again,
            }
        }
    }

    /// Appends a record to its partition's open batch: the hot path.
    fn append(
        &self,
        record: &Record<'_>,
        callback: &mut Option<Callback>,
        charge: Option<Charge>,
    ) -> Result<Accepted, Box<Stop>> {
        let payload = Payload::new(record.key_bytes(), record.value_bytes(), record.headers());
        if HEADER_LEN + payload.max_len() > self.max_len {
            return Err(self.too_large(record.topic(), HEADER_LEN + payload.max_len()).into());
        }
        self.topic(record.topic(), |topic| {
            let fixed = self.fixed(record, topic)?;
            let choose = |random| self.choose(topic, random);
            let partition = fixed.unwrap_or_else(|| topic.sticky.current(topic.partitions.len(), choose));
            let Some(queue) = usize::try_from(partition).ok().and_then(|number| topic.partitions.get(number)) else {
                return Err(Stop::Topic.into());
            };
            match self.accumulator.append(queue, record.explicit_timestamp(), &payload, callback, charge, &Clocks) {
                Ok(appended) => {
                    if fixed.is_none() {
                        let (bytes, filled) = (appended.bytes, appended.filled);
                        topic.sticky.appended(partition, bytes, filled, self.config.batch_size, choose);
                    }
                    Ok(appended.accepted)
                }
                Err(Refused::NeedsMemory(bytes)) => Err(Stop::Memory(bytes).into()),
                Err(Refused::Closed) => Err(self.closed(&topic.name).into()),
            }
        })
    }

    /// The partition that does not depend on chance, if there is one.
    #[inline]
    fn fixed(&self, record: &Record<'_>, topic: &Topic) -> Result<Option<i32>, Box<Stop>> {
        let custom = self.config.partitioner.as_deref();
        fixed(record, &Partitions::new(&topic.leaders), custom, self.config.ignore_keys).map_err(|error| {
            // The partition may have been added since metadata came: a later call will know.
            self.ask_for(&topic.name).err().unwrap_or(error).into()
        })
    }

    /// Chooses the partition for records without a key (KIP-794).
    fn choose(&self, topic: &Topic, random: u64) -> i32 {
        let patience = self.config.availability_timeout;
        let slow_since =
            (!patience.is_zero()).then(|| Instant::now().checked_sub(self.config.linger + patience)).flatten();
        let is_slow =
            |oldest: Option<Instant>| slow_since.is_some_and(|since| oldest.is_some_and(|oldest| oldest < since));
        let candidates =
            (0..).zip(topic.partitions.iter().zip(&topic.leaders)).map(|(partition, (queue, leader))| Candidate {
                partition,
                queue: if self.config.adaptive_partitioning { queue.backlog() } else { 0 },
                available: leader.leader.is_some() && (slow_since.is_none() || !is_slow(queue.oldest())),
            });
        choose(random, candidates)
    }

    #[cold]
    fn too_large(&self, topic: &str, size: usize) -> SendError {
        let limits = [("max.request.size", self.config.max_request_size), ("buffer.memory", self.config.buffer_memory)];
        let [request, memory] = limits;
        let (setting, limit) = if size > request.1 { request } else { memory };
        SendError::TooLarge { topic: Arc::from(topic), size, limit, setting }
    }

    /// Calls `with` with the topic, if its partitions are known.
    #[inline]
    fn topic<T>(&self, name: &str, with: impl FnOnce(&Topic) -> Result<T, Box<Stop>>) -> Result<T, Box<Stop>> {
        match self.accumulator.topics().with_ready(name, with) {
            Some(done) => done,
            None => Err(self.not_ready(name).into()),
        }
    }

    /// Why a topic cannot be appended to.
    #[cold]
    fn not_ready(&self, name: &str) -> Stop {
        match self.accumulator.topics().known().topic(name) {
            _ if self.accumulator.is_closed() => Stop::Fail(self.closed(name)),
            Some(TopicState::Refused(code)) => {
                // It may have been granted meanwhile: the next call will know.
                let refused = SendError::TopicRefused { topic: Arc::from(name), code: *code };
                Stop::Fail(self.ask_for(name).err().unwrap_or(refused))
            }
            Some(TopicState::Ready(_) | TopicState::Awaited(_)) | None => Stop::Topic,
        }
    }

    /// Has the sender ask for a topic's metadata.
    fn ask_for(&self, topic: &str) -> Result<(), SendError> {
        if let Err(reason) = check_topic_name(topic) {
            return Err(SendError::InvalidTopic { topic: shortened(topic), reason });
        }
        if self.accumulator.topics().want(topic) {
            self.accumulator.wake();
        }
        Ok(())
    }

    /// Waits until something has changed about the topics.
    async fn wait_for_topic(&self, topic: &str, waiting: &mut Waiting) -> Result<(), SendError> {
        let mut changed = pin!(self.accumulator.topics().changed());
        changed.as_mut().enable();
        if self.topic(topic, |_| Ok(())).is_ok() {
            return Ok(());
        }
        // Once is enough: the sender goes on asking, with a backoff that further asking would shorten.
        if !std::mem::replace(&mut waiting.asked, true) {
            self.ask_for(topic)?;
        }
        let Some(()) = waiting.within(changed).await else {
            return Err(self.timed_out(topic, WaitedFor::Metadata, waiting));
        };
        Ok(())
    }

    async fn wait_for_memory(&self, topic: &str, bytes: usize, waiting: &Waiting) -> Result<Charge, SendError> {
        match waiting.within(self.accumulator.wait_for_memory(bytes)).await {
            Some(Ok(charge)) => Ok(charge),
            Some(Err(_)) => Err(self.closed(topic)),
            None => Err(self.timed_out(topic, WaitedFor::Memory, waiting)),
        }
    }

    fn timed_out(&self, topic: &str, waited_for: WaitedFor, waiting: &Waiting) -> SendError {
        let known = self.accumulator.topics().known();
        let answer = match known.topic(topic) {
            Some(TopicState::Awaited(Some(code))) => Some(format!("{code}: {}", code.advice())),
            _ => None,
        };
        let cause = known.trouble.as_ref().map(ToString::to_string).or(answer);
        SendError::Timeout { topic: Arc::from(topic), waited_for, elapsed: waiting.since.elapsed(), cause }
    }

    fn closed(&self, topic: &str) -> SendError {
        let topic = Arc::from(topic);
        match self.accumulator.failure() {
            Some((code, reason)) => SendError::Fatal { topic, code: *code, reason: Arc::clone(reason) },
            None => SendError::Closed { topic },
        }
    }

    fn shut_down(&self, how: Shutdown) {
        self.shutdown.send_if_modified(|now| {
            let first = *now == Shutdown::No;
            *now = if first { how } else { *now };
            first
        });
    }

    /// Ends the driver and waits until it has ended.
    async fn end(&self) {
        self.shut_down(Shutdown::Close);
        let mut driver = self.driver.clone();
        while driver.changed().await.is_ok() {}
    }
}

fn not_in_callback() -> Result<(), FlushError> {
    if Callbacks::running_here() { Err(FlushError::InCallback) } else { Ok(()) }
}

/// The clocks of this machine.
struct Clocks;

impl Clock for Clocks {
    #[inline]
    fn tick(&self) -> u64 {
        coarsetime::Instant::now().as_ticks()
    }

    fn unix_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A number that differs from producer to producer: brokers should not see all of them back off in step.
fn seed() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(0)
}

/// A name that may be anything, short enough to be told.
fn shortened(topic: &str) -> Arc<str> {
    topic.chars().take(256).collect::<String>().into()
}
