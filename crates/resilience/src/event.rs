//! Events: a payload in an envelope that says what it is, when it happened, and to whom.
//!
//! In: payloads. Out: an [`Envelope`] around each. Deliberately absent: schemas.

mod contract;
mod envelope;
mod id;
#[cfg(test)]
mod testing;
mod time;
mod topic;

pub use self::{
    contract::Event,
    envelope::{DecodeError, Envelope, EnvelopeBuilder, InvalidEnvelope, SERVICE, SOURCE, TRACE_ID},
    id::{EventId, InvalidEventId},
    time::{EventTime, InvalidEventTime},
    topic::{InvalidTopicName, TopicName},
};
