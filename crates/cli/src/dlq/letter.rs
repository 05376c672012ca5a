//! A record of a dead-letter topic, read as a letter.
//!
//! In: a record. Out: what it says of its failure, and the record that it was made of. Pure. A letter has the headers of the original
//! record, then those that say why it failed, of which `originalTopic` is the first (see `milena_resilience::dead_letter`). So the
//! last header of that name is where the letter's own begin. What anybody wrote into a topic is untrusted.

use std::borrow::Cow;

use milena::admin::ConsumedRecord;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How often the record was replayed, in the headers of the record itself.
pub(super) const REPLAYS: &str = "dlqReplays";
const ORIGINAL_TOPIC: &str = "originalTopic";

/// A record and what it says.
pub(super) struct Letter<'a> {
    pub(super) record: &'a ConsumedRecord,
    /// How many of its headers are those of the original record.
    originals: usize,
    body: Option<Body<'a>>,
}

/// The value of a letter that tells all in its value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    original_event: &'a RawValue,
    error: String,
    attempts: u32,
    #[serde(rename = "timestamp")]
    _timestamp: String,
}

impl<'a> Letter<'a> {
    /// Reads a record.
    pub(super) fn of(record: &'a ConsumedRecord) -> Self {
        let originals = record.headers.iter().rposition(|(name, _)| name == ORIGINAL_TOPIC);
        let mut letter = Self { record, originals: originals.unwrap_or(record.headers.len()), body: None };
        letter.body = letter.read_body();
        letter
    }

