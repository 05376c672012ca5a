//! Makes text from a peer safe to log and print.
//!
//! In: text from a peer. Out: printable text, or whether the text can be a host. Pure. Terminals execute control
//! characters, and characters that change the direction of writing or have no width mislead readers (RUSTSEC-2025-0055
//! is an example). Deliberately absent: names and addresses that the user gave.

/// How many characters of a peer's text are kept.
const MAX_CHARS: usize = 256;
/// The longest host name in bytes (RFC 1035).
const MAX_HOST_LEN: usize = 255;

/// A peer's text, shortened, with every unsafe character replaced.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(MAX_CHARS).map(|c| if is_unsafe(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// As [`printable`], however long it is: a value that is shown must be whole.
#[cfg(feature = "admin")]
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Whether a peer's text can be a host: a name or an address.
pub(crate) fn is_host(text: &str) -> bool {
    let may_stand = |c: char| c.is_alphanumeric() || "-._:%[]".contains(c);
    (1..=MAX_HOST_LEN).contains(&text.len()) && text.chars().all(may_stand)
}

/// Whether a character is unsafe: controls, and Unicode's format characters and line separators.
fn is_unsafe(c: char) -> bool {
    let format = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{e0000}'..='\u{e007f}');
    c.is_control() || format
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_invisible_characters_are_replaced() {
        for (text, expected) in [
            ("plain, naïve, 数据 and “quoted”", "plain, naïve, 数据 and “quoted”"),
            ("\u{1b}[2Jgone", "\u{fffd}[2Jgone"),
            ("a\r\nb\0\u{9b}", "a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}"),
            ("\u{202e}txt.exe\u{200b}\u{2028}", "\u{fffd}txt.exe\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(printable(text), expected, "{text:?}");
        }
    }

    #[test]
    fn long_text_is_shortened() {
        assert_eq!(printable(&"é".repeat(10_000)), "é".repeat(256));
    }

    #[test]
    fn hosts_are_names_and_addresses_and_nothing_else() {
        for host in
            ["localhost", "kafka-1.example.com", "my_broker", "10.0.0.1", "::1", "fe80::1%eth0", "bücher.example"]
        {
            assert!(is_host(host), "{host}");
        }
        let long = "a".repeat(256);
        for other in ["", " ", "a b", "a\n", "\u{1b}[31mred", "a\u{202e}b", "user@host", "http://host", &long] {
            assert!(!is_host(other), "{other:?}");
        }
    }
}
