//! Filters as conditions.
//!
//! In: a filter. Out: the text of a condition, and its values. Pure. Values are never part of the text.

use rusqlite::types::Value;

use crate::store::{Filter, lease::after};

/// A condition on a row whose number is in a range.
#[derive(Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

/// What `filter` lets through, from the row `first` to before `end`.
pub(super) fn condition(filter: &Filter, first: i64, end: i64, now: i64) -> Condition {
    let mut text = "seq >= ? AND seq < ?".to_owned();
    let mut values = vec![Value::from(first), Value::from(end)];
    if !filter.statuses.is_empty() {
        let marks = vec!["?"; filter.statuses.len()].join(", ");
        text += &format!(" AND status IN ({marks})");
        values.extend(filter.statuses.iter().map(|status| Value::from(status.as_str().to_owned())));
    }
    let age = filter.older_than.map(|age| Value::from(now.saturating_sub(after(0, age))));
    let parts = [
        (" AND topic = ?", filter.topic.clone().map(Value::from)),
        (" AND event_key = ?", filter.key.clone().map(Value::from)),
        (" AND event_id = ?", filter.event_id.map(|id| Value::from(id.hyphenated().to_string()))),
        (" AND created_at <= ?", age),
    ];
    for (part, value) in parts {
        if let Some(value) = value {
            text += part;
            values.push(value);
        }
    }
    Condition { text, values }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::store::Status;

    #[test]
    fn a_filter_is_a_condition_with_values_apart() {
        let all = condition(&Filter::new(), 1, 9, 0);
        assert_eq!(all, Condition { text: "seq >= ? AND seq < ?".into(), values: vec![1.into(), 9.into()] });
        let filter = Filter::new()
            .status(Status::Retrying)
            .status(Status::DeadLettered)
            .topic("o'")
            .key([1])
            .event_id(Uuid::nil())
            .older_than(Duration::from_secs(1));
        let found = condition(&filter, 1, 9, 5_000);
        let rest = "status IN (?, ?) AND topic = ? AND event_key = ? AND event_id = ? AND created_at <= ?";
        assert_eq!(found.text, format!("seq >= ? AND seq < ? AND {rest}"));
        let text = |text: &str| Value::from(text.to_owned());
        let id = text("00000000-0000-0000-0000-000000000000");
        let expected = [text("RETRYING"), text("DLQ"), text("o'"), vec![1].into(), id, 4_000.into()];
        assert_eq!(found.values[2..], expected);
    }
}
