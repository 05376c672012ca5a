//! PostgreSQL's errors as the store's.
//!
//! In: an error of the client. Out: what it means for the caller. Pure. Of the server's words only the message and the code are told:
//! its details may have an event's payload in them.

use std::error::Error as _;

use tokio_postgres::{Error, error::Severity};

use crate::store::{StoreError, StoreErrorKind};

const CHECK: &str = "check the server, its address and the network";

/// A call failed before its commit, so nothing has changed.
pub(super) fn failed(error: &Error) -> StoreError {
    let (kind, what, hint) = meaning(error);
    StoreError::new(kind, format!("{what}: {}", told(error)), hint)
}

/// No answer came in time, and nothing has changed.
pub(super) fn silent() -> StoreError {
    let text = "the database did not answer in time; nothing was changed";
    StoreError::new(StoreErrorKind::Unavailable, text, CHECK)
}

/// Whether a commit that failed like this certainly did not happen: the server says so, and goes on. If it ends the connection, the
/// commit may be in its log.
pub(super) fn is_undone(error: &Error) -> bool {
    error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error))
}

/// Whether the same transaction may succeed at once.
pub(super) fn is_passing(error: &Error) -> bool {
    // Deadlocks, and what the server could not put into an order.
    error.code().is_some_and(|code| matches!(code.code(), "40P01" | "40001"))
}

/// A commit failed, and did not happen.
pub(super) fn undone(why: &str) -> StoreError {
    let text = format!("the commit failed, and nothing was changed: {why}");
    StoreError::new(StoreErrorKind::Unavailable, text, CHECK)
}

/// A commit failed, and nobody knows whether it happened.
pub(super) fn doubtful(error: &str, why: &str) -> StoreError {
    let text = format!("the commit failed ({error}), and it cannot be told whether it happened: {why}");
    StoreError::new(StoreErrorKind::Indeterminate, text, "check the server; the events may be sent later")
}

/// A row that cannot be read.
pub(super) fn unreadable(what: &str) -> StoreError {
    let text = format!("a row cannot be read: {what}");
    StoreError::new(StoreErrorKind::Corrupt, text, "look at it with psql")
}

/// What the client or the server says, without details.
pub(super) fn told(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(error), _) => format!("{} ({})", error.message(), error.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

fn meaning(error: &Error) -> (StoreErrorKind, &'static str, &'static str) {
    use StoreErrorKind::{Corrupt, Refused, Unavailable};
    if let Some(code) = error.code() {
        return by_code(code.code());
    }
    // The client keeps its kinds to itself, and only tells them.
    let text = error.to_string();
    let is = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    if is(&["error serializing", "error encoding"]) {
        (Refused, "the event cannot be stored", "look at its size")
    } else if is(&["error deserializing", "invalid column"]) {
        (Corrupt, "a row cannot be read", "look at it with psql")
    } else if is(&["authentication", "error performing TLS", "invalid con"]) {
        (Refused, "the database cannot be used", "check the connection string; open_with takes a TLS connector")
    } else {
        (Unavailable, "the database is out of reach", CHECK)
    }
}

/// By SQLSTATE, whose first two characters are the class.
fn by_code(code: &str) -> (StoreErrorKind, &'static str, &'static str) {
    use StoreErrorKind::{Busy, Corrupt, Full, Refused, Unavailable};
    match (code, code.get(..2).unwrap_or_default()) {
        ("53100", _) => (Full, "the disk of the database is full", "make room; events can still be settled"),
        ("55P03" | "57014" | "40P01" | "40001", _) => {
            (Busy, "somebody else holds the store", "look at pg_stat_activity, or wait longer by timeout")
        }
        ("25006", _) => (Unavailable, "the database takes no writes", "connect to the primary server"),
        ("42P01" | "42703" | "XX001" | "XX002", _) => {
            (Corrupt, "the store is damaged", "restore its tables from a backup")
        }
        ("42501" | "3D000" | "3F000" | "0A000", _) | (_, "28") => {
            (Refused, "the database cannot be used", "check user, password, database, schema and privileges")
        }
        (_, "22" | "23" | "54") => (Refused, "the event cannot be stored", "look at its size and its texts"),
        _ => (Unavailable, "the database is out of reach", CHECK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_kind() {
        use StoreErrorKind::{Busy, Corrupt, Full, Refused, Unavailable};
        let cases = [
            ("53100", Full),
            ("53300", Unavailable),
            ("53200", Unavailable),
            ("55P03", Busy),
            ("57014", Busy),
            ("40P01", Busy),
            ("57P01", Unavailable),
            ("57P03", Unavailable),
            ("08006", Unavailable),
            ("25006", Unavailable),
            ("28P01", Refused),
            ("28000", Refused),
            ("3D000", Refused),
            ("42501", Refused),
            ("22021", Refused),
            ("23514", Refused),
            ("54000", Refused),
            ("42P01", Corrupt),
            ("XX001", Corrupt),
            ("", Unavailable),
        ];
        for (code, kind) in cases {
            assert_eq!(by_code(code).0, kind, "{code}");
        }
        assert!(doubtful("x", "y").is_indeterminate());
    }
}
