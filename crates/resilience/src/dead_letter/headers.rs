//! The headers of a dead letter.
//!
//! In: the failed record, and how it failed. Out: headers in order of importance, within a number of bytes. Pure. The
//! record's own headers are untrusted: counters and times are clamped, texts are shortened.

use std::{
    borrow::Cow,
    time::{SystemTime, UNIX_EPOCH},
};

use milena::{Header, Persisted, Record};

use super::report::FailureReport;

pub(super) const ERROR_TYPE: &str = "errorType";
const ERROR_MESSAGE: &str = "errorMessage";
pub(super) const ORIGINAL_TOPIC: &str = "originalTopic";
const ORIGINAL_PARTITION: &str = "originalPartition";
const ORIGINAL_TIMESTAMP: &str = "originalTimestamp";
const ERROR_CODE: &str = "errorCode";
const ATTEMPTS: &str = "attempts";
const FIRST_FAILED_AT: &str = "firstFailedAt";
const LAST_FAILED_AT: &str = "lastFailedAt";
const PERSISTED: &str = "persisted";
/// The header with the event's id.
pub(super) const EVENT_ID: &str = "eventId";

/// The names that this module adds, except `eventId`, which belongs to the application.
const OWN: [&str; 16] = [
    ERROR_TYPE,
    ERROR_MESSAGE,
    ORIGINAL_TOPIC,
    ORIGINAL_PARTITION,
    ORIGINAL_TIMESTAMP,
    ERROR_CODE,
    ATTEMPTS,
    FIRST_FAILED_AT,
    LAST_FAILED_AT,
    PERSISTED,
    "kafka_dlt-original-topic",
    "kafka_dlt-original-partition",
    "kafka_dlt-original-timestamp",
    "kafka_dlt-original-timestamp-type",
    "kafka_dlt-exception-fqcn",
    "kafka_dlt-exception-message",
];

/// The longest error message, topic name and event id, in bytes.
const MAX_MESSAGE: usize = 1_024;
const MAX_NAME: usize = 256;
/// The largest number of attempts. A larger number in a header is invalid.
const MAX_ATTEMPTS: u32 = 1_000_000;

/// Which headers to add.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<'a> {
    /// Whether to add Spring Kafka's headers.
    pub(super) spring: bool,
    /// The header of the record that has the event's id.
    pub(super) event_id: &'a str,
    /// The most bytes of all names and values.
    pub(super) max_bytes: usize,
}

/// Whether the record is a dead letter that was sent again.
pub(super) fn is_replay(record: &Record<'_>) -> bool {
    record.last_header(ERROR_TYPE).is_some() && record.last_header(ORIGINAL_TOPIC).is_some()
}

/// The record's headers. Those of an earlier dead letter are left out.
pub(super) fn originals<'r>(record: &'r Record<'_>) -> impl Iterator<Item = Header<'r>> {
    let replay = is_replay(record);
    let kept = record.headers().iter().filter(move |header| !(replay && OWN.contains(&&*header.key)));
    kept.map(|header| Header { key: Cow::Borrowed(&*header.key), value: header.value.as_deref().map(Cow::Borrowed) })
}

/// The headers that describe the failure.
pub(super) fn of_failure(record: &Record<'_>, report: &FailureReport<'_>, choice: Choice<'_>) -> Vec<Header<'static>> {
    let headers = texts(record, report, choice.event_id).into_iter().map(|(name, text)| Header::owned(name, text));
    let headers = headers.chain(choice.spring.then(|| spring(record, report)).into_iter().flatten());
    let mut left = choice.max_bytes;
    let within = |header: &Header<'_>| {
        let size = header.key.len() + header.value.as_ref().map_or(0, |value| value.len());
        let fits = size <= left;
        left -= if fits { size } else { 0 };
        fits
    };
    headers.filter(within).collect()
}

