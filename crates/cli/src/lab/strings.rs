//! A producer of text without retries, for labs that show failures.
//!
//! In: records. Out: the result of each, after one attempt. Does I/O through the producer, which has `retries=0`: each attempt is
//! one request, and the application retries.

use milena::{Ack, Producer, Record, SerializeError, Standard};
use milena_resilience::{Failure, Publish};

use crate::exit::CliError;

/// A producer of text. A value that is not UTF-8 cannot be serialized, as with Java's `StringSerializer`.
#[derive(Clone)]
pub(super) struct Strings(Producer);

impl Strings {
    /// Starts a producer with this `max.block.ms`.
    pub(super) async fn start(bootstrap: &str, max_block_ms: &str) -> Result<Self, CliError> {
        let properties = [
            ("bootstrap.servers", bootstrap),
            ("acks", "all"),
            ("retries", "0"),
            ("enable.idempotence", "false"),
            ("linger.ms", "0"),
            ("max.block.ms", max_block_ms),
        ];
        Ok(Self(Producer::from_properties(properties).await?))
    }

    /// The inner producer, which sends any bytes.
    pub(super) fn bytes(&self) -> &Producer {
        &self.0
    }

    /// Closes the producer, which must have no record in flight.
    pub(super) async fn close(self) {
        let _ = self.0.close().await;
    }
}

impl Publish for Strings {
    async fn publish(&self, record: Record<'_>) -> Result<Ack, Failure> {
        let mut scratch = Vec::new();
        Record::serialized(record.topic(), record.key_bytes(), record.value_bytes(), &Standard, &text, &mut scratch)?;
        self.0.publish(record).await
    }
}

fn text(_topic: &str, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), SerializeError> {
    str::from_utf8(bytes).map_err(SerializeError::new)?;
    out.extend_from_slice(bytes);
    Ok(())
}
