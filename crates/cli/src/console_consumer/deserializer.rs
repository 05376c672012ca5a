//! Bytes as text, as Apache's simple deserializers and Java's `toString` have it.
//!
//! In: bytes of a key, a value or a header. Out: text, or why the bytes are none. Pure.

use std::{borrow::Cow, fmt::LowerExp};

use crate::apache;

/// Which deserializer of Apache's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deserializer {
    String,
    /// The bytes as they are. Apache prints the name of Java's type here, and an address.
    ByteArray,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Uuid,
}

const PACKAGE: &str = "org.apache.kafka.common.serialization";
const CLASSES: [(&str, Deserializer); 8] = [
    ("StringDeserializer", Deserializer::String),
    ("ByteArrayDeserializer", Deserializer::ByteArray),
    ("ShortDeserializer", Deserializer::Short),
    ("IntegerDeserializer", Deserializer::Integer),
    ("LongDeserializer", Deserializer::Long),
    ("FloatDeserializer", Deserializer::Float),
    ("DoubleDeserializer", Deserializer::Double),
    ("UUIDDeserializer", Deserializer::Uuid),
];

impl Deserializer {
    /// The deserializer of a class.
    pub(super) fn named(property: &str, class: &str) -> Result<Self, String> {
        apache::class(property, PACKAGE, &CLASSES, class)
    }

    /// The bytes as text, in UTF-8.
    pub(super) fn text(self, bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
        let owned = |text: String| Cow::Owned(text.into_bytes());
        match self {
            Self::ByteArray => Ok(Cow::Borrowed(bytes)),
            Self::String => Ok(owned(apache::text(bytes).into_owned())),
            Self::Uuid => uuid(bytes).map(owned),
            Self::Short => Ok(owned(i16::from_be_bytes(sized(bytes)?).to_string())),
            Self::Integer => Ok(owned(i32::from_be_bytes(sized(bytes)?).to_string())),
            Self::Long => Ok(owned(i64::from_be_bytes(sized(bytes)?).to_string())),
            Self::Float => {
                let number = f32::from_be_bytes(sized(bytes)?);
                Ok(owned(float(number, f64::from(number))))
            }
            Self::Double => {
                let number = f64::from_be_bytes(sized(bytes)?);
                Ok(owned(float(number, number)))
            }
        }
    }
}

fn sized<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("expected {N} bytes of a number, got {}", bytes.len()))
}

/// A UUID as Java prints it, of its text.
fn uuid(bytes: &[u8]) -> Result<String, String> {
    let text = apache::text(bytes);
    let wrong = || format!("expected a UUID, got {text:?}");
    let parts: Vec<_> = text.split('-').collect();
    let [a, b, c, d, e] = parts[..] else { return Err(wrong()) };
    // Java reads each part as a number, and keeps as many of its last digits as it has room for.
    let part = |text: &str, digits: usize| {
        let number = u64::from_str_radix(text, 16).ok().filter(|number| i64::try_from(*number).is_ok())?;
        let all = format!("{number:016x}");
        Some(all[16 - digits..].to_owned())
    };
    let read = [part(a, 8), part(b, 4), part(c, 4), part(d, 4), part(e, 12)].into_iter().collect::<Option<Vec<_>>>();
    if text.len() > 36 { None } else { read }.map(|parts| parts.join("-")).ok_or_else(wrong)
}

/// A number as Java prints it: the fewest digits that tell it from others, and an exponent where it is very large or small.
fn float(shortest: impl LowerExp, number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}Infinity");
    }
    let text = format!("{shortest:e}");
    let (mantissa, exponent) = text.trim_start_matches('-').split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    let or_zero = |digits: &str| if digits.is_empty() { "0".to_owned() } else { digits.to_owned() };
    if number == 0.0 {
        return format!("{sign}0.0");
    }
    let plain = match usize::try_from(exponent) {
        Ok(exponent) if exponent < 7 => {
            let padded = format!("{digits:0<width$}", width = exponent + 1);
            Some(format!("{}.{}", &padded[..=exponent], or_zero(&padded[exponent + 1..])))
        }
        Err(_) if exponent >= -3 => Some(format!("0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1))),
        _ => None,
    };
    match plain {
        Some(plain) => format!("{sign}{plain}"),
        None => format!("{sign}{}.{}E{exponent}", &digits[..1], or_zero(&digits[1..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(deserializer: Deserializer, bytes: &[u8]) -> Result<String, String> {
        deserializer.text(bytes).map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn numbers_are_printed_as_java_prints_them() {
        for (deserializer, bytes, expected) in [
            (Deserializer::Short, &(-2_i16).to_be_bytes()[..], "-2"),
            (Deserializer::Integer, &i32::MIN.to_be_bytes(), "-2147483648"),
            (Deserializer::Long, &i64::MAX.to_be_bytes(), "9223372036854775807"),
            (Deserializer::Float, &0.1_f32.to_be_bytes(), "0.1"),
            (Deserializer::Float, &1.0e10_f32.to_be_bytes(), "1.0E10"),
            (Deserializer::Float, &16_777_216_f32.to_be_bytes(), "1.6777216E7"),
        ] {
            assert_eq!(text(deserializer, bytes), Ok(expected.into()), "{deserializer:?}");
        }
        for (number, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (100.0, "100.0"),
            (123.456, "123.456"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (0.001, "0.001"),
            (0.0123, "0.0123"),
            (0.000_999, "9.99E-4"),
            (1.5e300, "1.5E300"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(Deserializer::Double, &number.to_be_bytes()), Ok(expected.into()), "{number}");
        }
    }

    #[test]
    fn texts_are_utf_8_and_bytes_stay_what_they_are() {
        assert_eq!(text(Deserializer::String, b"a\xff"), Ok("a\u{fffd}".into()));
        assert_eq!(Deserializer::ByteArray.text(b"a\xff").unwrap(), &b"a\xff"[..]);
    }

    #[test]
    fn a_uuid_is_read_part_by_part() {
        for (given, expected) in [
            ("123e4567-E89B-12d3-a456-426614174000", Ok("123e4567-e89b-12d3-a456-426614174000")),
            ("1-2-3-4-5", Ok("00000001-0002-0003-0004-000000000005")),
            ("123456789-0-0-0-0", Ok("23456789-0000-0000-0000-000000000000")),
            ("1-2-3-4", Err(())),
            ("g-2-3-4-5", Err(())),
            ("", Err(())),
        ] {
            let read = text(Deserializer::Uuid, given.as_bytes());
            assert_eq!(read.map_err(drop), expected.map(str::to_owned), "{given}");
        }
    }

    #[test]
    fn bytes_of_another_size_are_no_number() {
        let error = text(Deserializer::Integer, b"123").unwrap_err();
        assert_eq!(error, "expected 4 bytes of a number, got 3");
        assert!(text(Deserializer::Double, b"1234").is_err());
    }

    #[test]
    fn classes_go_by_their_names() {
        let named = |class| Deserializer::named("key.deserializer", class);
        assert_eq!(named("org.apache.kafka.common.serialization.LongDeserializer"), Ok(Deserializer::Long));
        assert!(named("org.example.Mine").unwrap_err().starts_with("key.deserializer: expected one of org.apache"));
    }
}
