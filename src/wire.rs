//! The wire protocol. Beside the embedded broker, it is the only user of the kafka-protocol crate.
//!
//! In: requests as plain values, and bytes from a broker. Out: bytes, and responses as plain values. Pure. Bytes from a
//! broker are untrusted: no bytes make this module panic, or take more memory than their length. Deliberately absent:
//! sockets, and any decision.

pub(crate) mod apis;
pub(crate) mod authentication;
pub(crate) mod compression;
pub(crate) mod errors;
pub(crate) mod frame;
pub(crate) mod opening;
pub(crate) mod record_batch;
pub(crate) mod shape;
#[cfg(any(test, feature = "bench-internals"))]
pub(crate) mod testing;
pub(crate) mod text;
pub(crate) mod varint;
