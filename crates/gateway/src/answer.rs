//! Answers: their JSON, and the HTTP around it.
//!
//! In: what became of a request. Out: a response. Pure. Deliberately absent: a status of 200 for anything that failed.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
        header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use milena::Ack;
use serde::{Deserialize, Serialize};

use crate::{
    ids::RequestId,
    live::Live,
    object::{self, Object},
    problem::{self, Kind, Outcome, Problem},
    rate::{Permit, Rate},
    request::Mode,
    status::{Done, PENDING, STORED, State, Stored},
};

/// An answer. The body of most is there already, and takes no box.
pub(crate) type Answer = Response<Either<Full<Bytes>, Body>>;

/// The media type of JSON.
pub(crate) const JSON: &str = "application/json";
/// The media type of JSON line by line.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// The answer to a request that waited for its record.
pub(crate) fn sent(request_id: RequestId, event_id: &str, mode: Mode, ack: &Ack) -> Answer {
    let sent = Object::new()
        .text("requestId", request_id.as_str())
        .text("eventId", event_id)
        .text("mode", mode.name())
        .text("topic", ack.topic())
        .value("partition", &ack.partition())
        .value("offset", &ack.offset())
        .value("timestamp", &ack.timestamp())
        .text("outcome", Outcome::from(ack).name());
    with_type(StatusCode::OK, JSON, whole(sent.end().into()))
}

/// The answer to a request whose record has no outcome yet: it is on its way, or in the store.
pub(crate) fn accepted(request_id: RequestId, is_stored: bool, event_id: &str, mode: Mode, topic: &str) -> Answer {
    let state = if is_stored { STORED } else { PENDING };
    let accepted = Object::new()
        .text("requestId", request_id.as_str())
        .text("state", state)
        .text("eventId", event_id)
        .text("mode", mode.name())
        .text("topic", topic);
    located(with_type(StatusCode::ACCEPTED, JSON, whole(accepted.end().into())), request_id)
}

/// The answer with the place where the state of its request is.
fn located(mut response: Answer, request_id: RequestId) -> Answer {
    // It is ASCII.
    if let Ok(location) = HeaderValue::try_from(["/api/v1/status?requestId=", request_id.as_str()].concat()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The state of a request; what it has not is left out.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    request_id: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retriable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

/// The answer to a question for a request's state, which there is.
pub(crate) fn state(request_id: &str, state: &State) -> Answer {
    json(StatusCode::OK, JSON, &status(request_id, state))
}

fn status<'a>(request_id: &'a str, state: &'a State) -> Status<'a> {
    let named = Status { request_id, state: state.name(), ..Status::default() };
    match state {
        State::Pending => named,
        State::Stored(stored) => Status {
            error: stored.why.as_deref(),
            attempts: Some(stored.attempts),
            outcome: Some(stored.outcome),
            ..named
        },
        State::Delivered { topic, position } => Status {
            topic: Some(topic),
            partition: position.map(|position| position.partition),
            offset: position.map(|position| position.offset),
            outcome: Some(Outcome::Persisted),
            ..named
        },
        State::Ok(ack) => Status {
            topic: Some(ack.topic()),
            partition: Some(ack.partition()),
            offset: ack.offset(),
            timestamp: Some(ack.timestamp()),
            outcome: Some(ack.into()),
            ..named
        },
        State::Error(problem) => Status {
            error: Some(problem.detail()),
            code: problem.code(),
            retriable: Some(problem.retriable()),
            outcome: Some(problem.outcome()),
            ..named
        },
    }
}

/// What became of one record of several: where it is, or its problem. Both have `status`.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Entry<'a> {
    /// It is in the log.
    Written {
        /// 200.
        status: u16,
        topic: &'a str,
        partition: i32,
        offset: Option<i64>,
        timestamp: i64,
        outcome: Outcome,
    },
    /// It is in the store.
    #[serde(rename_all = "camelCase")]
    Stored {
        /// 202.
        status: u16,
        request_id: RequestId,
        state: &'static str,
        outcome: Outcome,
    },
    /// It failed.
    Failed(&'a Problem),
}

impl<'a> From<&'a Result<Done, Problem>> for Entry<'a> {
    fn from(result: &'a Result<Done, Problem>) -> Self {
        match result {
            Ok(Done::Stored(request_id, stored)) => Self::Stored {
                status: StatusCode::ACCEPTED.as_u16(),
                request_id: *request_id,
                state: STORED,
                outcome: stored.outcome,
            },
            Ok(Done::Written(ack)) => Self::Written {
                status: StatusCode::OK.as_u16(),
                topic: ack.topic(),
                partition: ack.partition(),
                offset: ack.offset(),
                timestamp: ack.timestamp(),
                outcome: ack.into(),
            },
            Err(problem) => Self::Failed(problem),
        }
    }
}

/// The answer to one record.
pub(crate) fn written(request_id: RequestId, ack: &Ack) -> Answer {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Written<'a> {
        request_id: RequestId,
        topic: &'a str,
        partition: i32,
        offset: Option<i64>,
        timestamp: i64,
        outcome: Outcome,
    }
    let (topic, partition, offset) = (ack.topic(), ack.partition(), ack.offset());
    let (timestamp, outcome) = (ack.timestamp(), ack.into());
    json(StatusCode::OK, JSON, &Written { request_id, topic, partition, offset, timestamp, outcome })
}

