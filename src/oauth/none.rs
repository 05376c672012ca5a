//! A build without tokens.
//!
//! In: nothing. Out: nothing. It has the names that the rest of the library calls.

use std::{convert::Infallible, future, sync::Arc};

use tokio::runtime::Handle;

use crate::{config::Config, sasl::Credentials};

/// No tokens.
#[derive(Debug)]
pub(crate) struct Tokens;

impl Tokens {
    /// No tokens.
    #[cfg(feature = "admin")]
    pub(crate) const NONE: Self = Self;

    #[expect(clippy::unused_async, reason = "with the feature it reads files")]
    pub(crate) async fn open(_: &Config) -> Result<Self, Vec<String>> {
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "with the feature it starts a task")]
    pub(crate) fn keep(self, _: &Handle) -> Keeper {
        Keeper
    }

    #[cfg(feature = "admin")]
    pub(crate) async fn credentials(&self) -> Result<Option<Arc<Credentials>>, Arc<str>> {
        Ok(None)
    }

    #[cfg(feature = "admin")]
    pub(crate) async fn forget(&self) {}
}

/// Nobody who keeps a token.
#[derive(Debug)]
pub(crate) struct Keeper;

impl Keeper {
    pub(crate) async fn next(&mut self) -> Option<Result<Arc<Credentials>, Arc<str>>> {
        match future::pending::<Infallible>().await {}
    }

    #[expect(clippy::unused_self, reason = "with the feature it wakes a task")]
    pub(crate) fn renew(&self) {}
}
