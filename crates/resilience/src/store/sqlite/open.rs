//! Opens the file: for writing, with its schema up to date, and for reading.
//!
//! In: a path. Out: a connection that syncs each commit. A file that is not ours is not even opened by SQLite, so it stays as it
//! is.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{
    errors,
    options::Options,
    schema::{APPLICATION_ID, HEADER_LEN, UNSETTLED_INDEX, inspect, missing},
};
use crate::store::{StoreError, StoreErrorKind};

/// Older versions can corrupt their log where two connections use it.
const OLDEST_SQLITE: i32 = 3_051_003;

/// `FULL` syncs the log with each commit; `fullfsync` has macOS mean it. The log is cut to 16 MiB when it has been written back,
/// which happens after 2,000 pages.
const FOR_WRITING: &str = "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA journal_size_limit = 16777216; \
     PRAGMA wal_autocheckpoint = 2000; PRAGMA cache_size = -16384; PRAGMA trusted_schema = OFF";

/// Opens the file for writing, creates it if it is not there and may be created, and brings it up to date.
pub(super) fn for_writing(options: &Options) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        let text = format!("SQLite is too old: expected 3.51.3 or later, got {}", rusqlite::version());
        return Err(StoreError::new(StoreErrorKind::Refused, text, "build with the feature `bundled` of rusqlite"));
    }
    let header = header(&options.path)?;
    if options.must_exist && header.is_empty() {
        let text = format!("there is no store at {}; nothing was created", options.path.display());
        return Err(StoreError::new(StoreErrorKind::Refused, text, "check the path"));
    }
    inspect(&header)?;
    let create = if options.must_exist { OpenFlags::empty() } else { OpenFlags::SQLITE_OPEN_CREATE };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let mut connection = connect(options, flags)?;
    migrate(&mut connection)?;
    prepare(&connection, options).map_err(|error| errors::failed(&error))?;
    Ok(connection)
}

/// Opens the file for reading. It must have been opened for writing before.
pub(super) fn for_reading(options: &Options) -> Result<Connection, StoreError> {
    connect(options, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// The first bytes of the file; none if it is not there.
fn header(path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    let read = match File::open(path) {
        Ok(file) => file.take(HEADER_LEN as u64).read_to_end(&mut header),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    };
    read.map_err(|error| {
        let text = format!("the store's file {} cannot be read: {error}", path.display());
        StoreError::new(StoreErrorKind::Unavailable, text, "check the path and its permissions")
    })?;
    Ok(header)
}

fn connect(options: &Options, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connect = || {
        let connection = Connection::open_with_flags(&options.path, flags)?;
        connection.busy_timeout(options.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    connect().map_err(|error| errors::failed(&error))
}

/// Brings the schema up to date, in one transaction. In a new file it is not in the log but in the file itself, so that its mark
/// is always there.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |error| errors::failed(&error);
    let version = |connection: &Connection| connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    if missing(version(connection).map_err(failed)?)?.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(failed)?;
    // Another process may have been here in the meantime.
    let from: i64 = version(&transaction).map_err(failed)?;
    let migrations = missing(from)?;
    let to = from + i64::try_from(migrations.len()).unwrap_or(0);
    let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {to}");
    for step in migrations.iter().copied().chain([&*marks]) {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

fn prepare(connection: &Connection, options: &Options) -> rusqlite::Result<()> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        tracing::warn!(mode, "the file system takes no write-ahead log; the store will be slow");
    }
    connection.execute_batch(FOR_WRITING)?;
    if options.retention.is_some() {
        connection.execute_batch(UNSETTLED_INDEX)?;
    }
    Ok(())
}

/// Writes the whole log back to the file, and syncs it; afterwards nothing depends on the log. Says whether it succeeded.
pub(super) fn write_back(connection: &Connection) -> rusqlite::Result<bool> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}
