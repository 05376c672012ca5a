//! The rules for names of topics.
//!
//! In: a name. Out: nothing, or the rule that it breaks. Pure. Source: Java's `org.apache.kafka.common.internals.Topic`. Deliberately
//! absent: whether the topic exists.

/// The longest name, in characters. The broker's folder for a partition has this name and the partition's number.
const MAX_LEN: usize = 249;

/// Checks a topic's name. The error is the rule that it breaks.
pub(crate) fn check_topic_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("it is empty"),
        "." | ".." => Err("it would be a folder's own or parent's name"),
        _ if name.len() > MAX_LEN => Err("it is longer than 249 characters"),
        _ if !name.bytes().all(is_allowed) => Err("only letters a-z and A-Z, digits, '.', '_' and '-' are allowed"),
        _ => Ok(()),
    }
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_java_allows_are_allowed() {
        for name in ["a", "orders", "shop.Orders_v2-eu", "...", "-", &"x".repeat(249)] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_that_no_broker_would_take_are_refused_with_the_rule_they_break() {
        for (name, rule) in [
            ("", "empty"),
            (".", "folder"),
            ("..", "folder"),
            ("a b", "only letters"),
            ("a/b", "only letters"),
            ("a\0", "only letters"),
            ("bestellungen-für-alle", "only letters"),
            (&"x".repeat(250), "longer than 249"),
        ] {
            assert!(check_topic_name(name).unwrap_err().contains(rule), "{name:?}");
        }
    }
}
