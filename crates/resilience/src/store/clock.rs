//! The clock of a store that is in the process.
//!
//! In: the system's clock, or one that a test drives. Out: Unix time in milliseconds. Not pure.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Tells the time.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    pub(crate) fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Now, in Unix milliseconds; negative before 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        (self.0)().duration_since(UNIX_EPOCH).map_or_else(|before| -ms(before.duration()), ms)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The instant of a time in Unix milliseconds. One that no instant can be is the Unix epoch.
pub(crate) fn instant(ms: i64) -> SystemTime {
    let distance = Duration::from_millis(ms.unsigned_abs());
    let found = if ms < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    found.unwrap_or(UNIX_EPOCH)
}

/// How long ago a time is, in Unix milliseconds; zero if it is to come.
pub(crate) fn age(now: i64, then: i64) -> Duration {
    Duration::from_millis(u64::try_from(now.saturating_sub(then)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_1970_is_negative_and_comes_back() {
        for ms in [-1, 0, 1, 1_700_000_000_123] {
            assert_eq!(Clock::new(move || instant(ms)).now_ms(), ms);
        }
    }
}
