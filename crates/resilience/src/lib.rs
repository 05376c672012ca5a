//! Patterns around a producer: events in envelopes ([`event`]), retries in the application ([`retry`]), dead letters
//! ([`dead_letter`]), a circuit breaker ([`breaker`]), a store for events while brokers are down ([`store`]), and which of
//! them is for which failure ([`strategy`]). A [`publisher`] makes one of them, whose [`relay`] publishes what was stored.
//!
//! In: events and records, and how sending them failed. Out: records that were sent again, kept in a dead-letter topic,
//! stored, or not sent while the cluster is away. Uses only the public API of [`milena`].
//!
//! # What to do after a failure
//!
//! | how a send ended | written? | send again | dead letter |
//! |---|---|---|---|
//! | cannot be serialized, or placed by the partitioner, too large, invalid topic, invalid record, not authorized | no | no: it would fail again | yes |
//! | no memory or metadata within `max.block.ms`, expired without an attempt | no | yes | no |
//! | refused temporarily (too few replicas), or because of another record of its batch ([`INVALID_RECORD`](milena::ErrorCode::INVALID_RECORD)) | no | yes | no |
//! | timed out, connection lost, expired after an attempt | unknown | only if consumers can recognise duplicates | no |
//! | the producer was closed, dropped or fenced | no, or unknown | with another producer | no |
//!
//! The second and third columns are [`Failure::persisted`] and [`Failure::retriable`]. The last is
//! [`Failure::is_fatal`]. [`strategy`] has the same as code, with the time that the failures last.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use milena::{Producer, Record};
//! use milena_resilience::{dead_letter::DeadLetters, retry::{Retry, RetryPolicy}};
//!
//! let producer = Producer::builder("localhost:9092").build().await?;
//! let retry = Retry::new(RetryPolicy::new().max_attempts(3))?;
//! let dead_letters = DeadLetters::with_suffix(".dlt");
//!
//! let record = Record::to("orders").key("user-1").value("nine").header("eventId", "6b1f");
//! match retry.send(&producer, record.clone()).await {
//!     Ok(delivered) => println!("offset {:?} after {} failures", delivered.ack.offset(), delivered.tried.len()),
//!     Err(error) if error.is_fatal() => match dead_letters.publish(&producer, record, &error.report()).await {
//!         Ok(ack) => println!("{error}; kept in {} at {:?}", ack.topic(), ack.offset()),
//!         Err(lost) => eprintln!("{lost}; still ours: {:?}", lost.record().key_bytes()),
//!     },
//!     Err(error) => eprintln!("{error}"),
//! }
//! # Ok(()) }
//! ```

pub mod breaker;
mod clock;
pub mod dead_letter;
pub mod event;
pub mod events;
mod failure;
mod gate;
mod peers;
mod publish;
pub mod publisher;
pub mod reconcile;
pub mod relay;
pub mod retry;
#[cfg(test)]
#[path = "../tests/sim/simulation.rs"]
mod sim;
pub mod store;
pub mod strategy;
mod task;
#[cfg(test)]
mod testing;

pub use failure::Failure;
pub use publish::Publish;
