//! Opens a store by its address: the one place that knows which kinds of stores there are.
//!
//! In: an address. Out: a store, or why it cannot be opened. Does I/O. Nothing is created. An address may hold a password, so no
//! error repeats it but for a path.

use std::path::Path;

use milena_resilience::store::{Store, StoreError, StoreErrorKind};

use crate::exit::CliError;

/// Where a store is.
#[derive(Debug, PartialEq, Eq)]
enum Address<'a> {
    Sqlite(&'a Path),
    Postgres,
}

/// Opens the store at an address.
pub(super) async fn open(address: &str) -> Result<Box<dyn Store>, CliError> {
    match parse(address).map_err(CliError::Usage)? {
        Address::Sqlite(path) => sqlite(path).await,
        Address::Postgres => {
            let text = "--store: this build has no store in PostgreSQL; expected sqlite:PATH, or a path";
            Err(CliError::Usage(text.to_owned()))
        }
    }
}

fn parse(address: &str) -> Result<Address<'_>, String> {
    let expected = "expected sqlite:PATH, or a path";
    let path = match address.split_once("://") {
        Some(("postgres" | "postgresql", _)) => return Ok(Address::Postgres),
        Some(("sqlite", path)) => path,
        Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
            return Err(format!("--store: {expected}, got an address that begins with {scheme}://"));
        }
        _ => address.strip_prefix("sqlite:").unwrap_or(address),
    };
    if path.is_empty() {
        Err(format!("--store: {expected}, got no path"))
    } else {
        Ok(Address::Sqlite(Path::new(path)))
    }
}

#[cfg(feature = "sqlite")]
async fn sqlite(path: &Path) -> Result<Box<dyn Store>, CliError> {
    use milena_resilience::store::sqlite::SqliteStore;

    match SqliteStore::builder(path).must_exist().open().await {
        Ok(store) => Ok(Box::new(store)),
        Err(error) => Err(refused(path, &error)),
    }
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(path: &Path) -> Result<Box<dyn Store>, CliError> {
    let kind = StoreErrorKind::Refused;
    let hint = "build milena with --features sqlite";
    Err(refused(path, &StoreError::new(kind, "this build has no store in a SQLite file", hint)))
}

/// A store that cannot be opened is a wrong argument if it never can be.
fn refused(path: &Path, error: &StoreError) -> CliError {
    let text = format!("--store {}: {error}", path.display());
    match error.kind() {
        StoreErrorKind::Refused | StoreErrorKind::NewerSchema => CliError::Usage(text),
        _ => CliError::Failed(text),
    }
}

/// An open store that did not do what it was asked.
pub(super) fn failed(error: StoreError) -> CliError {
    CliError::Failed(format!("the store failed: {error}"))
}

/// Closes a store.
pub(super) async fn close(store: &dyn Store) -> Result<(), CliError> {
    store.close().await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_or_begins_with_the_kind_of_the_store() {
        for (address, path) in [
            ("outbox.db", "outbox.db"),
            ("/var/lib/a:b.db", "/var/lib/a:b.db"),
            ("sqlite:outbox.db", "outbox.db"),
            ("sqlite:/var/outbox.db", "/var/outbox.db"),
            ("sqlite://outbox.db", "outbox.db"),
            ("sqlite:///var/outbox.db", "/var/outbox.db"),
            ("./postgres://x", "./postgres://x"),
        ] {
            assert_eq!(parse(address), Ok(Address::Sqlite(Path::new(path))), "{address}");
        }
        for address in ["postgres://u:secret@h/db", "postgresql://h/db"] {
            assert_eq!(parse(address), Ok(Address::Postgres), "{address}");
        }
        for address in ["", "sqlite:", "sqlite://", "mysql://u:secret@h/db"] {
            let error = parse(address).unwrap_err();
            assert!(error.starts_with("--store: expected sqlite:PATH, or a path, got "), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
