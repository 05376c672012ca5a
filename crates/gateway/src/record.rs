//! Records as JSON: what `POST /api/v1/topics/{topic}/records` reads.
//!
//! In: text. Out: an [`Order`], or the problem with it. Pure. How key, value and headers are written is said explicitly, by
//! `{"text": "…"}`, `{"json": …}` or `{"base64": "…"}`; nothing, or `null`, is null. Deliberately absent: guessing.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use milena::Header;
use serde::Deserialize;
use serde_json::{Number, value::RawValue};

use crate::{
    config::Limits,
    order::Order,
    problem::{Kind, Problem},
};

/// Up to here every whole number is a `f64` of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

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
    #[serde(default)]
    partition: Option<Number>,
    #[serde(default)]
    timestamp: Option<Number>,
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
        partition: written.partition.map(|number| whole("partition", &number)).transpose()?,
        timestamp: written.timestamp.map(|number| whole("timestamp", &number)).transpose()?,
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

/// A whole number, which JSON may write as `1.0` too.
fn whole<T: TryFrom<i64>>(what: &str, number: &Number) -> Result<T, Problem> {
    // It is whole, and no larger than that every whole number is a `f64` of its own.
    let of_decimal = |number: f64| (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64);
    let read = number.as_i64().or_else(|| number.as_f64().and_then(of_decimal));
    read.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        unreadable(&format!("{what}: expected a whole number of {} bits, got {number}", 8 * size_of::<T>()))
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
            (r#"{"partition": 2147483648}"#, "partition: expected a whole number of 32 bits, got 2147483648"),
            (r#"{"timestamp": 1.5}"#, "timestamp: expected a whole number of 64 bits, got 1.5"),
            (r#"{"timestamp": {}}"#, "invalid type: map, expected a JSON number at line 1 column 16"),
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
