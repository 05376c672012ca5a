//! The clocks that an append reads.
//!
//! In: nothing. Out: readings, from whatever implements [`Clock`]. Pure: the clocks themselves belong to the producer.

use std::time::Instant;

/// The clocks that a caller appends by.
pub(crate) trait Clock {
    /// A number that changes every few milliseconds and is cheap to read: reading the wall clock costs a third of an
    /// append.
    fn tick(&self) -> u64;
    /// The wall clock, in milliseconds since the Unix epoch.
    fn unix_ms(&self) -> i64;
    /// The monotonic clock.
    fn now(&self) -> Instant;
}

/// A fixed time, for tests, and for records that have their own timestamps.
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
