//! Records as JSON: what `POST /api/v1/topics/{topic}/records` reads.
//!
//! In: text. Out: an [`Order`], or the problem with it. Pure. How key, value and headers are written is said explicitly, by
//! `{"text": "…"}`, `{"json": …}` or `{"base64": "…"}`; nothing, or `null`, is null. Deliberately absent: guessing.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use milena::Header;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    config::Limits,
    order::Order,
    problem::{Kind, Problem},
};

/// A record as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow, default)]
    key: Option<Data<'a>>,
    #[serde(borrow, default)]
    value: Option<Data<'a>>,
    #[serde(borrow, default)]
    headers: Vec<WrittenHeader<'a>>,
    #[serde(default, deserialize_with = "whole")]
    partition: Option<i32>,
    #[serde(default, deserialize_with = "whole")]
    timestamp: Option<i64>,
}

/// Reads a whole number or null. `7.0` is a whole number in JSON, whatever it is in Rust.
fn whole<'de, D: Deserializer<'de>, T: TryFrom<i64>>(from: D) -> Result<Option<T>, D::Error> {
    let Some(number) = from.deserialize_any(Whole)? else { return Ok(None) };
    let beyond = |_| D::Error::invalid_value(Unexpected::Signed(number), &"a number within the limits of its type");
    T::try_from(number).map(Some).map_err(beyond)
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a whole number or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        i64::try_from(number).map(Some).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        // From 2^63 on it is no i64.
        let is_whole = number.fract() == 0.0 && (-(2f64.powi(63))..2f64.powi(63)).contains(&number);
        is_whole.then_some(Some(number as i64)).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHeader<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Option<Data<'a>>,
}

/// Bytes, and how they are written.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Data<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Json(#[serde(borrow)] &'a RawValue),
    Base64(#[serde(borrow)] Cow<'a, str>),
}

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Records<'a> {
    /// An object: one record.
    One(&'a str),
    /// An array: each element is a record.
    Batch(Vec<&'a RawValue>),
}

/// Reads the outside of a body.
pub(crate) fn records<'a>(body: &'a [u8], limits: &Limits) -> Result<Records<'a>, Problem> {
    let text =
        str::from_utf8(body).map_err(|error| unreadable(&format!("no UTF-8 from byte {} on", error.valid_up_to())))?;
    if !text.trim_start().starts_with('[') {
        return Ok(Records::One(text));
    }
    let batch: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| unreadable(&error.to_string()))?;
    match batch.len() {
        0 => Err(unreadable("expected at least one record in the array, got none")),
        len if len > limits.batch => {
            Err(too_large(&format!("expected at most {} records in a batch, got {len}", limits.batch)))
        }
        _ => Ok(Records::Batch(batch)),
    }
}

/// Reads one record for a topic.
pub(crate) fn order<'a>(topic: &'a str, text: &'a str, limits: &Limits) -> Result<Order<'a>, Problem> {
    let written: Written<'a> = serde_json::from_str(text).map_err(|error| unreadable(&error.to_string()))?;
    let headers = written
        .headers
        .into_iter()
        .map(|WrittenHeader { name, value }| Ok(Header { key: name, value: bytes("a header's value", value)? }));
    let order = Order {
        topic: Cow::Borrowed(topic),
        partition: written.partition,
        timestamp: written.timestamp,
        key: bytes("key", written.key)?,
        value: bytes("value", written.value)?,
        headers: headers.collect::<Result<_, Problem>>()?,
    };
    check(&order, limits)?;
    Ok(order)
}

/// Holds an order against the limits.
pub(crate) fn check(order: &Order<'_>, limits: &Limits) -> Result<(), Problem> {
    let key = order.key.as_ref().map_or(0, |key| key.len());
    for (what, got, limit) in [
        ("bytes of key", key, limits.key),
        ("headers", order.headers.len(), limits.headers),
        ("bytes of headers", order.header_bytes(), limits.header_bytes),
    ] {
        if got > limit {
            return Err(too_large(&format!("expected at most {limit} {what}, got {got}")));
        }
    }
    if let Some(partition @ ..0) = order.partition {
        return Err(unreadable(&format!("expected a partition from 0 on, got {partition}")));
    }
    Ok(())
}

fn bytes<'a>(what: &str, data: Option<Data<'a>>) -> Result<Option<Cow<'a, [u8]>>, Problem> {
    Ok(match data {
        None => None,
        Some(Data::Text(Cow::Borrowed(text))) => Some(Cow::Borrowed(text.as_bytes())),
        Some(Data::Text(Cow::Owned(text))) => Some(Cow::Owned(text.into_bytes())),
        Some(Data::Json(raw)) => Some(Cow::Borrowed(raw.get().as_bytes())),
        Some(Data::Base64(text)) => {
            let decoded = STANDARD.decode(text.as_bytes());
            Some(Cow::Owned(decoded.map_err(|error| unreadable(&format!("{what} is no base64: {error}")))?))
        }
    })
}

fn unreadable(why: &str) -> Problem {
    Problem::new(Kind::BadBody, why)
}

