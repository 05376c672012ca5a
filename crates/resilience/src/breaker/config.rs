//! The settings of a circuit breaker: resilience4j's, and five of our own.
//!
//! In: setters. Out: a [`BreakerConfig`], or every violation in it; what the settings say about counts and waits. Pure.

use std::time::Duration;

use super::{
    state::BreakerState,
    window::{Totals, Window},
};

/// The most calls or seconds of a window, because each takes memory.
const MAX_WINDOW: u32 = 100_000;
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The most doublings of a wait, so that the factor stays a number.
const MAX_DOUBLINGS: u32 = 30;

/// What the last calls are, whose rates a breaker looks at. In resilience4j, `slidingWindowType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlidingWindowType {
    /// The last [`sliding_window_size`](BreakerConfig::sliding_window_size) calls. In resilience4j, `COUNT_BASED`.
    CountBased,
    /// The calls of the last [`sliding_window_size`](BreakerConfig::sliding_window_size) seconds. In resilience4j,
    /// `TIME_BASED`.
    TimeBased,
}

/// When a circuit breaker opens, and how it closes again.
///
/// The settings have the names and defaults of resilience4j's `CircuitBreakerConfig`, whose property each setter names.
/// Those without one are ours.
///
/// ```
/// use std::time::Duration;
/// use milena_resilience::breaker::BreakerConfig;
///
/// let config = BreakerConfig::consecutive_failures(5).wait_duration_in_open_state(Duration::from_secs(30));
/// assert!(config.check().is_ok());
/// let error = config.failure_rate_threshold(0.0).sliding_window_size(0).check().unwrap_err();
/// assert_eq!(error.violations().len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerConfig {
    failure_rate_threshold: f64,
    slow_call_rate_threshold: f64,
    slow_call_duration_threshold: Duration,
    sliding_window_type: SlidingWindowType,
    sliding_window_size: u32,
    minimum_number_of_calls: u32,
    wait_duration_in_open_state: Duration,
    permitted_number_of_calls_in_half_open_state: u32,
    max_wait_duration_in_half_open_state: Duration,
    automatic_transition: bool,
    max_wait_duration_in_open_state: Duration,
    wait_jitter: f64,
    wait_resets_after: Duration,
    permit_timeout: Duration,
    seed: Option<u64>,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failure_rate_threshold: 50.0,
            slow_call_rate_threshold: 100.0,
            slow_call_duration_threshold: Duration::from_secs(60),
            sliding_window_type: SlidingWindowType::CountBased,
            sliding_window_size: 100,
            minimum_number_of_calls: 100,
            wait_duration_in_open_state: Duration::from_secs(60),
            permitted_number_of_calls_in_half_open_state: 10,
            max_wait_duration_in_half_open_state: Duration::ZERO,
            automatic_transition: false,
            max_wait_duration_in_open_state: Duration::from_secs(300),
            wait_jitter: 0.2,
            wait_resets_after: Duration::from_secs(300),
            permit_timeout: Duration::from_secs(180),
            seed: None,
        }
    }
}

impl BreakerConfig {
    /// The defaults: those of resilience4j.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens after this many failures in a row: 1 to 100,000. A success ends a row; what counts as nothing does not. It
    /// is a window of so many calls that all have to fail. One success in HALF_OPEN closes, one failure opens again.
    /// The wait in OPEN is 60 s, as by default.
    #[must_use]
    pub fn consecutive_failures(failures: u32) -> Self {
        Self::new()
            .failure_rate_threshold(100.0)
            .sliding_window_size(failures)
            .minimum_number_of_calls(failures)
            .permitted_number_of_calls_in_half_open_state(1)
    }

    /// Opens when this part of the last 20 calls failed, in percent, and not before 10 calls. Three calls in HALF_OPEN
    /// decide. `failure_rate(50.0)` is the usual breaker, with a window that a small program fills in time.
    #[must_use]
    pub fn failure_rate(percent: f64) -> Self {
        Self::new()
            .failure_rate_threshold(percent)
            .sliding_window_size(20)
            .minimum_number_of_calls(10)
            .permitted_number_of_calls_in_half_open_state(3)
    }

