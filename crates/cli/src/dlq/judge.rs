//! Which letters are replayed, and as which record.
//!
//! In: a letter, and rules. Out: the record for its original topic, or why there is none. Pure.

use std::borrow::Cow;

use milena::{Header, Record};
use milena_resilience::retry::POSSIBLE_DUPLICATE;

use super::letter::{Letter, REPLAYS};

/// Endings of dead-letter topics, of milena and of others.
const SUFFIXES: [&str; 4] = [".dlq", "-dlq", ".dlt", "-dlt"];

/// What is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// The dead-letter topic that is read.
    pub(super) topic: &'a str,
    /// How often a record may be replayed.
    pub(super) max_replays: u32,
    /// Whether each record is marked as a possible duplicate.
    pub(super) all_possible_duplicates: bool,
}

/// A letter that may be replayed.
pub(super) struct Replay<'a> {
    pub(super) record: Record<'a>,
    pub(super) possible_duplicate: bool,
    /// How often it will have been replayed.
    pub(super) replays: u32,
}

/// The record of a letter.
///
/// # Errors
/// Why it is not replayed.
pub(super) fn judge<'a>(letter: &Letter<'a>, rules: Rules<'_>) -> Result<Replay<'a>, String> {
    let topic = letter.original_topic().ok_or("it is no dead letter of milena: it has no header originalTopic")?;
    if is_dead_letter_topic(topic, rules.topic) {
        return Err(format!("its original topic {topic} is a dead-letter topic itself"));
    }
    let before = letter.replays()?;
    if before >= rules.max_replays {
        return Err(format!("it was replayed {before} times, expected fewer than --max-replays {}", rules.max_replays));
    }
    let possible_duplicate = rules.all_possible_duplicates || letter.persisted() == Some("unknown");
    let replays = before.saturating_add(1);
    let key = letter.record.key.as_deref().map(Cow::Borrowed);
    let record = Record::to(topic).with_payload(key, letter.original_value()?);
    let headers = letter.original_headers().map(|(name, value)| match value {
        Some(value) => Header::new(name, value),
        None => Header::null(name),
    });
    let record = headers.fold(record, Record::with_header);
    Ok(Replay { record: marked(record, possible_duplicate, replays), possible_duplicate, replays })
}

fn marked(record: Record<'_>, possible_duplicate: bool, replays: u32) -> Record<'_> {
    let record = record.without_header(REPLAYS).with_header(Header::owned(REPLAYS, replays.to_string()));
    if possible_duplicate { record.without_header(POSSIBLE_DUPLICATE).header(POSSIBLE_DUPLICATE, "1") } else { record }
}

/// Whether a topic is one for dead letters: the one that is read, one that ends as it does behind the original topic's name, or as
/// such topics usually do.
fn is_dead_letter_topic(topic: &str, read: &str) -> bool {
    let suffix = read.strip_prefix(topic).filter(|suffix| !suffix.is_empty());
    topic == read
        || suffix.is_some_and(|suffix| topic.ends_with(suffix))
        || SUFFIXES.iter().any(|suffix| topic.ends_with(suffix))
}

/// Whether a letter failed with one of these codes or types of errors; all do if there are none.
pub(super) fn matches(letter: &Letter<'_>, wanted: &[String]) -> bool {
    let named =
        |name: Option<&str>| name.is_some_and(|name| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)));
    wanted.is_empty() || named(letter.error_code()) || named(letter.error_type())
}

#[cfg(test)]
mod tests {
    use milena::admin::ConsumedRecord;

    use super::{super::letter::tests::consumed, *};

    const RULES: Rules<'static> = Rules { topic: "orders.dlq", max_replays: 3, all_possible_duplicates: false };

    fn letter(own: &[(&str, &str)], why: &[(&str, &str)]) -> ConsumedRecord {
        consumed("nine", &[own, &[("originalTopic", "orders")], why].concat())
    }

