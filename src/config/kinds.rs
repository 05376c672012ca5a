//! The kinds of values that settings have, and how each is read from Java's notation and written in it.
//!
//! In: text from a property, or a typed value from a setter. Out: a typed value, or what was expected.
//! Pure. Deliberately absent: rules between settings, which are in [`super::rules`].

use std::{fmt::Display, sync::Arc, time::Duration};

use super::{servers, values::TlsVersions};
use crate::secret::Secret;

/// The greatest value of Java's `int`.
pub(super) const INT: i64 = i32::MAX as i64;
/// The greatest value of Java's `long`.
pub(super) const LONG: i64 = i64::MAX;
/// The longest time. Longer ones count as this. A hundred years can be added to any clock without overflow.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Reads and writes the values of a setting, which have type `T`.
pub(super) trait Kind<T> {
    /// Reads Java's notation. The error is what was expected.
    fn read(&self, text: &str) -> Result<T, String>;
    /// Writes Java's notation.
    fn show(&self, value: &T) -> String;
    /// What of a given text is the value. Blanks around it are not, except in a secret.
    fn trimmed<'a>(&self, text: &'a str) -> &'a str {
        text.trim()
    }
}

/// A time in milliseconds, between two bounds. A negative one, where the bounds allow it, means "for ever".
pub(super) struct Millis(pub(super) i64, pub(super) i64);

impl Kind<Duration> for Millis {
    fn read(&self, text: &str) -> Result<Duration, String> {
        let millis = integer(text, self.0, self.1).map_err(|range| format!("{range} (milliseconds)"))?;
        Ok(u64::try_from(millis).map_or(FOREVER, |millis| Duration::from_millis(millis).min(FOREVER)))
    }

    fn show(&self, value: &Duration) -> String {
        show_millis(*value)
    }
}

/// A time in milliseconds, or nothing.
pub(super) struct OptionalMillis;

impl Kind<Option<Duration>> for OptionalMillis {
    fn read(&self, text: &str) -> Result<Option<Duration>, String> {
        if text.is_empty() { Ok(None) } else { Millis(0, INT).read(text).map(Some) }
    }

    fn show(&self, value: &Option<Duration>) -> String {
        value.map_or_else(String::new, show_millis)
    }
}

/// A fraction between two bounds.
pub(super) struct Ratio(pub(super) f64, pub(super) f64);

impl Kind<f64> for Ratio {
    fn read(&self, text: &str) -> Result<f64, String> {
        let Self(min, max) = *self;
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("a number from {min} to {max}"))
    }

    fn show(&self, value: &f64) -> String {
        value.to_string()
    }
}

/// A time in whole milliseconds, rounded up so that a short one does not become 0.
pub(super) fn show_millis(value: Duration) -> String {
    value.min(FOREVER).as_nanos().div_ceil(1_000_000).to_string()
}

/// An integer between two bounds.
pub(super) struct Number(pub(super) i64, pub(super) i64);

impl<T: TryFrom<i64> + Display> Kind<T> for Number {
    fn read(&self, text: &str) -> Result<T, String> {
        let number = integer(text, self.0, self.1)?;
        T::try_from(number).map_err(|_| "a number that this machine can address".to_owned())
    }

    fn show(&self, value: &T) -> String {
        value.to_string()
    }
}

/// A level of gzip. -1 is its default level.
pub(super) struct GzipLevel;

impl Kind<i32> for GzipLevel {
    fn read(&self, text: &str) -> Result<i32, String> {
        let level = Number(1, 9).read(text);
        if text.trim() == "-1" { Ok(-1) } else { level.map_err(|range| format!("{range}, or -1 for the usual one")) }
    }

    fn show(&self, value: &i32) -> String {
        value.to_string()
    }
}

/// The size of a socket's buffer. -1, here `None`, leaves it to the operating system.
pub(super) struct SocketBuffer;

impl Kind<Option<usize>> for SocketBuffer {
    fn read(&self, text: &str) -> Result<Option<usize>, String> {
        integer(text, -1, INT).map(|bytes| usize::try_from(bytes).ok())
    }

    fn show(&self, value: &Option<usize>) -> String {
        value.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string())
    }
}

