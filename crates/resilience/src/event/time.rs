//! The time of an event.
//!
//! In: the clock, milliseconds, or RFC 3339 text. Out: an [`EventTime`], and its text. Deliberately absent: time zones.
//! An offset is read, and written as UTC.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// In ms since the Unix epoch, from the beginning of the year 0, the first that RFC 3339 has, to the last time of jiff,
/// a day before the end of 9999.
const RANGE: RangeInclusive<i64> = -62_167_219_200_000..=253_402_207_200_999;

/// When an event happened, in milliseconds. Its text is RFC 3339 in UTC with three digits for the milliseconds, such as
/// `2026-11-27T17:33:08.250Z`, so that texts sort as times do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventTime(Timestamp);

impl EventTime {
    /// The time of the system's clock.
    #[must_use]
    pub fn now() -> Self {
        let now = Timestamp::now();
        Self::from_unix_ms(now.as_millisecond()).unwrap_or(Self(now))
    }

    /// A time in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// The time is before the year 0 or after 9999.
    pub fn from_unix_ms(ms: i64) -> Result<Self, InvalidEventTime> {
        let time = RANGE.contains(&ms).then(|| Timestamp::from_millisecond(ms).ok()).flatten();
        time.map(Self).ok_or_else(|| InvalidEventTime { got: format!("{ms} ms since the Unix epoch") })
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_ms(self) -> i64 {
        self.0.as_millisecond()
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl FromStr for EventTime {
    type Err = InvalidEventTime;

    /// Reads RFC 3339 text with any offset. What is finer than a millisecond is dropped.
    fn from_str(text: &str) -> Result<Self, InvalidEventTime> {
        let invalid = || InvalidEventTime { got: format!("\"{}\"", text.escape_debug().take(64).collect::<String>()) };
        let time: Timestamp = text.parse().map_err(|_| invalid())?;
        Self::from_unix_ms(time.as_millisecond()).map_err(|_| invalid())
    }
}

/// What is no time of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid event time: expected RFC 3339 with an offset, such as 2026-11-27T17:33:08.250Z, got {got}")]
pub struct InvalidEventTime {
    got: String,
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_three_digits_for_the_milliseconds() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_800_788_250, "2026-11-27T17:33:08.250Z"),
            (1_795_800_788_000, "2026-11-27T17:33:08.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (*RANGE.start(), "0000-01-01T00:00:00.000Z"),
        ] {
            let time = EventTime::from_unix_ms(ms).unwrap();
            assert_eq!(time.to_string(), text);
            assert_eq!((text.parse(), time.unix_ms()), (Ok(time), ms));
        }
    }

    #[test]
    fn offsets_are_read_as_utc_and_parts_of_a_millisecond_are_dropped() {
        for text in [
            "2026-11-27T17:33:08.25Z",
            "2026-11-27T18:33:08.250+01:00",
            "2026-11-27T17:33:08.250999Z",
            "2026-11-27T17:33:08.250999999+00:00",
            "2026-11-27t17:33:08.250z",
        ] {
            assert_eq!(text.parse::<EventTime>().unwrap().to_string(), "2026-11-27T17:33:08.250Z", "{text}");
        }
    }

    #[test]
    fn what_is_no_time_with_an_offset_is_refused_and_the_error_says_what_was_expected() {
        for text in ["", "now", "1795800788250", "2026-11-27", "2026-11-27T17:33:08.250", "2026-13-27T17:33:08.250Z"] {
            let error = text.parse::<EventTime>().unwrap_err().to_string();
            assert!(error.contains("expected RFC 3339") && error.ends_with(&format!("got \"{text}\"")), "{error}");
        }
        let long = "x\n".repeat(10_000).parse::<EventTime>().unwrap_err().to_string();
        assert!(long.len() < 250 && !long.contains('\n'), "{long:?}");
    }

    #[test]
    fn times_that_have_no_rfc_3339_text_are_refused() {
        for ms in [*RANGE.start() - 1, *RANGE.end() + 1, i64::MIN, i64::MAX] {
            let error = EventTime::from_unix_ms(ms).unwrap_err().to_string();
            assert!(error.ends_with(&format!("got {ms} ms since the Unix epoch")), "{error}");
        }
        assert!("-000001-01-01T00:00:00Z".parse::<EventTime>().is_err());
    }

    #[test]
    fn the_time_of_the_clock_has_whole_milliseconds() {
        let now = EventTime::now();
        assert_eq!(EventTime::from_unix_ms(now.unix_ms()), Ok(now));
        assert_eq!(now.to_string().parse(), Ok(now));
    }
}