fn too_large(why: &str) -> Problem {
    Problem::new(Kind::TooLarge, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { body: 1_000, key: 10, headers: 2, header_bytes: 20, batch: 3 };

    fn read(text: &str) -> Result<Order<'static>, Problem> {
        order("t", text, &LIMITS).map(Order::into_owned)
    }

    fn refusal(text: &str) -> (u16, String) {
        let problem = read(text).expect_err(text);
        (problem.status(), problem.detail().to_owned())
    }

    #[test]
    fn bytes_are_written_as_text_as_json_or_as_base64() {
        for (data, bytes) in [
            (r#"{"text": "é\n"}"#, "é\n"),
            (r#"{"text": ""}"#, ""),
            (r#"{"json": {"b": 1,  "a": [1.50]}}"#, r#"{"b": 1,  "a": [1.50]}"#),
            (r#"{"json": "x"}"#, r#""x""#),
            (r#"{"json": null}"#, "null"),
            (r#"{"base64": "YWI="}"#, "ab"),
        ] {
            let order = read(&format!(r#"{{"value": {data}}}"#)).expect(data);
            assert_eq!(order.value.as_deref(), Some(bytes.as_bytes()), "{data}");
        }
    }

    #[test]
    fn what_is_absent_or_null_is_null() {
        for text in ["{}", r#"{"key": null, "value": null, "partition": null, "timestamp": null}"#] {
            let order = read(text).unwrap();
            assert_eq!((order.key, order.value, order.partition, order.timestamp), (None, None, None, None), "{text}");
        }
    }

    #[test]
    fn headers_keep_their_order_and_repeated_names() {
        let order = read(r#"{"headers": [{"name": "a", "value": {"text": "1"}}, {"name": "a"}]}"#).unwrap();
        assert_eq!(order.headers, [Header::new("a", b"1"), Header::null("a")]);
        let order = read(r#"{"partition": 2, "timestamp": 1700000000000, "key": {"text": "k"}}"#).unwrap();
        assert_eq!((order.partition, order.timestamp), (Some(2), Some(1_700_000_000_000)));
        assert_eq!(order.key.as_deref(), Some(&b"k"[..]));
    }

    #[test]
    fn a_whole_number_is_one_however_json_writes_it() {
        for (written, partition) in [("2.0", Some(2)), ("2e0", Some(2)), ("0", Some(0)), ("null", None)] {
            assert_eq!(read(&format!(r#"{{"partition": {written}}}"#)).unwrap().partition, partition, "{written}");
        }
        for written in ["2.5", "1e300", "-1e300", "true", "\"2\"", "9223372036854775808"] {
            assert_eq!(refusal(&format!(r#"{{"timestamp": {written}}}"#)).0, 400, "{written}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        for (text, expected) in [
            ("", "EOF while parsing a value"),
            ("{", "EOF while parsing an object at line 1 column 1"),
            ("7", "invalid type: integer `7`, expected struct"),
            (r#"{"vaule": {"text": "x"}}"#, "unknown field `vaule`, expected one of `key`, `value`"),
            (r#"{"value": "x"}"#, "unknown variant `x`, expected one of `text`, `json`, `base64`"),
            (r#"{"value": {"utf8": "x"}}"#, "unknown variant `utf8`"),
            (r#"{"value": {"base64": "?"}}"#, "value is no base64"),
            (r#"{"partition": -1}"#, "expected a partition from 0 on, got -1"),
            (r#"{"partition": 2147483648}"#, "invalid value"),
            ("{} {}", "trailing characters"),
        ] {
            let (status, detail) = refusal(text);
            assert_eq!(status, 400, "{text}");
            assert!(detail.contains(expected), "{text}: {detail}");
        }
    }

    #[test]
    fn limits_are_named_with_what_was_got() {
        for (text, expected) in [
            (r#"{"key": {"text": "12345678901"}}"#, "expected at most 10 bytes of key, got 11"),
            (r#"{"headers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}"#, "expected at most 2 headers, got 3"),
            (r#"{"headers": [{"name": "123456789012345678901"}]}"#, "expected at most 20 bytes of headers, got 21"),
        ] {
            assert_eq!(refusal(text), (413, expected.to_owned()));
        }
        let batch = records(b"[{},{},{},{}]", &LIMITS).unwrap_err();
        assert_eq!((batch.status(), batch.detail()), (413, "expected at most 3 records in a batch, got 4"));
    }

    #[test]
    fn an_object_is_a_record_and_an_array_a_batch() {
        assert!(matches!(records(b" {}", &LIMITS), Ok(Records::One(" {}"))));
        let Ok(Records::Batch(batch)) = records(b" [{}, 7]", &LIMITS) else { panic!("a batch") };
        assert_eq!(batch.iter().map(|raw| raw.get()).collect::<Vec<_>>(), ["{}", "7"]);
        for body in [&b"[]"[..], b"[{}", b"\xff", b"[{},]"] {
            assert_eq!(records(body, &LIMITS).unwrap_err().status(), 400, "{body:?}");
        }
    }
}
