//! The envelope of an event: what every event says of itself, and its payload.
//!
//! In: a payload, ids, the clock; or JSON. Out: an [`Envelope`]. A builder reads the clock only for what it is not
//! given. Deliberately absent: the record (see [`Format`](super::Format)), and other encodings than JSON.

use std::collections::BTreeMap;

use milena::SendError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Event, EventId, EventTime};
use crate::Failure;

/// An event: its payload, and what every event says of itself. As JSON its names are in camel case, and fields that it
/// does not have are ignored when it is read.
///
/// ```
/// # use milena_resilience::event::{Envelope, Event, TopicName};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct PlayerRegistered { country: String }
/// # impl Event for PlayerRegistered { const TOPIC: TopicName<'static> = TopicName::new("casino.player.registered.v1"); }
/// let envelope = Envelope::builder(PlayerRegistered { country: "EE".into() })
///     .brand_id("brand-1")
///     .user_id("player-7")
///     .metadata("service", "registration")
///     .build()?;
///
/// let json = serde_json::to_vec(&envelope)?;
/// assert_eq!(Envelope::<PlayerRegistered>::decode(&json)?.event_id, envelope.event_id);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Envelope<P> {
    /// By which consumers recognise that they got the event before.
    pub event_id: EventId,
    /// The event's type: the name of its topic, [`Event::TOPIC`].
    pub event_type: String,
    /// When it happened.
    pub event_timestamp: EventTime,
    /// The version of the payload, [`Event::VERSION`].
    pub event_version: String,
    /// The brand that it belongs to.
    pub brand_id: String,
    /// The user that it is about. It is the record's key, so the events of a user stay in order.
    pub user_id: String,
    /// What the events of one request or process have in common. Left out of the JSON if there is none; `null` is read
    /// as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Where it comes from: any names and values, such as [`SOURCE`], [`SERVICE`] and [`TRACE_ID`].
    #[serde(default)]
    pub metadata: BTreeMap<String, Value>,
    /// What happened.
    pub payload: P,
}

/// The name in the metadata of what caused the event, such as `web` or `import`.
pub const SOURCE: &str = "source";
/// The name in the metadata of the program that publishes the event.
pub const SERVICE: &str = "service";
/// The name in the metadata of the trace that the event belongs to.
pub const TRACE_ID: &str = "traceId";

impl<P: Event> Envelope<P> {
    /// Begins an envelope around a payload.
    pub fn builder(payload: P) -> EnvelopeBuilder<P> {
        EnvelopeBuilder {
            event_id: None,
            event_timestamp: None,
            brand_id: String::new(),
            user_id: String::new(),
            correlation_id: None,
            metadata: BTreeMap::new(),
            payload,
        }
    }

    /// Reads an envelope from JSON. Use `serde_json` and an `Envelope<serde_json::Value>` for events of unknown type.
    ///
    /// # Errors
    /// It is not the JSON of such an envelope, or the event is of another type.
    pub fn decode(json: &[u8]) -> Result<Self, DecodeError>
    where
        P: DeserializeOwned,
    {
        let expected = P::TOPIC.as_str();
        // First of all the type, because the payload of another one fails for reasons that lead astray.
        let Typed { event_type } = serde_json::from_slice(json)?;
        if event_type != expected {
            return Err(DecodeError::OtherType { expected, got: event_type.escape_debug().take(256).collect() });
        }
        Ok(serde_json::from_slice(json)?)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    event_type: String,
}

/// Why JSON is not the envelope of an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is no JSON, a field is missing, or a value is not of its type.
    #[error("not the JSON of an event's envelope: {0}")]
    Json(#[from] serde_json::Error),
    /// The event is of another type.
    #[error("expected an event of type {expected}, got {got}; read each topic with the type of its events")]
    OtherType {
        /// The type that was to be read.
        expected: &'static str,
        /// The type of the event, shortened to 256 characters.
        got: String,
    },
}

/// Makes an [`Envelope`]. Brand and user are necessary.
#[derive(Clone, Debug)]
#[must_use = "build() makes the envelope"]
pub struct EnvelopeBuilder<P> {
    event_id: Option<EventId>,
    event_timestamp: Option<EventTime>,
    brand_id: String,
    user_id: String,
    correlation_id: Option<String>,
    metadata: BTreeMap<String, Value>,
    payload: P,
}

impl<P: Event> EnvelopeBuilder<P> {
    /// Sets the event's id. Defaults to a new one.
    pub fn event_id(mut self, id: EventId) -> Self {
        self.event_id = Some(id);
        self
    }

