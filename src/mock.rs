//! A producer without a cluster, for tests of code that sends. In Java, `MockProducer`.
//!
//! In: records, and replies that a test scripts. Out: the results of a [`Producer`](crate::Producer), and the records.
//! Needs no runtime except for delays. Deliberately absent: batches, compression, metadata and all else that needs a
//! broker; for that there is the embedded broker of feature `broker`.
//!
//! The tested code takes a `&dyn Produce`, or an `Arc<dyn Produce>`; see [`Produce`]. A [`MockProducer`] acknowledges
//! every record at once, unless a reply says otherwise:
//!
//! ```
//! use std::time::Duration;
//! use milena::{DeliveryError, ErrorCode, FailureKind, Persisted, Produce, Record, mock::{MockProducer, Reply}};
//!
//! // The code that is to be tested: it tries twice, unless the record may have been written.
//! async fn place_order(producer: &dyn Produce) -> Result<Option<i64>, Box<dyn std::error::Error>> {
//!     let order = Record::to("orders").key("user-1").value("nine");
//!     let ack = match producer.send(order.clone()).await?.await {
//!         Err(error) if error.retriable() && error.persisted() == Persisted::No => producer.send(order).await?.await?,
//!         outcome => outcome?,
//!     };
//!     Ok(ack.offset())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let mock = MockProducer::new();
//! let too_few = DeliveryError::of(FailureKind::Rejected, "orders", 0).with_code(ErrorCode::NOT_ENOUGH_REPLICAS);
//! mock.fail_next(too_few);
//!
//! assert_eq!(place_order(&mock).await?, Some(0));
//! assert_eq!(mock.history().len(), 2, "it was sent twice");
//!
//! // Every record for one topic fails, after a second of a clock that may be paused.
//! let expired = DeliveryError::of(FailureKind::Expired, "audit", 0);
//! mock.reply_with(move |record| {
//!     (record.topic() == "audit").then(|| Reply::fail(expired.clone()).after(Duration::from_secs(1)))
//! });
//! assert!(mock.send(Record::to("audit")).await?.await.is_err());
//!
//! // By hand: a record has no outcome until the test completes it.
//! mock.reply(Reply::hold());
//! let delivery = mock.send(Record::to("orders")).await?;
//! assert!(delivery.outcome().is_none());
//! mock.complete_next();
//! assert_eq!(delivery.await?.offset(), Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # Or a real broker
//!
//! A mock has no batches, no retries and no duplicates, and does not refuse what a broker refuses. With feature
//! `broker`, `milena::broker::EmbeddedBroker` speaks the real protocol on a loopback port, with faults that a test
//! scripts. It starts in less than 0.1 ms (`cargo bench --bench end_to_end -- 'for tests'`), so each test can have its
//! own. Use the mock to test what your code does with a result, and the embedded broker to test that a broker accepts
//! your records.

mod inner;
mod reply;
#[cfg(test)]
mod tests;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::time::sleep;

pub use self::reply::{Reply, SentRecord};
use self::{
    inner::{Inner, PendingRecord, failed},
    reply::Fate,
};
use crate::{
    accumulator::Clock,
    delivery::{Accepted, Ack, Completer, Delivery, Listener, Origin, listener},
    error::{DeliveryError, FlushError, SendError},
    producer::{Accepting, Produce, not_in_callback},
    record::{Record, partition::Partitioner},
};

/// A producer without a cluster. A clone is the same mock. See [the module](self).
///
/// Every topic exists. The partition of a record is its own, or the custom partitioner's, or that of its key's hash, or
/// the next one in turn. Except for the last, it is the partition that [`Producer`](crate::Producer) chooses. Offsets
/// begin at 0 in each partition, in the order of sending. A record that is scripted to fail takes no offset.
///
/// As with a [`Producer`](crate::Producer), callbacks run on the callback thread ([`flush`](Produce::flush) waits for
/// them), topic names and partition numbers are checked, and a closed mock accepts no record. Records without an
/// outcome when the last clone is dropped resolve as [`Abandoned`](crate::FailureKind::Abandoned). Held records count
/// as sent, so after that, and after [`close_timeout`](Produce::close_timeout), it is unknown whether they were
/// written. `flush` and `close` wait for held records as well, so complete them first, or from another task. Time
/// limits use tokio's clock if there is one, which a test can pause.
#[derive(Clone, Default)]
pub struct MockProducer {
    inner: Arc<Inner>,
}

