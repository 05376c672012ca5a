//! Bearer tokens: who may send (RFC 6750).
//!
//! In: the text of a file, and the header `Authorization` of each request. Out: whether it has one of the tokens. Pure. How long a comparison
//! takes tells nothing of a token but its length. Deliberately absent: rights by topic, and reading the file.

/// The tokens of those who may send. They are not shown.
#[derive(Clone)]
pub struct Tokens(Vec<String>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

impl Tokens {
    /// The least length of a token, in characters.
    pub const MIN_LEN: usize = 16;

    /// Reads tokens, one a line. Blank lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// There is no token, or one is too short or has other characters than visible ones of ASCII. The error names the line, and nothing that
    /// stands in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = (1..).zip(text.lines().map(str::trim));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let token = |(number, line): (usize, &str)| {
            let is_token = line.len() >= Self::MIN_LEN && line.bytes().all(|byte| byte.is_ascii_graphic());
            let expected =
                || format!("line {number}: expected a token of at least {} visible ASCII characters", Self::MIN_LEN);
            is_token.then(|| line.to_owned()).ok_or_else(expected)
        };
        let tokens = lines.map(token).collect::<Result<Vec<_>, _>>()?;
        if tokens.is_empty() { Err("expected a token a line, got none".to_owned()) } else { Ok(Self(tokens)) }
    }

    /// Whether the value of `Authorization` is `Bearer` and one of the tokens.
    pub(crate) fn admit(&self, authorization: Option<&[u8]>) -> bool {
        let Some((scheme, token)) = authorization.and_then(|value| value.split_at_checked(7)) else { return false };
        // Every token is compared, whichever fits.
        let fits = self.0.iter().fold(false, |fits, known| fits | is_same(known.as_bytes(), token));
        scheme.eq_ignore_ascii_case(b"bearer ") && fits
    }
}

/// Compares all bytes, also behind the first that differs.
fn is_same(known: &[u8], token: &[u8]) -> bool {
    let differences = known.iter().zip(token).fold(0, |all, (a, b)| all | (a ^ b));
    known.len() == token.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_admitted_with_one_of_the_tokens_and_nothing_else() {
        let tokens = Tokens::parse("# of the shop\n0123456789abcdef\n\n  fedcba9876543210  \n").unwrap();
        for (value, admitted) in [
            (Some("Bearer 0123456789abcdef"), true),
            (Some("bearer fedcba9876543210"), true),
            (Some("Bearer 0123456789abcdeF"), false),
            (Some("Bearer 0123456789abcde"), false),
            (Some("Bearer 0123456789abcdef0"), false),
            (Some("Bearer "), false),
            (Some("Basic 0123456789abcdef"), false),
            (Some("0123456789abcdef"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(tokens.admit(value.map(str::as_bytes)), admitted, "{value:?}");
        }
    }

    #[test]
    fn a_file_that_is_wrong_is_told_by_line_and_no_token_is_shown() {
        for (text, error) in [
            ("", "expected a token a line, got none"),
            ("# only this", "expected a token a line, got none"),
            ("0123456789abcdef\nsecret", "line 2: expected a token of at least 16 visible ASCII characters"),
            ("0123456789 abcdef", "line 1: expected a token of at least 16 visible ASCII characters"),
        ] {
            assert_eq!(Tokens::parse(text).unwrap_err(), error, "{text}");
        }
        assert_eq!(format!("{:?}", Tokens::parse("0123456789abcdef").unwrap()), "1 tokens");
    }
}
