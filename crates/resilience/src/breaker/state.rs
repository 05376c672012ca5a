//! What a circuit breaker tells: its state, its numbers, each transition, and why a call is not permitted.
//!
//! In: facts of the state machine. Out: values for callers, logs and gauges. Pure.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// The state of a circuit breaker, with resilience4j's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Permits every call, and counts how it ends. Opens when too many fail or are slow.
    Closed,
    /// Permits no call until its wait is over.
    Open,
    /// Permits a few calls, by which it decides whether to close or to open.
    HalfOpen,
    /// Permits no call until it is told otherwise.
    ForcedOpen,
    /// Permits every call, and counts nothing.
    Disabled,
    /// Permits every call, and counts how it ends, but never opens.
    MetricsOnly,
}

impl BreakerState {
    /// The name in resilience4j, such as `HALF_OPEN`. It does not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
            Self::ForcedOpen => "FORCED_OPEN",
            Self::Disabled => "DISABLED",
            Self::MetricsOnly => "METRICS_ONLY",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call that the breaker does not permit. It was not made, so its record is certainly not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallNotPermitted {
    state: BreakerState,
    at: Instant,
    next_attempt_at: Option<Instant>,
}

impl CallNotPermitted {
    pub(super) fn new(state: BreakerState, at: Instant, next_attempt_at: Option<Instant>) -> Self {
        Self { state, at, next_attempt_at }
    }

    /// The state that did not permit it: OPEN, HALF_OPEN or FORCED_OPEN.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// When a call may be permitted. In OPEN it is the end of the wait. In HALF_OPEN all places are taken, and one of
    /// them is free by then at the latest. In FORCED_OPEN nobody knows, so it is `None`.
    #[must_use]
    pub fn next_attempt_at(&self) -> Option<Instant> {
        self.next_attempt_at
    }

    /// The same, counted from the call; for a `Retry-After`, say.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.next_attempt_at.map(|next| next.saturating_duration_since(self.at))
    }
}

impl fmt::Display for CallNotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call not permitted: the circuit breaker is {}", self.state)?;
        match (self.state, self.retry_after()) {
            (BreakerState::HalfOpen, Some(wait)) => {
                write!(f, " and its trial calls are under way; try again shortly, within {} ms", wait.as_millis())
            }
            (_, Some(wait)) => write!(f, "; try again in {} ms", wait.as_millis()),
            (_, None) => f.write_str(" until it is told otherwise; close() or reset() it"),
        }
    }
}

impl std::error::Error for CallNotPermitted {}

/// The numbers of a circuit breaker at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BreakerStats {
    /// The state.
    pub state: BreakerState,
    /// The part of the buffered calls that failed, in percent; `None` while there are fewer than the minimum. In OPEN,
    /// this and the next four are those that opened it. In resilience4j, `failure.rate`, where unknown is -1.
    pub failure_rate: Option<f64>,
    /// The part of the buffered calls that were slow, in percent; `None` while there are fewer than the minimum.
    pub slow_rate: Option<f64>,
    /// How many calls are in the window.
    pub buffered_calls: u32,
    /// How many of them failed.
    pub failed_calls: u32,
    /// How many of them were slow.
    pub slow_calls: u32,
    /// How many calls were not permitted since the breaker was made or reset.
    pub not_permitted_calls: u64,
    /// How often it opened since it was made or reset. FORCED_OPEN does not count.
    pub opened: u64,
    /// When the state began.
    pub since: Instant,
    /// In OPEN, the end of the wait. In HALF_OPEN with all places taken, when one is free at the latest. Else `None`.
    pub next_attempt_at: Option<Instant>,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// The state before.
    pub from: BreakerState,
    /// The state after. It may be the same: OPEN after a failed probe, CLOSED after a reset.
    pub to: BreakerState,
    /// When.
    pub at: Instant,
    /// The part of the calls before that failed, in percent, if it was known.
    pub failure_rate: Option<f64>,
    /// The part of the calls before that were slow, in percent, if it was known.
    pub slow_rate: Option<f64>,
    /// If it opened, how long it waits.
    pub wait: Option<Duration>,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "circuit breaker went from {} to {}", self.from, self.to)?;
        if let (Some(failed), Some(slow)) = (self.failure_rate, self.slow_rate) {
            write!(f, ": {failed:.0} % of calls failed, {slow:.0} % were slow")?;
        }
        if let Some(wait) = self.wait {
            write!(f, "; next attempt in {} ms", wait.as_millis())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_not_permitted_says_the_state_and_when_to_try_again() {
        let now = Instant::now();
        let later = Some(now + Duration::from_millis(1_500));
        for (state, next, text) in [
            (BreakerState::Open, later, "OPEN; try again in 1500 ms"),
            (
                BreakerState::HalfOpen,
                later,
                "HALF_OPEN and its trial calls are under way; try again shortly, within 1500 ms",
            ),
            (BreakerState::ForcedOpen, None, "FORCED_OPEN until it is told otherwise; close() or reset() it"),
        ] {
            let error = CallNotPermitted::new(state, now, next);
            assert_eq!(error.to_string(), format!("call not permitted: the circuit breaker is {text}"));
            assert_eq!((error.state(), error.next_attempt_at()), (state, next));
            assert_eq!(error.retry_after(), next.map(|next| next - now));
        }
    }

    #[test]
    fn a_transition_reads_as_a_sentence() {
        let transition = Transition {
            from: BreakerState::Closed,
            to: BreakerState::Open,
            at: Instant::now(),
            failure_rate: Some(50.0),
            slow_rate: Some(0.0),
            wait: Some(Duration::from_secs(60)),
        };
        assert_eq!(
            transition.to_string(),
            "circuit breaker went from CLOSED to OPEN: 50 % of calls failed, 0 % were slow; next attempt in 60000 ms"
        );
        let told = Transition { from: BreakerState::HalfOpen, failure_rate: None, wait: None, ..transition };
        assert_eq!(told.to_string(), "circuit breaker went from HALF_OPEN to OPEN");
    }
}
