//! What a store says when it did not do what it was asked.
//!
//! In: a kind, what happened, a hint. Out: one error type for all stores. Pure.

use std::fmt;

/// What kind of failure a [`StoreError`] is. Only [`Indeterminate`](Self::Indeterminate) leaves open whether the store
/// changed; after any other kind it has not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// There is no room: the quota is used up, or the disk is full. Settling events still works, and makes room.
    Full,
    /// Somebody else held the database for too long. The same call may succeed later.
    Busy,
    /// The call can never succeed as it is: an event that is too large, a file that is no store.
    Refused,
    /// The token is an old one: somebody else has the lease, or it was released.
    Fenced,
    /// The database is out of reach: a disk that fails, a connection that is lost. The same call may succeed later.
    Unavailable,
    /// The commit failed, and it cannot be told whether it happened.
    Indeterminate,
    /// The database is damaged.
    Corrupt,
    /// The database was written by a newer version of this crate.
    NewerSchema,
    /// The store was closed.
    Closed,
}

/// A call of a store that failed: what happened, and one hint.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    text: String,
    hint: &'static str,
}

impl StoreError {
    /// An error of this kind. `text` says what happened, `hint` what to do; both in lower case, without a full stop.
    #[must_use]
    pub fn new(kind: StoreErrorKind, text: impl Into<String>, hint: &'static str) -> Self {
        Self { kind, text: text.into(), hint }
    }

    /// The kind, for programs.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the store may have changed although the call failed. If an insert failed like that, the events may be
    /// sent later.
    #[must_use]
    pub fn is_indeterminate(&self) -> bool {
        self.kind == StoreErrorKind::Indeterminate
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retriable(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Full | StoreErrorKind::Busy | StoreErrorKind::Unavailable)
    }

    /// The token is not that of the lease any more.
    pub(crate) fn fenced(token: super::Token) -> Self {
        let text = format!("token {} is an old one: the lease was released or taken over", token.0);
        Self::new(StoreErrorKind::Fenced, text, "acquire a new lease; nothing was changed")
    }

    pub(crate) fn closed() -> Self {
        Self::new(StoreErrorKind::Closed, "the store is closed", "open it again")
    }

    pub(crate) fn no_keys() -> Self {
        Self::new(StoreErrorKind::Refused, "the store keeps no keys", "use SQLite or PostgreSQL")
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn busy_key() -> Self {
        Self::new(StoreErrorKind::Busy, "the request that had the key ended in this moment", "claim it again")
    }

    /// The schema has a version that this milena, which has so many, does not know.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn newer_schema(known: usize, got: i64) -> Self {
        let text = format!("the store's schema is newer: expected version {known} or earlier, got {got}");
        let hint = "use the version of milena-resilience that wrote it, or a later one";
        Self::new(StoreErrorKind::NewerSchema, text, hint)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.text, self.hint)
    }
}

impl std::error::Error for StoreError {}
