//! How long to wait before trying again (KIP-580), and where chance comes from.
//!
//! In: how often something failed, and a seeded generator. Out: a delay. Pure. A delay is drawn once for each failure: to
//! draw again whenever one looks would make short delays win.

use std::time::Duration;

/// How long one connection is waited for before another is tried beside it, and one broker's metadata before another broker's are
/// requested as well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Exponential backoff with jitter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// The delay after the first failure.
    pub(crate) initial: Duration,
    /// The largest delay.
    pub(crate) max: Duration,
}

impl Backoff {
    /// The delay after `failures` failures in a row: doubled each time, 20 % more or less, at most `max`.
    pub(crate) fn delay(&self, failures: u32, chance: &mut Chance) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let doubled = self.initial.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
        doubled.min(self.max.saturating_mul(2)).mul_f64(0.8 + 0.4 * chance.unit()).min(self.max)
    }
}

/// A seeded source of chance (splitmix64), so that a run can be repeated.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The same seed gives the same numbers.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, but not including, 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `bound`; 0 if there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const BACKOFF: Backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_millis(1_000) };

    #[test]
    fn delays_double_within_a_fifth_and_stop_at_the_cap() {
        let mut chance = Chance::new(7);
        for (failures, middle) in [(1, 100), (2, 200), (3, 400), (4, 800)] {
            for _ in 0..200 {
                let delay = BACKOFF.delay(failures, &mut chance).as_micros();
                assert!((middle * 800..=(middle * 1_200).min(1_000_000)).contains(&delay), "{failures}: {delay}");
            }
        }
        assert_eq!(BACKOFF.delay(0, &mut chance), Duration::ZERO);
        for failures in [6, 31, 32, 33, u32::MAX] {
            assert_eq!(BACKOFF.delay(failures, &mut chance), BACKOFF.max);
        }
    }

    #[test]
    fn jitter_covers_its_range() {
        let mut chance = Chance::new(7);
        let delays: Vec<_> = (0..200).map(|_| BACKOFF.delay(1, &mut chance).as_millis()).collect();
        assert!(delays.iter().min() < Some(&83) && delays.iter().max() > Some(&117));
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let delays = |seed| (1..9).map(|n| BACKOFF.delay(n, &mut Chance::new(seed))).collect::<Vec<_>>();
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }

    /// The first numbers from this seed as other implementations of splitmix64 tell them.
    #[test]
    fn numbers_are_those_of_splitmix64() {
        let mut chance = Chance::new(1_234_567);
        let numbers = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(numbers.map(|_| chance.next()), numbers);
    }

    #[test]
    fn a_number_below_a_bound_is_each_of_those_and_none_other() {
        let mut chance = Chance::new(7);
        let drawn: BTreeSet<_> = (0..200).map(|_| chance.below(5)).collect();
        assert_eq!(drawn, (0..5).collect());
        assert_eq!(chance.below(0), 0);
    }
}