/// The answer to one record that is in the store.
pub(crate) fn stored(request_id: RequestId, topic: &str, stored: &Stored) -> Answer {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct InStore<'a> {
        request_id: RequestId,
        state: &'static str,
        topic: &'a str,
        error: Option<&'a str>,
        outcome: Outcome,
    }
    let (error, outcome) = (stored.why.as_deref(), stored.outcome);
    let answer = InStore { request_id, state: STORED, topic, error, outcome };
    located(json(StatusCode::ACCEPTED, JSON, &answer), request_id)
}

/// The answer to a batch: a result for each record, in order.
pub(crate) fn results(request_id: RequestId, results: &[Result<Done, Problem>]) -> Answer {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Results<'a> {
        request_id: RequestId,
        results: Vec<Entry<'a>>,
    }
    let results = results.iter().map(Entry::from).collect();
    json(StatusCode::MULTI_STATUS, JSON, &Results { request_id, results })
}

/// The answer to a request that was not carried out.
pub(crate) fn problem(problem: &Problem) -> Answer {
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, problem::MEDIA_TYPE, problem);
    if let Some(seconds) = problem.kind().retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.kind() == Kind::Unauthorized {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Says how often the client may send (the IETF's draft `ratelimit-headers`).
pub(crate) fn limited(mut response: Answer, rate: Rate, permit: Permit) -> Answer {
    let (left, wait) = match permit {
        Permit::Granted(left) => (left, None),
        // From now on a whole second is enough.
        Permit::Wait(wait) => (0, Some(wait.as_secs() + 1)),
    };
    let texts = [
        ("ratelimit-policy", format!("\"client\";q={};w=1", rate.per_second)),
        ("ratelimit", format!("\"client\";r={left};t={}", wait.unwrap_or(1))),
    ];
    for (name, text) in texts {
        // It is ASCII.
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(name, value);
        }
    }
    if let Some(seconds) = wait {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// An answer that can be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Such an answer in a store.
#[derive(Deserialize, Serialize)]
struct KeptText {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Kept {
    #[cfg(test)]
    pub(crate) fn new(status: StatusCode, body: &'static str) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(JSON))]);
        Self { status, headers, body: Bytes::from_static(body.as_bytes()) }
    }

    /// The answer as text for a store.
    pub(crate) fn write(&self) -> Vec<u8> {
        // All that is answered here is text.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = self.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())));
        let kept = KeptText { status: self.status.as_u16(), headers: headers.collect(), body: text(&self.body) };
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// The answer that was written so. `None` if it is none.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let KeptText { status, headers, body } = serde_json::from_slice(text).ok()?;
        let header = |(name, value): (String, String)| Some((HeaderName::try_from(name).ok()?, value.parse().ok()?));
        let headers = headers.into_iter().map(header).collect::<Option<HeaderMap>>()?;
        Some(Self { status: StatusCode::from_u16(status).ok()?, headers, body: body.into() })
    }

    /// Keeps an answer whose body is there already.
    pub(crate) async fn of(answer: Answer) -> Self {
        let (parts, body) = answer.into_parts();
        // A body that is there cannot fail.
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Self { status: parts.status, headers: parts.headers, body }
    }

    /// The answer.
    pub(crate) fn answer(self) -> Answer {
        let mut response = Response::new(whole(self.body));
        (*response.status_mut(), *response.headers_mut()) = (self.status, self.headers);
        response
    }
}

/// What the page shows.
pub(crate) fn live(live: &Live) -> Answer {
    json(StatusCode::OK, JSON, live)
}

/// An answer that says nothing more.
pub(crate) fn done() -> Answer {
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// An answer in text.
pub(crate) fn text(media_type: &'static str, text: impl Into<Bytes>) -> Answer {
    with_type(StatusCode::OK, media_type, whole(text.into()))
}

/// An answer whose body comes later.
pub(crate) fn stream(body: Body) -> Answer {
    with_type(StatusCode::MULTI_STATUS, NDJSON, Either::Right(body))
}

fn json(status: StatusCode, media_type: &'static str, value: &impl Serialize) -> Answer {
    let mut text = Vec::with_capacity(object::USUAL_SIZE);
    // None of the structs here has a map or anything else that could fail.
    let _ = serde_json::to_writer(&mut text, value);
    with_type(status, media_type, whole(text.into()))
}

fn whole(text: Bytes) -> Either<Full<Bytes>, Body> {
    Either::Left(Full::new(text))
}

fn with_type(status: StatusCode, media_type: &'static str, body: Either<Full<Bytes>, Body>) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ids::Ids;

    fn ack() -> Ack {
        Ack::new("t", 2).with_offset(5).with_timestamp(7)
    }

    #[test]
    fn a_state_has_what_belongs_to_it_and_nothing_else() {
        let text = |state| serde_json::to_string(&status("id", &state)).unwrap();
        assert_eq!(text(State::Pending), r#"{"requestId":"id","state":"PENDING"}"#);
        let unconfirmed = r#"{"requestId":"id","state":"OK","topic":"t","partition":2,"offset":5,"timestamp":7,"#;
        assert!(text(State::Ok(ack())).starts_with(unconfirmed));
        let problem = Problem::new(Kind::Unavailable, "away");
        assert_eq!(
            text(State::Error(Arc::new(problem))),
            r#"{"requestId":"id","state":"ERROR","error":"away","retriable":true,"outcome":"not_persisted"}"#
        );
    }

    #[test]
    fn an_answer_that_does_not_wait_says_where_the_state_is() {
        let id = Ids::default().id(1);
        let response = accepted(id, false, "e", Mode::Plain, "t");
        assert_eq!(response.status(), 202);
        assert_eq!(response.headers()[LOCATION], format!("/api/v1/status?requestId={id}"));
    }

    #[test]
    fn an_answer_comes_back_from_the_store_as_it_was() {
        let id = Ids::default().id(1);
        let answer = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let kept = answer.block_on(Kept::of(accepted(id, true, "\u{e9}\u{0}\"", Mode::Plain, "t")));
        assert_eq!(Kept::read(&kept.write()), Some(kept));
        for text in
            ["", "{}", r#"{"status":7,"headers":[],"body":""}"#, r#"{"status":200,"headers":[["a b","c"]],"body":""}"#]
        {
            assert_eq!(Kept::read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_problem_says_when_to_try_again_where_that_helps() {
        let response = |kind| problem(&Problem::new(kind, "x"));
        let full = response(Kind::BufferFull);
        assert_eq!((full.status().as_u16(), &full.headers()[RETRY_AFTER]), (429, &HeaderValue::from(1)));
        assert_eq!(full.headers()[CONTENT_TYPE], problem::MEDIA_TYPE);
        assert_eq!(response(Kind::TooLarge).headers().get(RETRY_AFTER), None);
    }
}
