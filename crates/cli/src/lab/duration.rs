//! Durations on the command line: `500ms`, `2s`.
//!
//! In: text. Out: a duration, or an error that names the expected form. Pure.

use std::time::Duration;

/// The longest duration that is accepted: a day.
const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `500ms`, `2s`, `1.5s`, `1m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(expected()),
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())?;
    if duration <= MAX { Ok(duration) } else { Err("expected at most a day".into()) }
}

fn expected() -> String {
    "expected a number and ms, s or m, as in 500ms or 2s".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_are_a_duration() {
        for (text, ms) in
            [("500ms", 500), ("2s", 2_000), ("1.5s", 1_500), ("1m", 60_000), ("0s", 0), ("1440m", 86_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_was_expected() {
        for text in ["", "2", "s", "-1s", "2 s", "1.2.3s", "2h", "1e3s", ".s", "NaNs", "1441m"] {
            assert!(duration(text).unwrap_err().starts_with("expected "), "{text}");
        }
    }
}
