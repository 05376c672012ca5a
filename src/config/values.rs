//! Types of settings.
//!
//! In: nothing. Out: types of the public API. Pure. Their notation in Java is in [`super::table`].

/// How many replicas must have a record before it counts as written (`acks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acks {
    /// `0`: none. The broker sends no response, so an acknowledgement only means that the socket took the record.
    None,
    /// `1`: the leader. The record is lost if the leader fails before a follower has fetched it.
    Leader,
    /// `all`, also `-1`: every replica in sync. The topic's `min.insync.replicas` is how many there must be.
    All,
}

/// How batches are compressed (`compression.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// `none`: no compression.
    #[default]
    None,
    /// `gzip`: small and slow. Its levels are set by [`crate::ProducerBuilder::compression_gzip_level`].
    Gzip,
    /// `snappy`: fast, in the framing that Java's client uses.
    Snappy,
    /// `lz4`: the fastest, and mostly a little smaller than `snappy`. It has no levels here.
    Lz4,
    /// `zstd`: small for its speed. It needs the feature `zstd`, which compiles C; without it, building the producer fails. Its
    /// levels are set by [`crate::ProducerBuilder::compression_zstd_level`].
    Zstd,
}
