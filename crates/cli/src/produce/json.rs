//! Makes a record of a line of JSON, as `milena consume --output json` prints it.
//!
//! In: a line. Out: its record, which borrows from the line where it can, or where the line is wrong. Pure.

use std::borrow::Cow;

use milena::{Header, Record};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    layout::with_value,
    template::{Template, time},
};
use crate::encoding::{Encoding, Wrong};

/// What becomes of a line's topic and partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Json {
    /// Whether the partitioner chooses the partition, whatever the line says.
    pub(crate) places_anew: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenLine<'a> {
    topic: Option<&'a str>,
    partition: Option<i32>,
    #[serde(rename = "offset")]
    _offset: Option<IgnoredAny>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(rename = "timestamp_type")]
    _timestamp_type: Option<SetBy>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    key_base64: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    value_base64: Option<&'a RawValue>,
    #[serde(borrow, default)]
    headers: Vec<GivenHeader<'a>>,
}

/// Who sets timestamps is a setting of the topic, so a record cannot have it; but a wrong word is an error.
#[derive(Deserialize)]
enum SetBy {
    CreateTime,
    LogAppendTime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenHeader<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    value_base64: Option<&'a RawValue>,
}

impl Json {
    /// The record of a line. What `template` has counts before what the line has, but for the key.
    pub(crate) fn record<'a>(self, template: &'a Template, line: &'a [u8]) -> Result<Record<'a>, Wrong> {
        let parsed: GivenLine<'a> = serde_json::from_slice(line).map_err(|error| not_json(&error))?;
        let part = |(name, plain), encoded| bytes(line, name, plain, encoded);
        let topic = if template.topic.is_empty() { parsed.topic.unwrap_or_default() } else { &template.topic };
        if topic.is_empty() {
            return Err(Wrong::new(0, "expected a topic, in the line or by --topic"));
        }
        let mut record = Record::to(topic);
        let own_partition = parsed.partition.filter(|_| !self.places_anew);
        if let Some(partition) = template.partition.or(own_partition) {
            record = record.partition(partition);
        }
        if let Some(timestamp) =
            template.timestamp.map_or_else(|| timestamp(line, parsed.timestamp), |ms| Ok(Some(ms)))?
        {
            record = record.timestamp(timestamp);
        }
        let headers = template.headers.iter().map(|(name, value)| Header::new(name, value.as_bytes()));
        record = headers.fold(record, Record::with_header);
        for GivenHeader { key, value, value_base64 } in parsed.headers {
            let value = part(("value", value), value_base64)?;
            record = record.with_header(Header { key, value });
        }
        let value = part(("value", parsed.value), parsed.value_base64)?;
        Ok(match part(("key", parsed.key), parsed.key_base64)? {
            None => with_value(record, template, value),
            key => record.with_payload(key, value),
        })
    }
}

fn not_json(error: &serde_json::Error) -> Wrong {
    let text = error.to_string();
    let why = text.rsplit_once(" at line ").map_or(text.as_str(), |(why, _)| why);
    Wrong::new(error.column().saturating_sub(1), why)
}

/// The bytes of a text, of base64, or of any other JSON, which stands for itself; `None` is null.
fn bytes<'a>(
    line: &[u8],
    name: &str,
    plain: Option<&'a RawValue>,
    encoded: Option<&'a RawValue>,
) -> Result<Option<Cow<'a, [u8]>>, Wrong> {
    match (plain, encoded) {
        (Some(_), Some(encoded)) => {
            Err(Wrong::new(place(line, encoded), format!("expected {name} or {name}_base64, got both")))
        }
        (None, None) => Ok(None),
        (Some(plain), None) if !plain.get().starts_with('"') => Ok(Some(Cow::Borrowed(plain.get().as_bytes()))),
        (Some(plain), None) => Ok(Some(match text(line, plain)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })),
        (None, Some(encoded)) => {
            let text = text(line, encoded)?;
            let decoded =
                Encoding::Base64.decode(text.as_bytes()).map_err(|wrong| wrong.behind(place(line, encoded) + 1))?;
            Ok(Some(Cow::Owned(decoded.into_owned())))
        }
    }
}

fn text<'a>(line: &[u8], raw: &'a RawValue) -> Result<Cow<'a, str>, Wrong> {
    if let Ok(text) = serde_json::from_str(raw.get()) {
        return Ok(Cow::Borrowed(text));
    }
    let owned: Result<String, _> = serde_json::from_str(raw.get());
    owned.map(Cow::Owned).map_err(|error| not_json(&error).behind(place(line, raw)))
}

/// The timestamp; none if the producer set none, which is -1.
fn timestamp(line: &[u8], raw: Option<&RawValue>) -> Result<Option<i64>, Wrong> {
    let Some(raw) = raw.filter(|raw| raw.get() != "-1") else { return Ok(None) };
    let written = if raw.get().starts_with('"') { text(line, raw)? } else { Cow::Borrowed(raw.get()) };
    time(&written).map(Some).map_err(|why| Wrong::new(place(line, raw), why))
}

