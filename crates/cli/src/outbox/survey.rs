//! Counts what a change would be made to, before it is made.
//!
//! In: a store and a filter. Out: how many events of which status, and the first and the last. Awaits the store; prints events if it
//! is told to.

use std::fmt;

use milena_resilience::store::{Filter, Seq, Status, Store, StoredEvent};

use super::{event::Rows, pages::Pages};
use crate::{exit::CliError, output::count};

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    by_status: [u64; Status::ALL.len()],
    first: Seq,
    last: Seq,
}

impl Survey {
    /// Reads the events that a filter lets through, at most `limit`.
    pub(super) async fn of(
        store: &dyn Store,
        filter: &Filter,
        limit: Option<u64>,
        mut rows: Option<Rows>,
    ) -> Result<Self, CliError> {
        let (mut found, mut pages) = (Self::default(), Pages::new(store, filter.clone(), Seq::START, limit));
        while let Some(page) = pages.next().await? {
            for event in &page {
                found.add(event);
                if rows.as_mut().is_some_and(|rows| rows.print(event).is_break()) {
                    rows = None;
                }
            }
        }
        rows.iter_mut().for_each(Rows::flush);
        Ok(found)
    }

    fn add(&mut self, event: &StoredEvent) {
        if self.total() == 0 {
            self.first = event.seq;
        }
        self.last = event.seq;
        for (status, number) in Status::ALL.iter().zip(&mut self.by_status) {
            *number += u64::from(*status == event.status);
        }
    }

    /// How many events there are.
    pub(super) fn total(&self) -> u64 {
        self.by_status.iter().sum()
    }

    /// How many of them have reached no topic.
    pub(super) fn unpublished(&self) -> u64 {
        self.counts().filter(|(status, _)| !status.is_settled()).map(|(_, number)| number).sum()
    }

    /// The first and the last event.
    pub(super) fn range(&self) -> (Seq, Seq) {
        (self.first, self.last)
    }

    fn counts(&self) -> impl Iterator<Item = (Status, u64)> {
        Status::ALL.into_iter().zip(self.by_status).filter(|(_, number)| *number > 0)
    }
}

impl fmt::Display for Survey {
    /// `3 events (2 RETRYING, 1 DLQ_FAILED), seq 4 to 9`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        f.write_str(&count(total, "event"))?;
        if total == 0 {
            return Ok(());
        }
        let parts: Vec<_> = self.counts().map(|(status, number)| format!("{number} {status}")).collect();
        write!(f, " ({}), seq {} to {}", parts.join(", "), self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use milena_resilience::{
        event::EventId,
        store::{MemoryStore, NewEvent},
    };

    use super::*;

    #[tokio::test]
    async fn events_are_counted_by_status_with_the_first_and_the_last() {
        let store = MemoryStore::new();
        let event = |topic: &str| NewEvent::new(EventId::new(), topic, "v");
        store.insert(vec![event("a"), event("b"), event("b"), event("b")]).await.unwrap();
        let found = Survey::of(&store, &Filter::new().topic("b"), Some(2), None).await.unwrap();
        assert_eq!(found.to_string(), "2 events (2 PENDING), seq 2 to 3");
        assert_eq!((found.total(), found.unpublished(), found.range()), (2, 2, (Seq(2), Seq(3))));
        let none = Survey::of(&store, &Filter::new().topic("c"), None, None).await.unwrap();
        assert_eq!((none.to_string().as_str(), none.total()), ("0 events", 0));
    }
}
