//! An event as a record, in one of two formats.
//!
//! In: an [`Envelope`] and a [`Format`]. Out: a record for the event's topic, or why the payload cannot be serialized.
//! Pure. Deliberately absent: structured CloudEvents, and the record's timestamp, which is the time of sending. A time
//! from the past would have a broker delete the record early.

use std::borrow::Cow;

use milena::{Header, Record, SendError};
use serde::Serialize;

use super::{Envelope, Event};

/// The header with the event's id, as text, in the format [`Format::Json`]. Dead letters read it by default.
pub const EVENT_ID: &str = "eventId";
/// The header with an event's id in CloudEvents' binary mode.
pub const CE_ID: &str = "ce_id";

/// How an event becomes a record. The key is the user's id in each format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The value is the JSON of the envelope, and the header [`EVENT_ID`] has the event's id.
    #[default]
    Json,
    /// [CloudEvents 1.0][binding] in binary mode.
    ///
    /// [binding]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
    CloudEvents(CloudEvents),
}

/// CloudEvents 1.0 in binary mode: the value is the JSON of the payload alone, and headers say all else, as UTF-8 text.
///
/// | header | value |
/// |---|---|
/// | `ce_specversion` | `1.0` |
/// | `ce_id` | the event's id |
/// | `ce_source` | the [source](Self::from_source) |
/// | `ce_type` | the event's type, which is the topic's name |
/// | `ce_time` | the event's timestamp |
/// | `ce_subject` | [`Event::subject`], where there is one |
/// | `content-type` | `application/json` |
/// | `ce_eventversion`, `ce_brandid`, `ce_userid` | from the envelope, as extensions |
/// | `ce_correlationid` | the same, where there is one |
/// | `ce_metadata` | the JSON of the metadata, where there are any |
///
/// For dead letters use [`DeadLetters::event_id_from("ce_id")`](crate::dead_letter::DeadLetters::event_id_from).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvents {
    source: String,
}

impl CloudEvents {
    /// The format with this source of all events: a URI or a part of one, such as `/casino/registration` or
    /// `https://casino.example/registration`. Source and id together are unique for each event.
    ///
    /// # Errors
    /// The source is empty, or has a character that no URI has.
    pub fn from_source(source: impl Into<String>) -> Result<Self, InvalidSource> {
        let source = source.into();
        let odd = source.chars().find(|c| !is_of_uri(*c));
        if source.is_empty() || odd.is_some() { Err(InvalidSource { odd }) } else { Ok(Self { source }) }
    }
}

/// Whether a URI may have it (RFC 3986).
fn is_of_uri(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c)
}

/// A source that is no URI reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid source of events: expected a URI or a part of one, such as /casino/registration, got {}", got(*odd))]
pub struct InvalidSource {
    odd: Option<char>,
}

fn got(odd: Option<char>) -> String {
    odd.map_or_else(|| "an empty one".to_owned(), |odd| format!("the character {odd:?}; percent-encode it"))
}

impl<P: Event> Envelope<P> {
    /// The event as a record for its topic. Its key is the user's id; [`Record::key`] replaces it.
    ///
    /// # Errors
    /// [`SendError::Serialization`]: the payload cannot be JSON.
    pub fn record(&self, format: &Format) -> Result<Record<'_>, SendError> {
        let (value, headers) = match format {
            Format::Json => (json::<P>(self)?, vec![header(EVENT_ID, self.event_id.to_string())]),
            Format::CloudEvents(cloud) => (json::<P>(&self.payload)?, self.attributes(cloud)?),
        };
        let key = Some(Cow::Borrowed(self.user_id.as_bytes()));
        let record = Record::to(P::TOPIC.as_str()).with_payload(key, Some(Cow::Owned(value)));
        Ok(headers.into_iter().fold(record, Record::with_header))
    }

    fn attributes(&self, cloud: &CloudEvents) -> Result<Vec<Header<'_>>, SendError> {
        let mut headers = vec![
            Header::new("ce_specversion", b"1.0"),
            header(CE_ID, self.event_id.to_string()),
            header("ce_source", cloud.source.clone()),
            Header::new("ce_type", self.event_type.as_bytes()),
            header("ce_time", self.event_timestamp.to_string()),
        ];
        let subject = self.payload.subject().filter(|subject| !subject.is_empty());
        headers.extend(subject.map(|subject| header("ce_subject", subject)));
        headers.push(Header::new("content-type", b"application/json"));
        headers.push(Header::new("ce_eventversion", self.event_version.as_bytes()));
        headers.push(Header::new("ce_brandid", self.brand_id.as_bytes()));
        headers.push(Header::new("ce_userid", self.user_id.as_bytes()));
        headers.extend(self.correlation_id.as_ref().map(|id| Header::new("ce_correlationid", id.as_bytes())));
        if !self.metadata.is_empty() {
            headers.push(header("ce_metadata", json::<P>(&self.metadata)?));
        }
        Ok(headers)
    }
}

