//! The caller's half.
use std::time::Duration;

use crate::{Ack, ConfigError, Delivery, DeliveryError, FlushError, ProducerBuilder, Record, SendError};

/// Sends records.
#[derive(Clone, Debug)]
pub struct Producer {}

impl Producer {
    /// Starts a builder; `bootstrap_servers` is a list `host:port,host:port`.
    #[must_use]
    pub fn builder(bootstrap_servers: &str) -> ProducerBuilder {
        let _ = bootstrap_servers;
        todo!()
    }
    /// Builds from Java property names and values.
    pub async fn from_properties<N: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError> {
        let _ = properties.into_iter().count();
        todo!()
    }
    /// Sends.
    pub async fn send(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        let _ = record;
        todo!()
    }
    /// Sends with a callback.
    pub async fn send_with(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let _ = (record, callback);
        todo!()
    }
    /// Sends without waiting.
    pub fn try_send(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        let _ = record;
        todo!()
    }
    /// Sends without waiting, with a callback.
    pub fn try_send_with(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let _ = (record, callback);
        todo!()
    }
    /// How many partitions a topic has.
    pub async fn partitions_for(&self, topic: &str) -> Result<usize, SendError> {
        let _ = topic;
        todo!()
    }
    /// Waits for all.
    pub async fn flush(&self) -> Result<(), FlushError> {
        todo!()
    }
    /// Waits for all, at most `timeout`.
    pub async fn flush_timeout(&self, timeout: Duration) -> Result<(), FlushError> {
        let _ = timeout;
        todo!()
    }
    /// Flushes and closes, waiting as long as `delivery.timeout.ms` allows.
    pub async fn close(&self) -> Result<(), FlushError> {
        todo!()
    }
    /// Flushes and closes, waiting at most `timeout`; what is left then fails as `Closed`.
    pub async fn close_timeout(&self, timeout: Duration) -> Result<(), FlushError> {
        let _ = timeout;
        todo!()
    }
}
