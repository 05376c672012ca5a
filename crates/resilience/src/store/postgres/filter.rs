//! Filters as conditions.
//!
//! In: a filter. Out: the values of one condition, which is always the same text. Pure.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::store::{Filter, lease::after};

/// What a filter lets through, in the buckets `$1`, from the row `$2` to before `$3`.
pub(super) const CONDITION: &str = "bucket = ANY($1) AND seq >= $2 AND seq < $3 \
     AND ($4::text[] IS NULL OR status = ANY($4)) AND ($5::text IS NULL OR topic = $5) \
     AND ($6::bytea IS NULL OR event_key = $6) AND ($7::uuid IS NULL OR event_id = $7) \
     AND ($8::bigint IS NULL OR created_at <= $8)";

/// The values of [`CONDITION`].
#[derive(Debug, PartialEq)]
pub(super) struct Condition<'f> {
    buckets: Vec<i16>,
    first: i64,
    end: i64,
    statuses: Option<Vec<&'static str>>,
    topic: Option<&'f str>,
    key: Option<&'f [u8]>,
    event_id: Option<Uuid>,
    until: Option<i64>,
}

impl<'f> Condition<'f> {
    pub(super) fn new(filter: &'f Filter, buckets: u16, (first, end): (i64, i64), now: i64) -> Self {
        let statuses: Vec<_> = filter.statuses.iter().map(|status| status.as_str()).collect();
        Self {
            buckets: all_buckets(buckets),
            first,
            end,
            statuses: (!statuses.is_empty()).then_some(statuses),
            topic: filter.topic.as_deref(),
            key: filter.key.as_deref(),
            event_id: filter.event_id,
            until: filter.older_than.map(|age| now.saturating_sub(after(0, age))),
        }
    }

    pub(super) fn values(&self) -> [&(dyn ToSql + Sync); 8] {
        [&self.buckets, &self.first, &self.end, &self.statuses, &self.topic, &self.key, &self.event_id, &self.until]
    }
}

/// The numbers of all buckets.
pub(super) fn all_buckets(buckets: u16) -> Vec<i16> {
    (0..buckets).filter_map(|bucket| i16::try_from(bucket).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::Status;

    #[test]
    fn a_filter_is_values_apart_from_the_condition() {
        let everything = Filter::new();
        let all = Condition::new(&everything, 2, (1, 9), 0);
        let none = Condition { statuses: None, topic: None, key: None, event_id: None, until: None, ..all };
        assert_eq!(Condition::new(&everything, 2, (1, 9), 0), none);
        let filter = Filter::new()
            .status(Status::Retrying)
            .status(Status::DeadLettered)
            .topic("o'")
            .key([1])
            .event_id(Uuid::nil())
            .older_than(Duration::from_secs(1));
        let expected = Condition {
            buckets: vec![0, 1],
            first: 1,
            end: 9,
            statuses: Some(vec!["RETRYING", "DLQ"]),
            topic: Some("o'"),
            key: Some(&[1]),
            event_id: Some(Uuid::nil()),
            until: Some(4_000),
        };
        assert_eq!(Condition::new(&filter, 2, (1, 9), 5_000), expected);
    }
}
