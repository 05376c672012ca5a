//! Opens a store by its address: the one place that knows which kinds of stores there are.
//!
//! In: an address. Out: a store, or why it cannot be opened. Does I/O. An address may hold a password, so no error repeats it but for a
//! path.

use std::{path::Path, time::Duration};

use milena_resilience::store::{Store, StoreError, StoreErrorKind};

use crate::exit::CliError;

/// In a database, the labs have tables of their own, in this schema.
pub(crate) const LAB_SCHEMA: &str = "milena_lab";

/// Where a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address<'a> {
    Sqlite(&'a Path),
    /// A connection string, with its password.
    Postgres(&'a str),
}

/// What may happen to a store that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Refuse,
    CreateForLab,
    /// Create it, and keep what is settled for this time.
    CreateToKeep(Duration),
}

/// Opens the store at an address. Nothing is created.
pub(crate) async fn open(address: &str) -> Result<Box<dyn Store>, CliError> {
    open_or(address, Missing::Refuse).await
}

/// Opens the store of a service at an address, or creates it. What is settled is kept for `retention`.
#[cfg(feature = "gateway")]
pub(crate) async fn open_to_keep(address: &str, retention: Duration) -> Result<Box<dyn Store>, CliError> {
    open_or(address, Missing::CreateToKeep(retention)).await
}

/// Opens the store of a lab at an address, or creates it.
pub(crate) async fn open_for_lab(address: &str) -> Result<Box<dyn Store>, CliError> {
    open_or(address, Missing::CreateForLab).await
}

async fn open_or(address: &str, missing: Missing) -> Result<Box<dyn Store>, CliError> {
    let address = parse(address).map_err(CliError::Usage)?;
    let opened = match address {
        Address::Sqlite(path) => sqlite(path, missing).await,
        Address::Postgres(connection) => postgres(connection, missing).await,
    };
    opened.map_err(|error| refused(address, &error))
}

/// Whether the store at an address is in a database, and not in a file.
pub(crate) fn is_in_database(address: &str) -> bool {
    matches!(parse(address), Ok(Address::Postgres(_)))
}

fn parse(address: &str) -> Result<Address<'_>, String> {
    let expected = "expected postgres://…, sqlite:PATH, or a path";
    let path = match address.split_once("://") {
        Some(("postgres" | "postgresql", _)) => return Ok(Address::Postgres(address)),
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
async fn sqlite(path: &Path, missing: Missing) -> Result<Box<dyn Store>, StoreError> {
    let builder = milena_resilience::store::sqlite::SqliteStore::builder(path);
    let builder = match missing {
        Missing::Refuse => builder.must_exist(),
        Missing::CreateForLab => builder,
        Missing::CreateToKeep(retention) => builder.retention(retention),
    };
    Ok(Box::new(builder.open().await?))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_: &Path, _: Missing) -> Result<Box<dyn Store>, StoreError> {
    let (kind, hint) = (StoreErrorKind::Refused, "build milena with --features sqlite");
    Err(StoreError::new(kind, "this build has no store in a SQLite file", hint))
}

#[cfg(feature = "postgres")]
async fn postgres(connection: &str, missing: Missing) -> Result<Box<dyn Store>, StoreError> {
    let builder = milena_resilience::store::postgres::PostgresStore::builder(connection);
    let builder = match missing {
        Missing::Refuse => builder.must_exist(),
        Missing::CreateForLab => builder.schema(LAB_SCHEMA),
        Missing::CreateToKeep(retention) => builder.retention(retention),
    };
    Ok(Box::new(builder.open().await?))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &str, _: Missing) -> Result<Box<dyn Store>, StoreError> {
    let (kind, hint) = (StoreErrorKind::Refused, "build milena with --features postgres");
    Err(StoreError::new(kind, "this build has no store in PostgreSQL", hint))
}

/// A store that cannot be opened is a wrong argument if it never can be.
fn refused(address: Address<'_>, error: &StoreError) -> CliError {
    let text = match address {
        Address::Sqlite(path) => format!("--store {}: {error}", path.display()),
        Address::Postgres(_) => format!("--store: {error}"),
    };
    match error.kind() {
        StoreErrorKind::Refused | StoreErrorKind::NewerSchema => CliError::Usage(text),
        _ => CliError::Failed(text),
    }
}

/// An open store that did not do what it was asked.
pub(crate) fn failed(error: StoreError) -> CliError {
    CliError::Failed(format!("the store failed: {error}"))
}

/// Closes a store.
pub(crate) async fn close(store: &dyn Store) -> Result<(), CliError> {
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
            assert_eq!(parse(address), Ok(Address::Postgres(address)), "{address}");
        }
        for address in ["", "sqlite:", "sqlite://", "mysql://u:secret@h/db"] {
            let error = parse(address).unwrap_err();
            assert!(error.starts_with("--store: expected postgres://…, sqlite:PATH, or a path, got "), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
