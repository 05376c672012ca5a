//! Judges whether a record ended in the expected topic, and whether its letter has the expected headers.
//!
//! In: a case, its result, and its records in the topics. Out: a verdict. Pure.

use milena::admin::ConsumedRecord;

use super::{
    super::{checks::Verdict, orders::header},
    cases::{Case, End, LetterHeaders},
};

/// The result of a case, as the caller received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Delivered,
    /// A letter was acknowledged. Holds the text of the error that the record failed with.
    Letter(String),
    /// The record came back, with the type of the letter's error if it had one, and whether it equals the record that was sent.
    Returned(Option<&'static str>, bool),
    /// Any other error.
    Otherwise(String),
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Original {
    pub(super) topic: String,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Judges a case by its records in its topic and in the dead-letter topic.
pub(super) fn judge(
    case: &Case,
    ended: &Ended,
    original: &Original,
    delivered: &[&ConsumedRecord],
    letters: &[&ConsumedRecord],
) -> Verdict {
    let result = as_expected(case.end, ended).and_then(|()| match (case.end, ended) {
        (End::Letter(headers), Ended::Letter(message)) => {
            counts(delivered, usize::from(headers.persisted == "unknown"), "its topic")?;
            counts(letters, 1, "the dead-letter topic")?;
            letters.iter().try_for_each(|letter| check_letter(headers, message, original, letter))
        }
        (end, _) => {
            counts(delivered, usize::from(end == End::Delivered), "its topic")?;
            counts(letters, 0, "the dead-letter topic")
        }
    });
    Verdict { claim: format!("{}: {}", case.name, what(case.end)), result }
}

fn what(end: End) -> &'static str {
    match end {
        End::Delivered => "delivered, and no letter",
        End::Letter(LetterHeaders { persisted: "unknown", .. }) => {
            "a letter, which says that it may be in its topic too"
        }
        End::Letter(_) => "a letter with its key, value, headers and error, and not in its topic",
        End::Returned(Some(_)) => "back to the caller with both errors, and nowhere else",
        End::Returned(None) => "back to the caller, and nowhere else: no letters of letters",
    }
}

fn as_expected(end: End, ended: &Ended) -> Result<(), String> {
    match (end, ended) {
        (End::Delivered, Ended::Delivered) | (End::Letter(_), Ended::Letter(_)) => Ok(()),
        (End::Returned(expected), Ended::Returned(got, true)) if expected == *got => Ok(()),
        _ => Err(format!("expected {end:?}, got {ended:?}")),
    }
}

fn counts(records: &[&ConsumedRecord], expected: usize, place: &str) -> Result<(), String> {
    let got = records.len();
    if got == expected { Ok(()) } else { Err(format!("expected {expected} of it in {place}, got {got}")) }
}

fn check_letter(
    headers: LetterHeaders,
    message: &str,
    original: &Original,
    letter: &ConsumedRecord,
) -> Result<(), String> {
    let same = |what: &str, same: bool| if same { Ok(()) } else { Err(format!("the letter has another {what}")) };
    same("key", letter.key.as_deref() == Some(&*original.key))?;
    same("value", letter.value.as_deref() == Some(&*original.value))?;
    let first = letter.headers.iter().take(original.headers.len());
    let first = first.map(|(name, value)| (name.clone(), value.as_ref().map(|value| value.to_vec())));
    same("beginning of its headers", first.collect::<Vec<_>>() == original.headers)?;
    for (name, expected) in [
        ("originalTopic", &*original.topic),
        ("errorType", headers.error_type),
        ("errorCode", headers.code.name()),
        ("persisted", headers.persisted),
        ("attempts", headers.attempts),
        ("errorMessage", message),
    ] {
        let got = header(letter, name);
        if got != Some(expected) {
            return Err(format!("{name}: expected {expected:?}, got {got:?}"));
        }
    }
    let partition = header(letter, "originalPartition");
    same("idea of originalPartition", partition.is_some_and(|text| text.parse::<i32>().is_ok()) == headers.partition)?;
    same("idea of eventId", header(letter, "eventId").is_some())?;
    let at = |name| header(letter, name).and_then(|text| text.parse::<i64>().ok());
    match (at("firstFailedAt"), at("lastFailedAt")) {
        (Some(first), Some(last)) if 0 < first && first <= last => Ok(()),
        (first, last) => {
            Err(format!("firstFailedAt and lastFailedAt: expected two times in order, got {first:?}, {last:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use milena::{ErrorCode, admin::TimestampType};

    use super::*;

    const HEADERS: LetterHeaders = LetterHeaders {
        error_type: "DeliveryError::Rejected",
        code: ErrorCode::MESSAGE_TOO_LARGE,
        persisted: "no",
        attempts: "1",
        partition: true,
    };

    fn case(end: End) -> Case {
        Case { name: "case", topic: "orders".into(), value: b"nine".to_vec(), faults: vec![], end }
    }

    fn original() -> Original {
        let headers = vec![("eventId".to_owned(), Some(b"7".to_vec()))];
        Original { topic: "orders".into(), key: b"k".to_vec(), value: b"nine".to_vec(), headers }
    }

    fn letter() -> ConsumedRecord {
        let headers = [
            ("eventId", "7"),
            ("originalTopic", "orders"),
            ("errorType", "DeliveryError::Rejected"),
            ("errorCode", "MESSAGE_TOO_LARGE"),
            ("persisted", "no"),
            ("originalPartition", "2"),
            ("attempts", "1"),
            ("firstFailedAt", "5"),
            ("lastFailedAt", "6"),
            ("errorMessage", "too large"),
        ];
        ConsumedRecord {
            partition: 0,
            offset: 0,
            timestamp: 0,
            timestamp_type: TimestampType::CreateTime,
            key: Some(Bytes::from_static(b"k")),
            value: Some(Bytes::from_static(b"nine")),
            headers: headers.map(|(name, value)| (name.to_owned(), Some(Bytes::from_static(value.as_bytes())))).into(),
        }
    }

    fn result(end: End, ended: &Ended, delivered: usize, letters: &[ConsumedRecord]) -> Result<(), String> {
        let letters: Vec<_> = letters.iter().collect();
        let record = letter();
        judge(&case(end), ended, &original(), &vec![&record; delivered], &letters).result
    }

    #[test]
    fn a_record_that_ends_in_the_expected_topic_passes() {
        let letter_sent = Ended::Letter("too large".into());
        assert_eq!(result(End::Letter(HEADERS), &letter_sent, 0, &[letter()]), Ok(()));
        assert_eq!(result(End::Delivered, &Ended::Delivered, 1, &[]), Ok(()));
        let back = End::Returned(Some("SendError::TooLarge"));
        assert_eq!(result(back, &Ended::Returned(Some("SendError::TooLarge"), true), 0, &[]), Ok(()));
    }

    #[test]
    fn a_record_that_ends_elsewhere_or_twice_is_found() {
        let letter_sent = Ended::Letter("too large".into());
        let returned = |same| Ended::Returned(None, same);
        for (end, ended, delivered, letters) in [
            (End::Letter(HEADERS), &letter_sent, 1, &[letter()][..]),
            (End::Letter(HEADERS), &letter_sent, 0, &[]),
            (End::Letter(HEADERS), &letter_sent, 0, &[letter(), letter()]),
            (End::Letter(HEADERS), &Ended::Delivered, 0, &[letter()]),
            (End::Letter(LetterHeaders { persisted: "unknown", ..HEADERS }), &letter_sent, 0, &[letter()]),
            (End::Delivered, &Ended::Delivered, 0, &[]),
            (End::Delivered, &Ended::Delivered, 1, &[letter()]),
            (End::Returned(None), &returned(false), 0, &[]),
            (End::Returned(None), &returned(true), 0, &[letter()]),
            (End::Returned(Some("x")), &returned(true), 0, &[]),
            (End::Returned(None), &Ended::Otherwise("x".into()), 0, &[]),
        ] {
            assert!(result(end, ended, delivered, letters).is_err(), "{end:?} {ended:?} {delivered}");
        }
    }

    #[test]
    fn a_letter_with_other_content_than_expected_is_found() {
        let letter_sent = Ended::Letter("too large".into());
        let spoilt = |spoil: &dyn Fn(&mut ConsumedRecord)| {
            let mut letter = letter();
            spoil(&mut letter);
            result(End::Letter(HEADERS), &letter_sent, 0, &[letter]).unwrap_err()
        };
        assert_eq!(spoilt(&|letter| letter.key = None), "the letter has another key");
        assert_eq!(spoilt(&|letter| letter.value = None), "the letter has another value");
        assert!(spoilt(&|letter| letter.headers.rotate_left(1)).contains("beginning of its headers"));
        for place in 1..10 {
            let name = letter().headers[place].0.clone();
            let failed = spoilt(&|letter| letter.headers[place].1 = Some(Bytes::from_static(b"x")));
            assert!(failed.contains(&name), "{name}: {failed}");
        }
        assert!(spoilt(&|letter| letter.headers[7].1 = Some(Bytes::from_static(b"7"))).contains("in order"));
    }
}
