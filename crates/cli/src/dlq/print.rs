//! Letters, and what became of them, as text and as JSON.
//!
//! In: a letter, an outcome. Out: a line. Pure. What is in a topic is untrusted, so text has no control characters.

use milena::Ack;
use serde::Serialize;

use super::letter::Letter;
use crate::output::{self, Key, printable};

/// A letter in a list.
pub(super) fn listed(topic: &str, letter: &Letter<'_>, json: bool) -> String {
    if json {
        return output::json(&LetterLine::of(topic, letter));
    }
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let columns = [
        place(topic, letter),
        output::date(letter.record.timestamp),
        text(letter.original_topic()),
        key(letter),
        text(letter.error_code()),
        text(letter.error_type()),
        number(letter.attempts()),
        text(letter.persisted()),
        number(letter.replays().ok()),
        text(letter.message()),
    ];
    columns.join("\t")
}

/// Where a letter is: `orders.dlq-0@5`.
pub(super) fn place(topic: &str, letter: &Letter<'_>) -> String {
    printable(format!("{topic}-{}@{}", letter.record.partition, letter.record.offset).as_bytes())
}

fn key(letter: &Letter<'_>) -> String {
    letter.record.key.as_deref().map_or_else(|| "(null)".to_owned(), printable)
}

fn text(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| printable(text.as_bytes()))
}

#[derive(Serialize)]
struct LetterLine<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    original_topic: Option<&'a str>,
    #[serde(flatten)]
    key: Key<'a>,
    event_id: Option<&'a str>,
    error_code: Option<&'a str>,
    error_type: Option<&'a str>,
    attempts: Option<u32>,
    persisted: Option<&'a str>,
    replays: Option<u32>,
    message: Option<&'a str>,
}

impl<'a> LetterLine<'a> {
    fn of(topic: &'a str, letter: &'a Letter<'_>) -> Self {
        Self {
            topic,
            partition: letter.record.partition,
            offset: letter.record.offset,
            timestamp: letter.record.timestamp,
            original_topic: letter.original_topic(),
            key: Key::new(letter.record.key.as_deref()),
            event_id: letter.event_id(),
            error_code: letter.error_code(),
            error_type: letter.error_type(),
            attempts: letter.attempts(),
            persisted: letter.persisted(),
            replays: letter.replays().ok(),
            message: letter.message(),
        }
    }
}

/// What became of a letter.
#[derive(Debug)]
pub(super) enum Fate {
    /// A dry run: it would be replayed.
    Would { possible_duplicate: bool, replays: u32 },
    /// Its record is in the topic.
    Replayed { ack: Ack, possible_duplicate: bool, replays: u32 },
    /// It was not sent, for this reason.
    Refused(String),
    /// It was sent and not written, or may not be.
    Failed { message: String, maybe_written: bool },
}

impl Fate {
    fn word(&self) -> &'static str {
        match self {
            Self::Would { .. } => "would_replay",
            Self::Replayed { .. } => "replayed",
            Self::Refused(_) => "refused",
            Self::Failed { .. } => "failed",
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Would { .. } | Self::Replayed { .. } => None,
            Self::Refused(reason) => Some(reason),
            Self::Failed { message, .. } => Some(message),
        }
    }

    fn possible_duplicate(&self) -> Option<bool> {
        match self {
            Self::Would { possible_duplicate, .. } | Self::Replayed { possible_duplicate, .. } => {
                Some(*possible_duplicate)
            }
            Self::Refused(_) | Self::Failed { .. } => None,
        }
    }

    fn replays(&self) -> Option<u32> {
        match self {
            Self::Would { replays, .. } | Self::Replayed { replays, .. } => Some(*replays),
            Self::Refused(_) | Self::Failed { .. } => None,
        }
    }

    fn ack(&self) -> Option<&Ack> {
        if let Self::Replayed { ack, .. } = self { Some(ack) } else { None }
    }
}

