//! A producer of one type of keys and one of values.
//!
//! In: keys and values. Out: as of the [`Producer`], to which it adds nothing but the serializers.

use std::{fmt, sync::Arc};

use super::Producer;
use crate::{
    delivery::Delivery,
    error::SendError,
    record::{Record, serialize::Serializer},
};

/// A producer whose keys are `K` and whose values are `V`, for programs that fix them once ([`Producer::typed`]). A clone is the same
/// producer.
///
/// ```no_run
/// # async fn example(producer: milena::Producer) -> Result<(), milena::Error> {
/// use milena::{Standard, TypedProducer};
///
/// let totals: TypedProducer<i64, str> = producer.typed(Standard, Standard);
/// totals.send("totals", Some(&42), Some("nine")).await?.await?;
/// # Ok(()) }
/// ```
pub struct TypedProducer<K: ?Sized, V: ?Sized> {
    producer: Producer,
    of_keys: Arc<dyn Serializer<K>>,
    of_values: Arc<dyn Serializer<V>>,
}

impl<K: ?Sized, V: ?Sized> Clone for TypedProducer<K, V> {
    fn clone(&self) -> Self {
        let (of_keys, of_values) = (Arc::clone(&self.of_keys), Arc::clone(&self.of_values));
        Self { producer: self.producer.clone(), of_keys, of_values }
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for TypedProducer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.producer.fmt(f)
    }
}

impl Producer {
    /// This producer for keys and values of these types. Java properties `key.serializer` and `value.serializer`.
    pub fn typed<K: ?Sized, V: ?Sized>(
        &self,
        key_serializer: impl Serializer<K> + 'static,
        value_serializer: impl Serializer<V> + 'static,
    ) -> TypedProducer<K, V> {
        let (of_keys, of_values) = (Arc::new(key_serializer), Arc::new(value_serializer));
        TypedProducer { producer: self.clone(), of_keys, of_values }
    }
}

impl<K: ?Sized, V: ?Sized> TypedProducer<K, V> {
    /// Serializes a key and a value, and sends them as [`Producer::send`] does. `None` is null.
    ///
    /// # Errors
    /// [`SendError::Serialization`], and as [`Producer::send`].
    ///
    /// # Cancel safety
    /// As [`Producer::send`].
    pub async fn send(&self, topic: &str, key: Option<&K>, value: Option<&V>) -> Result<Delivery, SendError> {
        self.send_record(topic, key, value, |record| record).await
    }

    /// As [`send`](Self::send); `more` adds what else the record has: headers, a partition, a timestamp.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_record(
        &self,
        topic: &str,
        key: Option<&K>,
        value: Option<&V>,
        more: impl for<'a> FnOnce(Record<'a>) -> Record<'a>,
    ) -> Result<Delivery, SendError> {
        let mut scratch = Vec::new();
        let record = Record::serialized(topic, key, value, &*self.of_keys, &*self.of_values, &mut scratch)?;
        self.producer.send(more(record)).await
    }

    /// The producer itself: to flush and to close it, and for records of other types.
    #[must_use]
    pub fn producer(&self) -> &Producer {
        &self.producer
    }
}

#[cfg(all(test, feature = "broker"))]
mod tests {
    use super::*;
    use crate::{
        broker::EmbeddedBroker,
        record::serialize::{SerializeError, Standard},
    };

    #[tokio::test]
    async fn keys_and_values_are_serialized_by_what_was_chosen_once() {
        let broker = EmbeddedBroker::builder().topic("totals", 1).start().await.unwrap();
        let producer = Producer::builder(&broker.bootstrap_servers()).build().await.unwrap();
        let never = |_: &str, value: &str, out: &mut Vec<u8>| match value {
            "never" => Err(SerializeError::new("it is never sent")),
            value => {
                out.extend_from_slice(value.to_uppercase().as_bytes());
                Ok(())
            }
        };
        let totals: TypedProducer<i64, str> = producer.typed(Standard, never);
        let sent = totals.clone();
        let sent = sent.send_record("totals", Some(&258), Some("nine"), |record| record.header("source", "shop"));
        sent.await.unwrap().await.unwrap();
        totals.send("totals", None, None).await.unwrap().await.unwrap();
        let error = totals.send("totals", Some(&1), Some("never")).await.unwrap_err();
        assert!(matches!(error, SendError::Serialization { part: "value", .. }), "{error}");
        totals.producer().close().await.unwrap();
        let written = broker.log("totals", 0);
        assert_eq!(written.len(), 2);
        assert_eq!(written[0].key.as_deref(), Some(&[0, 0, 0, 0, 0, 0, 1, 2][..]));
        assert_eq!((written[0].value.as_deref(), written[0].headers.len()), (Some(&b"NINE"[..]), 1));
        assert_eq!((&written[1].key, &written[1].value), (&None, &None));
    }
}