/// Where a part of the line begins.
fn place(line: &[u8], part: &RawValue) -> usize {
    (part.get().as_ptr() as usize).saturating_sub(line.as_ptr() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(topic: &str) -> Template {
        Template { topic: topic.into(), ..Template::default() }
    }

    /// A record as text: `topic|partition|timestamp|headers|key|value`; `-` is null or none.
    fn told(json: Json, template: &Template, line: &str) -> Result<String, String> {
        let record = json.record(template, line.as_bytes()).map_err(|wrong| wrong.to_string())?;
        let text = |bytes: Option<&[u8]>| bytes.map_or_else(|| "-".into(), |bytes| bytes.escape_ascii().to_string());
        let number = |number: Option<i64>| number.map_or_else(|| "-".into(), |number| number.to_string());
        let headers = record.headers().iter().map(|h| format!("{}={} ", h.key, text(h.value.as_deref())));
        Ok(format!(
            "{}|{}|{}|{}|{}|{}",
            record.topic(),
            number(record.explicit_partition().map(i64::from)),
            number(record.explicit_timestamp()),
            headers.collect::<String>(),
            text(record.key_bytes()),
            text(record.value_bytes()),
        ))
    }

    #[test]
    fn lines_become_records() {
        for (line, expected) in [
            (r#"{}"#, "t|-|-||-|-"),
            (r#"{"value":"v"}"#, "t|-|-||-|v"),
            (r#"{"value":null,"key":""}"#, "t|-|-|||-"),
            (r#"{"value":"a\"\u00e9\n","key":"k"}"#, r#"t|-|-||k|a\"\xc3\xa9\n"#),
            (r#"{"value":{"a": [1, 2.0]},"key":7}"#, r#"t|-|-||7|{\"a\": [1, 2.0]}"#),
            (r#"{"value":true}"#, "t|-|-||-|true"),
            (r#"{"value_base64":"AP8=","key_base64":"\/w=="}"#, r"t|-|-||\xff|\x00\xff"),
            (
                r#"{"topic":"o","partition":2,"offset":9,"timestamp":17,"timestamp_type":"LogAppendTime"}"#,
                "o|2|17||-|-",
            ),
            (r#"{"timestamp":"1970-01-01T00:00:01Z"}"#, "t|-|1000||-|-"),
            (r#"{"timestamp":-1,"partition":null}"#, "t|-|-||-|-"),
            (
                r#"{"headers":[{"key":"a","value":"1"},{"key":"a","value":null},{"key":"\"","value_base64":"/w=="}]}"#,
                r#"t|-|-|a=1 a=- "=\xff |-|-"#,
            ),
        ] {
            let topic = if line.contains("topic") { "" } else { "t" };
            assert_eq!(told(Json::default(), &template(topic), line), Ok(expected.into()), "{line}");
        }
    }

    #[test]
    fn arguments_count_before_what_the_line_says() {
        let line = r#"{"topic":"o","partition":2,"timestamp":17,"key":null}"#;
        let all = Template { partition: Some(1), timestamp: Some(18), key: Some(b"k".to_vec()), ..template("t") };
        assert_eq!(told(Json::default(), &all, line), Ok("t|1|18||k|-".into()));
        assert_eq!(told(Json { places_anew: true }, &template("t"), line), Ok("t|-|17||-|-".into()));
    }

    #[test]
    fn an_error_names_the_column_and_what_was_expected() {
        for (line, expected) in [
            ("", "column 1: EOF while parsing a value"),
            (r#"{"value":"v""#, "column 12: EOF while parsing an object"),
            (r#"{"val":"v"}"#, "column 6: unknown field `val`, expected one of `topic`, `partition`, `offset`"),
            (r#"{"partition":"1"}"#, "column 16: invalid type: string \"1\", expected i32"),
            (r#"{"key":"a","key_base64":"YQ=="}"#, "column 25: expected key or key_base64, got both"),
            (r#"{"value_base64":"A*=="}"#, "column 19: expected base64, got '*'"),
            (r#"{"timestamp":"noon"}"#, "column 14: expected milliseconds since 1970"),
            (
                r#"{"timestamp_type":"Mine"}"#,
                "column 24: unknown variant `Mine`, expected `CreateTime` or `LogAppendTime`",
            ),
        ] {
            let error = told(Json::default(), &template("t"), line).unwrap_err();
            assert!(error.starts_with(expected), "{line}: {error}");
        }
        let error = told(Json::default(), &template(""), "{}").unwrap_err();
        assert_eq!(error, "column 1: expected a topic, in the line or by --topic");
    }
}
