//! What the commands have in common that take the options of Apache Kafka's scripts.
//!
//! In: options as those scripts take them. Out: the same in Rust's types. Pure.

use std::borrow::Cow;

use regex::Regex;

/// Parses `name=value`. A name alone has an empty value, as in the scripts.
pub(crate) fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() { Err(format!("expected name=value, got {text:?}")) } else { Ok((name.into(), value.into())) }
}

/// The value that counts of a property, if it is there.
pub(crate) fn value<'a>(properties: &'a [(String, String)], name: &str) -> Option<&'a str> {
    properties.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Whether a property is set to `true`, in any letters.
pub(crate) fn is_true(properties: &[(String, String)], name: &str) -> Option<bool> {
    value(properties, name).map(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// Which of Apache's classes a name is, with or without their package. The error names those that there are.
pub(crate) fn class<T: Copy>(option: &str, package: &str, known: &[(&str, T)], name: &str) -> Result<T, String> {
    let simple = name.strip_prefix(package).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name);
    let found = known.iter().find(|(class, _)| *class == simple).map(|(_, found)| *found);
    found.ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(class, _)| *class).collect();
        format!(
            "{option}: expected one of {package}.{{{}}}, because milena runs no classes, got {name:?}",
            names.join(",")
        )
    })
}

/// Compiles a pattern of Java's. Nearly all mean the same here; what is not known here is refused.
pub(crate) fn pattern(name: &str, text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| match error {
        regex::Error::Syntax(_) => {
            format!("{name}: expected a regular expression (without look-around and back references), got {text:?}")
        }
        other => format!("{name}: {other}"),
    })
}

/// Splits as `java.util.regex.Pattern.split` does: empty parts at the end are left out.
pub(crate) fn split<'a>(separator: &Regex, text: &'a str) -> Vec<&'a str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    // Nothing before the text is no part.
    for found in separator.find_iter(text).filter(|found| found.end() > 0) {
        parts.push(&text[start..found.start()]);
        start = found.end();
    }
    if parts.is_empty() {
        return vec![text];
    }
    parts.push(&text[start..]);
    let len = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
    parts.truncate(len);
    parts
}

/// Text as Java reads it: bytes that are not UTF-8 become `U+FFFD`. Three bytes that stand for half of a character of
/// UTF-16 become one, also if the third is missing.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let (mut text, mut rest) = (String::new(), bytes);
    while let Some(chunk) = rest.utf8_chunks().next() {
        text.push_str(chunk.valid());
        rest = &rest[chunk.valid().len()..];
        if !rest.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            let len = match rest {
                [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
                [0xed, 0xa0..=0xbf, ..] => 2,
                _ => chunk.invalid().len(),
            };
            rest = &rest[len..];
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_needs_a_name_and_may_lack_its_value() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        for (given, expected) in
            [("a=b", pair("a", "b")), ("a=b=c", pair("a", "b=c")), ("a=", pair("a", "")), ("a", pair("a", ""))]
        {
            assert_eq!(property(given), expected, "{given}");
        }
        assert_eq!(property("=b"), Err("expected name=value, got \"=b\"".into()));
    }

    #[test]
    fn of_a_repeated_property_the_last_one_counts() {
        let properties = ["a=1", "b= TRUE ", "a=2", "c=yes"].map(|text| property(text).unwrap());
        assert_eq!((value(&properties, "a"), value(&properties, "z")), (Some("2"), None));
        let flags = ["b", "c", "z"].map(|name| is_true(&properties, name));
        assert_eq!(flags, [Some(true), Some(false), None]);
    }

    #[test]
    fn texts_are_split_as_java_splits_them() {
        for (separator, text, expected) in [
            (",", "a,b", &["a", "b"][..]),
            (",", "a", &["a"]),
            (",", "", &[""]),
            (",", "a,,b,,", &["a", "", "b"]),
            (",", ",", &[]),
            (",", ",a", &["", "a"]),
            ("", "ab", &["a", "b"]),
            ("|", "a|b", &["a", "|", "b"]),
            ("\\|", "a|b", &["a", "b"]),
            ("[;,]+", "a;,b", &["a", "b"]),
        ] {
            assert_eq!(split(&pattern("x", separator).unwrap(), text), expected, "{separator:?} {text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_as_java_replaces_them() {
        for (bytes, expected) in [
            ("aé😀".as_bytes(), "aé😀"),
            (b"a\xff\xfeb\xc3", "a??b?"),
            (b"\xe2\x82x\xf0\x9f\x98", "?x?"),
            (b"\xed\xa0\x80x\xed\xa0x\xed\xa0", "?x?x?"),
            (b"\xe0\x80\x80", "???"),
        ] {
            assert_eq!(text(bytes), expected.replace('?', "\u{fffd}"), "{bytes:?}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_told_with_the_name_of_its_setting() {
        let error = pattern("--include", "a(").unwrap_err();
        assert_eq!(
            error,
            "--include: expected a regular expression (without look-around and back references), got \"a(\""
        );
    }

    #[test]
    fn classes_are_known_with_and_without_their_package() {
        let known = |name| class("--x", "p.q", &[("A", 1), ("B", 2)], name);
        assert_eq!((known("A"), known("p.q.B")), (Ok(1), Ok(2)));
        for name in ["q.B", "p.q.C", ""] {
            let error = format!("--x: expected one of p.q.{{A,B}}, because milena runs no classes, got {name:?}");
            assert_eq!(known(name), Err(error));
        }
    }
}