    /// A value is a body only if the headers say the same, because the value of any record can look like one.
    fn read_body(&self) -> Option<Body<'a>> {
        let has_headers = self.original_topic().is_some();
        if has_headers && self.reason("content-type") != Some("application/json") {
            return None;
        }
        let body: Body<'a> = serde_json::from_slice(self.record.value.as_deref()?).ok()?;
        let agrees = |message: &str| body.error.starts_with(message);
        self.reason("errorMessage").is_none_or(agrees).then_some(body)
    }

    /// The letter's own headers.
    fn reasons(&self) -> impl DoubleEndedIterator<Item = &'a (String, Option<bytes::Bytes>)> {
        self.record.headers.iter().skip(self.originals)
    }

    /// One of them, if it is text.
    fn reason(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.reasons().rev().find(|(found, _)| found == name)?;
        str::from_utf8(value.as_deref()?).ok()
    }

    /// The topic that the record was for.
    pub(super) fn original_topic(&self) -> Option<&'a str> {
        self.reason(ORIGINAL_TOPIC)
    }

    /// The Kafka error code's name, or `NONE`.
    pub(super) fn error_code(&self) -> Option<&'a str> {
        self.reason("errorCode")
    }

    /// The error's type and variant.
    pub(super) fn error_type(&self) -> Option<&'a str> {
        self.reason("errorType")
    }

    /// Whether the record may be in its topic: `no` or `unknown`.
    pub(super) fn persisted(&self) -> Option<&'a str> {
        self.reason("persisted")
    }

    /// How often the record was sent.
    pub(super) fn attempts(&self) -> Option<u32> {
        let header = self.reason("attempts").and_then(|number| number.parse().ok());
        header.or_else(|| self.body.as_ref().map(|body| body.attempts))
    }

    /// The error's text; that of the body is whole.
    pub(super) fn message(&self) -> Option<&str> {
        self.body.as_ref().map(|body| &*body.error).or_else(|| self.reason("errorMessage"))
    }

    /// The event's id.
    pub(super) fn event_id(&self) -> Option<&'a str> {
        let own = || self.original_header("eventId");
        self.reason("eventId").or_else(|| str::from_utf8(own()?).ok())
    }

    /// How often the record was replayed before.
    ///
    /// # Errors
    /// The header is no number.
    pub(super) fn replays(&self) -> Result<u32, String> {
        let Some(value) = self.original_header(REPLAYS) else { return Ok(0) };
        let number = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| format!("its header {REPLAYS} is no number"))
    }

    /// The headers of the original record.
    pub(super) fn original_headers(&self) -> impl DoubleEndedIterator<Item = (&'a str, Option<&'a [u8]>)> {
        let headers = self.record.headers.iter().take(self.originals);
        headers.map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    fn original_header(&self, name: &str) -> Option<&'a [u8]> {
        self.original_headers().rev().find(|(found, _)| *found == name)?.1
    }

    /// The value of the original record. From a body it is the JSON in there, whose spaces and order of names may differ.
    ///
    /// # Errors
    /// A body does not tell which of several values it was.
    pub(super) fn original_value(&self) -> Result<Option<Cow<'a, [u8]>>, String> {
        let Some(body) = &self.body else { return Ok(self.record.value.as_deref().map(Cow::Borrowed)) };
        let json = body.original_event.get();
        let unclear = match json.as_bytes().first() {
            Some(b'"') => "text, a JSON string or base 16",
            Some(b'n') => "no value or the JSON null",
            _ => return Ok(Some(Cow::Borrowed(json.as_bytes()))),
        };
        Err(format!("the body does not tell whether the value was {unclear}"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;
    use milena::admin::TimestampType;

    use super::*;

    /// A letter with these headers.
    pub(crate) fn consumed(value: &str, headers: &[(&str, &str)]) -> ConsumedRecord {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), Some(Bytes::from((*value).to_owned())));
        ConsumedRecord {
            partition: 0,
            offset: 5,
            timestamp: 0,
            timestamp_type: TimestampType::CreateTime,
            key: Some(Bytes::from_static(b"user-1")),
            value: Some(Bytes::from(value.to_owned())),
            headers: headers.iter().map(header).collect(),
        }
    }

    const WHY: [(&str, &str); 5] = [
        ("originalTopic", "orders"),
        ("errorType", "DeliveryError::Rejected"),
        ("errorCode", "MESSAGE_TOO_LARGE"),
        ("attempts", "3"),
        ("errorMessage", "too large"),
    ];

    #[test]
    fn a_letter_is_told_apart_from_the_record_that_it_was_made_of() {
        let own = [("attempts", "mine"), ("eventId", "6b1f"), ("originalTopic", "elsewhere")];
        let record = consumed("nine", &[&own[..], &WHY].concat());
        let letter = Letter::of(&record);
        assert_eq!((letter.original_topic(), letter.error_code()), (Some("orders"), Some("MESSAGE_TOO_LARGE")));
        assert_eq!(
            (letter.attempts(), letter.message(), letter.event_id()),
            (Some(3), Some("too large"), Some("6b1f"))
        );
        let originals: Vec<_> = letter.original_headers().collect();
        assert_eq!(originals, own.map(|(name, value)| (name, Some(value.as_bytes()))));
        assert_eq!(letter.original_value().unwrap().as_deref(), Some(&b"nine"[..]));
        assert_eq!(letter.replays(), Ok(0));
    }

    #[test]
    fn a_record_that_is_no_letter_keeps_all_its_headers() {
        let record = consumed("nine", &[("errorType", "mine"), ("attempts", "3")]);
        let letter = Letter::of(&record);
        assert_eq!((letter.original_topic(), letter.error_type(), letter.attempts()), (None, None, None));
        assert_eq!(letter.original_headers().count(), 2);
    }

    #[test]
    fn replays_are_counted_in_the_headers_of_the_record() {
        for (value, expected) in
            [("2", Ok(2)), ("0", Ok(0)), ("-1", Err(())), ("two", Err(())), ("99999999999", Err(()))]
        {
            let record = consumed("nine", &[&[(REPLAYS, "1"), (REPLAYS, value)][..], &WHY].concat());
            assert_eq!(Letter::of(&record).replays().map_err(|_| ()), expected, "{value}");
        }
        let record = consumed("nine", &[&WHY[..], &[(REPLAYS, "7")]].concat());
        assert_eq!(Letter::of(&record).replays(), Ok(0), "not where the letter's own headers are");
    }

    fn body(original: &str) -> String {
        format!(
            r#"{{"attempts":4,"error":"too large, by far","original_event":{original},"timestamp":"2026-01-01T00:00:00Z"}}"#
        )
    }

    #[test]
    fn the_value_is_taken_out_of_a_body_where_it_is_clear_what_it_was() {
        let json = [&WHY[..], &[("content-type", "application/json")]].concat();
        for (original, expected) in [
            (r#"{"amount":1.50,"big":12345678901234567890123}"#, Ok(())),
            ("[1]", Ok(())),
            ("-7", Ok(())),
            ("true", Ok(())),
            (r#""nine""#, Err("text, a JSON string or base 16")),
            ("null", Err("no value or the JSON null")),
        ] {
            let record = consumed(&body(original), &json);
            let letter = Letter::of(&record);
            assert_eq!(letter.message(), Some("too large, by far"));
            match (letter.original_value(), expected) {
                (Ok(value), Ok(())) => assert_eq!(value.as_deref(), Some(original.as_bytes())),
                (Err(error), Err(part)) => assert!(error.ends_with(part), "{error}"),
                (got, _) => panic!("{original}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_value_that_only_looks_like_a_body_is_left_as_it_is() {
        let json = ("content-type", "application/json");
        let other_error =
            WHY.map(|(name, value)| if name == "errorMessage" { (name, "refused") } else { (name, value) });
        for headers in [WHY.to_vec(), [&[json][..], &WHY].concat(), [&other_error[..], &[json]].concat()] {
            let (value, headers) = (body("[1]"), headers);
            let record = consumed(&value, &headers);
            let original = Letter::of(&record).original_value().unwrap().unwrap().into_owned();
            assert_eq!(original, value.as_bytes(), "{headers:?}");
        }
    }

    #[test]
    fn a_body_without_headers_tells_its_reason() {
        let record = consumed(&body("[1]"), &[]);
        let letter = Letter::of(&record);
        assert_eq!((letter.attempts(), letter.message()), (Some(4), Some("too large, by far")));
        assert_eq!(letter.original_topic(), None);
    }
}
