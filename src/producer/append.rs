//! Appends one record: the hot path, and the waits for metadata and memory.
//!
//! In: a record, on the caller's task. Out: its place in its partition's open batch, or why it is not accepted. All
//! waits of a call share one `max.block.ms`. Deliberately absent: what happens to a batch.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::futures::Notified, task::yield_now};

use super::{
    accepting::{Accepting, Pending, SendState, Untracked},
    inner::Inner,
};
use crate::{
    accumulator::{AppendMode, Charge, MetadataFailure, ReadyTopic, Refused, Route, TopicState},
    delivery::{Accepted, Callback, Listener, Receipt, listener},
    error::{ErrorCode, SendError, WaitedFor, rights},
    record::{
        Record, intercept,
        partition::{Candidate, Partitions, ask, choose, fixed},
        topic::check_topic_name,
    },
    wire::record_batch::{HEADER_LEN, writer::Payload},
};

/// Why a record could not be appended at once.
pub(super) enum Stop {
    /// It is refused.
    Fail(SendError),
    /// The topic's metadata is not known.
    Topic,
    /// This many bytes of memory are needed.
    Memory(usize),
    /// The sender is behind, so the caller yields.
    Behind,
}

impl From<SendError> for Box<Stop> {
    fn from(error: SendError) -> Self {
        Self::new(Stop::Fail(error))
    }
}

/// The `max.block.ms` of one call.
pub(super) struct Waiting {
    since: Instant,
    limit: Duration,
    /// Whether the call requested the topic's metadata.
    asked: bool,
}

impl Waiting {
    pub(super) fn new(inner: &Inner) -> Self {
        Self { since: inner.now(), limit: inner.config.max_block, asked: false }
    }

    /// How much longer the call may wait.
    fn left(&self, now: Instant) -> Duration {
        self.limit.saturating_sub(now - self.since)
    }
}

/// [`Inner::append`] for one kind of receipt, compiled here. Generic code is compiled in the caller's crate, where less of it is inlined.
pub(super) trait Append: Receipt + Sized {
    /// As [`Inner::append`].
    fn append(
        inner: &Inner,
        record: &Record<'_>,
        callback: Option<&mut dyn Listener>,
        mode: AppendMode,
    ) -> Result<Self, Box<Stop>>;
}

macro_rules! compiled_for {
    ($($receipt:ty),*) => {$(
        impl Append for $receipt {
            fn append(
                inner: &Inner,
                record: &Record<'_>,
                callback: Option<&mut dyn Listener>,
                mode: AppendMode,
            ) -> Result<Self, Box<Stop>> {
                inner.append(record, callback, mode)
            }
        }
    )*};
}

compiled_for!(Accepted, ());

impl Inner {
    #[inline]
    pub(super) fn attempt<'a, F: Callback>(&'a self, mut record: Record<'a>, mut callback: Option<F>) -> Accepting<'a> {
        match self.append_first(&mut record, listener(&mut callback), AppendMode::Yielding) {
            Ok(accepted) => Accepting(SendState::Accepted(accepted)),
            Err(stop) => Accepting(SendState::Waiting(Some(self.later::<_, Accepted, _>(record, callback, *stop)))),
        }
    }

    /// As [`attempt`](Self::attempt), for a caller who wants no delivery.
    #[inline]
    pub(super) fn attempt_with<'a>(&'a self, mut record: Record<'a>, callback: impl Callback) -> Untracked<'a> {
        let mut callback = Some(callback);
        match self.append_first::<()>(&mut record, listener(&mut callback), AppendMode::Yielding) {
            Ok(()) => Untracked(None),
            Err(stop) => Untracked(Some(self.later::<_, (), _>(record, callback, *stop))),
        }
    }

