//! What a store in a file is opened with.
//!
//! In and out: plain values. Pure.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use rusqlite::Connection;

use crate::store::{Quota, clock::Clock};

/// Everything that can be chosen.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) path: PathBuf,
    pub(super) quota: Quota,
    pub(super) retention: Option<Duration>,
    pub(super) clock: Clock,
    pub(super) busy_timeout: Duration,
    pub(super) reserve: u64,
    /// Ends a transaction; a test has it fail.
    #[expect(clippy::type_complexity, reason = "an alias would hide what it is")]
    pub(super) commit: Arc<dyn Fn(&Connection) -> rusqlite::Result<()> + Send + Sync>,
}

impl Options {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            quota: Quota::default(),
            retention: None,
            clock: Clock::default(),
            busy_timeout: Duration::from_secs(5),
            reserve: 24 << 20,
            commit: Arc::new(commit),
        }
    }
}

fn commit(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("COMMIT")?.execute([]).map(drop)
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, quota, retention, busy_timeout, reserve, .. } = self;
        f.debug_struct("Options")
            .field("path", path)
            .field("quota", quota)
            .field("retention", retention)
            .field("busy_timeout", busy_timeout)
            .field("reserve", reserve)
            .finish_non_exhaustive()
    }
}
