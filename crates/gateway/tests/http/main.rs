//! A gateway over loopback, before the embedded broker and its faults.
//!
//! - [`sending`]: what a caller is told of each record
//! - [`refusing`]: limits, and requests that are wrong
//! - [`storing`]: what becomes of records that Kafka does not take, with a store
//! - [`ending`]: what happens to connections and records at the end
//! - [`hostile`]: clients that mean harm, or know no better
//! - [`limiting`]: how often a client may send
//! - [`describing`]: the document of OpenAPI and its page, and the live page

mod describing;
mod ending;
mod fencing;
#[path = "../hostile/clients.rs"]
mod hostile;
mod keyed;
mod limiting;
mod refusing;
mod sending;
mod storing;
mod support;
