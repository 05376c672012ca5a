//! Parses files in the format of Java's `.properties`.
//!
//! In: text. Out: names and values in order, or the line that cannot be parsed. Pure but for [`load`]. The rules are those of
//! `java.util.Properties.load`, with one difference: the text is UTF-8, not Latin-1. A repeated name is returned each time; the
//! last value overrides the others. Deliberately absent: the meaning of the names.

use std::{iter::Peekable, path::Path, str::Chars};

/// The largest configuration file; a larger one was named by mistake.
const MAX_BYTES: u64 = 1024 * 1024;

/// Reads a file.
pub(crate) fn load(path: &Path) -> Result<Vec<(String, String)>, String> {
    let wrong = |reason: &dyn std::fmt::Display| format!("configuration file {}: {reason}", path.display());
    let size = std::fs::metadata(path).map_err(|e| wrong(&e))?.len();
    if size > MAX_BYTES {
        return Err(wrong(&format!("{size} bytes are too many for a configuration, expected at most {MAX_BYTES}")));
    }
    let bytes = std::fs::read(path).map_err(|e| wrong(&e))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes().iter().take(e.utf8_error().valid_up_to()).filter(|&&b| b == b'\n').count();
        wrong(&format!("line {line}: not UTF-8"))
    })?;
    parse(&text).map_err(|e| wrong(&e))
}

/// Parses `name=value`, `name: value` or `name value` from each line.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (number, line) in logical_lines(text) {
        let (name, value) = split(&line);
        let pair = unescape(name).and_then(|name| Ok((name, unescape(value)?)));
        pairs.push(pair.map_err(|reason| format!("line {number}: {reason}"))?);
    }
    Ok(pairs)
}

/// Lines without comments and blank lines, with continuations joined, each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut logical: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start_matches(is_blank);
        if !open && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let goes_on = line.chars().rev().take_while(|&c| c == '\\').count() % 2 == 1;
        let part = if goes_on { &line[..line.len() - 1] } else { line };
        match logical.last_mut() {
            Some((_, whole)) if open => whole.push_str(part),
            _ => logical.push((index + 1, part.to_owned())),
        }
        open = goes_on;
    }
    logical
}

/// Splits a line into name and value. The name ends at the first `=`, `:` or blank that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (c == '=' || c == ':' || is_blank(c));
        escaped = c == '\\' && !escaped;
        ends
    });
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (name, rest.trim_start_matches(is_blank))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => out.push(unicode(&mut chars)?),
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

/// Parses the character after `\u`: one UTF-16 unit, or a pair of surrogates, each with its own `\u`.
fn unicode(chars: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    let first = unit(chars)?;
    let mut units = vec![first];
    let mut ahead = chars.clone();
    if (0xd800..0xdc00).contains(&first) && ahead.next() == Some('\\') && ahead.next() == Some('u') {
        units.push(unit(&mut ahead)?);
        *chars = ahead;
    }
    match char::decode_utf16(units).collect::<Result<Vec<_>, _>>().as_deref() {
        Ok([c]) => Ok(*c),
        _ => Err(format!("\\u{first:04x} is half a character")),
    }
}

fn unit(chars: &mut Peekable<Chars<'_>>) -> Result<u16, String> {
    let digits: String = chars.take(4).collect();
    if digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        u16::from_str_radix(&digits, 16).map_err(|e| e.to_string())
    } else {
        Err(format!("expected four hexadecimal digits after \\u, got {digits:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap()
    }

    fn one(text: &str) -> (String, String) {
        let pairs = pairs(text);
        assert_eq!(pairs.len(), 1, "{text:?}: {pairs:?}");
        pairs.into_iter().next().unwrap()
    }

    #[test]
    fn each_separator_of_name_and_value_is_accepted() {
        for text in ["a.b=c d", "a.b:c d", "a.b c d", "a.b = c d", " a.b\t:\tc d", "a.b=c d\r\n", "\n\n\x0ca.b=c d\n"] {
            assert_eq!(one(text), ("a.b".into(), "c d".into()), "{text:?}");
        }
    }

    #[test]
    fn values_may_be_empty_and_may_hold_separators_and_end_in_blanks() {
        for (text, name, value) in [
            ("a", "a", ""),
            ("a=", "a", ""),
            ("a==b", "a", "=b"),
            ("a:=b", "a", "=b"),
            ("a=b ", "a", "b "),
            ("url=http://x:1/?q=1#not-a-comment", "url", "http://x:1/?q=1#not-a-comment"),
            ("=v", "", "v"),
        ] {
            assert_eq!(one(text), (name.into(), value.into()), "{text:?}");
        }
    }

    #[test]
    fn comments_and_blank_lines_are_left_out_and_order_and_repetitions_kept() {
        let text = "# one\n  ! two\n\n   \nb=1\na=2\nb=3";
        let expected = [("b", "1"), ("a", "2"), ("b", "3")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn a_line_that_ends_in_an_odd_number_of_backslashes_continues() {
        for (text, value) in [
            ("a=b,\\\n   c", "b,c"),
            ("a=b,\\\r\n\tc,\\\n\td", "b,c,d"),
            ("a=b\\\\\n", "b\\"),
            ("a=b\\\\\\\nc", "b\\c"),
            ("a=b\\\n# no comment here", "b# no comment here"),
            ("a=b\\", "b"),
            ("a=b\\\n", "b"),
        ] {
            assert_eq!(one(text), ("a".into(), value.into()), "{text:?}");
        }
    }

    #[test]
    fn escapes_stand_for_characters_in_names_and_values() {
        for (text, name, value) in [
            ("a\\ b\\=c\\:d=e", "a b=c:d", "e"),
            ("a=\\t\\n\\r\\f\\\\\\q", "a", "\t\n\r\x0c\\q"),
            ("a=\\u00e9\\u20AC", "a", "é€"),
            ("a=\\ud83d\\ude00!", "a", "😀!"),
            ("a=é", "a", "é"),
            ("a=\\  b", "a", "  b"),
        ] {
            assert_eq!(one(text), (name.into(), value.into()), "{text:?}");
        }
    }

    #[test]
    fn an_error_names_the_line() {
        for (text, expected) in [
            ("a=1\nb=\\u12", "line 2: expected four hexadecimal digits after \\u, got \"12\""),
            ("b=\\u+123", "line 1: expected four hexadecimal digits after \\u, got \"+123\""),
            ("# c\n\na=b\\\n\\uzzzz", "line 3: expected four hexadecimal digits after \\u, got \"zzzz\""),
            ("a=\\ud83d", "line 1: \\ud83d is half a character"),
            ("a=\\ud83d\\u0041", "line 1: \\ud83d is half a character"),
            ("a=\\ude00", "line 1: \\ude00 is half a character"),
        ] {
            assert_eq!(parse(text), Err(expected.into()), "{text:?}");
        }
    }

    #[test]
    fn no_text_causes_a_panic() {
        let parts = ["\\", "\\u", "=", "\n", " ", "é", "\u{2028}", "#", "d83d", "\r"];
        for a in parts {
            for b in parts {
                for c in parts {
                    for d in parts {
                        let _ = parse(&[a, b, c, d].concat());
                    }
                }
            }
        }
    }
}
