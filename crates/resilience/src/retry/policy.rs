//! Decides whether and when to send a record again.
//!
//! In: how an attempt failed, the progress so far, the policy, a random number. Out: a [`Decision`]. Pure.

use std::{fmt, time::Duration};

use milena::Persisted;

use crate::Failure;

/// The most attempts of a policy. It is bounded because each attempt is kept in memory.
const MAX_ATTEMPTS: u32 = 100;

/// When to send a record again.
///
/// By default, 3 attempts. The wait is 100 ms, doubles each time with 20 % jitter, and is at most 10 s. The budget is
/// two minutes. A record with an unknown outcome is not sent again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    max_attempts: u32,
    backoff: Duration,
    factor: f64,
    max_backoff: Duration,
    jitter: f64,
    budget: Duration,
    resend_unknown: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Duration::from_millis(100),
            factor: 2.0,
            max_backoff: Duration::from_secs(10),
            jitter: 0.2,
            budget: Duration::from_secs(120),
            resend_unknown: false,
        }
    }
}

impl RetryPolicy {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the most attempts for a record, including the first: 1 to 100. Defaults to 3.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the wait before the second attempt. Defaults to 100 ms, as `retry.backoff.ms`.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets the factor between a wait and the next: 1 or more. Defaults to 2.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Sets the longest wait. Defaults to 10 s.
    #[must_use]
    pub fn max_backoff(mut self, backoff: Duration) -> Self {
        self.max_backoff = backoff;
        self
    }

    /// Sets the jitter, as a part of each wait: 0 (none) to 1. Defaults to 0.2, as KIP-580.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = part;
        self
    }

    /// Sets the time after which no attempt begins, counted from the start of the first. Defaults to two minutes, the
    /// default of `delivery.timeout.ms`, so that a record which took all of that is not sent again.
    #[must_use]
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// Sets whether a record that may have been written is sent again, with the header
    /// [`POSSIBLE_DUPLICATE`](super::POSSIBLE_DUPLICATE). Allow it only if consumers recognise duplicates by the
    /// event's id. Defaults to no.
    #[must_use]
    pub fn resend_unknown(mut self, allowed: bool) -> Self {
        self.resend_unknown = allowed;
        self
    }

    /// The wait after this many failed attempts. `chance`, from 0 to 1, selects a value within the jitter; 0.5 is no
    /// jitter.
    #[must_use]
    pub fn wait_after(&self, attempts: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
        let moved = 1.0 + self.jitter * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        let seconds = self.backoff.as_secs_f64() * self.factor.powi(exponent) * moved;
        Duration::try_from_secs_f64(seconds).map_or(self.max_backoff, |wait| wait.min(self.max_backoff))
    }

    /// Decides what follows the latest attempt.
    #[must_use]
    pub fn decide(&self, failure: &Failure, so_far: Progress, chance: f64) -> Decision {
        let maybe_written = so_far.maybe_written || failure.persisted() == Persisted::Unknown;
        let wait = self.wait_after(so_far.attempts, chance);
        if failure.producer_is_gone() {
            Decision::GiveUp(GaveUp::ProducerGone)
        } else if !failure.retriable() {
            Decision::GiveUp(GaveUp::Fatal)
        } else if maybe_written && !self.resend_unknown {
            Decision::GiveUp(GaveUp::MaybeWritten)
        } else if so_far.attempts >= self.max_attempts {
            Decision::GiveUp(GaveUp::AttemptsUsedUp)
        } else if so_far.elapsed.saturating_add(wait) > self.budget {
            Decision::GiveUp(GaveUp::BudgetUsedUp)
        } else {
            Decision::Resend { wait, marked: maybe_written }
        }
    }

    /// Fails with every violation if the policy is invalid.
    pub(super) fn check(&self) -> Result<(), InvalidPolicy> {
        let rules = [
            (
                !(1..=MAX_ATTEMPTS).contains(&self.max_attempts),
                format!("max_attempts: expected 1 to {MAX_ATTEMPTS}, got {}", self.max_attempts),
            ),
            (
                !(self.factor.is_finite() && self.factor >= 1.0),
                format!("factor: expected 1 or more, got {}", self.factor),
            ),
            (!(0.0..=1.0).contains(&self.jitter), format!("jitter: expected 0 to 1, got {}", self.jitter)),
        ];
        let violations: Vec<_> = rules.into_iter().filter_map(|(broken, rule)| broken.then_some(rule)).collect();
        if violations.is_empty() { Ok(()) } else { Err(InvalidPolicy { violations }) }
    }
}

