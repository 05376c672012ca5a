//! A broker that lies. The producer must respond with a typed error, close the connection, keep its memory bounded, not
//! panic, not loop, and resolve every record truthfully. When the broker tells the truth again, the same producer must
//! deliver.
//!
//! - [`bytes`]: lengths, counts, truncation, silence, other protocols
//! - [`versions`]: lies about supported versions
//! - [`cluster`]: lies about brokers, topics and partitions
//! - [`produced`]: lies about the outcome of records
//! - [`fetched`]: lies about the content of the log, told to the admin client
//! - [`memory`]: how much memory a claim may take before there are bytes for it
//!
//! Lies are rows of tables. [`scenario`] runs each of them, [`liar`] tells them, [`responses`] and [`writing`] encode
//! them.

mod bytes;
mod cluster;
mod fetched;
mod liar;
mod memory;
mod produced;
mod responses;
mod scenario;
mod versions;
mod writing;

use std::time::Duration;

/// No scenario takes a tenth of this; one that takes longer hangs.
const HANG: Duration = Duration::from_secs(60);

/// Runs a test on a runtime with threads of its own.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be built").block_on(test);
}
