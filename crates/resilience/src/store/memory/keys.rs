//! Requests that are carried out once, in memory.
//!
//! In: calls, and the time of each. Out: their answers. Pure.

use std::collections::HashMap;

use uuid::Uuid;

use crate::store::{Claim, Claimed, clock::age, lease::after};

/// The requests that have keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(HashMap<String, Owner>);

#[derive(Clone, Debug)]
struct Owner {
    fingerprint: Vec<u8>,
    request_id: Uuid,
    claimed_at: i64,
    kept_until: i64,
    answer: Option<Vec<u8>>,
}

impl Keys {
    pub(super) fn claim(&mut self, claim: Claim, now: i64) -> Option<Claimed> {
        let Claim { key, fingerprint, request_id, lasting, instead_of } = claim;
        let makes_room = |owner: &&Owner| {
            let is_its = owner.request_id == request_id || Some(owner.request_id) == instead_of;
            owner.kept_until <= now || (owner.answer.is_none() && is_its)
        };
        if let Some(owner) = self.0.get(&key).filter(|owner| !makes_room(owner)) {
            return Some(Claimed {
                fingerprint: owner.fingerprint.clone(),
                request_id: owner.request_id,
                age: age(now, owner.claimed_at),
                answer: owner.answer.clone(),
            });
        }
        let kept_until = after(now, lasting);
        self.0.insert(key, Owner { fingerprint, request_id, claimed_at: now, kept_until, answer: None });
        None
    }

    pub(super) fn conclude(&mut self, key: &str, request_id: Uuid, answer: Option<Vec<u8>>) {
        let owner = self.0.get_mut(key).filter(|owner| owner.request_id == request_id);
        match (owner, answer) {
            (Some(owner), Some(answer)) => owner.answer = Some(answer),
            (Some(_), None) => drop(self.0.remove(key)),
            (None, _) => {}
        }
    }

    pub(super) fn sweep(&mut self, now: i64) -> u64 {
        self.0.retain(|_, owner| owner.kept_until > now);
        self.0.len() as u64
    }
}
