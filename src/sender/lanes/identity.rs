//! The producer id, without which an idempotent producer cannot send.
//!
//! In: who needs one, and the brokers' responses. Out: when to ask. Pure. Asking never ends in failure (KAFKA-13668): a broker
//! that cannot give one now (a coordinator that loads) is asked again, and batches that wait too long expire with that cause;
//! one that refuses (an ACL that is missing) is asked again when somebody needs one, and who needed one is refused.
//! Deliberately absent: epochs and sequence numbers, which are each lane's own.

use std::{sync::Arc, time::Instant};

use crate::{
    error::ErrorCode,
    sender::backoff::{Backoff, Chance},
    wire::apis::init_producer_id::ProducerIdResult,
};

/// Why there is no producer id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) code: ErrorCode,
    pub(crate) why: Arc<str>,
}

/// Whether a response without a producer id may be another one next time though nobody does anything about it. An error without
/// a name may be anything.
pub(crate) fn heals(code: ErrorCode) -> bool {
    code.retriable() || code == ErrorCode::NONE || code == ErrorCode::UNKNOWN_SERVER_ERROR || !code.is_known()
}

/// The producer id of now, and the asking for the next one.
#[derive(Debug)]
pub(crate) struct ProducerId {
    current: Option<i64>,
    wanted: bool,
    asked: bool,
    failures: u32,
    not_before: Instant,
    trouble: Option<Trouble>,
}

impl ProducerId {
    /// None yet; `wanted` at once by an idempotent producer.
    pub(crate) fn new(wanted: bool, now: Instant) -> Self {
        Self { current: None, wanted, asked: false, failures: 0, not_before: now, trouble: None }
    }

    /// The producer id of now.
    pub(crate) fn current(&self) -> Option<i64> {
        self.current
    }

    /// Why there is none.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// A lane needs one that is not `spent`.
    pub(crate) fn need(&mut self, spent: Option<i64>) {
        self.wanted |= self.current.is_none() || self.current == spent;
    }

    /// When to ask for one.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.wanted && !self.asked).then_some(self.not_before)
    }

    /// The request is on its way.
    pub(crate) fn ask(&mut self) {
        self.asked = true;
    }

    /// The response to the request. Says whether there is a new producer id.
    pub(crate) fn answered(
        &mut self,
        response: ProducerIdResult,
        broker: i32,
        now: Instant,
        backoff: Backoff,
        chance: &mut Chance,
    ) -> bool {
        if response.error == ErrorCode::NONE && response.producer_id >= 0 {
            let current = Some(response.producer_id);
            tracing::info!(producer_id = response.producer_id, broker, "producer id");
            *self = Self { current, wanted: false, asked: false, failures: 0, not_before: now, trouble: None };
            return true;
        }
        let why = format!("broker {broker} gave no producer id: {}; {}", response.error, response.error.advice());
        self.failed(response.error, &why, now, backoff, chance);
        self.wanted = heals(response.error);
        false
    }

    /// The request brought no producer id, for this reason.
    pub(crate) fn failed(&mut self, code: ErrorCode, why: &str, now: Instant, backoff: Backoff, chance: &mut Chance) {
        if std::mem::take(&mut self.asked) {
            self.trouble = Some(Trouble { code, why: why.into() });
            self.failures = self.failures.saturating_add(1);
            self.not_before = now + backoff.delay(self.failures, chance);
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
        let mut id = ProducerId::new(true, now);
        assert_eq!(id.due(), Some(now));
        id.ask();
        assert_eq!(id.due(), None);
        let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
        assert!(!id.answered(response(loading, -1), 3, now, BACKOFF, &mut chance));
        assert!(id.due().unwrap() > now);
        assert_eq!(id.trouble().unwrap().code, loading);
        assert!(id.trouble().unwrap().why.contains("broker 3"), "{:?}", id.trouble());
        id.ask();
        assert!(id.answered(response(ErrorCode::NONE, 7), 3, now, BACKOFF, &mut chance));
        assert_eq!((id.current(), id.due(), id.trouble()), (Some(7), None, None));
    }

    #[test]
    fn what_cannot_heal_by_itself_is_asked_again_when_somebody_needs_a_producer_id_and_not_before() {
        let (now, mut chance) = (Instant::now(), Chance::new(1));
        for (code, is_asked) in [(31, false), (53, false), (35, false), (42, false), (-1, true), (14, true), (7, true)]
        {
            let mut id = ProducerId::new(true, now);
            id.ask();
            id.answered(response(ErrorCode(code), -1), 3, now, BACKOFF, &mut chance);
            assert_eq!(id.due().is_some(), is_asked, "{code}");
            id.need(None);
            assert!(id.due().is_some_and(|at| at > now), "{code}");
        }
    }

    #[test]
    fn why_no_answer_came_is_remembered_until_there_is_a_producer_id() {
        let (now, mut chance) = (Instant::now(), Chance::new(1));
        let mut id = ProducerId::new(true, now);
        id.ask();
        id.failed(ErrorCode::NETWORK_EXCEPTION, "the broker is silent", now, BACKOFF, &mut chance);
        assert_eq!(id.trouble().map(|trouble| &*trouble.why), Some("the broker is silent"));
        id.ask();
        id.answered(response(ErrorCode::NONE, 7), 3, now, BACKOFF, &mut chance);
        assert_eq!(id.trouble(), None);
    }

    #[test]
    fn a_new_one_is_asked_for_only_while_the_current_one_is_spent() {
        let (now, mut chance) = (Instant::now(), Chance::new(1));
        let mut id = ProducerId::new(true, now);
        id.ask();
        id.answered(response(ErrorCode::NONE, 7), 3, now, BACKOFF, &mut chance);
        id.need(Some(5));
        assert_eq!(id.due(), None);
        id.need(Some(7));
        assert!(id.due().is_some());
    }

    #[test]
    fn success_without_a_producer_id_is_no_success() {
        let (now, mut chance) = (Instant::now(), Chance::new(1));
        let mut id = ProducerId::new(true, now);
        id.ask();
        assert!(!id.answered(response(ErrorCode::NONE, -1), 3, now, BACKOFF, &mut chance));
        assert_eq!(id.current(), None);
    }
}