/// One of a few words, in any case. Of the words for one value, the first is written.
pub(super) struct Words<T: 'static>(pub(super) &'static [(&'static str, T)]);

/// `true` or `false`.
pub(super) const FLAG: Words<bool> = Words(&[("true", true), ("false", false)]);

impl<T: Copy + PartialEq> Kind<T> for Words<T> {
    fn read(&self, text: &str) -> Result<T, String> {
        let found = self.0.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        let words = || self.0.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        found.map(|(_, value)| *value).ok_or_else(words)
    }

    fn show(&self, value: &T) -> String {
        self.0.iter().find(|(_, candidate)| candidate == value).map_or_else(String::new, |(word, _)| (*word).to_owned())
    }
}

/// Text with a limit in bytes.
pub(super) struct Text(pub(super) usize);

impl Kind<Arc<str>> for Text {
    fn read(&self, text: &str) -> Result<Arc<str>, String> {
        if text.len() > self.0 { Err(format!("at most {} bytes", self.0)) } else { Ok(text.into()) }
    }

    fn show(&self, value: &Arc<str>) -> String {
        value.to_string()
    }
}

/// A text that is never printed.
pub(super) struct Secrets;

impl Kind<Secret> for Secrets {
    fn read(&self, text: &str) -> Result<Secret, String> {
        Ok(Secret::new(text))
    }

    fn show(&self, value: &Secret) -> String {
        value.to_string()
    }

    /// As Java's `ConfigDef.parseType`: a blank may belong to a password.
    fn trimmed<'a>(&self, text: &'a str) -> &'a str {
        text
    }
}

/// A list of names, with commas between them.
pub(super) struct Names;

impl Kind<Vec<String>> for Names {
    fn read(&self, text: &str) -> Result<Vec<String>, String> {
        Ok(names(text).map(str::to_owned).collect())
    }

    fn show(&self, value: &Vec<String>) -> String {
        value.join(",")
    }
}

/// A list of versions of TLS.
pub(super) struct Versions;

impl Kind<TlsVersions> for Versions {
    fn read(&self, text: &str) -> Result<TlsVersions, String> {
        let mut versions = TlsVersions { v12: false, v13: false };
        for name in names(text) {
            match name {
                "TLSv1.2" => versions.v12 = true,
                "TLSv1.3" => versions.v13 = true,
                _ => return Err("TLSv1.2,TLSv1.3 or one of the two, since older versions are not safe".to_owned()),
            }
        }
        if versions.v12 || versions.v13 { Ok(versions) } else { Err("TLSv1.2,TLSv1.3 or one of the two".to_owned()) }
    }

    fn show(&self, value: &TlsVersions) -> String {
        let names = [("TLSv1.2", value.v12), ("TLSv1.3", value.v13)];
        names.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect::<Vec<_>>().join(",")
    }
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// A list of `host:port`.
pub(super) struct Servers;

impl Kind<Vec<(String, u16)>> for Servers {
    fn read(&self, text: &str) -> Result<Vec<(String, u16)>, String> {
        servers::parse(text).map_err(|wrong| wrong.expected)
    }