    /// Sets the part of calls, in percent, from which on (`>=`) failures open the breaker: more than 0, to 100. Defaults
    /// to 50. In resilience4j, `failureRateThreshold`.
    #[must_use]
    pub fn failure_rate_threshold(mut self, percent: f64) -> Self {
        self.failure_rate_threshold = percent;
        self
    }

    /// Sets the part of calls, in percent, from which on (`>=`) slow ones open the breaker: more than 0, to 100.
    /// Defaults to 100. In resilience4j, `slowCallRateThreshold`.
    #[must_use]
    pub fn slow_call_rate_threshold(mut self, percent: f64) -> Self {
        self.slow_call_rate_threshold = percent;
        self
    }

    /// Sets the time above which a call is slow, whether it succeeds or fails. Defaults to 60 s. In resilience4j,
    /// `slowCallDurationThreshold`.
    ///
    /// A producer retries for up to `delivery.timeout.ms`, two minutes by default. So with the defaults a record that
    /// was delivered in the second of them is slow.
    #[must_use]
    pub fn slow_call_duration_threshold(mut self, duration: Duration) -> Self {
        self.slow_call_duration_threshold = duration;
        self
    }

    /// Sets what the last calls are. Defaults to [`SlidingWindowType::CountBased`]. In resilience4j,
    /// `slidingWindowType`.
    #[must_use]
    pub fn sliding_window_type(mut self, window: SlidingWindowType) -> Self {
        self.sliding_window_type = window;
        self
    }

    /// Sets the size of the window, in calls or in seconds: 1 to 100,000. Defaults to 100. In resilience4j,
    /// `slidingWindowSize`.
    #[must_use]
    pub fn sliding_window_size(mut self, size: u32) -> Self {
        self.sliding_window_size = size;
        self
    }

    /// Sets how many calls there must be before a rate is known: 1 or more. Defaults to 100. A window of calls caps it
    /// to its size, HALF_OPEN to its number of calls. In resilience4j, `minimumNumberOfCalls`.
    #[must_use]
    pub fn minimum_number_of_calls(mut self, calls: u32) -> Self {
        self.minimum_number_of_calls = calls;
        self
    }

    /// Sets the first wait in OPEN: 1 ms or more. Defaults to 60 s. In resilience4j, `waitDurationInOpenState`.
    #[must_use]
    pub fn wait_duration_in_open_state(mut self, wait: Duration) -> Self {
        self.wait_duration_in_open_state = wait;
        self
    }

    /// Sets how many calls HALF_OPEN admits: 1 to 100,000. Defaults to 10. In resilience4j,
    /// `permittedNumberOfCallsInHalfOpenState`.
    #[must_use]
    pub fn permitted_number_of_calls_in_half_open_state(mut self, calls: u32) -> Self {
        self.permitted_number_of_calls_in_half_open_state = calls;
        self
    }

    /// Sets after which time HALF_OPEN ends in OPEN if its calls have not decided. Defaults to zero, which is no limit.
    /// In resilience4j, `maxWaitDurationInHalfOpenState`.
    #[must_use]
    pub fn max_wait_duration_in_half_open_state(mut self, wait: Duration) -> Self {
        self.max_wait_duration_in_half_open_state = wait;
        self
    }

    /// Sets whether OPEN becomes HALF_OPEN after its wait without a call, whenever anything asks the breaker. Defaults
    /// to no: the next call does it. In resilience4j, `automaticTransitionFromOpenToHalfOpenEnabled`.
    #[must_use]
    pub fn automatic_transition_from_open_to_half_open_enabled(mut self, enabled: bool) -> Self {
        self.automatic_transition = enabled;
        self
    }

    /// Sets the longest wait in OPEN. Defaults to five minutes. While the breaker flaps, each wait is twice the one
    /// before, up to this. One that is shorter than the first wait means that waits do not grow. (In resilience4j, an
    /// `IntervalFunction` does this.)
    #[must_use]
    pub fn max_wait_duration_in_open_state(mut self, wait: Duration) -> Self {
        self.max_wait_duration_in_open_state = wait;
        self
    }

