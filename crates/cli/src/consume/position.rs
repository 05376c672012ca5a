//! The position in a partition.
//!
//! In: offsets. Out: one value of them. Pure.

use std::sync::Arc;

/// The position in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// The offset of the next record to read.
    pub(crate) next: i64,
    /// The partition's end offset when the command started.
    pub(crate) end: i64,
}