fn header(name: &'static str, value: impl Into<Vec<u8>>) -> Header<'static> {
    Header { key: Cow::Borrowed(name), value: Some(Cow::Owned(value.into())) }
}

fn json<P: Event>(part: &impl Serialize) -> Result<Vec<u8>, SendError> {
    let topic = P::TOPIC.as_str();
    let refused = |error: serde_json::Error| SendError::Serialization {
        topic: topic.into(),
        part: "value",
        reason: error.to_string(),
    };
    serde_json::to_vec(part).map_err(refused)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::SystemTime};

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        Failure,
        dead_letter::{DeadLetters, FailureReport},
        event::{
            TopicName,
            testing::{Registered, registered},
        },
        testing::too_large,
    };

    fn cloud() -> Format {
        Format::CloudEvents(CloudEvents::from_source("/casino/registration").unwrap())
    }

    fn texts<'r>(record: &'r Record<'_>) -> Vec<(&'r str, &'r str)> {
        let text = |header: &'r Header<'_>| (&*header.key, str::from_utf8(header.value.as_deref().unwrap()).unwrap());
        record.headers().iter().map(text).collect()
    }

    fn minimal() -> Envelope<Registered> {
        Envelope::builder(Registered::default()).brand_id("brand-1").user_id("player-7").build().unwrap()
    }

    #[test]
    fn by_default_the_value_is_the_envelope_and_a_header_has_the_id() {
        let envelope = registered().build().unwrap();
        let record = envelope.record(&Format::default()).unwrap();
        assert_eq!(record.topic(), "casino.player.registered.v1");
        assert_eq!(texts(&record), [("eventId", "0193a5b0-7c1e-7000-8000-000000000001")]);
        assert_eq!(Envelope::decode(record.value_bytes().unwrap()).ok(), Some(envelope.clone()));
    }

    #[test]
    fn the_key_is_the_users_id_and_partition_and_timestamp_are_left_to_the_producer() {
        let envelope = registered().build().unwrap();
        for format in [Format::Json, cloud()] {
            let record = envelope.record(&format).unwrap();
            assert_eq!(record.key_bytes(), Some(&b"player-7"[..]));
            assert_eq!((record.explicit_partition(), record.explicit_timestamp()), (None, None));
            assert_eq!(record.key("table-3").key_bytes(), Some(&b"table-3"[..]), "unless the caller chooses another");
        }
    }

    #[test]
    fn as_a_cloud_event_the_value_is_the_payload_and_headers_say_all_else() {
        let envelope = registered().build().unwrap();
        let record = envelope.record(&cloud()).unwrap();
        assert_eq!(record.topic(), "casino.player.registered.v1");
        assert_eq!(record.value_bytes(), Some(&br#"{"country":"EE","age":30}"#[..]));
        let expected = [
            ("ce_specversion", "1.0"),
            ("ce_id", "0193a5b0-7c1e-7000-8000-000000000001"),
            ("ce_source", "/casino/registration"),
            ("ce_type", "casino.player.registered.v1"),
            ("ce_time", "2026-11-27T17:33:08.250Z"),
            ("ce_subject", "EE"),
            ("content-type", "application/json"),
            ("ce_eventversion", "1.2"),
            ("ce_brandid", "brand-1"),
            ("ce_userid", "player-7"),
            ("ce_correlationid", "request-9"),
            ("ce_metadata", r#"{"service":"registration","source":"web","traceId":"4bf9","try":2}"#),
        ];
        assert_eq!(texts(&record), expected);
    }

    #[test]
    fn a_cloud_event_has_no_header_for_what_the_event_does_not_have() {
        let envelope = minimal();
        let record = envelope.record(&cloud()).unwrap();
        let absent = ["ce_subject", "ce_correlationid", "ce_metadata", "eventId"];
        assert!(absent.iter().all(|name| record.last_header(name).is_none()), "{:?}", texts(&record));
    }

    #[test]
    fn names_of_attributes_are_those_that_cloud_events_allows() {
        let envelope = registered().build().unwrap();
        for (name, _) in texts(&envelope.record(&cloud()).unwrap()) {
            let attribute = name.strip_prefix("ce_").unwrap_or("datacontenttype");
            assert!((1..=20).contains(&attribute.len()), "{name}");
            assert!(attribute.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{name}");
        }
    }

    #[test]
    fn a_source_is_a_uri_or_a_part_of_one() {
        for source in ["/casino/registration", "https://casino.example/a?b=c#d", "urn:uuid:6b1f", "a%20b"] {
            assert!(CloudEvents::from_source(source).is_ok(), "{source}");
        }
        for (source, got) in [("", "an empty one"), ("a b", "' '"), ("a\n", "'\\n'"), ("für", "'ü'"), ("<a>", "'<'")]
        {
            let error = CloudEvents::from_source(source).unwrap_err().to_string();
            assert!(error.contains(got), "{error}");
        }
    }

    #[test]
    fn a_payload_that_cannot_be_json_is_refused_as_a_serializer_does() {
        #[derive(Serialize)]
        struct Odd {
            by_place: BTreeMap<(u8, u8), u8>,
        }
        impl Event for Odd {
            const TOPIC: TopicName<'static> = TopicName::new("casino.table.opened.v1");
        }
        let odd = Odd { by_place: BTreeMap::from([((1, 2), 3)]) };
        let envelope = Envelope::builder(odd).brand_id("brand-1").user_id("player-7").build().unwrap();
        for format in [Format::Json, cloud()] {
            let refused = Failure::from(envelope.record(&format).unwrap_err());
            assert_eq!((refused.type_name(), refused.is_fatal()), ("SendError::Serialization", true));
            let text = refused.to_string();
            assert!(text.contains("the value of a record for casino.table.opened.v1: key must be a string"), "{text}");
        }
    }

    #[test]
    fn a_dead_letter_has_the_id_of_the_event_in_each_format() {
        let envelope = registered().build().unwrap();
        let plain = DeadLetters::with_suffix(".dlq");
        let cases = [(Format::Json, plain.clone()), (cloud(), plain.event_id_from("ce_id"))];
        for (format, letters) in cases {
            let record = envelope.record(&format).unwrap();
            let failure = too_large();
            let topic = letters.topic_for(record.topic()).unwrap();
            assert_eq!(topic, Registered::TOPIC.dlq());
            let letter = letters.letter(&topic, &record, &FailureReport::once(&failure, SystemTime::UNIX_EPOCH));
            let id = letter.last_header(EVENT_ID).and_then(|header| header.value.as_deref());
            assert_eq!(id, Some(envelope.event_id.to_string().as_bytes()));
        }
    }

    #[test]
    fn any_json_is_kept_in_the_metadata_of_both_formats() {
        let deep = json!({ "a": [null, { "b": "ü\n" }] });
        let envelope = registered().metadata("deep", deep.clone()).build().unwrap();
        let read = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
        let record = envelope.record(&Format::Json).unwrap();
        assert_eq!(read(record.value_bytes().unwrap())["metadata"]["deep"], deep);
        let record = envelope.record(&cloud()).unwrap();
        assert_eq!(read(record.last_header("ce_metadata").unwrap().value.as_deref().unwrap())["deep"], deep);
    }
}
