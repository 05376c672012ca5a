//! Why something cannot be done.
//!
//! In: an error code, a sentence. Out: both in one value. Pure.

use std::sync::Arc;

use crate::{error::ErrorCode, wire::authentication::Refusal};

/// Why something cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) code: ErrorCode,
    pub(crate) why: Arc<str>,
}

impl Cause {
    /// No broker said it: the connection failed.
    pub(crate) fn network(why: impl Into<Arc<str>>) -> Self {
        Self { code: ErrorCode::NETWORK_EXCEPTION, why: why.into() }
    }
}

impl From<Refusal> for Cause {
    fn from(Refusal { code, why }: Refusal) -> Self {
        Self { code, why: why.into() }
    }
}
