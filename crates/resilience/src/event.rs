//! Events: a payload in an envelope that says what it is, when it happened, and to whom.
//!
//! In: payloads. Out: an [`Envelope`] around each, and its [record](Envelope::record) for the topic of its type. Only
//! new ids and times read the clock. Deliberately absent: sending, which a [`Producer`](milena::Producer) or
//! [`Retry`](crate::retry::Retry) does, and schemas.
//!
//! # A new type of event
//!
//! It takes three steps, which the example `new_event_type` shows as a program:
//!
//! ```
//! use milena::{Ack, Produce};
//! use milena_resilience::{Failure, event::{Envelope, Event, Format, TopicName}};
//! use serde::Serialize;
//!
//! // 1. A constant for the topic, whose form is checked at compile time.
//! const REGISTERED: TopicName<'_> = TopicName::new("casino.player.registered.v1");
//!
//! // 2. The payload.
//! #[derive(Serialize)]
//! struct PlayerRegistered {
//!     country: String,
//! }
//!
//! impl Event for PlayerRegistered {
//!     const TOPIC: TopicName<'static> = REGISTERED;
//! }
//!
//! // 3. A function that publishes it.
//! async fn publish(producer: &dyn Produce, player: &str, payload: PlayerRegistered) -> Result<Ack, Failure> {
//!     let event = Envelope::builder(payload).brand_id("brand-1").user_id(player).build()?;
//!     Ok(producer.send(event.record(&Format::Json)?).await?.await?)
//! }
//! ```
//!
//! # Keys
//!
//! The key of a record is the user's id, so the events of a user are in one partition, in order. A program that sets
//! other keys can have them observed by a [`KeyWatch`], which notices random ones.

mod contract;
mod envelope;
mod format;
mod id;
#[cfg(test)]
mod testing;
mod time;
mod topic;

pub use milena::patterns::{KeyWatch, RandomKeys};

pub use self::{
    contract::Event,
    envelope::{DecodeError, Envelope, EnvelopeBuilder, InvalidEnvelope, SERVICE, SOURCE, TRACE_ID},
    format::{CE_ID, CloudEvents, EVENT_ID, Format, InvalidSource},
    id::{EventId, InvalidEventId},
    time::{EventTime, InvalidEventTime},
    topic::{InvalidTopicName, TopicName},
};
