//! The producer id, without which an idempotent producer cannot send.
//!
//! In: the lanes' needs, and the brokers' responses. Out: when to request one. Pure. A request never fails for good (KAFKA-13668): a
//! broker that cannot give one now (a coordinator that loads) gets another request, and batches that wait too long expire with that
//! cause. After a broker refuses (an ACL that is missing), the next request waits until a lane needs an id, and the batches that
//! waited for one are refused. Deliberately absent: epochs and sequence numbers, which are each lane's own.

use std::time::Instant;

use crate::{
    error::ErrorCode,
    sender::{Backoff, Cause, Chance},
    wire::apis::init_producer_id::ProducerIdResult,
};

/// Whether a response without a producer id may be another one next time though no operator does anything about it. An error without
/// a name may be anything.
pub(crate) fn heals(code: ErrorCode) -> bool {
    code.retriable() || code == ErrorCode::NONE || code == ErrorCode::UNKNOWN_SERVER_ERROR || !code.is_known()
}

/// The current producer id, and the requests for the next one.
#[derive(Debug)]
pub(crate) struct ProducerId {
    pub(crate) current: Option<i64>,
    /// Why there is none.
    pub(crate) cause: Option<Cause>,
    /// Whether the request is on its way.
    pub(crate) requested: bool,
    wanted: bool,
    failures: u32,
    not_before: Instant,
    backoff: Backoff,
}

impl ProducerId {
    /// None yet; `wanted` at once by an idempotent producer.
    pub(crate) fn new(wanted: bool, backoff: Backoff, now: Instant) -> Self {
        Self { current: None, cause: None, requested: false, wanted, failures: 0, not_before: now, backoff }
    }

    /// A lane needs one that is not `spent`.
    pub(crate) fn need(&mut self, spent: Option<i64>) {
        self.wanted |= self.current.is_none() || self.current == spent;
    }

    /// When to request one.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.wanted && !self.requested).then_some(self.not_before)
    }

    /// Takes over the response to the request. Returns why there is no new producer id, if there is none.
    pub(crate) fn apply(
        &mut self,
        response: ProducerIdResult,
        broker: i32,
        now: Instant,
        chance: &mut Chance,
    ) -> Result<(), Cause> {
        let ProducerIdResult { error: code, producer_id, .. } = response;
        if code == ErrorCode::NONE && producer_id >= 0 {
            tracing::info!(producer_id, broker, "producer id");
            *self = Self { current: Some(producer_id), ..Self::new(false, self.backoff, now) };
            return Ok(());
        }
        // What is refused for good gets its advice with the records that fail.
        let advice = if heals(code) { format!("; {}", code.advice()) } else { String::new() };
        let cause = Cause { code, why: format!("broker {broker} gave no producer id: {code}{advice}").into() };
        self.failed(cause.clone(), now, chance);
        self.wanted = heals(code);
        Err(cause)
    }

    /// The request brought no producer id, for this reason.
    pub(crate) fn failed(&mut self, cause: Cause, now: Instant, chance: &mut Chance) {
        if std::mem::take(&mut self.requested) {
            self.cause = Some(cause);
            self.failures = self.failures.saturating_add(1);
            self.not_before = now + self.backoff.delay(self.failures, chance);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BACKOFF: Backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_millis(1_000) };

    fn response(error: ErrorCode, producer_id: i64) -> ProducerIdResult {
        ProducerIdResult { error, throttle_ms: 0, producer_id, epoch: 0 }
    }

    #[test]
    fn a_refusal_is_tried_again_after_a_backoff_and_remembered_as_the_cause() {
        let (now, mut chance) = (Instant::now(), Chance::new(1));
        let mut id = ProducerId::new(true, BACKOFF, now);
        assert_eq!(id.due(), Some(now));
        id.requested = true;
        assert_eq!(id.due(), None);
        let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
        let cause = id.apply(response(loading, -1), 3, now, &mut chance).unwrap_err();
        assert!(id.due().unwrap() > now);
        assert_eq!((cause.code, id.cause.as_ref()), (loading, Some(&cause)));
        assert!(cause.why.contains("broker 3"), "{cause:?}");
        id.requested = true;
        assert_eq!(id.apply(response(ErrorCode::NONE, 7), 3, now, &mut chance), Ok(()));
        assert_eq!((id.current, id.due(), id.cause), (Some(7), None, None));
    }

    #[test]
    fn what_cannot_heal_by_itself_is_requested_again_when_a_lane_needs_a_producer_id_and_not_before() {
        let (now, mut chance) = (Instant::now(), Chance::new(1));
        for (code, is_due) in
            [(31, false), (53, false), (35, false), (42, false), (-1, true), (14, true), (7, true), (9_999, true)]
        {
            let mut id = ProducerId::new(true, BACKOFF, now);
            id.requested = true;
            assert!(id.apply(response(ErrorCode(code), -1), 3, now, &mut chance).is_err());
            assert_eq!(id.due().is_some(), is_due, "{code}");
            id.need(None);
            assert!(id.due().is_some_and(|at| at > now), "{code}");
        }
    }

    #[test]
    fn why_no_response_came_is_remembered_until_there_is_a_producer_id() {
        let (now, mut chance) = (Instant::now(), Chance::new(1));
        let mut id = ProducerId::new(true, BACKOFF, now);
        id.requested = true;
        let silent = Cause { code: ErrorCode::NETWORK_EXCEPTION, why: "the broker is silent".into() };
        id.failed(silent.clone(), now, &mut chance);
        assert_eq!(id.cause, Some(silent));
        id.requested = true;
        assert_eq!(id.apply(response(ErrorCode::NONE, 7), 3, now, &mut chance), Ok(()));
        assert_eq!(id.cause, None);
    }

    #[test]
    fn a_new_one_is_requested_only_while_the_current_one_is_spent() {
        let (now, mut chance) = (Instant::now(), Chance::new(1));
        let mut id = ProducerId::new(true, BACKOFF, now);
        id.requested = true;
        assert_eq!(id.apply(response(ErrorCode::NONE, 7), 3, now, &mut chance), Ok(()));
        id.need(Some(5));
        assert_eq!(id.due(), None);
        id.need(Some(7));
        assert!(id.due().is_some());
    }

    #[test]
    fn success_without_a_producer_id_is_no_success() {
        let (now, mut chance) = (Instant::now(), Chance::new(1));
        let mut id = ProducerId::new(true, BACKOFF, now);
        id.requested = true;
        assert!(id.apply(response(ErrorCode::NONE, -1), 3, now, &mut chance).is_err());
        assert_eq!(id.current, None);
    }
}
