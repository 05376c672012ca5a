//! Requests with an `Idempotency-Key` that are carried out once by all gateways that have a store, and after a restart.
//!
//! In: keys, and what is asked. Out: whether a request is to be carried out, or what became of the one that has the key. Does I/O.
//!
//! A request claims its key in the store, then stores its record, then sends it, and puts its answer beside the key. If its gateway dies in between,
//! the store knows whether the record was there to be sent: the id of a request is the id of its event. Only where it cannot know (records that
//! are never stored) the answer is that nobody knows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use milena_resilience::store::{Claim, Claimed, Store, StoreError, StoredEvent};
use tokio::time::sleep;

use crate::{
    answer::Kept,
    idempotency::{Fingerprint, Verdict},
    ids::RequestId,
    outbox::Outbox,
    problem::{Kind, Problem},
};

/// How often keys are removed whose time is over.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// A request with a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) key: &'a str,
    pub(crate) fingerprint: &'a Fingerprint,
    pub(crate) id: RequestId,
}

/// What to do with such a request.
#[derive(Debug)]
pub(crate) enum Begun {
    /// As ever.
    Verdict(Verdict<Kept>),
    /// The request that has the key ended with its gateway before it was answered. Its record is in the store, or was.
    Left(Box<StoredEvent>),
    /// The same, and nobody knows whether its record was written.
    Unknown(RequestId),
}

/// The keys in a store.
#[derive(Debug)]
pub(crate) struct KeysInStore {
    store: Arc<dyn Store>,
    /// About how many there are: counted when they were swept, and those since.
    known: AtomicU64,
    most: u64,
    lasting: Duration,
    /// How long a request can take.
    longest: Duration,
}

impl KeysInStore {
    /// Room for `most` keys, each for `lasting`, of requests that take at most `longest`.
    pub(crate) fn new(store: Arc<dyn Store>, most: usize, lasting: Duration, longest: Duration) -> Self {
        Self { store, known: AtomicU64::new(0), most: most as u64, lasting, longest }
    }

    /// Begins a request. `is_kept`: whether its record is stored before it is sent.
    pub(crate) async fn begin(
        &self,
        outbox: &Outbox,
        asked: Asked<'_>,
        is_kept: impl FnOnce() -> bool,
    ) -> Result<Begun, Problem> {
        let (mut instead_of, mut is_kept) = (None, Some(is_kept));
        loop {
            let claim = Claim {
                key: asked.key.to_owned(),
                fingerprint: asked.fingerprint.to_vec(),
                request_id: asked.id.uuid(),
                lasting: self.lasting,
                instead_of,
            };
            let Some(claimed) = self.store.claim(claim).await.map_err(|error| unavailable(&error))? else {
                return self.claimed(asked).await.map(Begun::Verdict);
            };
            let before = claimed.request_id;
            match standing(&claimed, asked.fingerprint, self.longest) {
                Standing::Is(verdict) => return Ok(Begun::Verdict(verdict)),
                Standing::Left if is_kept.take().is_some_and(|is_kept| !is_kept()) => {
                    return Ok(Begun::Unknown(RequestId::of(before)));
                }
                Standing::Left => match outbox.row(before).await? {
                    Some(row) => return Ok(Begun::Left(Box::new(row))),
                    // It would still be there, settled. So it never was, and nothing was sent.
                    None if claimed.age < self.store.retention() && instead_of.is_none() => instead_of = Some(before),
                    None => return Ok(Begun::Unknown(RequestId::of(before))),
                },
            }
        }
    }

    async fn claimed(&self, asked: Asked<'_>) -> Result<Verdict<Kept>, Problem> {
        if self.known.fetch_add(1, Ordering::Relaxed) < self.most {
            return Ok(Verdict::CarryOut);
        }
        self.end(asked.key, asked.id, None).await;
        Ok(Verdict::Full)
    }

    /// Ends a request, with its answer or as one that certainly changed nothing. If the store does not take it, the key has no answer, and what
    /// became of the request is asked of its row.
    pub(crate) async fn end(&self, key: &str, id: RequestId, answer: Option<&Kept>) {
        if answer.is_none() {
            // Those that other gateways have claimed are not all counted.
            let _ = self.known.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| known.checked_sub(1));
        }
        if let Err(error) = self.store.conclude(key, id.uuid(), answer.map(Kept::write)).await {
            tracing::warn!(%error, request_id = %id, "the answer of a request with an Idempotency-Key is not in the store");
        }
    }

    /// Removes keys whose time is over, until the gateway ends.
    pub(crate) async fn sweep_until(&self, ended: impl Future<Output = ()>) {
        let mut ended = std::pin::pin!(ended);
        loop {
            self.sweep().await;
            tokio::select! {
                () = &mut ended => return,
                () = sleep(SWEEP_EVERY) => {}
            }
        }
    }

    async fn sweep(&self) {
        match self.store.sweep_keys().await {
            Ok(left) => self.known.store(left, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "old keys were not removed from the store"),
        }
    }
}

fn unavailable(error: &StoreError) -> Problem {
    Problem::new(Kind::Unavailable, format!("the store does not tell whether the request was carried out: {error}"))
}

/// What another request that has the key means for this one.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Is(Verdict<Kept>),
    /// It has no answer, and can have none any more.
    Left,
}

fn standing(claimed: &Claimed, fingerprint: &Fingerprint, longest: Duration) -> Standing {
    match &claimed.answer {
        _ if claimed.fingerprint != fingerprint => Standing::Is(Verdict::Other),
        Some(answer) => Kept::read(answer).map_or(Standing::Left, |kept| Standing::Is(Verdict::Answered(kept))),
        None if claimed.age < longest => Standing::Is(Verdict::Running),
        None => Standing::Left,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_request_without_an_answer_is_running_as_long_as_it_can_take() {
        let (ours, other) = ([7; 32], [8; 32]);
        let kept = Kept::new(StatusCode::OK, "{}");
        let longest = Duration::from_secs(10);
        let claimed = |fingerprint: Fingerprint, age, answer| Claimed {
            fingerprint: fingerprint.to_vec(),
            request_id: Uuid::nil(),
            age: Duration::from_secs(age),
            answer,
        };
        let cases = [
            (claimed(other, 0, None), Standing::Is(Verdict::Other)),
            (claimed(other, 99, Some(kept.write())), Standing::Is(Verdict::Other)),
            (claimed(ours, 99, Some(kept.write())), Standing::Is(Verdict::Answered(kept))),
            (claimed(ours, 9, None), Standing::Is(Verdict::Running)),
            (claimed(ours, 10, None), Standing::Left),
            (claimed(ours, 0, Some(b"of another version".to_vec())), Standing::Left),
        ];
        for (claimed, expected) in cases {
            assert_eq!(standing(&claimed, &ours, longest), expected, "{claimed:?}");
        }
    }
}
