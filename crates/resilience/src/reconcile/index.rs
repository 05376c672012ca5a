//! The events of a topic that are in the log from a time on.
//!
//! In: records. Out: which ids are there. Pure. It grows by what is new in the log, up to a limit, so that each record is read once however many events
//! are looked for.

use std::{collections::HashSet, str};

use milena::admin::ConsumedRecord;
use uuid::Uuid;

use crate::event::{CE_ID, EVENT_ID};

/// The ids of a topic's events.
#[derive(Debug)]
pub(super) struct Index {
    /// From which time on records were read, in Unix milliseconds.
    pub(super) since: i64,
    /// The next offset of each partition.
    pub(super) next: Vec<i64>,
    ids: HashSet<Uuid>,
    limit: usize,
}

impl Index {
    pub(super) fn new(since: i64, limit: usize) -> Self {
        Self { since, next: Vec::new(), ids: HashSet::new(), limit }
    }

    /// Takes the next record of its partition. Returns false if there is no room for its id.
    pub(super) fn take(&mut self, record: &ConsumedRecord) -> bool {
        if let Some(id) = id_of(record) {
            if self.is_full() {
                return false;
            }
            self.ids.insert(id);
        }
        if let Some(next) = usize::try_from(record.partition).ok().and_then(|partition| self.next.get_mut(partition)) {
            *next = record.offset.saturating_add(1);
        }
        true
    }

    pub(super) fn is_full(&self) -> bool {
        self.ids.len() >= self.limit
    }

    pub(super) fn contains(&self, id: &Uuid) -> bool {
        self.ids.contains(id)
    }
}

/// The id of the event in a record, if it has one.
fn id_of(record: &ConsumedRecord) -> Option<Uuid> {
    let (_, value) = record.headers.iter().find(|(name, _)| name == EVENT_ID || name == CE_ID)?;
    str::from_utf8(value.as_ref()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use milena::admin::TimestampType;

    use super::*;

    fn record(partition: i32, offset: i64, header: Option<(&str, &str)>) -> ConsumedRecord {
        let headers = header.map(|(name, value)| (name.to_owned(), Some(value.to_owned().into())));
        ConsumedRecord {
            partition,
            offset,
            timestamp: 0,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            value: None,
            headers: headers.into_iter().collect(),
        }
    }

    #[test]
    fn an_event_is_found_by_the_header_with_its_id() {
        let (first, second, third) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let mut index = Index::new(0, 10);
        index.next = vec![0, 7];
        assert!(index.take(&record(0, 4, Some(("eventId", &first.to_string())))));
        assert!(index.take(&record(1, 9, Some(("ce_id", &second.to_string())))));
        assert!(index.take(&record(1, 10, Some(("other", &third.to_string())))));
        assert!(index.take(&record(1, 11, Some(("eventId", "no id")))) && index.take(&record(1, 12, None)));
        assert!(index.take(&record(-1, 0, None)) && index.take(&record(2, 0, None)), "a lie is no panic");
        assert_eq!([first, second, third].map(|id| index.contains(&id)), [true, true, false]);
        assert_eq!(index.next, [5, 13]);
    }

    #[test]
    fn it_takes_no_more_ids_than_its_limit() {
        let mut index = Index::new(0, 1);
        index.next = vec![0];
        assert!(index.take(&record(0, 0, Some(("eventId", &Uuid::now_v7().to_string())))));
        assert!(!index.take(&record(0, 1, Some(("eventId", &Uuid::now_v7().to_string())))));
        assert!(index.take(&record(0, 1, None)), "a record without an id needs no room");
    }
}
