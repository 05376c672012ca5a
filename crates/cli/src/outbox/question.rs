//! Asks before something is changed.
//!
//! In: a question. Out: yes or no. Does I/O: asks on stderr, reads stdin.

use std::io::{self, IsTerminal, Write};

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::exit::CliError;

/// Whether somebody can be asked.
///
/// # Errors
/// Nobody can.
pub(super) fn can_be_asked() -> Result<(), CliError> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    let text = "nobody can be asked, because stdin is no terminal; give --yes, or --dry-run to see what it would be";
    Err(CliError::Usage(format!("{text}; nothing was changed")))
}

/// Asks. No answer is a no.
pub(super) async fn ask(question: &str) -> bool {
    let mut stderr = io::stderr();
    // What cannot be asked is not answered with yes.
    let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut answer).await.is_ok() && is_yes(&answer)
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for answer in ["y\n", "Y", "yes\r\n", " Yes "] {
            assert!(is_yes(answer), "{answer:?}");
        }
        for answer in ["", "\n", "n", "no", "yess", "ja", "y y"] {
            assert!(!is_yes(answer), "{answer:?}");
        }
    }
}
