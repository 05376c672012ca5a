//! What a request asks for.
//!
//! In: the query of a URL, as it was sent. Out: parameters, borrowed from it where nothing is escaped, or the problem with the first
//! parameter that is wrong. Pure. A parameter that is unknown, repeated, empty or no text is refused rather than passed over: a caller who
//! writes `sendmode=async` is told so. Deliberately absent: bodies, which are in [`crate::record`].

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::problem::{Kind, Problem};

/// The longest event id, in characters.
pub(crate) const MAX_EVENT_ID: usize = 256;

/// The parameters of `POST /api/v1/send`.
pub(crate) const SEND_PARAMETERS: [&str; 6] = ["mode", "sendMode", "eventId", "key", "partition", "topic"];

/// The longest name of a topic, in bytes.
const MAX_TOPIC: usize = 249;

/// Which producer sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `enable.idempotence=false`: a retry may write a record twice.
    Plain,
    /// `enable.idempotence=true`: a retry writes a record once.
    #[default]
    Idempotent,
}

impl Mode {
    /// As it is written in a query, and in an answer.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Idempotent => "idempotent",
        }
    }
}

/// When a request is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SendMode {
    /// When its record has an outcome.
    #[default]
    Sync,
    /// At once; the outcome is asked for by the request's id.
    Async,
}

/// The parameters of `POST /api/v1/send`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SendQuery<'a> {
    /// `mode`, by default `idempotent`.
    pub(crate) mode: Mode,
    /// `sendMode`, by default `sync`.
    pub(crate) send_mode: SendMode,
    /// `eventId`; without it there is a new one.
    pub(crate) event_id: Option<Cow<'a, str>>,
    /// `key`; without it the record has none.
    pub(crate) key: Option<Cow<'a, str>>,
    /// `partition`; without it the key decides, or the producer.
    pub(crate) partition: Option<i32>,
    /// `topic`; without it the gateway's default topic.
    pub(crate) topic: Option<Cow<'a, str>>,
}

impl<'a> SendQuery<'a> {
    /// Reads the query of a URL, without its question mark.
    ///
    /// # Errors
    /// The first parameter that is wrong, and what was expected.
    pub(crate) fn read(query: &'a str) -> Result<Self, Problem> {
        let [mode, send_mode, event_id, key, partition, topic] = parameters(query, SEND_PARAMETERS)?;
        Ok(Self {
            mode: mode.map_or(Ok(Mode::Idempotent), |text| read_mode(&text))?,
            send_mode: send_mode.map_or(Ok(SendMode::Sync), |text| read_send_mode(&text))?,
            event_id: event_id.map(check_event_id).transpose()?,
            key,
            partition: partition.map(|text| read_partition(&text)).transpose()?,
            topic,
        })
    }
}

/// Reads the query of `POST /api/v1/topics/{topic}/records`, which has `mode` only.
///
/// # Errors
/// As [`SendQuery::read`].
pub(crate) fn records_query(query: &str) -> Result<Mode, Problem> {
    let [mode] = parameters(query, ["mode"])?;
    mode.map_or(Ok(Mode::Idempotent), |text| read_mode(&text))
}

/// Reads the query of `GET /api/v1/status`: the id of a request.
///
/// # Errors
/// As [`SendQuery::read`]; the id is missing.
pub(crate) fn status_query(query: &str) -> Result<Cow<'_, str>, Problem> {
    let [id] = parameters(query, ["requestId"])?;
    id.ok_or_else(|| bad("requestId", "expected the id of a request that was answered with 202, got none"))
}

/// Reads the header `Idempotency-Key`: text, with or without quotation marks.
///
/// # Errors
/// It is not one key of 1 to 255 visible characters.
pub(crate) fn idempotency_key<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a str>, Problem> {
    let mut values = values.into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    let value = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    let is_key = (1..=255).contains(&value.len())
        && value.iter().all(u8::is_ascii_graphic)
        && !value.starts_with(b"\"")
        && values.next().is_none();
    match str::from_utf8(value) {
        Ok(key) if is_key => Ok(Some(key)),
        _ => Err(bad("Idempotency-Key", "expected one key of 1 to 255 visible characters of ASCII")),
    }
}

/// Decodes one part of a path.
///
/// # Errors
/// It is no text.
pub(crate) fn path_part<'a>(name: &str, part: &'a str) -> Result<Cow<'a, str>, Problem> {
    text(name, percent_decode_str(part).decode_utf8().ok())
}

