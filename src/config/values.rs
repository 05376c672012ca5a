//! What some settings choose from.
//!
//! In: nothing. Out: types of the public API. Pure. How they are read and written is in [`super::table`].

/// How many replicas must have a record before it counts as written (`acks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acks {
    /// `0`: none. The broker does not answer, so an acknowledgement only says that a socket took the record.
    None,
    /// `1`: the leader. The record is lost if the leader fails before a follower has it.
    Leader,
    /// `all`, also `-1`: every replica in sync, of which `min.insync.replicas` of the topic says how many there must be.
    All,
}

/// How batches are compressed (`compression.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// `none`: not at all.
    #[default]
    None,
    /// `gzip`: small and slow. Levels by [`crate::ProducerBuilder::compression_gzip_level`].
    Gzip,
    /// `snappy`: quick, in the framing that Java's client uses.
    Snappy,
    /// `lz4`: the quickest, and mostly a little smaller than `snappy`. Has no levels here.
    Lz4,
    /// `zstd`: small for its speed. Needs the feature `zstd`, which compiles C: without it, building the producer fails. Levels
    /// by [`crate::ProducerBuilder::compression_zstd_level`].
    Zstd,
}
