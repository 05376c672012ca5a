//! What goes to the dead-letter topic, and whether anything does.
//!
//! In: a stored event and how it failed. Out: its dead letter, sent. Awaits one publish. Never a letter of a letter.

use std::borrow::Cow;

use milena::{Ack, Header, Produce, Record, SendError};

use super::rows::record_of;
use crate::{
    Failure, Publish,
    dead_letter::{DeadLetters, FailureReport},
    event::EventTime,
    reconcile::Found,
    store::StoredEvent,
};

/// How events become dead letters.
#[derive(Clone, Debug)]
pub struct Letters {
    made_by: DeadLetters,
    has_body: bool,
}

impl Default for Letters {
    /// The event as it is, with headers that say why it failed, in the topic `{topic}.dlq`.
    fn default() -> Self {
        Self::new(DeadLetters::with_suffix(".dlq"))
    }
}

impl Letters {
    /// Letters as [`DeadLetters`] makes them: key, value and headers of the event, and headers that say why.
    #[must_use]
    pub fn new(made_by: DeadLetters) -> Self {
        Self { made_by, has_body: false }
    }

    /// Has letters tell all in their value, which is JSON: `original_event` (the value if it is JSON, else its text, or base-16 if it
    /// is no text), `error`, `attempts` and `timestamp` (RFC 3339). Headers are as before.
    #[must_use]
    pub fn with_body(mut self) -> Self {
        self.has_body = true;
        self
    }

    /// Sends the letter of an event.
    pub(super) async fn send(
        &self,
        to: &dyn Produce,
        event: &StoredEvent,
        report: &FailureReport<'_>,
    ) -> Result<Ack, Failure> {
        let record = record_of(event, Found::Unknown);
        let Some(topic) = self.made_by.topic_for(record.topic()) else {
            let reason = "a dead letter has no dead letter";
            return Err(SendError::InvalidTopic { topic: event.topic.as_str().into(), reason }.into());
        };
        let letter = self.made_by.letter(&topic, &record, report);
        if !self.has_body {
            return to.publish(letter).await;
        }
        let key = letter.key_bytes().map(|key| Cow::Owned(key.to_vec()));
        let letter = letter.clone().with_payload(key, Some(Cow::Owned(body(event, report))));
        let kind = Header::new("content-type", b"application/json");
        to.publish(Record::without_header(letter, "content-type").with_header(kind)).await
    }
}

fn body(event: &StoredEvent, report: &FailureReport<'_>) -> Vec<u8> {
    let original = event.payload.as_deref().map_or(serde_json::Value::Null, |payload| {
        let text = || std::str::from_utf8(payload).map_or_else(|_| hex(payload), str::to_owned);
        serde_json::from_slice(payload).unwrap_or_else(|_| text().into())
    });
    let body = serde_json::json!({
        "original_event": original,
        "error": report.failure.to_string(),
        "attempts": report.attempts,
        "timestamp": EventTime::now().to_string(),
    });
    body.to_string().into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
