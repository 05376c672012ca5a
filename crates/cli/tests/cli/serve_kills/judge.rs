//! What a gateway has said, against the log. Pure.

use std::{collections::BTreeMap, time::Duration};

/// Where the records of each event are: partitions and offsets.
pub(super) type Log = BTreeMap<String, Vec<(i64, i64)>>;

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200: it is in the log, there.
    Written((i64, i64)),
    /// 202: the request has this id.
    Accepted(String),
    /// 429.
    TooMany,
    /// Another problem.
    Refused { is_persisted: bool },
    /// Nothing: the connection ended.
    None,
}

impl Answer {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Written(_) => "written",
            Self::Accepted(_) => "accepted",
            Self::TooMany => "too many",
            Self::Refused { .. } => "refused",
            Self::None => "none",
        }
    }
}

/// The last state of a request that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// `OK`, with its place if that is known.
    Ok(Option<(i64, i64)>),
    /// `ERROR`; `is_persisted` if it may be in the log.
    Error { is_persisted: bool },
    /// Another state, or no answer.
    Open(String),
}

/// A request, what its client was told, and what was asked of it later.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) event_id: String,
    pub(super) answer: Answer,
    pub(super) state: Option<State>,
    pub(super) took: Duration,
}

impl Request {
    pub(super) fn is_accepted(&self) -> bool {
        matches!(self.answer, Answer::Accepted(_))
    }
}

/// What was promised of requests that were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// They have a final state, which the log confirms.
    FinalState,
    /// They are in the log.
    Delivered,
    Nothing,
}

/// All promises that were not kept.
pub(super) fn judge(promise: Promise, requests: &[Request], log: &Log) -> Vec<String> {
    requests.iter().filter_map(|request| broken(promise, request, log)).collect()
}

fn broken(promise: Promise, request: &Request, log: &Log) -> Option<String> {
    let places = log.get(&request.event_id).map_or(&[][..], Vec::as_slice);
    let is_kept = match (&request.answer, promise, &request.state) {
        (Answer::Written(place), ..) => places.contains(place),
        (Answer::TooMany, ..) => places.is_empty(),
        (Answer::Refused { is_persisted }, ..) => *is_persisted || places.is_empty(),
        (Answer::Accepted(_), Promise::Delivered, _) => !places.is_empty(),
        (Answer::Accepted(_), Promise::FinalState, Some(State::Ok(Some(place)))) => places.contains(place),
        (Answer::Accepted(_), Promise::FinalState, Some(State::Ok(None))) => !places.is_empty(),
        (Answer::Accepted(_), Promise::FinalState, Some(State::Error { is_persisted })) => {
            *is_persisted || places.is_empty()
        }
        (Answer::Accepted(_), Promise::FinalState, Some(State::Open(_)) | None) => false,
        (Answer::Accepted(_), Promise::Nothing, _) | (Answer::None, ..) => true,
    };
    (!is_kept).then(|| format!("{request:?} is at {places:?}"))
}

#[test]
fn every_promise_that_is_not_kept_is_found() {
    let log = Log::from([("a".to_owned(), vec![(0, 7), (0, 9)])]);
    let accepted = || Answer::Accepted("id".to_owned());
    let cases: [(&str, Answer, Promise, Option<State>, bool); 16] = [
        ("a", Answer::Written((0, 7)), Promise::Nothing, None, true),
        ("a", Answer::Written((0, 8)), Promise::Nothing, None, false),
        ("b", Answer::Written((0, 7)), Promise::Nothing, None, false),
        ("b", Answer::TooMany, Promise::Nothing, None, true),
        ("a", Answer::TooMany, Promise::Nothing, None, false),
        ("a", Answer::Refused { is_persisted: false }, Promise::Nothing, None, false),
        ("a", Answer::Refused { is_persisted: true }, Promise::Nothing, None, true),
        ("b", accepted(), Promise::Nothing, None, true),
        ("b", accepted(), Promise::Delivered, None, false),
        ("a", accepted(), Promise::Delivered, None, true),
        ("a", accepted(), Promise::FinalState, Some(State::Ok(Some((0, 9)))), true),
        ("a", accepted(), Promise::FinalState, Some(State::Ok(Some((1, 9)))), false),
        ("b", accepted(), Promise::FinalState, Some(State::Ok(None)), false),
        ("a", accepted(), Promise::FinalState, Some(State::Error { is_persisted: false }), false),
        ("a", accepted(), Promise::FinalState, Some(State::Open("STORED".to_owned())), false),
        ("a", accepted(), Promise::FinalState, None, false),
    ];
    for (event, answer, promise, state, is_kept) in cases {
        let request = Request { event_id: event.to_owned(), answer, state, took: Duration::ZERO };
        assert_eq!(judge(promise, std::slice::from_ref(&request), &log).is_empty(), is_kept, "{promise:?} {request:?}");
    }
}
