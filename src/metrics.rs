//! What a producer has done, in numbers.
//!
//! In: what the sender did, batch by batch, and for how long callers waited. Out: a [`Metrics`] snapshot, under Java's names where
//! Java has them, and as text for Prometheus. Pure: time is passed in. A record costs nothing: everything is counted once a
//! batch, a request or an answer. Deliberately absent: reporters and pushing to the broker (KIP-714); whoever wants numbers
//! takes a snapshot.

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
