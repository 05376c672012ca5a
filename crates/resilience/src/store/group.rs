//! How many calls share one transaction, and so one sync.
//!
//! In: what each call weighs. Out: whether it still fits. Pure.

/// What a call writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) rows: usize,
    pub(crate) bytes: u64,
}

/// The most that one transaction writes. More would make it last longer and gain nothing: at a thousand rows, a sync is a
/// small part of it. The bytes bound the log.
pub(crate) const LIMITS: Weight = Weight { rows: 2_000, bytes: 4 << 20 };

/// A transaction that fills.
#[derive(Debug)]
pub(crate) struct Group {
    limits: Weight,
    weight: Weight,
    calls: usize,
}

impl Group {
    pub(crate) fn new(limits: Weight) -> Self {
        Self { limits, weight: Weight::default(), calls: 0 }
    }

    /// Takes a call if it fits, and says so. The first always does.
    pub(crate) fn takes(&mut self, call: Weight) -> bool {
        let rows = self.weight.rows.saturating_add(call.rows);
        let bytes = self.weight.bytes.saturating_add(call.bytes);
        let fits = self.calls == 0 || (rows <= self.limits.rows && bytes <= self.limits.bytes);
        if fits {
            self.weight = Weight { rows, bytes };
            self.calls += 1;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_takes_calls_until_one_limit_is_reached() {
        let limits = Weight { rows: 3, bytes: 100 };
        let cases: [(&[(usize, u64)], usize); 6] = [
            (&[(1, 10), (1, 10), (1, 10), (1, 10)], 3),
            (&[(1, 60), (1, 40), (1, 1)], 2),
            (&[(1, 60), (1, 41), (1, 1)], 1),
            (&[(9, 999), (1, 1)], 1),
            (&[(2, 10), (2, 10)], 1),
            (&[(0, 0), (3, 100), (0, 0), (1, 0)], 3),
        ];
        for (calls, expected) in cases {
            let mut group = Group::new(limits);
            let taken = calls.iter().take_while(|(rows, bytes)| group.takes(Weight { rows: *rows, bytes: *bytes }));
            assert_eq!(taken.count(), expected, "{calls:?}");
        }
    }
}
