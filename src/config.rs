//! Typed configuration.

/// How many replicas must have a record before it counts as written (`acks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acks {
    /// `0`: none.
    None,
    /// `1`: the leader.
    Leader,
    /// `all`: every replica in sync.
    All,
}

/// Builds a producer.
#[derive(Clone, Debug)]
pub struct ProducerBuilder {}
