//! How bytes are written as text: as they are, in hexadecimal, in base64; and escapes for what is hard to type.
//!
//! In: text or bytes. Out: bytes or text, or where the text is wrong. Pure.

use std::{borrow::Cow, fmt};

use base64::{
    DecodeError, Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use clap::ValueEnum;

/// Takes base64 with its padding and without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How bytes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encoding {
    /// As they are
    #[default]
    Text,
    /// Two hexadecimal digits for each byte
    Hex,
    /// Base64, with or without padding
    Base64,
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The first byte that is wrong.
    pub(crate) at: usize,
    pub(crate) why: String,
}

impl Wrong {
    pub(crate) fn new(at: usize, why: impl Into<String>) -> Self {
        Self { at, why: why.into() }
    }

    /// The same in a text that begins with `before` more bytes.
    pub(crate) fn behind(self, before: usize) -> Self {
        Self { at: self.at + before, ..self }
    }
}

/// As a person counts columns, from 1.
impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.at + 1, self.why)
    }
}

impl Encoding {
    /// The bytes that a text stands for.
    pub(crate) fn decode(self, text: &[u8]) -> Result<Cow<'_, [u8]>, Wrong> {
        match self {
            Self::Text => Ok(Cow::Borrowed(text)),
            Self::Hex => hex(text).map(Cow::Owned),
            Self::Base64 => LENIENT.decode(text).map(Cow::Owned).map_err(|error| not_base64(text, &error)),
        }
    }

    /// Appends the text that stands for these bytes.
    pub(crate) fn put(self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Self::Text => out.extend_from_slice(bytes),
            Self::Hex => out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])),
            Self::Base64 => out.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
        }
    }
}

fn hex(text: &[u8]) -> Result<Vec<u8>, Wrong> {
    let value = |(at, byte): (usize, &u8)| {
        let value = char::from(*byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
        value.ok_or_else(|| Wrong::new(at, format!("expected a hexadecimal digit, got {}", shown(*byte))))
    };
    let digits = text.iter().enumerate().map(value).collect::<Result<Vec<_>, _>>()?;
    let (pairs, []) = digits.as_chunks() else {
        return Err(Wrong::new(text.len(), "expected one hexadecimal digit more, there are two for each byte"));
    };
    Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn not_base64(text: &[u8], error: &DecodeError) -> Wrong {
    match error {
        DecodeError::InvalidByte(at, byte) | DecodeError::InvalidLastSymbol { offset: at, symbol: byte, .. } => {
            Wrong::new(*at, format!("expected base64, got {}", shown(*byte)))
        }
        _ => Wrong::new(text.len(), "expected base64, which has no text of this length"),
    }
}

fn shown(byte: u8) -> String {
    if byte.is_ascii() { format!("{:?}", char::from(byte)) } else { format!("the byte \\x{byte:02x}") }
}

fn digit(value: u8) -> u8 {
    b"0123456789abcdef"[usize::from(value & 15)]
}

/// Replaces `\n`, `\r`, `\t`, `\0`, `\\` and `\xNN` by what they stand for.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (byte, after) = match rest {
            [b'n', after @ ..] => (b'\n', after),
            [b'r', after @ ..] => (b'\r', after),
            [b't', after @ ..] => (b'\t', after),
            [b'0', after @ ..] => (0, after),
            [b'\\', after @ ..] => (b'\\', after),
            [b'x', high, low, after @ ..] => (hex(&[*high, *low]).map_err(|wrong| wrong.why)?[0], after),
            _ => return Err("expected \\n, \\r, \\t, \\0, \\xNN or \\\\ where a backslash stands".into()),
        };
        out.push(byte);
        rest = after;
    }
    Ok(out)
}

/// Parses a separator, in which escapes may stand.
pub(crate) fn separator(text: &str) -> Result<Vec<u8>, String> {
    let bytes = unescape(text)?;
    if bytes.is_empty() { Err("expected at least one character".into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_they_were_written() {
        let all: Vec<u8> = (0..=255).collect();
        for encoding in [Encoding::Text, Encoding::Hex, Encoding::Base64] {
            for len in [0, 1, 2, 3, 256] {
                let mut text = Vec::new();
                encoding.put(&mut text, &all[..len]);
                assert_eq!(encoding.decode(&text).as_deref(), Ok(&all[..len]), "{encoding:?} {len}");
            }
        }
    }

    #[test]
    fn texts_of_other_programs_are_read_as_well() {
        for (encoding, text, expected) in [
            (Encoding::Hex, "00fFAb", &[0, 0xff, 0xab][..]),
            (Encoding::Base64, "AP8=", &[0, 0xff]),
            (Encoding::Base64, "AP8", &[0, 0xff]),
        ] {
            assert_eq!(encoding.decode(text.as_bytes()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_error_names_the_column_and_what_stands_there() {
        for (encoding, text, expected) in [
            (Encoding::Hex, &b"00g0"[..], "column 3: expected a hexadecimal digit, got 'g'"),
            (Encoding::Hex, b"\xff0", "column 1: expected a hexadecimal digit, got the byte \\xff"),
            (Encoding::Hex, b"000", "column 4: expected one hexadecimal digit more, there are two for each byte"),
            (Encoding::Base64, b"AA*A", "column 3: expected base64, got '*'"),
            (Encoding::Base64, b"A", "column 2: expected base64, which has no text of this length"),
        ] {
            assert_eq!(encoding.decode(text).unwrap_err().to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn separators_may_have_escapes() {
        for (text, expected) in [
            (":", &b":"[..]),
            ("\t", b"\t"),
            ("\\t", b"\t"),
            ("\\\\", b"\\"),
            ("a\\tb", b"a\tb"),
            ("\\0", b"\0"),
            ("\\r\\n--", b"\r\n--"),
            ("\\xfe\\x41", b"\xfeA"),
            ("é", "é".as_bytes()),
        ] {
            assert_eq!(separator(text).as_deref(), Ok(expected), "{text:?}");
        }
        for text in ["", "\\", "\\q", "\\x4", "\\xzz"] {
            assert!(separator(text).is_err(), "{text:?}");
        }
    }
}