    /// Sets by which part each wait in OPEN may be shorter, so that many programs do not probe at the same moment: 0
    /// (none) to 1. It is drawn once for each opening. Defaults to 0.2, as KIP-580.
    #[must_use]
    pub fn wait_jitter(mut self, part: f64) -> Self {
        self.wait_jitter = part;
        self
    }

    /// Sets for how long the breaker has to have been CLOSED until waits begin with the first again. Defaults to five
    /// minutes. An opening before that is flapping.
    #[must_use]
    pub fn wait_resets_after(mut self, closed: Duration) -> Self {
        self.wait_resets_after = closed;
        self
    }

    /// Sets for how long a call of HALF_OPEN may take: 1 ms or more. After that it counts as a failure, and another call
    /// may take its place. Defaults to three minutes, the sum of the defaults of `max.block.ms` and
    /// `delivery.timeout.ms`, within which a producer has an outcome.
    #[must_use]
    pub fn permit_timeout(mut self, timeout: Duration) -> Self {
        self.permit_timeout = timeout;
        self
    }

    /// Sets the seed of the jitter, so that a run can be repeated. Defaults to a random one.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Every violation.
    pub fn check(&self) -> Result<(), InvalidBreakerConfig> {
        let percents = [
            ("failure_rate_threshold", self.failure_rate_threshold),
            ("slow_call_rate_threshold", self.slow_call_rate_threshold),
        ];
        let percents = percents.map(|(name, got)| {
            (got > 0.0 && got <= 100.0, format!("{name}: expected more than 0 to 100 percent, got {got}"))
        });
        let part = self.wait_jitter;
        let jitter = [((0.0..=1.0).contains(&part), format!("wait_jitter: expected 0 to 1, got {part}"))];
        let rules = percents.into_iter().chain(self.numbers()).chain(self.durations()).chain(jitter);
        let violations: Vec<_> = rules.filter_map(|(kept, rule)| (!kept).then_some(rule)).collect();
        if violations.is_empty() { Ok(()) } else { Err(InvalidBreakerConfig { violations }) }
    }

    fn numbers(&self) -> [(bool, String); 3] {
        [
            ("sliding_window_size", self.sliding_window_size, MAX_WINDOW),
            ("minimum_number_of_calls", self.minimum_number_of_calls, u32::MAX),
            (
                "permitted_number_of_calls_in_half_open_state",
                self.permitted_number_of_calls_in_half_open_state,
                MAX_WINDOW,
            ),
        ]
        .map(|(name, got, most)| ((1..=most).contains(&got), format!("{name}: expected 1 to {most}, got {got}")))
    }

    fn durations(&self) -> [(bool, String); 6] {
        let ms = Duration::from_millis(1);
        [
            ("slow_call_duration_threshold", self.slow_call_duration_threshold, Duration::ZERO),
            ("wait_duration_in_open_state", self.wait_duration_in_open_state, ms),
            ("max_wait_duration_in_half_open_state", self.max_wait_duration_in_half_open_state, Duration::ZERO),
            ("max_wait_duration_in_open_state", self.max_wait_duration_in_open_state, Duration::ZERO),
            ("wait_resets_after", self.wait_resets_after, Duration::ZERO),
            ("permit_timeout", self.permit_timeout, ms),
        ]
        .map(|(name, got, least)| {
            let rule = format!("{name}: expected {} ms to 365 days, got {} ms", least.as_millis(), got.as_millis());
            ((least..=YEAR).contains(&got), rule)
        })
    }

    /// The seed that was set.
    pub(super) fn seeded(&self) -> Option<u64> {
        self.seed
    }

    /// The window in which a state counts, empty.
    pub(super) fn window(&self, state: BreakerState) -> Window {
        let minimum = self.minimum_number_of_calls;
        match (state, self.sliding_window_type) {
            (BreakerState::HalfOpen, _) => Window::calls(self.probes(), minimum),
            (_, SlidingWindowType::CountBased) => Window::calls(self.sliding_window_size, minimum),
            (_, SlidingWindowType::TimeBased) => Window::seconds(self.sliding_window_size, minimum),
        }
    }

