//! The report of a failed record, from which its dead letter is made.
//!
//! In: facts about the attempts. Out: one value of them. Pure.

use std::time::SystemTime;

use milena::Persisted;

use crate::Failure;

/// How a record failed.
#[derive(Clone, Copy, Debug)]
pub struct FailureReport<'a> {
    /// The last failure.
    pub failure: &'a Failure,
    /// The number of attempts to send the record.
    pub attempts: u32,
    /// The time of the first failure.
    pub first_failed_at: SystemTime,
    /// The time of the last failure.
    pub last_failed_at: SystemTime,
    /// Whether any attempt may have been written.
    pub persisted: Persisted,
}

impl<'a> FailureReport<'a> {
    /// The report of a record that was sent once and failed at this time.
    #[must_use]
    pub fn once(failure: &'a Failure, at: SystemTime) -> Self {
        Self { failure, attempts: 1, first_failed_at: at, last_failed_at: at, persisted: failure.persisted() }
    }
}
