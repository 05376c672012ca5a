//! The routes: which path does what.
//!
//! In: a request of HTTP. Out: its answer. Does I/O through the [`Gateway`]. Each handler reads what is asked, checks it against the limits,
//! sends, and hands what became of it to [`crate::answer`]. Deliberately absent: decisions, which are in pure modules.

mod keyed;

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, Uri, header::CONTENT_TYPE, request::Parts},
    routing::{get, post},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use milena::Header;
use serde_json::value::RawValue;
use tokio::time::timeout;
use uuid::Uuid;

use self::keyed::Once;
use crate::{
    answer::{self, Answer},
    gateway::{Call, Gateway},
    ids::RequestId,
    live, openapi,
    order::Order,
    outbox::Accepted,
    problem::{Kind, Problem},
    record::{self, Records},
    request::{self, Mode, SendMode, SendQuery},
    status::{Done, Found},
    stream::{self, Common},
    trace::{TRACEPARENT, is_traceparent},
};

/// The header of a record with the id of its event.
const EVENT_ID: &str = "eventId";
/// The header by which a request is carried out once.
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of [W3C's trace context](https://www.w3.org/TR/trace-context/). As a name it is found sooner than as text.
static TRACEPARENT_HEADER: HeaderName = HeaderName::from_static(TRACEPARENT);
/// The media type of Prometheus' text.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The path that most requests are for.
pub(crate) const SEND: &str = "/api/v1/send";

type Shared = State<Arc<Gateway>>;

/// The paths that are served, as the document of OpenAPI has them.
#[cfg(test)]
pub(crate) const PATHS: [&str; 11] = [
    "/health",
    "/livez",
    "/readyz",
    "/metrics",
    "/",
    "/api/v1/live",
    "/openapi.json",
    "/docs",
    "/api/v1/send",
    "/api/v1/status",
    "/api/v1/topics/{topic}/records",
];

/// All routes of a gateway.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/health", get(alive))
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/", get(live_page))
        .route("/api/v1/live", get(live))
        .route("/lab/{fault}", post(fail))
        .route("/openapi.json", get(document))
        .route("/docs", get(page))
        .route(SEND, post(send))
        .route("/api/v1/status", get(status))
        .route("/api/v1/topics/{topic}/records", post(records))
        .fallback(no_such_path)
        .method_not_allowed_fallback(bad_method)
        .with_state(gateway)
}

/// The process is there. That says nothing of Kafka.
async fn alive() -> Answer {
    answer::text(PLAIN_TEXT, "OK")
}

async fn ready(State(gateway): Shared) -> Answer {
    match gateway.ready().await {
        Ok(()) => {
            let breaker = gateway.breaker().map(|state| format!("\nbreaker {state}"));
            answer::text(PLAIN_TEXT, format!("OK{}", breaker.unwrap_or_default()))
        }
        Err(problem) => answer::problem(&problem),
    }
}

async fn metrics(State(gateway): Shared) -> Answer {
    answer::text(PROMETHEUS, gateway.metrics().await)
}

async fn document() -> Answer {
    answer::text(answer::JSON, openapi::document())
}

async fn live_page() -> Answer {
    answer::text(HTML, live::PAGE)
}

async fn live(State(gateway): Shared) -> Answer {
    answer::live(&gateway.live().await)
}

/// Begins a fault of the lab, or ends all.
async fn fail(State(gateway): Shared, uri: Uri) -> Answer {
    let fault = uri.path().strip_prefix("/lab/").unwrap_or_default();
    let Some(lab) = gateway.lab() else { return no_such_path(State(gateway)).await };
    if fault == "heal" {
        lab.heal();
    } else if !lab.begin(fault) {
        return no_such_path(State(gateway)).await;
    }
    answer::done()
}

async fn page() -> Answer {
    answer::text(HTML, openapi::PAGE)
}

async fn no_such_path(State(gateway): Shared) -> Answer {
    answer::problem(&Problem::new(Kind::NoSuchPath, "see the paths under /api/v1, or /health").of(gateway.new_id()))
}

async fn bad_method(State(gateway): Shared) -> Answer {
    answer::problem(
        &Problem::new(Kind::BadMethod, "the header Allow has the methods of this path").of(gateway.new_id()),
    )
}

