//! Record batch v2, the only format that today's brokers store.
//!
//! In: records. Out: bytes, and back. The writer encodes each record once, when it is appended, behind a reserved
//! header. The producer's identity and the checksum are stamped into the header when the batch is first sent. Pure.
//! Deliberately absent: the older message formats, which no supported broker writes.
//!
//! Layout: base offset 8, length 4, leader epoch 4, magic 1, CRC-32C 4, attributes 2, last offset delta 4, base
//! timestamp 8, max timestamp 8, producer id 8, producer epoch 2, base sequence 4, record count 4, then the records.
//! The checksum covers everything from the attributes on.

pub(crate) mod reader;
#[cfg(feature = "broker")]
pub(crate) mod rewrite;
pub(crate) mod split;
pub(crate) mod writer;

/// The length of a batch's header.
pub(crate) const HEADER_LEN: usize = 61;
/// The end of the length field. Its value counts the bytes from here on.
pub(crate) const LENGTH_END: usize = 12;
/// The position of the attributes. Their lowest bits name the codec.
pub(crate) const ATTRIBUTES_AT: usize = 21;
/// The position of the checksum.
pub(crate) const CRC_AT: usize = 17;
/// Where the bytes begin that the checksum covers: right behind it.
pub(crate) const CRC_FROM: usize = 21;
/// The bit of the attributes that says that the base timestamp is the time until which tombstones remain (KIP-534).
#[cfg(feature = "broker")]
pub(crate) const DELETE_HORIZON: i16 = 0b100_0000;
