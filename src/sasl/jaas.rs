//! Reads `sasl.jaas.config`, in the notation of Java's login modules.
//!
//! In: text such as `org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="secret";`. Out: the
//! module's class and its options, or what was expected. Pure. An error repeats no value: it may be a part of a password. Source:
//! `JaasConfig` of Apache Kafka 4.2.

use std::collections::BTreeMap;

/// A login module with its options.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LoginModule {
    pub(crate) class: String,
    pub(crate) options: BTreeMap<String, String>,
}

const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// Reads one login module.
pub(crate) fn read(text: &str) -> Result<LoginModule, &'static str> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    let word = |token: Option<Token>| if let Some(Token::Text(text)) = token { Some(text) } else { None };
    let class = word(tokens.next()).ok_or("the class of a login module first")?;
    let flag = word(tokens.next()).ok_or("required after the class of the login module")?;
    if !FLAGS.iter().any(|known| known.eq_ignore_ascii_case(&flag)) {
        return Err("required, requisite, sufficient or optional after the class of the login module");
    }
    let mut options = BTreeMap::new();
    loop {
        match tokens.next() {
            Some(Token::End) if tokens.peek().is_none() => return Ok(LoginModule { class, options }),
            Some(Token::End) => return Err("one login module, and nothing after its semicolon"),
            Some(Token::Text(name)) => {
                let value = (tokens.next() == Some(Token::Equals)).then(|| word(tokens.next())).flatten();
                options.insert(name, value.ok_or("name=\"value\" for each option")?);
            }
            Some(Token::Equals) => return Err("name=\"value\" for each option"),
            None => return Err("a semicolon at the end"),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    Equals,
    End,
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let (mut tokens, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let (token, len) = match first {
            ';' => (Token::End, 1),
            '=' => (Token::Equals, 1),
            '"' | '\'' => quoted(rest, first)?,
            _ => bare(rest),
        };
        tokens.push(token);
        rest = rest[len..].trim_start();
    }
    Ok(tokens)
}

fn bare(text: &str) -> (Token, usize) {
    let is_end = |c: char| c.is_whitespace() || matches!(c, ';' | '=' | '"' | '\'');
    let len = text.find(is_end).unwrap_or(text.len());
    (Token::Text(text[..len].to_owned()), len)
}

/// Text in quotes. A backslash stands before a quote or another backslash; before other characters it means what it does in Java.
fn quoted(text: &str, quote: char) -> Result<(Token, usize), &'static str> {
    let (mut value, mut chars) = (String::new(), text.char_indices().skip(1));
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((Token::Text(value), at + 1)),
            '\\' => value.push(match chars.next().ok_or("a closing quote")?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            c => value.push(c),
        }
    }
    Err("a closing quote")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Vec<(String, String)> {
        read(text).unwrap_or_else(|expected| panic!("{text}: {expected}")).options.into_iter().collect()
    }

    #[test]
    fn a_module_is_read_as_java_reads_it() {
        for text in [
            r#"a.PlainLoginModule required username="alice" password="s3cret";"#,
            "  a.PlainLoginModule\trequired\n  username='alice'\n  password = s3cret ;\n",
            r#"a.PlainLoginModule REQUIRED username=alice password="s3cret";"#,
        ] {
            let expected = [("password", "s3cret"), ("username", "alice")].map(|(a, b)| (a.to_owned(), b.to_owned()));
            assert_eq!((read(text).unwrap().class.as_str(), options(text)), ("a.PlainLoginModule", expected.to_vec()));
        }
    }

    #[test]
    fn a_password_may_have_any_character() {
        let value = |text: &str| options(&format!("m required p={text};")).remove(0).1;
        assert_eq!(value(r#""a;b=c d'e""#), "a;b=c d'e");
        assert_eq!(value(r#""a\"b\\c""#), r#"a"b\c"#);
        assert_eq!(value("'ä\"ö'"), "ä\"ö");
        assert_eq!(value(r#""""#), "");
    }

    #[test]
    fn what_is_no_module_is_refused_without_its_text() {
        for (text, expected) in [
            ("", "the class of a login module first"),
            ("m", "required after the class of the login module"),
            ("m username=alice;", "required, requisite, sufficient or optional after the class of the login module"),
            ("m required username=alice", "a semicolon at the end"),
            ("m required username;", "name=\"value\" for each option"),
            ("m required =;", "name=\"value\" for each option"),
            ("m required password=\"hunter2;", "a closing quote"),
            ("m required password=\"hunter2\\", "a closing quote"),
            ("m required; n required;", "one login module, and nothing after its semicolon"),
        ] {
            assert_eq!(read(text).err(), Some(expected), "{text}");
        }
    }
}
