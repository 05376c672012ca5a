//! Leases: who may send and settle, and until when.
//!
//! In: the store's clock, in Unix milliseconds. Out: whether a time that was set is still to be waited for. Pure. A lease is
//! known by its token alone: names and times do not fence.

use std::time::Duration;

use super::Seq;

/// The number of one lease. Each lease has its own, so that an old one is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(
    /// The number, from 1.
    pub i64,
);

/// The right to send and settle the events of some buckets. It is valid until somebody else acquires it, which nobody
/// can before it has expired or was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who has it, for people.
    pub owner: String,
    /// What names it in every call.
    pub token: Token,
    /// The buckets that it is for.
    pub buckets: Vec<u16>,
    /// Events up to this one have been marked as sent by [`Store::sending`](super::Store::sending), by this lease or an
    /// earlier one.
    pub sent_up_to: Seq,
}

/// How far a clock may be set back without being noticed, in milliseconds: small corrections are no jump.
const SLACK_MS: i64 = 1_000;

/// Does a wait that was set at `since` and ends at `until` still last? At `until` it is over. It is over as well if the
/// clock was set back behind `since`, because then nobody knows how long it has lasted.
pub(crate) fn lasts(now: i64, since: i64, until: i64) -> bool {
    now < until && now >= since.saturating_sub(SLACK_MS)
}

/// How much longer a wait lasts.
pub(crate) fn remaining(now: i64, since: i64, until: i64) -> Duration {
    let left = if lasts(now, since, until) { until.saturating_sub(now) } else { 0 };
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

/// When a wait that begins now ends.
pub(crate) fn after(now: i64, wait: Duration) -> i64 {
    now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_over_when_its_time_has_come_and_when_the_clock_has_jumped() {
        const HOUR: i64 = 3_600_000;
        let set = 10 * HOUR;
        let until = set + 30_000;
        let cases = [
            ("just set", set, 30_000),
            ("one before", until - 1, 1),
            ("due at the very time", until, 0),
            ("an hour forward", set + HOUR, 0),
            ("a correction back by half a second", set - 500, 30_500),
            ("a correction back by a second", set - 1_000, 31_000),
            ("an hour back", set - HOUR, 0),
            ("before 1970", -1, 0),
        ];
        for (name, now, left) in cases {
            assert_eq!(remaining(now, set, until), Duration::from_millis(left), "{name}");
            assert_eq!(lasts(now, set, until), left > 0, "{name}");
        }
    }

    #[test]
    fn a_wait_without_end_does_not_overflow() {
        assert_eq!(after(5, Duration::MAX), i64::MAX);
        assert!(lasts(i64::MAX - 1, i64::MIN, i64::MAX));
    }
}