impl fmt::Debug for MockProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state();
        let (sent, pending) = (state.history.len(), state.pending.len());
        f.debug_struct("MockProducer").field("sent", &sent).field("pending", &pending).finish_non_exhaustive()
    }
}

impl MockProducer {
    /// A mock that acknowledges every record at once. Every topic has one partition.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many partitions every topic has, at least one.
    #[must_use]
    pub fn with_partitions(self, count: usize) -> Self {
        self.inner.state().partitions = count;
        self
    }

    /// Sets the partitioner, as [`ProducerBuilder::partitioner`](crate::ProducerBuilder::partitioner) does.
    #[must_use]
    pub fn with_partitioner(self, partitioner: impl Partitioner + 'static) -> Self {
        self.inner.state().partitioner = Some(Arc::new(partitioner));
        self
    }

    /// Sets the default reply. At first it is [`Reply::ack`].
    pub fn reply(&self, reply: Reply) {
        self.inner.state().replies.usual = reply;
    }

    /// Adds a reply for one record. These replies form a queue, and are used before all others.
    pub fn reply_next(&self, reply: Reply) {
        self.inner.state().replies.next.push_back(reply);
    }

    /// Sets a rule, which replies to the records for which it returns `Some`. It replaces the rule before. A record has
    /// no partition yet when the rule sees it, unless it names one.
    pub fn reply_with(&self, rule: impl Fn(&Record<'_>) -> Option<Reply> + Send + Sync + 'static) {
        self.inner.state().replies.rule = Some(Arc::new(rule));
    }

    /// The next record is accepted and fails: [`reply_next`](Self::reply_next) with [`Reply::fail`].
    pub fn fail_next(&self, error: DeliveryError) {
        self.reply_next(Reply::fail(error));
    }

    /// The next record is not accepted: [`reply_next`](Self::reply_next) with [`Reply::refuse`].
    pub fn refuse_next(&self, error: SendError) {
        self.reply_next(Reply::refuse(error));
    }

    /// Sets how [`refresh_metadata`](Produce::refresh_metadata) fails, as while no broker can be reached. With `None`, as at first, it succeeds.
    pub fn fail_metadata(&self, error: Option<SendError>) {
        self.inner.state().metadata = error;
    }

    /// Acknowledges the oldest held record. Returns false if no record is held. In Java, `completeNext`.
    pub fn complete_next(&self) -> bool {
        self.release(None)
    }

    /// Fails the oldest held record. Returns false if no record is held. The error gets the record's own topic and
    /// partition. In Java, `errorNext`.
    pub fn error_next(&self, error: DeliveryError) -> bool {
        self.release(Some(error))
    }

    /// Acknowledges all held records, in the order of sending.
    pub fn complete_all(&self) {
        while self.complete_next() {}
    }

    /// Every record that was accepted, in the order of sending, whatever its outcome. In Java, `history`.
    #[must_use]
    pub fn history(&self) -> Vec<SentRecord> {
        self.inner.state().history.clone()
    }

    /// Clears the history and the replies that were not used. In Java, `clear`.
    pub fn clear(&self) {
        let mut state = self.inner.state();
        state.history.clear();
        state.replies.next.clear();
    }

    /// Whether the mock was closed. In Java, `closed`.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.state().closed
    }

    fn release(&self, error: Option<DeliveryError>) -> bool {
        let mut state = self.inner.state();
        let Some((&serial, pending)) = state.pending.iter_mut().find(|(_, pending)| pending.held) else { return false };
        if let Some(error) = error {
            pending.outcome = failed(error, &pending.origin);
        }
        drop(state);
        self.inner.settle(serial);
        true
    }

