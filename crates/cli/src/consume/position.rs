//! The position in a partition.
//!
//! In: offsets. Out: one value of them. Pure.

/// The position in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) partition: i32,
    /// The offset of the next record to read.
    pub(super) next: i64,
    /// The partition's end offset when the command started.
    pub(super) end: i64,
}
