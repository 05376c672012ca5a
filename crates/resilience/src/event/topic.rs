//! Names of event topics: `domain.entity.action.vN`.
//!
//! In: a name, at compile time or at start. Out: a [`TopicName`], or the rule that the name breaks. Pure. Deliberately
//! absent: whether the topic exists, and names of another form, which [`Record::to`](milena::Record::to) takes.

use std::fmt;

/// What is appended to a topic's name for its dead-letter topic.
const DLQ: &str = ".dlq";
/// The longest name, so that the name of the dead-letter topic has at most the 249 characters that Kafka allows
/// (Java: `org.apache.kafka.common.internals.Topic`).
const MAX_LEN: usize = 249 - DLQ.len();

/// The name of an event topic: `domain.entity.action.vN`, such as `casino.player.registered.v1`.
///
/// Domain, entity and action have lower case letters, digits, `-` and `_`. N is a number from 1 on, without a leading
/// zero. It rises with each change that old consumers cannot read. The name has at most 245 characters, so that its
/// [`dlq`](Self::dlq) is a legal name too.
///
/// A constant is checked when it is compiled:
///
/// ```
/// use milena_resilience::event::TopicName;
///
/// const REGISTERED: TopicName<'_> = TopicName::new("casino.player.registered.v1");
/// assert_eq!(REGISTERED.dlq(), "casino.player.registered.v1.dlq");
/// ```
///
/// ```compile_fail
/// use milena_resilience::event::TopicName;
///
/// const REGISTERED: TopicName<'_> = TopicName::new("casino.player.registered");
/// ```
///
/// A name from a configuration is checked when it is read, by [`parse`](Self::parse).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// A name that the program has as a constant. In a `const` an invalid name is an error of the compiler.
    ///
    /// # Panics
    /// If the name is invalid and it is not in a `const`. For names that are read at runtime use
    /// [`parse`](Self::parse).
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        match broken_rule(name) {
            None => Self(name),
            Some(rule) => panic!("{}", rule),
        }
    }

    /// Checks a name that is read at runtime.
    ///
    /// # Errors
    /// The rule that the name breaks.
    pub fn parse(name: &'a str) -> Result<Self, InvalidTopicName> {
        match broken_rule(name) {
            None => Ok(Self(name)),
            Some(rule) => Err(InvalidTopicName { name: name.escape_debug().take(MAX_LEN).collect(), rule }),
        }
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The name of the dead-letter topic: this one, followed by `.dlq`. Use
    /// [`DeadLetters::with_suffix(".dlq")`](crate::dead_letter::DeadLetters::with_suffix) for letters in this topic.
    #[must_use]
    pub fn dlq(self) -> String {
        format!("{}{DLQ}", self.0)
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A name that is not of the form `domain.entity.action.vN`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid name of an event topic, \"{name}\": {rule}")]
pub struct InvalidTopicName {
    name: String,
    rule: &'static str,
}

impl InvalidTopicName {
    /// The rule that the name breaks.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

/// The first rule that a name breaks.
const fn broken_rule(name: &str) -> Option<&'static str> {
    let name = name.as_bytes();
    if name.len() > MAX_LEN {
        return Some("expected at most 245 characters, so that there is room for .dlq");
    }
    if let [.., b'.', b'd', b'l', b'q'] = name {
        return Some("expected a topic of events, got a dead-letter topic; leave .dlq out");
    }
    let (domain, rest) = first_part(name);
    let (entity, rest) = first_part(rest);
    let (action, version) = first_part(rest);
    if !(is_word(domain) && is_word(entity) && is_word(action)) {
        return Some(
            "expected domain.entity.action.vN, the first three of lower case letters, digits, '-' and '_'; an example \
             is casino.player.registered.v1",
        );
    }
    if !is_version(version) {
        return Some("expected v1, v2 and so on as the fourth and last part, without a leading zero");
    }
    None
}

/// The bytes before the first dot, and those after it.
const fn first_part(name: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while at < name.len() {
        if name[at] == b'.' {
            let (part, rest) = name.split_at(at);
            return (part, rest.split_at(1).1);
        }
        at += 1;
    }
    (name, &[])
}

