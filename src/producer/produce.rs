//! The trait of all producers.
//!
//! In: the calls of [`Producer`]. Out: the same results. Pure. Source: Java's interface
//! `org.apache.kafka.clients.producer.Producer`. Deliberately absent: metrics, which only a producer with a cluster
//! has.

use std::{future::Future, pin::Pin, time::Duration};

use super::{Accepting, Producer};
use crate::{
    delivery::{Ack, Delivery},
    error::{DeliveryError, FlushError, SendError},
    record::Record,
};

/// A [`Producer`], or what replaces it: a [`MockProducer`](crate::mock::MockProducer) in a test, or a wrapper of your
/// own around another producer. It can be used as `dyn Produce`. In Java, the interface `Producer`.
///
/// Code that sends takes a `&dyn Produce`, or holds an `Arc<dyn Produce>`. [`Producer`] has methods of the same names,
/// which document the behaviour. Through the trait, `send` and `try_send` cost the same, and the methods that take a
/// callback box it. A method that is added later will have a default.
///
/// ```
/// use milena::{Produce, Record, mock::MockProducer};
///
/// async fn place_order(producer: &dyn Produce, id: &str) -> Result<i32, Box<dyn std::error::Error>> {
///     let delivery = producer.send(Record::to("orders").key(id).value("nine")).await?;
///     Ok(delivery.await?.partition())
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let mock = MockProducer::new();
/// place_order(&mock, "6b1f").await?;
/// assert_eq!(mock.history()[0].key.as_deref(), Some(&b"6b1f"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub trait Produce: Send + Sync {
    /// As [`Producer::send`].
    fn send<'a>(&'a self, record: Record<'a>) -> Accepting<'a>;

    /// As [`Producer::send_with`].
    fn send_with<'a>(
        &'a self,
        record: Record<'a>,
        callback: Box<dyn FnOnce(Result<Ack, DeliveryError>) + Send>,
    ) -> Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;

    /// As [`Producer::try_send`].
    ///
    /// # Errors
    /// As [`Producer::try_send`].
    fn try_send(&self, record: Record<'_>) -> Result<Delivery, SendError>;

    /// As [`Producer::try_send_with`].
    ///
    /// # Errors
    /// As [`Producer::try_send_with`].
    fn try_send_with(
        &self,
        record: Record<'_>,
        callback: Box<dyn FnOnce(Result<Ack, DeliveryError>) + Send>,
    ) -> Result<(), SendError>;

    /// As [`Producer::partitions_for`].
    fn partitions_for<'a>(
        &'a self,
        topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<usize, SendError>> + Send + 'a>>;

    /// As [`Producer::refresh_metadata`]. By default, as [`Producer::partitions_for`].
    fn refresh_metadata<'a>(
        &'a self,
        topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>> {
        Box::pin(async move { self.partitions_for(topic).await.map(drop) })
    }

    /// As [`Producer::flush`].
    fn flush(&self) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>>;

    /// As [`Producer::flush_timeout`].
    fn flush_timeout(&self, limit: Duration) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>>;

    /// As [`Producer::close`].
    fn close(&self) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>>;

    /// As [`Producer::close_timeout`].
    fn close_timeout(&self, limit: Duration) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>>;
}

impl Produce for Producer {
    #[inline]
    fn send<'a>(&'a self, record: Record<'a>) -> Accepting<'a> {
        Self::send(self, record)
    }

    fn send_with<'a>(
        &'a self,
        record: Record<'a>,
        callback: Box<dyn FnOnce(Result<Ack, DeliveryError>) + Send>,
    ) -> Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>> {
        Box::pin(Self::send_with(self, record, callback))
    }

    #[inline]
    fn try_send(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        Self::try_send(self, record)
    }

    fn try_send_with(
        &self,
        record: Record<'_>,
        callback: Box<dyn FnOnce(Result<Ack, DeliveryError>) + Send>,
    ) -> Result<(), SendError> {
        Self::try_send_with(self, record, callback)
    }

    fn partitions_for<'a>(
        &'a self,
        topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<usize, SendError>> + Send + 'a>> {
        Box::pin(Self::partitions_for(self, topic))
    }

    fn refresh_metadata<'a>(
        &'a self,
        topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>> {
        Box::pin(Self::refresh_metadata(self, topic))
    }

    fn flush(&self) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>> {
        Box::pin(Self::flush(self))
    }

    fn flush_timeout(&self, limit: Duration) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>> {
        Box::pin(Self::flush_timeout(self, limit))
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>> {
        Box::pin(Self::close(self))
    }

    fn close_timeout(&self, limit: Duration) -> Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send + '_>> {
        Box::pin(Self::close_timeout(self, limit))
    }
}
