//! A hostile broker, which sends false responses. The producer must return a typed error, close the connection, keep its memory
//! bounded, not panic, not loop, and complete every record with its true outcome. When the responses are correct again, the same
//! producer must deliver.
//!
//! - [`bytes`]: lengths, counts, truncation, silence, other protocols
//! - [`versions`]: false supported versions
//! - [`cluster`]: false brokers, topics and partitions
//! - [`produced`]: false outcomes of records
//! - [`fetched`]: false content of the log, for the admin client
//! - [`memory`]: how much memory a frame may reserve before its bytes arrive
//!
//! Each false response is a row of a table. [`scenario`] runs the rows, [`proxy`] sends the responses, [`responses`] and
//! [`writing`] encode them.

mod bytes;
mod cluster;
mod fetched;
mod memory;
mod produced;
mod proxy;
mod responses;
mod scenario;
mod versions;
mod writing;

use std::time::Duration;

/// A scenario that takes longer than this hangs; none takes a tenth of it.
const HANG: Duration = Duration::from_secs(60);

/// Runs a test on a separate multi-threaded runtime.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be built").block_on(test);
}
