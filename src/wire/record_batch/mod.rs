//! Record batch v2, the only format that a broker of today stores.
//!
//! In: records. Out: bytes, and back. The writer encodes each record once, at append, straight behind a reserved header;
//! who it is from and its checksum are stamped in when the batch is first drained. Pure. Deliberately absent: the older
//! message formats, which no supported broker writes.
//!
//! Layout: base offset 8, length 4, leader epoch 4, magic 1, CRC-32C 4, attributes 2, last offset delta 4, base timestamp
//! 8, max timestamp 8, producer id 8, producer epoch 2, base sequence 4, record count 4, then the records. The checksum
//! covers everything from the attributes on.

pub(crate) mod reader;
pub(crate) mod split;
pub(crate) mod writer;

/// Bytes of a batch before its first record.
pub(crate) const HEADER_LEN: usize = 61;
/// Where the length ends that says how many bytes come behind it.
pub(crate) const LENGTH_END: usize = 12;
/// Where the attributes stand, of which the lowest bits name the codec.
pub(crate) const ATTRIBUTES_AT: usize = 21;
/// Where the checksum stands.
pub(crate) const CRC_AT: usize = 17;
/// Where the bytes that the checksum covers begin, right behind it.
pub(crate) const CRC_FROM: usize = 21;