/// The progress of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The number of attempts, including the latest.
    pub attempts: u32,
    /// The time since the first attempt began.
    pub elapsed: Duration,
    /// Whether an attempt before the latest may have been written.
    pub maybe_written: bool,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send again.
    Resend {
        /// After this wait.
        wait: Duration,
        /// With the header that marks a possible duplicate.
        marked: bool,
    },
    /// Return the failure to the caller.
    GiveUp(GaveUp),
}

/// Why a record is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GaveUp {
    /// The record or a permission is the cause, so it would fail again.
    Fatal,
    /// The producer was closed, dropped or fenced.
    ProducerGone,
    /// It may have been written, and the policy does not allow to send it again then.
    MaybeWritten,
    /// [`RetryPolicy::max_attempts`] were made.
    AttemptsUsedUp,
    /// The next attempt would begin after [`RetryPolicy::budget`].
    BudgetUsedUp,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fatal => "it would fail again",
            Self::ProducerGone => "the producer is gone",
            Self::MaybeWritten => "it may have been written, and resend_unknown is off",
            Self::AttemptsUsedUp => "max_attempts is used up",
            Self::BudgetUsedUp => "the budget does not last until the next attempt",
        })
    }
}

/// An invalid policy, with every violation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid retry policy: {}", violations.join("; "))]
pub struct InvalidPolicy {
    violations: Vec<String>,
}

impl InvalidPolicy {
    /// One sentence for each violation.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }
}

#[cfg(test)]
mod tests {
    use milena::{ErrorCode, FailureKind};

    use super::*;
    use crate::testing::{delivery, every_failure, refused, unknown};

    const MS: Duration = Duration::from_millis(1);
    const FIRST: Progress = Progress { attempts: 1, elapsed: MS, maybe_written: false };

    fn exact() -> RetryPolicy {
        RetryPolicy::new().jitter(0.0)
    }

