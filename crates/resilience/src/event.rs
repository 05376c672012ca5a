//! Events: a payload in an envelope that says what it is, when it happened, and to whom.
//!
//! In: payloads. Out: an [`Envelope`] around each. Deliberately absent: schemas.

mod contract;
mod envelope;
mod format;
mod id;
#[cfg(test)]
mod testing;
mod time;
mod topic;

pub use self::{
    contract::Event,
    envelope::{DecodeError, Envelope, EnvelopeBuilder, InvalidEnvelope, SERVICE, SOURCE, TRACE_ID},
    format::{CloudEvents, EVENT_ID, Format, InvalidSource},
    id::{EventId, InvalidEventId},
    time::{EventTime, InvalidEventTime},
    topic::{InvalidTopicName, TopicName},
};