const fn is_word(mut part: &[u8]) -> bool {
    if part.is_empty() {
        return false;
    }
    while let [byte, rest @ ..] = part {
        if !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') {
            return false;
        }
        part = rest;
    }
    true
}

const fn is_version(part: &[u8]) -> bool {
    let [b'v', b'1'..=b'9', rest @ ..] = part else { return false };
    let mut digits = rest;
    while let [byte, rest @ ..] = digits {
        if !byte.is_ascii_digit() {
            return false;
        }
        digits = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_four_parts_with_a_version_are_allowed() {
        for name in
            ["casino.player.registered.v1", "a.b.c.v10", "shop-eu.order_line.my-action.v2", "1.2.3.v9", "_.-.0.v1"]
        {
            assert_eq!(TopicName::parse(name).map(TopicName::as_str), Ok(name));
        }
    }

    #[test]
    fn other_names_are_refused_with_the_rule_that_they_break() {
        for (name, rule) in [
            ("", "domain.entity.action.vN"),
            ("casino", "domain.entity.action.vN"),
            ("casino.player.v1", "fourth and last part"),
            (".player.registered.v1", "domain.entity.action.vN"),
            ("casino..registered.v1", "domain.entity.action.vN"),
            ("casino.player..v1", "domain.entity.action.vN"),
            ("Casino.player.registered.v1", "lower case"),
            ("casino.player.re gistered.v1", "lower case"),
            ("casino.spieler.geprüft.v1", "lower case"),
            ("casino.player.registered\n.v1", "lower case"),
            ("casino.player.registered", "v1, v2"),
            ("casino.player.registered.", "v1, v2"),
            ("casino.player.registered.1", "v1, v2"),
            ("casino.player.registered.v", "v1, v2"),
            ("casino.player.registered.v0", "v1, v2"),
            ("casino.player.registered.v01", "v1, v2"),
            ("casino.player.registered.v1a", "v1, v2"),
            ("casino.player.registered.V1", "v1, v2"),
            ("casino.player.registered.v1.", "v1, v2"),
            ("casino.player.registered.v1.v1", "v1, v2"),
            ("casino.player.registered.v1.dlq", "dead-letter"),
            ("casino.player.registered.dlq", "dead-letter"),
        ] {
            let refused = TopicName::parse(name).expect_err(name);
            assert!(refused.rule().contains(rule), "{name:?}: {refused}");
        }
    }

    #[test]
    fn the_longest_name_has_a_dead_letter_topic_that_kafka_allows() {
        let name = |len: usize| format!("a.b.{}.v1", "c".repeat(len - "a.b..v1".len()));
        let longest = name(245);
        assert_eq!(TopicName::parse(&longest).unwrap().dlq().len(), 249);
        let rule = TopicName::parse(&name(246)).unwrap_err().rule();
        assert!(rule.contains("at most 245"), "{rule}");
    }

    #[test]
    fn an_error_names_the_name_and_the_rule_and_is_not_flooded_or_broken_by_it() {
        let refused = TopicName::parse("casino.player.registered.v0").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "invalid name of an event topic, \"casino.player.registered.v0\": expected v1, v2 and so on as the fourth \
             and last part, without a leading zero"
        );
        let text = TopicName::parse(&format!("a\n{}", "b".repeat(10_000))).unwrap_err().to_string();
        assert!(text.len() < 1_000 && !text.contains('\n'), "{text:?}");
    }

    #[test]
    fn the_dead_letters_of_this_crate_use_the_name_that_a_topic_gives() {
        let topic = TopicName::new("casino.player.registered.v1");
        let letters = crate::dead_letter::DeadLetters::with_suffix(".dlq");
        assert_eq!(letters.topic_for(topic.as_str()).as_deref(), Some(&*topic.dlq()));
        assert_eq!(topic.to_string(), topic.as_str());
    }

    #[test]
    #[should_panic(expected = "expected v1, v2 and so on")]
    fn an_invalid_constant_that_is_no_const_panics_with_the_rule() {
        let _ = TopicName::new("casino.player.registered.v0");
    }
}
