//! Parsers of arguments that are settings of the producer.
//!
//! In: the text of an argument. Out: the text if the producer accepts it, or the library's error, before which clap prints the name
//! of the argument. Pure.

use milena::{Preset, ProducerBuilder};

/// Accepts servers as `host:port,host:port`.
pub(crate) fn servers(text: &str) -> Result<String, String> {
    checked("bootstrap.servers", text)
}

/// Accepts `0`, `1`, `all` or `-1`.
pub(crate) fn acks(text: &str) -> Result<String, String> {
    checked("acks", text)
}

/// Accepts the name of a codec that is built in.
pub(crate) fn compression(text: &str) -> Result<String, String> {
    checked("compression.type", text)
}

/// Accepts the name of a preset.
pub(crate) fn preset(text: &str) -> Result<Preset, String> {
    let names = Preset::ALL.map(Preset::name).join(", ");
    Preset::ALL.into_iter().find(|preset| preset.name() == text).ok_or_else(|| format!("expected one of {names}"))
}

fn checked(name: &str, text: &str) -> Result<String, String> {
    let builder = ProducerBuilder::new("localhost:9092").property(name, text);
    let Err(error) = builder.effective_properties() else { return Ok(text.to_owned()) };
    let violation = error.violations().first().map_or("", String::as_str);
    Err(violation.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(violation).to_owned())
}

/// Parses `name=value`; the value may contain further `=`.
pub(crate) fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected name=value, got {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_accepted_as_by_the_producer_and_an_error_does_not_repeat_its_name() {
        assert_eq!(servers("a:1,b:2"), Ok("a:1,b:2".into()));
        assert_eq!(acks("ALL"), Ok("ALL".into()));
        assert_eq!(acks("2"), Err("expected all or -1 or 1 or 0, got \"2\"".into()));
        assert_eq!(servers(" "), Err("expected at least one host:port, got nothing".into()));
        assert!(compression("brotli").unwrap_err().starts_with("expected none or gzip or "));
    }

    #[test]
    fn every_preset_has_its_name() {
        Preset::ALL.into_iter().for_each(|known| assert_eq!(preset(known.name()), Ok(known)));
        assert_eq!(preset("fast"), Err("expected one of throughput, durability, latency".into()));
    }

    #[test]
    fn names_and_values_are_split_at_the_first_equals_sign() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(name_and_value("a=b"), pair("a", "b"));
        assert_eq!(name_and_value("a=b=c"), pair("a", "b=c"));
        assert_eq!(name_and_value("a="), pair("a", ""));
        for text in ["", "a", "=b"] {
            assert_eq!(name_and_value(text), Err(format!("expected name=value, got {text:?}")));
        }
    }
}
