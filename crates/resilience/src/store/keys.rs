//! Requests that are carried out once: who claims a key first carries its request out, and its answer is everybody's.
//!
//! In and out: plain values. Pure.

use std::time::Duration;

use uuid::Uuid;

/// A request that wants to be the one of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The key, which whoever asks has chosen.
    pub key: String,
    /// What the request asks for: a hash that every process computes alike.
    pub fingerprint: Vec<u8>,
    /// The request's own id.
    pub request_id: Uuid,
    /// How long the key is kept.
    pub lasting: Duration,
    /// The request that has the key, and has ended without an answer: this one takes its place.
    pub instead_of: Option<Uuid>,
}

/// The request that has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// What it asks for.
    pub fingerprint: Vec<u8>,
    /// Its id.
    pub request_id: Uuid,
    /// How long it has the key.
    pub age: Duration,
    /// Its answer, once it has one.
    pub answer: Option<Vec<u8>>,
}
