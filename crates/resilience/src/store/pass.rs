//! What the publishers of one store have to know of each other: who publishes without asking, and which slots have events.
//!
//! In and out: plain values. Pure. What they are for is told in [`store`](super).

use std::{collections::BTreeSet, time::Duration};

use super::Seq;

/// The right to publish events directly without asking the store. Later ones have higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pass(
    /// The number, from 1.
    pub i64,
);

/// How long a pass is used, by the clock of the publisher that has it, from the moment at which it asked for it. Whoever waits for its end waits
/// as long, from a later moment. So no two clocks are compared.
pub const PASS_LASTS: Duration = Duration::from_secs(1);

/// The slots of a bucket that have unsettled events behind some place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// The bucket.
    pub bucket: u16,
    /// Its slots.
    pub slots: BTreeSet<u16>,
    /// How many events were read.
    pub events: u64,
    /// The last of them; the place itself if there are none.
    pub last: Seq,
    /// Whether there are certainly no more behind them: fewer were read than the limit. Otherwise some slots may be missing.
    pub is_end: bool,
}

impl Busy {
    /// Nothing behind this place.
    #[must_use]
    pub fn none(bucket: u16, after: Seq) -> Self {
        Self { bucket, last: after, is_end: true, ..Self::default() }
    }

    /// Takes the next event, and says whether it takes another one. It takes at most `limit`.
    pub(crate) fn push(&mut self, seq: Seq, slot: u16, limit: u64) -> bool {
        self.events += 1;
        self.last = seq;
        self.slots.insert(slot);
        self.is_end = self.events < limit;
        self.is_end
    }
}
