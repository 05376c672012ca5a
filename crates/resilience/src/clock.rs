//! The clock of publishers and relays: tokio's, which tests can pause.

use std::time::Instant;

/// The time.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