/// A letter and what became of it.
pub(super) fn replayed(topic: &str, letter: &Letter<'_>, fate: &Fate, json: bool) -> String {
    if json {
        return output::json(&FateLine::of(topic, letter, fate));
    }
    let to = match fate.ack() {
        Some(ack) => {
            let offset = ack.offset().map_or_else(|| "unknown".to_owned(), |offset| offset.to_string());
            printable(format!("{}-{}@{offset}", ack.topic(), ack.partition()).as_bytes())
        }
        None => text(letter.original_topic()),
    };
    let mark = fate.possible_duplicate().filter(|marked| *marked).map(|_| "marked as a possible duplicate");
    let note = text(fate.reason().or(mark));
    [place(topic, letter), fate.word().to_owned(), to, key(letter), note].join("\t")
}

#[derive(Serialize)]
struct FateLine<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    outcome: &'static str,
    original_topic: Option<&'a str>,
    #[serde(flatten)]
    key: Key<'a>,
    written_partition: Option<i32>,
    written_offset: Option<i64>,
    possible_duplicate: Option<bool>,
    replays: Option<u32>,
    reason: Option<&'a str>,
    maybe_written: Option<bool>,
}

impl<'a> FateLine<'a> {
    fn of(topic: &'a str, letter: &'a Letter<'_>, fate: &'a Fate) -> Self {
        Self {
            topic,
            partition: letter.record.partition,
            offset: letter.record.offset,
            outcome: fate.word(),
            original_topic: letter.original_topic(),
            key: Key::new(letter.record.key.as_deref()),
            written_partition: fate.ack().map(Ack::partition),
            written_offset: fate.ack().and_then(Ack::offset),
            possible_duplicate: fate.possible_duplicate(),
            replays: fate.replays(),
            reason: fate.reason(),
            maybe_written: if let Fate::Failed { maybe_written, .. } = fate { Some(*maybe_written) } else { None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::letter::tests::consumed, *};

    const WHY: [(&str, &str); 4] =
        [("originalTopic", "orders"), ("errorType", "a\tb"), ("persisted", "no"), ("attempts", "many")];

    #[test]
    fn a_letter_is_one_line_and_what_it_does_not_say_is_a_dash() {
        let record = consumed("nine", &WHY);
        let line = listed("orders.dlq", &Letter::of(&record), false);
        assert_eq!(line, "orders.dlq-0@5\t1970-01-01T00:00:00.000Z\torders\tuser-1\t-\ta\\tb\t-\tno\t0\t-");
        let line: serde_json::Value = serde_json::from_str(&listed("orders.dlq", &Letter::of(&record), true)).unwrap();
        assert_eq!((&line["offset"], &line["original_topic"]), (&5.into(), &"orders".into()));
        assert_eq!((&line["error_type"], &line["attempts"]), (&"a\tb".into(), &serde_json::Value::Null));
    }

    #[test]
    fn what_became_of_a_letter_is_told_with_the_reason() {
        let record = consumed("nine", &WHY);
        for (fate, expected) in [
            (Fate::Would { possible_duplicate: false, replays: 1 }, "would_replay\torders\tuser-1\t-"),
            (
                Fate::Would { possible_duplicate: true, replays: 1 },
                "would_replay\torders\tuser-1\tmarked as a possible duplicate",
            ),
            (Fate::Refused("no\n".into()), "refused\torders\tuser-1\tno\\n"),
            (Fate::Failed { message: "late".into(), maybe_written: true }, "failed\torders\tuser-1\tlate"),
        ] {
            let line = replayed("orders.dlq", &Letter::of(&record), &fate, false);
            assert_eq!(line, format!("orders.dlq-0@5\t{expected}"));
        }
        let fate = Fate::Failed { message: "late".into(), maybe_written: true };
        let line: serde_json::Value =
            serde_json::from_str(&replayed("orders.dlq", &Letter::of(&record), &fate, true)).unwrap();
        assert_eq!((&line["outcome"], &line["reason"]), (&"failed".into(), &"late".into()));
        assert_eq!((&line["maybe_written"], &line["written_offset"]), (&true.into(), &serde_json::Value::Null));
    }
}
