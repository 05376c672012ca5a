//! When a token is asked for.
//!
//! In: how old it is and how long it is valid, settings, chance. Out: a time to wait. Pure. Source: `ExpiringCredentialRefreshingLogin` and `Retry` of
//! Apache Kafka 4.2. Java waits ten seconds after a failure to refresh. Here the pause grows, and is a second at most while there is no valid token,
//! so that a producer goes on soon after its source does.

use std::time::Duration;

use crate::config::tokens::Refresh;

/// No source is asked more often.
const LEAST: Duration = Duration::from_millis(10);
/// However short tokens are, a valid one is not replaced more often.
const LEAST_LIFE: Duration = Duration::from_millis(500);
/// The longest pause while there is no valid token.
const IMPATIENT: Duration = Duration::from_millis(800);

/// After what time a token is replaced that has been valid for `age` and will be for `left`. `luck` is from 0 to 1.
pub(crate) fn refresh_after(plan: &Refresh, age: Duration, left: Duration, luck: f64) -> Duration {
    let part = (plan.factor + plan.jitter * luck).clamp(0.0, 1.0);
    let after = if plan.min_period + plan.buffer > left {
        left.mul_f64(part)
    } else {
        let proposed = (age.saturating_add(left)).mul_f64(part).saturating_sub(age);
        let latest = left.saturating_sub(plan.buffer);
        if proposed > latest { latest } else { proposed.max(plan.min_period) }
    };
    after.max(LEAST_LIFE)
}

/// How long to wait after so many failures in a row. `left` is how long the last token is still valid.
pub(crate) fn pause(failures: u32, (first, longest): (Duration, Duration), left: Duration, luck: f64) -> Duration {
    let doubled = 2_u32.checked_pow(failures.saturating_sub(1)).and_then(|factor| first.checked_mul(factor));
    let pause = doubled.unwrap_or(longest).min(longest).mul_f64(0.8 + 0.4 * luck.clamp(0.0, 1.0));
    let most = if left.is_zero() { IMPATIENT } else { left.max(first) };
    pause.min(most).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_token_is_replaced_when_java_replaces_it() {
        let plan = |factor, jitter, min, buffer| Refresh { factor, jitter, min_period: S * min, buffer: S * buffer };
        let java = plan(0.8, 0.05, 60, 300);
        for (plan, age, left, luck, expected, why) in [
            (java, 0, 3_600, 0.0, 2_880, "80 % of its life"),
            (java, 0, 3_600, 1.0, 3_060, "85 % at the most"),
            (java, 600, 3_000, 0.0, 2_280, "80 % of its life, of which ten minutes are over"),
            (java, 0, 600, 0.5, 300, "five minutes before its end at the latest"),
            (java, 0, 360, 0.0, 60, "room for both buffers, exactly"),
            (java, 0, 359, 0.0, 287, "too short for both buffers: 80 % of what is left"),
            (java, 3_000, 300, 0.0, 240, "the same for what is nearly over"),
            (java, 3_240, 361, 0.0, 60, "a minute after the last time at the earliest"),
            (plan(1.0, 0.25, 0, 0), 0, 100, 1.0, 100, "never after its end"),
        ] {
            let after = refresh_after(&plan, S * age, S * left, luck);
            assert_eq!(after.as_secs(), expected, "{why}");
        }
        assert_eq!(refresh_after(&java, Duration::ZERO, MS * 9, 0.0), LEAST_LIFE);
        assert_eq!(refresh_after(&java, Duration::ZERO, Duration::ZERO, 0.0), LEAST_LIFE);
    }

    #[test]
    fn pauses_double_and_are_short_while_there_is_no_valid_token() {
        let (backoff, never) = ((MS * 100, S * 10), Duration::ZERO);
        for (failures, left, expected) in [
            (1, never, MS * 100),
            (2, never, MS * 200),
            (3, never, MS * 400),
            (4, never, IMPATIENT),
            (u32::MAX, never, IMPATIENT),
            (5, S * 60, MS * 1_600),
            (8, S * 60, S * 10),
            (u32::MAX, S * 60, S * 10),
            (8, S * 3, S * 3),
            (8, MS, MS * 100),
        ] {
            assert_eq!(pause(failures, backoff, left, 0.5), expected, "{failures} failures, {left:?}");
        }
        assert_eq!((pause(1, backoff, never, 0.0), pause(1, backoff, never, 1.0)), (MS * 80, MS * 120));
        assert_eq!(pause(9, (never, never), S, 0.5), LEAST, "without a backoff it does not spin");
    }
}