    /// Appends the record in a future, after the first attempt ended with `stop`.
    #[cold]
    fn later<'a, F: Callback, R: Append + Into<T> + 'a, T>(
        &'a self,
        record: Record<'a>,
        mut callback: Option<F>,
        stop: Stop,
    ) -> Box<Pending<'a, T>> {
        Box::new(Box::pin(
            async move { Ok(self.wait_and_append::<R>(record, listener(&mut callback), stop).await?.into()) },
        ))
    }

    #[inline]
    pub(super) fn try_send<R: Append>(
        &self,
        mut record: Record<'_>,
        mut callback: Option<impl Callback>,
    ) -> Result<R, SendError> {
        self.append_first(&mut record, listener(&mut callback), AppendMode::NoWait)
            .map_err(|stop| self.not_now(&record, *stop))
    }

    /// Appends a record at once if possible. Without user code the record is not moved: a move would take as long as
    /// encoding it.
    #[inline]
    fn append_first<R: Append>(
        &self,
        record: &mut Record<'_>,
        callback: Option<&mut dyn Listener>,
        mode: AppendMode,
    ) -> Result<R, Box<Stop>> {
        if self.has_user_code {
            return self.intercept_and_append(record, callback, mode);
        }
        R::append(self, record, callback, mode)
    }

    /// As [`append`](Self::append), after the user's interceptors and partitioner.
    #[cold]
    fn intercept_and_append<R: Append>(
        &self,
        record: &mut Record<'_>,
        callback: Option<&mut dyn Listener>,
        mode: AppendMode,
    ) -> Result<R, Box<Stop>> {
        intercept::on_send(&self.config.interceptors, record);
        self.place_and_append(record, callback, mode)
    }

    /// Why a record was not appended by a call that must not wait.
    #[cold]
    fn not_now(&self, record: &Record<'_>, stop: Stop) -> SendError {
        let topic = Arc::from(record.topic());
        match stop {
            Stop::Fail(error) => error,
            Stop::Topic => self.ask_for(record.topic()).err().unwrap_or(SendError::NotReady { topic }),
            Stop::Behind => SendError::NotReady { topic },
            Stop::Memory(needed) => {
                let memory = self.accumulator.memory();
                let (free, limit) = (memory.free(), memory.limit());
                // Open batches are sent early, so that a later call may succeed.
                self.accumulator.send_open_batches();
                SendError::QueueFull { topic, needed, free, limit }
            }
        }
    }

    async fn wait_and_append<R: Append>(
        &self,
        mut record: Record<'_>,
        mut callback: Option<&mut dyn Listener>,
        mut stop: Stop,
    ) -> Result<R, SendError> {
        let mut waiting = Waiting::new(self);
        loop {
            let mode = match stop {
                Stop::Fail(error) => return Err(error),
                Stop::Topic => {
                    self.wait_for_topic(record.topic(), &mut waiting).await?;
                    AppendMode::Waiting
                }
                Stop::Memory(bytes) => {
                    AppendMode::Charged(self.wait_for_memory(record.topic(), bytes, &waiting).await?)
                }
                Stop::Behind => {
                    yield_now().await;
                    AppendMode::Waiting
                }
            };
            match self.place_and_append(&mut record, callback.as_mut().map(|callback| &mut **callback as _), mode) {
                Ok(accepted) => return Ok(accepted),
                Err(again) => stop = *again,
            }
        }
    }

    /// As [`append`](Self::append), but calls the user's partitioner first.
    fn place_and_append<R: Append>(
        &self,
        record: &mut Record<'_>,
        callback: Option<&mut dyn Listener>,
        mode: AppendMode,
    ) -> Result<R, Box<Stop>> {
        if let Some(partitioner) = self.config.partitioner.as_deref()
            && record.explicit_partition().is_none()
        {
            let topic = self.known(record.topic())?;
            // The record keeps this partition. So the partitioner is called once, however often the record has to wait.
            record.place(ask(partitioner, record, &Partitions::new(&topic.leaders))?);
        }
        R::append(self, record, callback, mode)
    }

    /// Appends a record to its partition's open batch: the hot path.
    fn append<R: Receipt>(
        &self,
        record: &Record<'_>,
        callback: Option<&mut dyn Listener>,
        mode: AppendMode,
    ) -> Result<R, Box<Stop>> {
        let payload = Payload::new(record.key_bytes(), record.value_bytes(), record.headers());
        let alone = HEADER_LEN + payload.max_len();
        if alone > self.max_len {
            return Err(self.too_large(record.topic(), alone).into());
        }
        if let Some(timestamp @ ..0) = record.explicit_timestamp() {
            return Err(Stop::Fail(negative(record.topic(), timestamp)).into());
        }
        let Some((route, count)) = self.accumulator.topics().ready(record.topic()) else {
            return Err(self.not_ready(record.topic()).into());
        };
        let fixed = self.fixed(record, route, count)?;
        let choose = |random| self.choose(route, random);
        let number = fixed.unwrap_or_else(|| route.sticky.current(count, choose));
        let Some(partition) = route.partition(number) else { return Err(Stop::Topic.into()) };
        let (timestamp, clocks) = (record.explicit_timestamp(), &self.limits.clocks);
        match self.accumulator.append(partition, timestamp, &payload, callback, mode, clocks) {
            Ok(appended) => {
                if fixed.is_none() {
                    let (bytes, filled) = (appended.bytes, appended.filled);
                    route.sticky.appended(number, bytes, filled, self.config.batch_size, choose);
                }
                Ok(appended.receipt)
            }
            Err(Refused::NeedsMemory(bytes)) => Err(Stop::Memory(bytes).into()),
            Err(Refused::Behind) => Err(Stop::Behind.into()),
            Err(Refused::Closed) => Err(self.closed(&route.name).into()),
        }
    }

    /// The partition that the record or its key determines, if one does.
    #[inline]
    fn fixed(&self, record: &Record<'_>, route: &Route, count: usize) -> Result<Option<i32>, Box<Stop>> {
        let fixed = fixed(record, count, self.config.ignore_keys);
        // The partition may have been added since the last metadata response. Fresh metadata is requested for a later
        // call.
        fixed.map_err(|error| self.ask_for(&route.name).err().unwrap_or(error).into())
    }

    /// Chooses the partition for records without a key (KIP-794, and KIP-1123 for racks).
    pub(super) fn choose(&self, route: &Route, random: u64) -> i32 {
        let Ok(topic) = self.known(&route.name) else { return 0 };
        let patience = self.config.availability_timeout;
        let near = self.accumulator.topics().near();
        let slow_since = (!patience.is_zero()).then(|| self.now().checked_sub(self.config.linger + patience)).flatten();
        let candidates = (0..).zip(topic.partitions.iter().zip(&topic.leaders)).map(|(partition, (queue, leader))| {
            let is_slow = slow_since.is_some_and(|since| queue.oldest().is_some_and(|oldest| oldest < since));
            let queue = if self.config.adaptive_partitioning { queue.backlog() } else { 0 };
            let (available, near) =
                (leader.leader.is_some() && !is_slow, leader.leader.is_some_and(|id| near.contains(&id)));
            Candidate { partition, queue, available, near }
        });
        choose(random, candidates)
    }

    /// The partitions and leaders of a topic that is ready.
    fn known(&self, topic: &str) -> Result<Arc<ReadyTopic>, Box<Stop>> {
        match self.accumulator.topics().state(topic) {
            Some(TopicState::Ready(topic)) => Ok(topic),
            _ => Err(self.not_ready(topic).into()),
        }
    }

    #[cold]
    fn too_large(&self, topic: &str, size: usize) -> SendError {
        let request = ("max.request.size", self.config.max_request_size);
        let (setting, limit) = if size > request.1 { request } else { ("buffer.memory", self.config.buffer_memory) };
        SendError::TooLarge { topic: Arc::from(topic), size, limit, setting }
    }

    /// The route of a topic that is ready, and how many partitions it has.
    #[inline]
    pub(super) fn route(&self, topic: &str) -> Result<(&Route, usize), Box<Stop>> {
        self.accumulator.topics().ready(topic).ok_or_else(|| self.not_ready(topic).into())
    }

    /// Why a topic is not ready.
    #[cold]
    fn not_ready(&self, name: &str) -> Stop {
        match self.accumulator.topics().state(name) {
            _ if self.accumulator.is_closed() => Stop::Fail(self.closed(name)),
            Some(TopicState::Refused(code)) => {
                // The topic may have been permitted meanwhile. Fresh metadata is requested for a later call.
                Stop::Fail(self.ask_for(name).err().unwrap_or_else(|| self.refused(name, code)))
            }
            Some(TopicState::Ready(_) | TopicState::Awaited(_)) | None => Stop::Topic,
        }
    }

    fn refused(&self, topic: &str, code: ErrorCode) -> SendError {
        let reason = rights::not_seen(code, self.config.principal().as_deref(), topic);
        SendError::TopicRefused { topic: Arc::from(topic), code, reason: reason.into() }
    }

    /// Has the sender request a topic's metadata.
    fn ask_for(&self, topic: &str) -> Result<(), SendError> {
        check_topic(topic)?;
        if self.accumulator.topics().want(topic) {
            self.accumulator.wake();
        }
        Ok(())
    }

    /// Waits until the topic is ready or the state of any topic has changed.
    pub(super) async fn wait_for_topic(&self, topic: &str, waiting: &mut Waiting) -> Result<(), SendError> {
        let mut changed = pin!(self.accumulator.topics().changed());
        changed.as_mut().enable();
        if self.route(topic).is_ok() {
            return Ok(());
        }
        self.wait_for_change(topic, waiting, changed).await
    }

    /// Has the sender request the topic's metadata, and waits for a change.
    async fn wait_for_change(
        &self,
        topic: &str,
        waiting: &mut Waiting,
        changed: Pin<&mut Notified<'_>>,
    ) -> Result<(), SendError> {
        // One request is enough: the sender repeats it with a backoff, and another request would shorten the backoff.
        // But a topic that was idle for `metadata.max.idle.ms` may have been removed while this call waited.
        if !std::mem::replace(&mut waiting.asked, true) || self.accumulator.topics().state(topic).is_none() {
            self.ask_for(topic)?;
        }
        self.check_let_in(topic)?;
        let since = self.now();
        let waited = self.limits.within(waiting.left(since), changed).await;
        self.accumulator.recorder().waited_for_metadata(self.now() - since);
        waited.ok_or_else(|| self.timed_out(topic, WaitedFor::Metadata, waiting))
    }

    /// Fails if no broker lets this client in. The sender goes on trying.
    fn check_let_in(&self, topic: &str) -> Result<(), SendError> {
        match &self.accumulator.topics().known().metadata_failure {
            Some(MetadataFailure { code, why, is_final: true }) => {
                Err(SendError::Unauthenticated { topic: Arc::from(topic), code: *code, reason: Arc::clone(why) })
            }
            _ => Ok(()),
        }
    }

    /// Requests a topic's metadata, and waits for the next metadata response.
    pub(super) async fn refresh(&self, topic: &str) -> Result<(), SendError> {
        let topics = self.accumulator.topics();
        let (seen, mut waiting) = (topics.responses(), Waiting::new(self));
        loop {
            let mut changed = pin!(topics.changed());
            changed.as_mut().enable();
            match topics.state(topic) {
                _ if self.accumulator.is_closed() => return Err(self.closed(topic)),
                Some(TopicState::Refused(code)) if topics.responses() != seen => {
                    return Err(self.refused(topic, code));
                }
                _ if topics.responses() != seen => return Ok(()),
                _ => self.wait_for_change(topic, &mut waiting, changed).await?,
            }
        }
    }

    async fn wait_for_memory(&self, topic: &str, bytes: usize, waiting: &Waiting) -> Result<Charge, SendError> {
        let since = self.now();
        let waited = self.limits.within(waiting.left(since), self.accumulator.wait_for_memory(bytes)).await;
        let now = self.now();
        self.accumulator.recorder().waited_for_memory(now - since, waited.is_none(), now);
        match waited {
            Some(Ok(charge)) => Ok(charge),
            Some(Err(_)) => Err(self.closed(topic)),
            None => Err(self.timed_out(topic, WaitedFor::Memory, waiting)),
        }
    }

    fn timed_out(&self, topic: &str, waited_for: WaitedFor, waiting: &Waiting) -> SendError {
        let (name, elapsed) = (Arc::from(topic), self.now() - waiting.since);
        let known = self.accumulator.topics().known();
        let answer = if let Some(TopicState::Awaited(answer)) = known.topic(topic) { *answer } else { None };
        let (code, cause) = match (&known.metadata_failure, answer) {
            (Some(failure), _) => (failure.code, Some(failure.why.to_string())),
            (None, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)) if waited_for == WaitedFor::Metadata => {
                return SendError::UnknownTopic { topic: name, elapsed };
            }
            (None, Some(code)) => (code, Some(format!("{code}: {}", code.advice()))),
            (None, None) => (ErrorCode::REQUEST_TIMED_OUT, None),
        };
        SendError::Timeout { topic: name, waited_for, elapsed, code, cause }
    }

    pub(super) fn closed(&self, topic: &str) -> SendError {
        let topic = Arc::from(topic);
        match self.accumulator.failure() {
            Some((code, reason)) => SendError::Fatal { topic, code: *code, reason: Arc::clone(reason) },
            None => SendError::Closed { topic },
        }
    }
}

#[cold]
fn negative(topic: &str, timestamp: i64) -> SendError {
    let reason = format!(
        "its timestamp is negative: expected milliseconds since 1970, or none for the time of sending, got {timestamp}"
    );
    SendError::InvalidRecord { topic: shortened(topic), reason }
}

/// Refuses an illegal name of a topic.
pub(crate) fn check_topic(topic: &str) -> Result<(), SendError> {
    check_topic_name(topic).map_err(|reason| SendError::InvalidTopic { topic: shortened(topic), reason })
}

/// A topic name of any length and content, shortened for an error.
fn shortened(topic: &str) -> Arc<str> {
    topic.chars().take(256).collect::<String>().into()
}
