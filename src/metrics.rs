//! The metrics of a producer.
//!
//! In: events of the sender, for each batch, request or response, and the time that callers waited. Out: a [`Metrics`] snapshot, under
//! Java's names where Java has them, and as text for Prometheus. Pure: time is passed in. Nothing is counted for a single record, so
//! records cost nothing. Deliberately absent: reporters, and pushing to the broker (KIP-714). Users take snapshots.

mod prometheus;
mod recorder;
mod snapshot;
#[cfg(test)]
mod tests;

pub use self::{
    recorder::Distribution,
    snapshot::{Metric, Metrics},
};
pub(crate) use self::{
    recorder::{Ended, Recorder, SentBatch},
    snapshot::Gauges,
};
