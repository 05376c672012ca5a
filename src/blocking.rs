//! The producer for programs without tokio.
//!
//! In: records. Out: the same [`Delivery`]s and errors as with [`crate::Producer`]. It is that producer, with a thread of its own on which
//! it runs; a call that has to wait blocks the thread that makes it. Deliberately absent: anything that the other producer has not.
//!
//! ```no_run
//! use milena::{ProducerBuilder, Record};
//!
//! let producer = ProducerBuilder::new("localhost:9092").build_blocking()?;
//! let delivery = producer.send(Record::to("orders").key("user-1").value("nine"))?;
//! println!("at offset {:?}", delivery.wait()?.offset());
//! producer.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{Arc, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    config::ProducerBuilder,
    delivery::{Ack, Delivery},
    error::{ConfigError, DeliveryError, FlushError, SendError},
    metrics::Metrics,
    record::Record,
};

/// Sends records to Kafka, from threads.
///
/// A clone is the same producer, and any number of threads may use clones at once. Records that one thread sends to one partition are
/// written in the order in which they were sent. Everything else is as with [`crate::Producer`], which documents it; [`crate::Producer`] has what is
/// missing here, too: [`producer`](Self::producer).
///
/// The thread that the producer runs on is named `milena`. It ends when the last clone is dropped. Dropping it without
/// [`close`](Self::close) gives up undelivered records, which then resolve as [`Abandoned`](crate::FailureKind::Abandoned).
///
/// In an `async fn` use [`crate::Producer`]: these calls would block the executor.
#[derive(Clone, Debug)]
pub struct Producer {
    // Dropped before the runtime on which it runs.
    producer: crate::Producer,
    _runtime: Arc<Runtime>,
}

/// Ends the thread when it is dropped.
#[derive(Debug)]
struct Runtime {
    _stop: oneshot::Sender<()>,
}

impl ProducerBuilder {
    /// As [`build`](Self::build), for programs without tokio: starts a thread on which the producer runs.
    ///
    /// # Errors
    /// As [`build`](Self::build), and if the system has no thread or no descriptors left.
    pub fn build_blocking(self) -> Result<Producer, ConfigError> {
        let failed =
            |error: io::Error| ConfigError::new(vec![format!("the producer's thread cannot be started: {error}")]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let (built, producer) = mpsc::sync_channel(1);
        let run = move || {
            runtime.block_on(async {
                // If nobody takes it, the producer ends here.
                let _ = built.send(self.build().await);
                // It never gets a message: its sender is dropped.
                let _ = stopped.await;
            });
        };
        thread::Builder::new().name("milena".to_owned()).spawn(run).map_err(failed)?;
        let ended = |_| failed(io::Error::other("it has ended"));
        let producer = producer.recv().map_err(ended)??;
        Ok(Producer { producer, _runtime: Arc::new(Runtime { _stop: stop }) })
    }
}

impl Producer {
    /// As [`crate::Producer::send`]: waits for metadata and memory, together for at most `max.block.ms`, and not for the outcome.
    ///
    /// # Errors
    /// The record was not accepted and is certainly not written; see [`SendError`].
    pub fn send(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        wait_for(self.producer.send(record))
    }

    /// As [`crate::Producer::send_with`]: `callback` gets the outcome, on the callback thread.
    ///
    /// # Errors
    /// As [`send`](Self::send). The callback is not called then.
    pub fn send_with(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> Result<(), SendError> {
        wait_for(self.producer.send_with(record, callback))
    }

    /// As [`crate::Producer::try_send`]: never waits.
    ///
    /// # Errors
    /// As [`crate::Producer::try_send`].
    pub fn try_send(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        self.producer.try_send(record)
    }

    /// As [`crate::Producer::partitions_for`].
    ///
    /// # Errors
    /// As [`crate::Producer::partitions_for`].
    pub fn partitions_for(&self, topic: &str) -> Result<usize, SendError> {
        wait_for(self.producer.partitions_for(topic))
    }

    /// As [`crate::Producer::flush`]: waits until every accepted record has its outcome and its callback has run.
    ///
    /// # Errors
    /// As [`crate::Producer::flush`].
    pub fn flush(&self) -> Result<(), FlushError> {
        wait_for(self.producer.flush())
    }

    /// As [`crate::Producer::flush_timeout`].
    ///
    /// # Errors
    /// As [`crate::Producer::flush_timeout`].
    pub fn flush_timeout(&self, limit: Duration) -> Result<(), FlushError> {
        wait_for(self.producer.flush_timeout(limit))
    }

    /// As [`crate::Producer::metrics`].
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.producer.metrics()
    }

    /// As [`crate::Producer::close`]: delivers what was accepted, and ends the producer.
    ///
    /// # Errors
    /// As [`crate::Producer::close`].
    pub fn close(&self) -> Result<(), FlushError> {
        wait_for(self.producer.close())
    }

