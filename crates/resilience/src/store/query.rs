//! What a store is asked, and what it tells.
//!
//! In and out: plain values. Pure.

use std::time::Duration;

use uuid::Uuid;

use super::{SLOTS, Seq, Status, StoredEvent};

/// How much a store takes. Inserts are refused when it is used up; settling goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Rows, settled ones too. Default 10 million.
    pub max_rows: u64,
    /// Bytes, as [`NewEvent::cost`](super::NewEvent::cost) counts them; the file is somewhat larger. Default 4 GiB.
    pub max_bytes: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { max_rows: 10_000_000, max_bytes: 4 << 30 }
    }
}

/// How much is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Rows. Default 1,000; at least one is read.
    pub rows: usize,
    /// Bytes, as [`NewEvent::cost`](super::NewEvent::cost) counts them. Default 1 MiB; one row is read even if it is
    /// larger.
    pub bytes: u64,
}

impl Default for PageLimits {
    fn default() -> Self {
        Self { rows: 1_000, bytes: 1 << 20 }
    }
}

/// Fills a page.
#[derive(Debug)]
pub(crate) struct PageBuilder {
    limits: PageLimits,
    bytes: u64,
    page: Page,
}

impl PageBuilder {
    pub(crate) fn new(limits: PageLimits) -> Self {
        Self { limits, bytes: 0, page: Page { events: Vec::new(), is_end: true } }
    }

    /// Takes the next event if there is room, and says so.
    pub(crate) fn push(&mut self, event: StoredEvent) -> bool {
        self.bytes = self.bytes.saturating_add(event.bytes);
        let taken = self.page.events.len();
        let fits = taken == 0 || (taken < self.limits.rows && self.bytes <= self.limits.bytes);
        if fits {
            self.page.events.push(event);
        }
        self.page.is_end = fits;
        fits
    }

    pub(crate) fn end(self) -> Page {
        self.page
    }
}

/// Unsettled events, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Whether there were no more behind them.
    pub is_end: bool,
}

impl Page {
    /// Where the next page begins; [`Seq::START`] if this one is empty.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.events.last().map_or(Seq::START, |event| event.seq)
    }
}

/// How many unsettled events each slot has.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotCounts(Vec<u32>);

impl SlotCounts {
    pub(crate) fn new() -> Self {
        Self(vec![0; SLOTS])
    }

    pub(crate) fn add(&mut self, slot: u16) {
        if let Some(count) = self.0.get_mut(usize::from(slot)) {
            *count = count.saturating_add(1);
        }
    }

    /// Of one slot.
    #[must_use]
    pub fn of(&self, slot: u16) -> u32 {
        self.0.get(usize::from(slot)).copied().unwrap_or(0)
    }

    /// Of all slots, by slot.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        &self.0
    }
}

impl std::fmt::Debug for SlotCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let used = self.0.iter().enumerate().filter(|(_, count)| **count > 0);
        f.debug_map().entries(used).finish()
    }
}

/// The counts of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Events that are pending.
    pub pending: u64,
    /// Events that wait for another attempt.
    pub retrying: u64,
    /// Events that wait for an operator.
    pub dlq_failed: u64,
    /// Events that were published, since the store was created.
    pub resolved: u64,
    /// Events that were put into a dead-letter topic, since the store was created.
    pub dlq: u64,
    /// Events that an operator removed before they were settled, since the store was created.
    pub purged: u64,
    /// Rows, settled ones too.
    pub rows: u64,
    /// Bytes of these rows, as [`NewEvent::cost`](super::NewEvent::cost) counts them.
    pub bytes: u64,
    /// How long ago the first unsettled event was stored.
    pub oldest: Option<Duration>,
}

impl StoreStats {
    /// Events that the relay still has to publish.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.pending + self.retrying
    }
}

/// Which events an operator means. All conditions must hold; one without any lets everything through.
///
/// ```
/// use milena_resilience::store::{Filter, Status};
///
/// let filter = Filter::new().status(Status::DeadLetterFailed).topic("orders");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub(crate) statuses: Vec<Status>,
    pub(crate) topic: Option<String>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) event_id: Option<Uuid>,
    pub(crate) older_than: Option<Duration>,
    /// Only what is behind this one.
    pub(crate) after: Seq,
    /// The last one, if there is a limit.
    pub(crate) up_to: Option<Seq>,
}

impl Filter {
    /// Lets everything through.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only events with this status, or one that was named before.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.statuses.push(status);
        self
    }

    /// Only events of this topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Only events with this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Only the event with this id.
    #[must_use]
    pub fn event_id(mut self, id: impl Into<Uuid>) -> Self {
        self.event_id = Some(id.into());
        self
    }

    /// Only events that were stored at least this long ago, by the store's clock.
    #[must_use]
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Only events from `first` to `last`, both included. Rows outside are not even read.
    #[must_use]
    pub fn between(mut self, first: Seq, last: Seq) -> Self {
        (self.after, self.up_to) = (Seq(first.0.saturating_sub(1)), Some(last));
        self
    }

    /// Where a step ends that begins with the row `first` and covers `span` numbers; `None` if all of it is behind the last one.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn end_of_step(&self, first: i64, span: i64) -> Option<i64> {
        let last = self.up_to.map_or(i64::MAX, |last| last.0);
        (first <= last).then(|| first.saturating_add(span).min(last.saturating_add(1)))
    }
}

#[cfg(all(test, any(feature = "postgres", feature = "sqlite")))]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_at_the_last_event_of_the_filter() {
        let filter = Filter::new().between(Seq(5), Seq(12));
        for (first, expected) in [(5, Some(10)), (7, Some(12)), (8, Some(13)), (12, Some(13)), (13, None)] {
            assert_eq!(filter.end_of_step(first, 5), expected, "{first}");
        }
        assert_eq!(Filter::new().end_of_step(7, 5), Some(12));
        assert_eq!(Filter::new().end_of_step(i64::MAX, 5), Some(i64::MAX), "a row of this number cannot be");
        assert_eq!(Filter::new().between(Seq(i64::MIN), Seq(1)).after, Seq(i64::MIN));
    }
}
