//! Ages on the command line: `90s`, `5m`, `2h`, `30d`.
//!
//! In: text. Out: a duration, or an error that names the expected form. Pure. And back, for people.

use std::time::Duration;

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads an age.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a whole number and s, m, h or d, as in 90s or 2h, got {text:?}");
    let unit = text.chars().last().and_then(|last| UNITS.into_iter().find(|(unit, _)| *unit == last));
    let (unit, seconds) = unit.ok_or_else(expected)?;
    let number = text.strip_suffix(unit).unwrap_or(text);
    if !number.chars().all(|c| c.is_ascii_digit()) {
        return Err(expected());
    }
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)
}

/// Writes an age in its two largest units: `2h 5m`.
pub(super) fn text(age: Duration) -> String {
    let mut left = age.as_secs();
    let mut parts = Vec::new();
    for (unit, seconds) in UNITS {
        if left >= seconds || (!parts.is_empty() && parts.len() < 2) {
            parts.push(format!("{}{unit}", left / seconds));
            left %= seconds;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        for (given, seconds) in [("0s", 0), ("90s", 90), ("5m", 300), ("2h", 7_200), ("30d", 2_592_000)] {
            assert_eq!(parse(given), Ok(Duration::from_secs(seconds)), "{given}");
        }
        for given in
            ["", "5", "h", "-1h", "+1h", "1.5h", "1 h", "1w", "1ü", "99999999999999999999s", "999999999999999999d"]
        {
            assert!(parse(given).unwrap_err().starts_with("expected a whole number and s, m, h or d"), "{given}");
        }
    }

    #[test]
    fn an_age_is_told_in_its_two_largest_units() {
        for (seconds, expected) in
            [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3_725, "1h 2m"), (86_400, "1d 0h"), (90_061, "1d 1h")]
        {
            assert_eq!(text(Duration::from_secs(seconds)), expected, "{seconds}");
        }
    }
}
