//! The tables, their versions, and how a file is recognised.
//!
//! In: the first bytes of a file. Out: whether it is ours, and the text that makes it so. Pure.

use crate::store::{StoreError, StoreErrorKind};

/// What marks the file as one of this store: "miln".
pub(super) const APPLICATION_ID: u32 = 0x6d69_6c6e;

/// How many bytes of a file [`inspect`] looks at.
pub(super) const HEADER_LEN: usize = 100;

/// One for each version; each makes the next version out of the one before. Never change one that was released.
pub(super) const MIGRATIONS: [&str; 2] = [V1, V2];

/// The index by which unsettled rows are found among those that are kept. Only a store with a retention needs it, and pays
/// for it with each insert.
pub(super) const UNSETTLED_INDEX: &str = "
CREATE INDEX IF NOT EXISTS failed_kafka_events_unsettled ON failed_kafka_events (seq)
    WHERE status IN ('PENDING', 'RETRYING');";

const V1: &str = "
-- Events that could not be published to Kafka, in the order in which they were accepted. Times are Unix milliseconds.
-- The view failed_kafka_events_readable shows them as text. last_error is empty while it is the first one.
CREATE TABLE failed_kafka_events (
    seq INTEGER PRIMARY KEY,
    slot INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'PENDING',
    attempts INTEGER NOT NULL DEFAULT 0,
    next_retry_at INTEGER,
    maybe_sent INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    event_key BLOB,
    headers TEXT,
    first_error_class TEXT,
    first_error TEXT,
    last_error_class TEXT,
    last_error TEXT,
    payload BLOB
) STRICT;
CREATE INDEX failed_kafka_events_settled ON failed_kafka_events (updated_at) WHERE status IN ('RESOLVED', 'DLQ');

-- Kept in the transaction that changes the rows. resolved, dlq and purged count since the beginning; their rows may be gone.
-- commits and writer tell whether a commit happened that failed.
CREATE TABLE outbox_counters (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_seq INTEGER NOT NULL DEFAULT 0,
    last_token INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0,
    retrying INTEGER NOT NULL DEFAULT 0,
    dlq_failed INTEGER NOT NULL DEFAULT 0,
    resolved INTEGER NOT NULL DEFAULT 0,
    dlq INTEGER NOT NULL DEFAULT 0,
    purged INTEGER NOT NULL DEFAULT 0,
    rows INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    commits INTEGER NOT NULL DEFAULT 0,
    writer INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO outbox_counters (id) VALUES (1);

-- Who may send. token 0: nobody. Events up to maybe_sent_up_to count as maybe sent, whatever their rows say.
CREATE TABLE outbox_leases (
    bucket INTEGER PRIMARY KEY,
    owner TEXT,
    token INTEGER NOT NULL DEFAULT 0,
    renewed_at INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0,
    sent_up_to INTEGER NOT NULL DEFAULT 0,
    maybe_sent_up_to INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO outbox_leases (bucket) VALUES (0);

CREATE VIEW failed_kafka_events_readable AS SELECT
    seq, event_id, topic, CAST(event_key AS TEXT) AS event_key, status, attempts,
    strftime('%Y-%m-%dT%H:%M:%fZ', next_retry_at / 1000.0, 'unixepoch') AS next_retry_at,
    maybe_sent OR seq <= (SELECT maybe_sent_up_to FROM outbox_leases WHERE bucket = 0) AS maybe_sent,
    first_error_class, first_error,
    COALESCE(last_error_class, first_error_class) AS last_error_class, COALESCE(last_error, first_error) AS last_error,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', updated_at / 1000.0, 'unixepoch') AS updated_at,
    headers, CAST(payload AS TEXT) AS payload
FROM failed_kafka_events;";

const V2: &str = "
-- Where an event was written; known of those that were published since this version.
ALTER TABLE failed_kafka_events ADD COLUMN written_partition INTEGER;
ALTER TABLE failed_kafka_events ADD COLUMN written_offset INTEGER;

-- Requests that are carried out once, by the key that the client gave. answer is empty while the request is carried out.
CREATE TABLE outbox_keys (
    idempotency_key TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    request_id TEXT NOT NULL,
    claimed_at INTEGER NOT NULL,
    kept_until INTEGER NOT NULL,
    answer BLOB
) STRICT;
CREATE INDEX outbox_keys_kept_until ON outbox_keys (kept_until);

DROP VIEW failed_kafka_events_readable;
CREATE VIEW failed_kafka_events_readable AS SELECT
    seq, event_id, topic, CAST(event_key AS TEXT) AS event_key, status, attempts,
    strftime('%Y-%m-%dT%H:%M:%fZ', next_retry_at / 1000.0, 'unixepoch') AS next_retry_at,
    maybe_sent OR seq <= (SELECT maybe_sent_up_to FROM outbox_leases WHERE bucket = 0) AS maybe_sent,
    first_error_class, first_error,
    COALESCE(last_error_class, first_error_class) AS last_error_class, COALESCE(last_error, first_error) AS last_error,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', updated_at / 1000.0, 'unixepoch') AS updated_at,
    written_partition, written_offset, headers, CAST(payload AS TEXT) AS payload
FROM failed_kafka_events;";

/// Whether a file that begins with `header` (all of it, if it is shorter) may be opened.
///
/// # Errors
/// It is no database, or one of another program.
pub(super) fn inspect(header: &[u8]) -> Result<(), StoreError> {
    let refused = |text| Err(StoreError::new(StoreErrorKind::Refused, text, "give the path of a file of its own"));
    if header.is_empty() {
        return Ok(());
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return refused("the file is no SQLite database; it was left as it is".to_owned());
    }
    let id = header.get(68..72).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    if id != APPLICATION_ID {
        let text = "the file is another program's database: expected application_id";
        return refused(format!("{text} {APPLICATION_ID:#x}, got {id:#x}; it was left as it is"));
    }
    Ok(())
}

/// The migrations that bring a database of this version up to date.
///
/// # Errors
/// The database is newer.
pub(super) fn missing(version: i64) -> Result<&'static [&'static str], StoreError> {
    let done = usize::try_from(version).ok();
    done.and_then(|done| MIGRATIONS.get(done..)).ok_or_else(|| StoreError::newer_schema(MIGRATIONS.len(), version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(id: u32) -> Vec<u8> {
        let mut header = b"SQLite format 3\0".to_vec();
        header.resize(HEADER_LEN, 0);
        header[68..72].copy_from_slice(&id.to_be_bytes());
        header
    }

    #[test]
    fn a_file_is_ours_if_it_is_empty_or_marked() {
        assert!(inspect(b"").is_ok());
        assert!(inspect(&header(APPLICATION_ID)).is_ok());
        for (bytes, part) in [
            (b"id,name\n1,x\n".to_vec(), "is no SQLite database"),
            (b"SQLite format 3\0".to_vec(), "got 0x0"),
            (header(0), "another program's database: expected application_id 0x6d696c6e, got 0x0"),
            (header(7), "got 0x7"),
        ] {
            let error = inspect(&bytes).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Refused);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_newer_schema_is_refused_and_an_older_one_migrated() {
        assert_eq!(missing(0).unwrap().len(), MIGRATIONS.len());
        assert!(missing(MIGRATIONS.len() as i64).unwrap().is_empty());
        for version in [MIGRATIONS.len() as i64 + 1, i64::MAX, -1] {
            assert_eq!(missing(version).unwrap_err().kind(), StoreErrorKind::NewerSchema);
        }
        let text = missing(99).unwrap_err().to_string();
        assert!(text.starts_with("the store's schema is newer: expected version 2 or earlier, got 99; "), "{text}");
    }
}