async fn status(State(gateway): Shared, uri: Uri) -> Answer {
    let found = match request::status_query(uri.query().unwrap_or_default()) {
        Ok(id) => gateway.find(&id).await.map(|found| (found, id)),
        Err(problem) => Err(problem),
    };
    let problem = match found {
        Ok((Found::State(state), id)) => return answer::state(&id, &state),
        Ok((Found::Expired, _)) => Problem::new(
            Kind::ExpiredRequest,
            "states are kept for a time and for a number of requests; this one is gone",
        ),
        Ok((Found::Unknown, _)) => Problem::new(Kind::UnknownRequest, "this process gave no request this id"),
        Err(problem) => problem,
    };
    answer::problem(&problem.of(gateway.new_id()))
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Send,
    Records,
}

/// The answer to a request for [`SEND`]. Whoever calls it without the [`router`] saves a tenth of what a request costs.
pub(crate) async fn send(State(gateway): Shared, request: Request) -> Answer {
    carry_out(Asked::Send, gateway, request).await
}

async fn records(State(gateway): Shared, request: Request) -> Answer {
    carry_out(Asked::Records, gateway, request).await
}

/// Carries a request out, once if it has an idempotency key.
async fn carry_out(asked: Asked, gateway: Arc<Gateway>, request: Request) -> Answer {
    let id = gateway.new_id();
    let (parts, body) = request.into_parts();
    // What few requests need is in boxes, so that the future of most is small: it is moved several times.
    let answer = if parts.headers.contains_key(&IDEMPOTENCY_KEY) {
        Box::pin(keyed::once(asked, gateway, parts, body, id)).await
    } else {
        answer_to(asked, &gateway, &parts, body, id, None).await
    };
    answer.unwrap_or_else(|problem| answer::problem(&problem.of(id)))
}

async fn answer_to(
    asked: Asked,
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: Body,
    id: RequestId,
    once: Option<Once<'_>>,
) -> Result<Answer, Problem> {
    match asked {
        Asked::Send => send_one(gateway, parts, body, id, once).await,
        Asked::Records => Box::pin(send_records(gateway, parts, body, id, once)).await,
    }
}

async fn send_one(
    gateway: &Gateway,
    parts: &Parts,
    body: Body,
    id: RequestId,
    once: Option<Once<'_>>,
) -> Result<Answer, Problem> {
    let SendQuery { mode, send_mode, event_id, key, partition, topic } =
        SendQuery::read(parts.uri.query().unwrap_or_default())?;
    let topic = topic.unwrap_or(Cow::Borrowed(&gateway.config().default_topic));
    check_topic(gateway, &topic)?;
    let body = whole(gateway, body).await?;
    let event_id = event_id
        .or_else(|| once.map(|once| Cow::Borrowed(once.key)))
        .unwrap_or_else(|| Uuid::now_v7().to_string().into());
    let mut order = Order {
        topic: Cow::Borrowed(&*topic),
        partition,
        timestamp: None,
        key: key.as_deref().map(|key| Cow::Borrowed(key.as_bytes())),
        value: Some(if body.is_empty() { event(&event_id).into() } else { Cow::Borrowed(&*body) }),
        headers: vec![Header::new(EVENT_ID, event_id.as_bytes())],
    };
    record::check(&order, &gateway.config().limits)?;
    order.trace(trace(&parts.headers));
    let ticket = once.and_then(|once| once.ticket);
    match send_mode {
        SendMode::Sync => Ok(match gateway.send(Call { id, ticket }, mode, &order).await? {
            Done::Written(ack) => answer::sent(id, &event_id, mode, &ack),
            Done::Stored(..) => answer::accepted(id, true, &event_id, mode, &topic),
        }),
        SendMode::Async => {
            let (id, is_stored) = gateway.send_later(ticket, mode, order).await?;
            Ok(answer::accepted(id, is_stored, &event_id, mode, &topic))
        }
    }
}

/// The value of a record whose request had no body.
fn event(event_id: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(event_id.len() + 16);
    text.extend(b"{\"eventId\":");
    // Text cannot fail to be JSON.
    let _ = serde_json::to_writer(&mut text, event_id);
    text.push(b'}');
    text
}