    /// What becomes of a record, and after which delay `send` says so.
    fn take(
        &self,
        record: &Record<'_>,
        callback: Option<&mut dyn Listener>,
    ) -> (Result<Delivery, SendError>, Option<Duration>) {
        let fixed = match self.inner.check(record.topic()).and_then(|()| self.inner.place(record)) {
            Ok(fixed) => fixed,
            Err(error) => return (Err(error), None),
        };
        let Reply { fate, after } = self.inner.reply_to(record);
        match fate {
            Fate::Refuse(error) => (Err(error), after),
            fate => (Ok(self.accept(record, callback, fixed, fate, after)), None),
        }
    }

    fn accept(
        &self,
        record: &Record<'_>,
        callback: Option<&mut dyn Listener>,
        fixed: Option<i32>,
        fate: Fate,
        after: Option<Duration>,
    ) -> Delivery {
        let partition = fixed.unwrap_or_else(|| self.inner.state().in_turn(record.topic()));
        let origin = Origin { topic: Arc::from(record.topic()), partition };
        let timestamp = record.explicit_timestamp().unwrap_or_else(|| self.inner.limits.clocks.unix_ms());
        let mut completer = Completer::new(origin.clone(), timestamp, self.inner.callbacks.clone());
        completer.mark_sent();
        if let Some(callback) = callback {
            completer.notify(0, timestamp, callback);
        }
        let delivery = Accepted::new(Arc::clone(completer.cell()), 0, timestamp).into();
        let held = matches!(fate, Fate::Hold);
        let serial = self.inner.keep(SentRecord::new(record, partition), |state, undelivered| {
            let outcome = match fate {
                Fate::Fail(error) => failed(error, &origin),
                _ => state.written(&origin),
            };
            PendingRecord { origin, completer, outcome, held, undelivered }
        });
        match after {
            _ if held => {}
            None => self.inner.settle(serial),
            Some(after) => self.settle_later(serial, after),
        }
        delivery
    }

    fn settle_later(&self, serial: u64, after: Duration) {
        let (slept, mock) = (sleep(after), Arc::downgrade(&self.inner));
        tokio::spawn(async move {
            slept.await;
            if let Some(inner) = mock.upgrade() {
                inner.settle(serial);
            }
        });
    }
}

/// The result of a `send`, after its delay.
async fn told((result, after): (Result<Delivery, SendError>, Option<Duration>)) -> Result<Delivery, SendError> {
    if let Some(after) = after {
        sleep(after).await;
    }
    result
}

impl Produce for MockProducer {
    fn send<'a>(&'a self, record: Record<'a>) -> Accepting<'a> {
        Accepting::new(told(self.take(&record, None)))
    }

    fn send_with<'a>(
        &'a self,
        record: Record<'a>,
        callback: Box<dyn FnOnce(Result<Ack, DeliveryError>) + Send>,
    ) -> Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>> {
        let taken = self.take(&record, listener(&mut Some(callback)));
        Box::pin(async { told(taken).await.map(drop) })
    }

    fn try_send(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        self.take(&record, None).0
    }

    fn try_send_with(
        &self,
        record: Record<'_>,
        callback: Box<dyn FnOnce(Result<Ack, DeliveryError>) + Send>,
    ) -> Result<(), SendError> {
        self.take(&record, listener(&mut Some(callback))).0.map(drop)
    }

    fn partitions_for<'a>(
        &'a self,
        topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<usize, SendError>> + Send + 'a>> {
        Box::pin(async { self.inner.check(topic).map(|()| self.inner.state().partitions()) })
    }

    fn refresh_metadata<'a>(
        &'a self,
        topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>> {
        Box::pin(async {
            self.inner.check(topic).and_then(|()| self.inner.state().metadata.clone().map_or(Ok(()), Err))
        })
    }

    fn flush(&self) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>> {
        Box::pin(self.inner.flush())
    }

    fn flush_timeout(&self, limit: Duration) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>> {
        Box::pin(self.inner.flush_within(limit))
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>> {
        Box::pin(async {
            not_in_callback()?;
            self.inner.state().closed = true;
            self.inner.flush().await
        })
    }

    fn close_timeout(&self, limit: Duration) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>> {
        Box::pin(async move {
            not_in_callback()?;
            self.inner.state().closed = true;
            let flushed = self.inner.flush_within(limit).await;
            self.inner.end();
            flushed
        })
    }
}
