//! The clocks that an append reads.
//!
//! In: nothing. Out: readings, from whatever implements [`Clock`]. Pure: the clocks themselves belong to the producer.

use std::time::Instant;

/// What tells the time to those who append.
pub(crate) trait Clock {
    /// A number that rises every few milliseconds at most, and is cheap to get: reading the wall clock costs a third of what
    /// appending a record does.
    fn tick(&self) -> u64;
    /// The wall clock, in milliseconds since the Unix epoch.
    fn unix_ms(&self) -> i64;
    /// The monotonic clock.
    fn now(&self) -> Instant;
}

/// For tests that tell the time themselves, and records that bring their own.
#[cfg(any(test, fuzzing, feature = "bench-internals"))]
impl Clock for Instant {
    fn tick(&self) -> u64 {
        0
    }

    fn unix_ms(&self) -> i64 {
        0
    }

    fn now(&self) -> Instant {
        *self
    }
}
