//! Who may have which buckets.
//!
//! In: the leases of all buckets, and who else wants some. Out: those that one may acquire. Pure.

use std::collections::HashSet;

use crate::store::lease::lasts;

/// The lease of one bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) bucket: i16,
    pub(super) owner: Option<String>,
    pub(super) token: i64,
    pub(super) renewed_at: i64,
    pub(super) lease_until: i64,
}

impl Held {
    fn is_taken(&self, now: i64) -> bool {
        self.token != 0 && lasts(now, self.renewed_at, self.lease_until)
    }
}

/// How many buckets `owner` may have, if these others want some too: all of them have the same share, rounded up.
pub(super) fn share(held: &[Held], wanting: &[String], owner: &str, now: i64) -> usize {
    let having = held.iter().filter(|held| held.is_taken(now)).filter_map(|held| held.owner.as_deref());
    let owners: HashSet<&str> = having.chain(wanting.iter().map(String::as_str)).chain([owner]).collect();
    held.len().div_ceil(owners.len())
}

/// The leases that `owner` may take over, at most `want`, and no more than its share.
pub(super) fn free<'h>(held: &'h [Held], wanting: &[String], (owner, want): (&str, u16), now: i64) -> Vec<&'h Held> {
    let mine = held.iter().filter(|held| held.is_taken(now) && held.owner.as_deref() == Some(owner)).count();
    let most = share(held, wanting, owner, now).saturating_sub(mine).min(usize::from(want));
    held.iter().filter(|held| !held.is_taken(now)).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    /// One letter for each bucket: who has it; small letters have expired.
    fn held(buckets: &str) -> Vec<Held> {
        let lease = |(bucket, letter): (i16, char)| {
            let lease_until = if letter.is_lowercase() { NOW } else { NOW + 1 };
            let (owner, token) = (Some(letter.to_ascii_uppercase().to_string()), 1);
            match letter {
                '-' => Held { bucket, ..Held::default() },
                _ => Held { bucket, owner, token, renewed_at: NOW - 10, lease_until },
            }
        };
        (0..).zip(buckets.chars()).map(lease).collect()
    }

    #[test]
    fn nobody_gets_more_than_a_fair_share_of_the_buckets() {
        let cases = [
            ("alone, all", "----", "", 9, "0 1 2 3"),
            ("alone, as many as wanted", "----", "", 2, "0 1"),
            ("alone, wanting none", "----", "", 0, ""),
            ("beside one who waits, half", "----", "B", 9, "0 1"),
            ("beside one who has some, half", "BB--", "", 9, "2 3"),
            ("what is free, if that is less", "BBB-", "A", 9, "3"),
            ("with half already, no more", "AA--", "B", 9, ""),
            ("with more than a share, no more", "AAA-", "B", 9, ""),
            ("beside one whose leases expired, all", "bbbb", "", 9, "0 1 2 3"),
            ("of three, a third rounded up", "----", "BC", 9, "0 1"),
            ("more of its own", "A---", "", 2, "1 2"),
        ];
        for (name, buckets, wanting, want, expected) in cases {
            let (held, wanting) = (held(buckets), wanting.chars().map(String::from).collect::<Vec<_>>());
            let found = free(&held, &wanting, ("A", want), NOW);
            let found: Vec<String> = found.iter().map(|held| held.bucket.to_string()).collect();
            assert_eq!(found.join(" "), expected, "{name}");
        }
    }

    #[test]
    fn a_lease_set_in_the_future_by_a_clock_that_went_back_is_free() {
        let mut held = held("BB");
        held[0].renewed_at = NOW + 3_600_000;
        held[0].lease_until = NOW + 3_630_000;
        assert_eq!(free(&held, &[], ("A", 9), NOW).len(), 1);
    }
}
