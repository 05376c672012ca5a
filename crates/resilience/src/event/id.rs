//! The id of an event.
//!
//! In: clock and chance for a new id, or text. Out: an [`EventId`]. Deliberately absent: ids that are no UUIDs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use uuid::Uuid;

/// The id of an event, by which consumers recognise that they got it before. It stays the same however often the event
/// is sent.
///
/// A new one is a UUID of version 7 (RFC 9562), which begins with the time: later ids of one process are greater. Ids
/// of other programs may be UUIDs of any version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id.
    ///
    /// # Panics
    /// If the operating system has no random numbers.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default is always the same, and this never is")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for EventId {
    /// Lower case, with hyphens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl From<Uuid> for EventId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl From<EventId> for Uuid {
    fn from(id: EventId) -> Self {
        id.0
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let invalid = |_| InvalidEventId { text: text.escape_debug().take(64).collect() };
        Uuid::parse_str(text).map(Self).map_err(invalid)
    }
}

/// A text that is no UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid event id: expected a UUID such as 0193a5b0-7c1e-7000-8000-000000000001, got \"{text}\"")]
pub struct InvalidEventId {
    text: String,
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_of_version_7_and_each_is_greater_than_the_one_before() {
        let ids: Vec<_> = (0..1_000).map(|_| EventId::new()).collect();
        assert!(ids.iter().all(|id| Uuid::from(*id).get_version_num() == 7));
        assert!(ids.is_sorted_by(|before, after| before < after && before.to_string() < after.to_string()));
    }

    #[test]
    fn an_id_is_the_same_after_it_was_written_and_read() {
        let id = EventId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(EventId::from(Uuid::from(id)), id);
    }

    #[test]
    fn uuids_of_other_programs_are_read_whatever_their_version_and_case() {
        for text in ["0f8fad5b-d9cb-469f-a165-70867728950e", "0F8FAD5B-D9CB-469F-A165-70867728950E"] {
            assert_eq!(text.parse::<EventId>().unwrap().to_string(), "0f8fad5b-d9cb-469f-a165-70867728950e");
        }
    }

    #[test]
    fn what_is_no_uuid_is_refused_and_the_error_says_what_was_expected() {
        for text in ["", "7", "0193a5b0-7c1e-7000-8000-00000000000", "0193a5b0-7c1e-7000-8000-00000000000g"] {
            let error = text.parse::<EventId>().unwrap_err().to_string();
            assert!(error.contains("expected a UUID") && error.ends_with(&format!("got \"{text}\"")), "{error}");
        }
        let long = "x\n".repeat(10_000).parse::<EventId>().unwrap_err().to_string();
        assert!(long.len() < 200 && !long.contains('\n'), "{long:?}");
    }
}
