//! Bytes on the wire: the only user of the kafka-protocol crate beside the embedded broker.
//!
//! In: what is to be said to a broker, and whatever a broker says. Out: bytes, and plain values of our own. Pure. What
//! comes from a broker is untrusted: nothing here panics over it, or takes more memory than it is long. Deliberately
//! absent: sockets, and any decision.

pub(crate) mod apis;
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
