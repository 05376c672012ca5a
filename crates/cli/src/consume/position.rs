//! The position in a partition.
//!
//! In: offsets. Out: the same as one value. Pure.

/// How far a partition has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) partition: i32,
    pub(super) next: i64,
    /// Where it ended when the command started.
    pub(super) end: i64,
}