    /// Sets when the event happened. Defaults to now.
    pub fn event_timestamp(mut self, time: EventTime) -> Self {
        self.event_timestamp = Some(time);
        self
    }

    /// Sets the brand.
    pub fn brand_id(mut self, id: impl Into<String>) -> Self {
        self.brand_id = id.into();
        self
    }

    /// Sets the user, who is the record's key.
    pub fn user_id(mut self, id: impl Into<String>) -> Self {
        self.user_id = id.into();
        self
    }

    /// Sets what the events of one request or process have in common. Defaults to none.
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// Adds a value to the metadata, or replaces that of the same name. Defaults to no metadata.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// The envelope.
    ///
    /// # Errors
    /// An id is missing, empty, or has control characters. The error lists every violation.
    pub fn build(self) -> Result<Envelope<P>, InvalidEnvelope> {
        self.check()?;
        Ok(Envelope {
            event_id: self.event_id.unwrap_or_else(EventId::new),
            event_type: P::TOPIC.as_str().to_owned(),
            event_timestamp: self.event_timestamp.unwrap_or_else(EventTime::now),
            event_version: P::VERSION.to_owned(),
            brand_id: self.brand_id,
            user_id: self.user_id,
            correlation_id: self.correlation_id,
            metadata: self.metadata,
            payload: self.payload,
        })
    }