/// Our headers, which are UTF-8 text.
fn texts(record: &Record<'_>, report: &FailureReport<'_>, event_id: &str) -> Vec<(&'static str, Vec<u8>)> {
    let failure = report.failure;
    let earlier = Earlier::of(record, report);
    let persisted = match report.persisted {
        Persisted::No => "no",
        Persisted::Unknown => "unknown",
    };
    let last = unix_ms(report.last_failed_at);
    let id = record.last_header(event_id).filter(|_| event_id != EVENT_ID).and_then(|header| header.value.as_deref());
    let text = |text: &str| text.as_bytes().to_vec();
    let number = |number: i64| number.to_string().into_bytes();
    let all = [
        (ORIGINAL_TOPIC, Some(text(cut(record.topic(), MAX_NAME)))),
        (ERROR_TYPE, Some(text(failure.type_name()))),
        (ERROR_CODE, Some(text(failure.code().name()))),
        (PERSISTED, Some(text(persisted))),
        (ORIGINAL_PARTITION, partition(record, report).map(|partition| number(partition.into()))),
        (ORIGINAL_TIMESTAMP, record.explicit_timestamp().map(number)),
        (ATTEMPTS, Some(number(earlier.attempts.into()))),
        (FIRST_FAILED_AT, Some(number(earlier.first_failed_at))),
        (LAST_FAILED_AT, Some(number(last))),
        (EVENT_ID, id.map(|id| id.iter().copied().take(MAX_NAME).collect())),
        (ERROR_MESSAGE, Some(text(cut(&failure.to_string(), MAX_MESSAGE)))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Spring Kafka's headers, with its names and encodings (`KafkaHeaders`, `DeadLetterPublishingRecoverer`). Numbers are
/// big endian. Stack traces, and what only a consumer knows (offset, group), are left out.
fn spring(record: &Record<'_>, report: &FailureReport<'_>) -> Vec<Header<'static>> {
    let failure = report.failure;
    let text = |name: &'static str, text: &str| Header::owned(name, text);
    let mut headers = vec![
        text("kafka_dlt-original-topic", cut(record.topic(), MAX_NAME)),
        text("kafka_dlt-exception-fqcn", &format!("milena::{}", failure.type_name())),
        text("kafka_dlt-exception-message", cut(&failure.to_string(), MAX_MESSAGE)),
    ];
    if let Some(partition) = partition(record, report) {
        headers.push(Header::owned("kafka_dlt-original-partition", partition.to_be_bytes()));
    }
    if let Some(timestamp) = record.explicit_timestamp() {
        headers.push(Header::owned("kafka_dlt-original-timestamp", timestamp.to_be_bytes()));
        headers.push(text("kafka_dlt-original-timestamp-type", "CreateTime"));
    }
    headers
}

fn partition(record: &Record<'_>, report: &FailureReport<'_>) -> Option<i32> {
    report.failure.partition().or_else(|| record.explicit_partition())
}

/// Attempts and first failure, including those of an earlier dead letter.
struct Earlier {
    attempts: u32,
    first_failed_at: i64,
}

impl Earlier {
    fn of(record: &Record<'_>, report: &FailureReport<'_>) -> Self {
        let replayed = |name| record.last_header(name).filter(|_| is_replay(record)).and_then(number);
        let attempts = replayed(ATTEMPTS).and_then(|before| u32::try_from(before).ok()).unwrap_or(0);
        let now = unix_ms(report.first_failed_at);
        let plausible = |before: &i64| (1..=now).contains(before);
        Self {
            attempts: attempts.min(MAX_ATTEMPTS).saturating_add(report.attempts).min(MAX_ATTEMPTS),
            first_failed_at: replayed(FIRST_FAILED_AT).filter(plausible).unwrap_or(now),
        }
    }
}

fn number(header: &Header<'_>) -> Option<i64> {
    str::from_utf8(header.value.as_deref()?).ok()?.parse().ok()
}

fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// At most `max` bytes from the front, cut between characters.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use milena::SendError;

    use super::*;
    use crate::{
        Failure,
        testing::{too_large, unknown},
    };

    const PLAIN: Choice<'static> = Choice { spring: false, event_id: EVENT_ID, max_bytes: 8_192 };

    fn report(failure: &Failure) -> FailureReport<'_> {
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        FailureReport {
            failure,
            attempts: 3,
            first_failed_at: at(1_700_000_000_000),
            last_failed_at: at(1_700_000_000_740),
            persisted: failure.persisted(),
        }
    }

    fn headers(record: &Record<'_>, failure: &Failure, choice: Choice<'_>) -> Vec<(String, Vec<u8>)> {
        let headers = of_failure(record, &report(failure), choice);
        headers.into_iter().map(|header| (header.key.into_owned(), header.value.unwrap().into_owned())).collect()
    }

    fn value(record: &Record<'_>, failure: &Failure, name: &str) -> Option<String> {
        let found = headers(record, failure, PLAIN).into_iter().find(|(key, _)| key == name);
        found.map(|(_, value)| String::from_utf8(value).unwrap())
    }

    #[test]
    fn a_letter_has_the_record_the_failure_its_times_and_the_number_of_attempts() {
        let failure = too_large();
        let record = Record::to("orders").key("k").timestamp(1_600_000_000_000);
        let message = failure.to_string();
        let expected = [
            ("originalTopic", "orders"),
            ("errorType", "DeliveryError::Rejected"),
            ("errorCode", "MESSAGE_TOO_LARGE"),
            ("persisted", "no"),
            ("originalPartition", "2"),
            ("originalTimestamp", "1600000000000"),
            ("attempts", "3"),
            ("firstFailedAt", "1700000000000"),
            ("lastFailedAt", "1700000000740"),
            ("errorMessage", &*message),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        assert_eq!(headers(&record, &failure, PLAIN), expected);
    }

    #[test]
    fn a_letter_has_the_partition_if_it_is_known() {
        let invalid: Failure = SendError::InvalidTopic { topic: "a b".into(), reason: "only letters" }.into();
        assert_eq!(value(&Record::to("a b"), &invalid, ORIGINAL_PARTITION), None);
        assert_eq!(value(&Record::to("a b").partition(7), &invalid, ORIGINAL_PARTITION).as_deref(), Some("7"));
        assert_eq!(value(&Record::to("orders"), &unknown(), ORIGINAL_PARTITION).as_deref(), Some("2"));
        assert_eq!(value(&Record::to("orders"), &unknown(), PERSISTED).as_deref(), Some("unknown"));
    }

    #[test]
    fn the_events_id_stays_in_its_header_or_comes_from_the_chosen_header() {
        let own = Record::to("orders").header(EVENT_ID, "6b1f");
        assert_eq!(value(&own, &too_large(), EVENT_ID), None, "it is among the record's headers");
        let cloud = Record::to("orders").header("ce_id", "7c2a");
        let choice = Choice { event_id: "ce_id", ..PLAIN };
        let found = headers(&cloud, &too_large(), choice).into_iter().find(|(key, _)| key == EVENT_ID);
        assert_eq!(found, Some((EVENT_ID.into(), b"7c2a".to_vec())));
        let long = "x".repeat(5_000);
        let cloud = Record::to("orders").header("ce_id", &long);
        let found = headers(&cloud, &too_large(), choice).into_iter().find(|(key, _)| key == EVENT_ID);
        assert_eq!(found.unwrap().1.len(), MAX_NAME);
    }

    #[test]
    fn springs_headers_have_its_names_and_its_binary_numbers() {
        let failure = too_large();
        let record = Record::to("orders").timestamp(1_600_000_000_000);
        let headers = headers(&record, &failure, Choice { spring: true, ..PLAIN });
        let value = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice());
        assert_eq!(value("kafka_dlt-original-topic"), Some(&b"orders"[..]));
        assert_eq!(value("kafka_dlt-original-partition"), Some(&[0, 0, 0, 2][..]));
        assert_eq!(value("kafka_dlt-original-timestamp"), Some(&[0, 0, 1, 0x74, 0x87, 0x6e, 0x80, 0][..]));
        assert_eq!(value("kafka_dlt-original-timestamp-type"), Some(&b"CreateTime"[..]));
        assert_eq!(value("kafka_dlt-exception-fqcn"), Some(&b"milena::DeliveryError::Rejected"[..]));
        assert_eq!(value("kafka_dlt-exception-message"), Some(failure.to_string().as_bytes()));
        assert_eq!(value("kafka_dlt-original-offset"), None, "a producer has no offset of a failed record");
        assert_eq!(value(ERROR_TYPE), Some(&b"DeliveryError::Rejected"[..]), "milena's headers are present as well");
    }

    #[test]
    fn long_texts_are_shortened_between_characters() {
        let failure: Failure =
            SendError::Serialization { topic: "orders".into(), part: "value", reason: "ä".repeat(5_000) }.into();
        let message = value(&Record::to("orders"), &failure, ERROR_MESSAGE).unwrap();
        assert!((MAX_MESSAGE - 3..=MAX_MESSAGE).contains(&message.len()) && message.ends_with('ä'), "{message}");
        let topic = "ö".repeat(5_000);
        assert_eq!(value(&Record::to(&topic), &failure, ORIGINAL_TOPIC).unwrap().len(), MAX_NAME);
    }

    #[test]
    fn headers_fit_into_their_limit_and_the_least_important_ones_are_left_out_first() {
        let record = Record::to("orders");
        for max_bytes in 0..1_500 {
            let headers = headers(&record, &too_large(), Choice { spring: true, max_bytes, ..PLAIN });
            let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(size <= max_bytes, "{max_bytes}: {headers:?}");
            let named = headers.iter().any(|(name, _)| name == ORIGINAL_TOPIC);
            assert_eq!(named, max_bytes >= ORIGINAL_TOPIC.len() + "orders".len());
        }
    }

    #[test]
    fn a_letter_that_was_sent_again_adds_up_attempts_and_keeps_the_time_of_its_first_failure() {
        let replay = Record::to("orders")
            .header("mine", "1")
            .header(ERROR_TYPE, "x")
            .header(ORIGINAL_TOPIC, "orders")
            .header(ATTEMPTS, "4")
            .header(FIRST_FAILED_AT, "1600000000000")
            .header("kafka_dlt-exception-message", "old")
            .header(EVENT_ID, "6b1f");
        assert_eq!(value(&replay, &too_large(), ATTEMPTS).as_deref(), Some("7"));
        assert_eq!(value(&replay, &too_large(), FIRST_FAILED_AT).as_deref(), Some("1600000000000"));
        let kept: Vec<_> = originals(&replay).map(|header| header.key.into_owned()).collect();
        assert_eq!(kept, ["mine", EVENT_ID], "nothing grows from letter to letter");
    }

    #[test]
    fn impossible_counters_and_times_in_headers_are_ignored() {
        for (attempts, first, expected) in [
            ("4294967295", "1", ("1000000", "1")),
            ("99999999999999999999", "-1", ("3", "1700000000000")),
            ("-4", "0", ("3", "1700000000000")),
            ("four", "1700000000001", ("3", "1700000000000")),
            ("", "", ("3", "1700000000000")),
            ("\u{ff}", "9223372036854775807", ("3", "1700000000000")),
        ] {
            let replay = Record::to("orders").header(ERROR_TYPE, "").header(ORIGINAL_TOPIC, "");
            let replay = replay.header(ATTEMPTS, attempts).header(FIRST_FAILED_AT, first);
            let got = [ATTEMPTS, FIRST_FAILED_AT].map(|name| value(&replay, &too_large(), name).unwrap());
            assert_eq!((&*got[0], &*got[1]), expected, "{attempts:?} {first:?}");
        }
    }

    #[test]
    fn a_record_that_is_no_dead_letter_keeps_headers_of_these_names() {
        let record = Record::to("orders").header(ATTEMPTS, "4").header(ERROR_TYPE, "mine");
        let kept: Vec<_> = originals(&record).map(|header| header.key.into_owned()).collect();
        assert_eq!(kept, [ATTEMPTS, ERROR_TYPE]);
        assert_eq!(value(&record, &too_large(), ATTEMPTS).as_deref(), Some("3"));
    }
}
