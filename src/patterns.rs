//! What programs build of a producer again and again.
//!
//! | pattern | here |
//! |---|---|
//! | the records of an entity stay in order | [`entity_key`] and [`KeyWatch`] |
//! | send many, then go on when all are written | [`Producer::send_all`](crate::Producer::send_all), or [`flush`](crate::Producer::flush) |
//! | a request and its reply | `Requester` and `reply`, with the feature `admin` |
//! | dead letters | the crate `milena-resilience` |

mod entity;
#[cfg(feature = "admin")]
mod request_reply;
#[cfg(all(test, feature = "admin", feature = "broker"))]
mod tests;

pub use entity::{KeyWatch, entity_key};
#[cfg(feature = "admin")]
pub use request_reply::{CORRELATION_ID, REPLY_TO, RequestError, Requester, RequesterCounts, reply};