/// Checks the name of a topic, as Kafka does (`org.apache.kafka.common.internals.Topic.validate`).
///
/// # Errors
/// It is none.
pub(crate) fn check_topic(name: &str) -> Result<(), Problem> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.len() <= MAX_TOPIC && !matches!(name, "" | "." | "..") && name.bytes().all(is_legal) {
        return Ok(());
    }
    Err(unexpected("topic", "1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-', and not '.' or '..'", name))
}

fn read_mode(text: &str) -> Result<Mode, Problem> {
    let mode = [Mode::Plain, Mode::Idempotent].into_iter().find(|mode| mode.name() == text);
    mode.ok_or_else(|| unexpected("mode", "plain or idempotent", text))
}

fn read_send_mode(text: &str) -> Result<SendMode, Problem> {
    match text {
        "sync" => Ok(SendMode::Sync),
        "async" => Ok(SendMode::Async),
        _ => Err(unexpected("sendMode", "sync or async", text)),
    }
}

fn read_partition(text: &str) -> Result<i32, Problem> {
    let number = text.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| unexpected("partition", "a number from 0 to 2147483647", text))
}

fn check_event_id(id: Cow<'_, str>) -> Result<Cow<'_, str>, Problem> {
    // As many bytes are at least as many characters.
    let len = if id.len() > MAX_EVENT_ID { id.chars().count() } else { 0 };
    if len > MAX_EVENT_ID {
        return Err(bad("eventId", &format!("expected at most {MAX_EVENT_ID} characters, got {len}")));
    }
    // Of ASCII a byte is a character, and sooner looked at.
    let is_plain = id.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control());
    if !is_plain && id.chars().any(char::is_control) {
        return Err(bad("eventId", "expected text without control characters"));
    }
    Ok(id)
}

/// The values of these parameters, each of which may be given once.
fn parameters<'a, const N: usize>(query: &'a str, names: [&str; N]) -> Result<[Option<Cow<'a, str>>; N], Problem> {
    let mut values = [const { None }; N];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(at) = names.iter().position(|known| *known == name) else {
            return Err(bad(&shown(name), &format!("no such parameter; there are {}", names.join(", "))));
        };
        if values[at].is_some() {
            return Err(bad(name, "expected once, got it more than once"));
        }
        values[at] = Some(text(name, decode(value))?);
    }
    Ok(values)
}

/// The text of a form's value. `None` if it is no UTF-8.
fn decode(value: &str) -> Option<Cow<'_, str>> {
    // Most values have nothing to decode.
    if !value.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Some(Cow::Borrowed(value));
    }
    if !value.contains('+') {
        return percent_decode_str(value).decode_utf8().ok();
    }
    let spaced = value.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()))
}

fn text<'a>(name: &str, text: Option<Cow<'a, str>>) -> Result<Cow<'a, str>, Problem> {
    match text {
        None => Err(bad(name, "expected UTF-8, each byte as itself or as % and two hexadecimal digits")),
        Some(text) if text.is_empty() => Err(bad(name, "expected text, got nothing; leave it out if there is none")),
        Some(text) if text.as_bytes().contains(&0) => Err(bad(name, "expected text, got a NUL in it")),
        Some(text) => Ok(text),
    }
}

fn unexpected(name: &str, expected: &str, got: &str) -> Problem {
    bad(name, &format!("expected {expected}, got {:?}", shown(got)))
}

fn bad(name: &str, what: &str) -> Problem {
    Problem::new(Kind::BadParameter, format!("{name}: {what}"))
}

