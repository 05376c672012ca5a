//! A producer for each mode, which all requests share.
//!
//! In: orders. Out: deliveries, or why an order was not accepted. A producer that was fenced cannot send any more: the next order has it
//! replaced, and goes to its successor. What the old one held keeps its own outcome. Does I/O. Deliberately absent: retries, which are the
//! producer's.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use milena::{Ack, ConfigError, Delivery, DeliveryError, Producer, ProducerBuilder, Record, SendError};
use tokio::sync::Mutex;

use crate::order::Order;

/// A producer, and how another one is made.
pub(crate) struct Replaceable {
    current: ArcSwap<Producer>,
    builder: ProducerBuilder,
    /// Who replaces it holds this.
    replacing: Mutex<()>,
    replaced: AtomicU64,
}

impl Replaceable {
    pub(crate) async fn start(builder: ProducerBuilder) -> Result<Self, ConfigError> {
        let current = ArcSwap::from_pointee(builder.clone().build().await?);
        Ok(Self { current, builder, replacing: Mutex::new(()), replaced: AtomicU64::new(0) })
    }

    /// The producer of this moment.
    pub(crate) fn current(&self) -> Arc<Producer> {
        self.current.load_full()
    }

    /// How many producers were replaced.
    pub(crate) fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Accepts an order whose outcome a callback is told, without waiting.
    pub(crate) fn try_accept_with(
        &self,
        order: &Order<'_>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> Result<(), SendError> {
        self.current.load().try_send_with(order.record(), callback)
    }

    /// Accepts an order. Waits for its topic's metadata, for at most `max.block.ms`, but not for memory.
    pub(crate) async fn accept(&self, order: &Order<'_>) -> Result<Delivery, SendError> {
        match self.current.load().try_send(order.record()) {
            Err(SendError::NotReady { .. } | SendError::Fatal { .. }) => {}
            accepted => return accepted,
        }
        let producer = self.current();
        match accept_once_known(&producer, order).await {
            Err(SendError::Fatal { .. }) => accept_once_known(&*self.successor(producer).await, order).await,
            accepted => accepted,
        }
    }

    /// As [`accept`](Self::accept), but waits for memory too.
    pub(crate) async fn accept_in_turn(&self, order: &Order<'_>) -> Result<Delivery, SendError> {
        self.send(|| order.record()).await
    }

    /// Accepts a record. Waits for metadata and memory, as a producer does. The record is made anew for a successor.
    pub(crate) async fn send<'r>(&self, record: impl Fn() -> Record<'r> + Send) -> Result<Delivery, SendError> {
        let producer = self.current();
        match producer.send(record()).await {
            Err(SendError::Fatal { .. }) => self.successor(producer).await.send(record()).await,
            accepted => accepted,
        }
    }

    /// The producer after this one, which cannot send any more. If no other can be built, it is the same.
    async fn successor(&self, fenced: Arc<Producer>) -> Arc<Producer> {
        let _turn = self.replacing.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, &fenced) {
            return current;
        }
        match self.builder.clone().build().await {
            Ok(producer) => {
                let producer = Arc::new(producer);
                self.current.store(Arc::clone(&producer));
                self.replaced.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("a producer was fenced, and is replaced: another one had its id");
                // What it held has an outcome already; its connections end.
                tokio::spawn(async move { fenced.close().await });
                producer
            }
            Err(error) => {
                tracing::error!(%error, "a producer was fenced, and no other can be built");
                fenced
            }
        }
    }
}

async fn accept_once_known(producer: &Producer, order: &Order<'_>) -> Result<Delivery, SendError> {
    producer.partitions_for(&order.topic).await?;
    producer.try_send(order.record())
}
