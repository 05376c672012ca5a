//! A broker that lies, and what the producer makes of it: a typed error, the connection closed, bounded memory, no panic, no
//! spin, and every record resolved truthfully. When the broker tells the truth again, the same producer delivers.
//!
//! - [`bytes`]: what needs no understanding: lengths, counts, truncation, silence, other protocols
//! - [`versions`]: lies about what the broker speaks
//! - [`cluster`]: lies about brokers, topics and partitions
//! - [`produced`]: lies about what became of records
//! - [`fetched`]: lies about what stands in the log, told to the admin client
//! - [`memory`]: what a claim may cost before it is shown to be one
//!
//! Lies are rows of tables. [`scenario`] is what is done with each, [`liar`] tells them, [`answers`] and [`writing`] put
//! them into bytes.

mod answers;
mod bytes;
mod cluster;
mod fetched;
mod liar;
mod memory;
mod produced;
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