/// The beginning of what a caller sent.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_topic_is_checked_as_kafka_does() {
        let long = "t".repeat(250);
        for (name, is_good) in [
            ("orders", true),
            (".a", true),
            ("A_b-9.", true),
            (".", false),
            ("..", false),
            ("a b", false),
            ("é", false),
        ] {
            assert_eq!(check_topic(name).is_ok(), is_good, "{name}");
        }
        assert_eq!((check_topic(&long[..249]).is_ok(), check_topic(&long).is_ok()), (true, false));
    }

    fn refusal(query: &str) -> String {
        let problem = SendQuery::read(query).expect_err(query);
        assert_eq!(problem.status(), 400);
        problem.detail().to_owned()
    }

    #[test]
    fn a_query_without_parameters_asks_for_the_defaults() {
        for query in ["", "&", "&&"] {
            assert_eq!(SendQuery::read(query), Ok(SendQuery::default()), "{query}");
        }
        assert_eq!((Mode::default(), SendMode::default()), (Mode::Idempotent, SendMode::Sync));
    }

    #[test]
    fn every_parameter_is_read() {
        let query = "mode=plain&sendMode=async&eventId=E-1&key=account-123&partition=1&topic=bhf-compact-demo";
        let expected = SendQuery {
            mode: Mode::Plain,
            send_mode: SendMode::Async,
            event_id: Some("E-1".into()),
            key: Some("account-123".into()),
            partition: Some(1),
            topic: Some("bhf-compact-demo".into()),
        };
        assert_eq!(SendQuery::read(query), Ok(expected));
    }

    #[test]
    fn escapes_stand_for_bytes_and_what_has_none_is_borrowed() {
        for (value, key) in
            [("a%20b", "a b"), ("a+b", "a b"), ("%C3%A9", "é"), ("a%2Bb", "a+b"), ("a=b", "a=b"), ("%", "%")]
        {
            let query = format!("key={value}");
            assert_eq!(SendQuery::read(&query).unwrap().key.as_deref(), Some(key), "{value}");
        }
        assert!(matches!(SendQuery::read("key=abc").unwrap().key, Some(Cow::Borrowed("abc"))));
    }

    #[test]
    fn a_parameter_that_is_wrong_is_named_with_what_was_expected() {
        for (query, detail) in [
            ("mode=fast", "mode: expected plain or idempotent, got \"fast\""),
            ("sendMode=later", "sendMode: expected sync or async, got \"later\""),
            ("partition=-1", "partition: expected a number from 0 to 2147483647, got \"-1\""),
            ("partition=2147483648", "partition: expected a number from 0 to 2147483647, got \"2147483648\""),
            ("mode=plain&mode=plain", "mode: expected once, got it more than once"),
            ("key=", "key: expected text, got nothing; leave it out if there is none"),
            ("key", "key: expected text, got nothing; leave it out if there is none"),
            ("key=a%00b", "key: expected text, got a NUL in it"),
            ("key=%ff", "key: expected UTF-8, each byte as itself or as % and two hexadecimal digits"),
            ("eventId=a%0Ab", "eventId: expected text without control characters"),
        ] {
            assert_eq!(refusal(query), detail);
        }
        let unknown = refusal("sendmode=async");
        assert!(unknown.starts_with("sendmode: no such parameter; there are mode, sendMode, "), "{unknown}");
        let long = "x".repeat(MAX_EVENT_ID + 1);
        assert_eq!(refusal(&format!("eventId={long}")), "eventId: expected at most 256 characters, got 257");
        assert!(refusal(&format!("mode={}", "x".repeat(10_000))).len() < 200, "what was sent is shortened");
    }

    #[test]
    fn a_status_is_asked_for_by_an_id() {
        assert_eq!(status_query("requestId=ab").unwrap(), "ab");
        for query in ["", "requestId=", "id=ab", "requestId=a&requestId=b"] {
            assert_eq!(status_query(query).unwrap_err().status(), 400, "{query}");
        }
    }

    #[test]
    fn an_idempotency_key_is_one_key_with_or_without_quotation_marks() {
        for (values, key) in [(&[][..], None), (&["a-1"], Some("a-1")), (&["\"a-1\""], Some("a-1"))] {
            let values = values.iter().map(|value: &&str| value.as_bytes());
            assert_eq!(idempotency_key(values), Ok(key));
        }
        let long = "x".repeat(256);
        for values in [&[""][..], &["\"\""], &["\""], &["\"a"], &["a", "a"], &["a b"], &["é"], &[long.as_str()]] {
            assert!(idempotency_key(values.iter().map(|value| value.as_bytes())).is_err(), "{values:?}");
        }
    }

    #[test]
    fn records_are_sent_by_a_mode() {
        assert_eq!((records_query(""), records_query("mode=plain")), (Ok(Mode::Idempotent), Ok(Mode::Plain)));
        assert!(records_query("sendMode=async").is_err());
    }

    #[test]
    fn a_part_of_a_path_is_text() {
        assert_eq!(path_part("topic", "a%2Eb").unwrap(), "a.b");
        for part in ["%ff", "%00", ""] {
            assert!(path_part("topic", part).is_err(), "{part}");
        }
    }
}
