//! A gateway over loopback, before the embedded broker and its faults.
//!
//! - [`sending`]: what a caller is told of each record
//! - [`refusing`]: limits, and requests that are wrong
//! - [`storing`]: what becomes of records that Kafka does not take, with a store
//! - [`describing`]: the OpenAPI document and its page
//! - [`ending`]: what happens to connections and records at the end

mod describing;
mod ending;
mod refusing;
mod sending;
mod storing;
mod support;
