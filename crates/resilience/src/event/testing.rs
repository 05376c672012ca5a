//! An event for tests.

use serde::{Deserialize, Serialize};

use super::{Envelope, EnvelopeBuilder, Event, EventTime, TopicName};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registered {
    pub(crate) country: String,
    pub(crate) age: u8,
}

impl Event for Registered {
    const TOPIC: TopicName<'static> = TopicName::new("casino.player.registered.v1");
    const VERSION: &'static str = "1.2";

    fn subject(&self) -> Option<String> {
        Some(self.country.clone())
    }
}

/// An envelope with all that it can have, always the same.
pub(crate) fn registered() -> EnvelopeBuilder<Registered> {
    Envelope::builder(Registered { country: "EE".into(), age: 30 })
        .event_id("0193a5b0-7c1e-7000-8000-000000000001".parse().unwrap())
        .event_timestamp(EventTime::from_unix_ms(1_795_800_788_250).unwrap())
        .brand_id("brand-1")
        .user_id("player-7")
        .correlation_id("request-9")
        .metadata("source", "web")
        .metadata("service", "registration")
        .metadata("traceId", "4bf9")
        .metadata("try", 2)
}