    /// Whether a call of this duration is slow.
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        took > self.slow_call_duration_threshold
    }

    /// Whether failures or slow calls reach their threshold.
    pub(super) fn exceeded(&self, totals: Totals) -> bool {
        let calls = f64::from(totals.calls);
        let reaches = |part: u32, percent: f64| f64::from(part) * 100.0 >= percent * calls;
        reaches(totals.failed, self.failure_rate_threshold) || reaches(totals.slow, self.slow_call_rate_threshold)
    }

    /// How many calls HALF_OPEN admits.
    pub(super) fn probes(&self) -> u32 {
        self.permitted_number_of_calls_in_half_open_state
    }

    /// How long HALF_OPEN may take, if that is limited.
    pub(super) fn half_open_limit(&self) -> Option<Duration> {
        Some(self.max_wait_duration_in_half_open_state).filter(|limit| !limit.is_zero())
    }

    /// How long a call of HALF_OPEN may take.
    pub(super) fn probe_limit(&self) -> Duration {
        self.permit_timeout
    }

    /// Whether OPEN ends without a call.
    pub(super) fn opens_half_by_itself(&self) -> bool {
        self.automatic_transition
    }

    /// Whether a breaker that was CLOSED for so long did not flap.
    pub(super) fn is_stable_after(&self, closed: Duration) -> bool {
        closed >= self.wait_resets_after
    }

    /// The wait in OPEN after this many openings before it. `chance`, from 0 to 1, selects a value within the jitter; 0
    /// is the longest.
    pub(super) fn wait_in_open(&self, earlier: u32, chance: f64) -> Duration {
        let first = self.wait_duration_in_open_state;
        let longest = self.max_wait_duration_in_open_state.max(first);
        let grown = first.saturating_mul(1 << earlier.min(MAX_DOUBLINGS)).min(longest);
        grown.mul_f64(1.0 - self.wait_jitter * chance.clamp(0.0, 1.0))
    }
}

/// An invalid configuration of a circuit breaker, with every violation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid circuit breaker: {}", violations.join("; "))]
pub struct InvalidBreakerConfig {
    violations: Vec<String>,
}

