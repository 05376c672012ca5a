//! Which events are meant.
//!
//! In: arguments. Out: a filter, or why there is none. Pure.

use std::{fmt, str::FromStr, time::Duration};

use milena_resilience::{
    event::EventId,
    store::{Filter, Seq, Status},
};

use super::age;
use crate::exit::CliError;

/// Statuses that a replay changes. A PENDING event is sent anyhow, and a RESOLVED one was.
const REPLAYABLE: [Status; 3] = [Status::Retrying, Status::DeadLettered, Status::DeadLetterFailed];

/// Filters; an event must pass all that are given.
#[derive(Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// Only events with this status: PENDING, RETRYING, RESOLVED, DLQ or DLQ_FAILED; may be repeated
    #[arg(long = "status", value_name = "STATUS", value_parser = status)]
    statuses: Vec<Status>,

    /// Only events of this topic
    #[arg(long, short, value_name = "TOPIC")]
    topic: Option<String>,

    /// Only events with this key, as text
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// Only events with this id
    #[arg(long, value_name = "UUID")]
    event_id: Option<EventId>,

    /// Only events that were stored at least this long ago, as in 90s, 5m, 2h or 30d
    #[arg(long, value_name = "AGE", value_parser = age::parse)]
    older_than: Option<Duration>,
}

impl FilterArgs {
    /// Whether everything passes.
    pub(super) fn is_empty(&self) -> bool {
        self.filter() == Filter::new()
    }

    /// The filter.
    pub(super) fn filter(&self) -> Filter {
        let mut filter = self.statuses.iter().fold(Filter::new(), |filter, status| filter.status(*status));
        if let Some(topic) = &self.topic {
            filter = filter.topic(topic);
        }
        if let Some(key) = &self.key {
            filter = filter.key(key.as_bytes());
        }
        if let Some(id) = self.event_id {
            filter = filter.event_id(id);
        }
        if let Some(age) = self.older_than {
            filter = filter.older_than(age);
        }
        filter
    }

    /// The filter of a replay: without a status, what waits for an operator.
    ///
    /// # Errors
    /// A status that a replay does not change.
    pub(super) fn to_replay(&self) -> Result<Filter, CliError> {
        if let Some(other) = self.statuses.iter().find(|status| !REPLAYABLE.contains(status)) {
            let why = if other.is_settled() { "were published" } else { "are sent without a replay" };
            let expected = "expected RETRYING, DLQ or DLQ_FAILED";
            return Err(CliError::Usage(format!("--status: {other} events {why}; {expected}; nothing was replayed")));
        }
        let filter = self.filter();
        Ok(if self.statuses.is_empty() { filter.status(Status::DeadLetterFailed) } else { filter })
    }
}

/// A status, also in lower case.
fn status(text: &str) -> Result<Status, String> {
    text.to_ascii_uppercase().parse().map_err(|_| {
        let known = Status::ALL.map(Status::as_str).join(", ");
        format!("expected one of {known}, got {text:?}")
    })
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Seq(Seq),
    Event(EventId),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(seq) = text.parse::<i64>() {
            return if seq > 0 { Ok(Self::Seq(Seq(seq))) } else { Err(format!("expected a seq from 1, got {seq}")) };
        }
        text.parse().map(Self::Event).map_err(|_| format!("expected a seq or an event id (a UUID), got {text:?}"))
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seq(seq) => write!(f, "with the seq {seq}"),
            Self::Event(id) => write!(f, "with the id {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Filters {
        #[command(flatten)]
        args: FilterArgs,
    }

    fn args(given: &[&str]) -> FilterArgs {
        Filters::parse_from(std::iter::once(&"x").chain(given)).args
    }

    const ID: &str = "0193a5b0-7c1e-7000-8000-000000000001";

    #[test]
    fn each_argument_is_a_condition() {
        let id: EventId = ID.parse().unwrap();
        for (given, expected) in [
            (&[][..], Filter::new()),
            (
                &["--status", "dlq", "--status", "PENDING"],
                Filter::new().status(Status::DeadLettered).status(Status::Pending),
            ),
            (&["--topic", "t", "--key", "k"], Filter::new().topic("t").key("k")),
            (
                &["--event-id", ID, "--older-than", "2m"],
                Filter::new().event_id(id).older_than(Duration::from_secs(120)),
            ),
        ] {
            assert_eq!(args(given).filter(), expected, "{given:?}");
            assert_eq!(args(given).is_empty(), given.is_empty());
        }
    }

    #[test]
    fn a_replay_is_of_what_waits_for_an_operator_unless_a_status_says_otherwise() {
        let failed = Filter::new().status(Status::DeadLetterFailed);
        assert_eq!(args(&[]).to_replay().unwrap(), failed);
        assert_eq!(args(&["--topic", "t"]).to_replay().unwrap(), failed.topic("t"));
        assert_eq!(args(&["--status", "RETRYING"]).to_replay().unwrap(), Filter::new().status(Status::Retrying));
        for (status, why) in [("PENDING", "are sent without a replay"), ("RESOLVED", "were published")] {
            let error = args(&["--status", "DLQ", "--status", status]).to_replay().unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn one_event_is_named_by_its_seq_or_its_id() {
        assert_eq!("7".parse(), Ok(Which::Seq(Seq(7))));
        assert_eq!(ID.parse(), Ok(Which::Event(ID.parse().unwrap())));
        for text in ["0", "-1", "", "x", "1.5"] {
            assert!(text.parse::<Which>().unwrap_err().starts_with("expected a seq"), "{text}");
        }
    }
}