    #[test]
    fn every_kind_of_failure_has_its_decision() {
        let again = Decision::Resend { wait: 100 * MS, marked: false };
        let (fatal, gone) = (Decision::GiveUp(GaveUp::Fatal), Decision::GiveUp(GaveUp::ProducerGone));
        let decisions = every_failure().into_iter().map(|failure| {
            let decision = exact().decide(&failure, FIRST, 0.5);
            (failure.type_name(), decision)
        });
        let expected = [
            ("SendError::Closed", gone),
            ("SendError::QueueFull", again),
            ("SendError::NotReady", again),
            ("SendError::Timeout", again),
            ("SendError::UnknownTopic", again),
            ("SendError::TooLarge", fatal),
            ("SendError::InvalidTopic", fatal),
            ("SendError::InvalidPartition", fatal),
            ("SendError::TopicRefused", fatal),
            ("SendError::Unauthenticated", fatal),
            ("SendError::Fatal", gone),
            ("SendError::Serialization", fatal),
            ("SendError::Partitioner", fatal),
            ("SendError::InvalidRecord", fatal),
            ("DeliveryError::Rejected", fatal),
            ("DeliveryError::Expired", Decision::GiveUp(GaveUp::MaybeWritten)),
            ("DeliveryError::Closed", gone),
            ("DeliveryError::Abandoned", gone),
            ("DeliveryError::Fatal", gone),
        ];
        assert_eq!(decisions.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_error_code_of_a_rejection_is_sent_again_exactly_if_it_is_retriable() {
        for code in -1..=133 {
            let retriable = ErrorCode(code).retriable();
            let failure = delivery(FailureKind::Rejected, ErrorCode(code), Persisted::No, retriable);
            let again = matches!(exact().decide(&failure, FIRST, 0.5), Decision::Resend { .. });
            assert_eq!(again, retriable, "{code}");
        }
    }

    #[test]
    fn waits_double_to_their_cap() {
        let policy = exact().max_backoff(1_000 * MS);
        let waits: Vec<_> = (1..=6).map(|attempts| policy.wait_after(attempts, 0.5).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(policy.wait_after(u32::MAX, 0.5), 1_000 * MS);
        let even: Vec<_> = (1..=3).map(|attempts| policy.clone().factor(1.0).wait_after(attempts, 0.5)).collect();
        assert_eq!(even, [100 * MS; 3]);
    }

    #[test]
    fn jitter_changes_a_wait_within_its_range_and_never_beyond_the_cap() {
        let policy = RetryPolicy::new().max_backoff(220 * MS);
        let waits = |attempts| [0.0, 0.5, 1.0].map(|chance| policy.wait_after(attempts, chance).as_millis());
        assert_eq!(waits(1), [80, 100, 120]);
        assert_eq!(waits(2), [160, 200, 220]);
        for odd in [f64::NAN, f64::INFINITY, -5.0] {
            assert!(policy.wait_after(2, odd) <= 220 * MS, "{odd}");
        }
    }

    #[test]
    fn there_is_no_attempt_after_max_attempts() {
        let decide = |attempts| exact().max_attempts(3).decide(&refused(), Progress { attempts, ..FIRST }, 0.5);
        assert_eq!(decide(2), Decision::Resend { wait: 200 * MS, marked: false });
        assert_eq!(decide(3), Decision::GiveUp(GaveUp::AttemptsUsedUp));
    }

    #[test]
    fn no_attempt_begins_beyond_the_budget() {
        let decide = |elapsed| exact().budget(1_000 * MS).decide(&refused(), Progress { elapsed, ..FIRST }, 0.5);
        assert_eq!(decide(900 * MS), Decision::Resend { wait: 100 * MS, marked: false });
        assert_eq!(decide(901 * MS), Decision::GiveUp(GaveUp::BudgetUsedUp));
    }

    #[test]
    fn the_default_budget_allows_no_attempt_after_delivery_timeout() {
        let after = Progress { elapsed: Duration::from_secs(120), ..FIRST };
        assert_eq!(RetryPolicy::new().decide(&refused(), after, 0.0), Decision::GiveUp(GaveUp::BudgetUsedUp));
    }

    #[test]
    fn a_record_that_may_have_been_written_is_sent_again_only_if_allowed_and_then_marked() {
        let earlier = Progress { maybe_written: true, ..FIRST };
        for (failure, so_far) in [(unknown(), FIRST), (refused(), earlier), (unknown(), earlier)] {
            assert_eq!(exact().decide(&failure, so_far, 0.5), Decision::GiveUp(GaveUp::MaybeWritten));
            let allowed = exact().resend_unknown(true).decide(&failure, so_far, 0.5);
            assert_eq!(allowed, Decision::Resend { wait: 100 * MS, marked: true });
        }
    }

    #[test]
    fn an_invalid_policy_is_refused_with_every_violation() {
        let error = RetryPolicy::new().max_attempts(0).factor(0.5).jitter(1.1).check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid retry policy: max_attempts: expected 1 to 100, got 0; factor: expected 1 or more, got 0.5; \
             jitter: expected 0 to 1, got 1.1"
        );
        for policy in [exact().max_attempts(101), exact().factor(f64::NAN), exact().factor(f64::INFINITY)] {
            assert_eq!(policy.check().unwrap_err().violations().len(), 1, "{policy:?}");
        }
        assert_eq!(exact().jitter(f64::NAN).check().unwrap_err().violations(), ["jitter: expected 0 to 1, got NaN"]);
        assert_eq!(RetryPolicy::new().check(), Ok(()));
    }
}
