//! Requests with an `Idempotency-Key`: the same request twice is carried out once.
//!
//! In: a request of HTTP. Out: its answer, or that of the request that had the key before. Does I/O through the [`Gateway`]. Deliberately absent:
//! what a key stands for, which is in [`crate::idempotency`] and [`crate::once`].

use std::{sync::Arc, time::UNIX_EPOCH};

use axum::{body::Body, http::request::Parts};
use milena::Ack;
use milena_resilience::store::StoredEvent;

use super::{Asked, EVENT_ID, IDEMPOTENCY_KEY, answer_to, media_type, whole};
use crate::{
    answer::{self, Answer, Kept},
    gateway::Gateway,
    idempotency::{Verdict, fingerprint},
    ids::RequestId,
    once::Begun,
    outbox::{Outbox, state_of},
    problem::{Kind, Outcome, Problem},
    record::{self, Records},
    request::{self, Mode, SendMode, SendQuery},
    status::{State, Stored, Ticket},
};

/// Carries out a request with an idempotency key, unless it was carried out before.
pub(super) async fn once(
    asked: Asked,
    gateway: Arc<Gateway>,
    parts: Parts,
    body: Body,
    id: RequestId,
) -> Result<Answer, Problem> {
    let keys = parts.headers.get_all(&IDEMPOTENCY_KEY).iter().map(|value| value.as_bytes());
    let key = request::idempotency_key(keys)?.unwrap_or_default().to_owned();
    let body = whole(&gateway, body).await?;
    let (path, media_type) = (parts.uri.path(), media_type(&parts.headers));
    let (query, media_type) = (parts.uri.query().unwrap_or_default(), media_type.unwrap_or_default());
    let what = [asked.name(), path.as_bytes(), query.as_bytes(), media_type.as_bytes(), &body];
    let (fingerprint, call) = (fingerprint(what), gateway.call(id)?);
    match gateway.begin_once(&key, &fingerprint, call, || asked.is_kept(&gateway, &parts, &body)).await? {
        Begun::Verdict(Verdict::CarryOut) => {}
        Begun::Verdict(Verdict::Answered(kept)) => return Ok(kept.answer()),
        Begun::Verdict(Verdict::Running) => {
            return Err(Problem::new(Kind::Running, "ask again shortly, with the same key"));
        }
        Begun::Verdict(Verdict::Other) => {
            return Err(Problem::new(
                Kind::KeyReused,
                "the key came with other parameters or another body; use a new one",
            ));
        }
        Begun::Verdict(Verdict::Full) => {
            let most = gateway.config().max_idempotency_keys;
            return Err(Problem::new(Kind::BufferFull, format!("{most} keys are known, and none is old enough to go")));
        }
        Begun::Left(row) => {
            let before = RequestId::of(row.event_id);
            return Ok(conclude(&gateway, &key, before, asked.left(&parts, before, &row)).await);
        }
        Begun::Unknown(before) => {
            let why = "the gateway that carried it out ended before it had an answer; the record may be written";
            let problem = Problem::new(Kind::TimedOut, why).with_outcome(Outcome::Unknown);
            return Ok(conclude(&gateway, &key, before, Err(problem)).await);
        }
    }
    // A task of its own: a caller who goes away leaves no key without an answer.
    let task = tokio::spawn(async move {
        let once = Some(Once { key: &key, ticket: call.ticket });
        let answer = answer_to(asked, &gateway, &parts, body.into(), call.id, once).await;
        answer.as_ref().err().into_iter().for_each(|problem| gateway.fail(call, problem));
        conclude(&gateway, &key, call.id, answer).await
    });
    task.await
        .map_err(|_| Problem::new(Kind::Internal, "the request ended without an answer; the record may be written"))
}

impl Asked {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Send => b"send",
            Self::Records => b"records",
        }
    }

    /// Whether the record of such a request is stored before it is sent, if the request has a key.
    fn is_kept(self, gateway: &Gateway, parts: &Parts, body: &[u8]) -> bool {
        let query = parts.uri.query().unwrap_or_default();
        match self {
            Self::Send => SendQuery::read(query).is_ok_and(|it| it.mode == Mode::Idempotent && it.partition.is_none()),
            Self::Records => {
                let limits = &gateway.config().limits;
                let Ok(Records::One(text)) = record::records(body, limits) else { return false };
                let is_idempotent = request::records_query(query).is_ok_and(|mode| mode == Mode::Idempotent);
                is_idempotent && record::order("", text, limits).is_ok_and(|order| Outbox::takes(&order))
            }
        }
    }

    /// The answer to a request whose gateway died before it was answered, from its row in the store.
    fn left(self, parts: &Parts, id: RequestId, row: &StoredEvent) -> Result<Answer, Problem> {
        let later = Stored { attempts: row.attempts, why: None, outcome: Outcome::Unknown };
        let (stored, ack) = match state_of(row) {
            State::Error(problem) => return Err(Problem::clone(&problem)),
            State::Delivered { topic, position: Some(at) } => {
                let stored_at = row.created_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                let stored_at = i64::try_from(stored_at).unwrap_or(i64::MAX);
                (later, Some(Ack::new(&topic, at.partition).with_offset(at.offset).with_timestamp(stored_at)))
            }
            State::Stored(stored) => (stored, None),
            _ => (later, None),
        };
        let event_id = row.headers.iter().find(|(name, _)| name == EVENT_ID).and_then(|(_, value)| value.as_deref());
        let event_id = String::from_utf8_lossy(event_id.unwrap_or_default());
        let waits =
            SendQuery::read(parts.uri.query().unwrap_or_default()).is_ok_and(|it| it.send_mode == SendMode::Sync);
        Ok(match (self, ack) {
            (Self::Send, Some(ack)) if waits => answer::sent(id, &event_id, Mode::Idempotent, &ack),
            (Self::Send, _) => answer::accepted(id, true, &event_id, Mode::Idempotent, &row.topic),
            (Self::Records, Some(ack)) => answer::written(id, &ack),
            (Self::Records, None) => answer::stored(id, &row.topic, &stored),
        })
    }
}

/// Keeps the answer, unless it says that nothing was written.
async fn conclude(gateway: &Gateway, key: &str, id: RequestId, answer: Result<Answer, Problem>) -> Answer {
    let answer = match answer {
        Err(problem) if problem.outcome() == Outcome::NotPersisted => {
            gateway.end_once(key, id, None).await;
            return answer::problem(&problem.of(id));
        }
        Err(problem) => answer::problem(&problem.of(id)),
        Ok(answer) => answer,
    };
    let kept = Kept::of(answer).await;
    gateway.end_once(key, id, Some(kept.clone())).await;
    kept.answer()
}

/// What sets a request apart that is carried out once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Once<'a> {
    pub(super) key: &'a str,
    /// Its place among the states, if it has one already.
    pub(super) ticket: Option<Ticket>,
}
