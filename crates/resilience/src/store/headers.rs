//! Headers as text.
//!
//! In: headers. Out: JSON that a person can read, and back: `[["eventType","placed"],["trace",null],["raw",{"hex":"00ff"}]]`. Pure.

use serde_json::{Value, json};

/// Headers as text; `None` if there are none.
pub(crate) fn headers_text(headers: &[(String, Option<Vec<u8>>)]) -> Option<String> {
    let value = |value: &Option<Vec<u8>>| match value {
        None => Value::Null,
        Some(bytes) => str::from_utf8(bytes).map_or_else(|_| json!({ "hex": hex(bytes) }), Value::from),
    };
    let all: Vec<Value> = headers.iter().map(|(name, bytes)| json!([name, value(bytes)])).collect();
    (!all.is_empty()).then(|| Value::from(all).to_string())
}

/// Headers that were text.
#[expect(clippy::type_complexity, reason = "an alias would hide what it is")]
pub(crate) fn headers_of(text: &str) -> Result<Vec<(String, Option<Vec<u8>>)>, String> {
    let all: Vec<(String, Value)> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let bytes = |value| match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.into_bytes())),
        other => unhex(other.get("hex").and_then(Value::as_str).unwrap_or("?")).map(Some),
    };
    all.into_iter().map(|(name, value)| Ok((name, bytes(value)?))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = text.chars().map(digit).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2));
    let digits = digits.ok_or_else(|| format!("expected pairs of hexadecimal digits, got {text:?}"))?;
    Ok(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_text_that_a_person_can_read_and_come_back() {
        let headers = vec![
            ("eventType".to_owned(), Some(b"placed".to_vec())),
            ("trace".to_owned(), None),
            ("raw".to_owned(), Some(vec![0, 0xff])),
            ("empty".to_owned(), Some(Vec::new())),
            ("\"".to_owned(), Some("ü\n".into())),
        ];
        let text = headers_text(&headers).unwrap();
        assert!(text.starts_with(r#"[["eventType","placed"],["trace",null],["raw",{"hex":"00ff"}]"#), "{text}");
        assert_eq!(headers_of(&text).unwrap(), headers);
        assert_eq!(headers_text(&[]), None);
    }

    #[test]
    fn headers_that_somebody_damaged_are_an_error() {
        for text in
            ["", "[", "[[1,null]]", r#"[["a",{"hex":"0"}]]"#, r#"[["a",{"hex":"zz"}]]"#, r#"[["a",1]]"#, r#"[["a"]]"#]
        {
            assert!(headers_of(text).is_err(), "{text}");
        }
    }
}
