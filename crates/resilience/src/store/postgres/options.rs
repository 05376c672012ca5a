//! What a store in a database is opened with.
//!
//! In and out: plain values. Pure. The connection string has the password in it, so nothing shows it.

use std::{fmt, time::Duration};

use crate::store::Quota;
#[cfg(all(test, feature = "postgres-tests"))]
use crate::store::clock::Clock;

/// Everything that can be chosen.
#[derive(Clone)]
pub(super) struct Options {
    /// The connection string.
    pub(super) secret: String,
    pub(super) schema: Option<String>,
    pub(super) buckets: u16,
    pub(super) quota: Quota,
    pub(super) retention: Option<Duration>,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    /// Whether nothing may be created.
    pub(super) must_exist: bool,
    /// A test's clock instead of the database's.
    #[cfg(all(test, feature = "postgres-tests"))]
    pub(super) clock: Option<Clock>,
}

impl Options {
    pub(super) fn new(secret: String) -> Self {
        Self {
            secret,
            schema: None,
            buckets: 16,
            quota: Quota::default(),
            retention: None,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            must_exist: false,
            #[cfg(all(test, feature = "postgres-tests"))]
            clock: None,
        }
    }

    /// The time to go by, if the database's is `now`, in Unix milliseconds.
    #[cfg_attr(
        not(all(test, feature = "postgres-tests")),
        expect(clippy::unused_self, reason = "a test has a clock of its own")
    )]
    pub(super) fn now(&self, now: i64) -> i64 {
        #[cfg(all(test, feature = "postgres-tests"))]
        if let Some(clock) = &self.clock {
            return clock.now_ms();
        }
        now
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { schema, buckets, quota, retention, connect_timeout, timeout, .. } = self;
        f.debug_struct("Options")
            .field("schema", schema)
            .field("buckets", buckets)
            .field("quota", quota)
            .field("retention", retention)
            .field("connect_timeout", connect_timeout)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}
