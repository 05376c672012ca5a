//! Text from a peer, before anybody sees it.
//!
//! In: anybody's text. Out: text that can be logged and printed, or whether it can be a host at all. Pure. Terminals obey
//! what control characters say, and readers are misled by characters that turn the direction of writing or take no room
//! (RUSTSEC-2025-0055 is such a case). Deliberately absent: names and addresses of the caller's own.

/// The most characters of a peer's text that are kept.
const MOST: usize = 256;
/// The most bytes of a host's name (RFC 1035).
const MOST_OF_HOST: usize = 255;

/// A peer's text, short and without characters that do something.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(MOST).map(|c| if acts(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Whether a peer's text can be a host: a name or an address.
pub(crate) fn is_host(text: &str) -> bool {
    let may_stand = |c: char| c.is_alphanumeric() || "-._:%[]".contains(c);
    (1..=MOST_OF_HOST).contains(&text.len()) && text.chars().all(may_stand)
}

/// Whether a character is not there to be read: controls, and Unicode's formats and separators of lines.
fn acts(c: char) -> bool {
    let format = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{e0000}'..='\u{e007f}');
    c.is_control() || format
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_or_a_reader_not_see_is_replaced() {
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
    fn long_text_is_cut() {
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