async fn send_records(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: Body,
    id: RequestId,
    once: Option<Once<'_>>,
) -> Result<Answer, Problem> {
    let mode = request::records_query(parts.uri.query().unwrap_or_default())?;
    let topic = topic_of(parts.uri.path())?;
    check_topic(gateway, &topic)?;
    let trace = trace(&parts.headers);
    match media_type(&parts.headers).as_deref() {
        Some(answer::JSON) => {}
        Some(answer::NDJSON) => {
            only_one(once)?;
            let (topic, trace) = (topic.into_owned(), trace.map(<[u8]>::to_vec));
            let common = Common { gateway: Arc::clone(gateway), mode, topic, trace };
            return Ok(answer::stream(stream::start(common, body)));
        }
        other => {
            let (json, lines, got) = (answer::JSON, answer::NDJSON, other.unwrap_or("none"));
            return Err(Problem::new(Kind::BadType, format!("expected Content-Type {json} or {lines}, got {got}")));
        }
    }
    let body = whole(gateway, body).await?;
    match record::records(&body, &gateway.config().limits)? {
        Records::Batch(batch) => {
            only_one(once)?;
            let results = send_batch(gateway, mode, &topic, trace, &batch).await;
            Ok(answer::results(id, &results))
        }
        Records::One(text) => {
            let mut order = record::order(&topic, text, &gateway.config().limits)?;
            order.headers.extend(once.map(|once| Header::new(EVENT_ID, once.key.as_bytes())));
            order.trace(trace);
            let ticket = once.and_then(|once| once.ticket);
            Ok(match gateway.send(Call { id, ticket }, mode, &order).await? {
                Done::Written(ack) => answer::written(id, &ack),
                Done::Stored(id, stored) => answer::stored(id, &topic, &stored),
            })
        }
    }
}

/// Several records have no one outcome, by which a key would be kept or forgotten.
fn only_one(once: Option<Once<'_>>) -> Result<(), Problem> {
    match once {
        None => Ok(()),
        Some(_) => {
            Err(Problem::new(Kind::KeyOfSeveral, "Idempotency-Key: expected one record, got a batch or a stream"))
        }
    }
}

/// Sends records in order, and waits for all. After a refusal that concerns all of them, none of the others is tried.
async fn send_batch(
    gateway: &Gateway,
    mode: Mode,
    topic: &str,
    trace: Option<&[u8]>,
    batch: &[&RawValue],
) -> Vec<Result<Done, Problem>> {
    let mut refusal: Option<Problem> = None;
    let mut accepted: Vec<Result<Accepted, Problem>> = Vec::with_capacity(batch.len());
    for text in batch {
        let order = record::order(topic, text.get(), &gateway.config().limits);
        accepted.push(match (order, &refusal) {
            (Err(problem), _) => Err(problem),
            (Ok(_), Some(problem)) => Err(problem.clone()),
            (Ok(mut order), None) => {
                order.trace(trace);
                gateway.accept(mode, &order).await.map_err(|error| {
                    let problem = Problem::from(&error);
                    refusal = stream::concerns_all(&error).then(|| problem.clone());
                    problem
                })
            }
        });
    }
    let mut results = Vec::with_capacity(accepted.len());
    for accepted in accepted {
        results.push(match accepted {
            Ok(accepted) => accepted.done().await,
            Err(problem) => Err(problem),
        });
    }
    results
}

/// The topic in the path of a request for records.
fn topic_of(path: &str) -> Result<Cow<'_, str>, Problem> {
    let part = path.strip_prefix("/api/v1/topics/").and_then(|rest| rest.strip_suffix("/records"));
    request::path_part("topic", part.unwrap_or_default())
}

fn check_topic(gateway: &Gateway, topic: &str) -> Result<(), Problem> {
    request::check_topic(topic)?;
    if gateway.config().allows(topic) {
        return Ok(());
    }
    Err(Problem::new(Kind::Forbidden, "the topic is none of those that this gateway is set to write to"))
}

/// The type of a body, without its parameters.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase())
}

fn trace(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(&TRACEPARENT_HEADER).map(|value| value.as_bytes()).filter(|value| is_traceparent(value))
}

/// The whole body, if it is not too long and comes in time.
async fn whole(gateway: &Gateway, body: Body) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let (limit, patience) = (gateway.config().limits.body, gateway.config().read_timeout);
    let too_large =
        || Problem::new(Kind::TooLarge, format!("expected a body of at most {limit} bytes, got a longer one"));
    // A length that is too large is refused before anything of the body has come.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match timeout(patience, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::new(Kind::BadBody, format!("the body broke off: {error}"))),
        Err(_) => {
            Err(Problem::new(Kind::SlowBody, format!("the body was not there within {} ms", patience.as_millis())))
        }
    }
}
