//! Bytes on the wire: the only user of the kafka-protocol crate beside the embedded broker.
pub(crate) mod errors;
pub(crate) mod frame;
pub(crate) mod record_batch;
pub(crate) mod shape;
pub(crate) mod varint;
