//! The given properties while they are read, and their violations.
//!
//! In: Java names and values, as given. Out: typed values and violations. Pure. A value that cannot be read is a violation, and its
//! default takes its place, so that one mistake does not hide others. Rules between settings skip such values.

use std::collections::{BTreeMap, BTreeSet};

use super::{kinds::Kind, preset::Preset};

/// The longest part of a name or value that a violation quotes, in characters.
const ECHO_CHARS: usize = 80;

/// The given properties, and what is wrong with them.
pub(super) struct Draft<'a> {
    pub(super) given: BTreeMap<&'a str, &'a str>,
    preset: &'static [(&'static str, &'static str)],
    unreadable: BTreeSet<&'static str>,
    pub(super) violations: Vec<String>,
}

impl<'a> Draft<'a> {
    /// A draft of these properties, with a preset below them. A later value of a name replaces an earlier one, as in a properties file.
    pub(super) fn new(given: &'a [(String, String)], preset: Option<Preset>) -> Self {
        let given = given.iter().map(|(name, value)| (meant(name.trim()), value.as_str())).collect();
        let preset = preset.map_or(&[][..], Preset::properties);
        Self { given, preset, unreadable: BTreeSet::new(), violations: Vec::new() }
    }

    /// The value of a setting. It is the preset's or the default if none is given, or if the given one cannot be read.
    pub(super) fn read<T>(&mut self, name: &'static str, kind: &impl Kind<T>, default: &str) -> T {
        let default = self.of_preset(name).unwrap_or(default);
        let text = self.given.get(name).map_or(default, |given| kind.trimmed(given));
        kind.read(text).unwrap_or_else(|expected| {
            self.violations.push(format!("{name}: expected {expected}, got {}", echo(text)));
            self.unreadable.insert(name);
            kind.read(default).expect("a default can be read")
        })
    }

    fn of_preset(&self, name: &str) -> Option<&'static str> {
        self.preset.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Whether a property was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// Whether the user has asked for a property, by itself or with a preset.
    pub(super) fn is_asked_for(&self, name: &str) -> bool {
        self.has(name) || self.of_preset(name).is_some()
    }

    /// Whether all of these properties could be read.
    pub(super) fn readable(&self, names: &[&str]) -> bool {
        names.iter().all(|name| !self.unreadable.contains(name))
    }
}

/// The setting's name, for a wrong name that is common and unambiguous.
fn meant(name: &str) -> &str {
    const IN_FLIGHT: (&str, &str) = ("max.in.flight.requests", "max.in.flight.requests.per.connection");
    if name != IN_FLIGHT.0 {
        return name;
    }
    tracing::warn!("{} counts as {}, which is its name", IN_FLIGHT.0, IN_FLIGHT.1);
    IN_FLIGHT.1
}

/// A given text, quoted and shortened. Text that may have a password (`user:password@host`) is not quoted.
pub(super) fn echo(text: &str) -> String {
    match text.char_indices().nth(ECHO_CHARS) {
        _ if text.is_empty() => "nothing".to_owned(),
        _ if text.contains('@') => "text with an @, not repeated here".to_owned(),
        Some((end, _)) => format!("{:?} and more", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_in_a_violation_is_short_escaped_and_no_secret() {
        assert_eq!(echo(""), "nothing");
        assert_eq!(echo("a\nb"), r#""a\nb""#);
        assert_eq!(echo("user:hunter2@kafka:9092"), "text with an @, not repeated here");
        let long = echo(&"ä".repeat(1_000_000));
        assert!(long.ends_with("\" and more") && long.chars().count() < 100, "{long}");
    }
}
