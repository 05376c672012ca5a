//! Tokens for `sasl.mechanism=OAUTHBEARER`: where they come from, and who keeps them.
//!
//! In: settings. Out: the newest token, or why there is none, each time that changes. Does input and output: files, the provider, the program's
//! own source. One task keeps the token of a producer (`keeper`); an admin client, which has no task, asks when it connects. Deliberately absent: what a
//! token is for (`sasl`), and what becomes of connections whose token ends (`sender`). Without the feature `oauth` there are no tokens.
//!
//! Layout: `schedule` says when to ask, `retriever` asks, `keeper` does so again and again; `endpoint` and `http` speak to a provider.

#[cfg(feature = "oidc")]
mod endpoint;
#[cfg(feature = "oidc")]
mod http;
#[cfg(feature = "oauth")]
mod keeper;
#[cfg(not(feature = "oauth"))]
mod none;
#[cfg(feature = "oauth")]
mod retriever;
#[cfg(feature = "oauth")]
pub(crate) mod schedule;
#[cfg(all(test, feature = "admin", feature = "oauth"))]
mod tests;

#[cfg(all(feature = "oidc", any(test, fuzzing)))]
pub(crate) use self::endpoint::fuzz_answer;
#[cfg(feature = "oauth")]
pub(crate) use self::keeper::{Keeper, Tokens};
#[cfg(not(feature = "oauth"))]
pub(crate) use self::none::{Keeper, Tokens};
#[cfg(feature = "oauth")]
pub use crate::sasl::token::{Token, TokenError, TokenSource};
