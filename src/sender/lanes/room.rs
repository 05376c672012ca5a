//! How large a batch a partition takes, as far as its leader's responses tell.
//!
//! In: batches that were accepted or found too large, by their length. Out: the length above which it is not worth sending one.
//! Pure. `max.message.bytes` is the topic's, and asking for it takes a right that few producers have, so it is learned:
//! twice as much as the result would be refused, or is the least that was. Deliberately absent: splitting.

use std::time::{Duration, Instant};

/// What is known. All lengths are those on the wire, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    /// The longest batch that was accepted.
    fits: usize,
    /// The shortest one that was not, and when.
    refused: Option<(usize, Instant)>,
}

impl Room {
    /// Whether any batch was too large.
    pub(super) fn is_known(&self) -> bool {
        self.refused.is_some()
    }

    /// A batch was accepted.
    pub(super) fn accepted(&mut self, len: usize) {
        self.fits = self.fits.max(len);
        self.refused = self.refused.filter(|(refused, _)| *refused > len);
    }

    /// A batch was too large.
    pub(super) fn refused(&mut self, len: usize, now: Instant) {
        // What was accepted before was accepted under another limit.
        self.fits = if self.fits < len { self.fits } else { 0 };
        let least = self.refused.map_or(len, |(refused, _)| refused.min(len));
        self.refused = Some((least, now));
    }

    /// The largest batch that is worth sending, if any was refused in the last `memory`: the topic may take more by now.
    pub(super) fn limit(&self, now: Instant, memory: Duration) -> Option<usize> {
        let (refused, _) = self.refused.filter(|(_, at)| now.saturating_duration_since(*at) < memory)?;
        Some(self.fits.max(refused / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(300);

    #[test]
    fn the_limit_is_halved_until_something_fits_and_then_lies_between_what_fits_and_what_does_not() {
        let (mut room, now) = (Room::default(), Instant::now());
        assert_eq!(room.limit(now, MEMORY), None);
        for (refused, limit) in [(1_000, 500), (500, 250), (700, 250), (250, 125)] {
            room.refused(refused, now);
            assert_eq!(room.limit(now, MEMORY), Some(limit), "{refused}");
        }
        for (accepted, limit) in [(120, 125), (180, 180), (150, 180)] {
            room.accepted(accepted);
            assert_eq!(room.limit(now, MEMORY), Some(limit), "{accepted}");
        }
    }

    #[test]
    fn a_limit_that_was_changed_is_learned_anew() {
        let (mut room, now) = (Room::default(), Instant::now());
        room.refused(1_000, now);
        room.accepted(600);
        room.refused(600, now);
        assert_eq!(room.limit(now, MEMORY), Some(300), "it was lowered");
        room.accepted(600);
        assert_eq!(room.limit(now, MEMORY), None, "it was raised");
        room.refused(1_000, now);
        assert_eq!(room.limit(now + MEMORY, MEMORY), None, "it may have been");
    }
}