    fn check(&self) -> Result<(), InvalidEnvelope> {
        let ids = [
            ("brandId", Some(&self.brand_id)),
            ("userId", Some(&self.user_id)),
            ("correlationId", self.correlation_id.as_ref()),
        ];
        let violation = |(name, id): (&str, Option<&String>)| violation(name, id?);
        let violations: Vec<_> = ids.into_iter().filter_map(violation).collect();
        let topic = P::TOPIC.as_str();
        if violations.is_empty() { Ok(()) } else { Err(InvalidEnvelope { topic, violations }) }
    }
}

fn violation(name: &str, id: &str) -> Option<String> {
    if id.is_empty() {
        return Some(format!("{name}: expected an id, got none"));
    }
    let odd = id.chars().find(|c| c.is_control())?;
    Some(format!("{name}: expected no control characters, got {odd:?}"))
}

/// An envelope that cannot be built, with every violation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid event for {topic}: {}", violations.join("; "))]
pub struct InvalidEnvelope {
    topic: &'static str,
    violations: Vec<String>,
}

impl InvalidEnvelope {
    /// One sentence for each violation.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }
}

impl From<InvalidEnvelope> for Failure {
    /// The event would fail again, as a [`SendError::InvalidRecord`] does.
    fn from(invalid: InvalidEnvelope) -> Self {
        let reason = invalid.violations.join("; ");
        Self::Send(SendError::InvalidRecord { topic: invalid.topic.into(), reason })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::testing::{Registered, registered};

    fn full() -> Value {
        json!({
            "eventId": "0193a5b0-7c1e-7000-8000-000000000001",
            "eventType": "casino.player.registered.v1",
            "eventTimestamp": "2026-11-27T17:33:08.250Z",
            "eventVersion": "1.2",
            "brandId": "brand-1",
            "userId": "player-7",
            "correlationId": "request-9",
            "metadata": { "service": "registration", "source": "web", "traceId": "4bf9", "try": 2 },
            "payload": { "country": "EE", "age": 30 },
        })
    }

    fn read(json: &Value) -> Result<Envelope<Registered>, DecodeError> {
        Envelope::decode(json.to_string().as_bytes())
    }

    fn without(name: &str) -> Value {
        let mut json = full();
        json.as_object_mut().unwrap().remove(name).expect(name);
        json
    }

    fn with(name: &str, value: Value) -> Value {
        let mut json = full();
        json[name] = value;
        json
    }

    #[test]
    fn an_envelope_is_written_in_camel_case_and_in_the_order_of_its_fields() {
        let text = serde_json::to_string(&registered().build().unwrap()).unwrap();
        assert_eq!(
            text,
            "{\"eventId\":\"0193a5b0-7c1e-7000-8000-000000000001\",\"eventType\":\"casino.player.registered.v1\",\
             \"eventTimestamp\":\"2026-11-27T17:33:08.250Z\",\"eventVersion\":\"1.2\",\"brandId\":\"brand-1\",\
             \"userId\":\"player-7\",\"correlationId\":\"request-9\",\"metadata\":{\"service\":\"registration\",\
             \"source\":\"web\",\"traceId\":\"4bf9\",\"try\":2},\"payload\":{\"country\":\"EE\",\"age\":30}}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), full());
    }

    #[test]
    fn an_envelope_without_a_correlation_id_is_written_without_the_field() {
        let json = serde_json::to_value(registered().build().map(|e| Envelope { correlation_id: None, ..e }).unwrap());
        assert_eq!(json.unwrap(), without("correlationId"));
    }

    #[test]
    fn an_envelope_is_the_same_after_it_was_written_and_read() {
        let minimal = Envelope::builder(Registered { country: "FI".into(), age: 18 }).brand_id("b").user_id("u");
        for envelope in [registered().build().unwrap(), minimal.build().unwrap()] {
            let json = serde_json::to_vec(&envelope).unwrap();
            assert_eq!(Envelope::<Registered>::decode(&json).unwrap(), envelope);
        }
    }

    #[test]
    fn a_builder_that_is_given_no_id_and_no_time_takes_new_ones() {
        let build = || Envelope::builder(Registered::default()).brand_id("b").user_id("u").build().unwrap();
        let (first, second) = (build(), build());
        assert!(first.event_id < second.event_id && first.event_timestamp <= second.event_timestamp);
        assert_eq!((first.correlation_id, first.metadata.len()), (None, 0));
    }

    #[test]
    fn an_envelope_that_misses_ids_is_refused_with_every_violation() {
        let error = Envelope::builder(Registered::default()).user_id("a\tb").correlation_id("").build().unwrap_err();
        assert_eq!(
            error.violations(),
            [
                "brandId: expected an id, got none",
                "userId: expected no control characters, got '\\t'",
                "correlationId: expected an id, got none"
            ]
        );
        assert!(error.to_string().starts_with("invalid event for casino.player.registered.v1: brandId: "), "{error}");
        let failure = Failure::from(error);
        assert!(failure.is_fatal() && failure.to_string().contains("userId: expected no control"), "{failure}");
    }

    #[test]
    fn unknown_fields_are_ignored_in_the_envelope_and_in_the_payload() {
        let mut json = with("addedLater", json!({ "a": [1, 2] }));
        json["payload"]["addedLater"] = json!(true);
        assert_eq!(read(&json).unwrap(), registered().build().unwrap());
    }

    #[test]
    fn a_correlation_id_may_be_missing_or_null_and_metadata_may_be_missing() {
        for json in [without("correlationId"), with("correlationId", Value::Null)] {
            assert_eq!(read(&json).unwrap().correlation_id, None);
        }
        assert!(read(&without("metadata")).unwrap().metadata.is_empty());
    }

    #[test]
    fn a_missing_field_is_named() {
        for name in ["eventId", "eventType", "eventTimestamp", "eventVersion", "brandId", "userId", "payload"] {
            let error = read(&without(name)).unwrap_err().to_string();
            assert!(error.contains(&format!("missing field `{name}`")), "{error}");
            assert!(error.starts_with("not the JSON of an event's envelope: "), "{error}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_with_what_was_expected() {
        for (name, value, expected) in [
            ("eventId", json!("seven"), "expected a UUID"),
            ("eventId", json!(7), "expected a string"),
            ("eventTimestamp", json!("2026-11-27T17:33:08"), "expected RFC 3339 with an offset"),
            ("userId", json!(7), "expected a string"),
            ("metadata", json!([]), "expected a map"),
            ("payload", json!({ "country": "EE", "age": "thirty" }), "expected u8"),
        ] {
            let error = read(&with(name, value)).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
        for broken in [&b""[..], b"null", b"{", b"[]", b"\xff\xfe", &b"[".repeat(100_000)] {
            assert!(matches!(Envelope::<Registered>::decode(broken), Err(DecodeError::Json(_))));
        }
    }

    #[test]
    fn an_event_of_another_type_is_refused_by_its_type_and_not_by_its_payload() {
        let mut json = with("eventType", json!("casino.player.deleted.v1"));
        json["payload"] = json!({ "reason": "asked" });
        assert_eq!(
            read(&json).unwrap_err().to_string(),
            "expected an event of type casino.player.registered.v1, got casino.player.deleted.v1; read each topic with \
             the type of its events"
        );
        let any: Envelope<Value> = serde_json::from_value(json).unwrap();
        assert_eq!(any.payload["reason"], "asked");
    }
}