    fn headers(record: &ConsumedRecord, rules: Rules<'_>) -> Vec<(String, String)> {
        let replay = judge(&Letter::of(record), rules).unwrap_or_else(|why| panic!("{why}"));
        let text = |bytes: &Option<Cow<'_, [u8]>>| String::from_utf8(bytes.as_deref().unwrap().to_vec()).unwrap();
        replay.record.headers().iter().map(|header| (header.key.to_string(), text(&header.value))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_replayed_record_is_the_original_with_a_count() {
        let record = letter(&[("a", "1"), ("a", "2")], &[("errorCode", "NONE"), ("persisted", "no")]);
        let replay = judge(&Letter::of(&record), RULES).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((replay.record.topic(), replay.record.key_bytes()), ("orders", Some(&b"user-1"[..])));
        assert_eq!(replay.record.value_bytes(), Some(&b"nine"[..]));
        assert_eq!((replay.possible_duplicate, replay.replays), (false, 1));
        assert_eq!(headers(&record, RULES), pairs(&[("a", "1"), ("a", "2"), (REPLAYS, "1")]));
        let again = letter(&[(REPLAYS, "1"), ("a", "1")], &[]);
        assert_eq!(headers(&again, RULES), pairs(&[("a", "1"), (REPLAYS, "2")]));
    }

    #[test]
    fn a_record_that_may_be_in_its_topic_is_marked_once() {
        let unknown = letter(&[(POSSIBLE_DUPLICATE, "2")], &[("persisted", "unknown")]);
        assert_eq!(headers(&unknown, RULES), pairs(&[(REPLAYS, "1"), (POSSIBLE_DUPLICATE, "1")]));
        let no = letter(&[], &[("persisted", "no")]);
        let all = Rules { all_possible_duplicates: true, ..RULES };
        assert_eq!(headers(&no, all), pairs(&[(REPLAYS, "1"), (POSSIBLE_DUPLICATE, "1")]));
        let earlier = letter(&[(POSSIBLE_DUPLICATE, "2")], &[("persisted", "no")]);
        assert_eq!(headers(&earlier, RULES), pairs(&[(POSSIBLE_DUPLICATE, "2"), (REPLAYS, "1")]), "it still may be");
    }

    #[test]
    fn what_would_go_round_in_a_circle_is_refused() {
        for (own, why, part) in [
            (&[(REPLAYS, "3")][..], &[][..], "it was replayed 3 times"),
            (&[(REPLAYS, "4000000000")], &[], "it was replayed 4000000000 times"),
            (&[(REPLAYS, "many")], &[], "is no number"),
            (&[], &[("originalTopic", "orders.dlq")], "is a dead-letter topic itself"),
            (&[], &[("originalTopic", "payments-dlt")], "is a dead-letter topic itself"),
        ] {
            let record = letter(own, why);
            let Err(reason) = judge(&Letter::of(&record), RULES) else { panic!("{own:?} {why:?}") };
            assert!(reason.contains(part), "{reason}");
        }
        let stranger = consumed("nine", &[("a", "1")]);
        assert!(judge(&Letter::of(&stranger), RULES).is_err_and(|reason| reason.contains("no header originalTopic")));
    }

    #[test]
    fn a_dead_letter_topic_is_known_by_its_name() {
        for (topic, read, expected) in [
            ("orders", "orders.dlq", false),
            ("orders", "lost", false),
            ("lost", "lost", true),
            ("orders.dlq", "lost", true),
            ("orders-dlt", "lost", true),
            ("orders_lost", "orders_lost_lost", true),
            ("orders_lost", "payments_lost", false),
            ("o", "oo", true),
        ] {
            assert_eq!(is_dead_letter_topic(topic, read), expected, "{topic} {read}");
        }
    }

    #[test]
    fn letters_are_chosen_by_the_code_or_the_type_of_their_error() {
        let record = letter(&[], &[("errorType", "SendError::TooLarge"), ("errorCode", "NONE")]);
        for (wanted, expected) in [
            (&[][..], true),
            (&["NONE"], true),
            (&["none"], true),
            (&["SendError::TooLarge"], true),
            (&["MESSAGE_TOO_LARGE", "NONE"], true),
            (&["TooLarge"], false),
            (&[""], false),
        ] {
            let wanted: Vec<_> = wanted.iter().map(|text: &&str| (*text).to_owned()).collect();
            assert_eq!(matches(&Letter::of(&record), &wanted), expected, "{wanted:?}");
        }
        assert!(!matches(&Letter::of(&consumed("nine", &[])), &["NONE".to_owned()]));
    }
}
