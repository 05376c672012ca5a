//! Texts in PEM.
//!
//! In: a text. Out: its sections, each with its label and its bytes. Pure. What stands around sections is passed over, as `openssl` and
//! `keytool` write remarks there, and so is how a section is broken into lines: in a properties file it is often one line.

use pkcs8::der::SecretDocument;

/// A section of a text.
pub(super) struct Section {
    pub(super) label: String,
    pub(super) der: SecretDocument,
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";
/// The length of a line, as RFC 7468 has it.
const LINE: usize = 64;

/// The sections of a text, or what is wrong with one. Nothing of a section's content is repeated.
pub(super) fn sections(text: &[u8]) -> Result<Vec<Section>, String> {
    let text = String::from_utf8_lossy(text);
    let mut sections = Vec::new();
    let mut rest = text.as_ref();
    while let Some((_, after)) = rest.split_once(BEGIN) {
        // Where dashes are missing, what follows is no label but a part of the content, which may be secret.
        let (label, after) = after
            .split_once(DASHES)
            .filter(|(label, _)| is_label(label))
            .ok_or("a line that begins with -----BEGIN does not end with -----")?;
        let label = label.trim();
        let end = format!("-----END {label}-----");
        let (content, after) =
            after.split_once(&end).ok_or_else(|| format!("no -----END {label}----- after its -----BEGIN"))?;
        sections.push(section(label, content, &end)?);
        rest = after;
    }
    Ok(sections)
}

/// Whether a text can be a label, as in `RSA PRIVATE KEY`.
fn is_label(text: &str) -> bool {
    text.len() <= LINE && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == ' ')
}

fn section(label: &str, content: &str, end: &str) -> Result<Section, String> {
    if content.contains("Proc-Type:") {
        let convert = "openssl pkcs8 -topk8 -in OLD -out NEW";
        return Err(format!("a {label} that is encrypted in the old way of OpenSSL: convert it with `{convert}`"));
    }
    let mut lines = format!("{BEGIN}{label}{DASHES}\n");
    for (count, character) in content.chars().filter(|character| !character.is_whitespace()).enumerate() {
        if count > 0 && count % LINE == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    lines.push('\n');
    lines.push_str(end);
    let (_, der) = SecretDocument::from_pem(&lines).map_err(|_| format!("a {label} that is damaged"))?;
    Ok(Section { label: label.to_owned(), der })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty sequence, and a sequence of 100 bytes.
    const EMPTY: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";

    fn found(text: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
        let sections = sections(text.as_bytes())?;
        Ok(sections.into_iter().map(|section| (section.label, section.der.as_bytes().to_vec())).collect())
    }

    #[test]
    fn sections_are_found_among_remarks_and_on_one_line() {
        let empty = ("CERTIFICATE".to_owned(), vec![0x30, 0]);
        assert_eq!(found(EMPTY), Ok(vec![empty.clone()]));
        assert_eq!(
            found(&format!("Bag Attributes\n{EMPTY}\nsubject=x\n{EMPTY}\n")),
            Ok(vec![empty.clone(), empty.clone()])
        );
        assert_eq!(found(&EMPTY.replace('\n', " ")), Ok(vec![empty.clone()]));
        assert_eq!(found(&EMPTY.replace('\n', "")), Ok(vec![empty.clone()]));
        assert_eq!(found(&EMPTY.replace('\n', "\r\n")), Ok(vec![empty]));
        for nothing in ["", "hunter2", "\0\0", "-----END CERTIFICATE-----"] {
            assert_eq!(found(nothing), Ok(vec![]), "{nothing:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_section_is_said_without_its_content() {
        for (text, says) in [
            ("-----BEGIN PRIVATE KEY", "does not end with -----"),
            ("-----BEGIN PRIVATE KEY\nhunter2\n-----END PRIVATE KEY-----", "does not end with -----"),
            ("-----BEGIN hunter2-----\n-----END hunter2-----", "does not end with -----"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2", "no -----END PRIVATE KEY-----"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END CERTIFICATE-----", "no -----END PRIVATE KEY-----"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----", "a PRIVATE KEY that is damaged"),
            ("-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----", "a PRIVATE KEY that is damaged"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n-----END RSA PRIVATE KEY-----",
                "`openssl pkcs8 -topk8 ",
            ),
        ] {
            let wrong = found(text).unwrap_err();
            assert!(wrong.contains(says) && !wrong.contains("hunter2"), "{text}: {wrong}");
        }
    }

    #[test]
    fn no_text_causes_a_panic() {
        let parts = ["-----BEGIN ", "-----END ", "-----", "A", "\n", "é", "MAA="];
        for a in parts {
            for b in parts {
                for c in parts {
                    for d in parts {
                        let _ = found(&[a, b, c, d, a].concat());
                    }
                }
            }
        }
    }
}