impl InvalidBreakerConfig {
    /// One sentence for each violation.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn the_defaults_are_those_of_resilience4j() {
        let config = BreakerConfig::new();
        assert_eq!((config.failure_rate_threshold, config.slow_call_rate_threshold), (50.0, 100.0));
        assert_eq!(config.slow_call_duration_threshold, 60 * S);
        assert_eq!(config.sliding_window_type, SlidingWindowType::CountBased);
        assert_eq!((config.sliding_window_size, config.minimum_number_of_calls), (100, 100));
        assert_eq!((config.wait_duration_in_open_state, config.probes()), (60 * S, 10));
        assert_eq!((config.half_open_limit(), config.opens_half_by_itself()), (None, false));
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn every_setter_sets_its_own() {
        let config = BreakerConfig::new()
            .failure_rate_threshold(1.0)
            .slow_call_rate_threshold(2.0)
            .slow_call_duration_threshold(3 * S)
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_size(4)
            .minimum_number_of_calls(5)
            .wait_duration_in_open_state(6 * S)
            .permitted_number_of_calls_in_half_open_state(7)
            .max_wait_duration_in_half_open_state(8 * S)
            .automatic_transition_from_open_to_half_open_enabled(true)
            .max_wait_duration_in_open_state(9 * S)
            .wait_jitter(0.1)
            .wait_resets_after(10 * S)
            .permit_timeout(11 * S)
            .seed(12);
        let expected = BreakerConfig {
            failure_rate_threshold: 1.0,
            slow_call_rate_threshold: 2.0,
            slow_call_duration_threshold: 3 * S,
            sliding_window_type: SlidingWindowType::TimeBased,
            sliding_window_size: 4,
            minimum_number_of_calls: 5,
            wait_duration_in_open_state: 6 * S,
            permitted_number_of_calls_in_half_open_state: 7,
            max_wait_duration_in_half_open_state: 8 * S,
            automatic_transition: true,
            max_wait_duration_in_open_state: 9 * S,
            wait_jitter: 0.1,
            wait_resets_after: 10 * S,
            permit_timeout: 11 * S,
            seed: Some(12),
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn an_invalid_configuration_is_refused_with_every_violation() {
        let none = Duration::ZERO;
        let config = BreakerConfig::new()
            .failure_rate_threshold(0.0)
            .slow_call_rate_threshold(100.1)
            .slow_call_duration_threshold(Duration::MAX)
            .sliding_window_size(0)
            .minimum_number_of_calls(0)
            .wait_duration_in_open_state(none)
            .permitted_number_of_calls_in_half_open_state(100_001)
            .max_wait_duration_in_half_open_state(Duration::MAX)
            .max_wait_duration_in_open_state(Duration::MAX)
            .wait_resets_after(Duration::MAX)
            .permit_timeout(none)
            .wait_jitter(f64::NAN);
        let error = config.check().unwrap_err();
        assert_eq!(error.violations().len(), 12, "{error}");
        let text = error.to_string();
        for part in [
            "invalid circuit breaker: failure_rate_threshold: expected more than 0 to 100 percent, got 0; ",
            "sliding_window_size: expected 1 to 100000, got 0; ",
            "wait_duration_in_open_state: expected 1 ms to 365 days, got 0 ms; ",
            "wait_jitter: expected 0 to 1, got NaN",
        ] {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }

    #[test]
    fn every_setting_is_checked_by_itself() {
        let ok = BreakerConfig::new;
        for config in [
            ok().failure_rate_threshold(f64::NAN),
            ok().failure_rate_threshold(-1.0),
            ok().failure_rate_threshold(100.5),
            ok().slow_call_rate_threshold(0.0),
            ok().sliding_window_size(100_001),
            ok().permitted_number_of_calls_in_half_open_state(0),
            ok().wait_duration_in_open_state(366 * 24 * 3600 * S),
            ok().wait_jitter(-0.1),
            ok().wait_jitter(1.1),
        ] {
            assert_eq!(config.check().unwrap_err().violations().len(), 1, "{config:?}");
        }
        let odd = ok().failure_rate_threshold(0.001).sliding_window_size(1).minimum_number_of_calls(u32::MAX);
        assert_eq!(odd.max_wait_duration_in_open_state(Duration::ZERO).check(), Ok(()));
    }

    #[test]
    fn the_presets_are_valid() {
        assert_eq!(BreakerConfig::consecutive_failures(5).check(), Ok(()));
        assert_eq!(BreakerConfig::failure_rate(50.0).check(), Ok(()));
        assert_eq!(BreakerConfig::consecutive_failures(0).check().unwrap_err().violations().len(), 2);
    }

    #[test]
    fn a_threshold_is_reached_at_its_very_percentage() {
        let config = BreakerConfig::new().slow_call_rate_threshold(10.0);
        for (calls, failed, slow, exceeded) in [
            (100, 49, 0, false),
            (100, 50, 0, true),
            (3, 1, 0, false),
            (2, 1, 0, true),
            (10, 0, 1, true),
            (11, 0, 1, false),
        ] {
            assert_eq!(config.exceeded(Totals { calls, failed, slow }), exceeded, "{failed} and {slow} of {calls}");
        }
        let thirds = BreakerConfig::new().failure_rate_threshold(100.0);
        assert!(thirds.exceeded(Totals { calls: 3, failed: 3, slow: 0 }));
    }

    #[test]
    fn a_call_is_slow_only_above_the_threshold() {
        let config = BreakerConfig::new();
        assert_eq!((config.is_slow(60 * S), config.is_slow(60 * S + Duration::from_nanos(1))), (false, true));
    }

    #[test]
    fn waits_double_to_the_longest_and_jitter_only_shortens_them() {
        let config = BreakerConfig::new();
        let waits = |chance| [0, 1, 2, 3, u32::MAX].map(|earlier| config.wait_in_open(earlier, chance).as_secs());
        assert_eq!(waits(0.0), [60, 120, 240, 300, 300]);
        assert_eq!(waits(0.5), [54, 108, 216, 270, 270]);
        assert_eq!(waits(1.0), [48, 96, 192, 240, 240]);
        let even = config.max_wait_duration_in_open_state(Duration::ZERO).wait_jitter(0.0);
        assert_eq!([0, 1, 9].map(|earlier| even.wait_in_open(earlier, 0.7)), [60 * S; 3]);
    }
}
