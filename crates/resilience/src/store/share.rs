//! Who may have which buckets.
//!
//! In: the leases of all buckets, and who else wants some. Out: those that one may acquire. Pure.

use std::{collections::HashSet, time::Duration};

use super::{
    StoreError, StoreErrorKind,
    lease::{after, lasts},
};

/// The lease of one bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) bucket: u16,
    pub(crate) owner: Option<String>,
    pub(crate) token: i64,
    pub(crate) renewed_at: i64,
    pub(crate) lease_until: i64,
}

/// One who asked for more buckets than it got.
#[derive(Clone, Debug)]
pub(crate) struct Wanting {
    pub(crate) owner: String,
    /// Since when it has been asking.
    pub(crate) since: i64,
}

impl Held {
    fn is_taken(&self, now: i64) -> bool {
        self.token != 0 && lasts(now, self.renewed_at, self.lease_until)
    }
}

/// How many buckets `owner` may have, if these others want some too: all of them have the same share, rounded up.
pub(crate) fn share(held: &[Held], wanting: &[Wanting], owner: &str, now: i64) -> usize {
    let having = held.iter().filter(|held| held.is_taken(now)).filter_map(|held| held.owner.as_deref());
    let owners: HashSet<&str> = having.chain(wanting.iter().map(|one| &*one.owner)).chain([owner]).collect();
    held.len().div_ceil(owners.len())
}

/// How many buckets an owner has.
fn count(held: &[Held], owner: &str, now: i64) -> usize {
    held.iter().filter(|held| held.is_taken(now) && held.owner.as_deref() == Some(owner)).count()
}

/// For how many times as long as a lease lasts somebody waits until one with too many buckets has to give some up.
const PATIENCE: u32 = 2;

/// Whether `owner` may renew its lease, which lasts for `lasting`.
///
/// # Errors
/// It has more than its share, and somebody who has less has asked for long.
pub(crate) fn may_renew(
    held: &[Held],
    wanting: &[Wanting],
    (owner, lasting): (&str, Duration),
    now: i64,
) -> Result<(), StoreError> {
    if !must_yield(held, wanting, (owner, after(0, lasting.saturating_mul(PATIENCE))), now) {
        return Ok(());
    }
    let text = format!("{owner} has more than its share of the buckets, and others wait for theirs");
    let hint = "settle what is in flight before the lease ends, and acquire a new one";
    Err(StoreError::new(StoreErrorKind::Fenced, text, hint))
}

/// Whether `owner` must give some up: it has more than its share, and somebody who has less has asked for so long, in milliseconds.
fn must_yield(held: &[Held], wanting: &[Wanting], (owner, patience): (&str, i64), now: i64) -> bool {
    let share = share(held, wanting, owner, now);
    let starves = |one: &Wanting| now.saturating_sub(one.since) >= patience && count(held, &one.owner, now) < share;
    count(held, owner, now) > share && wanting.iter().any(|one| one.owner != owner && starves(one))
}

/// The leases that `owner` may take over, at most `want`, and no more than its share.
pub(crate) fn free<'h>(held: &'h [Held], wanting: &[Wanting], (owner, want): (&str, u16), now: i64) -> Vec<&'h Held> {
    let most = share(held, wanting, owner, now).saturating_sub(count(held, owner, now)).min(usize::from(want));
    held.iter().filter(|held| !held.is_taken(now)).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    /// One letter for each bucket: who has it; small letters have expired.
    fn held(buckets: &str) -> Vec<Held> {
        let lease = |(bucket, letter): (u16, char)| {
            let lease_until = if letter.is_lowercase() { NOW } else { NOW + 1 };
            let (owner, token) = (Some(letter.to_ascii_uppercase().to_string()), 1);
            match letter {
                '-' => Held { bucket, ..Held::default() },
                _ => Held { bucket, owner, token, renewed_at: NOW - 10, lease_until },
            }
        };
        (0..).zip(buckets.chars()).map(lease).collect()
    }

    fn wanting(owners: &str, since: i64) -> Vec<Wanting> {
        owners.chars().map(|owner| Wanting { owner: owner.into(), since }).collect()
    }

    #[test]
    fn one_with_too_many_must_yield_once_another_has_asked_for_long() {
        let cases = [
            ("another waits for long", "AAAA", "B", 60, true),
            ("not for so long yet", "AAAA", "B", 59, false),
            ("nobody waits", "AAAA", "", 60, false),
            ("it has no more than its share", "AA--", "B", 60, false),
            ("the other has its share", "AAABBB", "B", 60, false),
            ("the other has less than its share", "AAAB", "B", 60, true),
            ("a third has too many, not this one", "ACCCC-", "B", 60, false),
            ("its own asking", "AAAA", "A", 60, false),
        ];
        for (name, buckets, others, waited, expected) in cases {
            let found = must_yield(&held(buckets), &wanting(others, NOW - waited), ("A", 60), NOW);
            assert_eq!(found, expected, "{name}");
        }
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
        for (name, buckets, others, want, expected) in cases {
            let held = held(buckets);
            let found = free(&held, &wanting(others, NOW), ("A", want), NOW);
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
