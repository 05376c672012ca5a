//! Order among the records of one entity, such as a customer.
//!
//! In: an entity. Out: its key. Pure.

use std::fmt::Display;

/// The key of an entity: `customer-123`.
///
/// All records with the same key go to the same partition, in the order in which they are sent, and consumers get them in that order. There is no
/// order between different keys, and the partition of a key changes when the topic gets more partitions. A
/// [`KeyWatch`](super::KeyWatch) warns where keys are ids of records in place of entities.
///
/// ```
/// use milena::{Record, patterns::entity_key};
///
/// let key = entity_key("customer", 123);
/// let record = Record::to("orders").key(&key).value("placed");
/// assert_eq!(record.key_bytes(), Some(&b"customer-123"[..]));
/// ```
#[must_use]
pub fn entity_key(kind: &str, id: impl Display) -> String {
    format!("{kind}-{id}")
}
