//! `Idempotency-Key`: the same request twice is carried out once.
//!
//! In: keys, fingerprints of what was asked, answers, and the time, which is an argument. Out: whether a request is to be carried out, or
//! what is answered in its place. Pure. Keys are kept for a time and bounded in number; one that is not over yet makes no room for another.
//! Deliberately absent: anything that survives the process, which is in
//! [`crate::once`]. Source: the IETF's draft `idempotency-key-header`.
//!
//! What certainly was not written is forgotten, so that the caller may try again with the same key. What may have been written is not:
//! the same answer comes again, and the record is not sent twice.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest, Sha256};

/// What a request asks for, as a hash (SHA-256).
pub(crate) type Fingerprint = [u8; 32];

/// The hash of what a request asks for, in parts.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in parts {
        // So that no byte can move from one part into the next.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<A> {
    /// The key is new: carry the request out, and then [`Keys::finish`] or [`Keys::forget`] it.
    CarryOut,
    /// It was carried out: this is its answer.
    Answered(A),
    /// It is being carried out.
    Running,
    /// The key belongs to a request that asked for something else.
    Other,
    /// There are too many keys.
    Full,
}

/// The keys that are known, with the answers of their requests.
#[derive(Debug)]
pub(crate) struct Keys<A> {
    known: HashMap<Arc<str>, Entry<A>>,
    /// The same keys by their numbers, the oldest first.
    ages: BTreeMap<u64, Arc<str>>,
    next: u64,
    most: usize,
    max_age: Duration,
}

#[derive(Debug)]
struct Entry<A> {
    fingerprint: Fingerprint,
    number: u64,
    begun: Duration,
    answer: Option<A>,
}

impl<A: Clone> Keys<A> {
    /// Room for `most` keys, each for `max_age`.
    pub(crate) fn new(most: usize, max_age: Duration) -> Self {
        Self { known: HashMap::new(), ages: BTreeMap::new(), next: 0, most, max_age }
    }

    /// Begins a request at this time since a fixed moment.
    pub(crate) fn begin(&mut self, key: &str, fingerprint: &Fingerprint, now: Duration) -> Verdict<A> {
        self.expire(now);
        if let Some(entry) = self.known.get(key) {
            return match &entry.answer {
                _ if entry.fingerprint != *fingerprint => Verdict::Other,
                Some(answer) => Verdict::Answered(answer.clone()),
                None => Verdict::Running,
            };
        }
        if self.known.len() >= self.most {
            return Verdict::Full;
        }
        let (key, number): (Arc<str>, _) = (key.into(), self.next);
        self.next += 1;
        self.ages.insert(number, Arc::clone(&key));
        self.known.insert(key, Entry { fingerprint: *fingerprint, number, begun: now, answer: None });
        Verdict::CarryOut
    }

    /// The answer of a request that was begun.
    pub(crate) fn finish(&mut self, key: &str, answer: A) {
        if let Some(entry) = self.known.get_mut(key) {
            entry.answer = Some(answer);
        }
    }

    /// A request that was begun and certainly changed nothing.
    pub(crate) fn forget(&mut self, key: &str) {
        if let Some(entry) = self.known.remove(key) {
            self.ages.remove(&entry.number);
        }
    }

    fn expire(&mut self, now: Duration) {
        while let Some(oldest) = self.ages.first_entry() {
            let entry = self.known.get(oldest.get());
            // A request that is running is known until it has its answer, and those behind it with it.
            let is_over = |entry: &Entry<A>| entry.answer.is_some() && now.saturating_sub(entry.begun) > self.max_age;
            if !entry.is_none_or(is_over) {
                return;
            }
            self.known.remove(&oldest.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: Duration = Duration::from_secs(7);

    fn keys(most: usize) -> Keys<&'static str> {
        Keys::new(most, DAY)
    }

    #[test]
    fn parts_that_differ_have_another_fingerprint() {
        let of = |parts: &[&str]| fingerprint(parts.iter().map(|part| part.as_bytes()));
        assert_eq!(of(&["a", "bc"]), of(&["a", "bc"]));
        for other in [&["ab", "c"][..], &["a", "bc", ""], &["abc"], &[]] {
            assert_ne!(of(other), of(&["a", "bc"]), "{other:?}");
        }
    }

    #[test]
    fn the_same_request_is_carried_out_once_and_answered_alike() {
        let mut keys = keys(10);
        assert_eq!(keys.begin("a", &[1; 32], NOW), Verdict::CarryOut);
        assert_eq!(keys.begin("a", &[1; 32], NOW), Verdict::Running);
        assert_eq!(keys.begin("a", &[2; 32], NOW), Verdict::Other);
        keys.finish("a", "done");
        assert_eq!(keys.begin("a", &[1; 32], NOW), Verdict::Answered("done"));
        assert_eq!(keys.begin("a", &[2; 32], NOW), Verdict::Other);
        assert_eq!(keys.begin("b", &[2; 32], NOW), Verdict::CarryOut);
    }

    #[test]
    fn what_certainly_changed_nothing_may_be_tried_again() {
        let mut keys = keys(10);
        keys.begin("a", &[1; 32], NOW);
        keys.forget("a");
        assert_eq!(keys.begin("a", &[2; 32], NOW), Verdict::CarryOut);
    }

    #[test]
    fn a_key_is_kept_for_its_time_and_makes_no_room_before() {
        let mut keys = keys(1);
        keys.begin("a", &[1; 32], NOW);
        keys.finish("a", "done");
        assert_eq!(keys.begin("b", &[2; 32], NOW + DAY), Verdict::Full);
        assert_eq!(keys.begin("a", &[1; 32], NOW + DAY), Verdict::Answered("done"));
        let later = NOW + DAY + Duration::from_millis(1);
        assert_eq!(keys.begin("b", &[2; 32], later), Verdict::CarryOut);
        assert_eq!((keys.known.len(), keys.ages.len()), (1, 1));
    }

    #[test]
    fn a_key_whose_request_is_running_is_not_forgotten() {
        let mut keys = keys(2);
        keys.begin("a", &[1; 32], NOW);
        assert_eq!(keys.begin("a", &[1; 32], NOW + 2 * DAY), Verdict::Running);
    }

    #[test]
    fn a_key_that_was_begun_anew_is_as_old_as_its_last_beginning() {
        let mut keys = keys(10);
        keys.begin("a", &[1; 32], NOW);
        keys.forget("a");
        keys.begin("a", &[1; 32], NOW + DAY / 2);
        keys.finish("a", "second");
        assert_eq!(keys.begin("a", &[1; 32], NOW + DAY + DAY / 4), Verdict::Answered("second"));
        assert_eq!(keys.begin("a", &[1; 32], NOW + 2 * DAY), Verdict::CarryOut);
    }
}