    /// As [`crate::Producer::close_timeout`].
    ///
    /// # Errors
    /// As [`crate::Producer::close_timeout`].
    pub fn close_timeout(&self, limit: Duration) -> Result<(), FlushError> {
        wait_for(self.producer.close_timeout(limit))
    }

    /// The same producer for code that awaits, or takes a [`&dyn Produce`](crate::Produce). It works as long as there is a clone of this one.
    #[must_use]
    pub fn producer(&self) -> &crate::Producer {
        &self.producer
    }
}

impl Delivery {
    /// Blocks this thread until the record has its outcome, for programs without an executor. In an `async fn`, await the delivery.
    ///
    /// # Errors
    /// As of the future: the record failed, see [`DeliveryError`].
    pub fn wait(self) -> Result<Ack, DeliveryError> {
        wait_for(self)
    }

    /// As [`wait`](Self::wait), for at most `limit`. Afterwards the record is on its way as before.
    ///
    /// # Errors
    /// The delivery itself, if it has no outcome within `limit`.
    pub fn wait_timeout(mut self, limit: Duration) -> Result<Result<Ack, DeliveryError>, Self> {
        // What cannot be represented is for ever.
        let deadline = Instant::now().checked_add(limit);
        let outcome = wait_until(deadline, pin!(&mut self));
        outcome.ok_or(self)
    }
}

/// Blocks this thread until a future has resolved.
fn wait_for<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        // Without a deadline the first time is enough.
        if let Some(output) = wait_until(None, future.as_mut()) {
            return output;
        }
    }
}

/// Blocks this thread until a future has resolved or the deadline is there.
fn wait_until<F: Future>(deadline: Option<Instant>, mut future: Pin<&mut F>) -> Option<F::Output> {
    // Most futures here are ready at once, and need no waker.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return Some(output);
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => thread::park(),
            Some(Duration::ZERO) => return None,
            Some(left) => thread::park_timeout(left),
        }
    }
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(all(test, feature = "broker"))]
mod tests {
    use super::*;
    use crate::{
        ErrorCode, FailureKind,
        broker::{Api, EmbeddedBroker, Fault},
    };

    /// A broker on a thread of its own, and a producer for it.
    fn started() -> (tokio::runtime::Runtime, EmbeddedBroker, Producer) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let broker = runtime.block_on(EmbeddedBroker::builder().topic("orders", 1).start()).unwrap();
        let producer = ProducerBuilder::new(&broker.bootstrap_servers()).build_blocking().unwrap();
        (runtime, broker, producer)
    }

    #[test]
    fn threads_send_and_wait_and_each_record_has_its_offset() {
        let (_runtime, _broker, producer) = started();
        let send = |_| {
            let producer = producer.clone();
            thread::spawn(move || {
                let sent: Vec<_> = (0..50).map(|_| producer.send(Record::to("orders").value("x")).unwrap()).collect();
                sent.into_iter().map(|delivery| delivery.wait().unwrap().offset().unwrap()).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..4).map(send).collect();
        let mut offsets: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, (0..200).collect::<Vec<_>>());
        producer.close().unwrap();
        let refused = producer.send(Record::to("orders").value("late")).unwrap_err();
        assert!(matches!(refused, SendError::Closed { .. }), "{refused}");
    }

    #[test]
    fn a_wait_with_a_limit_gives_the_delivery_back_and_loses_nothing() {
        let (_runtime, broker, producer) = started();
        broker.inject(Fault::error(ErrorCode::NOT_ENOUGH_REPLICAS).on(Api::Produce).forever());
        let delivery = producer.send(Record::to("orders").value("x")).unwrap();
        let delivery = delivery.wait_timeout(Duration::ZERO).unwrap_err();
        broker.heal();
        assert_eq!(delivery.wait().unwrap().offset(), Some(0));
    }

    #[test]
    fn a_callback_has_run_when_flush_returns() {
        let (_runtime, _broker, producer) = started();
        let (tell, told) = mpsc::channel();
        producer.send_with(Record::to("orders").value("x"), move |outcome| tell.send(outcome).unwrap()).unwrap();
        producer.flush().unwrap();
        assert_eq!(told.try_recv().unwrap().unwrap().offset(), Some(0));
    }

    #[test]
    fn what_is_wrong_with_the_settings_is_told_and_no_thread_stays() {
        let error = ProducerBuilder::new("").property("acks", "7").build_blocking().unwrap_err();
        assert_eq!(error.violations().len(), 2, "{error}");
    }

    #[test]
    fn records_of_a_producer_that_is_dropped_resolve_as_abandoned() {
        let (_runtime, broker, producer) = started();
        broker.inject(Fault::drop_request().on(Api::Produce).forever());
        let delivery = producer.send(Record::to("orders").value("x")).unwrap();
        drop(producer);
        assert_eq!(delivery.wait().unwrap_err().kind(), FailureKind::Abandoned);
    }
}