    fn show(&self, value: &Vec<(String, u16)>) -> String {
        value.iter().map(|(host, port)| servers::shown(host, *port)).collect::<Vec<_>>().join(",")
    }
}

fn integer(text: &str, min: i64, max: i64) -> Result<i64, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| match max {
        LONG => format!("an integer of at least {min}"),
        _ => format!("an integer from {min} to {max}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_to_their_bounds_and_say_which() {
        let int = Millis(0, INT);
        assert_eq!(int.read("5"), Ok(Duration::from_millis(5)));
        assert_eq!(int.read("-1").unwrap_err(), "an integer from 0 to 2147483647 (milliseconds)");
        assert_eq!(int.read("2147483648"), int.read("-1"));
        assert_eq!(int.read("5ms"), int.read("-1"));
        assert_eq!(Millis(1, LONG).read("0").unwrap_err(), "an integer of at least 1 (milliseconds)");
        assert!(Millis(0, LONG).read("9223372036854775808").is_err());
    }

    #[test]
    fn endless_times_become_one_that_every_clock_can_add() {
        assert_eq!(Millis(0, LONG).read("9223372036854775807"), Ok(FOREVER));
        assert_eq!(Millis(-1, LONG).read("-1"), Ok(FOREVER));
        assert_eq!(Millis(0, LONG).read(&Millis(0, LONG).show(&Duration::MAX)), Ok(FOREVER));
    }

    #[test]
    fn a_fraction_of_a_millisecond_is_rounded_up_so_that_it_never_becomes_zero() {
        assert_eq!(Millis(0, INT).show(&Duration::from_micros(1)), "1");
        assert_eq!(Millis(0, INT).show(&Duration::from_micros(2_001)), "3");
        assert_eq!(Millis(0, INT).show(&Duration::ZERO), "0");
    }

    #[test]
    fn a_fraction_keeps_to_its_bounds_and_a_time_may_be_left_out() {
        assert_eq!((Ratio(0.5, 1.0).read("0.8"), Ratio(0.5, 1.0).show(&0.8)), (Ok(0.8), "0.8".into()));
        for text in ["0.4", "1.1", "NaN", "", "80%"] {
            assert_eq!(Ratio(0.5, 1.0).read(text).unwrap_err(), "a number from 0.5 to 1", "{text}");
        }
        assert_eq!((OptionalMillis.read(""), OptionalMillis.show(&None)), (Ok(None), String::new()));
        assert_eq!(OptionalMillis.read("7"), Ok(Some(Duration::from_millis(7))));
        assert!(OptionalMillis.read("-1").is_err());
    }

    #[test]
    fn words_are_read_in_any_case_and_written_as_the_first_that_fits() {
        let words = Words(&[("all", 1), ("-1", 1), ("none", 0)]);
        assert_eq!((words.read("ALL"), words.read("-1"), words.read("none")), (Ok(1), Ok(1), Ok(0)));
        assert_eq!(words.read("2").unwrap_err(), "all or -1 or none");
        assert_eq!(words.show(&1), "all");
        assert_eq!(FLAG.read("True"), Ok(true));
        assert!(FLAG.read("yes").is_err());
    }

    #[test]
    fn a_socket_buffer_of_minus_one_is_left_to_the_operating_system() {
        assert_eq!(SocketBuffer.read("-1"), Ok(None));
        assert_eq!(SocketBuffer.read("0"), Ok(Some(0)));
        assert!(SocketBuffer.read("-2").is_err());
        assert_eq!((SocketBuffer.show(&None), SocketBuffer.show(&Some(7))), ("-1".into(), "7".into()));
    }

    #[test]
    fn versions_of_tls_are_those_that_are_safe_and_at_least_one() {
        let read = |text| Versions.read(text).map(|versions| Versions.show(&versions));
        assert_eq!(read("TLSv1.3, TLSv1.2"), Ok("TLSv1.2,TLSv1.3".into()));
        assert_eq!(read("TLSv1.3"), Ok("TLSv1.3".into()));
        for text in ["", " , ", "TLSv1.1", "TLSv1.2,SSLv3", "tlsv1.2"] {
            assert!(read(text).unwrap_err().starts_with("TLSv1.2,TLSv1.3 or one of the two"), "{text}");
        }
    }

    #[test]
    fn a_list_of_names_may_have_blanks_and_be_empty() {
        assert_eq!(Names.read(" a , b,"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(Names.show(&Names.read("").unwrap()), "");
    }

    #[test]
    fn blanks_around_a_secret_belong_to_it_and_it_is_not_shown() {
        assert_eq!(Secrets.trimmed(" s "), " s ");
        assert_eq!(Servers.trimmed(" a:1 "), "a:1");
        assert_eq!(Secrets.show(&Secrets.read(" s ").unwrap()), "[hidden]");
    }

    #[test]
    fn numbers_and_texts_keep_to_their_bounds() {
        assert_eq!(Number(1, INT).read("1"), Ok(1_usize));
        assert_eq!(Number(0, INT).read("2147483647"), Ok(2_147_483_647_u32));
        let read = |min, text| Number(min, INT).read(text).map(|number: u8| number);
        assert_eq!(read(1, "0").unwrap_err(), "an integer from 1 to 2147483647");
        assert_eq!(read(0, "2147483648").unwrap_err(), "an integer from 0 to 2147483647");
        assert_eq!(read(0, "256").unwrap_err(), "a number that this machine can address");
        assert_eq!(Text(3).read("abc").as_deref(), Ok("abc"));
        assert_eq!(Text(3).read("abcd").unwrap_err(), "at most 3 bytes");
    }
}
