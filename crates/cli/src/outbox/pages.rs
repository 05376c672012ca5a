//! Reads a store in pages, however many events there are.
//!
//! In: a store and a filter. Out: events, a page at a time. Awaits the store.

use milena_resilience::store::{Filter, Seq, Store, StoredEvent};

use crate::exit::CliError;
use crate::store::failed;

/// Events of a page. Their payloads are in memory at once.
pub(super) const PAGE: usize = 100;

/// Pages of the events that a filter lets through.
pub(super) struct Pages<'a> {
    store: &'a dyn Store,
    filter: Filter,
    last: Seq,
    left: Option<u64>,
}

impl<'a> Pages<'a> {
    /// Those behind `after`, at most `limit`.
    pub(super) fn new(store: &'a dyn Store, filter: Filter, after: Seq, limit: Option<u64>) -> Self {
        Self { store, filter, last: after, left: limit }
    }

    /// The next page; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<StoredEvent>>, CliError> {
        self.next_of(PAGE).await
    }

    /// The next page of at most so many events.
    pub(super) async fn next_of(&mut self, most: usize) -> Result<Option<Vec<StoredEvent>>, CliError> {
        let left = self.left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        let limit = left.min(most);
        if limit == 0 {
            return Ok(None);
        }
        let page = self.store.list(self.filter.clone(), self.last, limit).await.map_err(failed)?;
        let Some(event) = page.last() else { return Ok(None) };
        self.last = event.seq;
        self.left = self.left.map(|left| left.saturating_sub(page.len() as u64));
        Ok(Some(page))
    }

    /// The last event that was read; where it began, if none was.
    pub(super) fn last(&self) -> Seq {
        self.last
    }

    /// Whether the limit was reached.
    pub(super) fn is_full(&self) -> bool {
        self.left == Some(0)
    }
}
