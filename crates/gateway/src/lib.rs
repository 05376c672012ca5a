//! HTTP in front of the Kafka producer milena: send by POST, with an answer that is true.
//!
//! A request is answered 200 when its record is in the log, 202 when its outcome can be asked for, and otherwise with a problem (RFC 9457)
//! that says whether the record is not written, or may be.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use milena_gateway::{Config, Gateway, Server};
//!
//! let config = Config::read(&[], &[], &[]).map_err(|violations| violations.join("; "))?;
//! let server = Server::bind(Gateway::start(config, "localhost:9092").await?).await?;
//! println!("listening at {}", server.local_addr()?);
//! let ended = server.run(std::future::pending()).await;
//! # drop(ended); Ok(()) }
//! ```
//!
//! A pure core, of which each module has its table of tests: `request` says what is asked, `record` what a body holds, `status` what became of
//! requests that did not wait, `problem` what is answered when something went wrong, `config` what is set. Around it is a thin shell:
//! producers, routes, connections.

mod answer;
mod bare;
mod bearer;
mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gateway;
#[cfg(feature = "tls")]
mod https;
mod idempotency;
mod ids;
mod live;
mod metrics;
mod object;
mod once;
mod openapi;
mod order;
mod outbox;
mod patient;
mod problem;
mod producers;
mod rate;
mod record;
mod request;
mod routes;
mod server;
mod status;
mod stream;
mod trace;

pub use bearer::Tokens;
pub use config::{Config, Limits, SETTINGS, Setting};
pub use gateway::Gateway;
#[cfg(feature = "tls")]
pub use https::Https;
pub use live::Lab;
pub use rate::Rate;
pub use request::Mode;
pub use server::{Ended, Server};
