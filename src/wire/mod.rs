//! Bytes on the wire: the only user of the kafka-protocol crate beside the embedded broker.
#[cfg(feature = "admin")]
pub(crate) mod admin_requests;
pub(crate) mod errors;
pub(crate) mod frame;
pub(crate) mod record_batch;
pub(crate) mod shape;
pub(crate) mod varint;
