//! SQLite's errors as the store's.
//!
//! In: an error of SQLite. Out: what it means for the caller. Pure.

use rusqlite::{Error, ErrorCode};

use crate::store::{StoreError, StoreErrorKind};

/// A call failed before its commit, so nothing has changed.
pub(super) fn failed(error: &Error) -> StoreError {
    let (kind, what, hint) = meaning(error);
    StoreError::new(kind, format!("{what}: {error}"), hint)
}

/// Whether a commit that failed like this certainly did not happen. A full disk has no room for the record that ends a
/// transaction in the log. After any other error, the log may have it.
pub(super) fn is_undone(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// A commit failed, and did not happen.
pub(super) fn undone(error: &Error) -> StoreError {
    let (kind, _, hint) = meaning(error);
    StoreError::new(kind, format!("the commit failed, and nothing was changed: {error}"), hint)
}

/// A commit failed, and nobody knows whether it happened.
pub(super) fn doubtful(error: &Error, why: &str) -> StoreError {
    let text = format!("the commit failed ({error}), and it cannot be told whether it happened: {why}");
    StoreError::new(StoreErrorKind::Indeterminate, text, "check the disk; the events may be sent later")
}

fn meaning(error: &Error) -> (StoreErrorKind, &'static str, &'static str) {
    use StoreErrorKind::{Busy, Corrupt, Full, Refused, Unavailable};
    let check = "check the disk, the file's permissions and its folder";
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (Full, "the disk is full", "make room; events can still be settled"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (Busy, "another process holds the store", "end it, or wait longer for it by busy_timeout")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (Corrupt, "the store is damaged", "move the file away, and recover it by sqlite3's .recover")
        }
        Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => {
            (Refused, "the event cannot be stored", "look at its size")
        }
        Some(_) => (Unavailable, "the store is out of reach", check),
        None => match error {
            Error::FromSqlConversionFailure(..)
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..) => (Corrupt, "a row cannot be read", "look at it with sqlite3"),
            Error::ToSqlConversionFailure(_) => (Refused, "the event cannot be stored", "look at its size"),
            _ => (Unavailable, "the store is out of reach", check),
        },
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn every_error_has_a_kind_and_only_a_full_disk_undoes_a_commit_for_certain() {
        use StoreErrorKind::{Busy, Corrupt, Full, Refused, Unavailable};
        let cases = [
            (ffi::SQLITE_FULL, Full, true),
            (ffi::SQLITE_BUSY, Busy, true),
            (ffi::SQLITE_BUSY_SNAPSHOT, Busy, true),
            (ffi::SQLITE_LOCKED, Busy, true),
            (ffi::SQLITE_CORRUPT, Corrupt, false),
            (ffi::SQLITE_NOTADB, Corrupt, false),
            (ffi::SQLITE_TOOBIG, Refused, false),
            (ffi::SQLITE_CONSTRAINT_NOTNULL, Refused, false),
            (ffi::SQLITE_IOERR_WRITE, Unavailable, false),
            (ffi::SQLITE_IOERR_FSYNC, Unavailable, false),
            (ffi::SQLITE_CANTOPEN, Unavailable, false),
            (ffi::SQLITE_READONLY, Unavailable, false),
            (ffi::SQLITE_NOMEM, Unavailable, false),
        ];
        for (code, kind, certain) in cases {
            let error = Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!((failed(&error).kind(), is_undone(&error)), (kind, certain), "{error}");
            assert!(doubtful(&error, "x").is_indeterminate());
        }
    }
}
