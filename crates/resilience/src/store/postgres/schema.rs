//! The tables and their versions, and the numbers of the locks.
//!
//! In: a version. Out: the text that is missing. Pure.

use crate::store::StoreError;

/// One for each version; each makes the next version out of the one before. Never change one that was released.
pub(super) const MIGRATIONS: [&str; 2] = [V1, V2];

/// Advisory locks of a store. The second number of each is that of the schema, so that stores do not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// Whoever changes tables.
    Schema,
    /// Whoever inserts events. It is held until the commit is visible, so events appear in the order of their numbers.
    Insert,
    /// Whoever acquires leases.
    Lease,
}

impl Lock {
    /// "mil" and a number, as the first number of the lock.
    pub(super) fn number(self) -> i32 {
        0x6d69_6c00
            + match self {
                Self::Schema => 1,
                Self::Insert => 2,
                Self::Lease => 3,
            }
    }
}

/// The index by which unsettled rows are found among those that are kept. Only a store with a retention needs it, and pays for it with
/// each insert.
pub(super) const UNSETTLED_INDEX: &str = "CREATE INDEX IF NOT EXISTS failed_kafka_events_unsettled ON failed_kafka_events (bucket, seq) \
     WHERE status IN ('PENDING', 'RETRYING')";

const V1: &str = "
-- Events that could not be published to Kafka, in the order in which they were accepted. Times are Unix milliseconds.
-- The view failed_kafka_events_readable shows them as text. last_error is empty while it is the first one.
CREATE TABLE failed_kafka_events (
    seq bigint NOT NULL,
    bucket smallint NOT NULL,
    slot integer NOT NULL,
    bytes bigint NOT NULL,
    status text NOT NULL DEFAULT 'PENDING',
    attempts bigint NOT NULL DEFAULT 0,
    next_retry_at bigint,
    maybe_sent boolean NOT NULL DEFAULT false,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    event_id uuid NOT NULL,
    topic text NOT NULL,
    event_key bytea,
    headers text,
    first_error_class text,
    first_error text,
    last_error_class text,
    last_error text,
    payload bytea,
    PRIMARY KEY (bucket, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 1000000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX failed_kafka_events_settled ON failed_kafka_events (updated_at, seq) WHERE status IN ('RESOLVED', 'DLQ');

-- Kept in the transaction that changes the rows. Each writer has a row of its own, so that nobody waits for another: the counts are
-- the sums over all rows. resolved, dlq and purged count since the beginning; their rows may be gone. commits tells whether a commit
-- happened whose answer was lost.
CREATE TABLE outbox_counters (
    writer uuid PRIMARY KEY,
    seen_at bigint NOT NULL,
    commits bigint NOT NULL DEFAULT 0,
    last_seq bigint NOT NULL DEFAULT 0,
    pending bigint NOT NULL DEFAULT 0,
    retrying bigint NOT NULL DEFAULT 0,
    dlq_failed bigint NOT NULL DEFAULT 0,
    resolved bigint NOT NULL DEFAULT 0,
    dlq bigint NOT NULL DEFAULT 0,
    purged bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Who may send. token 0: nobody. Events up to maybe_sent_up_to count as maybe sent, whatever their rows say.
CREATE TABLE outbox_leases (
    bucket smallint PRIMARY KEY,
    owner text,
    token bigint NOT NULL DEFAULT 0,
    last_token bigint NOT NULL DEFAULT 0,
    renewed_at bigint NOT NULL DEFAULT 0,
    lease_until bigint NOT NULL DEFAULT 0,
    sent_up_to bigint NOT NULL DEFAULT 0,
    maybe_sent_up_to bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Publishers that send without asking what is stored. None is added while an event is unsettled.
CREATE TABLE outbox_passes (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);

-- Who wants buckets, and until when that counts.
CREATE TABLE outbox_owners (
    owner text PRIMARY KEY,
    since bigint NOT NULL,
    seen_at bigint NOT NULL,
    until bigint NOT NULL
);

CREATE VIEW outbox_stats AS SELECT
    sum(pending)::bigint AS pending, sum(retrying)::bigint AS retrying, sum(dlq_failed)::bigint AS dlq_failed,
    sum(resolved)::bigint AS resolved, sum(dlq)::bigint AS dlq, sum(purged)::bigint AS purged,
    sum(rows)::bigint AS rows, sum(bytes)::bigint AS bytes, max(last_seq) AS last_seq
FROM outbox_counters;

CREATE VIEW failed_kafka_events_readable AS SELECT
    seq, event_id, topic, encode(event_key, 'escape') AS event_key, status, attempts,
    to_timestamp(next_retry_at / 1000.0) AS next_retry_at,
    maybe_sent OR seq <= (SELECT l.maybe_sent_up_to FROM outbox_leases l WHERE l.bucket = e.bucket) AS maybe_sent,
    first_error_class, first_error,
    COALESCE(last_error_class, first_error_class) AS last_error_class, COALESCE(last_error, first_error) AS last_error,
    to_timestamp(created_at / 1000.0) AS created_at, to_timestamp(updated_at / 1000.0) AS updated_at,
    headers, encode(payload, 'escape') AS payload
FROM failed_kafka_events e;";

const V2: &str = "
-- Where an event was written; known of those that were published since this version.
ALTER TABLE failed_kafka_events ADD COLUMN written_partition integer, ADD COLUMN written_offset bigint;

-- Requests that are carried out once, by the key that the client gave. answer is empty while the request is carried out.
CREATE TABLE outbox_keys (
    idempotency_key text PRIMARY KEY,
    fingerprint bytea NOT NULL,
    request_id uuid NOT NULL,
    claimed_at bigint NOT NULL,
    kept_until bigint NOT NULL,
    answer bytea
);
CREATE INDEX outbox_keys_kept_until ON outbox_keys (kept_until);

DROP VIEW failed_kafka_events_readable;
CREATE VIEW failed_kafka_events_readable AS SELECT
    seq, event_id, topic, encode(event_key, 'escape') AS event_key, status, attempts,
    to_timestamp(next_retry_at / 1000.0) AS next_retry_at,
    maybe_sent OR seq <= (SELECT l.maybe_sent_up_to FROM outbox_leases l WHERE l.bucket = e.bucket) AS maybe_sent,
    first_error_class, first_error,
    COALESCE(last_error_class, first_error_class) AS last_error_class, COALESCE(last_error, first_error) AS last_error,
    to_timestamp(created_at / 1000.0) AS created_at, to_timestamp(updated_at / 1000.0) AS updated_at,
    written_partition, written_offset, headers, encode(payload, 'escape') AS payload
FROM failed_kafka_events e;";

/// The migrations that bring a schema of this version up to date; 0 is one without tables.
///
/// # Errors
/// The schema is newer.
pub(super) fn missing(version: i32) -> Result<&'static [&'static str], StoreError> {
    let done = usize::try_from(version).ok();
    done.and_then(|done| MIGRATIONS.get(done..))
        .ok_or_else(|| StoreError::newer_schema(MIGRATIONS.len(), version.into()))
}

/// A name that is part of a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreErrorKind;

    #[test]
    fn a_newer_schema_is_refused_and_an_older_one_migrated() {
        let newest = i32::try_from(MIGRATIONS.len()).unwrap();
        assert_eq!(missing(0).unwrap().len(), MIGRATIONS.len());
        assert!(missing(newest).unwrap().is_empty());
        for version in [newest + 1, i32::MAX, -1] {
            assert_eq!(missing(version).unwrap_err().kind(), StoreErrorKind::NewerSchema);
        }
        let text = missing(99).unwrap_err().to_string();
        assert!(text.starts_with("the store's schema is newer: expected version 2 or earlier, got 99; "), "{text}");
    }

    #[test]
    fn a_name_stays_one_name_whatever_is_in_it() {
        assert_eq!(quoted("outbox"), "\"outbox\"");
        assert_eq!(quoted("a\"; DROP"), "\"a\"\"; DROP\"");
    }
}
