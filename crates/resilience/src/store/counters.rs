//! What a store counts, so that nothing has to be counted later.
//!
//! In: rows that come, change and go. Out: the counts. Pure. A store keeps them in the transaction that changes the
//! rows.

use std::time::Duration;

use super::{Quota, Status, StoreError, StoreErrorKind, StoreStats};

/// The counts of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// The next event's number, less one.
    pub(crate) last_seq: i64,
    /// The next lease's token, less one.
    pub(crate) last_token: i64,
    /// Rows by status.
    pub(crate) pending: i64,
    pub(crate) retrying: i64,
    pub(crate) dlq_failed: i64,
    /// Events, ever: their rows may be gone.
    pub(crate) resolved: i64,
    pub(crate) dlq: i64,
    /// Events that an operator removed before they were settled.
    pub(crate) purged: i64,
    /// All rows, settled ones too.
    pub(crate) rows: i64,
    pub(crate) bytes: i64,
}

/// Rows that change together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) rows: i64,
    pub(crate) bytes: i64,
}

impl Counters {
    /// New rows, which are pending.
    pub(crate) fn add(&mut self, added: Rows) {
        self.pending += added.rows;
        self.rows += added.rows;
        self.bytes += added.bytes;
    }

    /// Rows have another status.
    pub(crate) fn change(&mut self, from: Status, to: Status, rows: i64) {
        *self.of(from) -= rows;
        *self.of(to) += rows;
    }

    /// Rows are gone. What was not settled is counted as purged; settle it first if it was published.
    pub(crate) fn remove(&mut self, status: Status, gone: Rows) {
        if !status.is_settled() {
            *self.of(status) -= gone.rows;
            self.purged += gone.rows;
        }
        self.rows -= gone.rows;
        self.bytes -= gone.bytes;
    }

    fn of(&mut self, status: Status) -> &mut i64 {
        match status {
            Status::Pending => &mut self.pending,
            Status::Retrying => &mut self.retrying,
            Status::DeadLetterFailed => &mut self.dlq_failed,
            Status::Resolved => &mut self.resolved,
            Status::DeadLettered => &mut self.dlq,
        }
    }

    /// What is told of them. `oldest` is when the first unsettled event was stored.
    pub(crate) fn stats(&self, oldest: Option<i64>, now: i64) -> StoreStats {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        StoreStats {
            pending: count(self.pending),
            retrying: count(self.retrying),
            dlq_failed: count(self.dlq_failed),
            resolved: count(self.resolved),
            dlq: count(self.dlq),
            purged: count(self.purged),
            rows: count(self.rows),
            bytes: count(self.bytes),
            oldest: oldest.map(|stored| Duration::from_millis(count(now.saturating_sub(stored)))),
        }
    }

    /// May these rows be added? Only inserts ask; whatever settles events goes on when the quota is used up.
    pub(crate) fn admit(&self, quota: Quota, added: Rows) -> Result<(), StoreError> {
        let full = |what: &str, used: i64, more: i64, most: u64, hint| {
            let text = format!("the store is full: {used} of {most} {what} are used, {more} more are needed");
            StoreError::new(StoreErrorKind::Full, text, hint)
        };
        if exceeds(self.rows, added.rows, quota.max_rows) {
            return Err(full(
                "rows",
                self.rows,
                added.rows,
                quota.max_rows,
                "let the relay drain it, or raise max_rows",
            ));
        }
        if exceeds(self.bytes, added.bytes, quota.max_bytes) {
            let hint = "let the relay drain it, or raise max_bytes";
            return Err(full("bytes", self.bytes, added.bytes, quota.max_bytes, hint));
        }
        Ok(())
    }
}

fn exceeds(used: i64, more: i64, most: u64) -> bool {
    used.saturating_add(more) > i64::try_from(most).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_counted_once_wherever_it_goes() {
        let mut counters = Counters::default();
        counters.add(Rows { rows: 5, bytes: 50 });
        counters.change(Status::Pending, Status::Retrying, 2);
        counters.change(Status::Pending, Status::Resolved, 1);
        counters.remove(Status::Resolved, Rows { rows: 1, bytes: 10 });
        counters.change(Status::Retrying, Status::DeadLettered, 1);
        counters.change(Status::Retrying, Status::DeadLetterFailed, 1);
        counters.remove(Status::DeadLetterFailed, Rows { rows: 1, bytes: 10 });
        let Counters { pending, retrying, dlq_failed, resolved, dlq, purged, rows, bytes, .. } = counters;
        assert_eq!([pending, retrying, dlq_failed, resolved, dlq, purged], [2, 0, 0, 1, 1, 1]);
        assert_eq!((rows, bytes), (3, 30), "the dead-lettered row is kept");
    }

    #[test]
    fn a_quota_admits_what_fits_and_nothing_more() {
        let used = Counters { rows: 8, bytes: 80, ..Counters::default() };
        let quota = Quota { max_rows: 10, max_bytes: 100 };
        let cases = [
            ((2, 20), None),
            (
                (3, 20),
                Some(
                    "the store is full: 8 of 10 rows are used, 3 more are needed; let the relay drain it, or raise max_rows",
                ),
            ),
            (
                (2, 21),
                Some(
                    "the store is full: 80 of 100 bytes are used, 21 more are needed; let the relay drain it, or raise max_bytes",
                ),
            ),
            (
                (i64::MAX, 1),
                Some(
                    "the store is full: 8 of 10 rows are used, 9223372036854775807 more are needed; let the relay drain it, or raise max_rows",
                ),
            ),
        ];
        for ((rows, bytes), expected) in cases {
            let error = used.admit(quota, Rows { rows, bytes }).err();
            assert_eq!(error.map(|error| error.to_string()).as_deref(), expected);
        }
        assert!(used.admit(Quota { max_rows: u64::MAX, max_bytes: u64::MAX }, Rows { rows: 9, bytes: 9 }).is_ok());
    }
}
