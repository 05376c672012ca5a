//! What a type has to say of itself to be an event's payload.
//!
//! In: nothing. Out: the trait [`Event`]. Pure. Deliberately absent: schemas and their registry.

use serde::Serialize;

use super::TopicName;

/// The payload of one type of event.
///
/// ```
/// use milena_resilience::event::{Event, TopicName};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// #[serde(rename_all = "camelCase")]
/// struct PlayerRegistered {
///     country: String,
/// }
///
/// impl Event for PlayerRegistered {
///     const TOPIC: TopicName<'static> = TopicName::new("casino.player.registered.v1");
/// }
///
/// assert_eq!(PlayerRegistered::VERSION, "1.0");
/// ```
pub trait Event: Serialize {
    /// The topic of these events. Its name is also their type (`eventType`).
    const TOPIC: TopicName<'static>;

    /// The version of the payload (`eventVersion`), for changes that old consumers can read. For others, such as a
    /// field that is removed, there is a new topic. Defaults to `1.0`.
    const VERSION: &'static str = "1.0";

    /// What the event is about, within its source, such as the id of a game: the header `ce_subject` of CloudEvents. It
    /// is used in [that format](super::Format::CloudEvents) only. Defaults to none.
    fn subject(&self) -> Option<String> {
        None
    }
}
