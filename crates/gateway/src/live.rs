//! What the page at `/` shows: counts of this moment, from which it makes rates and percentiles.
//!
//! In: the gateway's counters and states. Out: JSON. Pure. A gateway that nobody looks at does nothing for it. Deliberately absent: payloads and keys.

use serde::Serialize;

use crate::{
    ids::RequestId,
    status::{State, Statuses},
};

/// The page. It is whole: it loads nothing but [`Live`].
pub(crate) const PAGE: &str = include_str!("live.html");
/// How many of the last requests are shown.
const LAST: usize = 12;

/// Whoever can make an experimental broker fail: the lab of the page.
pub trait Lab: Send + Sync {
    /// The faults that there are, each with what it does.
    fn faults(&self) -> &[(&'static str, &'static str)];

    /// Begins a fault. Returns whether there is one of this name.
    fn begin(&self, fault: &str) -> bool;

    /// Ends every fault.
    fn heal(&self);
}

/// What is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Live {
    pub(crate) uptime_ms: u64,
    /// Requests for records by class of status: 2xx, 4xx and 5xx.
    pub(crate) answered: [u64; 3],
    /// How many of them took at most so many microseconds; the last bucket has no bound.
    pub(crate) bounds: &'static [u64],
    pub(crate) buckets: Vec<u64>,
    pub(crate) pending: usize,
    pub(crate) buffer: Buffer,
    /// Only with a store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) breaker: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<InStore>,
    /// The last requests that did not wait, the newest first.
    pub(crate) last: Vec<Last>,
    /// The lab's faults, if there is one.
    pub(crate) faults: Vec<Fault>,
}

/// `buffer.memory` of both producers, in bytes.
#[derive(Serialize)]
pub(crate) struct Buffer {
    pub(crate) free: f64,
    pub(crate) total: f64,
}

/// What the store has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InStore {
    pub(crate) waiting: u64,
    pub(crate) dead_letters_failed: u64,
}

/// A request that did not wait.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Last {
    request_id: RequestId,
    state: &'static str,
    /// Where its record is, or why it is not there.
    what: String,
}

/// A fault that can be begun.
#[derive(Serialize)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
}

/// The last requests.
pub(crate) fn last(statuses: &Statuses) -> Vec<Last> {
    statuses.latest(LAST).into_iter().map(|(request_id, state)| describe(request_id, &state)).collect()
}

fn describe(request_id: RequestId, state: &State) -> Last {
    let what = match state {
        State::Pending => String::new(),
        State::Ok(ack) => {
            let offset = ack.offset().map_or_else(|| "no offset".to_owned(), |offset| format!("offset {offset}"));
            format!("{}-{}, {offset}", ack.topic(), ack.partition())
        }
        State::Delivered { topic, position: None } => topic.to_string(),
        State::Delivered { topic, position: Some(at) } => format!("{topic}-{}, offset {}", at.partition, at.offset),
        State::Stored(stored) => stored.why.clone().unwrap_or_default(),
        State::Error(problem) => problem.detail().to_owned(),
    };
    Last { request_id, state: state.name(), what }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use milena::Ack;

    use super::*;
    use crate::problem::{Kind, Problem};

    #[test]
    fn the_newest_requests_come_first_and_each_says_what_became_of_it() {
        let statuses = Statuses::new(20, Duration::from_secs(10));
        let tickets: Vec<_> = (0..14).map(|_| statuses.begin(Duration::ZERO).unwrap()).collect();
        statuses.finish(tickets[13], Ok(Ack::new("t", 2).with_offset(5)));
        statuses.finish(tickets[12], Err(Problem::new(Kind::Unavailable, "away")));
        statuses.withdraw(tickets[11]);
        let last = last(&statuses);
        assert_eq!(last.len(), LAST, "no more are looked at");
        assert_eq!((last[0].state, last[0].what.as_str()), ("OK", "t-2, offset 5"));
        assert_eq!((last[1].state, last[1].what.as_str()), ("ERROR", "away"));
        assert_eq!((last[2].state, last[2].request_id), ("PENDING", statuses.id(tickets[10])));
    }
}
